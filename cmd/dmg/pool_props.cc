#include "cmd/dmg/pool_props.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>

#include "cmd/dmg/dmg.h"
#include "cmd/tool/format.h"
#include "daos_prop.h"
#include "model/label.h"

namespace cairn::tool {

namespace {

enum class Kind : uint8_t { label, number, bytes, percent, choice, flags, read_only };
enum class Effect : uint8_t { acts, recorded };

struct Choice {
  const char* name;
  uint64_t value;
};

struct Property {
  const char* key;
  const char* description;
  uint32_t type;
  Kind kind;
  uint64_t usual = 0;  // the default
  uint64_t least = 0, most = ~uint64_t{0};
  std::initializer_list<Choice> choices = {};
  Effect effect = Effect::recorded;
};

using enum Kind;
/// Ascending by key, as they are told.
constexpr Property kProperties[] = {
    {"checkpoint",
     "WAL checkpointing behavior",
     DAOS_PROP_PO_CHECKPOINT_MODE,
     choice,
     DAOS_CHECKPOINT_TIMED,
     0,
     2,
     {{"disabled", DAOS_CHECKPOINT_DISABLED},
      {"timed", DAOS_CHECKPOINT_TIMED},
      {"lazy", DAOS_CHECKPOINT_LAZY}}},
    {"checkpoint_freq", "WAL checkpointing frequency, in seconds", DAOS_PROP_PO_CHECKPOINT_FREQ,
     number, DAOS_PROP_PO_CHECKPOINT_FREQ_DEFAULT, DAOS_PROP_PO_CHECKPOINT_FREQ_MIN,
     DAOS_PROP_PO_CHECKPOINT_FREQ_MAX},
    {"checkpoint_thresh", "WAL checkpoint threshold, in percentage", DAOS_PROP_PO_CHECKPOINT_THRESH,
     number, DAOS_PROP_PO_CHECKPOINT_THRESH_DEFAULT, DAOS_PROP_PO_CHECKPOINT_THRESH_MIN,
     DAOS_PROP_PO_CHECKPOINT_THRESH_MAX},
    {"data_thresh", "Data bdev threshold size", DAOS_PROP_PO_DATA_THRESH, bytes,
     DAOS_PROP_PO_DATA_THRESH_DEFAULT},
    {"ec_cell_sz", "EC cell size", DAOS_PROP_PO_EC_CELL_SZ, bytes, DAOS_PROP_PO_EC_CELL_SZ_DEFAULT,
     4096, 1 << 20},
    {"ec_pda", "Performance domain affinity level of EC", DAOS_PROP_PO_EC_PDA, number,
     DAOS_PROP_PO_EC_PDA_DEFAULT, 1, UINT32_MAX},
    {"global_version", "Global Version", DAOS_PROP_PO_GLOBAL_VERSION, read_only, 4},
    {"label", "Pool label", DAOS_PROP_PO_LABEL, label, 0, 0, 0, {}, Effect::acts},
    {"perf_domain",
     "Pool performance domain",
     DAOS_PROP_PO_PERF_DOMAIN,
     choice,
     DAOS_PROP_PO_PERF_DOMAIN_DEFAULT,
     0,
     255,
     {{"root", DAOS_PROP_PERF_DOMAIN_ROOT}, {"group", DAOS_PROP_PERF_DOMAIN_GROUP}}},
    {"rd_fac",
     "Pool redundancy factor",
     DAOS_PROP_PO_REDUN_FAC,
     number,
     0,
     0,
     DAOS_PROP_PO_REDUN_FAC_MAX,
     {},
     Effect::acts},
    {"reclaim",
     "Reclaim strategy",
     DAOS_PROP_PO_RECLAIM,
     choice,
     DAOS_RECLAIM_LAZY,
     0,
     4,
     {{"disabled", DAOS_RECLAIM_DISABLED},
      {"lazy", DAOS_RECLAIM_LAZY},
      {"time", DAOS_RECLAIM_TIME}}},
    {"reintegration",
     "Reintegration mode",
     DAOS_PROP_PO_REINT_MODE,
     choice,
     DAOS_REINT_MODE_DATA_SYNC,
     0,
     2,
     {{"data_sync", DAOS_REINT_MODE_DATA_SYNC},
      {"no_data_sync", DAOS_REINT_MODE_NO_DATA_SYNC},
      {"incremental", DAOS_REINT_MODE_INCREMENTAL}}},
    {"rp_pda", "Performance domain affinity level of RP", DAOS_PROP_PO_RP_PDA, number, UINT32_MAX,
     1, UINT32_MAX},
    {"scrub",
     "Checksum scrubbing mode",
     DAOS_PROP_PO_SCRUB_MODE,
     choice,
     0,
     0,
     2,
     {{"off", 0}, {"lazy", 1}, {"timed", 2}},
     Effect::acts},
    {"scrub_freq",
     "Checksum scrubbing frequency",
     DAOS_PROP_PO_SCRUB_FREQ,
     number,
     DAOS_PROP_PO_SCRUB_FREQ_DEFAULT,
     0,
     UINT64_MAX,
     {},
     Effect::acts},
    {"scrub_thresh",
     "Checksum scrubbing threshold",
     DAOS_PROP_PO_SCRUB_THRESH,
     number,
     0,
     0,
     UINT64_MAX,
     {},
     Effect::acts},
    {"self_heal",
     "Self-healing policy",
     DAOS_PROP_PO_SELF_HEAL,
     flags,
     DAOS_SELF_HEAL_AUTO_EXCLUDE | DAOS_SELF_HEAL_AUTO_REBUILD,
     0,
     7,
     {{"exclude", DAOS_SELF_HEAL_AUTO_EXCLUDE},
      {"rebuild", DAOS_SELF_HEAL_AUTO_REBUILD},
      {"delay_rebuild", DAOS_SELF_HEAL_DELAY_REBUILD}}},
    {"space_rb", "Rebuild space ratio", DAOS_PROP_PO_SPACE_RB, percent,
     DAOS_PROP_PO_SPACE_RB_DEFAULT, 0, 100},
    {"svc_list", "Pool service replica list", DAOS_PROP_PO_SVC_LIST, read_only, 0},
    {"svc_ops_enabled", "Metadata duplicate operations detection enabled",
     DAOS_PROP_PO_SVC_OPS_ENABLED, number, 1, 0, 1},
    {"svc_ops_entry_age", "Metadata duplicate operations KVS max entry age, in seconds",
     DAOS_PROP_PO_SVC_OPS_ENTRY_AGE, number, DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_DEFAULT,
     DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_MIN, DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_MAX},
    {"svc_rf", "Pool service redundancy factor", DAOS_PROP_PO_SVC_REDUN_FAC, number,
     DAOS_PROP_PO_SVC_REDUN_FAC_DEFAULT, 0, DAOS_PROP_PO_SVC_REDUN_FAC_MAX},
    {"upgrade_status", "Upgrade Status", DAOS_PROP_PO_UPGRADE_STATUS, read_only, 0},
};

std::string all_keys() {
  std::string out;
  for (const Property& p : kProperties) out += (out.empty() ? "" : ",") + std::string(p.key);
  return out;
}

const Property* property_of(const std::string& key) {
  const std::string name = key == "rf" ? "rd_fac" : key;
  const auto found =
      std::ranges::find_if(kProperties, [&](const Property& p) { return p.key == name; });
  return found == std::end(kProperties) ? nullptr : &*found;
}

std::string valid_choices(const Property& property) {
  std::string out;
  for (const Choice& each : property.choices)
    out += (out.empty() ? "" : ",") + std::string(each.name);
  return out;
}

std::optional<uint64_t> choice_of(const Property& property, std::string_view name) {
  for (const Choice& each : property.choices) {
    if (name == each.name) return each.value;
  }
  return std::nullopt;
}

/// "exclude;rebuild", or none.
std::optional<uint64_t> flags_of(const Property& property, std::string_view text) {
  if (text == "none") return 0;
  uint64_t out = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    const auto flag = choice_of(property, word);
    if (!flag || (out & *flag) != 0) return std::nullopt;
    out |= *flag;
  }
  constexpr uint64_t kBoth = DAOS_SELF_HEAL_AUTO_REBUILD | DAOS_SELF_HEAL_DELAY_REBUILD;
  return out == 0 || (out & kBoth) == kBoth ? std::nullopt : std::optional(out);
}

std::optional<uint64_t> number_of(const Property& property, std::string text) {
  if (property.kind == Kind::bytes) return parse_size(text);
  if (property.kind == Kind::percent && text.ends_with("%")) text.pop_back();
  uint64_t out = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  // DAOS bounds these two itself.
  const bool clamped = property.type == DAOS_PROP_PO_CHECKPOINT_FREQ ||
                       property.type == DAOS_PROP_PO_CHECKPOINT_THRESH;
  return clamped ? std::clamp(out, property.least, property.most) : out;
}

std::expected<client::PropValue, Failure> value_of(const Property& property,
                                                   const std::string& text) {
  if (property.kind == Kind::label) {
    if (!model::check_label(text)) return refuse("invalid label \"" + text + "\"");
    return client::PropValue(text);
  }
  if (property.kind == Kind::choice || property.kind == Kind::flags) {
    const auto value =
        property.kind == Kind::choice ? choice_of(property, text) : flags_of(property, text);
    if (value) return client::PropValue(*value);
    return refuse("invalid value \"" + text + "\" for " + property.key +
                  " (valid: " + valid_choices(property) + ")");
  }
  const auto value = number_of(property, text);
  if (!value || *value < property.least || *value > property.most) {
    return refuse("invalid " + std::string(property.key) + " value " + text +
                  " (valid values: " + std::to_string(property.least) + "-" +
                  (property.most == ~uint64_t{0} ? "" : std::to_string(property.most)) + ")");
  }
  return client::PropValue(*value);
}

uint64_t integer_of(const Property& property, const client::PoolInfo& pool) {
  const auto found = pool.props.find(property.type);
  if (found == pool.props.end()) return property.usual;
  const auto* const integer = std::get_if<uint64_t>(&found->second);
  return integer != nullptr ? *integer : property.usual;
}

std::string words_of(const Property& property, uint64_t value) {
  if (property.kind == Kind::choice) {
    for (const Choice& each : property.choices) {
      if (each.value == value) return each.name;
    }
    return std::to_string(value);
  }
  std::string out;
  for (const Choice& each : property.choices) {
    if ((value & each.value) != 0) out += (out.empty() ? "" : ";") + std::string(each.name);
  }
  return out.empty() ? "none" : out;
}

struct Shown {
  std::string text;
  Json json;
};

Shown shown(const Property& property, const client::PoolInfo& pool) {
  if (property.type == DAOS_PROP_PO_LABEL) return {pool.label, pool.label};
  if (property.type == DAOS_PROP_PO_SVC_LIST) return {"[0]", Json::array({0})};
  if (property.type == DAOS_PROP_PO_UPGRADE_STATUS) return {"not started", "not started"};
  const uint64_t value = integer_of(property, pool);
  switch (property.kind) {
    case Kind::choice:
    case Kind::flags:
      return {words_of(property, value), words_of(property, value)};
    case Kind::bytes:
      return {iec_bytes(value), value};
    case Kind::percent:
      return {std::to_string(value) + "%", value};
    default:
      return {std::to_string(value), value};
  }
}

Outcome get(const std::string& pool, const std::string& keys, bool json) {
  std::vector<const Property*> wanted;
  for (const std::string& key : keys.empty() ? std::vector<std::string>{} : parse_keys(keys)) {
    const Property* const property = property_of(key);
    if (property == nullptr) {
      return refuse("\"" + key + "\" is not a gettable property (valid: " + all_keys() + ")");
    }
    wanted.push_back(property);
  }
  if (wanted.empty()) {
    for (const Property& property : kProperties) wanted.push_back(&property);
  }
  constexpr const char* kDoing = "pool get-prop failed";
  return with_home(false, kDoing, [&](client::System& system) -> Outcome {
    const auto info = find_pool(system, kDoing, pool);
    if (!info && json) return refuse(pool_not_found(pool));
    if (!info) return std::unexpected(info.error());
    std::vector<std::vector<std::string>> rows;
    Json out = Json::array();
    for (const Property* property : wanted) {
      Shown value = shown(*property, *info);
      rows.push_back({std::string(property->description) + " (" + property->key + ")", value.text});
      out.push_back({{"name", property->key},
                     {"description", property->description},
                     {"value", std::move(value.json)}});
    }
    return Reply{"Pool " + pool + " properties:\n" + table({"Name", "Value"}, rows), out};
  });
}

Outcome set(const std::string& pool, const std::string& text) {
  if (text.empty()) {
    return refuse("the required argument `<key:val[,key:val1[;val2...]...]>` was not provided");
  }
  auto props = parse_pool_props(text);
  if (!props) return std::unexpected(props.error());
  constexpr const char* kDoing = "pool set-prop failed";
  return with_home(false, kDoing, [&](client::System& system) -> Outcome {
    const auto done = system.context().run(system.pool_set_props(pool, *props));
    if (done) return Reply{"pool set-prop succeeded\n", nullptr};
    if (done.error().code() == Errc::nonexistent) {
      return refuse(std::string(kDoing) + ": " + pool_not_found(pool));
    }
    return failure(kDoing, done.error());
  });
}

}  // namespace

