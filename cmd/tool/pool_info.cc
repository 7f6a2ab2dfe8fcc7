#include "cmd/tool/pool_info.h"

#include <algorithm>

#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

constexpr const char* kTierNames[2][2] = {{"SCM", "NVME"}, {"Meta", "Data"}};
constexpr const char* kMediaNames[] = {"scm", "nvme"};
constexpr int kLayoutVersion = 4;

const char* tier_name(const PoolFacts& pool, int tier) {
  return kTierNames[pool.md_on_ssd ? 1 : 0][tier];
}

uint64_t memory_of(const PoolFacts& pool) {
  return pool.memory_bytes != 0 ? pool.memory_bytes : pool.tiers[0].total;
}

std::string name_of(const PoolFacts& pool) {
  return pool.label.empty() ? pool.uuid.substr(0, 8) : pool.label;
}

void by_label(std::vector<PoolFacts>& pools) {
  std::sort(pools.begin(), pools.end(),
            [](const PoolFacts& a, const PoolFacts& b) { return name_of(a) < name_of(b); });
}

std::string used_percent(const PoolFacts::Tier& tier) {
  if (tier.total == 0) return "0%";
  return std::to_string((tier.total - tier.free) * 100 / tier.total) + "%";
}

std::string disabled_text(const PoolFacts& pool) {
  return std::to_string(pool.disabled_count) + "/" + std::to_string(pool.target_count);
}

/// The members from `state` on, after query_mask.
Json facts_json(const PoolFacts& pool, const std::string& mask, bool with_label) {
  Json out{{"query_mask", mask}, {"state", "Ready"}, {"uuid", pool.uuid}};
  if (with_label && !pool.label.empty()) out["label"] = pool.label;
  const bool queried = !mask.empty();
  const bool space = mask.find("space") != std::string::npos;
  out["total_targets"] = queried ? pool.target_count : 0;
  out["active_targets"] = space ? pool.target_count - pool.disabled_count : 0;
  out["total_engines"] = queried ? pool.engine_count : 0;
  out["disabled_targets"] = queried ? pool.disabled_count : 0;
  out["version"] = queried ? pool.map_version : 0;
  out["svc_ldr"] = queried ? pool.leader : 0;
  out["svc_reps"] = Json::array({0});
  return out;
}

void add_rebuild(Json& out) {
  out["rebuild"] = {{"status", 0},  {"state", "idle"},    {"derived_state", "idle"}, {"objects", 0},
                    {"records", 0}, {"total_objects", 0}, {"degraded", false}};
}

void add_tiers(Json& out, const PoolFacts& pool) {
  Json tiers = Json::array();
  for (int i = 0; i < 2; ++i) {
    const auto& t = pool.tiers[i];
    const uint64_t each = t.free / std::max(1u, pool.target_count);
    tiers.push_back({{"total", t.total},
                     {"free", t.free},
                     {"min", each},
                     {"max", each},
                     {"mean", each},
                     {"media_type", kMediaNames[i]}});
  }
  out["tier_stats"] = tiers;
}

void add_versions(Json& out, const PoolFacts& pool, bool admin, const std::string& self_heal) {
  out["pool_layout_ver"] = admin ? kLayoutVersion : 0;
  out["upgrade_layout_ver"] = admin ? kLayoutVersion : 0;
  out["mem_file_bytes"] = memory_of(pool);
  out["md_on_ssd_active"] = pool.md_on_ssd;
  out["self_heal_policy"] = self_heal;
}

void add_usage(Json& out, const PoolFacts& pool) {
  Json usage = Json::array();
  for (int i = 0; i < 2; ++i) {
    usage.push_back({{"tier_name", tier_name(pool, i)},
                     {"size", pool.tiers[i].total},
                     {"free", pool.tiers[i].free},
                     {"imbalance", 0}});
  }
  out["usage"] = usage;
}

std::vector<std::string> list_row(const PoolFacts& pool, PoolListOptions options) {
  if (!options.verbose && options.no_query) return {name_of(pool), "Ready"};
  if (!options.verbose) {
    const PoolFacts::Tier& tier = pool.tiers[1].total != 0 ? pool.tiers[1] : pool.tiers[0];
    return {name_of(pool), si_bytes(tier.total), "Ready", used_percent(tier),
            "0%",          disabled_text(pool)};
  }
  std::vector<std::string> row{pool.label.empty() ? "-" : pool.label, pool.uuid, "Ready", "0"};
  if (options.no_query) return row;
  for (const PoolFacts::Tier& tier : pool.tiers) {
    row.insert(row.end(), {si_bytes(tier.total), si_bytes(tier.total - tier.free), "0%"});
  }
  row.insert(row.end(), {disabled_text(pool), "None", "idle"});
  return row;
}

}  // namespace

Json ranks_json(const PoolFacts& pool) {
  Json ranks = Json::array();
  for (const uint32_t rank : pool.ranks) ranks.push_back(rank);
  return ranks;
}

