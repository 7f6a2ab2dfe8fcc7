#include "cmd/embed/home_check.h"

#include "client/home.h"
#include "cmd/embed/home_graph.h"
#include "service/records.h"

namespace cairn::embed {

namespace {

constexpr uint64_t kScrubSliceBytes = 8u << 20;

void add_found(StoreReport& report, const index::Store::CheckReport& found) {
  report.pages = found.pages;
  report.records = found.records;
  report.blocks = found.blocks;
  report.problems = found.problems;
}

Task<void> check_config(HomeGraph& graph, StoreReport& report) {
  report.name = "system";
  const auto found = co_await graph.config().check();
  if (!found) {
    report.problems.emplace_back(found.error().what());
    co_return;
  }
  add_found(report, *found);
  for (const index::LostRange& lost : found->lost) {
    report.losses.push_back({.what = vos::Loss::What::page,
                             .cause = lost.cause,
                             .low = lost.low,
                             .high = lost.high,
                             .page = lost.page,
                             .level = lost.level});
  }
  report.loss_count = report.losses.size();
}

/// Labels, containers and targets; what cannot be read is not named.
Task<void> load_names(HomeGraph& graph, Uuid pool, StoreReport& report,
                      std::vector<model::TargetId>& targets) {
  const auto entry = co_await graph.config().get(service::pool_key(pool));
  if (entry && *entry) {
    const auto record = service::parse_record<service::PoolRecord>((*entry)->value);
    if (record) report.label = record->label;
    if (record) {
      for (const wire::Target& target : record->map.targets) {
        targets.push_back({target.rank, target.index});
      }
    }
  }
  if (targets.empty()) targets.push_back({});
  const std::string prefix = service::conts_prefix(pool);
  const auto entries = co_await graph.config().range(prefix);
  if (!entries) co_return;
  for (const service::ConfigEntry& one : *entries) {
    const auto uuid = parse_uuid(std::string_view(one.key).substr(prefix.size()));
    const auto record = service::parse_record<service::ContRecord>(one.value);
    if (uuid && record) report.containers[record->number] = {*uuid, record->label};
  }
}

Task<Result<void>> check_shard(vos::Shard& shard, bool read_data, StoreReport& report) {
  CO_TRY(found, co_await shard.check(read_data));
  add_found(report, found);
  report.losses = found.losses;
  report.loss_count = found.loss_count;
  co_return Result<void>{};
}

Task<Result<void>> scrub_shard(Reactor& reactor, vos::Shard& shard, const HomeCheckOptions& options,
                               StoreReport& report) {
  vos::Scrub scrub(shard, {.read_data = options.read_data});
  for (bool more = true; more;) {
    CO_TRY(went_on, co_await scrub.slice(kScrubSliceBytes));
    more = went_on;
    if (options.progress) options.progress(report, scrub.report());
    co_await reactor.yield();
  }
  const vos::ScrubReport& found = scrub.report();
  report.pages = found.pages;
  report.records = found.records;
  report.blocks = found.blocks;
  report.problems = found.problems;
  report.losses = found.losses;
  report.loss_count = found.loss_count;
  for (const vos::Loss& loss : found.losses) report.problems.push_back(vos::loss_text(loss));
  co_return Result<void>{};
}

Task<void> look_at_shard(HomeGraph& graph, vos::Shard* shard, const HomeCheckOptions& options,
                         StoreReport& report) {
  if (shard == nullptr) {
    report.problems.emplace_back("cannot be opened; the line above says why");
    co_return;
  }
  const auto done = options.scrub
                        ? co_await scrub_shard(graph.context().reactor(), *shard, options, report)
                        : co_await check_shard(*shard, options.read_data, report);
  if (!done) report.problems.emplace_back(done.error().what());
}

Task<Result<std::vector<StoreReport>>> check_graph(HomeGraph& graph,
                                                   const HomeCheckOptions& options) {
  std::vector<StoreReport> reports(1);
  co_await check_config(graph, reports.front());
  CO_TRY(pools, co_await graph.service().pools());
  for (const Uuid& pool : pools) {
    StoreReport blank{.name = "pools/" + to_string(pool), .is_shard = true};
    std::vector<model::TargetId> targets;
    co_await load_names(graph, pool, blank, targets);
    for (const model::TargetId& target : targets) {
      StoreReport& report = reports.emplace_back(blank);
      if (graph.engine_count() > 1) report.name += "/" + std::to_string(target.rank);
      if (targets.size() > 1) report.name += "/" + std::to_string(target.index);
      vos::Shard* const shard = target.rank < graph.engine_count()
                                    ? graph.shards(target.rank).shard(pool, target.index)
                                    : nullptr;
      co_await look_at_shard(graph, shard, options, report);
    }
  }
  co_return reports;
}

}  // namespace

Result<std::vector<StoreReport>> check_stores(const std::string& home, HomeCheckOptions options) {
  client::HomeOptions how;
  how.path = home;
  how.read_only = true;
  TRY(graph, HomeGraph::open({.home = std::move(how), .at_step = {}}));
  auto reports = graph->context().run(check_graph(*graph, options));
  const auto closed = graph->close();
  if (reports && !closed) {
    reports->push_back({.name = "home", .problems = {closed.error().what()}});
  }
  return reports;
}

}  // namespace cairn::embed

namespace cairn::client {

Result<HomeReport> check_home(const std::string& path, bool read_data) {
  TRY(stores, embed::check_stores(path, {.read_data = read_data, .progress = {}}));
  HomeReport report;
  for (embed::StoreReport& store : stores) {
    report.parts.push_back({.name = std::move(store.name),
                            .pages = store.pages,
                            .records = store.records,
                            .blocks = store.blocks,
                            .problems = std::move(store.problems)});
  }
  return report;
}

}  // namespace cairn::client
