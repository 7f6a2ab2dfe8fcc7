// dmg pool create|list|query|destroy.
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "cmd/dmg/dmg.h"
#include "cmd/tool/format.h"
#include "model/label.h"

namespace cairn::tool {

namespace {

constexpr const char* kFamilies =
    "unsupported option combination, use (--scm-size and --nvme-size) or (--meta-size and "
    "--data-size) or (--size)";

/// "unable to find pool service with label "x"", as scripts know it.
std::string not_found(const std::string& pool) {
  auto name = model::parse_name(pool);
  return name && name->uuid ? "unable to find pool service with uuid " + to_string(*name->uuid)
                            : "unable to find pool service with label \"" + pool + "\"";
}

struct CreateArguments {
  std::string label, size, scm, nvme, meta, data, ratio, properties, ranks, user, group, acl;
  std::string mem_ratio, mem_size;
  uint32_t rank_count = 0;
  uint32_t replicas = 0;
};

/// What --size and its siblings ask for.
struct Sizes {
  uint64_t total = 0;
  bool automatic = true;
  uint64_t first = 0, second = 0;  // manual: tier 0 and 1
};

std::unexpected<Failure> bad_size(const char* flag, const std::string& text) {
  return refuse("invalid argument for flag `" + std::string(flag) +
                "' (expected main.poolSizeFlag): invalid size \"" + text + "\"");
}

std::expected<Sizes, Failure> sizes_of(const CreateArguments& a) {
  const bool automatic = !a.size.empty();
  const bool pmem = !a.scm.empty() || !a.nvme.empty();
  const bool ssd = !a.meta.empty() || !a.data.empty();
  if (static_cast<int>(automatic) + pmem + ssd != 1) return refuse(kFamilies);
  if (automatic && a.size.ends_with("%")) {
    if (a.rank_count != 0) return refuse("--size=% may not be mixed with --nranks");
    return refuse(
        "--size=% needs a device of fixed size, and a home is a directory; give a number of bytes");
  }
  Sizes sizes;
  sizes.automatic = automatic;
  if (automatic) {
    const auto bytes = parse_size(a.size);
    if (!bytes || *bytes == 0) return bad_size("-z, --size", a.size);
    sizes.total = *bytes;
    return sizes;
  }
  if (pmem && a.scm.empty()) return refuse("--nvme-size cannot be set without --scm-size");
  if (ssd && (a.meta.empty() || a.data.empty())) return refuse(kFamilies);
  const auto first = parse_size(pmem ? a.scm : a.meta);
  const std::string& second_text = pmem ? a.nvme : a.data;
  const auto second = second_text.empty() ? std::optional<uint64_t>(0) : parse_size(second_text);
  if (!first || *first == 0)
    return bad_size(pmem ? "-s, --scm-size" : "--meta-size", pmem ? a.scm : a.meta);
  if (!second) return bad_size(pmem ? "-n, --nvme-size" : "--data-size", second_text);
  sizes.first = *first;
  sizes.second = *second;
  sizes.total = *first + *second;
  return sizes;
}

/// How much memory a shard may use, as the caller chose it: one of the two, or neither.
struct Memory {
  uint64_t bytes = 0;
  uint32_t ratio = 0;  // hundredths of a percent of the metadata
};

std::expected<Memory, Failure> memory_of(const CreateArguments& a) {
  Memory memory;
  if (!a.mem_ratio.empty() && !a.mem_size.empty()) {
    return refuse("--mem-ratio may not be mixed with --mem-size");
  }
  if (!a.mem_size.empty()) {
    const auto bytes = parse_size(a.mem_size);
    if (!bytes || *bytes == 0) return bad_size("--mem-size", a.mem_size);
    memory.bytes = *bytes;
  }
  if (!a.mem_ratio.empty()) {
    std::string text = a.mem_ratio;
    if (text.ends_with("%")) text.pop_back();
    char* end = nullptr;
    const double percent = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !(percent >= 0.01) || percent > 100) {
      return refuse("invalid argument for flag `--mem-ratio' (expected a percentage above 0 and up "
                    "to 100): \"" + a.mem_ratio + "\"");
    }
    memory.ratio = static_cast<uint32_t>(std::lround(percent * 100));
  }
  return memory;
}

std::string ratio_text(const Sizes& sizes) {
  double first = 6.0;
  if (!sizes.automatic && sizes.total != 0) {
    first = 100.0 * static_cast<double>(sizes.first) / static_cast<double>(sizes.total);
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.2f%%,%.2f%%", first, 100.0 - first);
  return text;
}

std::string intro(const Sizes& sizes) {
  if (sizes.automatic) {
    return "Creating DAOS pool with automatic storage allocation: " + si_bytes(sizes.total) +
           " total, 6.00% storage tier ratio\n";
  }
  const std::string ratio = ratio_text(sizes);
  return "Creating DAOS pool with manual per-engine storage allocation: " + si_bytes(sizes.first) +
         " SCM, " + si_bytes(sizes.second) + " NVMe (" + ratio.substr(0, ratio.find(',')) +
         " storage tier ratio)\n";
}

void print_intro(const Sizes& sizes) {
  std::fputs(intro(sizes).c_str(), stdout);
  std::fflush(stdout);
}

std::unexpected<Failure> create_failure(const Error& error, const CreateArguments& a,
                                        uint64_t least) {
  constexpr const char* kDoing = "pool create failed";
  switch (error.code()) {
    case Errc::exists:
      return failure(
          kDoing,
          Fault{"server", 609, "pool label \\\"" + a.label + "\\\" already exists in the system",
                "retry the request with a unique pool label"});
    case Errc::invalid:
      return failure(
          kDoing,
          Fault{"server", 604,
                "requested SCM capacity is too small (min " + iec_bytes(least) + " per target)",
                "retry the request with a pool size of at least " + iec_bytes(least) +
                    ", with at least " + iec_bytes(least) + " SCM"});
    case Errc::no_memory:
      return failure(kDoing,
                     Fault{"server", 604, "requested memory is too small (min 4 MiB per target)",
                           "retry the request with a larger --mem-ratio or --mem-size"});
    default:
      return failure(kDoing, error);
  }
}

std::expected<client::Props, Failure> properties_of(const CreateArguments& a, const Sizes& sizes,
                                                    bool json);

Outcome create(const Tool& tool, const CreateArguments& a) {
  if (!model::check_label(a.label)) return refuse("invalid label \"" + a.label + "\"");
  auto sizes = sizes_of(a);
  if (!sizes) return std::unexpected(sizes.error());
  auto memory = memory_of(a);
  if (!memory) return std::unexpected(memory.error());
  auto props = properties_of(a, *sizes, tool.json());
  if (!props) return std::unexpected(props.error());
  if (!a.ranks.empty() && a.ranks != "0") {
    if (!tool.json()) print_intro(*sizes);
    return failure("pool create failed",
                   Fault{"server", 606, "pool request contains invalid rank: " + a.ranks,
                         "retry the request with a valid set of ranks"});
  }
  if (!sizes->automatic) {
    std::fputs(
        "NOTICE: dmg: the two tiers of a home are files of one directory; their sizes are added "
        "up\n",
        stderr);
  }
  if (!tool.json()) print_intro(*sizes);
  return with_home(true, "pool create failed", [&](client::System& system) -> Outcome {
    auto uuid = system.context().run(
        system.pool_create({.label = a.label,
                            .bytes = sizes->total,
                            .memory_bytes = memory->bytes,
                            .memory_ratio = memory->ratio,
                            .props = *props}));
    if (!uuid) return create_failure(uuid.error(), a, 16u << 20);
    auto pools = system.context().run(system.pool_list());
    if (!pools) return failure("pool create failed", pools.error());
    PoolFacts facts;
    for (const client::PoolInfo& pool : *pools) {
      if (pool.uuid == *uuid) facts = facts_of(pool);
    }
    const auto tier = [&](int i) {
      const uint64_t each = facts.tiers[i].total / std::max(1u, facts.engine_count);
      return si_bytes(facts.tiers[i].total) + " (" + si_bytes(each) + " / rank)";
    };
    std::vector<std::pair<std::string, std::string>> rows{
        {"UUID                 ", facts.uuid},
        {"Service Leader       ", "0"},
        {"Service Ranks        ", "0"},
        {"Storage Ranks        ", ranks_text(facts)},
        {"Total Size           ", si_bytes(facts.tiers[0].total + facts.tiers[1].total)},
        {"Storage tier 0 (SCM) ", tier(0)},
        {"Storage tier 1 (NVMe)", tier(1)}};
    if (facts.memory_bytes != 0) {
      const std::string each = si_bytes(facts.memory_bytes);
      rows.emplace_back("Memory File Size     ", each + " (" + each + " / rank)");
    }
    const std::string text =
        attributes("Pool created with " + ratio_text(*sizes) + " storage tier ratio", rows);
    return Reply{text + "\n",
                 {{"uuid", facts.uuid},
                  {"svc_ldr", 0},
                  {"svc_reps", Json::array({0})},
                  {"tgt_ranks", ranks_json(facts)},
                  {"tier_bytes", Json::array({facts.tiers[0].total, facts.tiers[1].total})},
                  {"mem_file_bytes",
                   facts.memory_bytes != 0 ? facts.memory_bytes : facts.tiers[0].total},
                  {"md_on_ssd_active", false}}};
  });
}

constexpr const char* kSettable =
    "checkpoint,checkpoint_freq,checkpoint_thresh,data_thresh,ec_cell_sz,ec_pda,global_version,"
    "label,"
    "perf_domain,rd_fac,reclaim,reintegration,rp_pda,scrub,scrub_freq,scrub_thresh,self_heal,space_"
    "rb,"
    "svc_list,svc_ops_enabled,svc_ops_entry_age,svc_rf,upgrade_status";

/// Refuses what the system would refuse; that comes after the intro.
std::expected<client::Props, Failure> properties_of(const CreateArguments& a, const Sizes& sizes,
                                                    bool json) {
  client::Props props;
  if (a.properties.empty()) return props;
  std::string problem;
  const auto pairs = parse_pairs(a.properties, &problem);
  if (!pairs) return refuse("invalid property " + problem);
  for (const auto& [key, value] : *pairs) {
    if (("," + std::string(kSettable) + ",").find("," + key + ",") == std::string::npos) {
      return refuse("\"" + key + "\" is not a settable property (valid: " + kSettable + ")");
    }
    if (key == "rd_fac" || key == "rf") {
      if (value == "0") continue;
      if (!json) print_intro(sizes);
      return failure(
          "pool create failed",
          Fault{"server", 621,
                "pool redundancy factor " + value + " requires at least " +
                    std::to_string(std::atoi(value.c_str()) + 1) +
                    " fault domains but only 1 are available",
                "retry the request with a lower redundancy factor or add more fault domains"});
    }
    return refuse("pool property \"" + key +
                  "\" cannot be set yet: this version runs with its default");
  }
  return props;
}

Outcome list(PoolListOptions options) {
  return with_home(false, "list pools failed", [&](client::System& system) -> Outcome {
    auto pools = system.context().run(system.pool_list());
    if (!pools) return failure("list pools failed", pools.error());
    std::vector<PoolFacts> facts;
    for (const client::PoolInfo& pool : *pools) facts.push_back(facts_of(pool));
    return Reply{pool_list_text(facts, options), pool_list_json(facts, options)};
  });
}

Outcome query(const std::string& pool, PoolQueryOptions options, bool json) {
  return with_home(false, "pool query failed", [&](client::System& system) -> Outcome {
    auto connected = system.context().run(system.pool_connect(pool, client::Access::read_only));
    if (!connected && (connected.error().code() == Errc::nonexistent ||
                       connected.error().code() == Errc::invalid)) {
      return refuse((json ? "" : "pool query failed: ") + not_found(pool));
    }
    if (!connected) return failure("pool query failed", connected.error());
    auto info = system.context().run((*connected)->query());
    (void)system.context().run((*connected)->disconnect());
    if (!info) return failure("pool query failed", info.error());
    return Reply{pool_query_text(facts_of(*info), options),
                 pool_query_json(facts_of(*info), options)};
  });
}

Outcome destroy(const Tool& tool, const std::string& pool, bool recursive, bool force) {
  Outcome outcome = with_home(false, "pool destroy failed", [&](client::System& system) -> Outcome {
    const auto gone = system.context().run(system.pool_destroy(pool, recursive || force));
    if (!gone &&
        (gone.error().code() == Errc::nonexistent || gone.error().code() == Errc::invalid)) {
      return refuse("pool destroy failed: " + not_found(pool));
    }
    if (!gone) return failure("pool destroy failed", gone.error());
    return Reply{"Pool-destroy command succeeded\n", nullptr};
  });
  if (!outcome && !tool.json()) {
    std::printf("Pool-destroy command failed: %s\n", outcome.error().message.c_str());
  }
  return outcome;
}

void add_create(Tool& tool) {
  Command& command = tool.command("pool", "create", {}, "Create a pool");
  auto a = std::make_shared<CreateArguments>();
  CLI::App& app = *command.app;
  app.add_option("pool_label", a->label, "Unique label: 1 to 127 of A-Z a-z 0-9 . _ : -")
      ->required();
  app.add_option("-z,--size", a->size, "Total bytes, metadata included (for example 2G, 500GiB)");
  app.add_option("-s,--scm-size", a->scm, "Bytes of tier 0 (metadata)");
  app.add_option("-n,--nvme-size", a->nvme, "Bytes of tier 1 (data)");
  app.add_option("--meta-size", a->meta, "Bytes for metadata");
  app.add_option("--data-size", a->data, "Bytes for data");
  app.add_option("-t,--tier-ratio", a->ratio, "Accepted; a home chooses the ratio");
  app.add_option("--mem-ratio", a->mem_ratio,
                 "Memory for metadata, in percent of its bytes on the medium");
  app.add_option("--mem-size", a->mem_size, "The same in bytes; without both, the home chooses");
  app.add_option("-k,--nranks", a->rank_count, "Number of ranks; a pool has all of its home");
  app.add_option("-r,--ranks", a->ranks, "Ranks; a pool has all of its home");
  app.add_option("-v,--nsvc", a->replicas, "Accepted; a home has one service");
  app.add_option("-u,--user", a->user, "Owner; recorded by the home's file modes");
  app.add_option("-g,--group", a->group, "Owning group");
  app.add_option("-P,--properties", a->properties, "Properties, key:val[,key:val...]");
  command.run = [a, &tool] { return create(tool, *a); };
}

}  // namespace

void add_list_command(Command& command) {
  auto options = std::make_shared<PoolListOptions>();
  options->admin = true;
  command.app->add_flag("-v,--verbose", options->verbose, "With UUIDs and tiers");
  command.app->add_flag("-n,--no-query", options->no_query, "Without asking each pool");
  command.run = [options] { return list(*options); };
}

void add_pool_commands(Tool& tool) {
  tool.resource("pool", {}, "Pools");
  add_create(tool);

  add_list_command(tool.command("pool", "list", {"ls"}, "List pools"));

  Command& query_command = tool.command("pool", "query", {}, "Show one pool");
  auto pool = std::make_shared<std::string>();
  auto query_options = std::make_shared<PoolQueryOptions>();
  query_options->admin = true;
  query_command.app->add_option("pool_label_or_UUID", *pool, "The pool")->required();
  query_command.app->add_flag("-t,--health-only", query_options->health_only, "Without space");
  query_command.app->add_flag("-e,--show-enabled", query_options->show_enabled,
                              "With enabled ranks");
  query_command.run = [pool, query_options, &tool] {
    return query(*pool, *query_options, tool.json());
  };

  Command& destroy_command =
      tool.command("pool", "destroy", {}, "Destroy a pool and everything in it");
  auto recursive = std::make_shared<std::pair<bool, bool>>();
  destroy_command.app->add_option("pool_label_or_UUID", *pool, "The pool")->required();
  destroy_command.app->add_flag("-r,--recursive", recursive->first, "Destroy its containers too");
  destroy_command.app->add_flag("-f,--force", recursive->second, "Evict open handles");
  destroy_command.run = [pool, recursive, &tool] {
    return destroy(tool, *pool, recursive->first, recursive->second);
  };
}

}  // namespace cairn::tool
