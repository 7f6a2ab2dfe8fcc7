// store.write.1MiB and store.read.1MiB: array extents at the vos interface beside raw O_DIRECT I/O.
#include <fcntl.h>
#include <unistd.h>

#include "bench/harness.h"
#include "bench/shard_side.h"
#include "media/device.h"
#include "media/file_device.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kSlots = 512;

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

/// The control: the same device code, no store.
class Raw {
 public:
  explicit Raw(const std::string& directory) {
    reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend());
    context_ = std::make_unique<Context>(*reactor_);
    auto opened = context_->run(media::open_file_device(
        *reactor_, directory + "/raw", {.create = true, .bytes = kSlots * kMiB}));
    if (!opened) die("cannot make the raw file");
    device_ = std::move(*opened);
  }
  void write(uint64_t slot, ByteView data) {
    if (!context_->run(device_->write_durable(slot * kMiB, data))) die("raw write failed");
  }
  void read(uint64_t slot, ByteSpan data) {
    if (!context_->run(device_->read(slot * kMiB, data))) die("raw read failed");
  }

 private:
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<media::Device> device_;
};

void data_case(Run& run, bool reading) {
  ShardSide ours(run.directory);
  Raw raw(run.directory);
  media::AlignedBuffer buffer(kMiB);
  for (size_t i = 0; i < kMiB; ++i) buffer.data()[i] = static_cast<std::byte>(i * 31 + (i >> 9));
  uint64_t our_slot = 0;
  uint64_t their_slot = 0;
  for (uint64_t i = 0; i < kSlots; ++i) {
    raw.write(i, buffer.view());  // so that no side pays for allocating blocks in the file system
    if (!ours.context().run(write_one(ours.shard(), i, buffer.data()))) die("a write failed");
  }
  run.compare(
      [&] {
        return rate_of(run.seconds, 1, [&] {
          const uint64_t slot = our_slot++ % kSlots;
          auto done = reading ? ours.context().run(read_one(ours.shard(), slot, buffer.data()))
                              : ours.context().run(write_one(ours.shard(), slot, buffer.data()));
          if (!done) die("an operation failed");
        });
      },
      {reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC", [&] {
         return rate_of(run.seconds, 1, [&] {
           const uint64_t slot = their_slot++ % kSlots;
           if (reading) {
             raw.read(slot, buffer.span());
           } else {
             raw.write(slot, buffer.view());
           }
         });
       }});
}

}  // namespace

void add_data_cases(std::vector<Case>& cases) {
  cases.push_back({"store.write.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, false); }});
  cases.push_back({"store.read.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, true); }});
}

}  // namespace cairn::bench
