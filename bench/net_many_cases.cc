// net.*: a home that many processes share, in turns with one that few do: how much of each other
// they notice, what idle ones take, and all of them to all engines.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "base/crc32c.h"
#include "bench/bare_beside.h"
#include "bench/client_process.h"
#include "bench/harness.h"
#include "bench/served_home.h"
#include "fabric/hello.h"
#include "fabric/stream_format.h"
#include "runtime/file_limit.h"

namespace cairn::bench {

namespace {

double sum_of_rates(const std::vector<Stretch>& stretches) {
  double sum = 0;
  for (const Stretch& each : stretches) sum += each.rate();
  return sum;
}

uint64_t failures_of(const std::vector<Stretch>& stretches) {
  uint64_t sum = 0;
  for (const Stretch& each : stretches) sum += each.failures;
  return sum;
}

FetchWork filled(const Run& run, bool all_targets = false) {
  const FetchWork work{.directory = run.directory,
                       .keys = run.smoke ? 1'000u : 10'000u,
                       .first = 1,
                       .all_targets = all_targets};
  fill_values(work);
  return work;
}

/// The 99th percentile of a client's fetches while another one streams, and while none does.
void beside_stream_case(Run& run, bool reading) {
  const ServedHome served(run.directory, {});
  const FetchWork work = filled(run);
  ClientProcesses small(1, [&](size_t) { return make_fetches(work); });
  ClientProcess large([&] { return make_stream(run.directory, reading); });
  (void)large.wait_ready();
  // The engine has a processor of its own, the clients share another one.
  for (const pid_t engine : served.engines()) pin(engine, 0);
  pin(large.id(), 1);
  small.pin_all(1);
  double mib = 0, seconds = 0;
  std::vector<double> medians;
  const auto beside = [&] {
    large.start(run.seconds * 1.2);
    usleep(static_cast<useconds_t>(run.seconds * 0.1 * 1e6));
    const auto done = small.run(run.seconds);
    const Stretch streamed = large.finish();
    mib += static_cast<double>(streamed.latencies_ns.size());
    seconds += streamed.seconds;
    medians.push_back(quantile_us(done, 0.5));
    return quantile_us(done, 0.99);
  };
  const auto alone = [&] { return quantile_us(small.run(run.seconds), 0.99); };
  BareBeside bare(reading);
  const auto with_nothing = [&] { return bare.p99_us(run.seconds); };
  run.compare_all(beside, {{"unloaded", alone}, {"bare.unix", with_nothing}}, [&](double) {
    char text[100];
    std::nth_element(medians.begin(), medians.begin() + medians.size() / 2, medians.end());
    std::snprintf(text, sizeof(text), "\"p50_us\": %.1f, \"stream_mib_per_second\": %.0f",
                  medians[medians.size() / 2], mib / seconds);
    return std::string(text);
  });
}

enum class Figure { median_us, rate };

/// So many clients at once beside one of them.
void clients_case(Run& run, size_t count, Figure figure) {
  const ServedHome served(run.directory, {});
  const FetchWork work = filled(run);
  const auto make = [&](size_t i) {
    FetchWork own = work;
    own.seed = i + 1;
    return make_fetches(own);
  };
  ClientProcesses many(count, make), one(1, make);
  const auto of = [&](ClientProcesses& clients) {
    const auto done = clients.run(run.seconds);
    if (failures_of(done) != 0) die("fetches fail");
    return figure == Figure::rate ? sum_of_rates(done) : quantile_us(done, 0.5);
  };
  run.compare([&] { return of(many); }, {"1client", [&] { return of(one); }});
}

/// More processes than processors: what one operation takes its process.
void busy_case(Run& run) {
  const ServedHome served(run.directory, {});
  const FetchWork work = filled(run);
  ClientProcesses clients(8, [&](size_t i) {
    FetchWork own = work;
    own.seed = i + 1;
    return make_fetches(own);
  });
  std::vector<double> medians, late;
  for (int i = 0; i < (run.smoke ? 1 : run.rounds); ++i) {
    const auto done = clients.run(run.seconds);
    medians.push_back(quantile_us(done, 0.5));
    late.push_back(quantile_us(done, 0.99));
  }
  std::ranges::sort(medians);
  std::ranges::sort(late);
  run.report(medians[medians.size() / 2], "target", 150,
             "\"p99_us\": " + std::to_string(static_cast<int>(late[late.size() / 2])));
}

/// Milliseconds of CPU in a second of engines, and of clients, that have nothing to do.
void idle_case(Run& run) {
  const ServedHome served(run.directory, {.engines = 2});
  ClientProcesses clients(8, [&](size_t) { return make_idle(run.directory); });
  const double seconds = run.smoke ? 0.2 : 5;
  usleep(run.smoke ? 100'000 : 1'000'000);
  const double engines_before = served.cpu_seconds(), clients_before = clients.cpu_seconds();
  (void)clients.run(seconds);
  run.report_count(".engines", (served.cpu_seconds() - engines_before) / seconds * 1e3, "ms CPU/s");
  run.report_count(".clients", (clients.cpu_seconds() - clients_before) / seconds * 1e3,
                   "ms CPU/s");
}

/// Every process to every target of three engines.
void all_to_all_case(Run& run) {
  const size_t count = run.smoke ? 8 : 128;
  const ServedHome served(run.directory, {.engines = 3, .targets = 2});
  const FetchWork work = filled(run, true);
  const double begin = now_seconds();
  ClientProcesses clients(count, [&](size_t i) {
    FetchWork own = work;
    own.seed = i + 1;
    own.first = 64;  // to each target
    return make_fetches(own);
  });
  const double all_ready = now_seconds() - begin;
  const auto done = clients.run(run.smoke ? run.seconds : 10 * run.seconds);
  std::vector<double> rates, connects = clients.ready_seconds();
  for (const Stretch& each : done) rates.push_back(each.rate());
  std::ranges::sort(rates);
  std::ranges::sort(connects);
  const double median = quantile_us(done, 0.5), late = quantile_us(done, 0.99);
  char text[300];
  std::snprintf(text, sizeof(text),
                "\"failures\": %llu, \"processes\": %zu, \"connect_s_p50\": %.3f, "
                "\"connect_s_max\": %.3f, \"all_connected_s\": %.2f, \"ops_per_second\": %.0f",
                static_cast<unsigned long long>(failures_of(done)), count,
                connects[connects.size() / 2], connects.back(), all_ready, sum_of_rates(done));
  const std::string name = run.name;
  run.name = name + ".p99";
  run.report(late, "median", median, text);
  run.name = name + ".slowest";
  run.unit = "op/s";
  run.report(rates.front(), "median.process", rates[rates.size() / 2]);
}

/// Connections that have said hello, and then nothing or one call of `call_bytes`.
class IdleConnections {
 public:
  IdleConnections(const std::string& socket_path, size_t count, size_t call_bytes) {
    for (size_t i = 0; i < count; ++i) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un name{};
      name.sun_family = AF_UNIX;
      std::strncpy(name.sun_path, socket_path.c_str(), sizeof(name.sun_path) - 1);
      if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
        die("no connection " + std::to_string(i));
      }
      fds_.push_back(fd);
      const fabric::Hello hello{.process = static_cast<uint32_t>(getpid()), .session = i + 1};
      send_frame(fd, fabric::FrameKind::hello, fabric::encode_hello(hello));
      // The engine answers what is no message with an empty answer.
      if (call_bytes != 0) send_frame(fd, fabric::FrameKind::call, Bytes(call_bytes));
    }
    for (const int fd : fds_) {
      receive(fd, sizeof(fabric::FrameFormat) + sizeof(fabric::HelloReplyFormat));
      if (call_bytes != 0) receive(fd, sizeof(fabric::FrameFormat));
    }
  }
  ~IdleConnections() {
    for (const int fd : fds_) ::close(fd);
  }
  IdleConnections(const IdleConnections&) = delete;
  IdleConnections& operator=(const IdleConnections&) = delete;

