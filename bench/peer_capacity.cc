// RocksDB with less memory than its indexes and data take: everything that it keeps counts against
// one budget. A part of the build only where its package is installed.
#include "bench/peers.h"

#if CAIRN_BENCH_ROCKSDB
#include "bench/rocksdb.h"

#include <atomic>
#include <chrono>
#include <thread>

#include <rocksdb/cache.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>
#endif

namespace cairn::bench {

#if CAIRN_BENCH_ROCKSDB

namespace {

rocksdb::Options options_within(uint64_t memory_bytes) {
  rocksdb::Options options = plain_options();
  rocksdb::BlockBasedTableOptions table;
  // Few parts, or a table's filter would be larger than a part and push out what is there.
  constexpr int kShardBits = 2;
  table.block_cache = rocksdb::NewLRUCache(memory_bytes, kShardBits);
  table.cache_index_and_filter_blocks = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  // What memtables take is taken from the block cache.
  options.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 2, table.block_cache);
  options.write_buffer_size = memory_bytes / 4;
  return options;
}

class RocksWithin final : public CapacityPeer {
 public:
  RocksWithin(const std::string& directory, CapacitySizes sizes)
      : keys_(sizes.keys), value_(sizes.value_bytes, 'x') {
    db_ = open_rocksdb(options_within(sizes.memory_bytes), directory);
    fill_rocksdb(*db_, keys_, value_);
    check(db_->CompactRange({}, nullptr, nullptr));
    settle();
  }

  double get_rate(double seconds, size_t threads) override {
    constexpr uint64_t kStep = 32;
    if (threads == 1) {
      return rate_of(seconds, kStep, [&] { get(random_, kStep); });
    }
    std::atomic<uint64_t> done = 0;
    std::vector<std::thread> running;
    const double begin = now_seconds();
    for (size_t t = 0; t < threads; ++t) {
      running.emplace_back([this, seconds, begin, &done, seed = ++threads_started_] {
        SeededRandom random(seed);
        while (now_seconds() - begin < seconds) {
          get(random, kStep);
          done += kStep;
        }
      });
    }
    for (auto& thread : running) thread.join();
    return static_cast<double>(done) / (now_seconds() - begin);
  }

  void put(size_t count, bool get_first) override { write(count, get_first, true); }

  void overwrite(uint64_t bytes) override {
    constexpr size_t kBatch = 64;
    const uint64_t batch_bytes = kBatch * (peer_key(0).size() + value_.size());
    for (uint64_t done = 0; done < bytes; done += batch_bytes) write(kBatch, false, false);
  }

  void settle() override {
    const auto busy = [&] {
      for (const char* what :
           {"rocksdb.mem-table-flush-pending", "rocksdb.num-running-flushes",
            "rocksdb.compaction-pending", "rocksdb.num-running-compactions"}) {
        uint64_t count = 0;
        if (db_->GetIntProperty(what, &count) && count != 0) return true;
      }
      return false;
    };
    while (busy()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }

 private:
  void get(SeededRandom& random, uint64_t count) {
    std::string value;
    for (uint64_t i = 0; i < count; ++i) check(db_->Get({}, peer_key(random.below(keys_)), &value));
  }

  void write(size_t count, bool get_first, bool sync) {
    rocksdb::WriteBatch batch;
    std::string old;
    for (size_t i = 0; i < count; ++i) {
      const std::string key = peer_key(random_.below(keys_));
      if (get_first) check(db_->Get({}, key, &old));
      batch.Put(key, value_);
    }
    rocksdb::WriteOptions options;
    options.sync = sync;
    check(db_->Write(options, &batch));
  }

  std::unique_ptr<rocksdb::DB> db_;
  uint64_t keys_;
  std::string value_;
  SeededRandom random_{1};
  uint64_t threads_started_ = 1;
};

}  // namespace

std::unique_ptr<CapacityPeer> make_rocksdb_capacity(const std::string& directory,
                                                    CapacitySizes sizes) {
  return std::make_unique<RocksWithin>(directory, sizes);
}

#else

std::unique_ptr<CapacityPeer> make_rocksdb_capacity(const std::string&, CapacitySizes) {
  return nullptr;
}

#endif

}  // namespace cairn::bench
