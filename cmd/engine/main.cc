// daos_engine: the process that serves a home to others. Clients start it when they need it; `cairn
// up` starts it to stay.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <mutex>
#include <thread>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/server_start.h"
#include "cmd/engine/home_server.h"
#include "cmd/engine/machine_server.h"
#include "cmd/engine/member_server.h"
#include "runtime/file_limit.h"

namespace cairn::engine_program {
namespace {

/// A log over this size is begun anew; the one before is kept.
constexpr off_t kLogBytesMax = 4 << 20;

/// Signals that end the server. The thread that waits for them ends with the process.
class Signals {
 public:
  /// Before any other thread starts.
  static sigset_t block() {
    sigset_t set;
    sigemptyset(&set);
    for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, each);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
    return set;
  }
  Signals(sigset_t set, Leaving& server) {
    {
      const std::lock_guard lock(mutex());
      target() = &server;
    }
    std::thread([set] {
      for (int which = 0; sigwait(&set, &which) == 0;) {
        const std::lock_guard lock(mutex());
        if (target() != nullptr) target()->leave();
      }
    }).detach();
  }
  ~Signals() {
    const std::lock_guard lock(mutex());
    target() = nullptr;
  }

 private:
  static std::mutex& mutex() {
    static std::mutex* const only = new std::mutex;
    return *only;
  }
  static Leaving*& target() {
    static Leaving* only = nullptr;
    return only;
  }
};

void say(const embed::Started& started) {
  const std::string line = embed::started_line(started);
  [[maybe_unused]] const ssize_t put = ::write(1, line.data(), line.size());
}

/// From here nobody listens to this process's outputs: the client that started it goes its way.
void turn_to_log(const std::string& home) {
  const std::string path = home + "/server.log";
  struct stat status;
  if (stat(path.c_str(), &status) == 0 && status.st_size > kLogBytesMax) {
    std::rename(path.c_str(), (path + ".old").c_str());
  }
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  dup2(fd, 1);
  dup2(fd, 2);
  ::close(fd);
}

/// Leaves the process that was started, its session and its directory behind.
bool go_to_background() {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child > 0) _exit(0);
  setsid();
  return chdir("/") == 0;
}

int serve(ServerOptions options, bool background, sigset_t signals) {
  auto server = HomeServer::open(std::move(options));
  if (!server) {
    const Errc code = server.error().code();
    if (background) {
      say({code == Errc::busy ? embed::StartOutcome::occupied : embed::StartOutcome::failed, code});
    } else if (code == Errc::busy) {
      report(Severity::error, "another process serves the home already; see cairn status");
    }
    return 1;
  }
  const Signals guard(signals, **server);
  const auto done = (*server)->run([&] {
    if (!background) {
      std::printf("serving %s, process %d\n", (*server)->home().c_str(), getpid());
      std::fflush(stdout);
      return;
    }
    say({embed::StartOutcome::ready, Errc::ok});
    turn_to_log((*server)->home());
  });
  if (!done) {
    if (background) say({embed::StartOutcome::failed, done.error().code()});
    report(Severity::error, std::string("the server ended: ") + done.error().what());
  }
  return done ? 0 : 1;
}

/// One engine of a home of several; its server starts it.
int serve_member(MemberOptions options, sigset_t signals) {
  auto server = MemberServer::open(std::move(options));
  if (!server) return 1;
  const Signals guard(signals, **server);
  const auto done = (*server)->run();
  if (!done) report(Severity::error, std::string("the engine ended: ") + done.error().what());
  return done ? 0 : 1;
}

/// The engines of a machine whose services are elsewhere.
int serve_machine(MachineOptions options, sigset_t signals) {
  auto server = MachineServer::open(std::move(options));
  if (!server) return 1;
  const Signals guard(signals, **server);
  const auto done = (*server)->run([&] {
    std::printf("serving the engines of %s, process %d\n", (*server)->home().c_str(), getpid());
    std::fflush(stdout);
  });
  return done ? 0 : 1;
}

/// This process, with all threads that it will have. @returns false after a line on stderr
bool stay_on_cores(const std::string& text) {
  const auto cores = embed::parse_cores(text);
  cpu_set_t set;
  CPU_ZERO(&set);
  // The process that started this one may have been on some only.
  for (size_t core = 0; text.empty() && core < CPU_SETSIZE; ++core) CPU_SET(core, &set);
  if (cores) {
    for (uint32_t core = cores->first; core <= cores->last && core < CPU_SETSIZE; ++core) {
      CPU_SET(core, &set);
    }
  }
  const bool done = (text.empty() || cores) && sched_setaffinity(0, sizeof set, &set) == 0;
  if (done || text.empty()) return true;
  report(Severity::error, "cores " + text + ": this machine has " +
                              std::to_string(sysconf(_SC_NPROCESSORS_CONF)) +
                              " cores; change first_core");
  return false;
}

