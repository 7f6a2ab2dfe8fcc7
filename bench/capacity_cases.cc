// store.{fetch,update}.64B.oom10, store.list.*, store.memory, store.open and store.stat.1e7: much
// metadata, and less memory than it takes.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/store_values.h"
#include "index/budget.h"

namespace cairn::bench {

namespace {

/// Of the cases with ten times the budget; in a smoke run twice the smallest budget or more.
constexpr uint64_t kManyKeys = 2'000'000, kSmokeManyKeys = 100'000;

uint64_t many_keys(const Run& run) { return run.smoke ? kSmokeManyKeys : kManyKeys; }

ShardSizes sizes_of(const Run& run) {
  ShardSizes sizes;
  if (run.smoke) sizes.wal_bytes = 32u << 20;  // it is written when it is made
  return sizes;
}

double seconds_of(const std::function<void()>& work) {
  const double begin = now_seconds();
  work();
  return now_seconds() - begin;
}

/// A shard of values of 64 B with a tenth of its metadata in memory.
struct Crowded {
  static constexpr size_t kValueBytes = 64;

  ShardSide side;
  Bytes value = Bytes(kValueBytes, std::byte{7});
  std::vector<Bytes> buffers;  // one for each fetch in flight
  uint64_t keys;
  uint64_t page_bytes = 0;
  uint64_t memory_bytes = 0;
  SeededRandom random{1};

  explicit Crowded(const Run& run) : side(run.directory, sizes_of(run)), keys(many_keys(run)) {
    fill_values(side, keys, value);
    page_bytes = side.shard().store().stats().page_bytes;
    memory_bytes = std::max(index::kMemoryBytesMin, page_bytes / 10);
    side.reopen_within(memory_bytes);
  }

  /// Until so many are done by all together: none waits for a slow one.
  Task<Result<void>> fetch_some(uint64_t& left, Bytes& into) {
    while (left != 0) {
      --left;
      CO_TRY(done, co_await get_values(side.shard(), random, keys, into, 1));
    }
    co_return Result<void>{};
  }
  void fetch(uint64_t count, size_t depth) {
    buffers.resize(std::max(buffers.size(), depth), value);
    side.run_many(depth, depth, [&](size_t i) { return fetch_some(count, buffers[i]); });
  }
  void update(size_t count, size_t depth) {
    side.run_many(count, depth,
                  [&](size_t) { return put_value(side.shard(), random.below(keys), value); });
  }
  std::string members() const {
    char text[160];
    std::snprintf(text, sizeof text, "\"budget_mib\": %.1f, \"metadata_over_budget\": %.1f",
                  static_cast<double>(memory_bytes) / (1u << 20),
                  static_cast<double>(page_bytes) / static_cast<double>(memory_bytes));
    return text;
  }
};

void fetch_oom_case(Run& run) {
  constexpr size_t kDepth = 32;
  constexpr uint64_t kStep = 64 * kDepth;
  Crowded ours(run);
  const uint64_t slots = ours.page_bytes / index::kPageBytes;
  RawFile raw(run.directory + "/raw", slots, index::kPageBytes);
  media::AlignedBuffer buffers(kDepth * index::kPageBytes);
  std::fill_n(buffers.data(), kDepth * index::kPageBytes, std::byte{7});
  raw.fill(buffers.data());
  SeededRandom random(2);
  const uint64_t warm = run.smoke ? kStep : 10 * kStep;
  ours.fetch(warm, kDepth);

  double reads_per_fetch = 1;  // of the last round
  const Side fetches = [&] {
    const uint64_t before = ours.side.pages_read();
    uint64_t done = 0;
    const double rate = rate_of(run.seconds, kStep, [&] {
      ours.fetch(kStep, kDepth);
      done += kStep;
    });
    reads_per_fetch = static_cast<double>(ours.side.pages_read() - before) /
                      static_cast<double>(done);
    return rate;
  };
  // So many fetches could be served if each took only its reads.
  std::vector<Peer> peers;
  peers.push_back({"raw.read.16KiB.O_DIRECT.qd32.misses", [&] {
                     const double rate = rate_of(run.seconds, kStep, [&] {
                       raw.transfer({true, kDepth, kStep}, [&] { return random.below(slots); },
                                    buffers.data());
                     });
                     return rate / std::max(reads_per_fetch, 1e-3);
                   }});
  std::unique_ptr<CapacityPeer> rocks;
  if (kHaveRocksdb) {
    rocks = make_rocksdb_capacity(run.directory + "/rocksdb",
                                  {ours.keys, Crowded::kValueBytes, ours.memory_bytes});
    rocks->get_rate(run.smoke ? 0.01 : 2, kDepth);
    for (const size_t threads : {size_t{1}, kDepth}) {
      peers.push_back({"rocksdb" + std::to_string(threads),
                       [&, threads] { return rocks->get_rate(run.seconds, threads); }});
    }
  }
  const Extra requests = ours.side.device_requests();
  run.compare_all(fetches, peers, [&](double operations) {
    char text[80];
    std::snprintf(text, sizeof text, "\"page_reads_per_fetch\": %.3f, ", reads_per_fetch);
    return text + ours.members() + ", " + requests(operations);
  });
}

void update_oom_case(Run& run) {
  constexpr size_t kDepth = 64;
  Crowded ours(run);
  auto rocks = make_rocksdb_capacity(run.directory + "/rocksdb",
                                     {ours.keys, Crowded::kValueBytes, ours.memory_bytes});
  // Both have overwritten three times the budget, in keys and values, when it begins.
  const uint64_t overwritten = run.smoke ? 1u << 20 : 3 * ours.memory_bytes;
  rocks->overwrite(overwritten);
  rocks->settle();
  const uint64_t updates = overwritten / (peer_key(0).size() + Crowded::kValueBytes);
  for (uint64_t done = 0; done < updates; done += kDepth * 32) ours.update(kDepth * 32, kDepth);

  const auto rocksdb = [&](bool get_first) {
    return rate_of(run.seconds, kDepth, [&] { rocks->put(kDepth, get_first); });
  };
  const uint64_t pages_before = ours.side.pages_read();
  const Extra requests = ours.side.device_requests();
  run.compare_all(
      [&] {
        return rate_of(run.seconds, kDepth * 16, [&] { ours.update(kDepth * 16, kDepth); });
      },
      {{"rocksdb.get+put.sync.batch64", [&] { return rocksdb(true); }, [&] { rocks->settle(); }},
       {"rocksdb.blind.sync.batch64", [&] { return rocksdb(false); }, [&] { rocks->settle(); }}},
      [&](double operations) {
        char text[80];
        std::snprintf(text, sizeof text, "\"page_reads_per_update\": %.3f, ",
                      static_cast<double>(ours.side.pages_read() - pages_before) / operations);
        return text + ours.members() + ", " + requests(operations);
      });
}

/// Goes over an object's dkeys, from the start again behind the last one.
struct DkeyList {
  vos::Shard& shard;
  vos::ObjectPath object;
  Bytes position;
  uint64_t listed = 0;
  bool eof = false;

