#include "cmd/embed/core_blobs.h"

#include "media/portable_device.h"

namespace cairn::embed {

namespace {

/// Home: where the blobs come from.
Task<Result<Blobs>> send_to(Reactor& to, Task<Result<Blobs>> from) {
  CO_TRY(found, co_await std::move(from));
  Blobs blobs;
  CO_TRY(wal, media::move_to(to, std::move(found.wal)));
  CO_TRY(meta, media::move_to(to, std::move(found.meta)));
  CO_TRY(data, media::move_to(to, std::move(found.data)));
  blobs.wal = std::move(wal);
  blobs.meta = std::move(meta);
  blobs.data = std::move(data);
  co_return blobs;
}

}  // namespace

Task<Result<Blobs>> CoreBlobs::create(Uuid pool, uint32_t target, service::ShardSizes sizes) {
  return run_on(home_, first_home_, [this, pool, target, sizes] {
    return send_to(home_, first_.create(pool, target, sizes));
  });
}

Task<Result<Blobs>> CoreBlobs::open(Uuid pool, uint32_t target) {
  return run_on(home_, first_home_,
                [this, pool, target] { return send_to(home_, first_.open(pool, target)); });
}

Task<Result<void>> CoreBlobs::remove(Uuid) { co_return Result<void>{}; }

}  // namespace cairn::embed
