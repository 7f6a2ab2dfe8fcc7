// Data beside the log: extents on their way to the medium, and freed ones on their way back
// (store.md rules 10, 11).
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "index/logged.h"
#include "index/store_core.h"

namespace cairn::index {

struct Store::DataJob {
  explicit DataJob(Reactor& reactor) : join(reactor) {}
  Join join;
};

namespace {

constexpr uint64_t kGatherBytes = 1u << 20;

/// Copies the pieces from a position on; zeros behind their end.
struct Gather {
  const IoVecs& pieces;
  size_t piece = 0;
  size_t used = 0;

  void take(ByteSpan into) {
    size_t at = 0;
    while (at < into.size() && piece < pieces.size()) {
      const size_t bytes = std::min(into.size() - at, pieces[piece].bytes - used);
      if (bytes != 0) std::memcpy(into.data() + at, pieces[piece].data + used, bytes);
      at += bytes;
      used += bytes;
      if (used != pieces[piece].bytes) continue;
      ++piece;
      used = 0;
    }
    if (at < into.size()) std::memset(into.data() + at, 0, into.size() - at);
  }
};

/// @param plain  the log flushes it
Task<Result<void>> write_extent(CorePtr core, Store::DataWrite write, bool plain) {
  media::Device& device = *core->devices.data;
  const auto write_part = plain ? &media::Device::write : &media::Device::write_durable;
  const uint64_t bytes = uint64_t{write.extent.count} * media::kBlockBytes;
  const uint64_t offset = write.extent.block * media::kBlockBytes;
  if (!core->behind.idle()) co_await pass_waiting(core, write.extent);
  if (write.pieces.size() == 1 && write.pieces[0].bytes == bytes &&
      reinterpret_cast<uintptr_t>(write.pieces[0].data) % media::kBlockBytes == 0) {
    co_return co_await (device.*write_part)(offset, {write.pieces[0].data, bytes});
  }
  Gather gather{write.pieces};
  media::AlignedBuffer buffer(std::min(bytes, kGatherBytes));
  for (uint64_t at = 0; at < bytes; at += buffer.size()) {
    const ByteSpan part = buffer.span().first(std::min<uint64_t>(buffer.size(), bytes - at));
    gather.take(part);
    CO_TRY(done, co_await (device.*write_part)(offset + at, part));
  }
  co_return Result<void>{};
}

Task<void> write_one_of(CorePtr core, Store::DataWrite write, bool plain, Store::DataJobPtr job) {
  auto done = co_await write_extent(core, std::move(write), plain);
  job->join.end(done);
}

}  // namespace

// The commit that publishes an extent comes later than this and asks once more whether a flush
// covers it: what was so stays so, and a flush too many does no harm.
Store::DataJobPtr start_extents(CorePtr core, std::vector<Store::DataWrite> writes, bool flushed) {
  auto job = std::make_shared<Store::DataJob>(core->reactor);
  job->join.pending = writes.size();
  for (auto& write : writes) {
    const bool plain = flushed && core->flush_covers(write.extent);
    core->reactor.spawn(write_one_of(core, std::move(write), plain, job));
  }
  return job;
}

Task<Result<void>> finish_extents(CorePtr core, Store::DataJobPtr job) {
  while (job->join.pending != 0) co_await job->join.ended.wait();
  if (!job->join.result) core->stop();
  co_return job->join.result;
}

Task<Result<void>> write_extents(CorePtr core, media::Lsn position,
                                 std::vector<Store::DataWrite> writes) {
  Result<void> result;
  const media::Wal::Data kind = core->wal->data_of(position);
  const bool flushed = kind == media::Wal::Data::flushed;
  if (kind == media::Wal::Data::logged) {
    result = co_await write_logged_extents(core, std::move(writes));
  } else if (writes.size() == 1) {
    const bool plain = flushed && core->flush_covers(writes[0].extent);
    result = co_await write_extent(core, std::move(writes[0]), plain);
  } else {
    result = co_await finish_extents(core, start_extents(core, std::move(writes), flushed));
  }
  core->wal->data_done(position, result.has_value());
  if (!result) core->stop();
  co_return result;
}

Task<Result<void>> wait_for_blocks(CorePtr core) {
  // Others who are short meanwhile wait for the same.
  const media::Lsn freed_at = core->data_short_at;
  CO_TRY(freed, co_await core->wal->durable(freed_at));
  core->wal->record_complete(freed_at);
  const media::WalStart end = core->wal->seal();
  CO_TRY(recorded, co_await core->wal->durable(end.position));
  core->release_data();
  core->data_short_at = 0;
  co_return Result<void>{};
}

}  // namespace cairn::index