  Task<Result<void>> next(uint32_t count) {
    model::ListRequest request;
    request.count_max = count;
    request.bytes_max = uint64_t{count} * kKeyBytes;
    request.position = std::move(position);
    CO_TRY(found, co_await shard.list(object, request));
    listed += found.lengths.size();
    eof = found.eof;
    position = eof ? Bytes{} : std::move(found.position);
    co_return Result<void>{};
  }
};

void list_case(Run& run) {
  constexpr uint32_t kStep = 1'000;
  const uint64_t keys = run.smoke ? kSmokeKeys : 1'000'000;
  ShardSide ours(run.directory, sizes_of(run));
  Bytes value(64, std::byte{7});
  fill_values(ours, keys, value);
  auto lmdb = make_lmdb_list(run.directory + "/lmdb", keys, value.size());
  DkeyList list{ours.shard(), ShardSide::object(1), {}};
  const auto step = [&] {
    if (!ours.context().run(list.next(kStep))) die("a listing failed");
  };
  do step();
  while (!list.eof);
  if (list.listed != keys) die("a listing does not give every dkey");
  lmdb->list(keys + 1);
  run.compare([&] { return rate_of(run.seconds, kStep, step); },
              {"lmdb.cursor",
               [&] { return rate_of(run.seconds, kStep, [&] { lmdb->list(kStep); }); }},
              ours.device_requests());
}

/// An object as an array file has it: integer dkeys, each with one akey of many small extents that
/// do not touch.
struct WideObject {
  static constexpr uint64_t kExtentBytes = 8, kStride = 16, kExtentsPerUpdate = 500;
  static constexpr uint8_t kIntegerDkeys = 13;

  ShardSide& side;
  uint64_t dkeys;
  uint64_t extents;  // of each dkey
  vos::ObjectPath path{1, {1, uint64_t{kIntegerDkeys} << 56 | uint64_t{1} << 48}, 0};
  Bytes data = Bytes(kExtentBytes * kExtentsPerUpdate, std::byte{7});

