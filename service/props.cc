#include "service/props.h"

#include <algorithm>

namespace cairn::service {
namespace {

constexpr uint64_t kU32Max = 0xffffffff;
constexpr uint64_t kMiB = 1u << 20;

enum class Kind : uint8_t { integer, text, raw, read_only };
enum class Change : uint8_t { any_time, at_creation };

/// A rule of the property tables. `choices`: the only values, if any; else least..most in steps of
/// unit.
struct Rule {
  uint32_t number;
  Kind kind = Kind::integer;
  uint64_t least = 0, most = ~uint64_t{0}, unit = 1;
  Change change = Change::at_creation;
  std::initializer_list<uint64_t> choices = {};
};

constexpr Rule kPoolRules[] = {
    {.number = prop::kPoolLabel, .kind = Kind::text},
    {.number = 2, .kind = Kind::raw},                        // ACL
    {.number = 3, .most = 100},                              // space for rebuild
    {.number = 4, .most = 7},                                // self healing
    {.number = 5, .most = 4},                                // reclaim
    {.number = 6, .kind = Kind::text},                       // owner
    {.number = 7, .kind = Kind::text},                       // group
    {.number = 8, .kind = Kind::read_only},                  // service ranks
    {.number = 9, .least = 4096, .most = kMiB, .unit = 32},  // code cell
    {.number = 10},                                          // data threshold
    {.number = prop::kPoolRedunFac, .most = 4},
    {.number = 12, .least = 1, .most = kU32Max},  // code domain affinity
    {.number = 13, .least = 1, .most = kU32Max},  // copy domain affinity
    {.number = 14, .kind = Kind::read_only},      // global version
    {.number = 15, .kind = Kind::read_only},      // upgrade status
    {.number = prop::kPoolScrubMode, .most = 2},
    {.number = prop::kPoolScrubFrequency},  // seconds
    {.number = prop::kPoolScrubThreshold},
    {.number = 19, .most = 4},                // service redundancy
    {.number = 20, .kind = Kind::read_only},  // object version
    {.number = 21, .choices = {255, 200}},    // performance domain
    {.number = 22, .most = 2},                // checkpoints
    {.number = 23, .least = 1, .most = kMiB},
    {.number = 24, .least = 10, .most = 75},
    {.number = 25, .most = 2},  // reintegration
    {.number = 26, .most = 1},
    {.number = 27, .least = 60, .most = 600},
};

constexpr Rule kContRules[] = {
    {.number = prop::kContLabel, .kind = Kind::text, .change = Change::any_time},
    {.number = 0x1002, .most = 8},                                       // layout type
    {.number = 0x1003, .most = 0xffff},                                  // layout version
    {.number = 0x1004, .most = 7},                                       // checksum type
    {.number = 0x1005, .most = kU32Max},                                 // checksum chunk
    {.number = 0x1006, .most = 1},                                       // server verifies
    {.number = 0x1007, .most = 4},                                       // redundancy factor
    {.number = 0x1008, .choices = {1, 2, 3, 254}},                       // redundancy level
    {.number = 0x1009, .change = Change::any_time},                      // snapshots
    {.number = 0x100a, .kind = Kind::raw, .change = Change::any_time},   // ACL
    {.number = 0x100b, .most = 6},                                       // compression
    {.number = 0x100c, .most = 7},                                       // encryption
    {.number = 0x100d, .kind = Kind::text, .change = Change::any_time},  // owner
    {.number = 0x100e, .kind = Kind::text, .change = Change::any_time},  // group
    {.number = 0x100f, .most = 2},                                       // dedup
    {.number = 0x1010, .least = 4096, .most = kU32Max},                  // dedup threshold
    {.number = 0x1011, .kind = Kind::raw},                               // root objects
    {.number = prop::kContStatus, .change = Change::any_time},
    {.number = prop::kContAllocedOid},
    {.number = 0x1014, .most = kMiB, .unit = 32},  // code cell; 0: the pool's
    {.number = 0x1015, .most = kU32Max},
    {.number = 0x1016, .most = kU32Max},
    {.number = 0x1017, .kind = Kind::read_only},  // global version
    {.number = 0x1018, .most = 1},                // scrubber off
    {.number = 0x1019, .kind = Kind::read_only},  // object version
    {.number = 0x101a, .choices = {255, 200}},    // performance domain
    {.number = prop::kContWormInlineMax,
     .most = model::kWormInlineBytesMax,
     .change = Change::any_time},
    {.number = prop::kContWormObjectMax,
     .least = model::kWormObjectBytesMin,
     .most = model::kWormObjectBytesMax,
     .change = Change::any_time},
    {.number = prop::kContWormCompress, .most = 1, .change = Change::any_time},
    {.number = prop::kContWormColdAfter,
     .most = model::kWormColdSecondsMax,
     .change = Change::any_time},
    {.number = prop::kContWormSealed, .kind = Kind::read_only},  // by sealing it
};

constexpr uint32_t kContRedunFac = 0x1007;
constexpr uint32_t kContCodeCell = 0x1014;

template <size_t N>
const Rule* find_rule(const Rule (&rules)[N], uint32_t number) {
  const auto* found = std::ranges::find(rules, number, &Rule::number);
  return found == std::end(rules) ? nullptr : found;
}

Result<void> check_value(const Rule& rule, const wire::Prop& prop) {
  if (int{prop.integer.has_value()} + prop.text.has_value() + prop.raw.has_value() != 1) {
    return fail(Errc::invalid, "property: not exactly one value");
  }
  const bool kind_fits = rule.kind == Kind::integer ? prop.integer.has_value()
                         : rule.kind == Kind::text  ? prop.text.has_value()
                                                    : prop.raw.has_value();
  if (!kind_fits) return fail(Errc::invalid, "property: a value of the wrong kind");
  if (!prop.integer) return {};
  const uint64_t value = *prop.integer;
  const bool listed = rule.choices.size() == 0 || std::ranges::find(rule.choices, value) !=
                                                      rule.choices.end();
  if (value < rule.least || value > rule.most || value % rule.unit != 0 || !listed) {
    return fail(Errc::invalid, "property: the value is out of range");
  }
  return {};
}

template <size_t N>
Result<void> check_one(const Rule (&rules)[N], const wire::Prop& prop) {
  const Rule* rule = find_rule(rules, prop.number);
  if (rule == nullptr) return fail(Errc::invalid, "property: unknown number");
  if (rule->kind == Kind::read_only)
    return fail(Errc::invalid, "property: the system's, read only");
  return check_value(*rule, prop);
}

Result<void> check_redundancy(const wire::Prop& prop, uint32_t domains) {
  if (prop.integer.value_or(0) >= domains) {
    return fail(Errc::invalid, "property: a redundancy factor of f needs at least f + 1 fault "
                               "domains, and the system has fewer");
  }
  return {};
}

Result<void> check_cont_prop(const wire::Prop& prop, uint32_t domains) {
  TRY(fine, check_one(kContRules, prop));
  if (prop.number == kContRedunFac) return check_redundancy(prop, domains);
  if (prop.number == kContCodeCell && *prop.integer != 0 && *prop.integer < 4096) {
    return fail(Errc::invalid, "property: a code cell is 4 KiB to 1 MiB");
  }
  if (prop.number == prop::kContStatus && ((*prop.integer >> 32) & 0xffff) != 0) {
    return fail(Errc::invalid, "property: the status can only be set to healthy");
  }
  return {};
}

Result<void> check_no_twin(const std::vector<wire::Prop>& props) {
  for (size_t i = 0; i < props.size(); ++i) {
    for (size_t j = i + 1; j < props.size(); ++j) {
      if (props[i].number == props[j].number) {
        return fail(Errc::invalid, "property: given twice");
      }
    }
  }
  return {};
}

}  // namespace

Result<void> check_pool_props(const std::vector<wire::Prop>& props, uint32_t domains) {
  TRY(distinct, check_no_twin(props));
  for (const auto& prop : props) {
    TRY(fine, check_one(kPoolRules, prop));
    if (prop.number == prop::kPoolRedunFac) {
      TRY(enough, check_redundancy(prop, domains));
    }
  }
  return {};
}

Result<void> check_cont_props(const std::vector<wire::Prop>& props, uint32_t domains) {
  TRY(distinct, check_no_twin(props));
  for (const auto& prop : props) {
    if (prop.number == prop::kContStatus) {
      return fail(Errc::invalid, "property: the status is not given at creation");
    }
    TRY(fine, check_cont_prop(prop, domains));
  }
  return {};
}

Result<void> check_cont_prop_changes(const std::vector<wire::Prop>& props, uint32_t domains) {
  if (props.empty()) return fail(Errc::invalid, "property: none given");
  TRY(distinct, check_no_twin(props));
  for (const auto& prop : props) {
    TRY(known, check_one(kContRules, prop));
    if (find_rule(kContRules, prop.number)->change == Change::at_creation) {
      return fail(Errc::no_perm, "property: fixed when the container is created");
    }
    TRY(fine, check_cont_prop(prop, domains));
  }
  return {};
}

const wire::Prop* find_prop(const std::vector<wire::Prop>& props, uint32_t number) {
  const auto found = std::ranges::find(props, number, &wire::Prop::number);
  return found == props.end() ? nullptr : &*found;
}

void set_prop(std::vector<wire::Prop>& props, const wire::Prop& prop) {
  const auto found = std::ranges::find(props, prop.number, &wire::Prop::number);
  if (found == props.end()) {
    props.push_back(prop);
  } else {
    *found = prop;
  }
}

namespace {

uint64_t integer_of(const std::vector<wire::Prop>& props, uint32_t number, uint64_t otherwise) {
  const wire::Prop* const found = find_prop(props, number);
  return found != nullptr && found->integer ? *found->integer : otherwise;
}

}  // namespace

model::ScrubPolicy scrub_policy(const std::vector<wire::Prop>& props) {
  const model::ScrubPolicy by_default;
  return {.mode = static_cast<model::ScrubMode>(integer_of(props, prop::kPoolScrubMode, 0)),
          .frequency_s = integer_of(props, prop::kPoolScrubFrequency, by_default.frequency_s),
          .threshold = integer_of(props, prop::kPoolScrubThreshold, 0)};
}

model::WormPolicy worm_policy(const std::vector<wire::Prop>& props) {
  const model::WormPolicy by_default;
  return {
      .inline_bytes_max = integer_of(props, prop::kContWormInlineMax, by_default.inline_bytes_max),
      .object_bytes_max = integer_of(props, prop::kContWormObjectMax, by_default.object_bytes_max),
      .compress = integer_of(props, prop::kContWormCompress, 0) != 0,
      .cold_after_s = integer_of(props, prop::kContWormColdAfter, by_default.cold_after_s)};
}

bool has_worm_props(const std::vector<wire::Prop>& props) {
  return std::ranges::any_of(props, [](const wire::Prop& prop) {
    return prop.number >= prop::kContWormInlineMax && prop.number <= prop::kContWormSealed;
  });
}

}  // namespace cairn::service
