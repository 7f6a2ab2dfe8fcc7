// store.write.1MiB, store.read.1MiB and array.*: array extents at the vos interface beside raw
// O_DIRECT I/O.
#include <algorithm>

#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/shard_side.h"
#include "media/device.h"
#include "runtime/random.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kMiB = 1u << 20;

/// A part of an array whose chunks of 1 MiB are dkeys.
struct Part {
  uint64_t offset;
  uint64_t bytes;  // inside one chunk
};

vos::ObjectPath array_object() { return {1, {9, uint64_t{13} << 56 | uint64_t{1} << 48}, 0}; }

model::Iod iod_of(Part part, std::byte* data) {
  return {as_bytes("0"),         model::ValueType::array, 1, 0, {{part.offset % kMiB, part.bytes}},
          {{data, part.bytes}}, false};
}

Task<Result<void>> write_part(vos::Shard& shard, Part part, std::byte* data) {
  const uint64_t dkey = part.offset / kMiB + 1;
  vos::UpdateRequest request{.object = array_object(), .dkey = view_of(&dkey, 8)};
  request.iods.push_back(iod_of(part, data));
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

Task<Result<void>> read_part(vos::Shard& shard, Part part, std::byte* data) {
  const uint64_t dkey = part.offset / kMiB + 1;
  vos::FetchRequest request{.object = array_object(), .dkey = view_of(&dkey, 8)};
  request.iods.push_back(iod_of(part, data));
  CO_TRY(done, co_await shard.fetch(request));
  co_return Result<void>{};
}

/// One kind of transfer, of ours and of the raw file's.
struct Shape {
  bool reading;
  uint64_t bytes;   // of one
  size_t depth;     // in flight
  bool random;      // else one slot after the other
  uint64_t array_bytes;
};

/// Both sides, filled, and what they transfer next.
struct Sides {
  Shape shape;
  ShardSide ours;
  RawFile raw;
  media::AlignedBuffer buffers;
  uint64_t slots;
  uint64_t our_slot = 0, their_slot = 0;
  SeededRandom random{1};
  double space_ratio_max = 0;
  std::vector<size_t> free_lanes;

  Sides(const std::string& directory, Shape s)
      : shape(s), ours(directory), raw(directory + "/raw", s.array_bytes / s.bytes, s.bytes),
        buffers(std::max(s.depth * s.bytes, kMiB)), slots(s.array_bytes / s.bytes) {
    std::byte* const b = buffers.data();
    for (size_t i = 0; i < buffers.size(); ++i) b[i] = static_cast<std::byte>(i * 31 + (i >> 9));
    // Overwrites take other blocks: a second and third time, and all that will be used was used.
    for (int laps = s.reading ? 1 : 3; laps > 0; --laps) {
      for (uint64_t at = 0; at < s.array_bytes; at += kMiB) {
        must_run(write_part(ours.shard(), {at, kMiB}, b));
      }
    }
    for (size_t i = 0; i < s.depth; ++i) free_lanes.push_back(i);
    raw.fill(b);  // so that no side pays for allocating blocks in the file system
  }
  void must_run(Task<Result<void>> task) {
    if (!ours.context().run(std::move(task))) die("an operation failed");
  }

  /// With a buffer that no other transfer under way has: readers check what is in theirs.
  Task<Result<void>> transfer_one() {
    const size_t lane = free_lanes.back();
    free_lanes.pop_back();
    std::byte* const data = buffers.data() + lane * shape.bytes;
    const Part part{next(our_slot) * shape.bytes, shape.bytes};
    const auto done = shape.reading ? co_await read_part(ours.shard(), part, data)
                                    : co_await write_part(ours.shard(), part, data);
    free_lanes.push_back(lane);
    co_return done;
  }

  uint64_t next(uint64_t& in_turn) {
    return shape.random ? random.below(slots) : in_turn++ % slots;
  }

  double our_rate(double seconds) {
    const size_t count = shape.depth == 1 ? 1 : shape.depth * 16;
    const double rate = rate_of(seconds, count, [&] {
      ours.run_many(count, shape.depth, [&](size_t) { return transfer_one(); });
      note_space();
    });
    return rate * unit();
  }
  double their_rate(double seconds) {
    const size_t count = shape.depth == 1 ? 1 : shape.depth * 16;
    const double rate = rate_of(seconds, count, [&] {
      raw.transfer({shape.reading, shape.depth, count}, [&] { return next(their_slot); },
                   buffers.data());
    });
    return rate * unit();
  }

 private:
  /// Large transfers are told in MiB.
  double unit() const {
    return shape.bytes < kMiB ? 1.0 : static_cast<double>(shape.bytes) / static_cast<double>(kMiB);
  }
  void note_space() {
    const media::SpaceUsage usage = ours.shard().store().stats().data;
    const auto taken = static_cast<double>((usage.total - usage.available()) * media::kBlockBytes);
    space_ratio_max = std::max(space_ratio_max, taken / static_cast<double>(shape.array_bytes));
  }
};

void data_case(Run& run, Shape shape) {
  if (run.smoke) shape.array_bytes = 16 * kMiB;
  Sides sides(run.directory, shape);
  const Extra requests = sides.ours.device_requests();
  run.compare([&] { return sides.our_rate(run.seconds); },
              {shape.reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC",
               [&] { return sides.their_rate(run.seconds); }},
              [&](double operations) {
                char text[60];
                std::snprintf(text, sizeof text, ", \"space_ratio_max\": %.3f",
                              sides.space_ratio_max);
                return requests(operations) + text;
              });
}

/// Many short pairs, because a disk's speed moves.
void paired_case(Run& run, const Shape& shape) {
  constexpr int kPairs = 21;
  const int rounds = std::exchange(run.rounds, std::max(run.rounds, kPairs));
  const double seconds = run.seconds;
  run.seconds = std::min(seconds, seconds * rounds / run.rounds);
  data_case(run, shape);
  run.rounds = rounds;
  run.seconds = seconds;
}

}  // namespace

void add_data_cases(std::vector<Case>& cases) {
  for (const bool reading : {false, true}) {
    const std::string what = reading ? "read" : "write";
    cases.push_back({"store." + what + ".1MiB.qd1", "MiB/s", [reading](Run& run) {
                       data_case(run, {reading, kMiB, 1, false, 512 * kMiB});
                     }});
    cases.push_back({"array." + what + ".1MiB.qd8", "MiB/s", [reading](Run& run) {
                       paired_case(run, {reading, kMiB, 8, false, 512 * kMiB});
                     }});
    cases.push_back({std::string("array.") + (reading ? "read" : "overwrite") + ".4KiB.qd32",
                     "op/s", [reading](Run& run) {
                       data_case(run, {reading, 4096, 32, true, 1024 * kMiB});
                     }});
  }
}

}  // namespace cairn::bench
