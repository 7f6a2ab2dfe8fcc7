// Look-ups: paths, "..", symbolic links.
#include <utility>

#include "dfs/mount.h"

namespace cairn::dfs {

/// A walk over components: the directories gone through, and what is still to come.
struct Mount::Walk {
  std::vector<Node> trail;          // never empty; the last one is where we are
  std::vector<std::string> coming;  // components, the next one at the back
  int flags = 0;
  int links_left = 0;
};

namespace {

/// Puts the components of `path` in front of those that come. @error ENOENT  one is too long
FsResult<void> push_components(std::string_view path, std::vector<std::string>& coming) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > kNameBytesMax) return fs_fail(ENOENT, "dfs: a component is over 255 bytes long");
    if (slash != 0) parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  coming.insert(coming.end(), std::make_move_iterator(parts.rbegin()),
                std::make_move_iterator(parts.rend()));
  return done();
}

FsResult<void> check_flags(int flags) {
  if ((flags & O_ACCMODE) == O_ACCMODE) return fs_fail(EINVAL, "dfs: access mode 3 means nothing");
  if ((flags & O_APPEND) != 0) {
    return fs_fail(EOPNOTSUPP, "dfs: O_APPEND; write at the offset that get_size tells");
  }
  return done();
}

}  // namespace

/// Goes one component further.
Task<FsResult<void>> Mount::step(Walk& walk, bool last) {
  const std::string name = std::move(walk.coming.back());
  walk.coming.pop_back();
  if (name == ".." && walk.trail.size() > 1) {
    if (!walk.trail.back().is_dir()) co_return fs_fail(ENOENT, "dfs: '..' behind a file");
    walk.trail.pop_back();
    co_return done();
  }
  const Node& here = walk.trail.back();
  if (!here.is_dir()) co_return fs_fail(ENOENT, "dfs: a component of the path is no directory");
  CO_TRY(entry, co_await fetch_entry(*container_, {here.oid, name}));
  if (!entry.is_link() || (last && (walk.flags & O_NOFOLLOW) != 0)) {
    walk.trail.push_back(node_of(here, name, std::move(entry), walk.flags));
    co_return done();
  }
  if (walk.links_left-- == 0) co_return fs_fail(ELOOP, "dfs: too many symbolic links in a row");
  if (entry.target.empty()) co_return fs_fail(ENOENT, "dfs: a symbolic link is empty");
  if (entry.target.front() == '/') {
    co_return fs_fail(EINVAL, "dfs: a symbolic link leads out of the container");
  }
  CO_TRY(pushed, push_components(entry.target, walk.coming));
  co_return done();
}

Task<FsResult<Node>> Mount::walk(Walk& walk) {
  while (!walk.coming.empty()) {
    const bool last = walk.coming.size() == 1;
    CO_TRY(stepped, co_await step(walk, last));
  }
  Node node = std::move(walk.trail.back());
  node.flags = walk.flags & O_ACCMODE;
  co_return co_await finish_open(std::move(node), walk.flags);
}

Task<FsResult<Node>> Mount::finish_open(Node node, int flags) {
  if ((flags & O_TRUNC) != 0 && node.is_file()) {
    CO_TRY(allowed, check_writable());
    if (!node.writable()) co_return fs_fail(EPERM, "dfs: O_TRUNC needs write access");
    CO_TRY(emptied, co_await punch(node, 0, ~uint64_t{0}));
  }
  co_return std::move(node);
}

Task<FsResult<Node>> Mount::lookup(const std::string& path, int flags) {
  if (path.empty() || path.front() != '/') {
    co_return fs_fail(EINVAL, "dfs: a path must be absolute");
  }
  if (path.size() >= kPathBytesMax) co_return fs_fail(EINVAL, "dfs: a path is over 4095 bytes");
  CO_TRY(checked, check_flags(flags));
  Walk walk{.flags = flags, .links_left = kLinksMax - 1};
  CO_TRY(pushed, push_components(path, walk.coming));
  walk.trail.push_back(root_);
  if (walk.coming.empty()) {
    // Mode and defaults may have changed since the mount.
    CO_TRY(entry, co_await fetch_entry(*container_, root_.place()));
    Node& node = walk.trail.back();
    node.mode = entry.mode;
    node.chunk_bytes = entry.chunk_bytes;
    node.class_id = entry.class_id;
  }
  co_return co_await this->walk(walk);
}

Task<FsResult<Node>> Mount::lookup_in(const Node& parent, const std::string& name, int flags) {
  CO_TRY(placed, check_parent(parent, name));
  CO_TRY(checked, check_flags(flags));
  Walk walk{.flags = flags, .links_left = kLinksMax};
  walk.trail.push_back(parent);
  walk.coming.push_back(name);
  co_return co_await this->walk(walk);
}

Task<FsResult<Node>> Mount::follow_in(const Node& parent, const std::string& name) {
  co_return co_await lookup_in(parent, name, O_RDWR);
}

}  // namespace cairn::dfs
