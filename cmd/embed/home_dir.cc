#include "cmd/embed/home_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/report.h"

namespace cairn::embed {
namespace {

namespace fs = std::filesystem;

// What may lie in a directory whose home is not complete: the rest of an interrupted creation.
constexpr std::string_view kOurs[] = {
    "lock",       "home.new", "system",     "pools",          "storage.new", "storage",
    "lost+found", "socket",   "server.log", "server.log.old", "token",       "token.new",
    "engines",    "secret",   "secret.new", "machine",        "machine.new"};

struct NetworkType {
  uint32_t magic;
  const char* name;
};
constexpr NetworkType kNetworkTypes[] = {
    {0x6969, "NFS"},          {0x517B, "SMB"},          {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},     {0x0BD00BD0, "Lustre"},   {0x00C36400, "Ceph"},
    {0x5346414F, "AFS"},      {0x47504653, "GPFS"},     {0x19830326, "BeeGFS"},
    {0xAAD7AAEA, "PanFS"},    {0x73757245, "Coda"},     {0x7461636F, "OCFS2"},
    {0x01161970, "GFS2"},
};

Result<void> check_local(const std::string& home) {
  const char* allowed = std::getenv("CAIRN_ALLOW_NETWORK_FS");
  if (allowed != nullptr && std::string_view(allowed) == "1") return {};
  struct statfs status;
  if (statfs(home.c_str(), &status) != 0)
    return report_errno(home, "look at its file system", errno);
  for (const auto& type : kNetworkTypes) {
    if (static_cast<uint32_t>(status.f_type) != type.magic) continue;
    report(Severity::error,
           home + ": lies on a network file system (" + type.name +
               "), where locks and flushes are not safe; choose a local directory with CAIRN_HOME, "
               "or set CAIRN_ALLOW_NETWORK_FS=1 if only this machine uses it");
    return fail(Errc::not_supported, "home: on a network file system");
  }
  return {};
}

/// Returns 0 or errno.
int sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

std::string parent_of(const std::string& path) {
  const auto parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

Result<void> check_nothing_foreign(const std::string& home) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(home, error)) {
    const std::string name = entry.path().filename().string();
    if (std::ranges::find(kOurs, name) != std::end(kOurs)) continue;
    report(Severity::error, home + ": holds other files (such as " + name +
                                ") and no home; choose an empty or a new directory");
    return fail(Errc::format_invalid, "home: the directory holds other files and no home");
  }
  if (error) return report_errno(home, "list it", error.value());
  return {};
}

const char* way_out(Errc code) {
  switch (code) {
    case Errc::format_newer: return "use the newer version of this program";
    case Errc::checksum: return "restore this file from a backup";
    default: return "choose another directory with CAIRN_HOME";
  }
}

}  // namespace

bool has_home(const std::string& home) { return access((home + "/home").c_str(), F_OK) == 0; }

std::unexpected<Error> report_no_home(const std::string& home) {
  report(Severity::error, home + ": there is no home; make one by creating a pool, or set "
                                 "CAIRN_HOME to the right directory");
  return fail(Errc::nonexistent, "home: none in that directory");
}

std::unexpected<Error> report_errno(const std::string& path, const char* doing, int error) {
  std::string line = path + ": cannot " + doing + ": " + std::strerror(error);
  Error result{Errc::io, "home: the medium failed"};
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      line += "; make it writable for this user or choose another home with CAIRN_HOME";
      result = {Errc::no_perm, "home: the file system does not permit it"};
      break;
    case ENOSPC:
    case EDQUOT:
      line += "; free space there or choose another home with CAIRN_HOME";
      result = {Errc::no_space, "home: the file system or quota is full"};
      break;
    case ENOENT: result = {Errc::nonexistent, "home: no such file or directory"}; break;
    case ENOTDIR: result = {Errc::not_dir, "home: not a directory"}; break;
    default: break;
  }
  report(Severity::error, line);
  return fail(result);
}

std::optional<Bytes> read_small_file(const std::string& path, size_t bytes_max) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  Bytes out(bytes_max + 1);
  size_t have = 0;
  ssize_t got = 0;
  while (have < out.size() && (got = ::read(fd, out.data() + have, out.size() - have)) > 0) {
    have += static_cast<size_t>(got);
  }
  ::close(fd);
  if (got < 0 || have > bytes_max) return std::nullopt;
  out.resize(have);
  return out;
}

