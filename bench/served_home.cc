#include "bench/served_home.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/client_side.h"
#include "bench/harness.h"
#include "client/home.h"

namespace cairn::bench {

namespace {

void allow(pid_t process, const cpu_set_t& set) {
  std::error_code none;
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, none)) {
    // A thread may have ended meanwhile.
    (void)sched_setaffinity(std::stoi(task.path().filename()), sizeof(set), &set);
  }
}

/// The number behind `name` in a file of lines; 0 if there is none.
uint64_t number_in(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word != name) continue;
    uint64_t value = 0;
    file >> value;
    return value;
  }
  return 0;
}

}  // namespace

void pin(pid_t process, unsigned processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  allow(process, set);
}

void unpin(pid_t process) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (long i = 0; i < sysconf(_SC_NPROCESSORS_CONF); ++i) CPU_SET(static_cast<size_t>(i), &set);
  allow(process, set);
}

double cpu_seconds_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 0; i < 11; ++i) rest >> skipped;
  double user = 0, system = 0;
  rest >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

uint64_t resident_bytes_of(pid_t process) {
  return number_in("/proc/" + std::to_string(process) + "/status", "VmRSS:") << 10;
}

uint64_t kernel_bytes() {
  std::ifstream file("/proc/net/sockstat");
  std::string word;
  uint64_t buffer_pages = 0;
  while (file >> word) {
    if (word == "mem") file >> buffer_pages;
    if (word == "UDP:") break;
  }
  return (number_in("/proc/meminfo", "Slab:") << 10) +
         buffer_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

ServedHome::ServedHome(const std::string& directory, Options options) : home_(directory + "/home") {
  const auto made =
      client::make_home(home_, {.targets = options.targets, .engines = options.engines});
  if (!made) die("cannot make the home: " + std::string(made.error().what()));
  std::string command =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "daos_engine";
  // Should this process die, it goes by itself.
  command += " --home '" + home_ + "' --background --linger 60";
  const std::string at = "tcp:127.0.0.1:" + std::to_string(free_port());
  if (options.tcp) command += " --listen " + at;
  if (options.cores != 0) command += " --cores " + std::to_string(options.cores);
  // It says so when it serves, or ends without a word.
  FILE* const said = popen(command.c_str(), "r");
  char line[256];
  if (said == nullptr || fgets(line, sizeof(line), said) == nullptr) die("no server");
  pclose(said);
  setenv("CAIRN_HOME", home_.c_str(), 1);
  setenv("CAIRN_MODE", "connect", 1);
  if (options.pool) make_pool();
  for (uint32_t rank = 0; rank < options.engines; ++rank) {
    const std::string lock =
        rank == 0 ? home_ + "/lock" : home_ + "/engines/" + std::to_string(rank) + "/lock";
    engines_.push_back(static_cast<pid_t>(number_in(lock, "pid")));
    if (engines_.back() <= 0) die("nobody serves engine " + std::to_string(rank));
  }
  if (options.tcp) {
    setenv("CAIRN_SERVER", at.c_str(), 1);
    setenv("CAIRN_TOKEN", (home_ + "/token").c_str(), 1);
  }
  if (options.pool) make_container();
}

/// Engines that come are waited for: a pool needs all of them.
void ServedHome::make_pool() const {
  auto system = client::open_home({.mode = client::HomeMode::connect, .path = home_});
  if (!system) die("cannot connect to the home");
  const double begin = now_seconds();
  for (;;) {
    auto pool = (*system)->context().run(
        (*system)->pool_create({.label = kPoolLabel, .bytes = 4ull << 30}));
    if (pool) break;
    if (now_seconds() - begin > 30) die("no pool: " + std::string(pool.error().what()));
    usleep(50'000);
  }
  if (!(*system)->shutdown()) die("the client does not close");
}

/// By the environment's way to the home.
void ServedHome::make_container() {
  must(daos_init(), "daos_init");
  daos_handle_t pool{};
  must(daos_pool_connect(kPoolLabel, nullptr, DAOS_PC_RW, &pool, nullptr, nullptr),
       "daos_pool_connect");
  must(daos_cont_create_with_label(pool, kContLabel, nullptr, nullptr, nullptr),
       "daos_cont_create_with_label");
  must(daos_pool_disconnect(pool, nullptr), "daos_pool_disconnect");
  must(daos_fini(), "daos_fini");
}

ServedHome::~ServedHome() {
  for (const char* name : {"CAIRN_SERVER", "CAIRN_TOKEN", "CAIRN_HOME", "CAIRN_MODE"}) {
    unsetenv(name);
  }
  if (!client::stop_server(home_)) die("the server stays");
}

double ServedHome::cpu_seconds() const {
  double sum = 0;
  for (const pid_t engine : engines_) sum += cpu_seconds_of(engine);
  return sum;
}

uint64_t ServedHome::resident_bytes() const {
  uint64_t sum = 0;
  for (const pid_t engine : engines_) sum += resident_bytes_of(engine);
  return sum;
}

namespace {

void receive_all(int fd, std::byte* data, size_t bytes, double spin_seconds) {
  while (bytes > 0) {
    ssize_t got = -1;
    if (spin_seconds == 0) {
      got = ::recv(fd, data, bytes, 0);
      if (got < 0) _exit(1);
    } else {
      for (const double begin = now_seconds(); got < 0 && now_seconds() - begin < spin_seconds;) {
        got = ::recv(fd, data, bytes, MSG_DONTWAIT);
      }
    }
    if (got < 0) {
      pollfd one{fd, POLLIN, 0};
      ::poll(&one, 1, -1);
      continue;
    }
    if (got == 0) _exit(0);
    data += got;
    bytes -= static_cast<size_t>(got);
  }
}

void send_all(int fd, const std::byte* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::send(fd, data, bytes, MSG_NOSIGNAL);
    if (sent <= 0) _exit(1);
    data += sent;
    bytes -= static_cast<size_t>(sent);
  }
}

/// Two ends over TCP on loopback.
void tcp_pair(int (&ends)[2]) {
  const int door = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const address = reinterpret_cast<sockaddr*>(&name);
  socklen_t bytes = sizeof(name);
  ends[0] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(door, address, bytes) != 0 || ::listen(door, 1) != 0 ||
      ::getsockname(door, address, &bytes) != 0 || ::connect(ends[0], address, bytes) != 0) {
    die("no TCP on loopback");
  }
  ends[1] = ::accept4(door, nullptr, nullptr, SOCK_CLOEXEC);
  ::close(door);
  const int on = 1;
  for (const int fd : ends) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

}  // namespace

BareEcho::BareEcho(Options options) : options_(options) {
  int ends[2] = {-1, -1};
  if (options.tcp) {
    tcp_pair(ends);
  } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    die("no socket pair");
  }
  child_ = fork();
  if (child_ < 0) die("no child");
  if (child_ == 0) {
    ::close(ends[0]);
    serve(ends[1]);
  }
  ::close(ends[1]);
  fd_ = ends[0];
  room_.resize(std::max(options.take, options.give));
}

void BareEcho::serve(int fd) const {
  Bytes room(std::max(options_.take, options_.give));
  for (;;) {
    receive_all(fd, room.data(), options_.take, options_.spin_seconds);
    send_all(fd, room.data(), options_.give);
  }
}

BareEcho::~BareEcho() {
  ::close(fd_);
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

void BareEcho::round_trip() {
  send_all(fd_, room_.data(), options_.take);
  receive_all(fd_, room_.data(), options_.give, options_.spin_seconds);
}

double BareEcho::pipelined(double seconds, size_t depth) {
  for (size_t i = 0; i < depth; ++i) send_all(fd_, room_.data(), options_.take);
  const double rate = rate_of(seconds, 1, [&] {
    receive_all(fd_, room_.data(), options_.give, options_.spin_seconds);
    send_all(fd_, room_.data(), options_.take);
  });
  for (size_t i = 0; i < depth; ++i) {
    receive_all(fd_, room_.data(), options_.give, options_.spin_seconds);
  }
  return rate;
}

}  // namespace cairn::bench