std::string ranks_text(const std::vector<uint32_t>& ranks) {
  std::string out;
  for (size_t i = 0; i < ranks.size();) {
    size_t end = i + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    out += (out.empty() ? "" : ",") + std::to_string(ranks[i]);
    if (end - i > 1) out += "-" + std::to_string(ranks[end - 1]);
    i = end;
  }
  return out.find_first_of(",-") == std::string::npos ? out : "[" + out + "]";
}

std::string ranks_text(const PoolFacts& pool) { return ranks_text(pool.ranks); }

std::string pool_list_text(std::vector<PoolFacts> pools, PoolListOptions options) {
  if (pools.empty()) return "No pools in system\n";
  by_label(pools);
  std::vector<std::string> header{"Pool", "Size", "State", "Used", "Imbalance", "Disabled"};
  if (options.no_query) header = {"Pool", "State"};
  if (options.verbose) {
    header = {"Label", "UUID", "State", "SvcReps"};
    if (!options.no_query) {
      for (int tier = 0; tier < 2; ++tier) {
        const std::string t = tier_name(pools.front(), tier);
        header.insert(header.end(), {t + " Size", t + " Used", t + " Imbalance"});
      }
      header.insert(header.end(), {"Disabled", "UpgradeNeeded?", "Rebuild State"});
    }
  }
  std::vector<std::vector<std::string>> rows;
  for (const PoolFacts& pool : pools) rows.push_back(list_row(pool, options));
  return table(header, rows) + "\n";
}

Json pool_list_json(std::vector<PoolFacts> pools, PoolListOptions options) {
  by_label(pools);
  Json list = Json::array();
  for (const PoolFacts& pool : pools) {
    if (options.no_query) {
      Json out = facts_json(pool, "", true);
      out["rebuild"] = nullptr;
      out["tier_stats"] = nullptr;
      out["pool_layout_ver"] = 0;
      out["upgrade_layout_ver"] = 0;
      out["mem_file_bytes"] = 0;
      out["md_on_ssd_active"] = false;
      out["self_heal_policy"] = "";
      list.push_back(out);
      continue;
    }
    Json out = facts_json(pool, "disabled_engines,rebuild,space", true);
    add_rebuild(out);
    add_tiers(out, pool);
    if (options.admin) out["disabled_ranks"] = Json::array();
    add_versions(out, pool, options.admin, "");
    add_usage(out, pool);
    list.push_back(out);
  }
  return {{"status", 0}, {"pools", list}};
}

std::string pool_query_text(const PoolFacts& pool, PoolQueryOptions options) {
  std::string out = "Pool " + pool.uuid + ", ntarget=" + std::to_string(pool.target_count) +
                    ", disabled=" + std::to_string(pool.disabled_count) +
                    ", leader=" + std::to_string(pool.leader) +
                    ", version=" + std::to_string(pool.map_version) + ", state=Ready\n" +
                    "Pool health info:\n";
  if (options.show_enabled) out += "- Enabled ranks: " + ranks_text(pool) + "\n";
  out += "- Rebuild idle, 0 objs, 0 recs\n- Data redundancy: normal\n";
  if (options.health_only) return out;
  out += "Pool space info:\n- Target count:" +
         std::to_string(pool.target_count - pool.disabled_count) + "\n";
  if (pool.md_on_ssd) {
    out += "- Total memory-file size: " + si_bytes(memory_of(pool)) + "\n";
  }
  static constexpr const char* kTitles[2][2] = {
      {"- Storage tier 0 (SCM)", "- Storage tier 1 (NVME)"},
      {"- Metadata storage", "- Data storage"}};
  for (int i = 0; i < 2; ++i) {
    const PoolFacts::Tier& tier = pool.tiers[i];
    const std::string each = si_bytes(tier.free / std::max(1u, pool.target_count));
    out += std::string(kTitles[pool.md_on_ssd ? 1 : 0][i]) +
           ":\n  Total size: " + si_bytes(tier.total) + "\n  Free: " + si_bytes(tier.free) +
           ", min:" + each + ", max:" + each + ", mean:" + each + "\n";
  }
  return out;
}

Json pool_query_json(const PoolFacts& pool, PoolQueryOptions options) {
  std::vector<std::string> mask{"disabled_engines", "rebuild"};
  if (options.admin) mask.push_back("self_heal_policy");
  if (options.health_only) mask.push_back("dead_engines");
  if (!options.health_only) mask.push_back("space");
  if (options.show_enabled) mask.push_back("enabled_engines");
  std::sort(mask.begin(), mask.end());
  std::string text;
  for (const std::string& m : mask) text += (text.empty() ? "" : ",") + m;
  Json out = facts_json(pool, text, !options.admin);
  const bool space = options.admin || !options.health_only;
  add_rebuild(out);
  out["tier_stats"] = nullptr;
  if (space) add_tiers(out, pool);
  if (options.show_enabled) out["enabled_ranks"] = ranks_json(pool);
  out["disabled_ranks"] = Json::array();
  if (options.health_only && options.admin) out["dead_ranks"] = Json::array();
  add_versions(out, pool, options.admin, options.admin ? "exclude;rebuild" : "");
  if (space) add_usage(out, pool);
  return out;
}

}  // namespace cairn::tool
