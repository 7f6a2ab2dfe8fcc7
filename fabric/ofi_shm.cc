#include "fabric/ofi_shm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rdma/fabric.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string_view>

namespace cairn::fabric {

namespace {

constexpr char kDirectory[] = "/dev/shm";
constexpr std::string_view kScheme = "fi_shm://";
constexpr std::string_view kPrefix = "cairn.ofi.";
/// Of libfabric 1.17: a region begins with a page that has the owner's process id and the lock.
constexpr uint32_t kKnownVersion = FI_VERSION(1, 17);
constexpr size_t kHeadBytes = 4096;
constexpr size_t kProcessAt = 4;
constexpr size_t kLockAt = 24;

pthread_spinlock_t* lock_of(void* memory) {
  return reinterpret_cast<pthread_spinlock_t*>(static_cast<std::byte*>(memory) + kLockAt);
}

/// What an unlocked lock looks like; it differs between processors.
int unlocked() {
  pthread_spinlock_t lock;
  pthread_spin_init(&lock, PTHREAD_PROCESS_SHARED);
  return lock;
}

/// Process ids mean something inside one of these only.
uint64_t pid_namespace() {
  struct stat status;
  return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

/// Of all regions of this user and pid namespace.
std::string own_prefix() {
  return std::string(kPrefix) + std::to_string(geteuid()) + "." + std::to_string(pid_namespace()) +
         ".";
}

}  // namespace

std::string fresh_shm_name(Random& random) {
  return own_prefix() + std::to_string(getpid()) + "." + std::to_string(random.next());
}

void sweep_shm_regions() {
  DIR* const directory = opendir(kDirectory);
  if (directory == nullptr) return;
  const std::string prefix = own_prefix();
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name(entry->d_name);
    if (!name.starts_with(prefix)) continue;
    pid_t pid = 0;
    const std::string_view rest = name.substr(prefix.size());
    const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
    if (parsed.ec != std::errc() || pid <= 0) continue;
    if (kill(pid, 0) != 0 && errno == ESRCH) unlinkat(dirfd(directory), entry->d_name, 0);
  }
  closedir(directory);
}

ShmGuard::~ShmGuard() {
  for (const Region& each : regions_) munmap(each.memory, kHeadBytes);
}

Result<void> ShmGuard::watch(ByteView name, uint32_t library_version) {
  if (library_version != kKnownVersion) {
    return fail(Errc::not_supported,
                "ofi: shared memory is known to outlive killed processes with libfabric 1.17 only, "
                "and this is another version: use the home's Unix socket or ofi+tcp;ofi_rxm");
  }
  std::string_view text = as_chars(name);
  text = text.substr(0, text.find('\0'));
  if (text.starts_with(kScheme)) text.remove_prefix(kScheme.size());
  if (!text.starts_with(kPrefix) || text.find('/') != std::string_view::npos) {
    return fail(Errc::nonexistent, "ofi: the peer's name in shared memory is none of ours");
  }
  std::string file = "/" + std::string(text);
  const int fd = shm_open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
  if (fd < 0) return fail(Errc::nonexistent, "ofi: the peer's region in shared memory is gone");
  struct stat status;
  const bool fits = fstat(fd, &status) == 0 && (status.st_uid == geteuid() || status.st_uid == 0) &&
                    static_cast<size_t>(status.st_size) >= kHeadBytes;
  void* const memory =
      fits ? mmap(nullptr, kHeadBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  close(fd);
  if (memory == MAP_FAILED) {
    return fail(Errc::nonexistent, "ofi: the peer's region in shared memory cannot be read");
  }
  regions_.push_back({.memory = memory, .file = std::move(file)});
  // The first one is ours, and nobody is in it yet: it must look as we know it.
  int32_t owner = 0;
  std::memcpy(&owner, static_cast<const std::byte*>(memory) + kProcessAt, sizeof(owner));
  if (regions_.size() == 1 && (owner != getpid() || !free())) {
    return fail(Errc::not_supported,
                "ofi: this libfabric's shared memory has a layout that is not known: use the "
                "home's Unix socket or ofi+tcp;ofi_rxm");
  }
  return {};
}

bool ShmGuard::free() const {
  static const int kFree = unlocked();
  for (const Region& each : regions_) {
    if (*lock_of(each.memory) != kFree) return false;
  }
  return true;
}

void ShmGuard::break_locks() {
  for (const Region& each : regions_) {
    pthread_spin_init(lock_of(each.memory), PTHREAD_PROCESS_SHARED);
    shm_unlink(each.file.c_str());
  }
}

}  // namespace cairn::fabric