/// @returns false after a line on stderr
bool parse_listen(const std::vector<std::string>& texts, std::vector<Address>& into) {
  for (const std::string& text : texts) {
    const auto address = parse_address(text);
    if (!address || address->kind == Address::Kind::unix_path || !is_numeric(*address)) {
      report(Severity::error, "--listen " + text + ": " +
                                  (address ? "give tcp:HOST:PORT with a numeric host, or "
                                             "ofi+PROVIDER://HOST:PORT"
                                           : address.error().what()));
      return false;
    }
    into.push_back(*address);
  }
  return true;
}

/// The command line.
struct Arguments {
  ServerOptions server;
  bool background = false, stay = false, machine = false;
  double linger = static_cast<double>(ServerOptions{}.linger_ns) / kSecond;
  std::vector<std::string> listen;
  uint32_t member = 0;
  double grace = static_cast<double>(MemberOptions{}.grace_ns) / kSecond;
};

void add_options(CLI::App& app, Arguments& a) {
  ServerOptions& options = a.server;
  app.add_option("--home", options.home, "the directory (default: CAIRN_HOME, else ~/.cairn)");
  app.add_flag("--background", a.background, "leave the terminal once the home is served");
  app.add_flag("--stay", a.stay, "do not end by itself");
  app.add_flag("--take-over", options.take_over,
               "from a server that has the home; its clients come along");
  app.add_option("--listen", a.listen,
                 "tcp:HOST:PORT for clients of other machines (numeric host), beside HOME/socket; "
                 "they need the file HOME/token; or ofi+PROVIDER://HOST:PORT, by libfabric");
  app.add_option("--linger", a.linger, "seconds from the last client to the end (default 10)")
      ->check(CLI::Range(0.0, 1e6))
      ->envname("CAIRN_LINGER");
  app.add_flag("--insecure", options.insecure,
               "clients of other machines need no token: whoever reaches the port may do "
               "everything");
  app.add_option("--cores", options.cores,
                 "threads that the targets are dealt over, at most one for each (default 1; 0: as "
                 "many as there are processors for each engine)")
      ->check(CLI::Range(0, 1024))
      ->envname("CAIRN_CORES");
  app.add_option("--launch", options.launch_path,
                 "the file that says how engines are started; daos_server writes it");
  app.add_option("--member", a.member,
                 "serve only this engine, 1 or above, of a home of several; the server of the home "
                 "starts and joins it");
  app.add_option("--grace", a.grace,
                 "of a member: seconds without a server of the home, after which it ends "
                 "(default 30)")
      ->check(CLI::Range(0.0, 1e6))
      ->envname("CAIRN_MEMBER_GRACE");
  app.add_flag("--machine", a.machine,
               "start the engines of this machine as the system's services, on another machine, "
               "say; daos_server starts it so");
}

/// What the file `launch` adds. @returns false after a line on stderr
bool read_launch_file(Arguments& a) {
  if (a.server.launch_path.empty()) return true;
  const auto launch = embed::read_launch(a.server.launch_path);
  if (!launch) return false;
  a.server.launch = *launch;
  const embed::EngineLaunch own = a.machine ? embed::EngineLaunch{} : launch->of(a.member);
  a.listen.insert(a.listen.end(), own.listen.begin(), own.listen.end());
  // Those are this engine's alone.
  if (const auto cores = embed::parse_cores(own.cores); cores && a.server.cores == 0) {
    a.server.cores = cores->last - cores->first + 1;
  }
  return stay_on_cores(own.cores);
}

}  // namespace
}  // namespace cairn::engine_program

int main(int argc, char** argv) {
  using namespace cairn;
  using namespace cairn::engine_program;
  CLI::App app("Serves a home (CAIRN_HOME, default ~/.cairn) to other processes", "daos_engine");
  Arguments a;
  add_options(app, a);
  CLI11_PARSE(app, argc, argv);
  ServerOptions& options = a.server;
  const auto nanoseconds = [](double seconds) { return static_cast<Duration>(seconds * kSecond); };
  options.linger_ns = a.stay ? kNever : nanoseconds(a.linger);
  if (!read_launch_file(a)) return 1;
  if (a.machine) {
    return serve_machine({.home = options.home,
                          .launch_path = options.launch_path,
                          .launch = options.launch,
                          .insecure = options.insecure},
                         Signals::block());
  }
  (void)raise_file_limit();  // a descriptor for each connection
  if (!parse_listen(a.listen, options.listen)) {
    if (a.background) say({embed::StartOutcome::failed, Errc::invalid});
    return 1;
  }
  if (a.member != 0) {
    return serve_member({.home = options.home,
                         .rank = a.member,
                         .listen = std::move(options.listen),
                         .insecure = options.insecure,
                         .cores = options.cores,
                         .grace_ns = a.stay ? kNever : nanoseconds(a.grace)},
                        Signals::block());
  }
  if (a.background && !go_to_background()) {
    report(Severity::error, "cannot go to the background; start it without --background");
    return 1;
  }
  return serve(std::move(options), a.background, Signals::block());
}
