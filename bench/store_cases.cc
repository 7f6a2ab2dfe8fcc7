// store.update.* and store.fetch.*: single values at the vos interface beside RocksDB and LMDB.
#include <array>

#include "bench/harness.h"
#include "bench/peers.h"
#include "bench/shard_side.h"

namespace cairn::bench {

namespace {

Task<Result<void>> put(vos::Shard& shard, uint64_t number, Bytes& value) {
  const std::string dkey = key_text(number);
  vos::UpdateRequest request{.object = ShardSide::object(1), .dkey = as_bytes(dkey)};
  request.iods.push_back({as_bytes("a"),
                          model::ValueType::single,
                          value.size(),
                          0,
                          {},
                          {{value.data(), value.size()}},
                          false});
  CO_TRY(done, co_await shard.update(request));
  co_return Result<void>{};
}

void update_case(Run& run, size_t value_bytes, size_t in_flight) {
  ShardSide ours(run.directory);
  auto peer = make_rocksdb_updates(run.directory + "/rocksdb", value_bytes);
  SeededRandom random(1);
  Bytes value(value_bytes, std::byte{7});
  run.compare(
      [&] {
        return rate_of(run.seconds, in_flight, [&] {
          ours.run_all_at_once(
              in_flight, [&](size_t) { return put(ours.shard(), random.below(kKeys), value); });
        });
      },
      {"rocksdb.sync.batch" + std::to_string(in_flight),
       [&] { return rate_of(run.seconds, in_flight, [&] { peer->put(in_flight); }); }},
      ours.device_requests());
}

Task<Result<void>> get(vos::Shard& shard, SeededRandom& random, uint64_t keys, Bytes& value,
                       uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string dkey = key_text(random.below(keys));
    vos::FetchRequest request{.object = ShardSide::object(1), .dkey = as_bytes(dkey)};
    request.iods.push_back({as_bytes("a"),
                            model::ValueType::single,
                            value.size(),
                            0,
                            {},
                            {{value.data(), value.size()}},
                            false});
    CO_TRY(done, co_await shard.fetch(request));
    if (done.iods[0].record_bytes != value.size()) die("a fetch found nothing");
  }
  co_return Result<void>{};
}

constexpr size_t kBatch = 16;

/// As get(), `kBatch` keys a call, each into its own buffer.
Task<Result<void>> get_batches(vos::Shard& shard, SeededRandom& random, uint64_t keys,
                               Bytes& value, uint64_t count) {
  std::array<std::string, kBatch> dkeys;
  Bytes room(kBatch * value.size());
  std::vector<vos::FetchRequest> requests(kBatch);
  for (size_t i = 0; i < kBatch; ++i) {
    requests[i].object = ShardSide::object(1);
    requests[i].iods.push_back({as_bytes("a"),
                                model::ValueType::single,
                                value.size(),
                                0,
                                {},
                                {{room.data() + i * value.size(), value.size()}},
                                false});
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
  const uint64_t keys = run.smoke ? kFetchKeys / 100 : kFetchKeys;
  Bytes value(value_bytes, std::byte{7});
  for (uint64_t i = 0; i < keys; i += 500) {
    ours.run_all_at_once(500, [&](size_t k) { return put(ours.shard(), i + k, value); });
  }
  auto peer = lmdb ? make_lmdb_fetches(run.directory + "/lmdb", keys, value_bytes,
                                       batches ? kBatch : 1)
                   : make_rocksdb_fetches(run.directory + "/rocksdb", keys, value_bytes);
  SeededRandom random(1);
  constexpr uint64_t kStep = 125 * kBatch;
  const auto fetches = batches ? get_batches : get;
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
