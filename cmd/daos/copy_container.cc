// A POSIX container's side of a copy. Everything that libdfs answers with success is durable.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cmd/daos/copy_side.h"
#include "cmd/daos/flat_report.h"

namespace cairn::tool {

namespace {

struct Object final : Side::Handle {
  explicit Object(dfs_obj_t* open) : obj(open) {}
  Object(const Object&) = delete;
  ~Object() override {
    if (obj != nullptr) (void)dfs_release(obj);
  }
  dfs_obj_t* const obj;
};

dfs_obj_t* obj_of(Side::Handle& handle) { return static_cast<Object&>(handle).obj; }

SideDone done(int rc) {
  if (rc != 0) return side_fail(rc);
  return {};
}

d_sg_list_t list_of(d_iov_t& iov, void* bytes, uint64_t length) {
  d_iov_set(&iov, bytes, length);
  return {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};
}

class Container final : public Side {
 public:
  Container(dfs_t* dfs, std::string path, FlatBatch* flats)
      : dfs_(dfs), path_(std::move(path)), flats_(flats) {}

  SideResult<HandlePtr> open_top_dir() override {
    dfs_obj_t* obj = nullptr;
    mode_t mode = 0;
    const int rc = dfs_lookup(dfs_, path_.c_str(), O_RDWR, &obj, &mode, nullptr);
    // A read-only mount serves the source side.
    if (rc == EPERM) return open_top_read_only();
    return adopt_dir(rc, obj, mode);
  }

  SideResult<Entry> look_top() override {
    Entry entry;
    dfs_obj_t* obj = nullptr;
    const int rc = dfs_lookup(dfs_, path_.c_str(), O_RDONLY, &obj, nullptr, &entry.info);
    return adopt_entry(rc, obj, std::move(entry));
  }

  SideResult<Entry> look(Handle& dir, const std::string& name) override {
    Entry entry;
    dfs_obj_t* obj = nullptr;
    const int rc = dfs_lookup_rel(dfs_, obj_of(dir), name.c_str(), O_RDONLY | O_NOFOLLOW, &obj,
                                  nullptr, &entry.info);
    return adopt_entry(rc, obj, std::move(entry));
  }

  SideResult<HandlePtr> open_dir(Handle& dir, const std::string& name) override {
    dfs_obj_t* obj = nullptr;
    mode_t mode = 0;
    const int rc = dfs_lookup_rel(dfs_, obj_of(dir), name.c_str(), O_RDONLY | O_NOFOLLOW, &obj,
                                  &mode, nullptr);
    return adopt_dir(rc, obj, mode);
  }

  SideResult<std::vector<std::string>> list(Handle& dir) override {
    std::vector<std::string> names;
    std::vector<dirent> page(128);
    daos_anchor_t anchor{};
    while (!daos_anchor_is_eof(&anchor)) {
      auto count = static_cast<uint32_t>(page.size());
      const int rc = dfs_readdir(dfs_, obj_of(dir), &anchor, &count, page.data());
      if (rc != 0) return side_fail(rc);
      for (uint32_t i = 0; i < count; ++i) names.emplace_back(page[i].d_name);
    }
    return names;
  }

  SideResult<uint64_t> read(Handle& file, uint64_t offset, char* to, uint64_t bytes) override {
    d_iov_t iov;
    d_sg_list_t sgl = list_of(iov, to, bytes);
    daos_size_t got = 0;
    const int rc = dfs_read(dfs_, obj_of(file), &sgl, offset, &got, nullptr);
    if (rc != 0) return side_fail(rc);
    return got;
  }

  SideResult<HandlePtr> make_dir(Handle& dir, const std::string& name, bool* fresh) override {
    if (name.size() > DFS_MAX_NAME) return side_fail(ENAMETOOLONG);
    int rc = dfs_mkdir(dfs_, obj_of(dir), name.c_str(), 0700, 0);
    *fresh = rc == 0;
    if (rc != 0 && rc != EEXIST) return side_fail(rc);
    dfs_obj_t* obj = nullptr;
    mode_t mode = 0;
    rc = dfs_lookup_rel(dfs_, obj_of(dir), name.c_str(), O_RDWR | O_NOFOLLOW, &obj, &mode, nullptr);
    return adopt_dir(rc, obj, mode);
  }

  SideResult<HandlePtr> make_file(Handle& dir, const std::string& name, uint32_t mode,
                                  bool fresh_dir) override {
    dfs_obj_t* obj = nullptr;
    if (name.size() > DFS_MAX_NAME) return side_fail(ENAMETOOLONG);
    const mode_t type = S_IFREG | (mode & 0777);
    const int flags = O_RDWR | O_CREAT | (fresh_dir ? O_EXCL : O_TRUNC);
    int rc = dfs_open(dfs_, obj_of(dir), name.c_str(), type, flags, 0, 0, nullptr, &obj);
    if (rc == EINVAL || rc == ELOOP) {
      // A link in the way is replaced, not followed.
      rc = remove_link(dir, name);
      if (rc == 0) {
        rc = dfs_open(dfs_, obj_of(dir), name.c_str(), type, flags, 0, 0, nullptr, &obj);
      }
    }
    if (rc != 0) return side_fail(rc);
    return std::make_shared<Object>(obj);
  }

