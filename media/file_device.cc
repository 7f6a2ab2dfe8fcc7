#include "media/file_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/report.h"
#include "media/flush_cover.h"
#include "media/portable_device.h"

namespace cairn::media {
namespace {

constexpr uint32_t kFillBytes = 1u << 20;
// One request's limit: the kernel moves at most 2 GiB - 4 KiB at once.
constexpr uint64_t kRequestBytesMax = 1u << 30;

Error from_errno(int error) {
  switch (error) {
    case EEXIST: return {Errc::exists, "file device: the file exists already"};
    case ENOENT: return {Errc::nonexistent, "file device: no such file or directory"};
    case EACCES:
    case EPERM:
    case EROFS: return {Errc::no_perm, "file device: the file system does not permit it"};
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return {Errc::no_space, "file device: the file system or quota is full"};
    default: return {Errc::io, "file device: the medium failed"};
  }
}

std::unexpected<Error> refuse(const std::string& path, const char* doing, int error) {
  const Error result = from_errno(error);
  std::string line = path + ": cannot " + doing + ": " + std::strerror(error);
  if (result.code() == Errc::no_space) {
    line += "; free space there, ask for a smaller size, or use another directory";
  } else if (result.code() == Errc::no_perm) {
    line += "; make it writable for this user or use another directory";
  }
  report(Severity::error, line);
  return fail(result);
}

struct IoAwaiter {
  Reactor& reactor;
  IoRequest request;
  std::coroutine_handle<> awaiter = nullptr;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) {
    awaiter = h;
    request.owner = this;
    request.done = [](IoRequest& r) {
      auto* self = static_cast<IoAwaiter*>(r.owner);
      self->reactor.schedule(self->awaiter);
    };
    reactor.io()->submit(request);
  }
  int64_t await_resume() const noexcept { return request.result; }
};

bool wants_discards(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISBLK(status.st_mode)) return false;
  return takes_discards("/sys/dev/block/" + std::to_string(major(status.st_rdev)) + ":" +
                        std::to_string(minor(status.st_rdev)));
}

class FileDevice final : public PortableDevice {
 public:
  FileDevice(Reactor& reactor, int fd, uint64_t bytes, bool direct)
      : reactor_(reactor),
        fd_(fd),
        bytes_(bytes),
        direct_(direct),
        wants_discard_(wants_discards(fd)),
        cover_(fd, direct, bytes) {}
  ~FileDevice() override { ::close(fd_); }

