#include "bench/file_side.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <latch>
#include <thread>
#include <vector>

#include "bench/harness.h"

namespace cairn::bench {

namespace {

const std::array<char, kFileBytes>& content() {
  static const auto bytes = [] {
    std::array<char, kFileBytes> made{};
    for (size_t i = 0; i < made.size(); ++i) made[i] = static_cast<char>(i * 31 + (i >> 8));
    return made;
  }();
  return bytes;
}

class DfsFolder final : public Folder {
 public:
  DfsFolder(dfs_t* dfs, const std::string& name) : dfs_(dfs) {
    must(dfs_mkdir(dfs_, nullptr, name.c_str(), 0755, 0), "dfs_mkdir");
    must(dfs_lookup_rel(dfs_, nullptr, name.c_str(), O_RDWR, &top_, nullptr, nullptr),
         "dfs_lookup_rel");
  }
  ~DfsFolder() override { must(dfs_release(top_), "dfs_release"); }

  void create(const std::string& name) override {
    dfs_obj_t* file = nullptr;
    must(dfs_open(dfs_, top_, name.c_str(), S_IFREG | 0644, O_CREAT | O_EXCL | O_RDWR, 0, 0,
                  nullptr, &file),
         "dfs_open");
    d_iov_t iov;
    d_iov_set(&iov, const_cast<char*>(content().data()), kFileBytes);
    d_sg_list_t sgl{1, 0, &iov};
    must(dfs_write(dfs_, file, &sgl, 0, nullptr), "dfs_write");
    must(dfs_release(file), "dfs_release");
  }
  void stat(const std::string& name) override {
    struct stat found{};
    must(dfs_stat(dfs_, top_, name.c_str(), &found), "dfs_stat");
    if (found.st_size != kFileBytes) die("dfs_stat gives another size");
  }
  void read(const std::string& name) override {
    dfs_obj_t* file = nullptr;
    must(dfs_open(dfs_, top_, name.c_str(), S_IFREG, O_RDONLY, 0, 0, nullptr, &file), "dfs_open");
    alignas(4096) char into[kFileBytes];
    d_iov_t iov;
    d_iov_set(&iov, into, sizeof into);
    d_sg_list_t sgl{1, 0, &iov};
    daos_size_t got = 0;
    must(dfs_read(dfs_, file, &sgl, 0, &got, nullptr), "dfs_read");
    if (got != kFileBytes || into[4000] != content()[4000]) die("dfs_read gives other bytes");
    must(dfs_release(file), "dfs_release");
  }

 private:
  dfs_t* const dfs_;
  dfs_obj_t* top_ = nullptr;
};

int checked(int result, const char* what) {
  if (result < 0) die(std::string(what) + ": " + std::strerror(errno));
  return result;
}

class HostFolder final : public Folder {
 public:
  HostFolder(const std::string& path, HostFilesOptions options) : options_(options) {
    checked(mkdir(path.c_str(), 0755), "mkdir");
    top_ = checked(open(path.c_str(), O_RDONLY | O_DIRECTORY), "open");
  }
  ~HostFolder() override { ::close(top_); }

  void create(const std::string& name) override {
    const int fd = checked(openat(top_, name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0644), "openat");
    if (pwrite(fd, content().data(), kFileBytes, 0) != kFileBytes) checked(-1, "pwrite");
    if (options_.fsync) checked(::fsync(fd), "fsync");
    checked(::close(fd), "close");
  }
  void stat(const std::string& name) override {
    struct stat found{};
    checked(fstatat(top_, name.c_str(), &found, 0), "fstatat");
    if (found.st_size != kFileBytes) die("fstatat gives another size");
  }
  void read(const std::string& name) override {
    const int flags = O_RDONLY | (options_.direct ? O_DIRECT : 0);
    const int fd = checked(openat(top_, name.c_str(), flags), "openat");
    alignas(4096) char into[kFileBytes];
    if (pread(fd, into, sizeof into, 0) != kFileBytes) checked(-1, "pread");
    if (into[4000] != content()[4000]) die("pread gives other bytes");
    checked(::close(fd), "close");
  }

 private:
  const HostFilesOptions options_;
  int top_ = -1;
};

}  // namespace

DfsFiles::DfsFiles(const std::string& directory, uint64_t pool_bytes)
    : side_(directory, false, pool_bytes) {
  must(dfs_init(), "dfs_init");
  must(dfs_connect(kPoolLabel, nullptr, kContLabel, O_CREAT | O_RDWR, nullptr, &dfs_),
       "dfs_connect");
}

DfsFiles::~DfsFiles() { disconnect(); }

void DfsFiles::disconnect() {
  if (dfs_ == nullptr) return;
  must(dfs_disconnect(dfs_), "dfs_disconnect");
  must(dfs_fini(), "dfs_fini");
  dfs_ = nullptr;
}

std::unique_ptr<Folder> DfsFiles::make_folder(const std::string& name) {
  return std::make_unique<DfsFolder>(dfs_, name);
}

unsigned long long DfsFiles::meta_bytes_after_close() {
  disconnect();
  return side_.meta_bytes_after_close();
}

HostFiles::HostFiles(std::string directory, HostFilesOptions options)
    : directory_(std::move(directory)), options_(options) {
  checked(mkdir(directory_.c_str(), 0755), "mkdir");
}

std::unique_ptr<Folder> HostFiles::make_folder(const std::string& name) {
  return std::make_unique<HostFolder>(directory_ + "/" + name, options_);
}

std::string file_name(size_t thread, uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "t%02zuf%08llu", thread % 100,
                static_cast<unsigned long long>(number));
  return text;
}

double create_files(Folder& folder, size_t threads, double seconds, uint64_t each) {
  std::latch ready(static_cast<ptrdiff_t>(threads) + 1);
  std::atomic<uint64_t> made{0};
  std::atomic<bool> enough{false};
  std::vector<std::thread> running;
  for (size_t t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      ready.arrive_and_wait();
      uint64_t i = 0;
      do {
        folder.create(file_name(t, i));
        ++i;
      } while (i < each && !enough.load(std::memory_order_relaxed));
      made += i;
    });
  }
  ready.arrive_and_wait();
  const double begin = now_seconds();
  while (now_seconds() - begin < seconds && each == UINT64_MAX) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  enough = each == UINT64_MAX;
  for (auto& thread : running) thread.join();
  return static_cast<double>(made.load()) / (now_seconds() - begin);
}

std::string file_system_name(const std::string& directory) {
  struct statfs status{};
  checked(statfs(directory.c_str(), &status), "statfs");
  static constexpr struct {
    unsigned long magic;
    const char* name;
  } kKnown[] = {{0xef53, "ext4"},      {0x58465342, "xfs"},       {0x9123683e, "btrfs"},
                {0x01021994, "tmpfs"}, {0x794c7630, "overlayfs"}, {0x2fc12fc1, "zfs"},
                {0xf2f52010, "f2fs"}};
  const auto magic = static_cast<unsigned long>(status.f_type);
  for (const auto& known : kKnown) {
    if (known.magic == magic) return known.name;
  }
  char text[20];
  std::snprintf(text, sizeof text, "0x%lx", magic);
  return text;
}

}  // namespace cairn::bench
