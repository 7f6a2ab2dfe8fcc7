#include "capi/daos/prop_table.h"

#include <cairn_worm.h>

#include <array>
#include <charconv>

namespace cairn::capi {
namespace {

using enum Settable;
using enum ValueKind;

constexpr uint64_t kMax32 = UINT32_MAX;

constexpr PropRule text_rule(uint32_t type, Settable settable) {
  return {.type = type, .kind = text, .settable = settable};
}
constexpr PropRule pointer_rule(uint32_t type, Settable settable) {
  return {.type = type, .kind = pointer, .settable = settable};
}

constexpr std::array kContRules{
    text_rule(DAOS_PROP_CO_LABEL, always),
    PropRule{.type = DAOS_PROP_CO_LAYOUT_TYPE, .most = DAOS_PROP_CO_LAYOUT_MAX - 1},
    PropRule{.type = DAOS_PROP_CO_LAYOUT_VER, .initial = 1, .most = UINT16_MAX},
    PropRule{.type = DAOS_PROP_CO_CSUM, .most = DAOS_PROP_CO_CSUM_ADLER32},
    PropRule{.type = DAOS_PROP_CO_CSUM_CHUNK_SIZE,
             .initial = DAOS_PROP_CO_CSUM_CHUNK_SIZE_DEFAULT,
             .most = kMax32},
    PropRule{.type = DAOS_PROP_CO_CSUM_SERVER_VERIFY, .most = 1},
    PropRule{.type = DAOS_PROP_CO_SCRUBBER_DISABLED, .most = 1},
    PropRule{.type = DAOS_PROP_CO_REDUN_FAC, .most = DAOS_RF_MAX},
    PropRule{.type = DAOS_PROP_CO_REDUN_LVL,
             .initial = DAOS_PROP_CO_REDUN_DEFAULT,
             .least = DAOS_PROP_CO_REDUN_MIN,
             .most = DAOS_PROP_CO_REDUN_MAX},
    PropRule{.type = DAOS_PROP_CO_SNAPSHOT_MAX, .settable = always},
    PropRule{.type = DAOS_PROP_CO_COMPRESS, .most = DAOS_PROP_CO_COMPRESS_DEFLATE4},
    PropRule{.type = DAOS_PROP_CO_ENCRYPT, .most = DAOS_PROP_CO_ENCRYPT_AES_GCM256},
    pointer_rule(DAOS_PROP_CO_ACL, always),
    text_rule(DAOS_PROP_CO_OWNER, always),
    text_rule(DAOS_PROP_CO_OWNER_GROUP, always),
    PropRule{.type = DAOS_PROP_CO_DEDUP, .most = DAOS_PROP_CO_DEDUP_HASH},
    PropRule{.type = DAOS_PROP_CO_DEDUP_THRESHOLD,
             .initial = DAOS_PROP_CO_DEDUP_THRESHOLD_DEFAULT,
             .least = DAOS_PROP_CO_DEDUP_THRESHOLD_MIN,
             .most = kMax32},
    pointer_rule(DAOS_PROP_CO_ROOTS, at_create),
    PropRule{.type = DAOS_PROP_CO_STATUS,
             .settable = always,
             .initial = DAOS_PROP_CO_STATUS_VAL(DAOS_PROP_CO_HEALTHY, 0, 1)},
    PropRule{.type = DAOS_PROP_CO_EC_CELL_SZ,
             .initial = DAOS_PROP_PO_EC_CELL_SZ_DEFAULT,
             .least = 4096,
             .most = 1u << 20},
    PropRule{.type = DAOS_PROP_CO_ALLOCED_OID},
    PropRule{.type = DAOS_PROP_CO_EC_PDA,
             .initial = DAOS_PROP_PO_EC_PDA_DEFAULT,
             .least = 1,
             .most = kMax32},
    PropRule{.type = DAOS_PROP_CO_PERF_DOMAIN,
             .initial = DAOS_PROP_CO_PERF_DOMAIN_DEFAULT,
             .least = DAOS_PROP_PERF_DOMAIN_GROUP,
             .most = DAOS_PROP_PERF_DOMAIN_ROOT},
    PropRule{.type = DAOS_PROP_CO_RP_PDA,
             .initial = DAOS_PROP_PO_RP_PDA_DEFAULT,
             .least = 1,
             .most = kMax32},
    PropRule{.type = DAOS_PROP_CO_GLOBAL_VERSION, .settable = by_system, .initial = 4},
    PropRule{.type = DAOS_PROP_CO_OBJ_VERSION, .settable = by_system, .initial = 2},
};
static_assert(kContRules.size() == DAOS_PROP_CO_NUM);

/// Our own, which a query for all leaves out: programs know how many there are. The initial values
/// are those of model::WormPolicy.
constexpr std::array kWormRules{
    PropRule{.type = CAIRN_PROP_CO_WORM_INLINE_MAX,
             .settable = always,
             .initial = 64u << 10,
             .most = model::kWormInlineBytesMax},
    PropRule{.type = CAIRN_PROP_CO_WORM_OBJECT_MAX,
             .settable = always,
             .initial = 1u << 20,
             .least = model::kWormObjectBytesMin,
             .most = model::kWormObjectBytesMax},
    PropRule{.type = CAIRN_PROP_CO_WORM_COMPRESS, .settable = always, .most = 1},
    PropRule{.type = CAIRN_PROP_CO_WORM_COLD_AFTER,
             .settable = always,
             .most = model::kWormColdSecondsMax},
    text_rule(CAIRN_PROP_CO_WORM_SEALED, by_system),
};

constexpr std::array kPoolRules{
    text_rule(DAOS_PROP_PO_LABEL, always),
    pointer_rule(DAOS_PROP_PO_ACL, always),
    PropRule{.type = DAOS_PROP_PO_SPACE_RB, .initial = 0, .most = 100},
    PropRule{.type = DAOS_PROP_PO_SELF_HEAL,
             .initial = DAOS_SELF_HEAL_AUTO_EXCLUDE | DAOS_SELF_HEAL_AUTO_REBUILD},
    PropRule{.type = DAOS_PROP_PO_RECLAIM, .initial = DAOS_RECLAIM_LAZY},
    text_rule(DAOS_PROP_PO_OWNER, always),
    text_rule(DAOS_PROP_PO_OWNER_GROUP, always),
    pointer_rule(DAOS_PROP_PO_SVC_LIST, by_system),
    PropRule{.type = DAOS_PROP_PO_EC_CELL_SZ, .initial = DAOS_PROP_PO_EC_CELL_SZ_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_DATA_THRESH, .initial = DAOS_PROP_PO_DATA_THRESH_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_REDUN_FAC, .most = DAOS_PROP_PO_REDUN_FAC_MAX},
    PropRule{.type = DAOS_PROP_PO_EC_PDA, .initial = DAOS_PROP_PO_EC_PDA_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_RP_PDA, .initial = DAOS_PROP_PO_RP_PDA_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_GLOBAL_VERSION, .settable = by_system, .initial = 4},
    PropRule{.type = DAOS_PROP_PO_UPGRADE_STATUS, .settable = by_system},
    PropRule{.type = DAOS_PROP_PO_SCRUB_MODE},
    PropRule{.type = DAOS_PROP_PO_SCRUB_FREQ, .initial = DAOS_PROP_PO_SCRUB_FREQ_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_SCRUB_THRESH},
    PropRule{.type = DAOS_PROP_PO_SVC_REDUN_FAC},
    PropRule{.type = DAOS_PROP_PO_OBJ_VERSION, .settable = by_system, .initial = 2},
    PropRule{.type = DAOS_PROP_PO_PERF_DOMAIN, .initial = DAOS_PROP_PO_PERF_DOMAIN_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_CHECKPOINT_MODE, .initial = DAOS_CHECKPOINT_TIMED},
    PropRule{.type = DAOS_PROP_PO_CHECKPOINT_FREQ, .initial = DAOS_PROP_PO_CHECKPOINT_FREQ_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_CHECKPOINT_THRESH,
             .initial = DAOS_PROP_PO_CHECKPOINT_THRESH_DEFAULT},
    PropRule{.type = DAOS_PROP_PO_REINT_MODE},
    PropRule{.type = DAOS_PROP_PO_SVC_OPS_ENABLED, .initial = 1},
    PropRule{.type = DAOS_PROP_PO_SVC_OPS_ENTRY_AGE,
             .initial = DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_DEFAULT},
};
static_assert(kPoolRules.size() == DAOS_PROP_PO_NUM);

struct NamedValue {
  uint32_t type;
  std::string_view name;
  uint64_t value;
};
constexpr NamedValue kNamedValues[] = {
    {DAOS_PROP_CO_CSUM, "off", 0},
    {DAOS_PROP_CO_CSUM, "crc16", 1},
    {DAOS_PROP_CO_CSUM, "crc32", 2},
    {DAOS_PROP_CO_CSUM, "crc64", 3},
    {DAOS_PROP_CO_CSUM, "sha1", 4},
    {DAOS_PROP_CO_CSUM, "sha256", 5},
    {DAOS_PROP_CO_CSUM, "sha512", 6},
    {DAOS_PROP_CO_CSUM, "adler32", 7},
    {DAOS_PROP_CO_CSUM_SERVER_VERIFY, "off", 0},
    {DAOS_PROP_CO_CSUM_SERVER_VERIFY, "on", 1},
    {DAOS_PROP_CO_COMPRESS, "off", 0},
    {DAOS_PROP_CO_COMPRESS, "lz4", 1},
    {DAOS_PROP_CO_COMPRESS, "deflate", 2},
    {DAOS_PROP_CO_COMPRESS, "deflate1", 3},
    {DAOS_PROP_CO_COMPRESS, "deflate2", 4},
    {DAOS_PROP_CO_COMPRESS, "deflate3", 5},
    {DAOS_PROP_CO_COMPRESS, "deflate4", 6},
    {DAOS_PROP_CO_ENCRYPT, "off", 0},
    {DAOS_PROP_CO_ENCRYPT, "aes-xts128", 1},
    {DAOS_PROP_CO_ENCRYPT, "aes-xts256", 2},
    {DAOS_PROP_CO_ENCRYPT, "aes-cbc128", 3},
    {DAOS_PROP_CO_ENCRYPT, "aes-cbc192", 4},
    {DAOS_PROP_CO_ENCRYPT, "aes-cbc256", 5},
    {DAOS_PROP_CO_ENCRYPT, "aes-gcm128", 6},
    {DAOS_PROP_CO_ENCRYPT, "aes-gcm256", 7},
    {DAOS_PROP_CO_DEDUP, "off", 0},
    {DAOS_PROP_CO_DEDUP, "memcmp", 1},
    {DAOS_PROP_CO_DEDUP, "hash", 2},
    {CAIRN_PROP_CO_WORM_COMPRESS, "off", 0},
    {CAIRN_PROP_CO_WORM_COMPRESS, "on", 1},
    {DAOS_PROP_CO_PERF_DOMAIN, "root", DAOS_PROP_PERF_DOMAIN_ROOT},
    {DAOS_PROP_CO_PERF_DOMAIN, "group", DAOS_PROP_PERF_DOMAIN_GROUP},
};

struct NamedType {
  std::string_view name;
  uint32_t type;
  bool numeric;
};
constexpr NamedType kNamedTypes[] = {
    {"label", DAOS_PROP_CO_LABEL, false},
    {"cksum", DAOS_PROP_CO_CSUM, false},
    {"cksum_size", DAOS_PROP_CO_CSUM_CHUNK_SIZE, true},
    {"srv_cksum", DAOS_PROP_CO_CSUM_SERVER_VERIFY, false},
    {"rd_fac", DAOS_PROP_CO_REDUN_FAC, true},
    {"rf", DAOS_PROP_CO_REDUN_FAC, true},
    {"compression", DAOS_PROP_CO_COMPRESS, false},
    {"encryption", DAOS_PROP_CO_ENCRYPT, false},
    {"dedup", DAOS_PROP_CO_DEDUP, false},
    {"dedup_threshold", DAOS_PROP_CO_DEDUP_THRESHOLD, true},
    {"ec_cell_sz", DAOS_PROP_CO_EC_CELL_SZ, true},
    {"ec_pda", DAOS_PROP_CO_EC_PDA, true},
    {"rp_pda", DAOS_PROP_CO_RP_PDA, true},
    {"perf_domain", DAOS_PROP_CO_PERF_DOMAIN, false},
    {"worm_inline_max", CAIRN_PROP_CO_WORM_INLINE_MAX, true},
    {"worm_object_max", CAIRN_PROP_CO_WORM_OBJECT_MAX, true},
    {"worm_compress", CAIRN_PROP_CO_WORM_COMPRESS, false},
    {"worm_cold_after", CAIRN_PROP_CO_WORM_COLD_AFTER, true},
};

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::span<const PropRule> cont_prop_rules() { return kContRules; }
std::span<const PropRule> pool_prop_rules() { return kPoolRules; }

const PropRule* cont_prop_rule(uint32_t type) {
  for (const PropRule& rule : kContRules) {
    if (rule.type == type) return &rule;
  }
  for (const PropRule& rule : kWormRules) {
    if (rule.type == type) return &rule;
  }
  return nullptr;
}

ValueKind value_kind(uint32_t type) {
  switch (type) {
    case DAOS_PROP_PO_LABEL:
    case DAOS_PROP_PO_OWNER:
    case DAOS_PROP_PO_OWNER_GROUP:
    case DAOS_PROP_CO_LABEL:
    case DAOS_PROP_CO_OWNER:
    case DAOS_PROP_CO_OWNER_GROUP:
    case CAIRN_PROP_CO_WORM_SEALED:
      return ValueKind::text;
    case DAOS_PROP_PO_SVC_LIST:
    case DAOS_PROP_PO_ACL:
    case DAOS_PROP_CO_ACL:
    case DAOS_PROP_CO_ROOTS:
      return ValueKind::pointer;
    default:
      return ValueKind::number;
  }
}

bool number_is_valid(const PropRule& rule, uint64_t value) {
  if (value < rule.least || value > rule.most) return false;
  switch (rule.type) {
    case DAOS_PROP_CO_REDUN_LVL:
      return value <= DAOS_PROP_CO_REDUN_FAULT || value == DAOS_PROP_CO_REDUN_MAX;
    case DAOS_PROP_CO_PERF_DOMAIN:
      return value == DAOS_PROP_PERF_DOMAIN_GROUP || value == DAOS_PROP_PERF_DOMAIN_ROOT;
    case DAOS_PROP_CO_EC_CELL_SZ:
      return value % 4096 == 0;
    default:
      return true;
  }
}

std::optional<ParsedProp> parse_cont_prop(std::string_view name, std::string_view value) {
  for (const NamedType& named : kNamedTypes) {
    if (named.name != name) continue;
    if (named.type == DAOS_PROP_CO_LABEL) {
      if (!daos_label_is_valid(std::string(value).c_str())) return std::nullopt;
      return ParsedProp{.type = named.type};
    }
    if (named.numeric) {
      const auto number = number_of(value);
      if (!number || !number_is_valid(*cont_prop_rule(named.type), *number)) return std::nullopt;
      return ParsedProp{.type = named.type, .number = *number};
    }
    for (const NamedValue& known : kNamedValues) {
      if (known.type == named.type && known.name == value) {
        return ParsedProp{.type = named.type, .number = known.value};
      }
    }
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace cairn::capi
