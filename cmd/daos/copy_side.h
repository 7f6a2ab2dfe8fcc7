// One side of a copy: a directory tree of the operating system, or of a POSIX container. The engine
// (copy_engine.h) is the same for both.
// Home: any thread; every call may run beside others on other entries.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "cmd/daos/daos.h"

namespace cairn::tool {

/// A success or an errno.
template <class T>
using SideResult = std::expected<T, int>;
using SideDone = std::expected<void, int>;
inline std::unexpected<int> side_fail(int number) { return std::unexpected(number); }

/// Mode bits that a container keeps; the rest (the sticky bit) is left out and counted.
inline constexpr uint32_t kKeptModeBits = 06777;

class Side {
 public:
  /// An open directory or file; closed with its last reference.
  struct Handle {
    virtual ~Handle() = default;
  };
  using HandlePtr = std::shared_ptr<Handle>;

  /// An entry that was looked at. `file`: open for reading if it is a regular file.
  struct Entry {
    struct stat info{};
    HandlePtr file;
    std::string target;  // of a symbolic link
  };

  virtual ~Side() = default;

  /// The top: what the path of this side names. @error ENOENT
  virtual SideResult<HandlePtr> open_top_dir() = 0;
  virtual SideResult<Entry> look_top() = 0;

  // Reading. Links are not followed.
  virtual SideResult<Entry> look(Handle& dir, const std::string& name) = 0;
  virtual SideResult<HandlePtr> open_dir(Handle& dir, const std::string& name) = 0;
  virtual SideResult<std::vector<std::string>> list(Handle& dir) = 0;
  /// @returns bytes read, fewer only at the end of the file
  virtual SideResult<uint64_t> read(Handle& file, uint64_t offset, char* to, uint64_t bytes) = 0;

  // Writing.

  /// Makes a directory that its owner can write into. `*fresh`: it was not there before.
  virtual SideResult<HandlePtr> make_dir(Handle& dir, const std::string& name, bool* fresh) = 0;
  /// Creates a file or empties the one that is there. `fresh_dir`: nobody else fills `dir`.
  virtual SideResult<HandlePtr> make_file(Handle& dir, const std::string& name, uint32_t mode,
                                          bool fresh_dir) = 0;
  virtual SideDone write(Handle& file, uint64_t offset, const char* from, uint64_t bytes) = 0;
  /// Size, mode, owner (where this user may) and time, after the data. `durable`: nothing of the
  /// file can be lost afterwards.
  virtual SideDone finish_file(Handle& dir, Handle& file, const struct stat& info,
                               bool durable) = 0;
  virtual SideDone make_link(Handle& dir, const std::string& name, const Entry& from,
                             bool durable) = 0;
  /// Mode, owner and time, after everything in it.
  virtual SideDone finish_dir(Handle& dir, const struct stat& info) = 0;
  /// Of a directory that was there before, into which everything was copied, at the very end.
  virtual void finish_top(Handle& dir) { (void)dir; }

  /// Whether sockets and the like cannot even be seen here, and what is full when space runs out.
  virtual std::string what() const = 0;
};

/// `path` as given; a source's last link is followed.
std::unique_ptr<Side> native_side(const std::string& path);
class FlatBatch;
/// `path` absolute in the container. The mount must outlive the side.
/// @param flats  null, or gets the objects of files and directories as they are finished
std::unique_ptr<Side> container_side(dfs_t* dfs, const std::string& path,
                                     FlatBatch* flats = nullptr);

}  // namespace cairn::tool
