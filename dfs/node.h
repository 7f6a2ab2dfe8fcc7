// Node: an open file, directory or symbolic link.
#pragma once

#include <fcntl.h>

#include <memory>
#include <string>

#include "dfs/entry.h"

namespace cairn::dfs {

/// Where an open directory hangs, kept right when this mount moves it; tells whether a directory
/// would be moved below itself. Home: the mount's reactor, except for the counts of the pointers.
struct DirLink {
  model::ObjectId oid;
  std::shared_ptr<DirLink> parent;  // null: the root, or a directory whose parents are not known
};

/// A value, but for update_parent of libdfs. Members of Mount borrow nodes until their task ends.
struct Node {
  model::ObjectId oid;
  uint32_t mode = 0;              // type and permissions when it was opened
  int flags = O_RDONLY;           // access mode
  model::ObjectId parent;         // object that holds the entry
  std::string name;               // of the entry in it
  uint64_t chunk_bytes = 0;       // files: of the file; directories: default of children, 0 unset
  uint32_t class_id = 0;          // directories: default of children, 0 unset
  std::string target;             // symbolic links
  std::shared_ptr<DirLink> link;  // directories: their own; others: of the directory around

  bool is_dir() const { return S_ISDIR(mode); }
  bool is_file() const { return S_ISREG(mode); }
  bool is_link() const { return S_ISLNK(mode); }
  bool readable() const { return (flags & O_ACCMODE) != O_WRONLY; }
  bool writable() const { return (flags & O_ACCMODE) != O_RDONLY; }
  EntryPlace place() const { return {parent, name}; }
};

}  // namespace cairn::dfs
