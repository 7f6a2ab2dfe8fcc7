// The commands of the user tool by resource, and the handles that they hold while they run. All of
// it goes through the C interface (libdaos, libdfs, libduns), as any user's program does.
#pragma once

#include <daos.h>
#include <daos_fs.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cmd/tool/tool.h"

namespace cairn::tool {

void add_pool_commands(Tool& tool);
void add_container_commands(Tool& tool);
void add_filesystem_commands(Tool& tool);

/// What the other files of a resource add to it.
void add_property_commands(Tool& tool);
void add_attribute_commands(Tool& tool, bool of_pools);
void add_snapshot_commands(Tool& tool);
void add_copy_command(Tool& tool);
void add_flatten_commands(Tool& tool);
void add_seal_commands(Tool& tool);
void add_file_commands(Tool& tool);
void add_flatten_files_command(Tool& tool);

/// "errno 2 (No such file or directory)".
std::string errno_text(int number);
/// "<doing>: errno N (text)".
std::unexpected<Failure> failure_errno(const std::string& doing, int number);

/// daos_init() to daos_fini(). Closing waits for what the store still has to write.
class Session {
 public:
  static std::expected<Session, Failure> start();
  Session(Session&& other) noexcept : open_(std::exchange(other.open_, false)) {}
  ~Session();
  /// Closes; a failure here is one of the command.
  int stop();

 private:
  Session() = default;
  bool open_ = true;
};

/// A pool connection. Must not outlive its session.
class Pool {
 public:
  /// @returns 0 or a negative DER code
  static int connect(const std::string& pool, unsigned flags, std::optional<Pool>& out);
  Pool(Pool&& other) noexcept : handle_(std::exchange(other.handle_, daos_handle_t{})) {}
  ~Pool();
  daos_handle_t handle() const { return handle_; }

 private:
  explicit Pool(daos_handle_t handle) : handle_(handle) {}
  daos_handle_t handle_;
};

/// An open container. Must not outlive its pool.
class Cont {
 public:
  explicit Cont(daos_handle_t handle) : handle_(handle) {}
  /// @returns 0 or a negative DER code
  static int open(const Pool& pool, const std::string& name, unsigned flags,
                  std::optional<Cont>& out);
  Cont(Cont&& other) noexcept : handle_(std::exchange(other.handle_, daos_handle_t{})) {}
  ~Cont();
  daos_handle_t handle() const { return handle_; }

 private:
  daos_handle_t handle_;
};

/// A mounted POSIX container. Must not outlive its container.
class FileSystem {
 public:
  /// @returns 0 or an errno
  static int mount(const Pool& pool, const Cont& cont, int flags, std::optional<FileSystem>& out);
  FileSystem(FileSystem&& other) noexcept : dfs_(std::exchange(other.dfs_, nullptr)) {}
  ~FileSystem();
  dfs_t* get() const { return dfs_; }

 private:
  explicit FileSystem(dfs_t* dfs) : dfs_(dfs) {}
  dfs_t* dfs_;
};

/// How a command names a container: POOL CONT, or --path; what follows are its own arguments.
struct ContainerArguments {
  std::vector<std::string> words;
  std::string path;
};
/// Adds the positionals and --path.
void add_container_arguments(CLI::App& app, ContainerArguments& arguments);

struct ContainerName {
  std::string pool, cont;
  std::string shown;               // as the user named it
  std::string below;               // path in the container, with --path
  std::vector<std::string> rest;   // arguments after it
};
std::expected<ContainerName, Failure> container_name(const ContainerArguments& arguments);

/// Everything that a command on one open container needs, closed in the right order.
struct OpenContainer {
  Session session;
  std::optional<Pool> pool;
  std::optional<Cont> cont;
};
/// `read_only`: DAOS_PC_RO and DAOS_COO_RO, which leave the container's times alone.
std::expected<OpenContainer, Failure> open_container(const ContainerName& name, bool read_only);

/// "daos://POOL/CONT/PATH" or a path with a container's link, taken apart by libduns.
/// `native`: an ordinary path of the operating system.
struct Location {
  bool native = true;
  std::string pool, cont;
  std::string path;   // native: as given; else absolute below the container
};
std::expected<Location, Failure> locate(const std::string& text);

/// Paths in containers have no "." and ".." (which libdfs takes for names when it makes an entry).
bool has_dots(const std::string& path);

}  // namespace cairn::tool
