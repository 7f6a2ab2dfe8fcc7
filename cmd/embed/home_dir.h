// The directory of a home: where it is, that it may be used, and its small files. Everything here
// blocks, and happens while a home is opened, closed, or a pool comes and goes.
// docs/formats/home.md shows the tree.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "cmd/embed/home_format.h"

namespace cairn::embed {

/// `path`, else CAIRN_HOME, else ~/.cairn; absolute.
/// @error invalid  none of them is set; one line on stderr
Result<std::string> resolve_home(const std::string& path);

/// Makes the directory (mode 0700) if `create`, and checks that it is one, ours to use and local.
/// @error nonexistent, no_perm, no_space, not_dir, io  one line on stderr
/// @error not_supported  on a network file system, without CAIRN_ALLOW_NETWORK_FS=1
Result<void> prepare_home(const std::string& home, bool create);

/// What `home` says; nullopt if there is none yet and nothing foreign lies in the directory.
/// @error format_invalid, format_newer, checksum, no_perm, io  one line on stderr
Result<std::optional<HomeFile>> load_home(const std::string& home);
/// There is one, complete; it may be damaged.
bool has_home(const std::string& home);
/// A home that is there: its absolute path, and what its file says.
struct FoundHome {
  std::string path;
  HomeFile file;
};
/// @error as resolve_home(), prepare_home() and load_home(); nonexistent  there is none. One line
/// on stderr.
Result<FoundHome> find_home(const std::string& path);
/// Durable on return; the last step of making a home.
Result<void> store_home(const std::string& home, const HomeFile& file);

/// There is no home, and none is to be made: a line on stderr, and the error for it.
std::unexpected<Error> report_no_home(const std::string& home);

/// Writes DIRECTORY/NAME.new, flushes and renames: the file is as before or as given, never
/// between. Durable on return. @error no_perm, no_space, io  one line on stderr
Result<void> store_small_file(const std::string& directory, const char* name, ByteView bytes);

/// Makes a directory of mode 0700 and its entry durable; an existing one is fine.
Result<void> make_directory(const std::string& path);
/// Removes a file or a whole tree durably; absent is fine.
Result<void> remove_tree(const std::string& path);

/// All of a file of at most `bytes_max` bytes; nullopt if it cannot be read or is longer.
std::optional<Bytes> read_small_file(const std::string& path, size_t bytes_max);

/// Reports "PATH: cannot DOING: CAUSE; WAY OUT" and gives the error for it.
std::unexpected<Error> report_errno(const std::string& path, const char* doing, int error);

}  // namespace cairn::embed
