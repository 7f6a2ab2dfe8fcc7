// The peers of the key-value cases, and the keys and values that both sides use.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bench/harness.h"
#include "runtime/random.h"

namespace cairn::bench {

/// Of an update case: so many that the metadata is a few hundred MiB whatever the value.
constexpr uint64_t update_keys(size_t value_bytes) {
  return value_bytes < 512 ? 1'000'000 : 200'000;
}
/// Budget of the page cache, ours and RocksDB's.
inline constexpr uint64_t kCacheBytes = 512u << 20;
inline constexpr uint64_t kFetchKeys = 200'000;  // of a fetch case; fewer in a smoke run
inline constexpr size_t kKeyBytes = 16;

/// 16 bytes: "key" and 13 digits.
std::string key_text(uint64_t number);
/// A peer's key names container, object, dkey and akey, as ours does.
std::string peer_key(uint64_t number);

/// A peer of an update case that writes batches of `count` synced values, or null if this program
/// was built without RocksDB.
struct UpdatePeer {
  virtual ~UpdatePeer() = default;
  virtual void put(size_t count) = 0;
};
struct RocksdbUpdates {
  size_t value_bytes;
  uint64_t keys;      // all there already
  bool sync = true;   // false: the write-ahead log is not awaited
};
std::unique_ptr<UpdatePeer> make_rocksdb_updates(const std::string& directory,
                                                 RocksdbUpdates options);

/// A peer of a fetch case, filled with `keys` values.
struct FetchPeer {
  virtual ~FetchPeer() = default;
  virtual void get(size_t count) = 0;
};
std::unique_ptr<FetchPeer> make_rocksdb_fetches(const std::string& directory, uint64_t keys,
                                                size_t value_bytes);
/// `batch`: gets in one read transaction.
std::unique_ptr<FetchPeer> make_lmdb_fetches(const std::string& directory, uint64_t keys,
                                             size_t value_bytes, size_t batch = 1);

/// RocksDB within a budget: block cache, the tables' indexes and filters, and memtables (half of it
/// at most). A peer of cases with more metadata than memory, filled with `keys` values and
/// compacted.
struct CapacityPeer {
  virtual ~CapacityPeer() = default;
  /// Gets of random keys from so many threads; operations per second.
  virtual double get_rate(double seconds, size_t threads) = 0;
  /// A synced batch of random keys; `get_first`: each is read before.
  virtual void put(size_t count, bool get_first) = 0;
  /// The same without waiting for the log, until so many bytes of keys and values are written.
  virtual void overwrite(uint64_t bytes) = 0;
  /// Waits until there is nothing to flush and to compact.
  virtual void settle() = 0;
};
struct CapacitySizes {
  uint64_t keys;
  size_t value_bytes;
  uint64_t memory_bytes;
};
std::unique_ptr<CapacityPeer> make_rocksdb_capacity(const std::string& directory,
                                                    CapacitySizes sizes);

/// LMDB's cursor over all values.
struct ListPeer {
  virtual ~ListPeer() = default;
  /// Goes over the next `count` keys, from the start again behind the last one, and copies what is
  /// a dkey of ours. One read transaction from start to end.
  virtual void list(size_t count) = 0;
};
std::unique_ptr<ListPeer> make_lmdb_list(const std::string& directory, uint64_t keys,
                                         size_t value_bytes);

extern const bool kHaveRocksdb, kHaveLmdb;

/// The control of device cases: O_DIRECT through our device code but without a store, overwriting
/// slots that were written before. Driven by the calling thread.
class RawFile {
 public:
  RawFile(const std::string& path, uint64_t slots, uint64_t slot_bytes = 1u << 20);
  ~RawFile();
  uint64_t slot_bytes() const { return slot_bytes_; }
  /// One request, with RWF_DSYNC.
  void write(uint64_t slot, const std::byte* data);
  void read(uint64_t slot, std::byte* data);
  /// `count` requests, `depth` of them in flight, to slots that `next` names; each of the depth has
  /// its own buffer of slot_bytes.
  struct Many {
    bool reading;
    size_t depth;
    uint64_t count;
  };
  void transfer(Many many, const std::function<uint64_t()>& next, std::byte* buffers);
  /// Writes every slot once, so that blocks of the file system are there.
  void fill(const std::byte* data);

 private:
  struct State;
  std::unique_ptr<State> state_;
  uint64_t slots_, slot_bytes_;
};

}  // namespace cairn::bench
