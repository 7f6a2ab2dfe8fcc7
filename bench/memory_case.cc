// store.memory: what a shard takes of memory beyond its budget, when it has done a hundred times as
// much of everything that its tables could keep.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/store_values.h"
#include "index/budget.h"
#include "vos/sessions.h"

namespace cairn::bench {

namespace {

/// Bytes of this process in memory.
uint64_t resident_bytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  unsigned long long all = 0, resident = 0;
  if (file == nullptr || std::fscanf(file, "%llu %llu", &all, &resident) != 2) {
    die("cannot read /proc/self/statm");
  }
  std::fclose(file);
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Operations of all kinds on one shard. Few at once, so that their own memory stays small.
struct Mixture {
  static constexpr size_t kDepth = 16;
  static constexpr size_t kBlockBytes = 4096;
  static constexpr uint64_t kArrayBlocks = 100'000;

  ShardSide side;
  uint64_t keys;
  SeededRandom random{1};
  Bytes value = Bytes(1'000, std::byte{7});
  Bytes block = Bytes(kBlockBytes, std::byte{7});
  Bytes into = Bytes(1'000);
  uint64_t sequence = 0;

  Mixture(const std::string& directory, const ShardSizes& sizes, uint64_t key_count)
      : side(directory, sizes), keys(key_count) {}

  vos::Shard& shard() { return side.shard(); }

  void fill() {
    constexpr size_t kWriters = 64;
    for (uint64_t first = 0; first < keys; first += 1'024) {
      side.run_many(kWriters, kWriters, [&](size_t i) { return put_run(first + i * 16, 16); });
    }
  }
  Task<Result<void>> put_run(uint64_t first, uint64_t count) {
    for (uint64_t i = first; i < first + count; ++i) {
      CO_TRY(done, co_await put_value(shard(), i, value));
    }
    co_return Result<void>{};
  }

  void step() {
    side.run_many(kDepth, kDepth, [&](size_t) { return some(32); });
  }
  Task<Result<void>> some(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      CO_TRY(done, co_await one());
    }
    co_return Result<void>{};
  }
  Task<Result<void>> one() {
    switch (random.below(6)) {
      case 0:
      case 1:
        return put_value(shard(), random.below(keys), value);
      case 2:
        return get_values(shard(), random, keys, into, 1);
      case 3:
        return read_in_transaction();
      case 4:
        return overwrite_block();
      default:
        return random.below(16) == 0 ? list_some() : put_of_session();
    }
  }

  /// Leaves a read timestamp.
  Task<Result<void>> read_in_transaction() {
    const std::string dkey = key_text(random.below(keys));
    vos::FetchRequest request{.object = ShardSide::object(1), .dkey = as_bytes(dkey)};
    request.epoch = 0;
    request.transactional = true;
    request.iods.push_back(value_iod(into));
    const auto done = co_await shard().fetch(request);
    if (!done && done.error().code() != Errc::tx_restart &&
        done.error().code() != Errc::in_progress) {
      co_return fail(done.error());
    }
    co_return Result<void>{};
  }
  /// Frees the block that was there.
  Task<Result<void>> overwrite_block() {
    vos::UpdateRequest request{.object = ShardSide::object(2), .dkey = as_bytes("array")};
    model::Iod iod{as_bytes("a"), model::ValueType::array, kBlockBytes, 0, {},
                   {{block.data(), block.size()}}, false};
    iod.recxs.push_back({random.below(kArrayBlocks), 1});
    request.iods.push_back(std::move(iod));
    CO_TRY(done, co_await shard().update(request));
    co_return Result<void>{};
  }
  /// One of as many sessions as there may be.
  Task<Result<void>> put_of_session() {
    const uint64_t number = ++sequence;
    const std::string dkey = key_text(random.below(keys));
    vos::UpdateRequest request{.object = ShardSide::object(1), .dkey = as_bytes(dkey)};
    request.origin = {.session = 1 + number % vos::kSessionsMax,
                      .sequence = 1 + number / vos::kSessionsMax,
                      .acknowledged_below = 0};
    request.iods.push_back(value_iod(value));
    CO_TRY(done, co_await shard().update(request));
    co_return Result<void>{};
  }
  Task<Result<void>> list_some() {
    const std::string from = key_text(random.below(keys));
    model::ListRequest request;
    request.count_max = 100;
    request.bytes_max = 100 * kKeyBytes;
    CO_TRY(position, shard().position_of(ShardSide::object(1), request.what, as_bytes(from)));
    request.position = std::move(position);
    CO_TRY(found, co_await shard().list(ShardSide::object(1), request));
    co_return Result<void>{};
  }
  /// Of transaction `number`; it stays unresolved.
  Task<Result<void>> prepare(uint64_t number) {
    const std::string dkey = key_text(number);
    vos::UpdateRequest update{.object = ShardSide::object(3), .dkey = as_bytes(dkey)};
    update.iods.push_back(value_iod(value));
    vos::TransactRequest request;
    request.ops.emplace_back(std::move(update));
    CO_TRY(done, co_await shard().prepare({1, number + 1}, request));
    if (done.status != Errc::ok) co_return fail(done.status, "a transaction is not prepared");
    co_return Result<void>{};
  }
  Task<Result<void>> commit(uint64_t number) { return shard().commit({1, number + 1}); }
  void open_sessions() {
    for (uint64_t i = 1; i <= vos::kSessionsMax; ++i) shard().open_session(i);
  }
};

void memory_case(Run& run) {
  ShardSizes sizes;
  sizes.memory_bytes = run.smoke ? index::kMemoryBytesMin : 64u << 20;
  if (run.smoke) sizes.wal_bytes = 32u << 20;
  sizes.meta_bytes = 2ull << 30;
  const uint64_t work = sizes.memory_bytes * (run.smoke ? 2 : 100);
  const uint64_t transactions = run.smoke ? 64 : vos::kTxUnresolvedMax;
  // Ten times the budget, when each takes a little over 1,000 bytes.
  const uint64_t keys = sizes.memory_bytes * (run.smoke ? 1 : 10) / 1'100 / 1'024 * 1'024;
  malloc_trim(0);  // what other cases gave back
  Mixture mixture(run.directory, sizes, keys);
  const uint64_t empty = resident_bytes();
  uint64_t highest = empty;
  const auto look = [&] { highest = std::max(highest, resident_bytes()); };

  mixture.open_sessions();
  mixture.fill();
  mixture.side.run_many(transactions, Mixture::kDepth,
                        [&](size_t i) { return mixture.prepare(i); });
  look();
  uint64_t operations = 0;
  for (; mixture.side.bytes_moved() < work; operations += Mixture::kDepth * 32) {
    mixture.step();
    look();
  }
  mixture.side.run_many(transactions, Mixture::kDepth,
                        [&](size_t i) { return mixture.commit(i); });
  look();
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1u << 20); };
  const struct mallinfo2 heap = mallinfo2();
  const index::StoreStats stats = mixture.side.shard().store().stats();
  char extra[320];
  std::snprintf(extra, sizeof extra,
                "\"budget_mib\": %.1f, \"resident_mib\": %.1f, \"empty_mib\": %.1f, "
                "\"heap_in_use_mib\": %.1f, \"heap_free_mib\": %.1f, "
                "\"metadata_mib\": %.1f, \"moved_mib\": %.0f, \"operations\": %llu, "
                "\"transactions\": %llu, \"checkpoints\": %llu",
                mib(sizes.memory_bytes), mib(highest), mib(empty),
                mib(heap.uordblks + heap.hblkhd), mib(heap.fordblks), mib(stats.page_bytes),
                mib(mixture.side.bytes_moved()), static_cast<unsigned long long>(operations),
                static_cast<unsigned long long>(transactions),
                static_cast<unsigned long long>(stats.checkpoints));
  const double over = static_cast<double>(highest - empty) /
                          static_cast<double>(sizes.memory_bytes) - 1;
  run.report_count("", over * 100, run.unit, extra);
}

}  // namespace

void add_memory_case(std::vector<Case>& cases) {
  cases.push_back({"store.memory", "percent over", memory_case});
}

}  // namespace cairn::bench
