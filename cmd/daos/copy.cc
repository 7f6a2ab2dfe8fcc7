// daos fs copy: where both sides are, what lies there, and the summary.
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "cmd/daos/container.h"
#include "cmd/daos/copy_engine.h"
#include "cmd/daos/daos.h"
#include "cmd/daos/flat_report.h"
#include "runtime/file_limit.h"

namespace cairn::tool {

namespace {

struct CopyArguments {
  std::string source, target, report, preserve;
  bool ignore_unsupported = false;
  bool worm = false;
  unsigned threads = 0;  // 0: by direction
};

/// Writers share log writes, so many in flight pay. Readers rarely wait for media, and more of them
/// only hand the store's context around: 20,000 small files take 3.8 s with 4, 14 s with 32.
constexpr unsigned kThreadsIn = 32, kThreadsOut = 4;

/// A place of the copy, opened.
struct End {
  Location at;
  std::optional<Pool> pool;
  std::optional<Cont> cont;
  std::optional<FileSystem> fs;
  std::unique_ptr<FlatBatch> flats;  // with --worm, of the destination

  std::unique_ptr<Side> side(const std::string& path) const {
    return at.native ? native_side(path) : container_side(fs->get(), path, flats.get());
  }
};

/// "a/b/" is "a/b"; "/" stays.
std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}
std::string base_of(const std::string& path) {
  const std::string base = path.substr(path.rfind('/') + 1);
  return base == "." || base == ".." ? "" : base;
}
std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::unexpected<Failure> copy_failure(const CopyArguments& a, int status,
                                      const std::string& detail) {
  std::fprintf(stderr, "ERROR: %s\n", detail.c_str());
  return failure("failed to copy " + a.source + " -> " + a.target, status);
}

/// "The specified entity does not exist (-1005)".
std::string short_status(int status) {
  const std::string text = status_text(status);
  return text.substr(text.find(": ") + 2) + " (" + std::to_string(status) + ")";
}

/// The lines that scripts know for an end that cannot be reached.
std::unexpected<Failure> connect_failure(const CopyArguments& a, int status,
                                         const std::string& what) {
  std::fprintf(stderr, "ERROR: failed to %s: %s\n", what.c_str(), short_status(status).c_str());
  return copy_failure(a, status, "fs copy failed to connect: " + short_status(status));
}

/// Connects, opens, mounts. A destination container that is missing is made, named by its label.
std::expected<std::string, Failure> open_end(End& end, bool writable, const CopyArguments& a) {
  if (end.at.native) return "";
  const char* which = writable ? "destination" : "source";
  int rc = Pool::connect(end.at.pool, writable ? DAOS_PC_RW : DAOS_PC_RO, end.pool);
  if (rc != 0) return connect_failure(a, rc, "connect to " + std::string(which) + " pool");
  std::string made;
  const unsigned flags = writable ? DAOS_COO_RW : DAOS_COO_RO;
  rc = Cont::open(*end.pool, end.at.cont, flags, end.cont);
  if (rc == -DER_NONEXIST && writable && daos_label_is_valid(end.at.cont.c_str())) {
    uuid_t uuid;
    rc = der_of_errno(dfs_cont_create_with_label(end.pool->handle(), end.at.cont.c_str(), nullptr,
                                                 &uuid, nullptr, nullptr));
    char text[DAOS_UUID_STR_SIZE];
    uuid_unparse_lower(uuid, text);
    if (rc == 0) made = "Successfully created container " + std::string(text) + "\n";
    if (rc == 0) rc = Cont::open(*end.pool, end.at.cont, flags, end.cont);
  }
  if (rc != 0) return connect_failure(a, rc, "open " + std::string(which) + " container");
  const int number = FileSystem::mount(*end.pool, *end.cont, writable ? O_RDWR : O_RDONLY, end.fs);
  if (number != 0) {
    return copy_failure(a, der_of_errno(number),
                        "failed to mount " + std::string(which) + " container " + end.at.cont +
                            ": " + errno_text(number) +
                            (number == EINVAL ? "; is its type POSIX?" : ""));
  }
  return made;
}

/// Where the copy goes: an open directory and the name in it (empty: into the directory itself).
struct Target {
  std::unique_ptr<Side> side;
  Side::HandlePtr dir;
  std::string name;
};

std::expected<Target, Failure> find_target(const End& end, const std::string& source_base,
                                           bool source_is_dir, const CopyArguments& a) {
  const std::string path = without_slashes(end.at.path);
  auto side = end.side(path);
  auto there = side->look_top();
  if (!there && there.error() != ENOENT) {
    return copy_failure(a, der_of_errno(there.error()),
                        "cannot look at " + a.target + ": " + errno_text(there.error()));
  }
  const bool into = there && S_ISDIR(there->info.st_mode);
  if (there && !into && source_is_dir) {
    return copy_failure(a, -DER_NOTDIR, a.target + " is not a directory, but " + a.source + " is");
  }
  Target target;
  target.name = into ? source_base : base_of(path);
  target.side = into ? std::move(side) : end.side(parent_of(path));
  auto dir = target.side->open_top_dir();
  if (!dir) {
    return copy_failure(a, der_of_errno(dir.error()),
                        "cannot open the directory of " + a.target + ": " +
                            errno_text(dir.error()) + "; make it first");
  }
  target.dir = *dir;
  return target;
}

/// Copying a directory into itself would never end.
bool lies_inside(const End& inner, const End& outer) {
  if (inner.at.native != outer.at.native) return false;
  std::string in = without_slashes(inner.at.path), out = without_slashes(outer.at.path);
  if (inner.at.native) {
    char real[PATH_MAX];
    if (realpath(out.c_str(), real) == nullptr) return false;
    out = real;
    const std::string base = base_of(in);
    if (realpath(in.c_str(), real) != nullptr) {
      in = real;
    } else if (realpath(parent_of(in).c_str(), real) != nullptr) {
      in = std::string(real) + "/" + base;
    }
  } else if (inner.at.pool != outer.at.pool || inner.at.cont != outer.at.cont) {
    return false;
  }
  return in == out || in.starts_with(out == "/" ? out : out + "/");
}

thread_local CopyCounts* counting = nullptr;
int count_one(const char*, const struct stat* info, int, FTW*) {
  if (S_ISREG(info->st_mode)) counting->bytes_expected += static_cast<uint64_t>(info->st_size);
  if (!S_ISDIR(info->st_mode)) counting->files_expected++;
  return 0;
}
void count_tree(const std::string& path, CopyCounts* counts) {
  counting = counts;
  if (nftw(path.c_str(), count_one, 32, FTW_PHYS) == 0) counts->counted = true;
}

/// Of what was copied with --worm: with objects that could not be flattened for an error.
std::unexpected<Failure> flat_failure(const CopyArguments& a, const FlatBatch& flats,
                                      const Json& response) {
  return std::unexpected(Failure{
      "copied " + a.source + " -> " + a.target + ", but " + std::to_string(flats.failed()) +
          " objects are not flat: " + short_status(flats.error()),
      kStatusMisc, "the copy is whole: `daos fs flatten -r " + a.target + "` flattens what is left",
      response});
}

Outcome summary(const CopyArguments& a, const End& from, const End& to, const std::string& made,
                const CopyCounts& counts) {
  Json stats{{"num_dirs", counts.dirs.load()},
             {"num_files", counts.files.load()},
             {"num_links", counts.links.load()}};
  std::string flat;
  if (to.flats != nullptr) {
    const cairn_flat_stats_t& done = to.flats->stats();
    stats["num_flattened"] = done.cs_outcomes[CAIRN_FLAT_DONE];
    stats["flatten_outcomes"] = flat_outcomes(done);
    stats["num_flatten_failed"] = to.flats->failed();
    flat = "    Flattened:   " + std::to_string(done.cs_outcomes[CAIRN_FLAT_DONE]) + " of " +
           std::to_string(done.cs_objects) + " objects\n";
    if (done.cs_outcomes[CAIRN_FLAT_DONE] != done.cs_objects) flat += flat_lines(done);
  }
  const Json response{{"src_pool", from.at.pool}, {"src_cont", from.at.cont},
                      {"dst_pool", to.at.pool},   {"dst_cont", to.at.cont},
                      {"copy_stats", stats}};
  const std::string numbers = "    Directories: " + std::to_string(counts.dirs) +
                              "\n    Files:       " + std::to_string(counts.files) +
                              "\n    Links:       " + std::to_string(counts.links) + "\n" + flat;
  const uint64_t left_out = counts.skipped + counts.cut_modes;
  if (counts.errors == 0 && (left_out == 0 || a.ignore_unsupported)) {
    if (to.flats != nullptr && to.flats->failed() != 0) return flat_failure(a, *to.flats, response);
    return Reply{made + "Successfully copied to " + (to.at.native ? "POSIX" : "DAOS") + ": " +
                     a.target + "\n" + numbers, response};
  }
  std::string why;
  if (counts.errors != 0) why = std::to_string(counts.errors) + " entries failed (see above)";
  if (left_out != 0) {
    why += (why.empty() ? "" : ", ") + std::to_string(left_out) +
           " entries or mode bits are of a kind that cannot be copied";
  }
  if (to.flats != nullptr && to.flats->failed() != 0) {
    why += ", " + std::to_string(to.flats->failed()) +
           " objects could not be flattened: " + short_status(to.flats->error());
  }
  return std::unexpected(Failure{
      "failed to copy " + a.source + " -> " + a.target + ": " + why + "; copied were " +
          std::to_string(counts.dirs) + " directories, " + std::to_string(counts.files) +
          " files, " + std::to_string(counts.links) + " links",
      kStatusMisc,
      counts.errors != 0 ? "mend what the lines above name, then repeat the command: what is "
                           "there is copied again"
                         : "--ignore-unsupported makes this a success", response});
}

Outcome copy_opened(const CopyArguments& a, End& from, End& to, const std::string& made,
                    int report_fd, bool json) {
  const std::string path = without_slashes(from.at.path);
  auto source = from.side(path);
  auto top = source->look_top();
  if (!top) {
    const int status = der_of_errno(top.error());
    std::fprintf(stderr, "ERROR: Failed to stat '%s': %s\n", a.source.c_str(),
                 short_status(status).c_str());
    return copy_failure(a, status, "fs copy failed: " + short_status(status));
  }
  const bool is_dir = S_ISDIR(top->info.st_mode);
  if (is_dir && lies_inside(to, from)) {
    return copy_failure(a, -DER_INVAL, a.target + " lies inside " + a.source +
                                           "; a directory cannot be copied into itself");
  }
  auto target = find_target(to, base_of(path), is_dir, a);
  if (!target) return std::unexpected(target.error());
  const unsigned threads = a.threads != 0 ? a.threads : to.at.native ? kThreadsOut : kThreadsIn;
  CopyEngine engine(*source, *target->side, {.threads = threads, .report_fd = report_fd,
                                             .progress = !json});
  std::thread counter;
  if (from.at.native) {
    counter = std::thread([&path, &engine] { count_tree(path, &engine.counts); });
  }
  engine.run(*top, target->dir, target->name, without_slashes(a.source));
  if (counter.joinable()) counter.join();
  // Flattening takes space, too.
  if (to.flats != nullptr && !engine.stopped()) to.flats->finish();
  return summary(a, from, to, made, engine.counts);
}

Outcome copy(const CopyArguments& a, bool json) {
  if (a.source.empty()) return refuse("the required flag `-s, --src' was not specified");
  if (a.target.empty()) return refuse("the required flag `-d, --dst' was not specified");
  if (!a.preserve.empty()) {
    return refuse("--preserve-props needs HDF5 files, which are not supported yet; `daos cont "
                  "get-prop --json` tells the properties");
  }
  auto source = locate(a.source);
  if (!source) return std::unexpected(source.error());
  auto target = locate(a.target);
  if (!target) return std::unexpected(target.error());
  if (a.worm && target->native) {
    return refuse("--worm flattens objects of a container, but \"" + a.target +
                  "\" does not lie in one; leave --worm out");
  }
  raise_file_limit();
  int report_fd = -1;
  if (!a.report.empty()) {
    report_fd = open(a.report.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (report_fd < 0) return failure_errno("cannot write the report " + a.report, errno);
  }
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  Outcome outcome = Reply{};
  {
    End from{*source, {}, {}, {}, {}}, to{*target, {}, {}, {}, {}};
    auto opened = open_end(from, false, a);
    auto made = opened ? open_end(to, true, a) : std::move(opened);
    if (made && a.worm) to.flats = std::make_unique<FlatBatch>(to.cont->handle());
    outcome = made ? copy_opened(a, from, to, *made, report_fd, json)
                   : Outcome(std::unexpected(made.error()));
  }
  if (report_fd >= 0) close(report_fd);
  const int rc = session->stop();
  if (rc != 0 && outcome) return failure("copied, but the store did not close cleanly", rc);
  return outcome;
}

}  // namespace

void add_copy_command(Tool& tool) {
  Command& command = tool.command("filesystem", "copy", {},
                                  "Copy files and directories between paths and containers");
  auto a = std::make_shared<CopyArguments>();
  CLI::App& app = *command.app;
  app.add_option("-s,--src", a->source, "A path, or daos://POOL/CONTAINER[/PATH]");
  app.add_option("-d,--dst", a->target, "A path, or daos://POOL/CONTAINER[/PATH]");
  app.add_option("--report", a->report,
                 "Write a line to this file for each file or link once it is durable");
  app.add_option("--threads", a->threads,
                 "Entries in flight (default 32 into a container, 4 out of it)")
      ->check(CLI::Range(1, 256));
  app.add_option("-m,--preserve-props", a->preserve, "Not supported yet");
  app.add_flag("--worm", a->worm,
               "The copy is there to be read: flatten each file and directory as it is finished");
  app.add_flag("--ignore-unsupported", a->ignore_unsupported,
               "Sockets, fifos, devices and sticky bits do not make the copy fail");
  command.run = [a, &tool] { return copy(*a, tool.json()); };
}

}  // namespace cairn::tool
