// store.update.* and store.fetch.*: single values at the vos interface beside RocksDB, LMDB and raw
// writes of the device.
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/shard_side.h"
#include "bench/store_values.h"
#include "media/wal_format.h"

namespace cairn::bench {

model::Iod value_iod(ByteSpan value) {
  return {as_bytes("a"), model::ValueType::single,      value.size(), 0, {},
          {{value.data(), value.size()}}, false};
}

Task<Result<void>> put_value(vos::Shard& shard, uint64_t number, Bytes& value) {
  const std::string dkey = key_text(number);
  vos::UpdateRequest request{.object = ShardSide::object(1), .dkey = as_bytes(dkey)};
  request.iods.push_back(value_iod(value));
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

void fill_values(ShardSide& side, uint64_t keys, Bytes& value) {
  constexpr uint64_t kStep = 5'000;
  for (uint64_t i = 0; i < keys; i += kStep) {
    const uint64_t count = std::min(kStep, keys - i);
    side.run_many(count, 256, [&](size_t k) { return put_value(side.shard(), i + k, value); });
  }
}

Task<Result<void>> get_values(vos::Shard& shard, SeededRandom& random, uint64_t keys, Bytes& value,
                              uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string dkey = key_text(random.below(keys));
    vos::FetchRequest request{.object = ShardSide::object(1), .dkey = as_bytes(dkey)};
    request.iods.push_back(value_iod(value));
    // As an engine does it.
    model::Fetched found;
    CO_TRY(at_once, shard.fetch_at_once(request, found));
    if (!at_once) {
      CO_TRY(fetched, co_await shard.fetch(request));
      found = std::move(fetched);
    }
    if (found.iods[0].record_bytes != value.size()) die("a fetch found nothing");
  }
  co_return Result<void>{};
}

namespace {

/// Ours of an update case: a shard that holds `keys` values, and updates of random ones.
struct Updates {
  ShardSide side;
  Bytes value;
  uint64_t keys;
  SeededRandom random{1};

  Updates(const std::string& directory, const ShardSizes& sizes, size_t value_bytes,
          uint64_t key_count)
      : side(directory, sizes), value(value_bytes, std::byte{7}), keys(key_count) {
    fill_values(side, keys, value);
  }

  double rate(double seconds, size_t in_flight) {
    const size_t count = in_flight * 32;
    return rate_of(seconds, count, [&] {
      side.run_many(count, in_flight,
                    [&](size_t) { return put_value(side.shard(), random.below(keys), value); });
    });
  }

  /// Bytes that one update takes in the log.
  uint64_t log_bytes() {
    side.run_many(1, 1, [&](size_t) { return put_value(side.shard(), 0, value); });
    return side.shard().store().appended() % media::kWalBlockBytes - sizeof(media::WalHeader);
  }
};

/// Overwrites of a preallocated file with RWF_DSYNC, a few at once.
struct RawWrites {
  RawFile file;
  media::AlignedBuffer buffers;
  uint64_t slots;
  uint64_t at = 0;

