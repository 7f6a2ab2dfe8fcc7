#include "cmd/ddb/tree_path.h"

#include <charconv>

#include "base/ordered_int.h"
#include "cmd/ddb/session.h"
#include "vos/key_text.h"
#include "vos/loss.h"

namespace cairn::ddb {

namespace {

using tool::Failure;

template <class T>
bool parse_number(std::string_view text, T& into) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), into);
  return !text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

std::optional<Bytes> parse_hex(std::string_view text) {
  if (!text.starts_with("0x") || text.size() % 2 != 0) return std::nullopt;
  Bytes out;
  for (size_t i = 2; i < text.size(); i += 2) {
    uint8_t byte = 0;
    const auto parsed = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + i + 2) return std::nullopt;
    out.push_back(static_cast<std::byte>(byte));
  }
  return out;
}

/// The inside of "{NAME:...}" if `text` is that.
std::optional<std::string_view> braced(std::string_view text, std::string_view name) {
  if (!text.starts_with("{") || !text.ends_with("}")) return std::nullopt;
  text = text.substr(1, text.size() - 2);
  if (!text.starts_with(name) || text.size() <= name.size() || text[name.size()] != ':') {
    return std::nullopt;
  }
  return text.substr(name.size() + 1);
}

std::optional<vos::ObjectPath> parse_object(uint32_t container, std::string_view text) {
  vos::ObjectPath path{container, {}, 0};
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos || !parse_number(text.substr(0, dot), path.oid.hi)) {
    return std::nullopt;
  }
  std::string_view rest = text.substr(dot + 1);
  const size_t second = rest.find('.');
  if (!parse_number(rest.substr(0, second), path.oid.lo)) return std::nullopt;
  if (second != std::string_view::npos && !parse_number(rest.substr(second + 1), path.shard)) {
    return std::nullopt;
  }
  return path;
}

bool starts_with(ByteView key, ByteView prefix) {
  return as_chars(key).starts_with(as_chars(prefix));
}

vos::Key next_range(uint32_t container) {
  vos::Key key;
  key.add_be32(container);
  return vos::after_prefix(key);
}

std::unexpected<Failure> damaged(const std::vector<std::string>& lost) {
  return std::unexpected(Failure{
      "a part of it is damaged: " + lost.front(), -static_cast<int>(Errc::checksum), {}, {}});
}

std::string container_name(Session& session, uint32_t number) {
  const auto named = session.containers().find(number);
  std::string out = std::to_string(number);
  if (named == session.containers().end()) return out;
  return out + " " + to_string(named->second.uuid) +
         (named->second.label.empty() ? "" : " " + named->second.label);
}

Found<std::vector<Entry>> list_containers(Session& session) {
  std::vector<Entry> out;
  Walk walk{.look = [&](ByteView key, ByteView) -> std::optional<vos::Key> {
              const uint32_t number = key.size() < 4 ? 0 : load_be32(key.data());
              if (number != 0) {
                Entry entry{{}, container_name(session, number)};
                entry.path.container = number;
                out.push_back(std::move(entry));
              }
              return number == UINT32_MAX ? std::nullopt : std::optional(next_range(number));
            },
            .lost = {}};
  const auto walked = walk_records(session, {}, walk);
  if (!walked) return tool::failure("cannot list the containers", walked.error());
  if (!walk.lost.empty()) return damaged(walk.lost);
  return out;
}

/// Those with live records, in the order of their keys.
Found<std::vector<Entry>> list_objects(Session& session, const TreePath& at) {
  std::vector<Entry> out;
  const vos::Key prefix = vos::range_prefix(*at.container, vos::Range::live);
  Walk walk{.look = [&](ByteView key, ByteView) -> std::optional<vos::Key> {
              uint64_t shard = 0;
              const ByteView rest = key.subspan(prefix.size());
              const size_t used = rest.size() > 16 ? get_ordered_int(rest.subspan(16), &shard) : 0;
              if (used == 0) return std::nullopt;
              const vos::ObjectPath object{*at.container, vos::object_id_of(rest.first(16)),
                                           static_cast<uint32_t>(shard)};
              out.push_back({at, vos::object_text(object.oid, object.shard)});
              out.back().path.object = object;
              return vos::after_prefix(key.first(prefix.size() + 16 + used));
            },
            .lost = {}};
  const auto walked = walk_records(session, prefix, walk);
  if (!walked) return tool::failure("cannot list the objects", walked.error());
  if (!walk.lost.empty()) return damaged(walk.lost);
  return out;
}

