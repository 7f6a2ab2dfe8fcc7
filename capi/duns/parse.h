// The texts of the unified name space: paths "daos://pool/cont/path" and the extended attribute
// that ties a path to a container. Pure.
#pragma once

#include <daos_prop.h>

#include <optional>
#include <string>
#include <string_view>

namespace cairn::capi {

/// A path that names pool and container itself.
struct DirectPath {
  std::string pool;       // label or UUID
  std::string container;  // empty: the pool alone
  std::string rest;       // below the container, with its '/'; empty: nothing
};

/// "daos://pool[/cont[/rest]]", the scheme in either case.
std::optional<DirectPath> parse_direct_path(std::string_view path);
/// "/pool/cont[/rest]". `labels`: else both must be UUIDs.
std::optional<DirectPath> parse_bare_path(std::string_view path, bool labels);
/// What the reference makes of any path when it is told not to look at the file system: the first
/// component, whatever it is, stands for the scheme.
std::optional<DirectPath> parse_unchecked_path(std::string_view path);

/// The name of a container layout as it is stored; null for unknown ones.
const char* layout_name(uint16_t layout);
/// By name or alias, in either case; DAOS_PROP_CO_LAYOUT_UNKNOWN if there is none.
uint16_t layout_by_name(std::string_view name);

/// What the extended attribute says.
struct LinkText {
  uint16_t layout = 0;
  std::string pool, container;  // UUIDs as written
};
/// Ends at a NUL or after the second UUID, whatever comes first.
std::optional<LinkText> parse_link_text(std::string_view text);
std::string link_text(const LinkText& link);

}  // namespace cairn::capi
