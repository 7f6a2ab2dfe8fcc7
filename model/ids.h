// Identifiers and epochs: values that copy, compare and order.
#pragma once

#include <compare>
#include <cstdint>

namespace cairn::model {

/// 128-bit object id; `hi` holds type, class ordinal, group count and 32 user bits
/// (model/oclass.h).
struct ObjectId {
  uint64_t lo = 0;
  uint64_t hi = 0;
  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;
  bool is_nil() const { return lo == 0 && hi == 0; }
  uint8_t type() const { return static_cast<uint8_t>(hi >> 56); }
};

/// A target of a pool: the engine's rank and the target's number in that engine. Targets are named
/// by it everywhere, never by their place in a list.
struct TargetId {
  uint32_t rank = 0;
  uint32_t index = 0;
  friend auto operator<=>(const TargetId&, const TargetId&) = default;
};

/// Component states of a pool map, with the reference's numbers.
enum class TargetState : uint32_t {
  fresh = 1,      // NEW
  up = 2,         // joining
  up_in = 4,      // serving
  down = 8,       // rebuild not finished
  down_out = 16,  // rebuild finished
  drain = 32,     // leaving, still readable
};

/// A hybrid logical clock value: 1/16 ns since 2021-01-01, low 18 bits a logical counter.
using Epoch = uint64_t;
inline constexpr Epoch kEpochMax = ~Epoch{0};

/// How the keys of one level are ordered.
enum class KeyKind : uint8_t { hashed, integer, lexical };

/// Of an object type byte (docs/formats/keys.md); unknown types are hashed at both levels.
constexpr KeyKind dkey_kind(uint8_t type) {
  switch (type) {
    case 2:
    case 4:
    case 9:
    case 11:
    case 12:
    case 13:
      return KeyKind::integer;
    case 5:
    case 7:
    case 10:
      return KeyKind::lexical;
    default:
      return KeyKind::hashed;
  }
}
constexpr KeyKind akey_kind(uint8_t type) {
  switch (type) {
    case 3:
    case 4:
      return KeyKind::integer;
    case 6:
    case 7:
      return KeyKind::lexical;
    default:
      return KeyKind::hashed;
  }
}

}  // namespace cairn::model
