// TreePath: how ddb names things: /CONT/OID/DKEY/AKEY/EXTENT. Levels are written as vos/key_text.h
// prints them; containers also by label or UUID, and every level as [n], the n-th of a listing.
//
//   extent   {LO-HI}, records, both ends included
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "cmd/tool/tool.h"
#include "model/io.h"
#include "vos/key_format.h"

namespace cairn::ddb {

class Session;

struct TreePath {
  std::optional<uint32_t> container;
  std::optional<vos::ObjectPath> object;
  std::optional<Bytes> dkey, akey;  // whole keys
  std::optional<model::Recx> extent;

  /// Levels that are named: 0 (the root) to 5.
  int depth() const {
    return !container ? 0 : !object ? 1 : !dkey ? 2 : !akey ? 3 : !extent ? 4 : 5;
  }
  std::string text() const;
  /// What its records' keys begin with, in one range. Precondition: no extent.
  vos::Key prefix(vos::Range range) const;
};

/// One thing below a path.
struct Entry {
  TreePath path;
  std::string name;  // the last level, as text
};

template <class T>
using Found = std::expected<T, tool::Failure>;

/// "a\/b/c" at every / that is not behind a \ and not inside braces. Nullopt: a brace or a \ is
/// left open.
std::optional<std::vector<std::string>> split_path(const std::string& text);
/// The bytes of a key as key_text.h prints it; of {hash:0x...} the component's 80 bytes, and
/// `*hashed` is set. Nullopt: malformed.
std::optional<Bytes> parse_level(model::KeyKind kind, const std::string& text, bool* hashed);
std::optional<model::Recx> parse_extent_level(const std::string& text);

/// What stands below a path, in the order of the listing. @error not of this depth, or damaged
Found<std::vector<Entry>> list_below(Session& session, const TreePath& path);
/// The path that `text` means. The last level need not exist, unless it is an index.
Found<TreePath> resolve(Session& session, const std::string& text);

/// A raw walk over the records whose keys begin with `prefix`; a damaged page is passed over with a
/// line in `lost`. `look` says where to go on: at the next record (nullopt), or at that key.
struct Walk {
  std::function<std::optional<vos::Key>(ByteView key, ByteView value)> look;
  std::vector<std::string> lost;
};
Result<void> walk_records(Session& session, const vos::Key& prefix, Walk& walk);

}  // namespace cairn::ddb
