#include "cmd/embed/home_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/report.h"
#include "cmd/embed/home_dir.h"

namespace cairn::embed {
namespace {

// Descriptors of locks held by this process. A global, because only a fork handler can see every
// fork: a child that keeps the descriptor would keep the home locked after its parent's death.
constexpr size_t kLocksMax = 128;   // a home of 64 engines, and some more
std::array<std::atomic<int>, kLocksMax> held = {};   // descriptor + 1; 0: free

void close_in_child() {
  for (auto& slot : held) {
    const int fd = slot.exchange(0) - 1;
    if (fd >= 0) ::close(fd);
  }
}

void remember(int fd) {
  static const int registered = pthread_atfork(nullptr, nullptr, close_in_child);
  (void)registered;
  for (auto& slot : held) {
    int free = 0;
    if (slot.compare_exchange_strong(free, fd + 1)) return;
  }
}

void forget(int fd) {
  for (auto& slot : held) {
    int mine = fd + 1;
    if (slot.compare_exchange_strong(mine, 0)) return;
  }
}

struct flock whole_file(short type) {
  struct flock out = {};
  out.l_type = type;
  out.l_whence = SEEK_SET;
  return out;
}

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

std::string boot_id() {
  const auto text = read_small_file("/proc/sys/kernel/random/boot_id", 64);
  if (!text) return "unknown";
  return std::string(as_chars(*text).substr(0, as_chars(*text).find('\n')));
}

std::string field(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) return "unknown";
  const std::string_view rest = text.substr(at + name.size());
  return std::string(rest.substr(0, rest.find('\n')));
}

}  // namespace

HomeLock::HomeLock(int fd) : fd_(fd), pid_(getpid()) { remember(fd); }

HomeLock::HomeLock(HomeLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), pid_(other.pid_) {}

HomeLock& HomeLock::operator=(HomeLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(pid_, other.pid_);
  return *this;
}

HomeLock::~HomeLock() {
  // In a forked child the number may belong to another file by now.
  if (fd_ < 0 || pid_ != getpid()) return;
  forget(fd_);
  // Unlocked by hand: a child forked just now may not have closed its copy yet.
  struct flock whole = whole_file(F_UNLCK);
  fcntl(fd_, F_OFD_SETLK, &whole);
  ::close(fd_);
}

bool signal_holder(const HomeHolder& holder, int which) {
  pid_t pid = 0;
  const auto parsed =
      std::from_chars(holder.pid.data(), holder.pid.data() + holder.pid.size(), pid);
  const bool fine = parsed.ec == std::errc() && parsed.ptr == holder.pid.data() + holder.pid.size();
  if (!fine || pid <= 0 || holder.host != host_name()) return false;
  // Whoever has just taken the lock has not written its own number yet.
  const auto name = read_small_file("/proc/" + holder.pid + "/comm", 64);
  if (!name || as_chars(*name) != "daos_engine\n") return false;
  return ::kill(pid, which) == 0;
}

void report_holder(const std::string& home, const HomeHolder& holder) {
  std::string line = home + ": in use by process " + holder.pid;
  if (holder.host != host_name()) line += " on host " + holder.host;
  if (holder.use == HomeUse::server) {
    line += ", which serves it to others; wait until they end, or stop it (cairn down)";
  } else {
    line += "; wait until it ends or stop it (kill " + holder.pid +
            "), or choose another home with CAIRN_HOME";
  }
  report(Severity::error, line);
}

std::optional<HomeHolder> HomeLock::holder(const std::string& home) {
  const std::string path = home + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  struct flock whole = whole_file(F_WRLCK);
  const bool held = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
  ::close(fd);
  if (!held) return std::nullopt;
  const auto bytes = read_small_file(path, 4096);
  const std::string_view text = bytes ? as_chars(*bytes) : std::string_view();
  return HomeHolder{.pid = field(text, "pid "),
                    .host = field(text, "host "),
                    .use = field(text, "mode ") == "server" ? HomeUse::server : HomeUse::embed};
}

Result<HomeLock> HomeLock::take(const std::string& home, HomeUse use) {
  const std::string path = home + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return report_errno(path, "open it", errno);
  struct flock whole = whole_file(F_WRLCK);
  if (fcntl(fd, F_OFD_SETLK, &whole) != 0) {
    const int error = errno;
    ::close(fd);
    if (error != EAGAIN && error != EACCES) return report_errno(path, "lock it", error);
    return fail(Errc::busy, "home: another process has it open");
  }
  HomeLock lock(fd);
  const std::string text = "pid " + std::to_string(getpid()) + "\nhost " + host_name() +
                           "\nboot " + boot_id() + "\nmode " +
                           (use == HomeUse::server ? "server" : "embed") + "\n";
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return report_errno(path, "write it", errno);
  }
  return lock;
}

}  // namespace cairn::embed
