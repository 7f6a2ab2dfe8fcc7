#include "cmd/embed/server_start.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/report.h"

extern char** environ;

namespace cairn::embed {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgram = "daos_engine";

bool runs(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

/// The directory of the file that holds this code: a program or libdaos.
std::string own_directory() {
  Dl_info info;
  std::error_code error;
  if (dladdr(reinterpret_cast<const void*>(&find_server_program), &info) != 0 &&
      info.dli_fname != nullptr) {
    const fs::path found = fs::canonical(info.dli_fname, error);
    if (!error) return found.parent_path().string();
  }
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? std::string() : self.parent_path().string();
}

std::string find_on_path() {
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "";
  while (!rest.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), directory.size() + 1));
    const std::string candidate = std::string(directory) + "/" + kProgram;
    if (!directory.empty() && runs(candidate)) return candidate;
  }
  return {};
}

/// Owned attributes of posix_spawn.
struct SpawnPlan {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnPlan() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

/// Borrowed from `more` and from this process.
std::vector<char*> environment_with(const std::vector<std::string>& more,
                                    const std::vector<std::string>& unset) {
  std::vector<char*> out;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view whole(*each);
    const std::string_view name = whole.substr(0, whole.find('='));
    const bool given = std::ranges::any_of(more, [name](const std::string& pair) {
      return std::string_view(pair).substr(0, pair.find('=')) == name;
    });
    if (!given && std::ranges::find(unset, name) == unset.end()) out.push_back(*each);
  }
  for (const std::string& pair : more) out.push_back(const_cast<char*>(pair.c_str()));
  out.push_back(nullptr);
  return out;
}

/// Signals are as in a fresh process, but for `held`, which wait until the program takes them; of
/// the descriptors, what `plan` says up to 2.
int spawn(SpawnPlan& plan, const std::vector<std::string>& words, const ProgramOptions& options,
          short flags, const sigset_t& held, pid_t* child) {
  posix_spawn_file_actions_addopen(&plan.files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&plan.files, 3);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&plan.attributes, &held);
  posix_spawnattr_setsigdefault(&plan.attributes, &all);
  posix_spawnattr_setflags(&plan.attributes,
                           static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              flags));
  std::vector<char*> args;
  for (const std::string& word : words) args.push_back(const_cast<char*>(word.c_str()));
  args.push_back(nullptr);
  std::vector<char*> variables = environment_with(options.env, options.unset);
  return posix_spawn(child, args[0], &plan.files, &plan.attributes, args.data(), variables.data());
}

std::string read_line(int fd) {
  std::string out;
  char c = 0;
  for (;;) {
    const ssize_t got = ::read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || c == '\n' || out.size() > 64) return out;
    out.push_back(c);
  }
}

Started parse_started(std::string_view line) {
  if (line == "ready") return {StartOutcome::ready, Errc::ok};
  if (line == "occupied") return {StartOutcome::occupied, Errc::busy};
  if (line.empty()) return {StartOutcome::died, Errc::misc};
  constexpr std::string_view kFailed = "failed ";
  int32_t code = 0;
  if (line.starts_with(kFailed)) {
    line.remove_prefix(kFailed.size());
    std::from_chars(line.data(), line.data() + line.size(), code);
  }
  return {StartOutcome::failed, code == 0 ? Errc::misc : static_cast<Errc>(code)};
}

}  // namespace

std::string find_server_program() {
  if (const char* given = std::getenv("CAIRN_ENGINE"); given != nullptr && *given != '\0') {
    return runs(given) ? given : "";
  }
  const std::string here = own_directory();
  for (const char* relative : {"/", "/../bin/", "/../../bin/"}) {
    const std::string candidate = here + relative + kProgram;
    if (!here.empty() && runs(candidate)) return candidate;
  }
  return find_on_path();
}

Result<Started> start_server(const std::string& program, const std::string& home,
                             const std::vector<std::string>& options) {
  if (program.empty()) return fail(Errc::not_supported, "home: there is no server program");
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
    report(Severity::error, program + ": cannot be started: no file descriptor is left");
    return fail(Errc::io, "home: no pipe for the server");
  }
  pid_t child = -1;
  std::vector<std::string> words = {program, "--home", home, "--background"};
  words.insert(words.end(), options.begin(), options.end());
  SpawnPlan plan;
  posix_spawn_file_actions_adddup2(&plan.files, pipe_fds[1], 1);
  sigset_t none;
  sigemptyset(&none);
  const int error = spawn(plan, words, {}, 0, none, &child);
  ::close(pipe_fds[1]);
  if (error != 0) {
    ::close(pipe_fds[0]);
    report(Severity::error, program + ": cannot be started: " + std::string(strerror(error)) +
                                "; set CAIRN_MODE=embed to use the home without a server");
    return fail(Errc::io, "home: the server cannot be started");
  }
  const Started out = parse_started(read_line(pipe_fds[0]));
  ::close(pipe_fds[0]);
  // The process that was started has left the server behind and ended. A program that ignores
  // SIGCHLD has it reaped already.
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return out;
}

Result<int> start_program(const std::string& program, const std::vector<std::string>& words,
                          const ProgramOptions& options) {
  if (program.empty()) return fail(Errc::not_supported, "home: there is no server program");
  SpawnPlan plan;
  if (!options.log.empty()) {
    posix_spawn_file_actions_addopen(&plan.files, 1, options.log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&plan.files, 1, 2);
  }
  std::vector<std::string> all = {program};
  all.insert(all.end(), words.begin(), words.end());
  pid_t child = -1;
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  const int error = spawn(plan, all, options, POSIX_SPAWN_SETSID, ending, &child);
  if (error == 0) return int{child};
  report(Severity::error, program + ": cannot be started: " + std::string(strerror(error)));
  return fail(Errc::io, "home: the program cannot be started");
}

std::string started_line(const Started& started) {
  switch (started.outcome) {
    case StartOutcome::ready: return "ready\n";
    case StartOutcome::occupied: return "occupied\n";
    case StartOutcome::died:
    case StartOutcome::failed: break;
  }
  return "failed " + std::to_string(static_cast<int32_t>(started.code)) + "\n";
}

}  // namespace cairn::embed
