#include "bench/worm_side.h"

#include <algorithm>
#include <cstring>

#include "media/device.h"
#include "media/file_device.h"
#include "model/object_order.h"
#include "runtime/parallel.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kFlattenedAtOnce = 1024;

/// As libdfs makes them: a byte array (type 13) on one shard (class 1, one group), ids as a mount
/// gives them out.
vos::ObjectPath file_object(uint64_t number) {
  constexpr uint64_t kMount = 77;
  const uint64_t low = static_cast<uint32_t>((number + 1) * model::kIdStep);
  return {1, {kMount, uint64_t{13} << 56 | uint64_t{1} << 48 | uint64_t{1} << 32 | low}, 0};
}

/// Bytes that do not shrink, of which each file has others.
void put_content(uint64_t number, std::byte* into) {
  uint64_t word = number * 0x9E3779B97F4A7C15 + 1;
  for (uint64_t at = 0; at < kWormFileBytes; at += 8) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    std::memcpy(into + at, &word, 8);
  }
}

model::Iod file_iod(std::byte* data) {
  return {as_bytes("0"),         model::ValueType::array,  1,    0,
          {{0, kWormFileBytes}}, {{data, kWormFileBytes}}, false};
}

constexpr uint64_t kFirstChunk = 1;

Task<Result<void>> write_file(vos::Shard& shard, uint64_t number) {
  alignas(64) std::byte data[kWormFileBytes];
  put_content(number, data);
  vos::UpdateRequest request{.object = file_object(number), .dkey = view_of(&kFirstChunk, 8)};
  request.iods.push_back(file_iod(data));
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

ShardSizes sizes_of(uint64_t files) {
  ShardSizes sizes;
  const uint64_t payload = files * kWormFileBytes;
  // Both forms at once, and what flattening has freed and may not use again yet.
  sizes.data_bytes = round_up(3 * payload + (256u << 20), uint64_t{1} << 20);
  sizes.meta_bytes = round_up(files * 1024 + (128u << 20), uint64_t{1} << 20);
  return sizes;
}

}  // namespace

WormFiles::WormFiles(const std::string& directory, uint64_t files)
    : files_(files), side_(directory, sizes_of(files)) {}

void WormFiles::write(uint64_t first, uint64_t count, size_t depth) {
  side_.run_many(count, depth, [&](size_t i) { return write_file(side_.shard(), first + i); });
}

void WormFiles::write_all() {
  constexpr uint64_t kStep = 10'000;
  for (uint64_t i = 0; i < files_; i += kStep) write(i, std::min(kStep, files_ - i), 256);
}

void WormFiles::flatten(uint64_t first, uint64_t count) {
  for (uint64_t done = 0; done < count;) {
    const uint64_t some = std::min(kFlattenedAtOnce, count - done);
    std::vector<vos::ObjectPath> objects;
    for (uint64_t i = 0; i < some; ++i) objects.push_back(file_object(first + done + i));
    const auto flat = side_.context().run(side_.shard().flatten(std::move(objects), {}));
    if (!flat) die(std::string("flattening failed: ") + flat.error().what());
    for (const vos::Flattened& one : *flat) {
      if (one.outcome != vos::FlattenOutcome::flattened) {
        die(std::string("a file was not flattened: ") + vos::flatten_outcome_text(one.outcome));
      }
    }
    done += some;
  }
}

void WormFiles::flatten_all() { flatten(0, files_); }

void WormFiles::go_cold(uint64_t memory_bytes) { side_.reopen_within(memory_bytes); }

Task<Result<void>> WormFiles::read_some(uint64_t& left, uint64_t files, std::byte* into) {
  while (left != 0) {
    --left;
    const uint64_t number = random_.below(files);
    vos::FetchRequest request{.object = file_object(number), .dkey = view_of(&kFirstChunk, 8)};
    request.iods.push_back(file_iod(into));
    model::Fetched found;
    CO_TRY(at_once, side_.shard().fetch_at_once(request, found));
    if (!at_once) {
      CO_TRY(fetched, co_await side_.shard().fetch(request));
    }
    uint64_t word = number * 0x9E3779B97F4A7C15 + 1;
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    if (std::memcmp(into, &word, 8) != 0) die("a file has other bytes");
  }
  co_return Result<void>{};
}

void WormFiles::read_random(uint64_t count, size_t depth, uint64_t files) {
  media::AlignedBuffer buffers(depth * kWormFileBytes);
  side_.run_many(depth, depth, [&](size_t i) {
    return read_some(count, files, buffers.data() + i * kWormFileBytes);
  });
}

uint64_t WormFiles::data_bytes() const {
  const vos::ShardUsage usage = const_cast<ShardSide&>(side_).shard().usage();
  return usage.data_total - usage.data_free;
}

uint64_t WormFiles::index_bytes() const {
  return const_cast<ShardSide&>(side_).shard().usage().meta_used;
}

struct RawSpans::State {
  std::vector<DeviceSpan> spans;
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Context> context;
  std::unique_ptr<media::Device> device;
  SeededRandom random{2};

  Task<Result<void>> read_some(uint64_t& left, std::byte* into) {
    while (left != 0) {
      --left;
      const DeviceSpan& span = spans[random.below(spans.size())];
      CO_TRY(done, co_await device->read(span.offset, {into, span.bytes}));
    }
    co_return Result<void>{};
  }
};

RawSpans::RawSpans(const std::string& path, std::vector<DeviceSpan> spans)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.spans = std::move(spans);
  s.reactor =
      std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend(IoDrivers::one));
  s.context = std::make_unique<Context>(*s.reactor);
  auto opened = s.context->run(media::open_file_device(*s.reactor, path, {}));
  if (!opened) die("cannot open " + path + ": " + opened.error().what());
  s.device = std::move(*opened);
  const bool fit = std::all_of(s.spans.begin(), s.spans.end(),
                               [](const DeviceSpan& span) { return span.bytes <= kSpanBytesMax; });
  if (s.spans.empty() || !fit) die("no spans to read, or too large ones");
}

RawSpans::~RawSpans() = default;

void RawSpans::read_random(uint64_t count, size_t depth) {
  State& s = *state_;
  media::AlignedBuffer buffers(depth * kSpanBytesMax);
  std::vector<Task<Result<void>>> tasks;
  for (size_t i = 0; i < depth; ++i) {
    tasks.push_back(s.read_some(count, buffers.data() + i * kSpanBytesMax));
  }
  if (!s.context->run(run_all(*s.reactor, std::move(tasks), depth))) die("raw reads failed");
}

}  // namespace cairn::bench
