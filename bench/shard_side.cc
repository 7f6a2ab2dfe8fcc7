#include "bench/shard_side.h"

#include <algorithm>
#include <cstdio>

#include "bench/harness.h"
#include "media/file_device.h"
#include "runtime/parallel.h"

namespace cairn::bench {

namespace {

vos::ShardOptions options_of(const ShardSizes& sizes) {
  vos::ShardOptions options;
  options.store.memory_bytes = sizes.memory_bytes;
  options.store.checkpoints = sizes.checkpoints;
  return options;
}

}  // namespace

ShardSide::ShardSide(const std::string& directory, ShardSizes sizes)
    : directory_(directory), sizes_(std::move(sizes)) {
  if (sizes_.wal_directory.empty()) sizes_.wal_directory = directory;
  open_devices(true);
  auto shard = context_->run(vos::Shard::create(*reactor_, {wal_.get(), meta_.get(), data_.get()},
                                                {}, options_of(sizes_)));
  if (!shard) die(std::string("cannot make the shard: ") + shard.error().what());
  shard_ = std::move(*shard);
}

void ShardSide::open_devices(bool create) {
  reactor_ =
      std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend(IoDrivers::one));
  context_ = std::make_unique<Context>(*reactor_);
  const auto device = [&](const std::string& path, uint64_t bytes, bool fill) {
    media::FileDeviceOptions options;
    if (create) options = {.create = true, .fill = fill, .bytes = bytes};
    auto opened = context_->run(media::open_file_device(*reactor_, path, options));
    if (!opened) die("cannot open " + path + ": " + opened.error().what());
    return std::make_unique<CountingDevice>(std::move(*opened));
  };
  wal_ = device(sizes_.wal_directory + "/wal", sizes_.wal_bytes, true);
  meta_ = device(directory_ + "/meta", sizes_.meta_bytes, false);
  data_ = device(directory_ + "/data", sizes_.data_bytes, false);
}

void ShardSide::abandon() {
  context_.reset();
  reactor_.reset();  // with the frames of its tasks, which refer to the shard
  shard_.reset();
}

void ShardSide::reopen() {
  open_devices(false);
  auto shard = context_->run(vos::Shard::open(*reactor_, {wal_.get(), meta_.get(), data_.get()}, {},
                                              options_of(sizes_)));
  if (!shard) die(std::string("the shard does not open: ") + shard.error().what());
  shard_ = std::move(*shard);
}

void ShardSide::reopen_within(uint64_t memory_bytes) {
  if (!context_->run(shard_->checkpoint())) die("the checkpoint failed");
  sizes_.memory_bytes = memory_bytes;
  abandon();
  reopen();
}

uint64_t ShardSide::bytes_moved() const {
  uint64_t sum = 0;
  for (const auto* device : {wal_.get(), meta_.get(), data_.get()}) {
    sum += device->counts().read_bytes + device->counts().written_bytes;
  }
  return sum;
}

ShardSide::~ShardSide() {
  if (shard_ && !context_->run(shard_->close())) die("the shard does not close");
}

void ShardSide::run_many(size_t count, size_t depth,
                         const std::function<Task<Result<void>>(size_t)>& make) {
  std::vector<Task<Result<void>>> tasks;
  tasks.reserve(count);
  for (size_t i = 0; i < count; ++i) tasks.push_back(make(i));
  auto done = context_->run(cairn::run_all(*reactor_, std::move(tasks), depth));
  if (!done) die(std::string("an operation failed: ") + done.error().what());
}

Extra ShardSide::device_requests() {
  struct Totals {
    uint64_t log_writes, log_bytes, data_writes, data_reads, meta_writes, meta_bytes, flushes;
  };
  const auto totals = [this]() -> Totals {
    const auto &w = wal_->counts(), &m = meta_->counts(), &d = data_->counts();
    return {w.writes + w.durable_writes, w.written_bytes,
            d.writes + d.durable_writes, d.reads,
            m.writes + m.durable_writes, m.written_bytes, w.flushes + m.flushes + d.flushes};
  };
  return [totals, before = totals()](double operations) -> std::string {
    const Totals now = totals();
    const auto each = [&](uint64_t after, uint64_t start) {
      return static_cast<double>(after - start) / std::max(1.0, operations);
    };
    char text[400];
    std::snprintf(text, sizeof text,
                  "\"log_writes_per_op\": %.4f, \"log_bytes_per_op\": %.0f, "
                  "\"data_writes_per_op\": %.4f, \"data_reads_per_op\": %.4f, "
                  "\"meta_writes_per_op\": %.4f, \"checkpoint_bytes_per_op\": %.0f, "
                  "\"flushes\": %llu",
                  each(now.log_writes, before.log_writes), each(now.log_bytes, before.log_bytes),
                  each(now.data_writes, before.data_writes),
                  each(now.data_reads, before.data_reads),
                  each(now.meta_writes, before.meta_writes),
                  each(now.meta_bytes, before.meta_bytes),
                  static_cast<unsigned long long>(now.flushes - before.flushes));
    return text;
  };
}

vos::ObjectPath ShardSide::object(uint64_t number) { return {1, {number, uint64_t{1} << 48}, 0}; }

}  // namespace cairn::bench
