// RocksDB with its default options; a part of the build only where its package is installed.
#include "bench/peers.h"

#if CAIRN_BENCH_ROCKSDB
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#endif

namespace cairn::bench {

#if CAIRN_BENCH_ROCKSDB

const bool kHaveRocksdb = true;

namespace {

class Rocks final : public UpdatePeer, public FetchPeer {
 public:
  Rocks(const std::string& directory, size_t value_bytes) : value_(value_bytes, 'x') {
    rocksdb::Options options;
    options.create_if_missing = true;
    rocksdb::DB* db = nullptr;
    const auto status = rocksdb::DB::Open(options, directory, &db);
    if (!status.ok()) die("RocksDB: " + status.ToString());
    db_.reset(db);
  }

  void put(size_t count) override {
    rocksdb::WriteBatch batch;
    for (size_t i = 0; i < count; ++i) batch.Put(peer_key(random_.below(kKeys)), value_);
    rocksdb::WriteOptions options;
    options.sync = true;
    const auto status = db_->Write(options, &batch);
    if (!status.ok()) die("RocksDB: " + status.ToString());
  }

  void fill(uint64_t keys) {
    keys_ = keys;
    for (uint64_t i = 0; i < keys; ++i) {
      if (!db_->Put({}, peer_key(i), value_).ok()) die("RocksDB: put failed");
    }
    if (!db_->Flush({}).ok()) die("RocksDB: flush failed");
  }

  void get(size_t count) override {
    for (size_t i = 0; i < count; ++i) {
      if (!db_->Get({}, peer_key(random_.below(keys_)), &value_).ok()) {
        die("RocksDB: get failed");
      }
    }
  }

 private:
  std::unique_ptr<rocksdb::DB> db_;
  std::string value_;
  uint64_t keys_ = 0;
  SeededRandom random_{1};
};

}  // namespace

std::unique_ptr<UpdatePeer> make_rocksdb_updates(const std::string& directory, size_t value_bytes) {
  return std::make_unique<Rocks>(directory, value_bytes);
}

std::unique_ptr<FetchPeer> make_rocksdb_fetches(const std::string& directory, uint64_t keys,
                                                size_t value_bytes) {
  auto rocks = std::make_unique<Rocks>(directory, value_bytes);
  rocks->fill(keys);
  return rocks;
}

#else

const bool kHaveRocksdb = false;
std::unique_ptr<UpdatePeer> make_rocksdb_updates(const std::string&, size_t) { return nullptr; }
std::unique_ptr<FetchPeer> make_rocksdb_fetches(const std::string&, uint64_t, size_t) {
  return nullptr;
}

#endif

}  // namespace cairn::bench
