// Mount: a POSIX name space in a container, laid out as docs/formats/dfs.md says. Nothing is cached
// but the superblock: what a completed call wrote, every later call sees, also through other
// mounts.
// Home: the container's reactor; every member that returns a Task suspends. Nodes and names given
// by reference are borrowed until the task ends.
// Errors are errnos, those of the reference; besides the ones named at each member: EINVAL for
// malformed names and arguments, EPERM for changes through a read-only mount or handle, EIO for
// damaged entries, ENOSPC.
// Atomic and durable: every call that changes entries, also moves, exchanges and the removal of one
// entry with its object, which are transactions. A tree is removed entry by entry, and a size
// changes chunk by chunk.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/array.h"
#include "client/client.h"
#include "dfs/error.h"
#include "dfs/limits.h"
#include "dfs/node.h"
#include "model/oclass.h"

namespace cairn::dfs {

/// Who owns what a call creates, or asks for access.
struct Caller {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

/// How a container's name space is made; zero means the default everywhere.
struct FormatOptions {
  uint64_t chunk_bytes = 0;
  uint32_t class_id = 0, dir_class_id = 0, file_class_id = 0;
  uint32_t consistency = 0;  // stored; kConsistencyBalanced wants balanced mounts
  std::string hints;         // such as "file:single,dir:max"
  Caller owner;
};
inline constexpr uint32_t kConsistencyRelaxed = 0;
inline constexpr uint32_t kConsistencyBalanced = 4;

struct MountOptions {
  bool writable = false;
  bool balanced = false;
};

/// The superblock.
struct Settings {
  uint64_t chunk_bytes = kChunkBytesDefault;
  uint32_t class_id = 0, dir_class_id = 0, file_class_id = 0;
  uint32_t consistency = kConsistencyRelaxed;
  std::string hints;
};

struct Roots {
  model::ObjectId super, root;
};

/// What stat tells.
struct Attributes {
  uint32_t mode = 0, uid = 0, gid = 0;
  uint64_t bytes = 0;
  uint64_t chunk_bytes = 0;  // of files
  FileTime mtime, ctime;
  FileTime atime() const { return std::max(mtime, ctime); }
};

/// What set_attributes() sets: the values of DFS_SET_ATTR_*.
namespace set_attr {
inline constexpr uint32_t kMode = 1, kAtime = 2, kMtime = 4, kSize = 8, kUid = 16, kGid = 32;
inline constexpr uint32_t kAll = 63;
}  // namespace set_attr

/// The class in an object id, as daos_obj_id2class() tells it.
constexpr uint32_t class_of(model::ObjectId oid) {
  const auto ordinal = static_cast<uint32_t>(oid.hi >> 48 & 0xff);
  const auto groups = static_cast<uint32_t>(oid.hi >> 32 & 0xffff);
  return ordinal == 0 ? groups : ordinal << model::kOrdinalShift | groups;
}

struct OpenOptions {
  uint32_t mode = 0;         // type and permissions
  int flags = 0;             // O_*
  uint32_t class_id = 0;     // 0: inherit
  uint64_t chunk_bytes = 0;  // 0: inherit
  std::optional<std::string> target;
  Caller owner;
};

/// A page of a directory.
struct DirPage {
  std::vector<std::string> names;
  Bytes position;
  bool eof = false;
};

struct PageRequest {
  Bytes position;            // of the page before; empty: from the start
  uint32_t names_max = kNamesPerPage;
  uint64_t bytes_max = uint64_t{kNamesPerPage} * (kNameBytesMax + 1);
};

class Mount {
 public:
  /// Object ids of superblock and root in a pool of that shape, for the container's roots property.
  /// @error EINVAL, ENOTSUP  options that no object can have
  static FsResult<Roots> plan_roots(const FormatOptions& options, model::PoolShape shape);
  /// The value of DAOS_PROP_CO_ROOTS.
  static Bytes encode_roots(const Roots& roots);
  /// @error EINVAL  hints, classes, consistency that cannot be
  static FsResult<void> check_format(const FormatOptions& options);
  static model::PoolShape shape_of(const client::PoolInfo& pool, model::PoolShape whole,
                                   const client::Props& container);
  /// Writes superblock and root entry into a new container.
  static Task<FsResult<void>> format(client::Container& container, Roots roots,
                                     FormatOptions options);

  /// @error EINVAL   no POSIX container, or one of another version
  /// @error EIO      no root objects   @error ENOENT  no superblock
  /// @error EPERM    the container wants balanced mounts
  static Task<FsResult<std::unique_ptr<Mount>>> open(client::ContainerPtr container,
                                                     MountOptions options);
  ~Mount();

  client::ContainerPtr container() const { return container_; }
  const Settings& settings() const { return settings_; }
  const Roots& roots() const { return roots_; }
  bool writable() const { return options_.writable; }
  /// The root directory, opened for both reading and writing. Lives as long as the mount.
  const Node& root() const { return root_; }
  /// The class that a new file or directory with default settings gets.
  uint32_t picked_class(uint8_t type) const;
  /// @error EINVAL  malformed or not exactly one kind
  FsResult<uint32_t> suggest_class(const std::string& hint) const;