 private:
  static void send_frame(int fd, fabric::FrameKind kind, ByteView payload) {
    fabric::FrameFormat head{};
    head.magic = fabric::kFrameMagic;
    head.kind = static_cast<uint16_t>(kind);
    head.bytes = static_cast<uint32_t>(payload.size());
    head.checksum = crc32c(view_of(&head, offsetof(fabric::FrameFormat, checksum)));
    const ByteView bytes = view_of(&head, sizeof(head));
    for (ByteView part : {bytes, payload}) {
      while (!part.empty()) {
        const ssize_t sent = ::send(fd, part.data(), part.size(), MSG_NOSIGNAL);
        if (sent <= 0) die("a connection broke");
        part = part.subspan(static_cast<size_t>(sent));
      }
    }
  }
  static void receive(int fd, size_t bytes) {
    Bytes room(bytes);
    if (::recv(fd, room.data(), bytes, MSG_WAITALL) != static_cast<ssize_t>(bytes)) {
      die("the engine refuses a connection");
    }
  }
  std::vector<int> fds_;
};

size_t idle_count(const Run& run) {
  const uint64_t limit = raise_file_limit();
  if (limit < 11'000) die("net.idle: 10,000 connections need a hard limit of 11,000 descriptors");
  return run.smoke ? 200 : 10'000;
}

/// Bytes of the engine's process and of the kernel (both ends of the connection) for each
/// connection that is idle.
void idle_bytes_case(Run& run) {
  const size_t count = idle_count(run);
  const auto n = static_cast<double>(count);
  for (const size_t call_bytes : {size_t{0}, size_t{60'000}}) {
    // A new engine: one that has worked gives old memory to new connections.
    const std::string directory = run.directory + "/" + std::to_string(call_bytes);
    std::filesystem::create_directory(directory);
    const ServedHome served(directory, {.pool = false});
    usleep(300'000);
    const double user = static_cast<double>(served.resident_bytes());
    const double kernel = static_cast<double>(kernel_bytes());
    const IdleConnections idle(served.socket_path(), count, call_bytes);
    usleep(300'000);
    const double user_each = (static_cast<double>(served.resident_bytes()) - user) / n;
    const double kernel_each = (static_cast<double>(kernel_bytes()) - kernel) / n;
    char text[160];
    std::snprintf(text, sizeof(text),
                  "\"connections\": %zu, \"engine_bytes\": %.0f, \"kernel_bytes_both_ends\": %.0f",
                  count, user_each, kernel_each);
    const std::string name = run.name;
    run.name += call_bytes == 0 ? ".fresh" : ".used";
    run.report(user_each + kernel_each, "target", 16'384, text);
    run.name = name;
  }
}

/// The median of one client's fetches with so many idle connections, and without them.
void idle_latency_case(Run& run) {
  const size_t count = idle_count(run);
  const ServedHome served(run.directory, {});
  const FetchWork work = filled(run);
  ClientProcesses client(1, [&](size_t) { return make_fetches(work); });
  const auto median = [&] { return quantile_us(client.run(run.seconds), 0.5); };
  run.compare(
      [&] {
        const IdleConnections idle(served.socket_path(), count, 0);
        return median();
      },
      {"without", median});
}

}  // namespace

void add_net_many_cases(std::vector<Case>& cases) {
  cases.push_back({"net.fetch.64B.besides1MiB.read.p99", "us",
                   [](Run& run) { beside_stream_case(run, true); }});
  cases.push_back({"net.fetch.64B.besides1MiB.write.p99", "us",
                   [](Run& run) { beside_stream_case(run, false); }});
  cases.push_back({"net.fetch.64B.clients4.median", "us",
                   [](Run& run) { clients_case(run, 4, Figure::median_us); }});
  cases.push_back({"net.fetch.64B.clients4.rate", "op/s",
                   [](Run& run) { clients_case(run, 4, Figure::rate); }});
  cases.push_back({"net.fetch.64B.busy8.median", "us", busy_case});
  cases.push_back({"net.idle", "ms CPU/s", idle_case});
  cases.push_back({"net.all-to-all.128x3", "us", all_to_all_case});
  cases.push_back({"net.idle10k.bytes", "B", idle_bytes_case});
  cases.push_back({"net.idle10k.fetch.64B.median", "us", idle_latency_case});
}

}  // namespace cairn::bench
