// daos fs ls|cat|put|rm: one file or directory of a container.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "cmd/daos/copy_side.h"
#include "cmd/daos/daos.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

constexpr size_t kPieceBytes = 2u << 20;

/// The container that a path lies in, mounted.
struct OpenPath {
  Location at;
  OpenContainer open;
  std::optional<FileSystem> fs;
};

std::expected<OpenPath, Failure> open_path(const std::string& text, bool writable) {
  if (text.empty()) return refuse("no path supplied: daos://POOL/CONTAINER[/PATH]");
  auto at = locate(text);
  if (!at) return std::unexpected(at.error());
  if (at->native) return refuse("\"" + text + "\" does not lie in a container");
  const ContainerName name{at->pool, at->cont, at->cont, at->path, {}};
  auto open = open_container(name, !writable);
  if (!open) return std::unexpected(open.error());
  OpenPath path{std::move(*at), std::move(*open), {}};
  const int rc = FileSystem::mount(*path.open.pool, *path.open.cont,
                                   writable ? O_RDWR : O_RDONLY, path.fs);
  if (rc != 0) {
    return failure_errno("cannot mount container " + name.cont +
                             (rc == EINVAL ? " (is its type POSIX?)" : ""), rc);
  }
  return path;
}

struct Row {
  std::string name, target;
  struct stat info{};
};

char kind_of(uint32_t mode) { return S_ISDIR(mode) ? 'd' : S_ISLNK(mode) ? 'l' : '-'; }

std::string mode_text(uint32_t mode) {
  std::string text(1, kind_of(mode));
  for (int shift = 6; shift >= 0; shift -= 3) {
    const uint32_t bits = mode >> shift & 7;
    text += (bits & 4) != 0 ? 'r' : '-';
    text += (bits & 2) != 0 ? 'w' : '-';
    text += (bits & 1) != 0 ? 'x' : '-';
  }
  return text;
}

Json row_json(const Row& row) {
  char mode[16];
  std::snprintf(mode, sizeof mode, "%04o", row.info.st_mode & 07777);
  const auto kind = kind_of(row.info.st_mode);
  Json out{{"name", row.name},
           {"type", kind == 'd' ? "directory" : kind == 'l' ? "link" : "file"},
           {"mode", mode},
           {"size", row.info.st_size},
           {"mtime", time_text(static_cast<uint64_t>(row.info.st_mtim.tv_sec) * 1'000'000'000 +
                               static_cast<uint64_t>(row.info.st_mtim.tv_nsec))}};
  if (kind == 'l') out["target"] = row.target;
  return out;
}

std::string rows_text(const std::vector<Row>& rows, bool is_long) {
  std::string text;
  size_t width = 0;
  for (const Row& row : rows) width = std::max(width, std::to_string(row.info.st_size).size());
  for (const Row& row : rows) {
    if (is_long) {
      const std::string size = std::to_string(row.info.st_size);
      text += mode_text(row.info.st_mode) + " " + std::string(width - size.size(), ' ') + size +
              " " + time_text(static_cast<uint64_t>(row.info.st_mtim.tv_sec) * 1'000'000'000 +
                              static_cast<uint64_t>(row.info.st_mtim.tv_nsec)) + " ";
    }
    text += row.name;
    if (is_long && !row.target.empty()) text += " -> " + row.target;
    text += "\n";
  }
  return text;
}

Outcome list(const std::string& text, bool is_long, bool json) {
  auto path = open_path(text, false);
  if (!path) return std::unexpected(path.error());
  const std::string doing = "cannot list " + text;
  auto side = container_side(path->fs->get(), path->at.path);
  auto top = side->look_top();
  if (!top) return failure_errno(doing, top.error());
  std::vector<Row> rows;
  if (!S_ISDIR(top->info.st_mode)) {
    rows.push_back({path->at.path.substr(path->at.path.rfind('/') + 1), top->target, top->info});
  } else {
    auto dir = side->open_top_dir();
    if (!dir) return failure_errno(doing, dir.error());
    auto names = side->list(**dir);
    if (!names) return failure_errno(doing, names.error());
    std::sort(names->begin(), names->end());
    for (const std::string& name : *names) {
      Row row{name, "", {}};
      if (is_long || json) {
        auto entry = side->look(**dir, name);
        if (!entry && entry.error() == ENOENT) continue;
        if (!entry) return failure_errno(doing + "/" + name, entry.error());
        row.info = entry->info;
        row.target = entry->target;
      }
      rows.push_back(std::move(row));
    }
  }
  Json response = Json::array();
  for (const Row& row : rows) {
    if (json) response.push_back(row_json(row));
  }
  return Reply{rows_text(rows, is_long), response};
}