/// Keys and extents as a client sees them.
Task<Result<void>> list_all(vos::Shard& shard, TreePath at, std::vector<Entry>& out) {
  model::ListRequest request{.count_max = 1024, .bytes_max = 4u << 20};
  const int depth = at.depth();
  using What = model::ListRequest::What;
  request.what = depth == 2 ? What::dkeys : depth == 3 ? What::akeys : What::recxs;
  if (at.dkey) request.dkey = *at.dkey;
  if (at.akey) request.akey = *at.akey;
  const uint8_t type = at.object->oid.type();
  const model::KeyKind kind = depth == 2 ? model::dkey_kind(type) : model::akey_kind(type);
  for (bool eof = false; !eof;) {
    CO_TRY(listed, co_await shard.list(*at.object, request));
    eof = listed.eof;
    request.position = listed.position;
    if (listed.too_small) request.bytes_max = listed.lengths.at(0);
    size_t begin = 0;
    for (const uint64_t length : listed.too_small ? std::vector<uint64_t>{} : listed.lengths) {
      Bytes key(listed.keys.begin() + static_cast<ptrdiff_t>(begin),
                listed.keys.begin() + static_cast<ptrdiff_t>(begin + length));
      begin += length;
      Entry entry{at, vos::level_text(kind, key)};
      (depth == 2 ? entry.path.dkey : entry.path.akey) = std::move(key);
      out.push_back(std::move(entry));
    }
    for (const model::Recx& recx : listed.recxs) {
      Entry entry{at, "{" + std::to_string(recx.index) + "-" +
                          std::to_string(recx.index + recx.count - 1) + "}"};
      entry.path.extent = recx;
      out.push_back(std::move(entry));
    }
  }
  co_return Result<void>{};
}

/// "[n]".
std::optional<size_t> parse_index(const std::string& text) {
  size_t index = 0;
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') return std::nullopt;
  return parse_number(std::string_view(text).substr(1, text.size() - 2), index)
             ? std::optional(index)
             : std::nullopt;
}

bool set_container(Session& session, const std::string& text, TreePath& path) {
  uint32_t number = 0;
  if (parse_number(text, number) && number != 0) {
    path.container = number;
    return true;
  }
  for (const auto& [known, name] : session.containers()) {
    if (name.label == text || to_string(name.uuid) == text) path.container = known;
  }
  return path.container.has_value();
}

/// A long key by its hash: the whole one stands in the listing.
std::optional<Bytes> find_hashed(Session& session, const TreePath& path, const Bytes& component) {
  const auto listed = list_below(session, path);
  if (!listed) return std::nullopt;
  for (const Entry& entry : *listed) {
    const Bytes& key = path.dkey ? *entry.path.akey : *entry.path.dkey;
    const auto own = vos::component_of(model::KeyKind::hashed, key);
    if (as_chars(own.view()) == as_chars(component)) return key;
  }
  return std::nullopt;
}

bool set_key(Session& session, const std::string& text, TreePath& path) {
  const uint8_t type = path.object->oid.type();
  const model::KeyKind kind = path.dkey ? model::akey_kind(type) : model::dkey_kind(type);
  bool hashed = false;
  auto key = parse_level(kind, text, &hashed);
  if (key && hashed) key = find_hashed(session, path, *key);
  if (!key || !vos::check_key(kind, *key)) return false;
  (path.dkey ? path.akey : path.dkey) = std::move(*key);
  return true;
}

bool set_level(Session& session, const std::string& text, TreePath& path) {
  switch (path.depth()) {
    case 0:
      return set_container(session, text, path);
    case 1:
      path.object = parse_object(*path.container, text);
      return path.object.has_value();
    case 2:
    case 3:
      return set_key(session, text, path);
    case 4:
      path.extent = parse_extent_level(text);
      return path.extent.has_value();
    default:
      return false;
  }
}

constexpr const char* kLevelForms[] = {
    "a container is a number, a label or a UUID",
    "an object is HI.LO or HI.LO.SHARD",
    "a dkey is text, an integer (for integer keys) or {bin:0xHEX}",
    "an akey is text, an integer (for integer keys) or {bin:0xHEX}",
    "an extent is {LO-HI}",
    "nothing stands below an extent"};

}  // namespace

std::string TreePath::text() const {
  if (!container) return "/";
  std::string out = "/" + std::to_string(*container);
  if (!object) return out;
  out += "/" + vos::object_text(object->oid, object->shard);
  const uint8_t type = object->oid.type();
  if (dkey) out += "/" + vos::level_text(model::dkey_kind(type), *dkey);
  if (akey) out += "/" + vos::level_text(model::akey_kind(type), *akey);
  if (extent) {
    out += "/{" + std::to_string(extent->index) + "-" +
           std::to_string(extent->index + extent->count - 1) + "}";
  }
  return out;
}

vos::Key TreePath::prefix(vos::Range range) const {
  if (!container) return {};
  if (!object) return vos::range_prefix(*container, range);
  const uint8_t type = object->oid.type();
  vos::Key key = vos::object_prefix(*object, range);
  if (!dkey) return key;
  vos::add_component(key, model::dkey_kind(type), vos::component_of(model::dkey_kind(type), *dkey));
  if (!akey) return key;
  vos::add_component(key, model::akey_kind(type), vos::component_of(model::akey_kind(type), *akey));
  return key;
}

std::optional<std::vector<std::string>> split_path(const std::string& text) {
  std::vector<std::string> out(1);
  bool open = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      if (i + 1 == text.size()) return std::nullopt;
      out.back() += c;
      out.back() += text[++i];
      continue;
    }
    if (c == '{') open = true;
    if (c == '}') open = false;
    if (c == '/' && !open) {
      if (!out.back().empty()) out.emplace_back();
      continue;
    }
    out.back() += c;
  }
  if (open) return std::nullopt;
  if (out.back().empty()) out.pop_back();
  return out;
}