  // Names (path.cc, open.cc, names.cc, move.cc).

  /// Follows links below an absolute path; O_NOFOLLOW spares the last one. O_TRUNC empties a file.
  /// @error ENOENT  also for a component below a file   @error ELOOP  40 links
  /// @error EOPNOTSUPP  "." in the path
  Task<FsResult<Node>> lookup(const std::string& path, int flags);
  /// One entry, its link followed unless O_NOFOLLOW.
  Task<FsResult<Node>> lookup_in(const Node& parent, const std::string& name, int flags);
  /// Opens or creates. A new file or directory costs one update.
  /// @error EEXIST, ENOENT   @error ENOTDIR  no directory where one is wanted; EINVAL: no file
  Task<FsResult<Node>> open_in(const Node& parent, const std::string& name, OpenOptions options);
  /// @error EEXIST
  Task<FsResult<void>> make_dir(const Node& parent, const std::string& name, OpenOptions options);
  /// Removes an entry and its object; `force`: a directory with all that is in it, deepest first.
  /// @returns the id of what went   @error ENOTEMPTY, ENOENT
  Task<FsResult<model::ObjectId>> remove(const Node& parent, const std::string& name, bool force);
  /// @returns the id of what was replaced, if anything
  /// @error EINVAL  a file onto a directory, a directory below itself   @error ENOTEMPTY, ENOENT
  Task<FsResult<std::optional<model::ObjectId>>> move(const Node& parent, const std::string& name,
                                                      const Node& new_parent,
                                                      const std::string& new_name);
  /// @error EINVAL  one of them is absent   @error EEXIST  both are the same
  Task<FsResult<void>> exchange(const Node& parent1, const std::string& name1,
                                const Node& parent2, const std::string& name2);
  /// Says that a file, or a directory's entries, were written for the last time: they are flattened
  /// soon, in the background. @error EPERM, EIO
  Task<FsResult<void>> note_final(const Node& node);
  /// A node from a handle's portable form.
  Task<FsResult<Node>> adopt(Node node);

  // Directories (dirs.cc).

  /// @error ENOTDIR   @error E2BIG  not even one name fits `bytes_max`
  Task<FsResult<DirPage>> list(const Node& dir, PageRequest request);
  /// Position from which a listing starts at `name`, or behind where it would be.
  Task<FsResult<Bytes>> position_of(const Node& dir, const std::string& name);

  // Attributes (attr.cc).

  /// Does not follow links. @error ENOENT  also if the entry now stands for something else
  Task<FsResult<Attributes>> stat(const Node& node);
  Task<FsResult<Attributes>> stat_in(const Node& parent, const std::string& name);
  /// stat_in() of many names at once, in their order.
  Task<FsResult<std::vector<FsResult<Attributes>>>> stat_names(
      const Node& parent, const std::vector<std::string>& names);
  /// Sets what `which` (set_attr) asks and tells the result.
  /// @error EINVAL  unknown bits, another type in the mode   @error ENOTSUP  sticky bit
  /// @error EIO     a size for something that is no file
  Task<FsResult<Attributes>> set_attributes(const Node& node, Attributes wanted, uint32_t which);
  /// Follows links, as access does.
  Task<FsResult<void>> chmod_in(const Node& parent, const std::string& name, uint32_t mode);
  /// ids of ~0u stay as they are. `follow`: a link's target, else the link.
  Task<FsResult<void>> chown_in(const Node& parent, const std::string& name, Caller ids,
                                bool follow);
  /// `mask` of R_OK, W_OK, X_OK. @error EACCES
  Task<FsResult<void>> access_in(const Node& parent, const std::string& name, Caller caller,
                                 int mask);
  Task<FsResult<void>> access(const Node& node, Caller caller, int mask);
  /// Defaults for new entries of a directory; 0 unsets. Other open handles keep what they had.
  /// @error ENOTSUP  not a directory
  Task<FsResult<void>> set_dir_chunk(const Node& dir, uint64_t chunk_bytes);
  Task<FsResult<void>> set_dir_class(const Node& dir, uint32_t class_id);

  // Extended attributes (xattr.cc).

  /// @error EEXIST (`flags` XATTR_CREATE), ENOENT (XATTR_REPLACE, or the entry is gone)
  Task<FsResult<void>> set_xattr(const Node& node, const std::string& name, ByteView value,
                                 int flags);
  /// @returns the value's length; `room` is filled if it is not empty
  /// @error ENODATA   @error E2BIG  it does not fit
  Task<FsResult<uint64_t>> get_xattr(const Node& node, const std::string& name, ByteSpan room);
  /// @error ENOENT  there is none of that name
  Task<FsResult<void>> remove_xattr(const Node& node, const std::string& name);
  Task<FsResult<std::vector<std::string>>> list_xattrs(const Node& node);

  // Data of files (data.cc).