  SideDone write(Handle& file, uint64_t offset, const char* from, uint64_t bytes) override {
    d_iov_t iov;
    d_sg_list_t sgl = list_of(iov, const_cast<char*>(from), bytes);
    return done(dfs_write(dfs_, obj_of(file), &sgl, offset, nullptr));
  }

  SideDone finish_file(Handle&, Handle& file, const struct stat& info, bool) override {
    auto ok = finish(obj_of(file), info);
    if (ok && flats_ != nullptr) flats_->add(oid_of(file));
    return ok;
  }

  SideDone make_link(Handle& dir, const std::string& name, const Entry& from, bool) override {
    if (name.size() > DFS_MAX_NAME) return side_fail(ENAMETOOLONG);
    dfs_obj_t* obj = nullptr;
    int rc = make_link_once(dir, name, from, &obj);
    if (rc == EEXIST) {
      rc = remove_link(dir, name);
      if (rc == 0) rc = make_link_once(dir, name, from, &obj);
    }
    if (rc != 0) return side_fail(rc);
    const Object owned(obj);
    struct stat info = from.info;
    return done(dfs_osetattr(dfs_, obj, &info, DFS_SET_ATTR_MTIME | owner_bits()));
  }

  SideDone finish_dir(Handle& dir, const struct stat& info) override {
    auto ok = finish(obj_of(dir), info);
    // All that is in it was finished before.
    if (ok && flats_ != nullptr) flats_->add(oid_of(dir));
    return ok;
  }

  void finish_top(Handle& dir) override {
    if (flats_ != nullptr) flats_->add(oid_of(dir));
  }

  std::string what() const override { return "the pool"; }

 private:
  static daos_obj_id_t oid_of(Handle& handle) {
    daos_obj_id_t oid{};
    (void)dfs_obj2id(obj_of(handle), &oid);
    return oid;
  }

  static int owner_bits() {
    return geteuid() == 0 ? DFS_SET_ATTR_UID | DFS_SET_ATTR_GID : 0;
  }

  SideDone finish(dfs_obj_t* obj, const struct stat& from) {
    struct stat info = from;
    info.st_mode = (from.st_mode & S_IFMT) | (from.st_mode & kKeptModeBits);
    return done(dfs_osetattr(dfs_, obj, &info,
                             DFS_SET_ATTR_MODE | DFS_SET_ATTR_MTIME | owner_bits()));
  }

  SideResult<HandlePtr> open_top_read_only() {
    dfs_obj_t* obj = nullptr;
    mode_t mode = 0;
    const int rc = dfs_lookup(dfs_, path_.c_str(), O_RDONLY, &obj, &mode, nullptr);
    return adopt_dir(rc, obj, mode);
  }

  static SideResult<HandlePtr> adopt_dir(int rc, dfs_obj_t* obj, mode_t mode) {
    if (rc != 0) return side_fail(rc);
    auto handle = std::make_shared<Object>(obj);
    if (!S_ISDIR(mode)) return side_fail(ENOTDIR);
    return handle;
  }

  static SideResult<Entry> adopt_entry(int rc, dfs_obj_t* obj, Entry entry) {
    if (rc != 0) return side_fail(rc);
    auto handle = std::make_shared<Object>(obj);
    if (S_ISLNK(entry.info.st_mode)) {
      char target[DFS_MAX_PATH + 1];
      daos_size_t size = sizeof target;
      const int got = dfs_get_symlink_value(obj, target, &size);
      if (got != 0) return side_fail(got);
      entry.target.assign(target, strnlen(target, sizeof target));
    } else if (S_ISREG(entry.info.st_mode)) {
      entry.file = std::move(handle);
    }
    return entry;
  }

  int make_link_once(Handle& dir, const std::string& name, const Entry& from, dfs_obj_t** obj) {
    return dfs_open(dfs_, obj_of(dir), name.c_str(), S_IFLNK | 0777, O_RDWR | O_CREAT | O_EXCL, 0,
                    0, from.target.c_str(), obj);
  }

  /// Only links: a file or a directory in the way of another kind is the user's to remove.
  int remove_link(Handle& dir, const std::string& name) {
    struct stat info{};
    const int rc = dfs_stat(dfs_, obj_of(dir), name.c_str(), &info);
    if (rc != 0) return rc;
    if (!S_ISLNK(info.st_mode)) return S_ISDIR(info.st_mode) ? EISDIR : EEXIST;
    return dfs_remove(dfs_, obj_of(dir), name.c_str(), false, nullptr);
  }

  dfs_t* const dfs_;
  const std::string path_;
  FlatBatch* const flats_;
};

}  // namespace

std::unique_ptr<Side> container_side(dfs_t* dfs, const std::string& path, FlatBatch* flats) {
  return std::make_unique<Container>(dfs, path, flats);
}

}  // namespace cairn::tool
