// ConfigStore: the seam behind which service state lives: linearizable transactions over keys and
// values, of the power that etcd offers, so that the same services run on a laptop and on a
// cluster. Three implementations by design: embedded (embedded_config_store.h), etcd, simulated.
// Keys are text without NUL, at most kConfigKeyBytesMax bytes; docs/formats/config.md lists them.
// Home: one reactor. Returned values are copies.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "runtime/task.h"

namespace cairn::service {

inline constexpr size_t kConfigKeyBytesMax = 1024;
/// Above the largest attribute (1 MiB) and its frame.
inline constexpr size_t kConfigValueBytesMax = (size_t{1} << 20) + 4096;

/// Counts commits; each key remembers the commit that wrote it last. 0: before all, or absent.
using Revision = uint64_t;

struct ConfigEntry {
  std::string key;
  Bytes value;
  Revision modified = 0;
};

/// All or nothing. A key stands at most once in puts and deletes together.
struct ConfigTxn {
  struct Require {
    std::string key;
    Revision modified = 0;   // what the key must still be at; 0: absent
  };
  struct Put {
    std::string key;
    Bytes value;
  };
  std::vector<Require> require;
  std::vector<Put> puts;
  std::vector<std::string> deletes;   // absent ones are fine

  ConfigTxn& expect(std::string key, Revision modified) {
    require.push_back({std::move(key), modified});
    return *this;
  }
  ConfigTxn& put(std::string key, Bytes value) {
    puts.push_back({std::move(key), std::move(value)});
    return *this;
  }
  ConfigTxn& erase(std::string key) {
    deletes.push_back(std::move(key));
    return *this;
  }
};

class ConfigStore {
 public:
  virtual ~ConfigStore() = default;
  /// What is returned is durable. @error io, checksum
  virtual Task<Result<std::optional<ConfigEntry>>> get(std::string key) = 0;
  /// Every key that begins with `prefix`, ascending. @error io, checksum
  virtual Task<Result<std::vector<ConfigEntry>>> range(std::string prefix) = 0;
  /// Durable when it completes. @returns the revision
  /// @error again     a requirement does not hold: nothing changed; look again and decide anew
  /// @error no_space  the store is full; nothing changed
  /// @error invalid   a key or value over its limit
  /// @error io        the outcome is unknown, the store stopped
  virtual Task<Result<Revision>> commit(ConfigTxn txn) = 0;
  /// Calls `changed` after each commit that touches keys below `prefix`, with its revision. The
  /// callback must not suspend or commit. For the lifetime of the store.
  virtual void watch(std::string prefix, std::function<void(Revision)> changed) = 0;
};

}  // namespace cairn::service
