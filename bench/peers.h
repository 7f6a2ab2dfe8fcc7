// The peers of the key-value cases, and the keys and values that both sides use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/harness.h"
#include "runtime/random.h"

namespace cairn::bench {

inline constexpr uint64_t kKeys = 1'000'000;     // of an update case
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
std::unique_ptr<UpdatePeer> make_rocksdb_updates(const std::string& directory, size_t value_bytes);

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

extern const bool kHaveRocksdb, kHaveLmdb;

/// The control of the 1 MiB cases: O_DIRECT, one I/O at a time, through our device code but without
/// a store. The first write of each slot allocates blocks in the file system.
class RawFile {
 public:
  static constexpr uint64_t kSlotBytes = 1u << 20;
  RawFile(const std::string& path, uint64_t slots);
  ~RawFile();
  void write(uint64_t slot, const std::byte* data);
  void read(uint64_t slot, std::byte* data);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::bench
