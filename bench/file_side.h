// The two sides of the file cases: libdfs on a home of the case's own, and plain files beside it on
// the same disk. Both offer the same four calls; each may be used by many threads.
#pragma once

#include <daos_fs.h>

#include <memory>
#include <string>

#include "bench/client_side.h"

namespace cairn::bench {

inline constexpr size_t kFileBytes = 4096;

/// Files in one directory of a file system.
class Folder {
 public:
  virtual ~Folder() = default;
  /// Open with O_CREAT | O_EXCL, write kFileBytes, close.
  virtual void create(const std::string& name) = 0;
  virtual void stat(const std::string& name) = 0;
  /// Open, read kFileBytes, close.
  virtual void read(const std::string& name) = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// Makes an empty directory.
  virtual std::unique_ptr<Folder> make_folder(const std::string& name) = 0;
};

/// libdfs: a created file is durable when the write has returned.
class DfsFiles final : public FileSystem {
 public:
  explicit DfsFiles(const std::string& directory, uint64_t pool_bytes = 8ull << 30);
  ~DfsFiles() override;
  std::unique_ptr<Folder> make_folder(const std::string& name) override;
  /// Ends it; of no use afterwards. Bytes of all metadata pages after the checkpoint.
  unsigned long long meta_bytes_after_close();

 private:
  void disconnect();
  ClientSide side_;
  dfs_t* dfs_ = nullptr;
};

struct HostFilesOptions {
  bool fsync = false;   // of each created file, before it is closed
  bool direct = false;  // reads go to the disk (O_DIRECT)
};
/// Plain files below `directory`.
class HostFiles final : public FileSystem {
 public:
  HostFiles(std::string directory, HostFilesOptions options);
  std::unique_ptr<Folder> make_folder(const std::string& name) override;

 private:
  const std::string directory_;
  const HostFilesOptions options_;
};

/// 12 bytes.
std::string file_name(size_t thread, uint64_t number);
/// Makes files in `folder` from `threads` threads until `seconds` have passed or each has made
/// `each` of them; files per second.
double create_files(Folder& folder, size_t threads, double seconds, uint64_t each);

/// What statfs() says about the disk under test: "ext4", "tmpfs", ... or a number.
std::string file_system_name(const std::string& directory);

}  // namespace cairn::bench
