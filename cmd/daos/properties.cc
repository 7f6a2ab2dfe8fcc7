// Properties of containers as users write and read them; daos cont get-prop|set-prop.
#include <cairn_worm.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>

#include "cmd/daos/container.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

enum class Kind : uint8_t {
  text,
  number,
  count,
  bytes,
  choice,
  status,
  acl,
  roots,
  layout,
  level,
  seal
};

struct Choice {
  const char* name;
  uint64_t value;
};

/// One property. `count`: a number that --json tells as text, as the known tool does.
struct Property {
  const char* key;
  const char* description;
  uint32_t type;
  Kind kind;
  bool at_create = false;
  std::vector<Choice> choices = {};
  bool later = false;  // may be changed
};

const std::vector<Choice> kOnOff{{"off", 0}, {"on", 1}};
const std::vector<Choice> kSums{{"adler32", 7}, {"crc16", 1}, {"crc32", 2},  {"crc64", 3},
                                {"off", 0},     {"sha1", 4},  {"sha256", 5}, {"sha512", 6}};
const std::vector<Choice> kCompress{{"deflate", 2},  {"deflate1", 3}, {"deflate2", 4},
                                    {"deflate3", 5}, {"deflate4", 6}, {"lz4", 1},
                                    {"off", 0}};
const std::vector<Choice> kEncrypt{{"aes-cbc128", 3}, {"aes-cbc192", 4}, {"aes-cbc256", 5},
                                   {"aes-gcm128", 6}, {"aes-gcm256", 7}, {"aes-xts128", 1},
                                   {"aes-xts256", 2}, {"off", 0}};
const std::vector<Choice> kDedup{{"hash", 2}, {"memcmp", 1}, {"off", 0}};
const std::vector<Choice> kLevel{{"1", 1}, {"2", 2}, {"node", 2}, {"rank", 1}};
const std::vector<Choice> kDomain{{"group", 200}, {"root", 255}};

const std::vector<Property>& properties() {
  static const std::vector<Property> kAll{
      {"acl", "Access Control List", DAOS_PROP_CO_ACL, Kind::acl},
      {"alloc_oid", "Highest Allocated OID", DAOS_PROP_CO_ALLOCED_OID, Kind::number},
      {"cksum", "Checksum", DAOS_PROP_CO_CSUM, Kind::choice, true, kSums},
      {"cksum_size", "Checksum Chunk Size", DAOS_PROP_CO_CSUM_CHUNK_SIZE, Kind::bytes, true},
      {"compression", "Compression", DAOS_PROP_CO_COMPRESS, Kind::choice, true, kCompress},
      {"dedup", "Deduplication", DAOS_PROP_CO_DEDUP, Kind::choice, true, kDedup},
      {"dedup_threshold", "Dedupe Threshold", DAOS_PROP_CO_DEDUP_THRESHOLD, Kind::bytes, true},
      {"ec_cell_sz", "EC Cell Size", DAOS_PROP_CO_EC_CELL_SZ, Kind::bytes, true},
      {"ec_pda", "Performance domain affinity level of EC", DAOS_PROP_CO_EC_PDA, Kind::count, true},
      {"encryption", "Encryption", DAOS_PROP_CO_ENCRYPT, Kind::choice, true, kEncrypt},
      {"global_version", "Global Version", DAOS_PROP_CO_GLOBAL_VERSION, Kind::count},
      {"group", "Group", DAOS_PROP_CO_OWNER_GROUP, Kind::text},
      {"label", "Label", DAOS_PROP_CO_LABEL, Kind::text, true, {}, true},
      {"layout_type",
       "Layout Type (unknown, POSIX, HDF5, PYTHON, SPARK, DATABASE, ROOT, SEISMIC, METEO)",
       DAOS_PROP_CO_LAYOUT_TYPE, Kind::layout},
      {"layout_version", "Layout Version", DAOS_PROP_CO_LAYOUT_VER, Kind::number},
      {"max_snapshot", "Max Snapshot", DAOS_PROP_CO_SNAPSHOT_MAX, Kind::number},
      {"obj_version", "Object Version", DAOS_PROP_CO_OBJ_VERSION, Kind::count},
      {"owner", "Owner", DAOS_PROP_CO_OWNER, Kind::text},
      {"perf_domain", "Performance domain level", DAOS_PROP_CO_PERF_DOMAIN, Kind::choice, true,
       kDomain},
      {"rd_fac", "Redundancy Factor (0-4)", DAOS_PROP_CO_REDUN_FAC, Kind::count, true},
      {"rd_lvl", "Redundancy Level (rank=1, node=2)", DAOS_PROP_CO_REDUN_LVL, Kind::level, true,
       kLevel},
      {"root_oids", "Root OIDs", DAOS_PROP_CO_ROOTS, Kind::roots},
      {"rp_pda", "Performance domain affinity level of RP", DAOS_PROP_CO_RP_PDA, Kind::count, true},
      {"scrub_disabled",
       "Scrubber Disabled",
       DAOS_PROP_CO_SCRUBBER_DISABLED,
       Kind::choice,
       false,
       {{"false", 0}, {"true", 1}}},
      {"srv_cksum", "Server Checksumming", DAOS_PROP_CO_CSUM_SERVER_VERIFY, Kind::choice, true,
       kOnOff},
      {"status", "Health", DAOS_PROP_CO_STATUS, Kind::status, true, {}, true},
      {"worm:sealed", "Sealed", CAIRN_PROP_CO_WORM_SEALED, Kind::seal},
      {"worm_cold_after",
       "Flatten Objects Unchanged For (seconds; 0: off)",
       CAIRN_PROP_CO_WORM_COLD_AFTER,
       Kind::number,
       true,
       {},
       true},
      {"worm_compress", "Compress Flattened Objects", CAIRN_PROP_CO_WORM_COMPRESS, Kind::choice,
       true, kOnOff, true},
      {"worm_inline_max",
       "Data Inside A Flattened Object",
       CAIRN_PROP_CO_WORM_INLINE_MAX,
       Kind::bytes,
       true,
       {},
       true},
      {"worm_object_max",
       "Largest Flattened Object",
       CAIRN_PROP_CO_WORM_OBJECT_MAX,
       Kind::bytes,
       true,
       {},
       true}};
  return kAll;
}

