// dmg pool create|list|query|destroy.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "cmd/dmg/dmg.h"
#include "cmd/dmg/pool_props.h"
#include "cmd/dmg/rank_set.h"
#include "cmd/tool/format.h"
#include "daos_prop.h"
#include "model/label.h"

namespace cairn::tool {

namespace {

constexpr const char* kFamilies =
    "unsupported option combination, use (--scm-size and --nvme-size) or (--meta-size and "
    "--data-size) or (--size)";

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
  if (a.rank_count != 0 && !a.ranks.empty()) {
    return refuse("--nranks may not be mixed with --ranks");
  }
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

/// What the system would refuse comes after the intro, as its answer would.
std::expected<client::Props, Failure> properties_of(const CreateArguments& a, const Sizes& sizes,
                                                    bool json) {
  if (a.properties.empty()) return client::Props{};
  auto props = parse_pool_props(a.properties);
  if (!props) return std::unexpected(props.error());
  const auto factor = props->find(DAOS_PROP_PO_REDUN_FAC);
  if (factor == props->end()) return props;
  const uint64_t wanted = std::get<uint64_t>(factor->second);
  if (wanted == 0) return props;
  if (!json) print_intro(sizes);
  return failure("pool create failed",
                 Fault{"server", 621,
                       "pool redundancy factor " + std::to_string(wanted) + " requires at least " +
                           std::to_string(wanted + 1) +
                           " fault domains but only 1 are available",
                       "retry the request with a lower redundancy factor or add more fault "
                       "domains"});
}

/// The ranks that were asked for; none: all of them.
std::expected<std::vector<uint32_t>, Failure> ranks_of(
    const CreateArguments& a, const std::vector<client::EngineInfo>& engines) {
  std::vector<uint32_t> out;
  for (const client::EngineInfo& engine : engines) {
    if (a.rank_count != 0 && out.size() < a.rank_count) out.push_back(engine.rank);
  }
  if (a.rank_count != 0 && out.size() != a.rank_count) {
    return refuse("pool create failed: --nranks " + std::to_string(a.rank_count) +
                  ": the system has " + std::to_string(engines.size()) + " ranks");
  }
  if (a.ranks.empty()) return out;
  const auto named = parse_ranks(a.ranks);
  if (!named) return refuse_ranks(a.ranks);
  for (const uint32_t rank : *named) {
    const bool known = std::ranges::any_of(
        engines, [rank](const client::EngineInfo& engine) { return engine.rank == rank; });
    if (!known) {
      return failure("pool create failed",
                     Fault{"server", 606, "pool request contains invalid rank: " + a.ranks,
                           "retry the request with a valid set of ranks"});
    }
    out.push_back(rank);
  }
  return out;
}

Outcome created(client::System& system, const CreateArguments& a, const Sizes& sizes,
                const Uuid& uuid);

Outcome create(const Tool& tool, const CreateArguments& a) {
  if (!model::check_label(a.label)) return refuse("invalid label \"" + a.label + "\"");
  auto sizes = sizes_of(a);
  if (!sizes) return std::unexpected(sizes.error());
  auto memory = memory_of(a);
  if (!memory) return std::unexpected(memory.error());
  auto props = properties_of(a, *sizes, tool.json());
  if (!props) return std::unexpected(props.error());
  if (!sizes->automatic && sizes->second == 0) {
    std::fputs("NOTICE: Creating DAOS pool with only a single tier of storage\n", stderr);
  }
  if (!tool.json()) print_intro(*sizes);
  return with_home(true, "pool create failed", [&](client::System& system) -> Outcome {
    const auto engines = system.context().run(system.engines());
    if (!engines) return failure("pool create failed", engines.error());
    auto ranks = ranks_of(a, *engines);
    if (!ranks) return std::unexpected(ranks.error());
    // Sizes of tiers are of each engine.
    const uint64_t factor =
        sizes->automatic ? 1 : ranks->empty() ? engines->size() : ranks->size();
    auto uuid = system.context().run(system.pool_create(
        {.label = a.label,
         .bytes = sizes->total * factor,
         .meta_bytes = sizes->automatic || sizes->second == 0 ? 0 : sizes->first * factor,
         .memory_bytes = memory->bytes,
         .memory_ratio = memory->ratio,
         .props = *props,
         .ranks = *ranks}));
    if (!uuid) return create_failure(uuid.error(), a, 16u << 20);
    return created(system, a, *sizes, *uuid);
  });
}

Outcome created(client::System& system, const CreateArguments& a, const Sizes& sizes,
                const Uuid& uuid) {
  auto found = facts_of_all(system);
  if (!found) return failure("pool create failed", found.error());
  PoolFacts facts;
  for (const PoolFacts& pool : *found) {
    if (pool.uuid == to_string(uuid)) facts = pool;
  }
  // Who gave sizes of metadata and data thinks in those words.
  facts.md_on_ssd |= !a.meta.empty();
  const uint64_t engine_count = std::max(1u, facts.engine_count);
  const auto tier = [&](int i) {
    return si_bytes(facts.tiers[i].total) + " (" +
           si_bytes(facts.tiers[i].total / engine_count) + " / rank)";
  };
  std::vector<std::pair<std::string, std::string>> rows{
      {"UUID                 ", facts.uuid},
      {"Service Leader       ", "0"},
      {"Service Ranks        ", "0"},
      {"Storage Ranks        ", ranks_text(facts)},
      {"Total Size           ", si_bytes(facts.tiers[0].total + facts.tiers[1].total)},
      {facts.md_on_ssd ? "Metadata Storage     " : "Storage tier 0 (SCM) ", tier(0)},
      {facts.md_on_ssd ? "Data Storage         " : "Storage tier 1 (NVMe)", tier(1)}};
  if (facts.memory_bytes != 0 || facts.md_on_ssd) {
    const std::string each =
        si_bytes(facts.memory_bytes != 0 ? facts.memory_bytes : facts.tiers[0].total);
    rows.emplace_back("Memory File Size     ", each + " (" + each + " / rank)");
  }
  const std::string text =
      attributes("Pool created with " + ratio_text(sizes) + " storage tier ratio", rows);
  return Reply{text + "\n",
               {{"uuid", facts.uuid},
                {"svc_ldr", 0},
                {"svc_reps", Json::array({0})},
                {"tgt_ranks", ranks_json(facts)},
                {"tier_bytes", Json::array({facts.tiers[0].total / engine_count,
                                            facts.tiers[1].total / engine_count})},
                {"mem_file_bytes",
                 facts.memory_bytes != 0 ? facts.memory_bytes : facts.tiers[0].total},
                {"md_on_ssd_active", facts.md_on_ssd}}};
}

Outcome list(PoolListOptions options) {
  return with_home(false, "list pools failed", [&](client::System& system) -> Outcome {
    auto facts = facts_of_all(system);
    if (!facts) return failure("list pools failed", facts.error());
    return Reply{pool_list_text(*facts, options), pool_list_json(*facts, options)};
  });
}

Outcome query(const std::string& pool, PoolQueryOptions options, bool json) {
  return with_home(false, "pool query failed", [&](client::System& system) -> Outcome {
    auto connected = system.context().run(system.pool_connect(pool, client::Access::read_only));
    if (!connected && (connected.error().code() == Errc::nonexistent ||
                       connected.error().code() == Errc::invalid)) {
      return refuse((json ? "" : "pool query failed: ") + pool_not_found(pool));
    }
    if (!connected) return failure("pool query failed", connected.error());
    auto info = system.context().run((*connected)->query());
    (void)system.context().run((*connected)->disconnect());
    if (!info) return failure("pool query failed", info.error());
    PoolFacts facts = facts_of(*info);
    facts.md_on_ssd = has_md_on_ssd(system);
    return Reply{pool_query_text(facts, options), pool_query_json(facts, options)};
  });
}

Outcome extend(const Tool& tool, const std::string& pool, const std::string& text) {
  const auto ranks = parse_ranks(text);
  if (!ranks || ranks->empty()) return refuse_ranks(text);
  Outcome outcome = with_home(false, "pool extend failed", [&](client::System& system) -> Outcome {
    const auto found = find_pool(system, "pool extend failed", pool);
    if (!found) return std::unexpected(found.error());
    const auto done =
        system.context().run(system.pool_extend(pool, {ranks->begin(), ranks->end()}));
    if (!done) return failure("pool extend failed", done.error());
    return Reply{"Extend command succeeded\n", nullptr};
  });
  if (!outcome && !tool.json()) {
    std::printf("Extend command failed: %s\n", outcome.error().message.c_str());
  }
  return outcome;
}

Outcome destroy(const Tool& tool, const std::string& pool, bool recursive, bool force) {
  Outcome outcome = with_home(false, "pool destroy failed", [&](client::System& system) -> Outcome {
    const auto gone = system.context().run(system.pool_destroy(pool, recursive || force));
    if (!gone &&
        (gone.error().code() == Errc::nonexistent || gone.error().code() == Errc::invalid)) {
      return refuse("pool destroy failed: " + pool_not_found(pool));
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
  app.add_option("-s,--scm-size", a->scm, "Bytes of tier 0 (metadata) of each engine");
  app.add_option("-n,--nvme-size", a->nvme, "Bytes of tier 1 (data) of each engine");
  app.add_option("--meta-size", a->meta, "Bytes for metadata of each engine");
  app.add_option("--data-size", a->data, "Bytes for data of each engine");
  app.add_option("-t,--tier-ratio", a->ratio, "Accepted; a home chooses the ratio");
  app.add_option("--mem-ratio", a->mem_ratio,
                 "Memory for metadata, in percent of its bytes on the medium");
  app.add_option("--mem-size", a->mem_size, "The same in bytes; without both, the home chooses");
  app.add_option("-k,--nranks", a->rank_count, "Number of ranks (default: all)");
  app.add_option("-r,--ranks", a->ranks, "Ranks, such as 0-2,5 (default: all)");
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

  Command& extend_command = tool.command("pool", "extend", {}, "Let more ranks join a pool");
  auto ranks = std::make_shared<std::string>();
  extend_command.app->add_option("pool_label_or_UUID", *pool, "The pool")->required();
  extend_command.app->add_option("-r,--ranks", *ranks, "Ranks that join, such as 1-3")->required();
  extend_command.run = [pool, ranks, &tool] { return extend(tool, *pool, *ranks); };
  add_pool_prop_commands(tool);

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