  uint64_t size_bytes() const override { return bytes_; }

  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    check_range(offset, into.size());
    if (offset + into.size() > bytes_) co_return fail(Errc::io, "file device: read past the end");
    if (aligned(into.data())) {
      co_return co_await transfer(IoRequest::Op::read, offset, into.data(), into.size());
    }
    AlignedBuffer bounce(into.size());
    CO_TRY(done, co_await transfer(IoRequest::Op::read, offset, bounce.data(), into.size()));
    std::memcpy(into.data(), bounce.data(), into.size());
    co_return Result<void>{};
  }

  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    return write_as(IoRequest::Op::write, offset, from);
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    const FlushCover::Regions seen = cover_.before_durable_write(offset, from.size());
    if (seen.end == 0) return write_as(IoRequest::Op::write_durable, offset, from);
    return write_seen(offset, from, seen);
  }
  uint64_t flush_domain() const override { return cover_.domain(); }
  bool flush_covers(uint64_t offset, uint64_t bytes) override {
    return cover_.covers(offset, bytes);
  }

  Task<Result<void>> flush() override {
    const int64_t result = co_await IoAwaiter{reactor_, {.op = IoRequest::Op::flush, .fd = fd_}};
    if (result < 0) co_return fail(from_errno(static_cast<int>(-result)));
    co_return Result<void>{};
  }

  Task<void> discard(uint64_t offset, uint64_t bytes) override {
    check_range(offset, bytes);
    cover_.forget(offset, bytes);
    for (const uint64_t end = offset + bytes; offset < end;) {
      const auto part = static_cast<uint32_t>(std::min(end - offset, kRequestBytesMax));
      // A hint: a file system without holes is no worse off.
      const int64_t result = co_await IoAwaiter{
          reactor_, {.op = IoRequest::Op::punch_hole, .fd = fd_, .bytes = part, .offset = offset}};
      if (result < 0) {
        wants_discard_ = false;
        co_return;
      }
      offset += part;
    }
  }
  bool wants_discard() const override { return wants_discard_; }

  Result<std::unique_ptr<Device>> on(Reactor& reactor) const override {
    const int fd = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return fail(Errc::no_memory, "file device: no more descriptors");
    return std::make_unique<FileDevice>(reactor, fd, bytes_, direct_);
  }

 private:
  static void check_range(uint64_t offset, uint64_t bytes) {
    CHECK(offset % kBlockBytes == 0);
    CHECK(bytes % kBlockBytes == 0);
  }
  bool aligned(const std::byte* data) const {
    return !direct_ || reinterpret_cast<uintptr_t>(data) % kBlockBytes == 0;
  }

  Task<Result<void>> write_as(IoRequest::Op op, uint64_t offset, ByteView from) {
    check_range(offset, from.size());
    if (offset + from.size() > bytes_) co_return fail(Errc::io, "file device: write past the end");
    // The request type has one pointer for both directions; a write only reads through it.
    auto* data = const_cast<std::byte*>(from.data());
    AlignedBuffer bounce;
    if (!aligned(data)) {
      bounce = AlignedBuffer(from.size());
      std::memcpy(bounce.data(), from.data(), from.size());
      data = bounce.data();
    }
    co_return co_await transfer(op, offset, data, from.size());
  }

  Task<Result<void>> write_seen(uint64_t offset, ByteView from, FlushCover::Regions seen) {
    CO_TRY(done, co_await write_as(IoRequest::Op::write_durable, offset, from));
    cover_.after_durable_write(seen);
    co_return Result<void>{};
  }

  Task<Result<void>> transfer(IoRequest::Op op, uint64_t offset, std::byte* data, uint64_t bytes) {
    while (bytes != 0) {
      const auto part = static_cast<uint32_t>(std::min(bytes, kRequestBytesMax));
      const int64_t result = co_await IoAwaiter{
          reactor_, {.op = op, .fd = fd_, .data = data, .bytes = part, .offset = offset}};
      if (result < 0) co_return fail(from_errno(static_cast<int>(-result)));
      if (result != part) co_return fail(Errc::io, "file device: the file ended early");
      offset += part;
      data += part;
      bytes -= part;
    }
    co_return Result<void>{};
  }

  Reactor& reactor_;
  const int fd_;
  const uint64_t bytes_;
  const bool direct_;
  bool wants_discard_;  // until it refuses one
  FlushCover cover_;
};

/// Switches O_DIRECT on if the file system takes it; returns whether.
bool go_direct(int fd, uint64_t bytes) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_DIRECT) != 0) return false;
  // Some file systems accept the flag and refuse the I/O.
  AlignedBuffer block(kBlockBytes);
  if (bytes >= kBlockBytes && pread(fd, block.data(), kBlockBytes, 0) < 0 && errno == EINVAL) {
    fcntl(fd, F_SETFL, flags);
    return false;
  }
  return true;
}

int reserve(int fd, uint64_t bytes) {
  int rc;
  do {
    rc = fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  } while (rc != 0 && errno == EINTR);
  if (rc != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
    rc = ftruncate(fd, static_cast<off_t>(bytes));
  }
  return rc == 0 ? 0 : errno;
}

bool is_block_device(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
}

/// False: not a file (with `whole`: nor a block device).
bool length_of(int fd, bool whole, uint64_t& bytes) {
  struct stat status;
  if (fstat(fd, &status) != 0) return false;
  bytes = static_cast<uint64_t>(status.st_size);
  if (S_ISREG(status.st_mode)) return true;
  return whole && S_ISBLK(status.st_mode) && ioctl(fd, BLKGETSIZE64, &bytes) == 0;
}

