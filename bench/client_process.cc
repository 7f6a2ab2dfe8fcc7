#include "bench/client_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "bench/client_values.h"
#include "bench/harness.h"
#include "bench/served_home.h"
#include "media/device.h"
#include "runtime/random.h"

namespace cairn::bench {

namespace {

/// False: the other end has gone.
bool put(int fd, const void* data, size_t bytes) {
  for (auto* at = static_cast<const char*>(data); bytes > 0;) {
    const ssize_t sent = ::send(fd, at, bytes, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    at += sent;
    bytes -= static_cast<size_t>(sent);
  }
  return true;
}

bool get(int fd, void* data, size_t bytes) {
  return bytes == 0 || ::recv(fd, data, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
}

template <class Value>
Value get(int fd) {
  Value value{};
  if (!get(fd, &value, sizeof(value))) die("a client process has failed");
  return value;
}

/// The child's life.
[[noreturn]] void work(int fd, const std::function<std::unique_ptr<ClientWork>()>& make) {
  const double begin = now_seconds();
  auto own = make();
  const double took = now_seconds() - begin;
  bool fine = put(fd, &took, sizeof(took));
  for (double seconds = 0; fine && get(fd, &seconds, sizeof(seconds));) {
    const Stretch done = own->run(seconds);
    const uint64_t count = done.latencies_ns.size();
    fine = put(fd, &done.seconds, sizeof(done.seconds)) &&
           put(fd, &done.failures, sizeof(done.failures)) && put(fd, &count, sizeof(count)) &&
           put(fd, done.latencies_ns.data(), count * sizeof(uint32_t));
  }
  own.reset();
  _exit(fine ? 0 : 1);
}

}  // namespace

double quantile_us(const std::vector<Stretch>& stretches, double part) {
  std::vector<uint32_t> all;
  for (const Stretch& each : stretches) {
    all.insert(all.end(), each.latencies_ns.begin(), each.latencies_ns.end());
  }
  if (all.empty()) return 0;
  const auto at = static_cast<size_t>(part * static_cast<double>(all.size() - 1));
  std::nth_element(all.begin(), all.begin() + static_cast<ptrdiff_t>(at), all.end());
  return static_cast<double>(all[at]) / 1000;
}

ClientProcess::ClientProcess(const std::function<std::unique_ptr<ClientWork>()>& make) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("no socket pair");
  child_ = fork();
  if (child_ < 0) die("no child");
  if (child_ == 0) {
    // Ends of earlier processes stay open here; their parent tells those to end by shutdown().
    ::close(ends[0]);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    work(ends[1], make);
  }
  ::close(ends[1]);
  fd_ = ends[0];
}

ClientProcess::~ClientProcess() {
  ::shutdown(fd_, SHUT_WR);
  int status = 0;
  ::waitpid(child_, &status, 0);
  ::close(fd_);
  if (status != 0) die("a client process has failed");
}

double ClientProcess::wait_ready() { return get<double>(fd_); }

void ClientProcess::start(double seconds) {
  if (!put(fd_, &seconds, sizeof(seconds))) die("a client process has failed");
}

Stretch ClientProcess::finish() {
  Stretch out;
  out.seconds = get<double>(fd_);
  out.failures = get<uint64_t>(fd_);
  out.latencies_ns.resize(get<uint64_t>(fd_));
  if (!get(fd_, out.latencies_ns.data(), out.latencies_ns.size() * sizeof(uint32_t))) {
    die("a client process has failed");
  }
  return out;
}

ClientProcesses::ClientProcesses(size_t count,
                                 const std::function<std::unique_ptr<ClientWork>(size_t)>& make) {
  for (size_t i = 0; i < count; ++i) {
    all_.push_back(std::make_unique<ClientProcess>([&make, i] { return make(i); }));
  }
  for (const auto& each : all_) ready_seconds_.push_back(each->wait_ready());
}

std::vector<Stretch> ClientProcesses::run(double seconds) {
  for (const auto& each : all_) each->start(seconds);
  std::vector<Stretch> out;
  for (const auto& each : all_) out.push_back(each->finish());
  return out;
}

double ClientProcesses::cpu_seconds() const {
  double sum = 0;
  for (const auto& each : all_) sum += cpu_seconds_of(each->id());
  return sum;
}

namespace {

daos_oclass_id_t class_of(const FetchWork& work) { return work.all_targets ? OC_SX : OC_S1; }

class Fetches final : public ClientWork {
 public:
  explicit Fetches(const FetchWork& work)
      : values_(work.directory, 64, 1, Server::joined, class_of(work)),
        keys_(work.keys),
        random_(work.seed) {
    for (uint64_t i = 0; i < work.first; ++i) {
      if (!values_.try_fetch(i % keys_)) die("a first fetch fails");
    }
  }
  Stretch run(double seconds) override {
    Stretch out;
    out.latencies_ns.reserve(static_cast<size_t>(seconds * 200'000) + 1000);
    const double begin = now_seconds();
    for (double now = begin; now - begin < seconds;) {
      const bool fine = values_.try_fetch(random_.below(keys_));
      const double after = now_seconds();
      if (fine) {
        out.latencies_ns.push_back(static_cast<uint32_t>(std::min((after - now) * 1e9, 4e9)));
      } else {
        ++out.failures;
      }
      now = after;
    }
    out.seconds = now_seconds() - begin;
    return out;
  }

 private:
  ClientValues values_;
  const uint64_t keys_;
  SeededRandom random_;
};

class MebibyteStream final : public ClientWork {
 public:
  MebibyteStream(const std::string& directory, bool reading)
      : array_(directory, Server::joined), reading_(reading), room_(kDepth * kMiB) {
    for (uint64_t i = 0; i < kSlots; ++i) array_.transfer(false, i, room_.data());
  }
  Stretch run(double seconds) override {
    const double begin = now_seconds();
    const double rate = array_.transfer_many(reading_, kSlots, kDepth, seconds, room_.data());
    const double took = now_seconds() - begin;
    return {.seconds = took,
            .latencies_ns = std::vector<uint32_t>(static_cast<size_t>(rate * took))};
  }

 private:
  static constexpr uint64_t kSlots = 64;
  static constexpr size_t kDepth = 8;
  ClientArray array_;
  const bool reading_;
  media::AlignedBuffer room_;
};

class Idle final : public ClientWork {
 public:
  explicit Idle(const std::string& directory) : side_(directory, true, 0, Server::joined) {}
  Stretch run(double seconds) override {
    usleep(static_cast<useconds_t>(seconds * 1e6));
    return {.seconds = seconds};
  }

 private:
  ClientSide side_;
};

}  // namespace

std::unique_ptr<ClientWork> make_fetches(const FetchWork& work) {
  return std::make_unique<Fetches>(work);
}

void fill_values(const FetchWork& work) {
  ClientValues values(work.directory, 64, 64, Server::joined, class_of(work));
  uint64_t filled = 0;
  while (filled < work.keys) {
    (void)values.update_many(0, [&] { return filled++ % work.keys; });
  }
}

std::unique_ptr<ClientWork> make_stream(const std::string& directory, bool reading) {
  return std::make_unique<MebibyteStream>(directory, reading);
}

std::unique_ptr<ClientWork> make_idle(const std::string& directory) {
  return std::make_unique<Idle>(directory);
}

}  // namespace cairn::bench