std::optional<Bytes> parse_level(model::KeyKind kind, const std::string& text, bool* hashed) {
  *hashed = false;
  if (const auto hex = braced(text, "bin")) return parse_hex(*hex);
  if (kind == model::KeyKind::integer) {
    uint64_t number = 0;
    if (!parse_number(braced(text, "uint64").value_or(text), number)) return std::nullopt;
    Bytes key(model::kIntegerKeyBytes);
    store_le64(key.data(), number);
    return key;
  }
  Bytes key;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{') {
      const auto hex = braced(std::string_view(text).substr(i), "hash");
      const auto hash = hex ? parse_hex(*hex) : std::nullopt;
      if (!hash || hash->size() != model::kKeyHashBytes || key.size() != model::kKeyPrefixBytes) {
        return std::nullopt;
      }
      key.insert(key.end(), hash->begin(), hash->end());
      *hashed = true;
      return key;
    }
    if (text[i] == '\\' && ++i == text.size()) return std::nullopt;
    key.push_back(static_cast<std::byte>(text[i]));
  }
  if (key.empty()) return std::nullopt;
  return key;
}

std::optional<model::Recx> parse_extent_level(const std::string& text) {
  if (!text.starts_with("{") || !text.ends_with("}")) return std::nullopt;
  const std::string_view inside = std::string_view(text).substr(1, text.size() - 2);
  const size_t dash = inside.find('-');
  uint64_t low = 0, high = 0;
  if (dash == std::string_view::npos || !parse_number(inside.substr(0, dash), low) ||
      !parse_number(inside.substr(dash + 1), high) || high < low || high > model::kArrayIndexMax) {
    return std::nullopt;
  }
  return model::Recx{low, high - low + 1};
}

Result<void> walk_records(Session& session, const vos::Key& prefix, Walk& walk) {
  TRY(shard, session.shard());
  index::Store& store = shard->store();
  vos::Key next = prefix, tried;
  if (next.size() == 0) next.add(0);
  for (;;) {
    index::Cursor cursor(store.tree());
    const auto sought = cursor.seek(next);
    if (sought) {
      if (!cursor.valid() || !starts_with(cursor.key(), prefix)) return {};
      if (cursor.key().size() >= vos::Key::kRoom) return fail(Errc::checksum, "key: too long");
      vos::Key key;
      key.add(cursor.key());
      auto after = walk.look(cursor.key(), cursor.value());
      if (after && after->size() == 0) return {};
      next = after ? *after : key;
      if (!after) next.add(0);
      continue;
    }
    if (sought.error().code() != Errc::page_absent) return sought;
    if (session.run(store.load_absent())) continue;
    TRY(span, session.run(store.span_at(Bytes(next.view().begin(), next.view().end()))));
    // A whole leaf: the next one is the lost one; or a read failed once only.
    const bool again = as_chars(tried) != as_chars(next);
    tried = next;
    if (!span.lost && again) continue;
    if (span.lost) {
      walk.lost.push_back(vos::loss_text({.what = vos::Loss::What::page,
                                          .cause = span.lost->cause,
                                          .low = span.low,
                                          .high = span.high,
                                          .page = span.lost->page,
                                          .level = span.lost->level}));
    }
    if (span.high.empty() || !starts_with(ByteView(span.high), prefix)) return {};
    next = {};
    next.add(ByteView(span.high).first(std::min(span.high.size(), vos::Key::kRoom - 1)));
  }
}

Found<std::vector<Entry>> list_below(Session& session, const TreePath& path) {
  if (path.depth() == 0) return list_containers(session);
  if (path.depth() == 1) return list_objects(session, path);
  if (path.depth() > 4) return tool::refuse("nothing stands below an extent");
  const auto shard = session.shard();
  if (!shard) return tool::failure("cannot open the shard", shard.error());
  std::vector<Entry> out;
  const auto listed = session.run(list_all(**shard, path, out));
  if (!listed) return tool::failure("cannot list " + path.text(), listed.error());
  return out;
}

Found<TreePath> resolve(Session& session, const std::string& text) {
  const auto levels = split_path(text);
  if (!levels) return tool::refuse("'" + text + "' is no path: a brace or a \\ is left open");
  TreePath path;
  for (const std::string& level : *levels) {
    if (const auto index = parse_index(level)) {
      const auto listed = list_below(session, path);
      if (!listed) return std::unexpected(listed.error());
      if (*index >= listed->size()) {
        return tool::refuse("there is no " + level + " in " + path.text() + ", which has " +
                                std::to_string(listed->size()) + " entries",
                            -static_cast<int>(Errc::nonexistent));
      }
      path = (*listed)[*index].path;
      continue;
    }
    if (!set_level(session, level, path)) {
      return tool::refuse(
          "'" + level + "' in '" + text + "' names nothing: " + kLevelForms[path.depth()],
          -static_cast<int>(Errc::invalid));
    }
  }
  return path;
}

}  // namespace cairn::ddb
