#include "cmd/embed/core_shards.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "runtime/parallel.h"

namespace cairn::embed {

namespace {

Task<Result<void>> unfreeze(HomeShards& shards, Uuid pool, uint32_t container,
                            uint64_t holds_over) {
  co_await shards.unfreeze_container(pool, container, holds_over);
  co_return Result<void>{};
}
Task<Result<void>> revoke_on(HomeShards& shards, wire::HandleRef handle) {
  co_await shards.revoke(handle);
  co_return Result<void>{};
}
Task<Result<void>> end_session_on(HomeShards& shards, uint64_t session) {
  co_await shards.end_session(session);
  co_return Result<void>{};
}

void add_epoch(model::Epoch& newest, model::Epoch answered) { newest = std::max(newest, answered); }
void add_space(service::ShardSpace& sum, const service::ShardSpace& one) {
  sum.data_total += one.data_total;
  sum.data_free += one.data_free;
  sum.meta_total += one.meta_total;
  sum.meta_free += one.meta_free;
  sum.meta_used += one.meta_used;
}
void add_progress(service::ContProgress& sum, const service::ContProgress& one) {
  model::add(sum.progress, one.progress);
}

/// What the cores hold, together.
struct Holders {
  std::map<model::Epoch, size_t> by_epoch;  // cores whose shards all hold it
  bool held = false;
  size_t asked = 0;
};
void add_snapshots(Holders& sum, const service::HeldSnapshots& one) {
  ++sum.asked;
  sum.held = sum.held || one.held;
  for (const model::Epoch epoch : one.any) sum.by_epoch[epoch] += 0;
  for (const model::Epoch epoch : one.all) ++sum.by_epoch[epoch];
}

bool any_of(const service::Targets& targets, uint32_t rank) {
  return std::ranges::any_of(targets,
                             [rank](const model::TargetId& target) { return target.rank == rank; });
}

Task<Result<void>> refuse(Error error) { co_return fail(error); }

/// Those of other engines.
service::Targets without(service::Targets targets, uint32_t rank) {
  std::erase_if(targets, [rank](const model::TargetId& target) { return target.rank == rank; });
  return targets;
}

}  // namespace

template <class Make>
auto CoreShards::on(uint32_t core, Make make) {
  HomeShards& shards = members_[core].shards;
  if (core == 0) return make(shards);
  return run_on(home_, members_[core].reactor,
                [&shards, make = std::move(make)] { return make(shards); });
}

template <class Make>
Task<Result<void>> CoreShards::begin(uint32_t core, const char* name, Make make) {
  if (core != 0 && at_step_) at_step_(name);
  co_return co_await on(core, std::move(make));
}

template <class Make>
Task<Result<void>> CoreShards::each(Cores cores, const char* name, Make make) {
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t core : cores) tasks.push_back(begin(core, name, make));
  co_return co_await run_all(home_, std::move(tasks), cores.size());
}

template <class Make>
Task<Result<void>> CoreShards::each_of(const Uuid& pool, const char* name, Make make) {
  auto cores = serving(pool);
  if (!cores) return refuse(cores.error());
  return each(std::move(*cores), name, std::move(make));
}

template <class Make>
Task<Result<void>> CoreShards::in_turn(Cores cores, const char* name, Make make) {
  Result<void> first;
  for (const uint32_t core : cores) {
    const auto done = co_await begin(core, name, make);
    if (first && !done) first = done;
  }
  co_return first;
}

template <class Sum, class Make, class Add>
Task<Result<void>> CoreShards::add_one(uint32_t core, Make make, Sum& sum, Add& add) {
  CO_TRY(answer, co_await on(core, std::move(make)));
  add(sum, answer);
  co_return Result<void>{};
}

template <class Sum, class Make, class Add>
Task<Result<Sum>> CoreShards::sum_up(Uuid pool, Make make, Add add) {
  CO_TRY(cores, serving(pool));
  Sum sum{};
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t core : cores) tasks.push_back(add_one(core, make, sum, add));
  CO_TRY(done, co_await run_all(home_, std::move(tasks), cores.size()));
  co_return sum;
}

CoreShards::Cores CoreShards::all() const {
  Cores out(members_.size());
  std::iota(out.begin(), out.end(), 0u);
  return out;
}

CoreShards::Cores CoreShards::all_but_first() const {
  Cores out = all();
  out.erase(out.begin());
  return out;
}

/// As one HomeShards: nobody sees some of the shards, as long as the others are being opened.
Result<CoreShards::Cores> CoreShards::serving(const Uuid& pool) const {
  const auto found = pools_.find(pool);
  if (found == pools_.end()) return fail(Errc::nonexistent, "pool: not open");
  if (found->second.extended) {
    return fail(Errc::busy, "pool: it is just being extended to this engine; try again");
  }
  return found->second.cores.empty() ? Cores{0} : found->second.cores;
}

