#include "capi/duns/parse.h"

#include <daos_cont.h>
#include <strings.h>

#include <cctype>

#include "base/uuid.h"

namespace cairn::capi {
namespace {

constexpr size_t kUuidChars = 36;

struct Layout {
  uint16_t number;
  const char* name;
  const char* alias;
};
constexpr Layout kLayouts[] = {
    {DAOS_PROP_CO_LAYOUT_POSIX, "POSIX", nullptr},
    {DAOS_PROP_CO_LAYOUT_HDF5, "HDF5", nullptr},
    {DAOS_PROP_CO_LAYOUT_PYTHON, "PYTHON", nullptr},
    {DAOS_PROP_CO_LAYOUT_SPARK, "SPARK", nullptr},
    {DAOS_PROP_CO_LAYOUT_DATABASE, "DATABASE", "DB"},
    {DAOS_PROP_CO_LAYOUT_ROOT, "ROOT", "RNTuple"},
    {DAOS_PROP_CO_LAYOUT_SEISMIC, "SEISMIC", "DSG"},
    {DAOS_PROP_CO_LAYOUT_METEO, "METEO", "FDB"},
};

bool same_word(std::string_view a, const char* b) {
  return b != nullptr && a.size() == std::char_traits<char>::length(b) &&
         strncasecmp(a.data(), b, a.size()) == 0;
}

/// Takes a prefix off, in either case.
bool skip(std::string_view& text, std::string_view prefix) {
  if (text.size() < prefix.size() ||
      strncasecmp(text.data(), prefix.data(), prefix.size()) != 0) {
    return false;
  }
  text.remove_prefix(prefix.size());
  return true;
}

bool is_uuid(const std::string& text) { return parse_uuid(text).has_value(); }

bool is_name(const std::string& text) {
  return is_uuid(text) || daos_label_is_valid(text.c_str());
}

/// "pool[/cont[/rest]]".
std::optional<DirectPath> parse_names(std::string_view text) {
  const auto cut = [&text] {
    const size_t slash = std::min(text.find('/'), text.size());
    std::string part{text.substr(0, slash)};
    text.remove_prefix(slash);
    return part;
  };
  DirectPath path;
  path.pool = cut();
  if (!is_name(path.pool)) return std::nullopt;
  if (text.size() <= 1) return path;
  text.remove_prefix(1);
  path.container = cut();
  if (!is_name(path.container)) return std::nullopt;
  if (text.size() > 1) path.rest = text;
  return path;
}

}  // namespace

std::optional<DirectPath> parse_direct_path(std::string_view path) {
  return skip(path, "daos://") ? parse_names(path) : std::nullopt;
}

std::optional<DirectPath> parse_bare_path(std::string_view path, bool labels) {
  if (!path.starts_with('/')) return std::nullopt;
  auto parsed = parse_names(path.substr(1));
  if (!parsed || parsed->container.empty()) return std::nullopt;
  if (!labels && (!is_uuid(parsed->pool) || !is_uuid(parsed->container))) return std::nullopt;
  return parsed;
}

std::optional<DirectPath> parse_unchecked_path(std::string_view path) {
  if (auto direct = parse_direct_path(path)) return direct;
  if (!path.starts_with('/')) return std::nullopt;
  const size_t slash = path.find('/', 1);
  return slash == std::string_view::npos ? std::nullopt : parse_names(path.substr(slash + 1));
}

const char* layout_name(uint16_t layout) {
  for (const Layout& known : kLayouts) {
    if (known.number == layout) return known.name;
  }
  return nullptr;
}

uint16_t layout_by_name(std::string_view name) {
  for (const Layout& known : kLayouts) {
    if (same_word(name, known.name) || same_word(name, known.alias)) return known.number;
  }
  return DAOS_PROP_CO_LAYOUT_UNKNOWN;
}

std::optional<LinkText> parse_link_text(std::string_view text) {
  text = text.substr(0, std::min(text.find('\0'), text.size()));
  if (!skip(text, "DAOS.")) return std::nullopt;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) return std::nullopt;
  LinkText link;
  link.layout = layout_by_name(text.substr(0, colon));
  text.remove_prefix(colon + 3);
  if (link.layout == DAOS_PROP_CO_LAYOUT_UNKNOWN || text.size() < 2 * kUuidChars + 1 ||
      text[kUuidChars] != '/') {
    return std::nullopt;
  }
  link.pool = text.substr(0, kUuidChars);
  link.container = text.substr(kUuidChars + 1, kUuidChars);
  if (!is_uuid(link.pool) || !is_uuid(link.container)) return std::nullopt;
  return link;
}

std::string link_text(const LinkText& link) {
  const char* const name = layout_name(link.layout);
  return std::string{"DAOS."} + (name == nullptr ? "unknown" : name) + "://" + link.pool + "/" +
         link.container;
}

}  // namespace cairn::capi
