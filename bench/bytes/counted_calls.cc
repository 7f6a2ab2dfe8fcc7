// The calls of the C library that are counted end here instead; so do those of shared libraries.
// They are slower, which nobody minds who counts.
#include "bench/bytes/counted_calls.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>

#include "base/byte_counts.h"

namespace cairn::bench {

namespace {

struct Counts {
  std::atomic<uint64_t> copied{0}, filled{0}, sent{0}, received{0}, summed{0};
};
Counts counts;

void count(std::atomic<uint64_t>& in, size_t bytes) {
  if (bytes >= kCountedBytesMin) in.fetch_add(bytes, std::memory_order_relaxed);
}

// Before there are threads.
[[maybe_unused]] const bool counts_sums = [] {
  on_summed = [](size_t bytes) { count(counts.summed, bytes); };
  return true;
}();

// By instructions that no compiler turns into a call of what they stand in.
void* copy_up(void* to, const void* from, size_t bytes) {
  void* out = to;
  asm volatile("rep movsb" : "+D"(out), "+S"(from), "+c"(bytes) : : "memory");
  return to;
}
void* copy_down(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return to;
  auto* out = static_cast<std::byte*>(to) + bytes - 1;
  const auto* in = static_cast<const std::byte*>(from) + bytes - 1;
  asm volatile("std; rep movsb; cld" : "+D"(out), "+S"(in), "+c"(bytes) : : "memory");
  return to;
}

}  // namespace

BytesMoved BytesMoved::now() {
  return {.copied = counts.copied.load(),
          .filled = counts.filled.load(),
          .sent = counts.sent.load(),
          .received = counts.received.load(),
          .summed = counts.summed.load()};
}

BytesMoved operator-(const BytesMoved& after, const BytesMoved& before) {
  return {.copied = after.copied - before.copied,
          .filled = after.filled - before.filled,
          .sent = after.sent - before.sent,
          .received = after.received - before.received,
          .summed = after.summed - before.summed};
}

}  // namespace cairn::bench

// Also for shared libraries.
#pragma GCC visibility push(default)
extern "C" {

void* memcpy(void* to, const void* from, size_t bytes) {
  cairn::bench::count(cairn::bench::counts.copied, bytes);
  return cairn::bench::copy_up(to, from, bytes);
}

void* memmove(void* to, const void* from, size_t bytes) {
  cairn::bench::count(cairn::bench::counts.copied, bytes);
  // From the front, unless that would overwrite what is still to be read.
  const auto ahead = reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from);
  return ahead >= bytes ? cairn::bench::copy_up(to, from, bytes)
                        : cairn::bench::copy_down(to, from, bytes);
}

void* memset(void* to, int value, size_t bytes) {
  cairn::bench::count(cairn::bench::counts.filled, bytes);
  void* out = to;
  asm volatile("rep stosb" : "+D"(out), "+c"(bytes) : "a"(value) : "memory");
  return to;
}

ssize_t recv(int fd, void* data, size_t bytes, int flags) {
  const ssize_t got = syscall(SYS_recvfrom, fd, data, bytes, flags, nullptr, nullptr);
  if (got > 0) cairn::bench::count(cairn::bench::counts.received, static_cast<size_t>(got));
  return got;
}

ssize_t send(int fd, const void* data, size_t bytes, int flags) {
  const ssize_t gone = syscall(SYS_sendto, fd, data, bytes, flags, nullptr, 0);
  if (gone > 0) cairn::bench::count(cairn::bench::counts.sent, static_cast<size_t>(gone));
  return gone;
}

}  // extern "C"
#pragma GCC visibility pop
