// store.write.1MiB and store.read.1MiB: array extents at the vos interface beside raw O_DIRECT I/O.
#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/shard_side.h"
#include "media/device.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kMiB = 1u << 20;

Task<Result<void>> write_one(vos::Shard& shard, uint64_t slot, std::byte* data) {
  const uint64_t dkey = slot + 1;
  vos::UpdateRequest request{.object = {1, {9, uint64_t{13} << 56 | uint64_t{1} << 48}, 0},
                             .dkey = view_of(&dkey, 8)};
  request.iods.push_back(
      {as_bytes("0"), model::ValueType::array, 1, 0, {{0, kMiB}}, {{data, kMiB}}, false});
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

Task<Result<void>> read_one(vos::Shard& shard, uint64_t slot, std::byte* data) {
  const uint64_t dkey = slot + 1;
  vos::FetchRequest request{.object = {1, {9, uint64_t{13} << 56 | uint64_t{1} << 48}, 0},
                            .dkey = view_of(&dkey, 8)};
  request.iods.push_back(
      {as_bytes("0"), model::ValueType::array, 1, 0, {{0, kMiB}}, {{data, kMiB}}, false});
  CO_TRY(done, co_await shard.fetch(request));
  co_return Result<void>{};
}

void data_case(Run& run, bool reading) {
  ShardSide ours(run.directory);
  const uint64_t slots = run.smoke ? 16 : 512;
  RawFile raw(run.directory + "/raw", slots);
  media::AlignedBuffer buffer(kMiB);
  for (size_t i = 0; i < kMiB; ++i) buffer.data()[i] = static_cast<std::byte>(i * 31 + (i >> 9));
  uint64_t our_slot = 0;
  uint64_t their_slot = 0;
  for (uint64_t i = 0; i < slots; ++i) {
    raw.write(i, buffer.data());  // so that no side pays for allocating blocks in the file system
    if (!ours.context().run(write_one(ours.shard(), i, buffer.data()))) die("a write failed");
  }
  run.compare(
      [&] {
        return rate_of(run.seconds, 1, [&] {
          const uint64_t slot = our_slot++ % slots;
          auto done = reading ? ours.context().run(read_one(ours.shard(), slot, buffer.data()))
                              : ours.context().run(write_one(ours.shard(), slot, buffer.data()));
          if (!done) die("an operation failed");
        });
      },
      {reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC",
       [&] {
         return rate_of(run.seconds, 1, [&] {
           const uint64_t slot = their_slot++ % slots;
           if (reading) {
             raw.read(slot, buffer.data());
           } else {
             raw.write(slot, buffer.data());
           }
         });
       }},
      ours.device_requests());
}

}  // namespace

void add_data_cases(std::vector<Case>& cases) {
  cases.push_back({"store.write.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, false); }});
  cases.push_back({"store.read.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, true); }});
}

}  // namespace cairn::bench
