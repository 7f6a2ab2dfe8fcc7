// RocksDB: direct I/O for what is not its log, no compression, a block cache of the size of our
// page cache, else its defaults; a part of the build only where its package is installed.
#include "bench/peers.h"

#if CAIRN_BENCH_ROCKSDB
#include "bench/rocksdb.h"

#include <algorithm>

#include <rocksdb/cache.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#endif

namespace cairn::bench {

#if CAIRN_BENCH_ROCKSDB

const bool kHaveRocksdb = true;

void check(const rocksdb::Status& status) {
  if (!status.ok()) die("RocksDB: " + status.ToString());
}

rocksdb::Options plain_options() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.use_direct_reads = true;
  options.use_direct_io_for_flush_and_compaction = true;
  return options;
}

std::unique_ptr<rocksdb::DB> open_rocksdb(const rocksdb::Options& options,
                                          const std::string& directory) {
  rocksdb::DB* db = nullptr;
  check(rocksdb::DB::Open(options, directory, &db));
  return std::unique_ptr<rocksdb::DB>(db);
}

void fill_rocksdb(rocksdb::DB& db, uint64_t keys, const std::string& value) {
  rocksdb::WriteOptions unlogged;
  unlogged.disableWAL = true;
  constexpr uint64_t kBatch = 1'000;
  for (uint64_t i = 0; i < keys;) {
    rocksdb::WriteBatch batch;
    for (const uint64_t end = std::min(keys, i + kBatch); i < end; ++i) {
      batch.Put(peer_key(i), value);
    }
    check(db.Write(unlogged, &batch));
  }
  check(db.Flush({}));
}

namespace {

class Rocks final : public UpdatePeer, public FetchPeer {
 public:
  Rocks(const std::string& directory, size_t value_bytes) : value_(value_bytes, 'x') {
    rocksdb::Options options = plain_options();
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(kCacheBytes);
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    db_ = open_rocksdb(options, directory);
  }

  void put(size_t count) override {
    rocksdb::WriteBatch batch;
    for (size_t i = 0; i < count; ++i) batch.Put(peer_key(random_.below(keys_)), value_);
    rocksdb::WriteOptions options;
    options.sync = sync_;
    check(db_->Write(options, &batch));
  }

  void go_unsynced() { sync_ = false; }

  void fill(uint64_t keys) {
    keys_ = keys;
    fill_rocksdb(*db_, keys, value_);
  }

  void get(size_t count) override {
    for (size_t i = 0; i < count; ++i) {
      check(db_->Get({}, peer_key(random_.below(keys_)), &value_));
    }
  }

 private:
  std::unique_ptr<rocksdb::DB> db_;
  std::string value_;
  uint64_t keys_ = 0;
  bool sync_ = true;
  SeededRandom random_{1};
};

}  // namespace

std::unique_ptr<UpdatePeer> make_rocksdb_updates(const std::string& directory,
                                                 RocksdbUpdates options) {
  auto rocks = std::make_unique<Rocks>(directory, options.value_bytes);
  rocks->fill(options.keys);
  if (!options.sync) rocks->go_unsynced();
  return rocks;
}

std::unique_ptr<FetchPeer> make_rocksdb_fetches(const std::string& directory, uint64_t keys,
                                                size_t value_bytes) {
  auto rocks = std::make_unique<Rocks>(directory, value_bytes);
  rocks->fill(keys);
  return rocks;
}

#else

const bool kHaveRocksdb = false;
std::unique_ptr<UpdatePeer> make_rocksdb_updates(const std::string&, RocksdbUpdates) {
  return nullptr;
}
std::unique_ptr<FetchPeer> make_rocksdb_fetches(const std::string&, uint64_t, size_t) {
  return nullptr;
}

#endif

}  // namespace cairn::bench
