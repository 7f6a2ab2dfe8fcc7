// daos pool list|query|list-containers; attributes are in attributes.cc.
#include <gurt/common.h>
#include <uuid/uuid.h>

#include <cstdlib>
#include <memory>

#include "cmd/daos/container.h"
#include "cmd/daos/daos.h"
#include "cmd/tool/pool_info.h"

namespace cairn::tool {

namespace {

std::string uuid_text(const uuid_t& uuid) {
  char text[DAOS_UUID_STR_SIZE];
  uuid_unparse_lower(uuid, text);
  return text;
}

/// @returns 0 or a negative DER code
int query_pool(const Pool& pool, PoolFacts& facts) {
  daos_pool_info_t info{};
  info.pi_bits = DPI_SPACE | DPI_REBUILD_STATUS;
  daos_prop_t* label = daos_prop_alloc(1);
  if (label == nullptr) return -DER_NOMEM;
  label->dpp_entries[0].dpe_type = DAOS_PROP_PO_LABEL;
  const int rc = daos_pool_query(pool.handle(), nullptr, &info, label, nullptr);
  if (rc == 0) {
    facts.uuid = uuid_text(info.pi_uuid);
    if (label->dpp_entries[0].dpe_str != nullptr) facts.label = label->dpp_entries[0].dpe_str;
    facts.target_count = info.pi_ntargets;
    facts.engine_count = info.pi_nnodes;
    facts.disabled_count = info.pi_ndisabled;
    facts.map_version = info.pi_map_ver;
    facts.leader = info.pi_leader;
    for (int i = 0; i < 2; ++i) {
      facts.tiers[i] = {info.pi_space.ps_space.s_total[i], info.pi_space.ps_space.s_free[i]};
    }
  }
  daos_prop_free(label);
  return rc;
}

Outcome list(PoolListOptions options) {
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  std::vector<daos_mgmt_pool_info_t> found(16);
  int rc = 0;
  for (;;) {
    daos_size_t count = found.size();
    rc = daos_mgmt_list_pools(nullptr, &count, found.data(), nullptr);
    if (rc != -DER_TRUNC) {
      found.resize(rc == 0 ? count : 0);
      break;
    }
    found.assign(std::max<size_t>(count, found.size() * 2), {});
  }
  if (rc != 0) return failure("failed to list pools", rc);
  std::vector<PoolFacts> pools;
  for (daos_mgmt_pool_info_t& info : found) {
    PoolFacts facts;
    facts.uuid = uuid_text(info.mgpi_uuid);
    if (info.mgpi_label != nullptr) facts.label = info.mgpi_label;
    std::free(info.mgpi_label);
    d_rank_list_free(info.mgpi_svc);
    std::optional<Pool> pool;
    rc = options.no_query ? 0 : Pool::connect(facts.uuid, DAOS_PC_RO, pool);
    if (rc == 0 && pool) rc = query_pool(*pool, facts);
    if (rc != 0) {
      std::fprintf(stderr, "ERROR: daos: failed to query pool %s: %s\n", facts.uuid.c_str(),
                   status_text(rc).c_str());
      continue;
    }
    pools.push_back(facts);
  }
  Json response = pool_list_json(pools, options);
  response.erase("status");
  return Reply{pool_list_text(pools, options), response};
}

Outcome query(const std::string& name, PoolQueryOptions options) {
  if (name.empty()) {
    return refuse(
        "failed to connect to pool <no label or uuid set>: no pool UUID or label supplied");
  }
  auto session = Session::start();
  if (!session) return std::unexpected(session.error());
  std::optional<Pool> pool;
  int rc = Pool::connect(name, DAOS_PC_RO, pool);
  if (rc != 0) {
    return failure("failed to connect to pool " + name + ": failed to connect to pool", rc);
  }
  PoolFacts facts;
  rc = query_pool(*pool, facts);
  if (rc != 0) return failure("failed to query pool " + name, rc);
  return Reply{pool_query_text(facts, options), pool_query_json(facts, options)};
}

}  // namespace

void add_pool_commands(Tool& tool) {
  tool.resource("pool", {}, "Pools");
  Command& list_command = tool.command("pool", "list", {"ls"}, "List pools");
  auto list_options = std::make_shared<PoolListOptions>();
  list_command.app->add_flag("-v,--verbose", list_options->verbose, "With UUIDs and tiers");
  list_command.app->add_flag("-n,--no-query", list_options->no_query, "Without asking each pool");
  list_command.run = [list_options] { return list(*list_options); };

  auto name = std::make_shared<std::string>();
  Command& query_command = tool.command("pool", "query", {}, "Show one pool");
  auto options = std::make_shared<PoolQueryOptions>();
  query_command.app->add_option("pool", *name, "The pool");
  query_command.app->add_flag("-t,--health-only", options->health_only, "Without space");
  query_command.app->add_flag("-e,--show-enabled", options->show_enabled, "With enabled ranks");
  query_command.run = [name, options] { return query(*name, *options); };

  Command& containers =
      tool.command("pool", "list-containers", {"list-cont"}, "List containers of a pool");
  auto verbose = std::make_shared<bool>(false);
  containers.app->add_option("pool", *name, "The pool");
  containers.app->add_flag("-v,--verbose", *verbose, "With layouts");
  containers.run = [name, verbose]() -> Outcome {
    if (name->empty()) return refuse("no pool label or UUID supplied");
    return list_containers(*name, *verbose);
  };
  add_attribute_commands(tool, true);
}

}  // namespace cairn::tool