constexpr const char* kAtCreate =
    "cksum,cksum_size,compression,dedup,dedup_threshold,ec_cell_sz,ec_pda,encryption,label,"
    "perf_domain,rd_fac,rd_lvl,rf,rf_lvl,rp_pda,srv_cksum,status,worm_cold_after,worm_compress,"
    "worm_inline_max,worm_object_max";
constexpr const char* kLater =
    "label,status,worm_cold_after,worm_compress,worm_inline_max,worm_object_max";

const Property* find_property(std::string key) {
  if (key == "rf") key = "rd_fac";
  if (key == "rf_lvl") key = "rd_lvl";
  for (const Property& property : properties()) {
    if (key == property.key) return &property;
  }
  return nullptr;
}

std::string join(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

/// The number that `text` stands for.
std::expected<uint64_t, std::string> number_of(const Property& property, const std::string& text) {
  if (!property.choices.empty()) {
    std::vector<std::string> names;
    for (const Choice& choice : property.choices) {
      if (strcasecmp(choice.name, text.c_str()) == 0) return choice.value;
      names.emplace_back(choice.name);
    }
    return std::unexpected("invalid choice \"" + text + "\" for " + property.key +
                           " (valid: " + join(names, ",") + ")");
  }
  if (property.kind == Kind::status) {
    if (strcasecmp(text.c_str(), "healthy") == 0) {
      return DAOS_PROP_CO_STATUS_VAL(DAOS_PROP_CO_HEALTHY, DAOS_PROP_CO_CLEAR, 0);
    }
    return std::unexpected("invalid choice \"" + text + "\" for status (valid: healthy)");
  }
  if (property.kind == Kind::bytes) {
    if (const auto bytes = parse_size(text)) return *bytes;
    return std::unexpected("invalid size \"" + text + "\" for " + property.key);
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  return std::unexpected("invalid number \"" + text + "\" for " + property.key);
}

std::vector<std::string> acl_lines(const void* pointer) {
  std::vector<std::string> lines;
  auto* acl = static_cast<daos_acl*>(const_cast<void*>(pointer));
  daos_ace* ace = nullptr;
  while (acl != nullptr && (ace = daos_acl_get_next_ace(acl, ace)) != nullptr) {
    char text[DAOS_ACL_MAX_ACE_STR_LEN];
    if (daos_ace_to_str(ace, text, sizeof text) == 0) lines.emplace_back(text);
  }
  return lines;
}

std::vector<std::string> root_lines(const void* pointer) {
  std::vector<std::string> lines;
  const auto* roots = static_cast<const daos_prop_co_roots*>(pointer);
  if (roots == nullptr) return lines;
  for (const daos_obj_id_t& oid : roots->cr_oids) {
    if (oid.hi == 0 && oid.lo == 0) continue;
    lines.push_back(std::to_string(oid.hi) + "." + std::to_string(oid.lo));
  }
  return lines;
}

/// As people read it, and as --json has it.
struct Shown {
  std::string text;
  Json json;
};

Shown show_number(const Property& property, uint64_t value) {
  switch (property.kind) {
    case Kind::bytes: return {iec_bytes(value), value};
    case Kind::number: return {std::to_string(value), value};
    case Kind::layout: return {layout_text(value), layout_text(value)};
    case Kind::level: {
      const std::string name = value == 2 ? "node" : value == 1 ? "rank" : std::to_string(value);
      return {name, name};
    }
    case Kind::status: {
      daos_co_status status{};
      daos_prop_val_2_co_status(value, &status);
      const char* name = status.dcs_status == DAOS_PROP_CO_HEALTHY ? "HEALTHY" : "UNCLEAN";
      return {name, name};
    }
    default: break;
  }
  std::string name = std::to_string(value);
  for (const Choice& choice : property.choices) {
    if (choice.value == value) name = choice.name;
  }
  if (property.type == DAOS_PROP_CO_PERF_DOMAIN) name += " (" + std::to_string(value) + ")";
  return {name, name};
}

Shown show(const Property& property, daos_prop_entry& entry) {
  const bool set = daos_prop_is_set(&entry);
  if (property.kind == Kind::seal) {
    const std::string text = set && entry.dpe_str != nullptr ? entry.dpe_str : "no";
    return {text, text};
  }
  if (property.kind == Kind::text) {
    const std::string text = set && entry.dpe_str != nullptr ? entry.dpe_str : "not set";
    return {text, text};
  }
  if (property.kind == Kind::acl || property.kind == Kind::roots) {
    const void* value = set ? entry.dpe_val_ptr : nullptr;
    const auto lines = property.kind == Kind::acl ? acl_lines(value) : root_lines(value);
    return {lines.empty() ? "not set" : join(lines, ", "), Json(lines)};
  }
  return show_number(property, entry.dpe_val);
}

Outcome get_properties(const ContainerArguments& arguments) {
  auto name = container_name(arguments);
  if (!name) return std::unexpected(name.error());
  std::vector<const Property*> wanted;
  const std::string asked = name->rest.empty() ? "all" : name->rest[0];
  std::string unknown;
  for (const std::string& key : parse_keys(asked)) {
    const Property* property = find_property(key);
    if (property != nullptr) wanted.push_back(property);
    if (property == nullptr && key != "all" && unknown.empty()) unknown = key;
  }
  if (asked == "all") {
    for (const Property& property : properties()) wanted.push_back(&property);
  }
  auto open = open_container(*name, true);
  if (!open) return std::unexpected(open.error());
  const std::string doing = "failed to fetch properties for container " + name->shown;
  if (!unknown.empty()) {
    std::vector<std::string> keys;
    for (const Property& property : properties()) keys.emplace_back(property.key);
    return refuse(doing + ": properties: unknown property \"" + unknown +
                  "\" (valid: " + join(keys, ",") + ")");
  }
  daos_prop_t* list = daos_prop_alloc(static_cast<uint32_t>(wanted.size()));
  if (list == nullptr) return failure(doing, -DER_NOMEM);
  for (size_t i = 0; i < wanted.size(); ++i) list->dpp_entries[i].dpe_type = wanted[i]->type;
  const int rc = daos_cont_query(open->cont->handle(), nullptr, list, nullptr);
  std::vector<std::vector<std::string>> rows;
  Json response = Json::array();
  for (size_t i = 0; rc == 0 && i < wanted.size(); ++i) {
    const Shown shown = show(*wanted[i], list->dpp_entries[i]);
    rows.push_back({std::string(wanted[i]->description) + " (" + wanted[i]->key + ")", shown.text});
    response.push_back({{"value", shown.json},
                        {"name", wanted[i]->key},
                        {"description", wanted[i]->description}});
  }
  daos_prop_free(list);
  if (rc != 0) return failure(doing, rc);
  return Reply{"Properties for container " + name->shown + "\n" + table({"Name", "Value"}, rows),
               response};
}

Outcome set_properties(const ContainerArguments& arguments) {
  auto name = container_name(arguments);
  if (!name) return std::unexpected(name.error());
  if (name->rest.empty()) return refuse("property name and value are required");
  std::string problem;
  const auto pairs = parse_pairs(name->rest[0], &problem);
  if (!pairs) return refuse("invalid property " + problem);
  PropertyList list;
  for (const auto& [key, value] : *pairs) {
    if (key == "worm" || key == "worm:sealed") {
      return refuse("worm:sealed is set by `daos container seal' and `daos container unseal'");
    }
    const Property* const property = find_property(key);
    if (property == nullptr || !property->later) {
      return refuse("\"" + key + "\" is not a settable property (valid: " + kLater + ")");
    }
    if (key == "label") {
      if (!daos_label_is_valid(value.c_str())) return refuse("invalid label \"" + value + "\"");
      list.add_text(DAOS_PROP_CO_LABEL, value);
      continue;
    }
    const auto number = number_of(*property, value);
    if (!number) return refuse("properties: " + number.error());
    list.add(property->type, *number);
  }
  auto open = open_container(*name, false);
  if (!open) return std::unexpected(open.error());
  const int rc = daos_cont_set_prop(open->cont->handle(), list.get(), nullptr);
  if (rc != 0) {
    return failure("failed to set properties on container " + name->shown +
                       ": failed to set container properties", rc);
  }
  return Reply{"Properties were successfully set\n", nullptr};
}

}  // namespace

void PropertyList::add(uint32_t type, uint64_t value) {
  daos_prop_entry entry{};
  entry.dpe_type = type;
  entry.dpe_val = value;
  entries_.push_back(entry);
}

void PropertyList::add_text(uint32_t type, const std::string& value) {
  texts_.push_back(value);
  daos_prop_entry entry{};
  entry.dpe_type = type;
  entry.dpe_str = texts_.back().data();
  entries_.push_back(entry);
}

daos_prop_t* PropertyList::get() {
  if (entries_.empty()) return nullptr;
  list_ = {.dpp_nr = static_cast<uint32_t>(entries_.size()), .dpp_reserv = 0,
           .dpp_entries = entries_.data()};
  return &list_;
}

namespace {
constexpr std::array kLayouts{"unknown", "POSIX",    "HDF5", "PYTHON", "SPARK",
                              "DATABASE", "ROOT", "SEISMIC", "METEO"};
}  // namespace

std::optional<uint16_t> layout_of(const std::string& name) {
  for (uint16_t i = 1; i < kLayouts.size(); ++i) {
    if (strcasecmp(kLayouts[i], name.c_str()) == 0) return i;
  }
  return std::nullopt;
}

std::string layout_text(uint64_t layout) {
  return layout < kLayouts.size() ? kLayouts[layout] : "unknown";
}

std::expected<PropertyList, Failure> parse_properties(const std::string& text,
                                                      std::string* label) {
  PropertyList list;
  if (text.empty()) return list;
  std::string problem;
  const auto pairs = parse_pairs(text, &problem);
  if (!pairs) return refuse("invalid property " + problem);
  for (const auto& [key, value] : *pairs) {
    const Property* property = find_property(key);
    if (property == nullptr || !property->at_create) {
      return refuse("\"" + key + "\" is not a settable property (valid: " + kAtCreate + ")");
    }
    if (property->type == DAOS_PROP_CO_LABEL) {
      *label = value;
      continue;
    }
    const auto number = number_of(*property, value);
    if (!number) {
      return refuse("invalid argument for flag `--properties' (expected "
                    "main.CreatePropertiesFlag): properties: " + number.error());
    }
    // A new container is healthy anyway, and the interface takes no status here.
    if (property->kind != Kind::status) list.add(property->type, *number);
  }
  return list;
}

void add_property_commands(Tool& tool) {
  auto arguments = std::make_shared<ContainerArguments>();
  Command& get = tool.command("container", "get-prop", {"getprop"}, "Show properties");
  add_container_arguments(*get.app, *arguments);
  get.run = [arguments] { return get_properties(*arguments); };

  Command& set =
      tool.command("container", "set-prop", {"setprop"}, "Change label, status or worm_*");
  add_container_arguments(*set.app, *arguments);
  set.run = [arguments] { return set_properties(*arguments); };
}

}  // namespace cairn::tool
