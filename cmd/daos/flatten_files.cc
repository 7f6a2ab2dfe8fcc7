// daos fs flatten: the objects of a file, or of a directory with all that is below it.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>
#include <utility>

#include "cmd/daos/container.h"
#include "cmd/daos/flat_report.h"

namespace cairn::tool {
namespace {

struct FlattenFilesArguments {
  std::string path;
  bool recursive = false;
};

/// Released at the end.
struct Opened {
  dfs_obj_t* obj = nullptr;
  mode_t mode = 0;
  Opened() = default;
  Opened(const Opened&) = delete;
  ~Opened() {
    if (obj != nullptr) (void)dfs_release(obj);
  }
  daos_obj_id_t oid() const {
    daos_obj_id_t oid{};
    (void)dfs_obj2id(obj, &oid);
    return oid;
  }
};

using ObjectKey = std::pair<uint64_t, uint64_t>;
ObjectKey key_of(daos_obj_id_t oid) { return {oid.hi, oid.lo}; }

/// A directory that is being looked through.
struct Level {
  std::unique_ptr<Opened> dir;
  std::string name;  // as shown
  daos_anchor_t anchor{};
  std::vector<std::string> names;  // of the last page; taken from its end
};

/// Depth first, from handle to handle: a path may be longer than one that can be opened, and what
/// is replaced meanwhile is not followed elsewhere. Memory: a page of names a level.
class Walk {
 public:
  Walk(dfs_t* fs, FlatBatch& batch) : fs_(fs), batch_(batch), page_(kPageNames) {}

  /// Flattens what is below `top`, and `top`.
  void run(std::unique_ptr<Opened> top, const std::string& path);
  /// Entries that could not be looked at; each of the first was told on stderr.
  uint64_t failed() const { return failed_; }

 private:
  static constexpr uint32_t kPageNames = 256;
  /// No tree of people is as deep; a damaged one might be.
  static constexpr size_t kDepthMax = 8192;
  static constexpr uint64_t kErrorsShown = 50;

  void take(const std::string& name);
  void enter(std::unique_ptr<Opened> dir, const std::string& name);
  void read_page(Level& level);
  void leave(bool whole);
  void fail(const std::string& name, int number);
  void show() const;

