// daos fs get-attr|set-attr|reset-*|chmod: one entry of a POSIX container, named by --dfs-path (or
// --path alone). The rest of the resource is in copy.cc and files.cc.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cmd/daos/container.h"
#include "cmd/daos/daos.h"
#include "cmd/tool/format.h"
#include "daos_obj_class.h"

namespace cairn::tool {

namespace {

struct EntryArguments {
  ContainerArguments container;
  std::string path, prefix;          // --dfs-path, --dfs-prefix
  std::string chunk, oclass, mode;   // as far as a command has them
};

/// Released at the end.
struct Entry {
  dfs_obj_t* obj = nullptr;
  mode_t mode = 0;
  Entry() = default;
  Entry(const Entry&) = delete;
  ~Entry() {
    if (obj != nullptr) (void)dfs_release(obj);
  }
};

/// The mounted container and the path in it.
struct OpenEntry {
  OpenContainer open;
  std::optional<FileSystem> fs;
  std::string path;
};

/// The absolute path that the arguments name; `name` gives the one that lies behind --path.
std::expected<std::string, Failure> path_of(const EntryArguments& a, const ContainerName& name) {
  if (!a.container.path.empty()) return name.below.empty() ? "/" : name.below;
  if (!a.path.starts_with("/")) return refuse("--dfs-path \"" + a.path + "\" is not absolute");
  if (a.prefix.empty()) return a.path;
  const bool whole = a.prefix.ends_with("/") || a.path.size() == a.prefix.size() ||
                     a.path[std::min(a.prefix.size(), a.path.size() - 1)] == '/';
  if (!a.path.starts_with(a.prefix) || !whole) {
    return refuse("--dfs-path \"" + a.path + "\" does not lie below --dfs-prefix \"" + a.prefix +
                  "\"");
  }
  const std::string below = a.path.substr(a.prefix.size());
  return below.starts_with("/") ? below : "/" + below;
}

std::expected<OpenEntry, Failure> open_entry(const EntryArguments& a, bool writable) {
  if (a.container.path.empty() && a.path.empty()) {
    return refuse(
        "If not using --path, --dfs-path must be specified along with pool/container IDs");
  }
  if (!a.container.path.empty() && !(a.path.empty() && a.prefix.empty())) {
    return refuse("--path and --dfs-path cannot be used together");
  }
  auto name = container_name(a.container);
  if (!name) return std::unexpected(name.error());
  if (!name->rest.empty()) return refuse("too many arguments: " + name->rest[0]);
  auto path = path_of(a, *name);
  if (!path) return std::unexpected(path.error());
  if (has_dots(*path)) return refuse("\"" + *path + "\": write the path without . and ..");
  auto open = open_container(*name, !writable);
  if (!open) return std::unexpected(open.error());
  OpenEntry entry{std::move(*open), {}, std::move(*path)};
  const int rc = FileSystem::mount(*entry.open.pool, *entry.open.cont,
                                   writable ? O_RDWR : O_RDONLY, entry.fs);
  if (rc != 0) {
    return failure_errno("cannot mount container " + name->shown +
                             (rc == EINVAL ? " (is its type POSIX?)" : ""), rc);
  }
  return entry;
}

/// One more line before the error itself, as scripts know it.
std::unexpected<Failure> fail_after(const std::string& line, const std::string& doing, int rc) {
  std::fprintf(stderr, "ERROR: %s\n", line.c_str());
  return failure_errno(doing, rc);
}

std::unexpected<Failure> no_lookup(const std::string& path, const std::string& doing, int rc) {
  return fail_after("failed to lookup " + path + " (" + std::strerror(rc) + ")", doing, rc);
}

int look(const OpenEntry& at, int flags, Entry& entry) {
  return dfs_lookup(at.fs->get(), at.path.c_str(), flags, &entry.obj, &entry.mode, nullptr);
}

std::string class_name(daos_oclass_id_t id) {
  char name[MAX_OBJ_CLASS_NAME_LEN + 1];
  (void)daos_oclass_id2name(id, name);
  return name;
}

Outcome get_attr(const EntryArguments& a) {
  constexpr const char* kDoing = "get-attr failed";
  auto at = open_entry(a, false);
  if (!at) return std::unexpected(at.error());
  Entry entry;
  int rc = look(*at, O_RDONLY, entry);
  if (rc != 0) return no_lookup(at->path, kDoing, rc);
  dfs_obj_info_t info{};
  rc = dfs_obj_get_info(at->fs->get(), entry.obj, &info);
  if (rc != 0) return failure_errno(kDoing, rc);
  const std::string oid =
      std::to_string(info.doi_oid.hi) + "." + std::to_string(info.doi_oid.lo);
  const std::string oclass = class_name(info.doi_oclass_id);
  const std::string text = "OID = " + oid + "\nObject Class = " + oclass + "\n";
  const std::string chunk = std::to_string(info.doi_chunk_size);
  if (!S_ISDIR(entry.mode)) {
    return Reply{text + "Object Chunk Size = " + chunk + "\n",
                 {{"oid", oid}, {"oclass", oclass}, {"chunk_size", info.doi_chunk_size}}};
  }
  const std::string dirs = class_name(info.doi_dir_oclass_id);
  const std::string files = class_name(info.doi_file_oclass_id);
  return Reply{text + "Directory Creation Object Class = " + dirs +
                   "\nFile Creation Object Class = " + files +
                   "\nFile Creation Chunk Size = " + chunk + "\n",
               {{"object", {{"oid", oid}, {"oclass", oclass}}},
                {"directory",
                 {{"dir_oclass", dirs},
                  {"file_oclass", files},
                  {"chunk_size", info.doi_chunk_size}}}}};
}

/// An empty file with these attributes where nothing is yet.
int make_file(const OpenEntry& at, daos_oclass_id_t oclass, uint64_t chunk) {
  const size_t slash = at.path.rfind('/');
  const std::string name = at.path.substr(slash + 1);
  if (name.empty()) return ENOENT;
  Entry parent, file;
  const int rc = dfs_lookup(at.fs->get(), slash == 0 ? "/" : at.path.substr(0, slash).c_str(),
                            O_RDWR, &parent.obj, nullptr, nullptr);
  return rc != 0 ? rc
                 : dfs_open(at.fs->get(), parent.obj, name.c_str(), S_IFREG | 0644,
                            O_RDWR | O_CREAT | O_EXCL, oclass, chunk, nullptr, &file.obj);
}

Outcome set_attr(const EntryArguments& a) {
  constexpr const char* kDoing = "set-attr failed";
  uint64_t chunk = 0;
  daos_oclass_id_t oclass = 0;
  if (a.chunk.empty() && a.oclass.empty()) {
    return refuse("nothing to set: give --chunk-size, --oclass or both");
  }
  if (!a.chunk.empty()) {
    const auto bytes = parse_size(a.chunk);
    if (!bytes || *bytes == 0) return bad_chunk_size(a.chunk);
    chunk = *bytes;
  }
  if (auto ok = parse_class("-o, --oclass", a.oclass, oclass); !ok) {
    return std::unexpected(ok.error());
  }
  auto at = open_entry(a, true);
  if (!at) return std::unexpected(at.error());
  Entry entry;
  int rc = look(*at, O_RDWR, entry);
  if (rc == ENOENT) {
    rc = make_file(*at, oclass, chunk);
    return rc == 0 ? Outcome(Reply{}) : Outcome(failure_errno(kDoing, rc));
  }
  if (rc != 0) return no_lookup(at->path, kDoing, rc);
  const auto refused = [&rc](const char* what) {
    return fail_after("failed to set " + std::string(what) + " (" + std::strerror(rc) + ") " +
                          std::to_string(rc), kDoing, rc);
  };
  if (chunk != 0) rc = dfs_obj_set_chunk_size(at->fs->get(), entry.obj, 0, chunk);
  if (rc != 0) return refused("chunk size");
  if (oclass != 0) rc = dfs_obj_set_oclass(at->fs->get(), entry.obj, 0, oclass);
  if (rc != 0) return refused("object class");
  return Reply{};
}

/// The defaults of a directory become the container's again.
Outcome reset(const EntryArguments& a, bool chunk, bool oclass, const std::string& doing) {
  auto at = open_entry(a, true);
  if (!at) return std::unexpected(at.error());
  Entry entry;
  int rc = look(*at, O_RDWR, entry);
  if (rc != 0) return no_lookup(at->path, doing, rc);
  if (chunk) rc = dfs_obj_set_chunk_size(at->fs->get(), entry.obj, 0, 0);
  if (rc == 0 && oclass) rc = dfs_obj_set_oclass(at->fs->get(), entry.obj, 0, 0);
  if (rc != 0) return failure_errno(doing, rc);
  return Reply{};
}

std::optional<mode_t> parse_mode(const std::string& text) {
  if (text.size() > 5) return std::nullopt;
  mode_t mode = 0;
  for (const char c : text) {
    if (c < '0' || c > '7') return std::nullopt;
    mode = mode << 3 | static_cast<mode_t>(c - '0');
  }
  return mode <= 07777 ? std::optional(mode) : std::nullopt;
}

Outcome chmod(const EntryArguments& a) {
  if (a.mode.empty()) return refuse("the required flag `-m, --mode' was not specified");
  const auto mode = parse_mode(a.mode);
  if (!mode) {
    return bad_flag("-m, --mode", "ModeBitsFlag", "invalid mode: \"" + a.mode + "\"");
  }
  auto at = open_entry(a, true);
  if (!at) return std::unexpected(at.error());
  Entry entry;
  int rc = look(*at, O_RDWR, entry);
  if (rc != 0) return no_lookup(at->path, "chmod failed", rc);
  struct stat info{};
  info.st_mode = (entry.mode & S_IFMT) | *mode;
  rc = dfs_osetattr(at->fs->get(), entry.obj, &info, DFS_SET_ATTR_MODE);
  if (rc != 0) return failure_errno("chmod failed", rc);
  return Reply{};
}

void add_entry_commands(Tool& tool) {
  auto a = std::make_shared<EntryArguments>();
  const auto add = [&](const char* name, const char* description) -> Command& {
    Command& command = tool.command("filesystem", name, {}, description);
    add_container_arguments(*command.app, a->container);
    command.app->add_option("-H,--dfs-path", a->path, "Absolute path in the container");
    command.app->add_option("-I,--dfs-prefix", a->prefix, "Taken off from --dfs-path");
    return command;
  };
  add("get-attr", "Show object id, class and chunk size").run = [a] { return get_attr(*a); };
  Command& set = add("set-attr", "Set the defaults of a directory, or make a file with them");
  set.app->add_option("-z,--chunk-size", a->chunk, "Bytes of a file per dkey");
  set.app->add_option("-o,--oclass", a->oclass, "Object class");
  set.run = [a] { return set_attr(*a); };
  add("reset-attr", "Drop the defaults of a directory").run = [a] {
    return reset(*a, true, true, "reset-attr failed");
  };
  add("reset-chunk-size", "Drop the default chunk size of a directory").run = [a] {
    return reset(*a, true, false, "reset-chunk-size failed");
  };
  add("reset-oclass", "Drop the default class of a directory").run = [a] {
    return reset(*a, false, true, "reset-oclass failed");
  };
  Command& mode = add("chmod", "Set permissions");
  mode.app->add_option("-m,--mode", a->mode, "Octal permissions, for example 0755");
  mode.run = [a] { return chmod(*a); };
}

}  // namespace

void add_filesystem_commands(Tool& tool) {
  tool.resource("filesystem", {"fs"}, "Files in POSIX containers");
  add_copy_command(tool);
  add_file_commands(tool);
  add_flatten_files_command(tool);
  add_entry_commands(tool);
}

}  // namespace cairn::tool
