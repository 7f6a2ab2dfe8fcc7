#include "runtime/io.h"

#include <errno.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "base/report.h"
#include "runtime/io_backends.h"

namespace cairn {
namespace {
constexpr unsigned kIoThreads = 4;
}

bool io_retry(IoRequest& request, int64_t outcome) {
  using Op = IoRequest::Op;
  if (is_socket_op(request.op)) {
    // It waits as long as it takes, and threads may come and go meanwhile.
    if (outcome == -EINTR || outcome == -ECANCELED) return true;
    if (outcome == -EAGAIN && ++request.retries < kIoRetriesMax) return true;
    request.result = outcome;
    return false;
  }
  // ECANCELED: the kernel gave up a request because the thread that had submitted it ended.
  if (outcome == -EINTR || outcome == -EAGAIN || outcome == -ECANCELED) {
    if (++request.retries < kIoRetriesMax) return true;
    request.result = outcome;
    return false;
  }
  const bool transfers = request.op != Op::flush && request.op != Op::punch_hole;
  if (outcome < 0 || !transfers) {
    request.result = outcome;
    return false;
  }
  request.moved += static_cast<uint32_t>(outcome);
  request.result = request.moved;
  return outcome != 0 && request.moved < request.bytes;
}

Result<std::unique_ptr<IoBackend>> make_io_backend(IoDrivers drivers) {
  const char* env = getenv("CAIRN_IO");
  const std::string_view want = env != nullptr ? env : "";
  if (want != "" && want != "uring" && want != "threads") {
    return fail(Errc::invalid, "CAIRN_IO: must be uring or threads, or unset");
  }
  if (want == "threads") return make_thread_backend(kIoThreads);
  auto ring = make_uring_backend(drivers);
  if (ring || want == "uring") return ring;
  static std::atomic<bool> told{false};
  if (!told.exchange(true)) {
    report(
        Severity::warning,
        "io_uring is refused here (a container profile or sysctl kernel.io_uring_disabled): using "
        "4 I/O threads instead; CAIRN_IO=threads silences this line");
  }
  return make_thread_backend(kIoThreads);
}

std::unique_ptr<IoBackend> make_client_backend() { return make_thread_backend(kIoThreads); }

}  // namespace cairn
