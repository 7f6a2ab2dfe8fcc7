// store.update.64B.p999 and store.replay: what checkpoints and restarts cost.
#include <algorithm>

#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/store_values.h"

namespace cairn::bench {

namespace {

/// Latencies of one kind, in microseconds.
struct Latencies {
  std::vector<float> us;
  double at(double share) {
    if (us.empty()) return 0;
    const auto rank = static_cast<size_t>(share * static_cast<double>(us.size() - 1));
    std::nth_element(us.begin(), us.begin() + static_cast<ptrdiff_t>(rank), us.end());
    return us[rank];
  }
};

struct Stream {
  ShardSide side;
  Bytes value = Bytes(64, std::byte{7});
  uint64_t keys;
  SeededRandom random{1};
  Latencies beside, apart;  // with a checkpoint under way at the start or the end, and without

  Stream(const std::string& directory, const ShardSizes& sizes, uint64_t key_count)
      : side(directory, sizes), keys(key_count) {
    fill_values(side, keys, value);
  }
  bool checkpointing() { return side.shard().store().stats().checkpoint_running; }

  Task<Result<void>> one() {
    const bool before = checkpointing();
    const double begin = now_seconds();
    CO_TRY(done, co_await put_value(side.shard(), random.below(keys), value));
    const auto us = static_cast<float>((now_seconds() - begin) * 1e6);
    (before || checkpointing() ? beside : apart).us.push_back(us);
    co_return Result<void>{};
  }
};

/// 16 in flight. Lower is better.
void p999_case(Run& run) {
  constexpr size_t kDepth = 16;
  ShardSizes sizes;
  sizes.wal_bytes = 64u << 20;  // its fill decides when a checkpoint begins: many in a short time
  Stream stream(run.directory, sizes, run.smoke ? kSmokeKeys : update_keys(64));
  const double end = now_seconds() + run.seconds * (run.smoke ? 1 : 2 * run.rounds);
  while (now_seconds() < end) {
    stream.side.run_many(kDepth * 64, kDepth, [&](size_t) { return stream.one(); });
  }
  char extra[300];
  std::snprintf(extra, sizeof extra,
                "\"p50_us\": %.0f, \"peer_p50_us\": %.0f, \"updates_during_checkpoints\": %zu, "
                "\"updates\": %zu, \"checkpoints\": %llu",
                stream.beside.at(0.5), stream.apart.at(0.5), stream.beside.us.size(),
                stream.beside.us.size() + stream.apart.us.size(),
                static_cast<unsigned long long>(stream.side.shard().store().stats().checkpoints));
  run.report(stream.beside.at(0.999), "without.checkpoint", stream.apart.at(0.999), extra);
}

void replay_once(Run& run, const std::string& part, size_t value_bytes, uint64_t records) {
  ShardSizes sizes;
  sizes.checkpoints = false;
  const uint64_t keys = std::min<uint64_t>(records, run.smoke ? kSmokeKeys : 50'000);
  ShardSide side(run.directory, sizes);
  Bytes value(value_bytes, std::byte{7});
  fill_values(side, keys, value);
  if (!side.context().run(side.shard().checkpoint())) die("the checkpoint failed");
  SeededRandom random(1);
  for (uint64_t done = 0; done < records; done += 1'000) {
    side.run_many(1'000, 64,
                  [&](size_t) { return put_value(side.shard(), random.below(keys), value); });
  }
  side.abandon();
  side.reopen();
  const index::StoreStats stats = side.shard().store().stats();
  const double seconds = static_cast<double>(stats.replay_ns) * 1e-9;
  const double mib = static_cast<double>(stats.replayed_bytes) / (1u << 20);
  char extra[200];
  std::snprintf(extra, sizeof extra, "\"records\": %llu, \"log_mib\": %.1f, \"seconds\": %.3f",
                static_cast<unsigned long long>(stats.replayed_records), mib, seconds);
  if (value_bytes < 1024) {
    run.report_count(part, static_cast<double>(stats.replayed_records) / seconds, "records/s",
                     extra);
  } else {
    run.report_count(part, mib / seconds, "MiB/s", extra);
  }
}

}  // namespace

void add_store_time_cases(std::vector<Case>& cases) {
  cases.push_back({"store.update.64B.p999", "us", p999_case});
  cases.push_back({"store.replay", "records/s", [](Run& run) {
                     replay_once(run, "", 64, run.smoke ? 2'000 : 1'000'000);
                   }});
  cases.push_back({"store.replay.4KiB", "MiB/s", [](Run& run) {
                     replay_once(run, "", 4'000, run.smoke ? 2'000 : 100'000);
                   }});
}

}  // namespace cairn::bench
