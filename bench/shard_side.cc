#include "bench/shard_side.h"

#include <algorithm>
#include <cstdio>

#include "bench/harness.h"
#include "media/file_device.h"
#include "runtime/parallel.h"

namespace cairn::bench {

ShardSide::ShardSide(const std::string& directory, uint64_t wal_bytes, uint64_t meta_bytes,
                     uint64_t data_bytes) {
  reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), *make_io_backend());
  context_ = std::make_unique<Context>(*reactor_);
  const auto device = [&](const char* name, uint64_t bytes, bool fill) {
    auto opened = context_->run(media::open_file_device(
        *reactor_, directory + "/" + name, {.create = true, .fill = fill, .bytes = bytes}));
    if (!opened) die(std::string("cannot make the shard's ") + name + ": " + opened.error().what());
    return std::make_unique<CountingDevice>(std::move(*opened));
  };
  wal_ = device("wal", wal_bytes, true);
  meta_ = device("meta", meta_bytes, false);
  data_ = device("data", data_bytes, false);
  auto shard =
      context_->run(vos::Shard::create(*reactor_, {wal_.get(), meta_.get(), data_.get()}, {}, {}));
  if (!shard) die(std::string("cannot make the shard: ") + shard.error().what());
  shard_ = std::move(*shard);
}

ShardSide::~ShardSide() {
  if (!context_->run(shard_->close())) die("the shard does not close");
}

void ShardSide::run_all_at_once(size_t count,
                                const std::function<Task<Result<void>>(size_t)>& make) {
  std::vector<Task<Result<void>>> tasks;
  tasks.reserve(count);
  for (size_t i = 0; i < count; ++i) tasks.push_back(make(i));
  auto done = context_->run(cairn::run_all(*reactor_, std::move(tasks), count));
  if (!done) die(std::string("an operation failed: ") + done.error().what());
}

Extra ShardSide::device_requests() {
  struct Totals {
    uint64_t log_writes, log_bytes, data_writes, data_reads, meta_writes, flushes;
  };
  const auto totals = [this]() -> Totals {
    const auto &w = wal_->counts(), &m = meta_->counts(), &d = data_->counts();
    return {w.writes + w.durable_writes, w.written_bytes,
            d.writes + d.durable_writes, d.reads,
            m.writes + m.durable_writes, w.flushes + m.flushes + d.flushes};
  };
  return [totals, before = totals()](double operations) -> std::string {
    const Totals now = totals();
    const auto each = [&](uint64_t after, uint64_t start) {
      return static_cast<double>(after - start) / std::max(1.0, operations);
    };
    char text[300];
    std::snprintf(text, sizeof text,
                  "\"log_writes_per_op\": %.4f, \"log_bytes_per_op\": %.0f, "
                  "\"data_writes_per_op\": %.4f, \"data_reads_per_op\": %.4f, "
                  "\"meta_writes_per_op\": %.4f, \"flushes\": %llu",
                  each(now.log_writes, before.log_writes), each(now.log_bytes, before.log_bytes),
                  each(now.data_writes, before.data_writes),
                  each(now.data_reads, before.data_reads),
                  each(now.meta_writes, before.meta_writes),
                  static_cast<unsigned long long>(now.flushes - before.flushes));
    return text;
  };
}

vos::ObjectPath ShardSide::object(uint64_t number) { return {1, {number, uint64_t{1} << 48}, 0}; }

}  // namespace cairn::bench
