// client.*: the pairs of store.* once more, through the C API as a program would call it.
#include <vector>

#include "bench/client_values.h"
#include "bench/harness.h"
#include "bench/peers.h"
#include "media/device.h"

namespace cairn::bench {

namespace {

void update_case(Run& run, size_t value_bytes, size_t in_flight) {
  ClientValues ours(run.directory, value_bytes, in_flight);
  const uint64_t keys = run.smoke ? 2'000 : update_keys(value_bytes);
  auto peer = make_rocksdb_updates(run.directory + "/rocksdb", {value_bytes, keys});
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  SeededRandom random(1);
  const auto key = [&] { return random.below(keys); };
  run.compare(
      [&] {
        if (in_flight > 1) return ours.update_many(run.seconds, key);
        return rate_of(run.seconds, 1, [&] { ours.update(key()); });
      },
      {"rocksdb.sync.batch" + std::to_string(in_flight),
       [&] { return rate_of(run.seconds, in_flight, [&] { peer->put(in_flight); }); }});
}

void fetch_case(Run& run, size_t value_bytes, bool lmdb) {
  ClientValues ours(run.directory, value_bytes, 256);
  const uint64_t keys = run.smoke ? kFetchKeys / 100 : kFetchKeys;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  auto peer = lmdb ? make_lmdb_fetches(run.directory + "/lmdb", keys, value_bytes)
                   : make_rocksdb_fetches(run.directory + "/rocksdb", keys, value_bytes);
  SeededRandom random(1);
  constexpr uint64_t kStep = 1000;
  run.compare(
      [&] {
        return rate_of(run.seconds, kStep, [&] {
          for (uint64_t i = 0; i < kStep; ++i) ours.fetch(random.below(keys));
        });
      },
      {lmdb ? "lmdb" : "rocksdb",
       [&] { return rate_of(run.seconds, kStep, [&] { peer->get(kStep); }); }});
}

void data_case(Run& run, bool reading) {
  const uint64_t slots = run.smoke ? 16 : 512;
  ClientArray ours(run.directory);
  RawFile raw(run.directory + "/raw", slots);
  media::AlignedBuffer buffer(kMiB);
  for (size_t i = 0; i < kMiB; ++i) buffer.data()[i] = static_cast<std::byte>(i * 31 + (i >> 9));
  for (uint64_t i = 0; i < slots; ++i) {
    raw.write(i, buffer.data());  // no side pays for blocks of the file system while measured
    ours.transfer(false, i, buffer.data());
  }
  uint64_t our_slot = 0;
  uint64_t their_slot = 0;
  run.compare(
      [&] {
        return rate_of(run.seconds, 1,
                       [&] { ours.transfer(reading, our_slot++ % slots, buffer.data()); });
      },
      {reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC", [&] {
         return rate_of(run.seconds, 1, [&] {
           const uint64_t slot = their_slot++ % slots;
           reading ? raw.read(slot, buffer.data()) : raw.write(slot, buffer.data());
         });
       }});
}

}  // namespace

void add_client_cases(std::vector<Case>& cases) {
  for (const auto& [size, bytes] : {std::pair{"64B", size_t{64}}, {"1KiB", size_t{1024}}}) {
    for (const size_t depth : {1u, 64u}) {
      if (!kHaveRocksdb) continue;
      cases.push_back({std::string("client.update.") + size + ".qd" + std::to_string(depth), "op/s",
                       [bytes = bytes, depth](Run& run) { update_case(run, bytes, depth); }});
    }
  }
  if (kHaveLmdb) {
    cases.push_back(
        {"client.fetch.64B.cached.lmdb", "op/s", [](Run& run) { fetch_case(run, 64, true); }});
  }
  if (kHaveRocksdb) {
    cases.push_back(
        {"client.fetch.64B.cached.rocksdb", "op/s", [](Run& run) { fetch_case(run, 64, false); }});
  }
  cases.push_back({"client.write.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, false); }});
  cases.push_back({"client.read.1MiB.qd1", "MiB/s", [](Run& run) { data_case(run, true); }});
}

}  // namespace cairn::bench