Outcome cat(const std::string& text) {
  auto path = open_path(text, false);
  if (!path) return std::unexpected(path.error());
  const std::string doing = "cannot read " + text;
  auto side = container_side(path->fs->get(), path->at.path);
  auto top = side->look_top();
  if (!top) return failure_errno(doing, top.error());
  if (!S_ISREG(top->info.st_mode)) {
    return failure_errno(doing, S_ISDIR(top->info.st_mode) ? EISDIR : EINVAL);
  }
  std::vector<char> buffer(kPieceBytes);
  for (uint64_t at = 0;;) {
    auto got = side->read(*top->file, at, buffer.data(), buffer.size());
    if (!got) return failure_errno(doing, got.error());
    if (std::fwrite(buffer.data(), 1, *got, stdout) != *got) {
      return failure_errno("cannot write to stdout", errno);
    }
    if (*got < buffer.size()) break;
    at += *got;
  }
  return Reply{};
}

Outcome put(const std::string& text) {
  auto path = open_path(text, true);
  if (!path) return std::unexpected(path.error());
  const std::string doing = "cannot write " + text;
  const size_t slash = path->at.path.rfind('/');
  const std::string name = path->at.path.substr(slash + 1);
  if (name.empty()) return refuse(doing + ": it names a directory; add the file's name");
  auto side = container_side(path->fs->get(), slash == 0 ? "/" : path->at.path.substr(0, slash));
  auto dir = side->open_top_dir();
  if (!dir) return failure_errno(doing + ": its directory cannot be opened", dir.error());
  auto file = side->make_file(**dir, name, 0644, false);
  if (!file) return failure_errno(doing, file.error());
  std::vector<char> buffer(kPieceBytes);
  for (uint64_t at = 0;;) {
    const size_t got = std::fread(buffer.data(), 1, buffer.size(), stdin);
    if (got == 0) break;
    const auto ok = side->write(**file, at, buffer.data(), got);
    if (!ok) return failure_errno(doing, ok.error());
    at += got;
  }
  if (std::ferror(stdin) != 0) return failure_errno("cannot read stdin", errno);
  return Reply{};
}

Outcome rm(const std::string& text, bool recursive) {
  auto path = open_path(text, true);
  if (!path) return std::unexpected(path.error());
  const std::string doing = "cannot remove " + text;
  std::string below = path->at.path;
  while (below.size() > 1 && below.back() == '/') below.pop_back();
  const size_t slash = below.rfind('/');
  const std::string name = below.substr(slash + 1);
  if (name.empty()) return refuse(doing + ": the root stays; destroy the container instead");
  dfs_obj_t* parent = nullptr;
  const std::string above = slash == 0 ? "/" : below.substr(0, slash);
  int rc = dfs_lookup(path->fs->get(), above.c_str(), O_RDWR, &parent, nullptr, nullptr);
  if (rc == 0) {
    rc = dfs_remove(path->fs->get(), parent, name.c_str(), recursive, nullptr);
    (void)dfs_release(parent);
  }
  if (rc == ENOTEMPTY) {
    return refuse(doing + ": " + errno_text(rc) + "; -r removes a directory with all in it");
  }
  if (rc != 0) return failure_errno(doing, rc);
  return Reply{};
}

}  // namespace

void add_file_commands(Tool& tool) {
  auto path = std::make_shared<std::string>();
  const auto add = [&](const char* name, const char* description) -> Command& {
    Command& command = tool.command("filesystem", name, {}, description);
    command.app->add_option("path", *path, "daos://POOL/CONTAINER[/PATH]");
    return command;
  };
  Command& ls = add("ls", "List a directory");
  auto is_long = std::make_shared<bool>(false);
  ls.app->add_flag("-l,--long", *is_long, "With modes, sizes and times");
  ls.run = [path, is_long, &tool] { return list(*path, *is_long, tool.json()); };

  Command& cat_command = add("cat", "Write a file to stdout");
  cat_command.prints_itself = true;
  cat_command.run = [path] { return cat(*path); };

  add("put", "Write stdin to a file").run = [path] { return put(*path); };

  Command& rm_command = add("rm", "Remove a file, a link or a directory");
  auto recursive = std::make_shared<bool>(false);
  rm_command.app->add_flag("-r,--recursive", *recursive, "A directory with all in it");
  rm_command.run = [path, recursive] { return rm(*path, *recursive); };
}

}  // namespace cairn::tool
