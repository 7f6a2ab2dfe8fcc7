#include "model/oclass.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace cairn::model {
namespace {

struct Redundancy {
  uint8_t ordinal;
  uint16_t data;
  uint16_t extra;
  bool coded;
  const char* prefix;
  uint8_t table;  // which group counts have a name in the table
};
enum : uint8_t { kNone, kAll, kWithoutSix };

// Ordinals are part of object ids on media and of the C interface.
constexpr std::array kRedundancies{
    Redundancy{1, 1, 0, false, "S", kAll},
    Redundancy{8, 1, 1, false, "RP_2G", kAll},
    Redundancy{9, 1, 2, false, "RP_3G", kAll},
    Redundancy{10, 1, 3, false, "RP_4G", kAll},
    Redundancy{11, 1, 4, false, "RP_5G", kAll},
    Redundancy{12, 1, 5, false, "RP_6G", kAll},
    Redundancy{13, 1, 7, false, "RP_8G", kNone},
    Redundancy{14, 1, 11, false, "RP_12G", kNone},
    Redundancy{15, 1, 15, false, "RP_16G", kNone},
    Redundancy{16, 1, 23, false, "RP_24G", kNone},
    Redundancy{17, 1, 31, false, "RP_32G", kNone},
    Redundancy{18, 1, 47, false, "RP_48G", kNone},
    Redundancy{19, 1, 63, false, "RP_64G", kNone},
    Redundancy{20, 1, 127, false, "RP_128G", kNone},
    Redundancy{32, 2, 1, true, "EC_2P1G", kWithoutSix},
    Redundancy{33, 2, 2, true, "EC_2P2G", kWithoutSix},
    Redundancy{34, 4, 1, true, "EC_4P1G", kWithoutSix},
    Redundancy{35, 4, 2, true, "EC_4P2G", kWithoutSix},
    Redundancy{36, 8, 1, true, "EC_8P1G", kWithoutSix},
    Redundancy{37, 8, 2, true, "EC_8P2G", kWithoutSix},
    Redundancy{38, 16, 1, true, "EC_16P1G", kWithoutSix},
    Redundancy{39, 16, 2, true, "EC_16P2G", kWithoutSix},
    Redundancy{40, 4, 3, true, "EC_4P3G", kWithoutSix},
    Redundancy{41, 8, 3, true, "EC_8P3G", kWithoutSix},
    Redundancy{42, 16, 3, true, "EC_16P3G", kWithoutSix},
};
constexpr std::array<uint32_t, 9> kNamedGroups{1, 2, 4, 6, 8, 12, 16, 32, kGroupsMax};

constexpr uint8_t kOrdinalSingle = 1;

const Redundancy* redundancy_of(uint32_t ordinal) {
  for (const Redundancy& r : kRedundancies) {
    if (r.ordinal == ordinal) return &r;
  }
  return nullptr;
}

const Redundancy* redundancy_of(uint32_t data, uint32_t extra, bool coded) {
  for (const Redundancy& r : kRedundancies) {
    if (r.data == data && r.extra == extra && r.coded == coded) return &r;
  }
  return nullptr;
}

std::string name_of(const Redundancy& r, uint32_t groups) {
  return r.prefix + (groups == kGroupsMax ? std::string("X") : std::to_string(groups));
}

bool in_table(const Redundancy& r, uint32_t groups) {
  if (r.table == kNone || (r.table == kWithoutSix && groups == 6)) return false;
  return std::find(kNamedGroups.begin(), kNamedGroups.end(), groups) != kNamedGroups.end();
}

/// Domains left free when "all" is asked for, so that a rebuild has a place to go.
uint32_t reserved_domains(PoolShape s) {
  const uint32_t d = s.domains;
  const uint32_t rf = s.redundancy_factor;
  if (d < 16) return rf;
  if (d < 32) return rf + 1;
  if (d < 64) return rf + 2;
  return d < 128 ? d * 4 / 100 : d < 256 ? d * 6 / 100 : d * 8 / 100;
}

uint32_t usable_targets(PoolShape s) {
  const uint32_t reserved = reserved_domains(s);
  if (s.domains <= reserved) return 1;
  return std::max<uint32_t>(
      1, static_cast<uint32_t>(uint64_t{s.targets} * (s.domains - reserved) / s.domains));
}

/// Parity when arrays (or a hint) want it: the widest code that leaves a domain spare.
const Redundancy* coded_for(uint32_t parity, uint32_t domains) {
  for (const uint32_t data : {16u, 8u, 4u}) {
    // The published steps: k + parity + its own number of spare domains.
    if (domains >= data + parity + (parity == 3 ? 3 : parity)) {
      return redundancy_of(data, parity, true);
    }
  }
  if (parity <= 2 && domains >= 2 + parity) return redundancy_of(2, parity, true);
  return nullptr;
}

/// The redundancy of a container's objects without an explicit class. Null: it cannot be had.
const Redundancy* choose_redundancy(OidRequest request, PoolShape s) {
  const uint16_t hint = request.hints & class_hint::kRedundancyMask;
  const bool array = request.type >= 11 && request.type <= 13;
  const Redundancy* const plain = redundancy_of(kOrdinalSingle);
  uint32_t losses = s.redundancy_factor;
  switch (hint) {
    case class_hint::kRedundancyNone:
      return losses == 0 ? plain : nullptr;
    case class_hint::kRedundancyCode:
      return coded_for(std::max(losses, 1u), s.domains);
    case class_hint::kRedundancyCopies:
      if (losses == 0 && s.domains < 2) return plain;
      losses = std::max(losses, 1u);
      break;
    case 0:
    case class_hint::kRedundancyDefault:
      if (losses == 0) return plain;
      if (array && losses <= 3) {
        if (const Redundancy* r = coded_for(losses, s.domains)) return r;
      }
      break;
    default:
      return nullptr;
  }
  return losses + 1 <= s.domains ? redundancy_of(1, losses, false) : nullptr;
}

uint32_t choose_groups(OidRequest request, uint32_t all, uint32_t targets) {
  const bool wide = request.type >= 8 && request.type <= 13;  // flat key-value and array objects
  const uint16_t hint = request.hints & ~class_hint::kRedundancyMask & 0x3f0;
  uint32_t wanted = wide ? all : 1;
  if (hint & class_hint::kShardsMax)
    wanted = all;
  else if (hint & class_hint::kShardsExtreme)
    wanted = std::max(1024u, static_cast<uint32_t>(uint64_t{targets} * 4 / 5));
  else if (hint & class_hint::kShardsHigh)
    wanted = std::max(256u, targets / 2);
  else if (hint & class_hint::kShardsRegular)
    wanted = std::max(128u, targets / 4);
  else if (hint & class_hint::kShardsTiny)
    wanted = 4;
  return std::min(wanted, all);
}

Result<void> built(uint32_t group_size) {
  if (group_size > 1) {
    return fail(Errc::not_supported,
                "object class: copies and parity are not built yet; use a class of the S family");
  }
  return {};
}

ObjectId with_class(OidRequest request, uint32_t ordinal, uint32_t groups) {
  ObjectId oid = request.user;
  oid.hi = (oid.hi & 0xffffffff) | uint64_t{request.type} << 56 | uint64_t{ordinal} << 48 |
           uint64_t{groups & kGroupsMax} << 32;
  return oid;
}

}  // namespace

