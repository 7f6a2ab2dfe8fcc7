// How `dmg pool list|query` and `daos pool list|query` show a pool, as text and as PoolInfo JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cmd/tool/tool.h"

namespace cairn::tool {

/// What is known of a pool. Tier 0 ("SCM") holds metadata, tier 1 ("NVME") data; bytes.
struct PoolFacts {
  std::string uuid, label;
  uint32_t target_count = 1, engine_count = 1, disabled_count = 0, map_version = 1, leader = 0;
  struct Tier {
    uint64_t total = 0, free = 0;
  };
  Tier tiers[2];
  /// Memory budget of a shard, if one was chosen.
  uint64_t memory_bytes = 0;
  std::vector<uint32_t> ranks{0};  // of its engines
  /// Metadata is on devices: tiers are called "Meta" and "Data", as scripts for such systems
  /// expect.
  bool md_on_ssd = false;
};

/// "[0-2,4]"; one rank without brackets.
std::string ranks_text(const std::vector<uint32_t>& ranks);
/// The ranks that it lies on.
Json ranks_json(const PoolFacts& pool);
std::string ranks_text(const PoolFacts& pool);

struct PoolListOptions {
  bool admin = false;  // dmg tells layout versions and disabled ranks, daos does not
  bool verbose = false;
  bool no_query = false;
};
/// "No pools in system" or the table; rows by label.
std::string pool_list_text(std::vector<PoolFacts> pools, PoolListOptions options);
Json pool_list_json(std::vector<PoolFacts> pools, PoolListOptions options);

struct PoolQueryOptions {
  bool health_only = false;
  bool show_enabled = false;
  bool admin = false;  // dmg tells the policy and layout versions, daos the label
};
std::string pool_query_text(const PoolFacts& pool, PoolQueryOptions options);
Json pool_query_json(const PoolFacts& pool, PoolQueryOptions options);

}  // namespace cairn::tool
