#include "vos/key_text.h"

#include "base/endian.h"
#include "base/ordered_int.h"

namespace cairn::vos {

namespace {

constexpr size_t kRangeAt = 4;
constexpr size_t kIdBytes = 16;

bool is_continuation(ByteView bytes, size_t at) {
  return at < bytes.size() && (static_cast<uint8_t>(bytes[at]) & 0xC0) == 0x80;
}

/// Printable, in UTF-8 where it is not ASCII.
bool is_text(ByteView bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto b = static_cast<uint8_t>(bytes[i]);
    if (b < 0x20 || b == 0x7F || (b >= 0x80 && b < 0xC2) || b > 0xF4) return false;
    const size_t more = b < 0x80 ? 0 : b < 0xE0 ? 1 : b < 0xF0 ? 2 : 3;
    for (size_t k = 0; k < more; ++k) {
      if (!is_continuation(bytes, ++i)) return false;
    }
  }
  return true;
}

std::string bytes_text(ByteView bytes) {
  if (bytes.empty() || !is_text(bytes)) return "{bin:0x" + hex_text(bytes) + "}";
  std::string out;
  for (const std::byte b : bytes) {
    const char c = static_cast<char>(b);
    if (std::string_view("/\\{}[]").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string component_text(const Component& component, model::KeyKind kind) {
  if (!component.is_long(kind)) return level_text(kind, component.view());
  return bytes_text(component.view().first(model::kKeyPrefixBytes)) + "{hash:0x" +
         hex_text(component.view().subspan(model::kKeyPrefixBytes)) + "}";
}

/// What is there of a component that does not end.
std::string cut_component_text(ByteView rest, model::KeyKind kind) {
  if (kind == model::KeyKind::integer) return "";
  Bytes bytes;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == std::byte{0}) {
      if (i + 1 == rest.size()) break;  // half an escape
      ++i;
      bytes.push_back(std::byte{0});
      continue;
    }
    bytes.push_back(rest[i]);
  }
  return bytes.empty() ? "" : bytes_text(bytes);
}

/// One level; false: the key ends in it or before it.
bool take_level(ByteView& rest, model::KeyKind kind, std::string& into, KeyText& text) {
  if (rest.empty()) return false;
  const ByteView before = rest;
  const auto component = take_component(rest, kind);
  if (!component) {
    into = cut_component_text(before, kind);
    text.cut = true;
    return false;
  }
  if (!component->none) into = component_text(*component, kind);
  return true;
}

void take_record(ByteView rest, bool versioned, KeyText& text) {
  if (rest.empty()) return;
  const auto kind = static_cast<Kind>(rest[0]);
  text.record = kind_text(kind);
  rest = rest.subspan(1);
  uint64_t number = 0;
  if (kind == Kind::extent || kind == Kind::hole || kind == Kind::checksums) {
    const size_t used = get_ordered_int(rest, &number);
    text.cut = used == 0;
    if (used == 0) return;
    text.record += " .." + std::to_string(number);
    rest = rest.subspan(used);
  }
  if (kind == Kind::checksums) {
    const size_t used = get_ordered_int(rest, &number);
    text.cut = used == 0;
    if (used == 0) return;
    text.record += " #" + std::to_string(number);
    rest = rest.subspan(used);
  }
  if (!versioned) return;
  text.cut = rest.size() < kVersionBytes;
  if (!text.cut) text.record += " @" + std::to_string(~load_be64(rest.data()));
}

}  // namespace

std::string hex_text(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += kDigits[static_cast<uint8_t>(b) >> 4];
    out += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return out;
}

std::string range_text(Range range) {
  switch (range) {
    case Range::live:
      return "live";
    case Range::pending:
      return "pending";
    case Range::history:
      return "history";
    case Range::marker:
      return "markers";
    case Range::session:
      return "sessions";
    case Range::snapshot:
      return "snapshots";
    case Range::transaction:
      return "transactions";
    case Range::pack:
      return "flat extents";
    case Range::policy:
      return "policies";
  }
  return "range " + std::to_string(static_cast<int>(range));
}

std::string kind_text(Kind kind) {
  switch (kind) {
    case Kind::name:
      return "name";
    case Kind::present:
      return "present";
    case Kind::single:
      return "single";
    case Kind::extent:
      return "extent";
    case Kind::checksums:
      return "checksums";
    case Kind::touched:
      return "touched";
    case Kind::punch:
      return "punch";
    case Kind::hole:
      return "hole";
    case Kind::flat:
      return "flat";
  }
  return "kind " + std::to_string(static_cast<int>(kind));
}

std::string object_text(model::ObjectId oid, uint64_t shard) {
  return std::to_string(oid.hi) + "." + std::to_string(oid.lo) + "." + std::to_string(shard);
}

std::string level_text(model::KeyKind kind, ByteView key) {
  if (kind == model::KeyKind::integer && key.size() == model::kIntegerKeyBytes) {
    return std::to_string(load_le64(key.data()));
  }
  return bytes_text(key);
}

std::string KeyText::text() const {
  if (!container) return cut ? "/*" : "/";
  std::string out = range.empty() || range == "live" ? "" : range + " of ";
  out += "/" + std::to_string(*container);
  for (const std::string* level : {&object, &dkey, &akey}) {
    if (!level->empty()) out += "/" + *level;
  }
  if (!record.empty()) out += " " + record;
  return cut ? out + "*" : out;
}

KeyText key_text(ByteView key) {
  KeyText text;
  if (key.size() < kRangeAt) {
    text.cut = !key.empty();
    return text;
  }
  text.container = load_be32(key.data());
  if (key.size() < kRangePrefixBytes) return text;
  const auto range = static_cast<Range>(key[kRangeAt]);
  text.range = range_text(range);
  ByteView rest = key.subspan(kRangePrefixBytes);
  if (range == Range::session) {
    if (rest.size() >= sizeof(uint64_t)) {
      text.object = "{session:" + std::to_string(load_be64(rest.data())) + "}";
    }
    text.cut = !rest.empty() && rest.size() < sizeof(uint64_t);
    return text;
  }
  if (range == Range::transaction) {
    text.cut = rest.size() < 2 * sizeof(uint64_t);
    if (!text.cut)
      text.object = "{transaction:0x" + hex_text(rest.first(2 * sizeof(uint64_t))) + "}";
    return text;
  }
  if (range == Range::pack) {
    text.cut = rest.size() != sizeof(uint64_t);
    if (!text.cut) text.record = "at block " + std::to_string(load_be64(rest.data()));
    return text;
  }
  if (range == Range::policy) {
    text.cut = rest.empty();
    if (!text.cut) text.record = "worm";
    return text;
  }
  if (rest.empty()) return text;
  std::string version;  // the slot, or a snapshot's own epoch
  if (range == Range::history || range == Range::snapshot) {
    text.cut = rest.size() < sizeof(model::Epoch);
    if (text.cut) return text;
    version = "@" + std::to_string(load_be64(rest.data()));
    rest = rest.subspan(sizeof(model::Epoch));
  }
  if (range == Range::snapshot) text.record = version;
  if (rest.empty()) return text;
  uint64_t shard = 0;
  const size_t used = rest.size() > kIdBytes ? get_ordered_int(rest.subspan(kIdBytes), &shard) : 0;
  if (used == 0) {
    text.object = "{bin:0x" + hex_text(rest) + "}";
    text.cut = true;
    return text;
  }
  const model::ObjectId oid = object_id_of(rest.first(kIdBytes));
  text.object = object_text(oid, shard);
  rest = rest.subspan(kIdBytes + used);
  if (!take_level(rest, model::dkey_kind(oid.type()), text.dkey, text)) return text;
  if (!take_level(rest, model::akey_kind(oid.type()), text.akey, text)) return text;
  if (range == Range::marker) {
    text.cut = !rest.empty() && rest.size() < kMarkerEpochBytes;
    if (rest.size() == kMarkerEpochBytes) text.record = "@" + std::to_string(marker_epoch(key));
    return text;
  }
  take_record(rest, range == Range::pending, text);
  if (range == Range::history && !text.record.empty()) text.record += " " + version;
  return text;
}

std::string key_range_text(ByteView low, ByteView high) {
  const std::string from = low.empty() ? "from the start" : "from " + key_text(low).text();
  return from + (high.empty() ? " to the end" : " up to " + key_text(high).text());
}

}  // namespace cairn::vos
