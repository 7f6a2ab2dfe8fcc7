// Object classes: how many copies or code shards an object has, and over how many groups it is
// spread. A class id is (redundancy ordinal << 24) | group count; the same two numbers stand in the
// high half of an object id. Pure values; the only class without an ordinal that can be used is
// RP_XSF (80).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/ids.h"

namespace cairn::model {

using ClassId = uint32_t;

inline constexpr ClassId kClassUnknown = 0;
inline constexpr ClassId kClassRpXsf = 80;      // one group, a copy on every target
inline constexpr uint32_t kGroupsMax = 0xffff;  // in place of a count: as many as the pool holds
inline constexpr unsigned kOrdinalShift = 24;
inline constexpr uint8_t kObjectTypeMax = 14;

/// Hints for the automatic choice, the values of DAOS_OCH_*.
namespace class_hint {
inline constexpr uint16_t kRedundancyDefault = 0x1;
inline constexpr uint16_t kRedundancyNone = 0x2;
inline constexpr uint16_t kRedundancyCopies = 0x4;
inline constexpr uint16_t kRedundancyCode = 0x8;
inline constexpr uint16_t kShardsDefault = 0x10;
inline constexpr uint16_t kShardsTiny = 0x20;
inline constexpr uint16_t kShardsRegular = 0x40;
inline constexpr uint16_t kShardsHigh = 0x80;
inline constexpr uint16_t kShardsExtreme = 0x100;
inline constexpr uint16_t kShardsMax = 0x200;
inline constexpr uint16_t kRedundancyMask = 0xf;
}  // namespace class_hint

/// What a class means for one object.
struct ObjectClass {
  ClassId id = kClassUnknown;
  uint8_t ordinal = 0;       // 0: RP_XSF
  uint32_t groups = 0;       // kGroupsMax: all
  uint16_t data_shards = 1;  // of a group
  uint16_t extra_shards =
      0;               // further copies or parity shards of a group; also the losses it survives
  bool coded = false;  // parity instead of copies
  uint32_t group_size() const { return uint32_t{data_shards} + extra_shards; }
  bool has_redundancy() const { return extra_shards != 0; }
};

/// What the choice of a class depends on.
struct PoolShape {
  uint32_t domains = 1;            // fault domains, such as engines
  uint32_t targets = 1;            // usable ones
  uint32_t redundancy_factor = 0;  // of the container: losses that its objects must survive
};

/// The meaning of a class id; nullopt for ids that no object can have.
std::optional<ObjectClass> class_of_id(ClassId id);
/// The class in an object id, judged in a pool of that shape.
/// @error invalid        no such class, no groups, more groups than targets, or weaker than the
/// container
///                       demands
/// @error not_supported  the class keeps copies or parity on several targets, which is not built
/// yet
Result<ObjectClass> class_of_object(ObjectId oid, PoolShape shape);

/// kClassUnknown if the table has no such name. Exact, case matters.
ClassId class_by_name(std::string_view name);
/// The name of any id of a family that has names in the table, such as "S1", "RP_2G7", "EC_4P2GX".
std::optional<std::string> class_name(ClassId id);
/// Every name that class_by_name() knows, separated by ", ".
const std::string& class_names();
/// Number of names that class_by_name() knows.
size_t class_count();

struct OidRequest {
  ObjectId user;                     // 96 bits of the user; the high half of `hi` is overwritten
  uint8_t type = 0;                  // <= kObjectTypeMax
  ClassId class_id = kClassUnknown;  // kClassUnknown: choose by hints, type and pool
  uint16_t hints = 0;                // class_hint; looked at only when choosing
};
/// The object id with type, redundancy and groups filled in.
/// @error invalid  type, class or hints cannot be had in this pool; the text says why
/// @error not_supported  as class_of_object()
Result<ObjectId> generate_oid(OidRequest request, PoolShape shape);

}  // namespace cairn::model
