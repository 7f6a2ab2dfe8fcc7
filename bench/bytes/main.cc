// cairn_bytes DIRECTORY: how often each byte of a payload is copied and summed on its way between a
// client's buffer and a served home's devices, both ends together: threads of this process.
// Prints a JSON object; ends with 1 if it is more often than it has to be. For `net.read.*` and
// `net.write.*` (bench/net_cases.cc), and a test of its own.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <semaphore>
#include <string>
#include <thread>

#include "bench/bytes/counted_calls.h"
#include "client/array.h"
#include "client/home.h"
#include "cmd/engine/home_server.h"
#include "media/device.h"
#include "runtime/context.h"

namespace cairn::bench {

namespace {

constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kSlots = 16;
constexpr double kRounds = 4;
// On one target.
constexpr model::ObjectId kObject{.lo = 1, .hi = uint64_t{1} << 48 | uint64_t{1} << 32};

/// For each byte of payload. An index and its log are written beside it, and the ends of messages
/// pass a buffer: so much more is none.
constexpr double kBeside = 0.1;
struct Bounds {
  double copied, summed, sent;
};
/// A client copies into a message that outlives the call (docs/decisions/0014), or out of one; the
/// kernel copies into a socket and out of it. Client and engine each sum once.
constexpr Bounds kBounds{.copied = 1, .summed = 2, .sent = 1};
#ifdef CAIRN_DEBUG_CHECKS
constexpr double kSummedByChecks = 1;  // what a reply's payload is said to have
#else
constexpr double kSummedByChecks = 0;
#endif

template <class T>
T must(Result<T> outcome, const char* what) {
  if (!outcome) {
    std::fprintf(stderr, "cairn_bytes: %s: %s\n", what, outcome.error().what());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*outcome);
}

/// The home's server, in a thread of this process.
class Served {
 public:
  explicit Served(const std::string& home)
      : server_(must(engine_program::HomeServer::open({.home = home, .linger_ns = kNever}),
                     "the server")) {
    thread_ = std::thread([this] { must(server_->run([this] { ready_.release(); }), "serving"); });
    ready_.acquire();
  }
  ~Served() {
    server_->leave();
    thread_.join();
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

 private:
  std::unique_ptr<engine_program::HomeServer> server_;
  std::binary_semaphore ready_{0};
  std::thread thread_;
};

/// An array in a container of a served home, a MiB a call.
class Array {
 public:
  explicit Array(const std::string& home)
      : system_(must(client::open_home({.mode = client::HomeMode::connect, .path = home}),
                     "connecting")) {
    must(run(system_->pool_create({.label = "bytes", .bytes = 1u << 30})), "pool_create");
    pool_ = must(run(system_->pool_connect("bytes", client::Access::read_write)), "pool_connect");
    must(run(pool_->cont_create("bytes", {})), "cont_create");
    container_ = must(run(pool_->cont_open("bytes", client::Access::read_write)), "cont_open");
  }
  ~Array() {
    must(run(container_->close()), "cont_close");
    must(run(pool_->disconnect()), "pool_disconnect");
    must(system_->shutdown(), "closing");
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  void pass(bool reading) {
    for (uint64_t slot = 0; slot < kSlots; ++slot) {
      const client::CellRanges ranges{{.index = slot * kMiB, .count = kMiB}};
      const IoVecs buffer{{buffer_.data(), kMiB}};
      const client::ArrayShape shape{.chunk_cells = kMiB};
      if (reading) {
        must(run(client::array_read(container_, kObject, shape, ranges, buffer, true)), "reading");
      } else {
        must(run(client::array_write(container_, kObject, shape, ranges, buffer)), "writing");
      }
    }
  }

 private:
  template <class T>
  T run(Task<T> task) {
    return system_->context().run(std::move(task));
  }
  std::unique_ptr<client::System> system_;
  client::PoolPtr pool_;
  client::ContainerPtr container_;
  media::AlignedBuffer buffer_{kMiB};
};

/// Returns false if there was too much.
bool count(Array& array, bool reading) {
  array.pass(reading);  // what is made once
  const BytesMoved before = BytesMoved::now();
  for (int round = 0; round < static_cast<int>(kRounds); ++round) array.pass(reading);
  const BytesMoved moved = BytesMoved::now() - before;
  const auto each = [](uint64_t bytes) {
    return static_cast<double>(bytes) / (kRounds * static_cast<double>(kSlots * kMiB));
  };
  std::printf(
      "\"%s\": {\"copies_per_byte\": %.2f, \"kernel_copies_per_byte\": %.2f, "
      "\"checksum_passes_per_byte\": %.2f, \"fills_per_byte\": %.2f}",
      reading ? "read" : "write", each(moved.copied), each(moved.sent) + each(moved.received),
      each(moved.summed), each(moved.filled));
  return each(moved.copied) < kBounds.copied + kBeside &&
         each(moved.summed) < kBounds.summed + (reading ? kSummedByChecks : 0) + kBeside &&
         each(moved.filled) < kBeside && each(moved.sent) < kBounds.sent + kBeside &&
         each(moved.received) < 1 + kBeside;
}

int run(const std::string& directory) {
  const std::string home = directory + "/home";
  must(client::make_home(home, {}), "make_home");
  const Served served(home);
  Array array(home);
  std::printf("{");
  const bool writes_fine = count(array, false);
  std::printf(", ");
  const bool reads_fine = count(array, true);
  std::printf("}\n");
  if (!writes_fine || !reads_fine) std::fprintf(stderr, "cairn_bytes: over the bounds\n");
  return writes_fine && reads_fine ? 0 : 1;
}

}  // namespace

}  // namespace cairn::bench

int main(int argc, char** argv) {
  std::string directory = std::string(argc > 1 ? argv[1] : ".") + "/cairn-bytes-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) return 1;
  const int rc = cairn::bench::run(directory);
  std::error_code none;
  std::filesystem::remove_all(directory, none);
  return rc;
}