std::optional<ObjectClass> class_of_id(ClassId id) {
  if (id == kClassRpXsf) return ObjectClass{.id = id, .groups = 1};
  const Redundancy* const r = redundancy_of(id >> kOrdinalShift);
  const uint32_t groups = id & ((1u << kOrdinalShift) - 1);
  if (r == nullptr || groups == 0 || groups > kGroupsMax) return std::nullopt;
  return ObjectClass{.id = id,
                     .ordinal = r->ordinal,
                     .groups = groups,
                     .data_shards = r->data,
                     .extra_shards = r->extra,
                     .coded = r->coded};
}

Result<ObjectClass> class_of_object(ObjectId oid, PoolShape shape) {
  const auto ordinal = static_cast<uint32_t>(oid.hi >> 48 & 0xff);
  const auto groups = static_cast<uint32_t>(oid.hi >> 32 & 0xffff);
  auto found = class_of_id(ordinal == 0 ? groups : ordinal << kOrdinalShift | groups);
  if (!found) return fail(Errc::invalid, "object id: its class is unknown; generate the id first");
  if (found->id == kClassRpXsf) {
    found->extra_shards = static_cast<uint16_t>(shape.targets - 1);
  } else if (found->extra_shards < shape.redundancy_factor) {
    return fail(Errc::invalid,
                "object id: its class survives fewer losses than the container asks");
  }
  if (found->group_size() > shape.domains && found->id != kClassRpXsf) {
    return fail(Errc::invalid, "object id: its class needs more fault domains than the pool has");
  }
  if (found->groups == kGroupsMax) {
    found->groups = std::max<uint32_t>(1, usable_targets(shape) / found->group_size());
  }
  if (uint64_t{found->groups} * found->group_size() > shape.targets) {
    return fail(Errc::invalid, "object id: its class needs more targets than the pool has");
  }
  TRY(ok, built(found->group_size()));
  return *found;
}

