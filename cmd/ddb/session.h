// Session: one shard that ddb has at hand: the lock of its home, its three files, the names of its
// containers, and, once a command needs it, the opened shard. Without write mode everything that
// opening writes stays in memory (overlay_device.h). Used by one thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cmd/ddb/overlay_device.h"
#include "cmd/embed/home_check.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/storage.h"
#include "index/superblock_format.h"
#include "runtime/context.h"
#include "vos/shard.h"

namespace cairn::ddb {

/// Which shard. Either a directory, or a home and a pool.
struct Place {
  std::string directory;  // of a pool (HOME/pools/UUID), or of one of its targets in it
  std::string home;       // empty: CAIRN_HOME, else ~/.cairn
  std::string pool;       // label or UUID
  uint32_t target = 0;    // whose shard; a directory of a target names it, too
};

class Session {
 public:
  /// Takes the lock and opens the files; the shard itself is not looked at yet.
  /// @error busy  another process holds the home; a line on stderr names it
  /// @error nonexistent, no_perm, io, format_invalid  a line on stderr names the file
  static Result<std::unique_ptr<Session>> open(const Place& place, bool writable);
  ~Session();

  bool writable() const { return writable_; }
  const std::string& directory() const { return directory_; }
  /// Empty for a pool's directory that lies in no home: nothing is locked then.
  const std::string& home() const { return home_; }
  const std::map<uint32_t, embed::ContainerName>& containers() const { return containers_; }

  /// The files as they stand on the medium.
  index::StoreDevices devices() const { return files_.devices(); }
  /// The newest whole superblock on the medium. @error checksum, format_invalid, format_newer, io
  Result<index::Superblock> superblock();
  /// The opened shard. @error as vos::Shard::open
  Result<vos::Shard*> shard();
  Reactor& reactor() { return *reactor_; }
  template <class T>
  T run(Task<T> task) {
    return context_->run(std::move(task));
  }
  /// Ends it; in write mode with a checkpoint. Idempotent. @error io
  Result<void> close();

 private:
  Session() = default;
  Result<void> find_place(const Place& place);
  Task<Result<void>> open_files();
  Task<Result<void>> read_names();

  bool writable_ = false;
  std::string home_, directory_, pool_name_;
  Uuid pool_;
  uint32_t target_ = 0;
  embed::HomeLock lock_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<embed::Storage> storage_;  // null: the files in directory_
  embed::Blobs files_;
  std::optional<OverlayDevice> wal_, meta_, data_;
  std::unique_ptr<vos::Shard> shard_;
  std::map<uint32_t, embed::ContainerName> containers_;
};

}  // namespace cairn::ddb
