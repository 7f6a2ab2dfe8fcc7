// store.update.* and store.fetch.*: single values at the vos interface beside RocksDB and LMDB.
#include <lmdb.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <sys/stat.h>

#include <cstring>

#include "bench/harness.h"
#include "bench/shard_side.h"
#include "runtime/random.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kKeys = 1'000'000;
constexpr uint64_t kFetchKeys = 200'000;

std::string key_text(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "key%013llu", static_cast<unsigned long long>(number));
  return text;
}

// A peer's key names container, object, dkey and akey, as ours does.
std::string peer_key(uint64_t number) {
  return "container-1/object-00001/" + key_text(number) + "/a";
}

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

class Rocks {
 public:
  explicit Rocks(const std::string& directory) {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* db = nullptr;
    const auto status = rocksdb::DB::Open(options, directory, &db);
    if (!status.ok()) die("RocksDB: " + status.ToString());
    db_.reset(db);
  }
  void put(SeededRandom& random, size_t count, const std::string& value, bool sync) {
    rocksdb::WriteBatch batch;
    for (size_t i = 0; i < count; ++i) batch.Put(peer_key(random.below(kKeys)), value);
    rocksdb::WriteOptions options;
    options.sync = sync;
    const auto status = db_->Write(options, &batch);
    if (!status.ok()) die("RocksDB: " + status.ToString());
  }
  rocksdb::DB& db() { return *db_; }

 private:
  std::unique_ptr<rocksdb::DB> db_;
};

void update_case(Run& run, size_t value_bytes, size_t in_flight) {
  ShardSide ours(run.directory);
  Rocks rocks(run.directory + "/rocksdb");
  SeededRandom our_random(1);
  SeededRandom their_random(1);
  Bytes value(value_bytes, std::byte{7});
  const std::string text(value_bytes, 'x');
  run.compare(
      [&] {
        return rate_of(run.seconds, in_flight, [&] {
          ours.run_all_at_once(
              in_flight, [&](size_t) { return put(ours.shard(), our_random.below(kKeys), value); });
        });
      },
      {"rocksdb.sync.batch" + std::to_string(in_flight), [&] {
         return rate_of(run.seconds, in_flight,
                        [&] { rocks.put(their_random, in_flight, text, true); });
       }});
}

Task<Result<void>> get(vos::Shard& shard, SeededRandom& random, Bytes& value, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string dkey = key_text(random.below(kFetchKeys));
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

class Lmdb {
 public:
  explicit Lmdb(const std::string& directory) {
    check(mkdir(directory.c_str(), 0700));
    check(mdb_env_create(&env_));
    check(mdb_env_set_mapsize(env_, 1u << 30));
    check(mdb_env_open(env_, directory.c_str(), MDB_NOSYNC, 0600));
  }
  ~Lmdb() { mdb_env_close(env_); }
  void fill(const std::string& value) {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn));
    check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
    for (uint64_t i = 0; i < kFetchKeys; ++i) {
      std::string key = peer_key(i);
      MDB_val k{key.size(), key.data()};
      MDB_val v{value.size(), const_cast<char*>(value.data())};
      check(mdb_put(txn, dbi_, &k, &v, 0));
    }
    check(mdb_txn_commit(txn));
    check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader_));
    mdb_txn_reset(reader_);
  }
  void get(SeededRandom& random, uint64_t count, char* into) {
    for (uint64_t i = 0; i < count; ++i) {
      // One read transaction an operation, as each of ours sees the newest state.
      check(mdb_txn_renew(reader_));
      std::string key = peer_key(random.below(kFetchKeys));
      MDB_val k{key.size(), key.data()};
      MDB_val v{};
      check(mdb_get(reader_, dbi_, &k, &v));
      std::memcpy(into, v.mv_data, v.mv_size);
      mdb_txn_reset(reader_);
    }
  }

 private:
  static void check(int status) {
    if (status != 0) die(std::string("LMDB: ") + mdb_strerror(status));
  }
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  MDB_txn* reader_ = nullptr;
};

void fetch_case(Run& run, size_t value_bytes, bool lmdb) {
  ShardSide ours(run.directory);
  Bytes value(value_bytes, std::byte{7});
  for (uint64_t i = 0; i < kFetchKeys; i += 500) {
    ours.run_all_at_once(500, [&](size_t k) { return put(ours.shard(), i + k, value); });
  }
  const std::string text(value_bytes, 'x');
  SeededRandom our_random(1);
  SeededRandom their_random(1);
  constexpr uint64_t kStep = 1000;
  const Side our_side = [&] {
    return rate_of(run.seconds, kStep, [&] {
      if (!ours.context().run(get(ours.shard(), our_random, value, kStep))) die("a fetch failed");
    });
  };
  std::string into(value_bytes, 0);
  if (lmdb) {
    Lmdb peer(run.directory + "/lmdb");
    peer.fill(text);
    run.compare(our_side, {"lmdb", [&] {
                             return rate_of(run.seconds, kStep,
                                            [&] { peer.get(their_random, kStep, into.data()); });
                           }});
    return;
  }
  Rocks rocks(run.directory + "/rocksdb");
  for (uint64_t i = 0; i < kFetchKeys; ++i) {
    if (!rocks.db().Put({}, peer_key(i), text).ok()) die("RocksDB: put failed");
  }
  if (!rocks.db().Flush({}).ok()) die("RocksDB: flush failed");
  run.compare(
      our_side,
      {"rocksdb", [&] {
         return rate_of(run.seconds, kStep, [&] {
           for (uint64_t i = 0; i < kStep; ++i) {
             if (!rocks.db().Get({}, peer_key(their_random.below(kFetchKeys)), &into).ok()) {
               die("RocksDB: get failed");
             }
           }
         });
       }});
}

}  // namespace

void add_store_cases(std::vector<Case>& cases) {
  for (const auto& [size, bytes] : {std::pair{"64B", 64}, {"1KiB", 1024}}) {
    for (const int depth : {1, 64}) {
      cases.push_back({std::string("store.update.") + size + ".qd" + std::to_string(depth), "op/s",
                       [bytes = bytes, depth](Run& run) {
                         update_case(run, static_cast<size_t>(bytes), static_cast<size_t>(depth));
                       }});
    }
  }
  cases.push_back(
      {"store.fetch.64B.cached.lmdb", "op/s", [](Run& run) { fetch_case(run, 64, true); }});
  cases.push_back(
      {"store.fetch.64B.cached.rocksdb", "op/s", [](Run& run) { fetch_case(run, 64, false); }});
}

}  // namespace cairn::bench