  /// Bytes up to the end of the file; holes are zeros, memory beyond the end stays untouched.
  /// @error EINVAL  lengths differ, ranges overlap   @error EPERM  write-only
  Task<FsResult<uint64_t>> read(const Node& file, client::CellRanges ranges,
                                IoVecs buffer);
  /// All or an error; durable when it completes. Parts in different chunks are separate updates.
  Task<FsResult<void>> write(const Node& file, client::CellRanges ranges,
                             IoVecs buffer);
  Task<FsResult<uint64_t>> size(const Node& file);
  Task<FsResult<uint64_t>> size_of(model::ObjectId oid, uint64_t chunk_bytes);
  /// A hole; `bytes` ~0: truncate or extend to `offset`.
  Task<FsResult<void>> punch(const Node& file, uint64_t offset, uint64_t bytes);

 private:
  Mount(client::ContainerPtr container, MountOptions options);

  Task<FsResult<void>> load_superblock();
  Task<FsResult<void>> load_root();
  FileTime now();
  /// EPERM through a read-only mount.
  FsResult<void> check_writable() const;
  FsResult<void> check_parent(const Node& parent, const std::string& name) const;
  /// Type and permissions of a new entry, with an object id of its own.
  Task<FsResult<Entry>> new_entry(const Node& parent, const OpenOptions& options);
  Task<FsResult<model::ObjectId>> next_oid(uint8_t type, uint32_t class_id, uint16_t hints);
  uint16_t hints_for(uint8_t type) const;
  Node node_of(const Node& parent, const std::string& name, Entry entry, int flags);
  std::shared_ptr<DirLink> link_of(model::ObjectId dir, const std::shared_ptr<DirLink>& parent);
  bool is_below(const Node& dir, model::ObjectId above) const;

  Task<FsResult<Node>> open_existing(const Node& parent, const std::string& name,
                                     const OpenOptions& options);
  Task<FsResult<Node>> finish_open(Node node, int flags);
  struct Walk;
  Task<FsResult<Node>> walk(Walk& walk);
  Task<FsResult<void>> step(Walk& walk, bool last);
  /// The node that an operation which follows links works on.
  Task<FsResult<Node>> follow_in(const Node& parent, const std::string& name);

  Task<FsResult<bool>> is_empty_dir(client::Container& view, model::ObjectId dir);
  struct Doomed;
  struct Emptying;
  Task<Result<void>> remove_leaf(model::ObjectId dir, Doomed& doomed);
  Task<FsResult<std::vector<Doomed>>> remove_page(model::ObjectId dir, DirPage page);
  Task<FsResult<void>> remove_tree(model::ObjectId top);
  Task<FsResult<void>> drop_object(client::Container& view, const Entry& entry);
  template <class T, class Body>
  Task<FsResult<T>> atomically(Body body);
  struct MovePlaces;
  struct Moved;
  Task<FsResult<Moved>> move_in(client::Container& view, const MovePlaces& places);
  Task<FsResult<std::pair<Entry, Entry>>> exchange_in(client::Container& view,
                                                      const MovePlaces& places);
  struct RemovePlace;
  Task<FsResult<model::ObjectId>> remove_in(client::Container& view, const RemovePlace& place);
  Task<FsResult<bool>> remove_leaf_in(client::Container& view, EntryPlace place, Doomed& doomed);
  Task<FsResult<bool>> remove_emptied_in(client::Container& view, EntryPlace place,
                                         model::ObjectId emptied);
  void relink(const Entry& moved, const Node& new_parent);

  /// An entry's place, as a key.
  using Place = std::pair<model::ObjectId, std::string>;
  class Locks;
  /// Waits until no other operation of this mount works on one of the places, then takes all.
  Task<Locks> lock(std::vector<Place> places);

  /// The entry of a node. @error ENOENT  it is gone or stands for another object
  Task<FsResult<Entry>> entry_of(const Node& node);
  Task<FsResult<Attributes>> attributes_of(const Entry& entry);
  Task<Result<void>> stat_into(const Node& parent, const std::string& name,
                               FsResult<Attributes>& out);
  Task<FsResult<void>> set_size(const Entry& entry, uint64_t bytes);
  client::ArrayShape shape_of(uint64_t chunk_bytes) const { return {1, chunk_bytes}; }

  const client::ContainerPtr container_;
  Reactor& reactor_;
  const MountOptions options_;
  Settings settings_;
  model::PoolShape pool_shape_;
  Roots roots_;
  Node root_;

  struct OidSource {
    bool primed = false, refilling = false;
    uint64_t lo = 0;
    uint32_t hi = 0, first = 0;
  };
  OidSource oids_;
  WaitList oids_ready_;
  std::set<Place> busy_;       // entries that a move, an exchange or a remove works on
  bool moving_dir_ = false;    // one at a time, so that the check for circles holds until its end
  WaitList unlocked_;          // busy_ or moving_dir_ changed
  std::map<model::ObjectId, std::weak_ptr<DirLink>> links_;  // of open directories
  size_t links_swept_ = 0;                                   // size after the last sweep
};

/// `file:single,dir:max`: class hints (model::class_hint) for files and directories.
struct ClassHints {
  uint16_t file = 0, dir = 0;
};
/// @error EINVAL  an unknown kind or value
FsResult<ClassHints> parse_hints(const std::string& text, uint32_t redundancy_factor);

}  // namespace cairn::dfs
