// Sessions, connections, open containers and mounts, and the names that users give them.
#include <daos_uns.h>

#include <cstring>

#include "cmd/daos/daos.h"

namespace cairn::tool {

std::string errno_text(int number) {
  return "errno " + std::to_string(number) + " (" + std::strerror(number) + ")";
}

std::unexpected<Failure> failure_errno(const std::string& doing, int number) {
  return refuse(doing + ": " + errno_text(number));
}

std::expected<Session, Failure> Session::start() {
  const int rc = daos_init();
  if (rc == 0) return Session();
  auto failed = failure("failed to initialize DAOS API", rc);
  const char* home = std::getenv("CAIRN_HOME");
  failed.error().resolution =
      "cannot open the home " + std::string(home != nullptr && *home != 0 ? home : "~/.cairn") +
      (rc == -DER_BUSY ? ": another process holds it; wait for it to end, then repeat"
                       : "; see the lines above, or name another home in CAIRN_HOME");
  return failed;
}

int Session::stop() { return std::exchange(open_, false) ? daos_fini() : 0; }

Session::~Session() { (void)stop(); }

int Pool::connect(const std::string& pool, unsigned flags, std::optional<Pool>& out) {
  daos_handle_t handle{};
  const int rc = daos_pool_connect2(pool.c_str(), nullptr, flags, &handle, nullptr, nullptr);
  if (rc == 0) out.emplace(Pool(handle));
  return rc;
}

Pool::~Pool() {
  if (daos_handle_is_valid(handle_)) (void)daos_pool_disconnect(handle_, nullptr);
}

int Cont::open(const Pool& pool, const std::string& name, unsigned flags,
               std::optional<Cont>& out) {
  daos_handle_t handle{};
  const int rc =
      daos_cont_open2(pool.handle(), name.c_str(), flags, &handle, nullptr, nullptr);
  if (rc == 0) out.emplace(handle);
  return rc;
}

Cont::~Cont() {
  if (daos_handle_is_valid(handle_)) (void)daos_cont_close(handle_, nullptr);
}

int FileSystem::mount(const Pool& pool, const Cont& cont, int flags,
                      std::optional<FileSystem>& out) {
  dfs_t* made = nullptr;
  // A container may demand the balanced mode; every other one takes it.
  const int rc = dfs_mount(pool.handle(), cont.handle(), flags | DFS_BALANCED, &made);
  if (rc == 0) out.emplace(FileSystem(made));
  return rc;
}

FileSystem::~FileSystem() {
  if (dfs_ != nullptr) (void)dfs_umount(dfs_);
}

void add_container_arguments(CLI::App& app, ContainerArguments& arguments) {
  app.add_option("arguments", arguments.words,
                 "Pool and container (labels or UUIDs) unless --path names them, then the "
                 "command's own arguments");
  app.add_option("-p,--path", arguments.path, "A path that stands for the container");
}

namespace {

/// libduns' answer, freed at the end.
struct Resolved {
  duns_attr_t attr{};
  int rc;
  explicit Resolved(const std::string& path) { rc = duns_resolve_path(path.c_str(), &attr); }
  Resolved(const Resolved&) = delete;
  ~Resolved() { duns_destroy_attr(&attr); }
};

}  // namespace

std::expected<ContainerName, Failure> container_name(const ContainerArguments& arguments) {
  ContainerName name;
  if (!arguments.path.empty()) {
    const Resolved found(arguments.path);
    if (found.rc != 0) {
      std::fprintf(stderr, "ERROR: could not resolve pool, container by path %s: %s (%d)\n",
                   arguments.path.c_str(), std::strerror(found.rc), found.rc);
      return failure("failed to resolve path " + arguments.path, -DER_MISC);
    }
    name.pool = found.attr.da_pool;
    name.cont = found.attr.da_cont;
    name.shown = arguments.path;
    name.below = found.attr.da_rel_path != nullptr ? found.attr.da_rel_path : "/";
    name.rest = arguments.words;
    return name;
  }
  if (arguments.words.size() < 2) return refuse("no container label or UUID supplied");
  name.pool = arguments.words[0];
  name.cont = name.shown = arguments.words[1];
  name.rest.assign(arguments.words.begin() + 2, arguments.words.end());
  return name;
}

std::expected<OpenContainer, Failure> open_container(const ContainerName& name, bool read_only) {
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  OpenContainer open{std::move(*session), {}, {}};
  int rc = Pool::connect(name.pool, read_only ? DAOS_PC_RO : DAOS_PC_RW, open.pool);
  if (rc != 0) return failure("failed to connect to pool", rc);
  rc = Cont::open(*open.pool, name.cont,
                  read_only ? DAOS_COO_RO | DAOS_COO_RO_MDSTATS : DAOS_COO_RW, open.cont);
  if (rc != 0) return failure("failed to open container \"" + name.cont + "\"", rc);
  return open;
}

bool has_dots(const std::string& path) {
  const std::string whole = path + "/";
  return whole.find("/./") != std::string::npos || whole.find("/../") != std::string::npos;
}

std::expected<Location, Failure> locate(const std::string& text) {
  Location at;
  const bool url = text.starts_with("daos:");
  const Resolved found(text);
  if (found.rc != 0) {
    if (url) {
      return failure_errno("\"" + text + "\" is not of the form daos://POOL/CONTAINER[/PATH]",
                           found.rc);
    }
    at.path = text;
    return at;
  }
  at.native = false;
  at.pool = found.attr.da_pool;
  at.cont = found.attr.da_cont;
  at.path = found.attr.da_rel_path != nullptr ? found.attr.da_rel_path : "/";
  if (at.path.empty() || at.path[0] != '/') at.path = "/" + at.path;
  if (has_dots(at.path)) return refuse("\"" + text + "\": write the path without . and ..");
  if (at.cont.empty()) return refuse("\"" + text + "\" names no container");
  return at;
}

}  // namespace cairn::tool
