// daos fs flatten: the objects of a file, or of a directory with all that is below it.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

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

struct Walk {
  dfs_t* fs;
  FlatBatch& batch;
  std::vector<std::string> dirs;  // that were not looked into yet
  bool terminal = isatty(STDERR_FILENO) == 1;

  int look_into(const std::string& path);
  int take(dfs_obj_t* dir, const std::string& path, const char* name);
  void show() const;
};

void Walk::show() const {
  if (!terminal) return;
  std::fprintf(stderr, "\rflattened %llu of %llu objects, so far",
               static_cast<unsigned long long>(batch.stats().cs_outcomes[CAIRN_FLAT_DONE]),
               static_cast<unsigned long long>(batch.stats().cs_objects));
}

/// One entry of a directory.
int Walk::take(dfs_obj_t* dir, const std::string& path, const char* name) {
  Opened entry;
  const int rc =
      dfs_lookup_rel(fs, dir, name, O_RDONLY | O_NOFOLLOW, &entry.obj, &entry.mode, nullptr);
  if (rc == ENOENT) return 0;  // removed meanwhile
  if (rc != 0) return rc;
  if (S_ISREG(entry.mode)) batch.add(entry.oid());
  if (S_ISDIR(entry.mode)) dirs.push_back((path == "/" ? "" : path) + "/" + name);
  return 0;
}

int Walk::look_into(const std::string& path) {
  Opened dir;
  int rc = dfs_lookup(fs, path.c_str(), O_RDONLY, &dir.obj, &dir.mode, nullptr);
  if (rc == ENOENT) return 0;
  if (rc != 0) return rc;
  std::vector<dirent> page(256);
  daos_anchor_t anchor{};
  while (!daos_anchor_is_eof(&anchor)) {
    auto count = static_cast<uint32_t>(page.size());
    rc = dfs_readdir(fs, dir.obj, &anchor, &count, page.data());
    for (uint32_t i = 0; rc == 0 && i < count; ++i) rc = take(dir.obj, path, page[i].d_name);
    if (rc != 0) return rc;
    show();
  }
  batch.add(dir.oid());
  return 0;
}

Reply reply_of(const cairn_flat_stats_t& stats) {
  return {"Objects: " + std::to_string(stats.cs_objects) + "\n" + flat_lines(stats) +
              "Bytes of buffers: " + std::to_string(stats.cs_buffer_bytes) + "\n",
          {{"objects", stats.cs_objects},
           {"outcomes", flat_outcomes(stats)},
           {"buffer_bytes", stats.cs_buffer_bytes}}};
}

Outcome flatten_opened(const FlattenFilesArguments& a, const Location& at, dfs_t* fs,
                       daos_handle_t cont) {
  const std::string doing = "cannot flatten " + a.path;
  FlatBatch batch(cont);
  Walk walk{fs, batch, {}};
  {
    Opened top;
    const int rc = dfs_lookup(fs, at.path.c_str(), O_RDONLY, &top.obj, &top.mode, nullptr);
    if (rc != 0) return failure_errno(doing, rc);
    if (S_ISREG(top.mode)) {
      batch.add(top.oid());
    } else if (!S_ISDIR(top.mode)) {
      return refuse(doing + ": it is a link, which has no object");
    } else if (a.recursive) {
      walk.dirs.push_back(at.path);
    } else {
      batch.add(top.oid());
    }
  }
  while (!walk.dirs.empty()) {
    const std::string path = std::move(walk.dirs.back());
    walk.dirs.pop_back();
    if (const int rc = walk.look_into(path); rc != 0) {
      return failure_errno(doing + ": " + path, rc);
    }
  }
  batch.finish();
  if (walk.terminal && a.recursive) std::fprintf(stderr, "\n");
  if (batch.error() != 0) return failure(doing, batch.error());
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
