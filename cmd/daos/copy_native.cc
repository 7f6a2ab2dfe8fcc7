// The operating system's side of a copy.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cmd/daos/copy_side.h"

namespace cairn::tool {

namespace {

struct Descriptor final : Side::Handle {
  explicit Descriptor(int number) : fd(number) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() override { close(fd); }
  const int fd;
};

int fd_of(Side::Handle& handle) { return static_cast<Descriptor&>(handle).fd; }

SideResult<Side::HandlePtr> opened(int fd) {
  if (fd < 0) return side_fail(errno);
  return std::make_shared<Descriptor>(fd);
}

SideDone done(int rc) {
  if (rc != 0) return side_fail(errno);
  return {};
}

timespec untouched() { return {.tv_sec = 0, .tv_nsec = UTIME_OMIT}; }

class Native final : public Side {
 public:
  explicit Native(std::string path) : path_(std::move(path)) {}

  SideResult<HandlePtr> open_top_dir() override {
    return opened(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  SideResult<Entry> look_top() override { return look_at(AT_FDCWD, path_, true); }
  SideResult<Entry> look(Handle& dir, const std::string& name) override {
    return look_at(fd_of(dir), name, false);
  }
  SideResult<HandlePtr> open_dir(Handle& dir, const std::string& name) override {
    return opened(openat(fd_of(dir), name.c_str(),
                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }

  SideResult<std::vector<std::string>> list(Handle& dir) override {
    const int fd = openat(fd_of(dir), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* stream = fd < 0 ? nullptr : fdopendir(fd);
    if (stream == nullptr) {
      const int number = errno;
      if (fd >= 0) close(fd);
      return side_fail(number);
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(stream)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
      errno = 0;
    }
    const int number = errno;
    closedir(stream);
    if (number != 0) return side_fail(number);
    return names;
  }

  SideResult<uint64_t> read(Handle& file, uint64_t offset, char* to, uint64_t bytes) override {
    uint64_t got = 0;
    while (got < bytes) {
      const ssize_t n = pread(fd_of(file), to + got, bytes - got, static_cast<off_t>(offset + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return side_fail(errno);
      if (n == 0) break;
      got += static_cast<uint64_t>(n);
    }
    return got;
  }

  SideResult<HandlePtr> make_dir(Handle& dir, const std::string& name, bool* fresh) override {
    *fresh = mkdirat(fd_of(dir), name.c_str(), 0700) == 0;
    if (!*fresh && errno != EEXIST) return side_fail(errno);
    return open_dir(dir, name);
  }

  SideResult<HandlePtr> make_file(Handle& dir, const std::string& name, uint32_t,
                                  bool fresh_dir) override {
    // Private until its mode is set. A link in the way is replaced, not followed.
    const int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (fresh_dir ? O_EXCL : O_TRUNC);
    int fd = openat(fd_of(dir), name.c_str(), flags, 0600);
    if (fd < 0 && errno == ELOOP && unlinkat(fd_of(dir), name.c_str(), 0) == 0) {
      fd = openat(fd_of(dir), name.c_str(), flags, 0600);
    }
    return opened(fd);
  }

  SideDone write(Handle& file, uint64_t offset, const char* from, uint64_t bytes) override {
    while (bytes > 0) {
      const ssize_t n = pwrite(fd_of(file), from, bytes, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return side_fail(n < 0 ? errno : EIO);
      from += n;
      offset += static_cast<uint64_t>(n);
      bytes -= static_cast<uint64_t>(n);
    }
    return {};
  }

  SideDone finish_file(Handle& dir, Handle& file, const struct stat& info, bool durable) override {
    auto ok = finish(fd_of(file), info);
    if (ok && durable) ok = done(fsync(fd_of(file)));
    if (ok && durable) ok = done(fsync(fd_of(dir)));
    return ok;
  }

  SideDone make_link(Handle& dir, const std::string& name, const Entry& from,
                     bool durable) override {
    const int fd = fd_of(dir);
    int rc = symlinkat(from.target.c_str(), fd, name.c_str());
    if (rc != 0 && errno == EEXIST && unlinkat(fd, name.c_str(), 0) == 0) {
      rc = symlinkat(from.target.c_str(), fd, name.c_str());
    }
    if (rc != 0) return side_fail(errno);
    if (geteuid() == 0) {
      rc = fchownat(fd, name.c_str(), from.info.st_uid, from.info.st_gid, AT_SYMLINK_NOFOLLOW);
      if (rc != 0) return side_fail(errno);
    }
    const timespec times[] = {untouched(), from.info.st_mtim};
    if (utimensat(fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return side_fail(errno);
    return durable ? done(fsync(fd)) : SideDone{};
  }

  SideDone finish_dir(Handle& dir, const struct stat& info) override {
    return finish(fd_of(dir), info);
  }

  std::string what() const override { return "the file system of " + path_; }

 private:
  /// Owner before mode: a change of owner takes set-user-id bits away.
  static SideDone finish(int fd, const struct stat& info) {
    if (geteuid() == 0 && fchown(fd, info.st_uid, info.st_gid) != 0) return side_fail(errno);
    if (fchmod(fd, info.st_mode & 07777) != 0) return side_fail(errno);
    const timespec times[] = {untouched(), info.st_mtim};
    return done(futimens(fd, times));
  }

  static SideResult<Entry> look_at(int dir, const std::string& name, bool follow) {
    Entry entry;
    if (fstatat(dir, name.c_str(), &entry.info, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
      return side_fail(errno);
    }
    if (S_ISREG(entry.info.st_mode)) {
      auto file = opened(openat(dir, name.c_str(),
                                O_RDONLY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)));
      if (!file) return side_fail(file.error());
      // What was opened counts, should the name stand for something else by now.
      if (fstat(fd_of(**file), &entry.info) != 0) return side_fail(errno);
      entry.file = *file;
    } else if (S_ISLNK(entry.info.st_mode)) {
      char target[4097];
      const ssize_t n = readlinkat(dir, name.c_str(), target, sizeof target - 1);
      if (n < 0) return side_fail(errno);
      entry.target.assign(target, static_cast<size_t>(n));
    }
    return entry;
  }

  const std::string path_;
};

}  // namespace

std::unique_ptr<Side> native_side(const std::string& path) {
  return std::make_unique<Native>(path);
}

}  // namespace cairn::tool