ClassId class_by_name(std::string_view name) {
  if (name == "RP_XSF") return kClassRpXsf;
  for (const Redundancy& r : kRedundancies) {
    const std::string_view prefix = r.prefix;
    if (!name.starts_with(prefix)) continue;
    const std::string_view rest = name.substr(prefix.size());
    for (const uint32_t groups : kNamedGroups) {
      if (in_table(r, groups) && rest == (groups == kGroupsMax ? "X" : std::to_string(groups))) {
        return uint32_t{r.ordinal} << kOrdinalShift | groups;
      }
    }
  }
  return kClassUnknown;
}

std::optional<std::string> class_name(ClassId id) {
  if (id == kClassRpXsf) return "RP_XSF";
  const auto c = class_of_id(id);
  if (!c) return std::nullopt;
  const Redundancy& r = *redundancy_of(c->ordinal);
  if (r.table == kNone) return std::nullopt;  // usable, but without public names
  return name_of(r, c->groups);
}

const std::string& class_names() {
  static const std::string all = [] {
    std::string out;
    for (const Redundancy& r : kRedundancies) {
      for (const uint32_t groups : kNamedGroups) {
        if (in_table(r, groups)) out += name_of(r, groups) + ", ";
      }
    }
    return out + "RP_XSF";
  }();
  return all;
}

size_t class_count() {
  return static_cast<size_t>(std::count(class_names().begin(), class_names().end(), ',')) + 1;
}

Result<ObjectId> generate_oid(OidRequest request, PoolShape shape) {
  if (request.type > kObjectTypeMax) return fail(Errc::invalid, "object type: above 14");
  if (request.class_id == kClassRpXsf) {
    TRY(ok, built(shape.targets));
    return with_class(request, 0, kClassRpXsf);
  }
  const Redundancy* r = nullptr;
  uint32_t groups = 0;
  if (request.class_id == kClassUnknown) {
    r = choose_redundancy(request, shape);
    if (r == nullptr) {
      return fail(Errc::invalid,
                  "object class: the pool has too few fault domains for the hints and "
                  "the container's redundancy factor");
    }
  } else {
    const auto c = class_of_id(request.class_id);
    if (!c) return fail(Errc::invalid, "object class: unknown id");
    r = redundancy_of(c->ordinal);
    groups = c->groups;
    if (r->extra < shape.redundancy_factor) {
      return fail(Errc::invalid, "object class: survives fewer losses than the container asks");
    }
  }
  const uint32_t size = uint32_t{r->data} + r->extra;
  if (size > shape.domains) {
    return fail(Errc::invalid,
                "object class: needs more fault domains than the pool has; use a class "
                "of the S family");
  }
  const uint32_t all = std::max<uint32_t>(1, usable_targets(shape) / size);
  if (request.class_id == kClassUnknown)
    groups = choose_groups(request, all, shape.targets);
  else if (groups == kGroupsMax)
    groups = all;
  if (uint64_t{groups} * size > shape.targets) {
    return fail(Errc::invalid, "object class: needs more targets than the pool has");
  }
  TRY(ok, built(size));
  return with_class(request, r->ordinal, groups);
}

}  // namespace cairn::model