  dfs_t* const fs_;
  FlatBatch& batch_;
  std::vector<dirent> page_;
  std::vector<Level> levels_;
  std::set<ObjectKey> inside_;  // the directories of levels_
  uint64_t failed_ = 0;
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
};

void Walk::show() const {
  if (!terminal_) return;
  std::fprintf(stderr, "\rflattened %llu of %llu objects, so far",
               static_cast<unsigned long long>(batch_.stats().cs_outcomes[CAIRN_FLAT_DONE]),
               static_cast<unsigned long long>(batch_.stats().cs_objects));
}

/// @param name  in the directory under work; "": that one itself
void Walk::fail(const std::string& name, int number) {
  if (++failed_ > kErrorsShown) return;
  std::string path;
  for (const Level& level : levels_) path += (path.ends_with('/') ? "" : "/") + level.name;
  if (!name.empty()) path += (path.ends_with('/') ? "" : "/") + name;
  std::fprintf(stderr, "ERROR: daos: cannot flatten %s: %s\n", path.c_str(),
               errno_text(number).c_str());
  if (failed_ == kErrorsShown) {
    std::fputs("ERROR: daos: more errors are counted, not shown\n", stderr);
  }
}

/// One entry of the directory under work.
void Walk::take(const std::string& name) {
  if (name == "." || name == "..") return;
  auto entry = std::make_unique<Opened>();
  const int rc = dfs_lookup_rel(fs_, levels_.back().dir->obj, name.c_str(), O_RDONLY | O_NOFOLLOW,
                                &entry->obj, &entry->mode, nullptr);
  if (rc == ENOENT) return;  // removed meanwhile
  if (rc != 0) return fail(name, rc);
  if (S_ISREG(entry->mode)) batch_.add(entry->oid());
  if (S_ISDIR(entry->mode)) enter(std::move(entry), name);
}

void Walk::enter(std::unique_ptr<Opened> dir, const std::string& name) {
  if (levels_.size() == kDepthMax) return fail(name, ENAMETOOLONG);
  // A directory inside itself has no end.
  if (!inside_.insert(key_of(dir->oid())).second) return fail(name, ELOOP);
  levels_.push_back({.dir = std::move(dir), .name = name, .anchor = {}, .names = {}});
}

/// The next names of the directory under work; leaves it where there are none.
void Walk::read_page(Level& level) {
  if (daos_anchor_is_eof(&level.anchor)) return leave(true);
  auto count = kPageNames;
  const int rc = dfs_readdir(fs_, level.dir->obj, &level.anchor, &count, page_.data());
  if (rc != 0) {
    if (rc != ENOENT) fail("", rc);
    return leave(false);
  }
  for (uint32_t i = count; i > 0; --i) level.names.emplace_back(page_[i - 1].d_name);
  show();
}

void Walk::leave(bool whole) {
  const daos_obj_id_t oid = levels_.back().dir->oid();
  if (whole) batch_.add(oid);
  inside_.erase(key_of(oid));
  levels_.pop_back();
}

void Walk::run(std::unique_ptr<Opened> top, const std::string& path) {
  enter(std::move(top), path.starts_with('/') ? path.substr(1) : path);
  while (!levels_.empty()) {
    Level& level = levels_.back();
    if (level.names.empty()) {
      read_page(level);
      continue;
    }
    const std::string name = std::move(level.names.back());
    level.names.pop_back();
    take(name);  // may add a level
  }
  if (terminal_) std::fprintf(stderr, "\n");
}

Reply reply_of(const cairn_flat_stats_t& stats) {
  return {"Objects: " + std::to_string(stats.cs_objects) + "\n" + flat_lines(stats) +
              "Bytes of buffers: " + std::to_string(stats.cs_buffer_bytes) + "\n",
          {{"objects", stats.cs_objects},
           {"outcomes", flat_outcomes(stats)},
           {"buffer_bytes", stats.cs_buffer_bytes}}};
}

/// Of what could not be looked at or flattened for an error; the rest was done.
std::unexpected<Failure> failure_of(const std::string& doing, const FlatBatch& batch,
                                    uint64_t entries_failed) {
  Reply done = reply_of(batch.stats());
  done.response["entries_failed"] = entries_failed;
  done.response["objects_failed"] = batch.failed();
  std::string why;
  if (entries_failed != 0) why = std::to_string(entries_failed) + " entries failed (see above)";
  if (batch.failed() != 0) {
    why += (why.empty() ? "" : ", ") + std::to_string(batch.failed()) +
           " objects could not be flattened, the first for " + status_text(batch.error());
  }
  const auto& outcomes = batch.stats().cs_outcomes;
  why += "; of " + std::to_string(batch.stats().cs_objects) + " objects " +
         std::to_string(outcomes[CAIRN_FLAT_DONE] + outcomes[CAIRN_FLAT_ALREADY]) + " are flat";
  return std::unexpected(Failure{doing + ": " + why, kStatusMisc,
                                 "mend what failed, then repeat the command: what is flat stays so",
                                 done.response});
}

Outcome flatten_opened(const FlattenFilesArguments& a, const Location& at, dfs_t* fs,
                       daos_handle_t cont) {
  const std::string doing = "cannot flatten all of " + a.path;
  auto top = std::make_unique<Opened>();
  const int rc = dfs_lookup(fs, at.path.c_str(), O_RDONLY, &top->obj, &top->mode, nullptr);
  if (rc != 0) return failure_errno("cannot flatten " + a.path, rc);
  FlatBatch batch(cont);
  Walk walk(fs, batch);
  if (S_ISREG(top->mode)) {
    batch.add(top->oid());
  } else if (!S_ISDIR(top->mode)) {
    return refuse("cannot flatten " + a.path + ": it is a link, which has no object");
  } else if (a.recursive) {
    walk.run(std::move(top), at.path);
  } else {
    batch.add(top->oid());
  }
  batch.finish();
  if (walk.failed() != 0 || batch.failed() != 0) return failure_of(doing, batch, walk.failed());
  return reply_of(batch.stats());
}

Outcome flatten_files(const FlattenFilesArguments& a) {
  if (a.path.empty()) return refuse("no path supplied: daos://POOL/CONTAINER[/PATH]");
  auto at = locate(a.path);
  if (!at) return std::unexpected(at.error());
  if (at->native) return refuse("\"" + a.path + "\" does not lie in a container");
  const ContainerName name{at->pool, at->cont, at->cont, at->path, {}};
  auto open = open_container(name, false);
  if (!open) return std::unexpected(open.error());
  std::optional<FileSystem> fs;
  const int rc = FileSystem::mount(*open->pool, *open->cont, O_RDWR, fs);
  if (rc != 0) {
    return failure_errno(
        "cannot mount container " + name.cont + (rc == EINVAL ? " (is its type POSIX?)" : ""), rc);
  }
  return flatten_opened(a, *at, fs->get(), open->cont->handle());
}

}  // namespace

void add_flatten_files_command(Tool& tool) {
  const auto a = std::make_shared<FlattenFilesArguments>();
  Command& command =
      tool.command("filesystem", "flatten", {},
                   "Make one buffer of each file or directory, to be read from now on");
  command.app->add_option("path", a->path, "daos://POOL/CONTAINER[/PATH]");
  command.app->add_flag("-r,--recursive", a->recursive, "A directory with all in it");
  command.run = [a] { return flatten_files(*a); };
}

}  // namespace cairn::tool