  static constexpr size_t kDepthMax = 4;
  RawWrites(const std::string& path, uint64_t bytes, bool smoke)
      : file(path, smoke ? 16 : 4'096, bytes),
        buffers(kDepthMax * bytes),
        slots(smoke ? 16 : 4'096) {
    file.fill(buffers.data());
  }
  double rate(double seconds, size_t depth) {
    constexpr uint64_t kStep = 64;
    return rate_of(seconds, kStep, [&] {
      file.transfer({false, depth, kStep}, [&] { return at++ % slots; }, buffers.data());
    });
  }
};

void update_case(Run& run, size_t value_bytes, size_t in_flight) {
  const uint64_t keys = run.smoke ? kSmokeKeys : update_keys(value_bytes);
  Updates ours(run.directory, {}, value_bytes, keys);
  const uint64_t log_bytes = ours.log_bytes();
  auto rocks = make_rocksdb_updates(run.directory + "/rocksdb", {value_bytes, keys});
  std::vector<std::unique_ptr<RawWrites>> raws;
  std::vector<Peer> peers;
  const Peer rocksdb{"rocksdb.sync.batch" + std::to_string(in_flight), [&] {
                       return rate_of(run.seconds, in_flight, [&] { rocks->put(in_flight); });
                     }};
  const double seconds = run.seconds / 4;
  const auto add_raw = [&](uint64_t bytes, size_t depth, uint64_t updates_per_write) {
    peers.push_back({"raw." + std::to_string(bytes >> 10) + "KiB.RWF_DSYNC.qd" +
                         std::to_string(depth),
                     [raw = raws.back().get(), depth, seconds, updates_per_write] {
                       return raw->rate(seconds, depth) * static_cast<double>(updates_per_write);
                     }});
  };
  if (in_flight == 1) {
    // One record a write, as ours: the block of a log write.
    raws.push_back(std::make_unique<RawWrites>(run.directory + "/raw4", 4096, run.smoke));
    add_raw(4096, 1, 1);
    peers.push_back(rocksdb);
  } else {
    peers.push_back(rocksdb);
    for (const uint64_t bytes : {uint64_t{8} << 10, uint64_t{16} << 10}) {
      const std::string path = run.directory + "/raw" + std::to_string(bytes);
      raws.push_back(std::make_unique<RawWrites>(path, bytes, run.smoke));
      for (const size_t depth : {1u, 2u, 4u}) {
        add_raw(bytes, depth, (bytes - sizeof(media::WalHeader)) / log_bytes);
      }
    }
  }
  run.compare_all([&] { return ours.rate(run.seconds, in_flight); }, peers,
                  ours.side.device_requests());
}

/// The log in memory: what is left is CPU.
void tmpfs_case(Run& run) {
  constexpr size_t kDepth = 64;
  const uint64_t keys = run.smoke ? kSmokeKeys : update_keys(64);
  std::string memory = "/dev/shm/cairn-bench-XXXXXX";
  if (mkdtemp(memory.data()) == nullptr) die("cannot make " + memory);
  {
    ShardSizes sizes;
    sizes.wal_directory = memory;
    Updates ours(run.directory, sizes, 64, keys);
    auto rocks = make_rocksdb_updates(run.directory + "/rocksdb", {64, keys, false});
    run.compare([&] { return ours.rate(run.seconds, kDepth); },
                {"rocksdb.nosync.batch64",
                 [&] { return rate_of(run.seconds, kDepth, [&] { rocks->put(kDepth); }); }},
                ours.side.device_requests());
  }
  std::filesystem::remove_all(memory);
}

constexpr size_t kBatch = 16;

/// As get_values(), `kBatch` keys a call, each into its own buffer.
Task<Result<void>> get_batches(vos::Shard& shard, SeededRandom& random, uint64_t keys,
                               Bytes& value, uint64_t count) {
  std::array<std::string, kBatch> dkeys;
  Bytes room(kBatch * value.size());
  std::vector<vos::FetchRequest> requests(kBatch);
  for (size_t i = 0; i < kBatch; ++i) {
    requests[i].object = ShardSide::object(1);
    requests[i].iods.push_back(value_iod(ByteSpan(room).subspan(i * value.size(), value.size())));
  }
  for (uint64_t done = 0; done < count; done += kBatch) {
    for (size_t i = 0; i < kBatch; ++i) {
      dkeys[i] = key_text(random.below(keys));
      requests[i].dkey = as_bytes(dkeys[i]);
    }
    CO_TRY(fetched, co_await shard.fetch_many(requests));
    for (const auto& one : fetched) {
      if (one.iods[0].record_bytes != value.size()) die("a fetch found nothing");
    }
  }
  co_return Result<void>{};
}

void fetch_case(Run& run, size_t value_bytes, bool lmdb, bool batches = false) {
  ShardSide ours(run.directory);
  const uint64_t keys = run.smoke ? kSmokeKeys : kFetchKeys;
  Bytes value(value_bytes, std::byte{7});
  fill_values(ours, keys, value);
  auto peer = lmdb ? make_lmdb_fetches(run.directory + "/lmdb", keys, value_bytes,
                                       batches ? kBatch : 1)
                   : make_rocksdb_fetches(run.directory + "/rocksdb", keys, value_bytes);
  SeededRandom random(1);
  constexpr uint64_t kStep = 125 * kBatch;
  const auto fetches = batches ? get_batches : get_values;
  run.compare(
      [&] {
        return rate_of(run.seconds, kStep, [&] {
          if (!ours.context().run(fetches(ours.shard(), random, keys, value, kStep))) {
            die("a fetch failed");
          }
        });
      },
      {lmdb ? "lmdb" : "rocksdb",
       [&] { return rate_of(run.seconds, kStep, [&] { peer->get(kStep); }); }},
      ours.device_requests());
}

}  // namespace

void add_store_cases(std::vector<Case>& cases) {
  for (const auto& [size, bytes] : {std::pair{"64B", size_t{64}}, {"1KiB", size_t{1024}}}) {
    for (const size_t depth : {1u, 64u}) {
      if (!kHaveRocksdb) continue;
      cases.push_back({std::string("store.update.") + size + ".qd" + std::to_string(depth), "op/s",
                       [bytes = bytes, depth](Run& run) { update_case(run, bytes, depth); }});
    }
  }
  if (kHaveRocksdb) cases.push_back({"store.update.64B.tmpfs", "op/s", tmpfs_case});
  if (kHaveLmdb) {
    cases.push_back(
        {"store.fetch.64B.cached.lmdb", "op/s", [](Run& run) { fetch_case(run, 64, true); }});
    cases.push_back({"store.fetch.64B.batch16.lmdb", "op/s",
                     [](Run& run) { fetch_case(run, 64, true, true); }});
  }
  if (kHaveRocksdb) {
    cases.push_back(
        {"store.fetch.64B.cached.rocksdb", "op/s", [](Run& run) { fetch_case(run, 64, false); }});
  }
}

}  // namespace cairn::bench