void CoreShards::note(const Uuid& pool, const service::Targets& targets) {
  std::set<uint32_t> cores;
  for (const model::TargetId& target : targets) {
    if (target.rank == rank_) cores.insert(engines_.core_of(target.index));
  }
  pools_[pool] = {.cores = {cores.begin(), cores.end()}};
  engines_.set_pool(pool, pools_[pool].cores);
}

Task<Result<void>> CoreShards::ready(Uuid, service::Targets) { co_return Result<void>{}; }

Task<Result<void>> CoreShards::create_pool(Uuid pool, service::Targets targets,
                                           service::ShardSizes sizes) {
  const auto turn = co_await turns_.take();
  CO_TRY(made, co_await each(all(), "core.create", [pool, targets, sizes](HomeShards& shards) {
           return shards.create_pool(pool, targets, sizes);
         }));
  note(pool, targets);
  co_return Result<void>{};
}

/// Those of other cores are dropped before the first core removes what is on the medium, and made
/// after it.
Task<Result<void>> CoreShards::make_extension(Uuid pool, service::Targets targets,
                                              service::ShardSizes sizes) {
  const service::Targets others = without(targets, rank_);
  CO_TRY(dropped,
         co_await each(all_but_first(), "core.drop", [pool, others, sizes](HomeShards& shards) {
           return shards.extend_pool(pool, others, sizes);
         }));
  const auto make = [pool, targets, sizes](HomeShards& shards) {
    return shards.extend_pool(pool, targets, sizes);
  };
  CO_TRY(first, co_await on(0, make));
  co_return co_await each(all_but_first(), "core.extend", make);
}

Task<Result<void>> CoreShards::extend_pool(Uuid pool, service::Targets targets,
                                           service::ShardSizes sizes) {
  const auto turn = co_await turns_.take();
  const auto found = pools_.find(pool);
  if (found == pools_.end()) co_return fail(Errc::nonexistent, "pool: not open");
  if (!found->second.cores.empty()) co_return Result<void>{};
  const auto made = co_await make_extension(pool, targets, sizes);
  if (!made) {
    // Why it could not be made is what counts.
    [[maybe_unused]] const auto undone =
        co_await make_extension(pool, without(targets, rank_), sizes);
  }
  co_return made;
}

Task<Result<void>> CoreShards::open_pool(Uuid pool, service::Targets targets,
                                         uint64_t memory_bytes) {
  const auto turn = co_await turns_.take();
  const auto known = pools_.find(pool);
  if (known != pools_.end()) {
    known->second.extended = known->second.cores.empty() && any_of(targets, rank_);
  }
  const auto opened =
      co_await each(all(), "core.open", [pool, targets, memory_bytes](HomeShards& shards) {
        return shards.open_pool(pool, targets, memory_bytes);
      });
  if (opened) {
    note(pool, targets);
  } else if (known == pools_.end()) {
    [[maybe_unused]] const auto closed = co_await close_all(pool);
  } else {
    known->second.extended = false;
  }
  co_return opened;
}

Task<Result<void>> CoreShards::settle_pool(Uuid pool) {
  return each(all(), "core.settle",
              [pool](HomeShards& shards) { return shards.settle_pool(pool); });
}

Task<Result<void>> CoreShards::set_scrub(Uuid pool, model::ScrubPolicy policy) {
  return each(all(), "core.scrub",
              [pool, policy](HomeShards& shards) { return shards.set_scrub(pool, policy); });
}

Task<Result<void>> CoreShards::close_all(Uuid pool) {
  pools_.erase(pool);
  const auto closed = co_await each(all(), "core.close",
                                    [pool](HomeShards& shards) { return shards.close_pool(pool); });
  engines_.set_pool(pool, {});
  co_return closed;
}

Task<Result<void>> CoreShards::close_pool(Uuid pool) {
  const auto turn = co_await turns_.take();
  co_return co_await close_all(pool);
}

/// What closing says helps nobody: it is thrown away.
Task<Result<void>> CoreShards::remove_pool(Uuid pool) {
  const auto turn = co_await turns_.take();
  [[maybe_unused]] const auto closed = co_await close_all(pool);
  co_return co_await on(0, [pool](HomeShards& shards) { return shards.remove_pool(pool); });
}

/// In the order of targets: the lowest one of a transaction decides, and waits for it before the
/// container goes there.
Task<Result<void>> CoreShards::destroy_container(Uuid pool, uint32_t container) {
  return in_turn(all(), "core.destroy", [pool, container](HomeShards& shards) {
    return shards.destroy_container(pool, container);
  });
}

Task<Result<model::Epoch>> CoreShards::freeze_container(Uuid pool, uint32_t container) {
  return sum_up<model::Epoch>(
      pool,
      [pool, container](HomeShards& shards) { return shards.freeze_container(pool, container); },
      add_epoch);
}

Task<void> CoreShards::unfreeze_container(Uuid pool, uint32_t container, uint64_t holds_over) {
  [[maybe_unused]] const auto done =
      co_await each_of(pool, "core.unfreeze", [pool, container, holds_over](HomeShards& shards) {
        return unfreeze(shards, pool, container, holds_over);
      });
}