  Task<Result<void>> put(uint64_t dkey, uint64_t first) {
    std::byte key[8];
    store_le64(key, dkey);
    vos::UpdateRequest request{.object = path, .dkey = key};
    const uint64_t count = std::min(kExtentsPerUpdate, extents - first);
    model::Iod iod{as_bytes("0"), model::ValueType::array, 1,
                   0, {}, {{data.data(), kExtentBytes * count}}, false};
    for (uint64_t i = 0; i < count; ++i) {
      iod.recxs.push_back({(first + i) * kStride, kExtentBytes});
    }
    request.iods.push_back(std::move(iod));
    CO_TRY(done, co_await side.shard().update(request));
    co_return Result<void>{};
  }
  Task<Result<void>> fill_dkey(uint64_t dkey) {
    for (uint64_t first = 0; first < extents; first += kExtentsPerUpdate) {
      CO_TRY(done, co_await put(dkey, first));
    }
    co_return Result<void>{};
  }
  double fill() {
    return seconds_of([&] {
      side.run_many(dkeys, 8, [&](size_t i) { return fill_dkey(i); });
      if (!side.context().run(side.shard().checkpoint())) die("the checkpoint failed");
    });
  }

  Task<Result<void>> fetch_size() {
    std::byte key[8];
    store_le64(key, dkeys / 2);
    vos::FetchRequest request{.object = path, .dkey = key};
    model::Iod iod{as_bytes("0"), model::ValueType::array, 1, 0, {}, {}, true};
    iod.recxs.push_back({extents / 2 * kStride, kExtentBytes});
    request.iods.push_back(std::move(iod));
    CO_TRY(found, co_await side.shard().fetch(request));
    if (found.iods[0].record_bytes != 1) die("a fetch found nothing");
    co_return Result<void>{};
  }
  Task<Result<void>> last_extent() {
    model::QueryKeyRequest request;
    request.want_dkey = request.want_recx = true;
    request.akey_bytes = as_bytes("0");
    CO_TRY(found, co_await side.shard().query_key(path, request));
    if (found.dkey != dkeys - 1) die("a query found the wrong dkey");
    if (found.recx.index != (extents - 1) * kStride) die("a query found the wrong extent");
    co_return Result<void>{};
  }
  Task<Result<void>> newest_epoch() {
    CO_TRY(epoch, co_await side.shard().max_epoch(path));
    if (epoch == 0) die("the object has no epoch");
    co_return Result<void>{};
  }
};

/// CAIRN_BENCH_RECORDS, or what an object of 1,000 dkeys has.
uint64_t wide_extents(const Run& run) {
  if (run.smoke) return 500;
  const char* const records = std::getenv("CAIRN_BENCH_RECORDS");
  if (records == nullptr) return 10'000;
  return std::max<uint64_t>(1, std::strtoull(records, nullptr, 10) / 1'000);
}
ShardSizes wide_sizes(const Run& run) {
  ShardSizes sizes = sizes_of(run);
  if (run.smoke) return sizes;
  sizes.meta_bytes = 4ull << 30;
  sizes.memory_bytes = 2ull << 30;
  return sizes;
}
uint64_t wide_dkeys(const Run& run) { return run.smoke ? 20 : 1'000; }

void skip_case(Run& run) {
  ShardSide side(run.directory, wide_sizes(run));
  WideObject object{side, wide_dkeys(run), wide_extents(run)};
  const double fill_seconds = object.fill();
  DkeyList list{side.shard(), object.path, {}};
  const auto pass = [&] {
    list.listed = 0;
    do {
      if (!side.context().run(list.next(100))) die("a listing failed");
    } while (!list.eof);
    if (list.listed != object.dkeys) die("a listing does not give every dkey");
  };
  pass();
  const uint64_t pages_before = side.pages_read();
  std::vector<double> us;
  for (int round = 0; round < (run.smoke ? 1 : 10 * run.rounds); ++round) {
    us.push_back(seconds_of(pass) * 1e6 / static_cast<double>(object.dkeys));
  }
  std::sort(us.begin(), us.end());
  char extra[240];
  std::snprintf(extra, sizeof extra,
                "\"dkeys\": %llu, \"records_each\": %llu, \"us_min\": %.2f, \"us_max\": %.2f, "
                "\"pages_read\": %llu, \"fill_seconds\": %.1f",
                static_cast<unsigned long long>(object.dkeys),
                static_cast<unsigned long long>(object.extents), us.front(), us.back(),
                static_cast<unsigned long long>(side.pages_read() - pages_before), fill_seconds);
  run.report_count("", us[us.size() / 2], run.unit, extra);
}

/// Pages on the way from the root to a leaf, counted by loading them.
Task<Result<uint64_t>> tree_height(index::Store& store) {
  CO_TRY(evicted, co_await store.evict_all());
  index::Store::Attempt attempt(store);
  const std::byte key[1] = {};
  for (uint64_t height = 0;; ++height) {
    const auto found = store.tree().get(key);
    if (found) co_return height;
    if (found.error().code() != Errc::page_absent) co_return fail(found.error());
    CO_TRY(loaded, co_await store.load_absent(attempt));
  }
}

void stat_case(Run& run) {
  ShardSide side(run.directory, wide_sizes(run));
  WideObject object{side, wide_dkeys(run), wide_extents(run)};
  const double fill_seconds = object.fill();
  const auto pages = side.shard().store().stats().page_bytes;
  const uint64_t memory = std::max(index::kMemoryBytesMin, pages / 10);
  side.reopen_within(memory);
  const auto height = side.context().run(tree_height(side.shard().store()));
  if (!height) die("the tree cannot be read");
  const auto reads_of = [&](const std::function<void()>& work) {
    // Opening has read some, too.
    if (!side.context().run(side.shard().store().evict_all())) die("the pages do not go");
    const uint64_t before = side.pages_read();
    work();
    return side.pages_read() - before;
  };
  const auto doing = [&](auto member) {
    return [&side, &object, member] {
      if (!side.context().run((object.*member)())) die("a query failed");
    };
  };
  const std::array<std::function<void()>, 3> parts = {
      doing(&WideObject::fetch_size), doing(&WideObject::last_extent),
      doing(&WideObject::newest_epoch)};
  std::array<uint64_t, 3> alone{};
  for (size_t i = 0; i < parts.size(); ++i) alone[i] = reads_of(parts[i]);
  const uint64_t together = reads_of([&] {
    for (const auto& part : parts) part();
  });
  char extra[320];
  std::snprintf(extra, sizeof extra,
                "\"tree_height\": %llu, \"records\": %llu, \"fetch_size_pages\": %llu, "
                "\"last_extent_pages\": %llu, \"newest_epoch_pages\": %llu, "
                "\"pages\": %llu, \"fill_seconds\": %.1f",
                static_cast<unsigned long long>(*height),
                static_cast<unsigned long long>(object.dkeys * object.extents),
                static_cast<unsigned long long>(alone[0]),
                static_cast<unsigned long long>(alone[1]),
                static_cast<unsigned long long>(alone[2]),
                static_cast<unsigned long long>(pages / index::kPageBytes), fill_seconds);
  run.report_count("", static_cast<double>(together), run.unit, extra);
}

/// After 10^6 updates of a shard with ten times the budget.
void open_case(Run& run) {
  constexpr size_t kDepth = 64;
  Crowded ours(run);
  const uint64_t updates = run.smoke ? 2'048 : 1'000'000;
  const double update_seconds = seconds_of([&] {
    for (uint64_t done = 0; done < updates; done += kDepth * 32) ours.update(kDepth * 32, kDepth);
  });
  const uint64_t checkpoints = ours.side.shard().store().stats().checkpoints;
  ours.side.abandon();
  const double seconds = seconds_of([&] { ours.side.reopen(); });
  const index::StoreStats stats = ours.side.shard().store().stats();
  char extra[320];
  std::snprintf(extra, sizeof extra,
                "\"replay_seconds\": %.3f, \"replayed_records\": %llu, \"replayed_mib\": %.1f, "
                "\"pages_read\": %llu, \"checkpoints_before\": %llu, \"update_seconds\": %.1f, ",
                static_cast<double>(stats.replay_ns) * 1e-9,
                static_cast<unsigned long long>(stats.replayed_records),
                static_cast<double>(stats.replayed_bytes) / (1u << 20),
                static_cast<unsigned long long>(ours.side.pages_read()),
                static_cast<unsigned long long>(checkpoints), update_seconds);
  run.report_count("", seconds, run.unit, extra + ours.members());
}

}  // namespace

void add_capacity_cases(std::vector<Case>& cases) {
  cases.push_back({"store.fetch.64B.oom10", "op/s", fetch_oom_case});
  if (kHaveRocksdb) cases.push_back({"store.update.64B.oom10", "op/s", update_oom_case});
  if (kHaveLmdb) cases.push_back({"store.list.dkey.warm", "keys/s", list_case});
  cases.push_back({"store.list.dkey.skip", "us/dkey", skip_case});
  cases.push_back({"store.open", "s", open_case});
  cases.push_back({"store.stat.1e7", "page reads", stat_case});
}

}  // namespace cairn::bench