Result<std::string> resolve_home(const std::string& path) {
  std::string chosen = path;
  const char* configured = std::getenv("CAIRN_HOME");
  if (chosen.empty() && configured != nullptr) chosen = configured;
  if (chosen.empty()) {
    const char* user = std::getenv("HOME");
    const passwd* entry = user != nullptr ? nullptr : getpwuid(getuid());
    if (entry != nullptr) user = entry->pw_dir;
    if (user == nullptr || *user == '\0') {
      report(Severity::error, "no home: set CAIRN_HOME to a directory");
      return fail(Errc::invalid, "home: neither CAIRN_HOME nor HOME is set");
    }
    chosen = std::string(user) + "/.cairn";
  }
  std::error_code error;
  const auto absolute = fs::absolute(chosen, error).lexically_normal();
  if (error) return report_errno(chosen, "find it", error.value());
  std::string out = absolute.string();
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

Result<void> make_directory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST) return {};
    return report_errno(path, "make the directory", errno);
  }
  if (const int error = sync_directory(parent_of(path)); error != 0) {
    return report_errno(path, "make the directory durable", error);
  }
  return {};
}

Result<void> remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return report_errno(path, "remove it", error.value());
  const int failed = sync_directory(parent_of(path));
  if (failed != 0 && failed != ENOENT) return report_errno(path, "remove it durably", failed);
  return {};
}

Result<void> prepare_home(const std::string& home, bool create) {
  struct stat status;
  if (stat(home.c_str(), &status) != 0) {
    if (errno != ENOENT) return report_errno(home, "look at it", errno);
    if (!create) {
      report(Severity::error, home + ": there is no home; make one by creating a pool, or set "
                              "CAIRN_HOME to the right directory");
      return fail(Errc::nonexistent, "home: no such directory");
    }
    TRY(made, make_directory(home));
    return check_local(home);
  }
  if (!S_ISDIR(status.st_mode)) return report_errno(home, "use it as a home", ENOTDIR);
  if (access(home.c_str(), R_OK | W_OK | X_OK) != 0) {
    return report_errno(home, "write to it", errno);
  }
  return check_local(home);
}

Result<std::optional<HomeFile>> load_home(const std::string& home) {
  const std::string path = home + "/home";
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    TRY(fine, check_nothing_foreign(home));
    return std::optional<HomeFile>();
  }
  const auto bytes = read_small_file(path, 1u << 20);
  if (!bytes && access(path.c_str(), R_OK) != 0) return report_errno(path, "read it", errno);
  const auto parsed =
      bytes ? parse_home(*bytes)
            : Result<HomeFile>(fail(Errc::format_invalid, "home: not a file of ours"));
  if (!parsed) {
    report(Severity::error,
           path + ": " + parsed.error().what() + "; " + way_out(parsed.error().code()));
    return fail(parsed.error());
  }
  return std::optional<HomeFile>(*parsed);
}

Result<void> store_small_file(const std::string& directory, const char* name, ByteView bytes) {
  const std::string path = directory + "/" + name, fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return report_errno(fresh, "make it", errno);
  const ssize_t written = ::write(fd, bytes.data(), bytes.size());
  int error = written == static_cast<ssize_t>(bytes.size()) ? 0 : (written < 0 ? errno : ENOSPC);
  if (error == 0 && fsync(fd) != 0) error = errno;
  ::close(fd);
  if (error != 0) return report_errno(fresh, "write it", error);
  if (rename(fresh.c_str(), path.c_str()) != 0) return report_errno(path, "make it", errno);
  if ((error = sync_directory(directory)) != 0) {
    return report_errno(path, "make it durable", error);
  }
  return {};
}

Result<FoundHome> find_home(const std::string& path) {
  TRY(resolved, resolve_home(path));
  TRY(usable, prepare_home(resolved, false));
  TRY(found, load_home(resolved));
  if (!found) return report_no_home(resolved);
  return FoundHome{resolved, *found};
}

Result<void> store_home(const std::string& home, const HomeFile& file) {
  return store_small_file(home, "home", encode_home(file));
}

}  // namespace cairn::embed