Task<Result<void>> CoreShards::add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  return each_of(pool, "core.snapshot", [pool, container, epoch](HomeShards& shards) {
    return shards.add_snapshot(pool, container, epoch);
  });
}

Task<Result<void>> CoreShards::remove_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  return each_of(pool, "core.unsnapshot", [pool, container, epoch](HomeShards& shards) {
    return shards.remove_snapshot(pool, container, epoch);
  });
}

Task<Result<service::HeldSnapshots>> CoreShards::snapshots(Uuid pool, uint32_t container,
                                                           uint64_t holds_over) {
  CO_TRY(holders, co_await sum_up<Holders>(
                      pool,
                      [pool, container, holds_over](HomeShards& shards) {
                        return shards.snapshots(pool, container, holds_over);
                      },
                      add_snapshots));
  service::HeldSnapshots out{.held = holders.held};
  for (const auto& [epoch, count] : holders.by_epoch) {
    out.any.push_back(epoch);
    if (count == holders.asked) out.all.push_back(epoch);
  }
  co_return out;
}

Task<Result<model::Epoch>> CoreShards::hold_container(Uuid pool, uint32_t container,
                                                      model::Epoch epoch, uint64_t number) {
  return sum_up<model::Epoch>(
      pool,
      [pool, container, epoch, number](HomeShards& shards) {
        return shards.hold_container(pool, container, epoch, number);
      },
      add_epoch);
}

Task<Result<void>> CoreShards::rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                                        model::Epoch at) {
  return each_of(pool, "core.rollback", [pool, container, epoch, at](HomeShards& shards) {
    return shards.rollback(pool, container, epoch, at);
  });
}

Task<Result<void>> CoreShards::aggregate_container(Uuid pool, uint32_t container,
                                                   model::Epoch until) {
  return each_of(pool, "core.aggregate", [pool, container, until](HomeShards& shards) {
    return shards.aggregate_container(pool, container, until);
  });
}

Task<Result<void>> CoreShards::set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                                        uint64_t order) {
  return each_of(pool, "core.worm", [pool, container, policy, order](HomeShards& shards) {
    return shards.set_worm(pool, container, policy, order);
  });
}

Task<Result<service::ContProgress>> CoreShards::flatten_progress(Uuid pool, uint32_t container) {
  return sum_up<service::ContProgress>(
      pool,
      [pool, container](HomeShards& shards) { return shards.flatten_progress(pool, container); },
      add_progress);
}

Task<Result<service::ShardSpace>> CoreShards::space(Uuid pool) {
  return sum_up<service::ShardSpace>(
      pool, [pool](HomeShards& shards) { return shards.space(pool); }, add_space);
}

std::vector<wire::EngineInfo> CoreShards::engines() const { return members_[0].shards.engines(); }

Task<std::vector<wire::DeviceReply>> CoreShards::devices() { return members_[0].shards.devices(); }

Result<wire::HandleRef> CoreShards::grant(const service::Grant& grant) {
  return members_[0].shards.grant(grant);
}

Task<Result<void>> CoreShards::share(service::Handles handles) {
  return each(all(), "core.share", [handles](HomeShards& shards) { return shards.share(handles); });
}

Task<Result<void>> CoreShards::restore(service::Grant grant, wire::HandleRef handle) {
  return each(all(), "core.restore",
              [grant, handle](HomeShards& shards) { return shards.restore(grant, handle); });
}

Task<Result<void>> CoreShards::retain(service::Handles handles, uint64_t as_of_ns) {
  return each(all(), "core.retain",
              [handles, as_of_ns](HomeShards& shards) { return shards.retain(handles, as_of_ns); });
}

/// The one that gave the reference out comes last: it may give it out again.
Task<void> CoreShards::revoke(wire::HandleRef handle) {
  [[maybe_unused]] const auto done =
      co_await each(all_but_first(), "core.revoke",
                    [handle](HomeShards& shards) { return revoke_on(shards, handle); });
  co_await members_[0].shards.revoke(handle);
}

Task<void> CoreShards::end_session(uint64_t session) {
  [[maybe_unused]] const auto done = co_await each(
      all(), "core.end", [session](HomeShards& shards) { return end_session_on(shards, session); });
}

Task<Result<void>> CoreShards::close() {
  const auto turn = co_await turns_.take();
  const auto closed =
      co_await each(all(), "core.close", [](HomeShards& shards) { return shards.close(); });
  for (const auto& [pool, cores] : pools_) engines_.set_pool(pool, {});
  pools_.clear();
  co_return closed;
}

void CoreShards::reopen() {
  members_[0].shards.reopen();
  for (size_t core = 1; core < members_.size(); ++core) {
    HomeShards& shards = members_[core].shards;
    members_[core].reactor.post([&shards] { shards.reopen(); });
  }
}

}  // namespace cairn::embed