/// Makes the directory entry durable. Returns 0 or errno.
int sync_directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

Task<Result<void>> fill_with_zeros(Device& device) {
  AlignedBuffer zeros(kFillBytes);
  for (uint64_t offset = 0; offset < device.size_bytes();) {
    const uint64_t part = std::min<uint64_t>(kFillBytes, device.size_bytes() - offset);
    CO_TRY(done, co_await device.write(offset, zeros.view().first(part)));
    offset += part;
  }
  co_return co_await device.flush();
}

Task<Result<std::unique_ptr<Device>>> create_file_device(Reactor& reactor, std::string path,
                                                         FileDeviceOptions options) {
  if (options.bytes == 0 || options.bytes % kBlockBytes != 0) {
    co_return fail(Errc::invalid, "file device: the size must be a positive multiple of 4096");
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) co_return refuse(path, "create it", errno);
  if (const int error = reserve(fd, options.bytes); error != 0) {
    ::close(fd);
    ::unlink(path.c_str());
    co_return refuse(path, "reserve space for it", error);
  }
  const bool direct = go_direct(fd, options.bytes);
  auto device = std::make_unique<FileDevice>(reactor, fd, options.bytes, direct);
  Result<void> filled;
  if (options.fill) filled = co_await fill_with_zeros(*device);
  int error = 0;
  if (filled) error = fsync(fd) != 0 ? errno : sync_directory_of(path);
  if (!filled || error != 0) {
    device.reset();
    ::unlink(path.c_str());
    if (error != 0) co_return refuse(path, "make it durable", error);
    report(Severity::error, path + ": cannot fill it with zeros: " + filled.error().what());
    co_return fail(filled.error());
  }
  co_return std::unique_ptr<Device>(std::move(device));
}

}  // namespace

bool takes_discards(const std::string& sys_directory) {
  // A partition's queue is that of its disk, which is the directory above it.
  for (const char* queue : {"/queue/", "/../queue/"}) {
    const std::string path = sys_directory + queue + "discard_max_bytes";
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    char text[32];
    const ssize_t bytes = ::read(fd, text, sizeof(text));
    ::close(fd);
    uint64_t most = 0;
    const auto parsed = std::from_chars(text, text + std::max<ssize_t>(bytes, 0), most);
    return parsed.ec == std::errc() && most > 0;
  }
  return false;
}

Task<Result<std::unique_ptr<Device>>> open_file_device(Reactor& reactor, std::string path,
                                                       FileDeviceOptions options) {
  CHECK(reactor.io() != nullptr);
  if (options.create) {
    co_return co_await create_file_device(reactor, std::move(path), options);
  }
  // O_EXCL on a block device: refused while it is mounted or a part of something else.
  const int exclusive = options.whole && is_block_device(path) ? O_EXCL : 0;
  const int fd =
      ::open(path.c_str(), (options.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | exclusive);
  if (fd < 0) co_return refuse(path, "open it", errno);
  uint64_t bytes = 0;
  if (!length_of(fd, options.whole, bytes)) {
    ::close(fd);
    report(Severity::error, path + (options.whole ? ": is neither a regular file nor a block device"
                                                  : ": is not a regular file"));
    co_return fail(Errc::format_invalid, "file device: not a regular file");
  }
  if (options.whole) bytes = round_down(bytes, kBlockBytes);
  if (bytes == 0 || bytes % kBlockBytes != 0) {
    ::close(fd);
    report(Severity::error,
           path + ": its length is not a multiple of 4096: truncated, or not a file of ours");
    co_return fail(Errc::format_invalid, "file device: bad length");
  }
  const bool direct = go_direct(fd, bytes);
  co_return std::unique_ptr<Device>(std::make_unique<FileDevice>(reactor, fd, bytes, direct));
}

}  // namespace cairn::media