std::string pool_not_found(const std::string& pool) {
  auto name = model::parse_name(pool);
  return name && name->uuid ? "unable to find pool service with uuid " + to_string(*name->uuid)
                            : "unable to find pool service with label \"" + pool + "\"";
}

std::expected<client::PoolInfo, Failure> find_pool(client::System& system, const std::string& doing,
                                                   const std::string& pool) {
  auto pools = system.context().run(system.pool_list());
  if (!pools) return failure(doing, pools.error());
  const auto name = model::parse_name(pool);
  for (client::PoolInfo& each : *pools) {
    if (each.label == pool || (name && name->uuid && *name->uuid == each.uuid)) {
      return std::move(each);
    }
  }
  return refuse(doing + ": " + pool_not_found(pool));
}

std::expected<client::Props, Failure> parse_pool_props(const std::string& text) {
  std::string problem;
  const auto pairs = parse_pairs(text, &problem);
  if (!pairs) return refuse("invalid property " + problem);
  client::Props props;
  for (const auto& [key, value] : *pairs) {
    const Property* const property = property_of(key);
    if (property == nullptr) {
      return refuse("\"" + key + "\" is not a settable property (valid: " + all_keys() + ")");
    }
    if (property->type == DAOS_PROP_PO_SVC_LIST) {
      return refuse("cannot set pool service replica list");
    }
    if (property->kind == Kind::read_only) {
      return failure("pool set-prop failed: pool set-prop failed",
                     -static_cast<int>(Errc::no_perm));
    }
    auto parsed = value_of(*property, value);
    if (!parsed) return std::unexpected(parsed.error());
    const auto* const integer = std::get_if<uint64_t>(&*parsed);
    if (property->effect == Effect::recorded && integer != nullptr && *integer != property->usual) {
      std::fprintf(stderr, "NOTICE: dmg: %s is recorded; this version works as with its default\n",
                   property->key);
    }
    props[property->type] = std::move(*parsed);
  }
  return props;
}

void add_pool_prop_commands(Tool& tool) {
  auto pool = std::make_shared<std::string>();
  auto keys = std::make_shared<std::string>();
  Command& get_command = tool.command("pool", "get-prop", {"getprop"}, "Show properties");
  get_command.app->add_option("pool_label_or_UUID", *pool, "The pool")->required();
  get_command.app->add_option("keys", *keys, "Only these, key[,key...]");
  get_command.run = [pool, keys, &tool] { return get(*pool, *keys, tool.json()); };

  auto pairs = std::make_shared<std::string>();
  Command& set_command = tool.command("pool", "set-prop", {"setprop"}, "Change properties");
  set_command.app->add_option("pool_label_or_UUID", *pool, "The pool")->required();
  set_command.app->add_option("properties", *pairs, "key:val[,key:val1[;val2...]...]");
  set_command.run = [pool, pairs] { return set(*pool, *pairs); };
}

}  // namespace cairn::tool
