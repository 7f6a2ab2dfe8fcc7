// The two backends behind make_io_backend(). Internal to runtime/; tests make them directly.
#pragma once

#include "runtime/io.h"

namespace cairn {

/// @error not_supported  the kernel refuses io_uring (seccomp, sysctl, no memory for the ring)
Result<std::unique_ptr<IoBackend>> make_uring_backend(IoDrivers drivers = IoDrivers::any);
/// `threads` of them start with the first file request; sockets need none.
std::unique_ptr<IoBackend> make_thread_backend(unsigned threads);

inline constexpr uint32_t kIoRetriesMax = 1000;

/// Takes the outcome of one attempt (bytes or -errno) into `request`.
/// Returns true if the rest must be tried again; else `result` is final.
bool io_retry(IoRequest& request, int64_t outcome);
/// What came of a connect that was begun earlier: 0, -errno, or -EAGAIN: the socket is neither
/// connected nor in error (still under way, or never begun).
int64_t connect_outcome(int fd);
/// The rest of the request.
inline std::byte* io_rest_data(const IoRequest& r) { return r.data + r.moved; }
inline uint32_t io_rest_bytes(const IoRequest& r) { return r.bytes - r.moved; }
inline uint64_t io_rest_offset(const IoRequest& r) { return r.offset + r.moved; }

}  // namespace cairn
