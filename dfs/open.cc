// Opening and creating entries.
#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

FsResult<void> check_options(const OpenOptions& options) {
  const uint32_t type = options.mode & S_IFMT;
  if ((options.flags & O_ACCMODE) == O_ACCMODE) {
    return fs_fail(EINVAL, "dfs: access mode 3 means nothing");
  }
  if ((options.flags & O_APPEND) != 0) {
    return fs_fail(EOPNOTSUPP, "dfs: O_APPEND; write at the offset that get_size tells");
  }
  if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK) {
    return fs_fail(EINVAL, "dfs: the mode's type is no file, directory or symbolic link");
  }
  if (type != S_IFLNK) return done();
  if ((options.flags & O_CREAT) == 0) {
    return fs_fail(EINVAL, "dfs: a symbolic link is opened by a look-up with O_NOFOLLOW");
  }
  if (!options.target) return fs_fail(EINVAL, "dfs: a symbolic link needs a target");
  if (options.target->size() >= kPathBytesMax) {
    return fs_fail(EINVAL, "dfs: a symbolic link's target is over 4095 bytes");
  }
  return done();
}

}  // namespace

Task<FsResult<Node>> Mount::open_existing(const Node& parent, const std::string& name,
                                          const OpenOptions& options) {
  CO_TRY(entry, co_await fetch_entry(*container_, {parent.oid, name}));
  if (S_ISDIR(options.mode) && !entry.is_dir()) {
    co_return fs_fail(ENOTDIR, "dfs: the entry is no directory");
  }
  if (S_ISREG(options.mode) && !entry.is_file()) {
    co_return fs_fail(EINVAL, "dfs: the entry is no regular file");
  }
  co_return co_await finish_open(node_of(parent, name, std::move(entry), options.flags),
                                 options.flags);
}

Task<FsResult<Node>> Mount::open_in(const Node& parent, const std::string& name,
                                    OpenOptions options) {
  CO_TRY(placed, check_parent(parent, name));
  CO_TRY(checked, check_options(options));
  const bool create = (options.flags & O_CREAT) != 0;
  if (S_ISREG(options.mode) && (options.flags & O_TRUNC) != 0 &&
      (options.flags & O_ACCMODE) == O_RDONLY) {
    co_return fs_fail(EPERM, "dfs: O_TRUNC needs write access");
  }
  if (!create) co_return co_await open_existing(parent, name, options);
  CO_TRY(allowed, check_writable());
  if (!parent.writable()) co_return fs_fail(EPERM, "dfs: the directory was opened read-only");

  CO_TRY(entry, co_await new_entry(parent, options));
  const std::vector<Xattr> none;
  auto written = co_await write_entry(*container_, {parent.oid, name}, entry, none,
                                      model::cond::kDkeyInsert);
  if (written) co_return node_of(parent, name, std::move(entry), options.flags);
  if (written.error().number() != EEXIST || (options.flags & O_EXCL) != 0 ||
      S_ISLNK(options.mode)) {
    co_return fail(written.error());
  }
  co_return co_await open_existing(parent, name, options);
}

Task<FsResult<void>> Mount::make_dir(const Node& parent, const std::string& name,
                                     OpenOptions options) {
  CO_TRY(allowed, check_writable());
  CO_TRY(placed, check_parent(parent, name));
  if (!parent.writable()) co_return fs_fail(EPERM, "dfs: the directory was opened read-only");
  const uint32_t mode = S_IFDIR | options.mode;
  options.mode = S_IFDIR | (options.mode & ~static_cast<uint32_t>(S_IFMT));
  CO_TRY(entry, co_await new_entry(parent, options));
  entry.mode = mode;  // other type bits stay in it, as in the reference
  const std::vector<Xattr> none;
  CO_TRY(written, co_await write_entry(*container_, {parent.oid, name}, entry, none,
                                       model::cond::kDkeyInsert));
  co_return done();
}

}  // namespace cairn::dfs
