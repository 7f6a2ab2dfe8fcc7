#include "cmd/embed/engine_fleet.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>

#include "runtime/parallel.h"

namespace cairn::embed {

using service::ShardHost;

namespace {

/// Enough to fill the time in which an answer comes, few enough for one engine to serve them.
constexpr size_t kEnginesAtOnceMax = 32;
/// Of one message: some hundred KiB.
constexpr size_t kHandlesAtOnceMax = 4'096;
/// Longer than a shard waits for its transactions.
constexpr Duration kHoldMax = 4 * kSecond;

template <class T>
bool is_away(const Result<T>& done) {
  return !done && done.error().code() == Errc::unreachable;
}

std::unexpected<Error> stopped() {
  return fail(Errc::unreachable, "engine: it is stopped, or starts just now");
}

/// An engine that catches up has not opened the pool yet: as if it were away.
template <class T>
bool is_coming(const Result<T>& done, const ShardHost& host) {
  return !done && done.error().code() == Errc::nonexistent &&
         host.engines().front().state != wire::EngineState::joined;
}

Task<Result<void>> freeze_one(ShardHost& host, Uuid pool, uint32_t container, bool joining,
                              model::Epoch& newest) {
  const auto epoch = co_await host.freeze_container(pool, container);
  const bool has_none = !epoch && epoch.error().code() == Errc::nonexistent;
  if (is_coming(epoch, host) || (joining && has_none)) co_return stopped();
  if (!epoch) co_return fail(epoch.error());
  newest = std::max(newest, *epoch);
  co_return Result<void>{};
}

}  // namespace

EngineFleet::EngineFleet(Reactor& reactor, std::vector<ShardHost*> engines, uint32_t target_count,
                         std::function<void(const char*)> at_step)
    : reactor_(reactor),
      engines_(std::move(engines)),
      stopped_(engines_.size()),
      target_count_(target_count),
      at_step_(std::move(at_step)) {
  CHECK(!engines_.empty());
}

struct EngineFleet::Errors {
  After after = After::stop;
  bool enough = false;
};

template <class Ask>
Task<Result<void>> EngineFleet::ask_one(uint32_t rank, const char* name, Errors& errors, Ask& ask) {
  if (errors.enough) co_return Result<void>{};
  if (rank != 0 && at_step_) at_step_(name);
  Result<void> done = stopped();
  if (!stopped_[rank]) done = co_await ask(*engines_[rank]);
  if (is_coming(done, *engines_[rank])) done = stopped();
  const bool lenient = errors.after == After::overlook || errors.after == After::tell;
  if (done || (lenient && is_away(done))) co_return Result<void>{};
  if (errors.after == After::stop || errors.after == After::overlook) errors.enough = true;
  co_return done;
}

/// `ask` makes a task from an engine; it stays with this frame.
template <class Ask>
Task<Result<void>> EngineFleet::each(Ranks ranks, const char* name, After after, Ask ask) {
  Errors errors{.after = after};
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t rank : ranks) tasks.push_back(ask_one(rank, name, errors, ask));
  co_return co_await ask_all(std::move(tasks));
}

Task<Result<void>> EngineFleet::ask_all(std::vector<Task<Result<void>>> tasks) {
  if (tasks.empty()) co_return Result<void>{};
  co_return co_await run_all(reactor_, std::move(tasks), kEnginesAtOnceMax);
}

std::vector<ShardHost*> EngineFleet::running(const Ranks& ranks) const {
  std::vector<ShardHost*> out;
  for (const uint32_t rank : ranks) {
    if (!stopped_[rank]) out.push_back(engines_[rank]);
  }
  return out;
}

void EngineFleet::add(ShardHost& engine) {
  engines_.push_back(&engine);
  stopped_.push_back(false);
}

EngineFleet::Ranks EngineFleet::all() const {
  Ranks out(engines_.size());
  std::iota(out.begin(), out.end(), 0u);
  return out;
}

EngineFleet::Ranks EngineFleet::without(const Ranks& ranks) const {
  Ranks out = all();
  std::erase_if(out, [&ranks](uint32_t rank) { return std::ranges::binary_search(ranks, rank); });
  return out;
}

EngineFleet::Ranks EngineFleet::ranks_of(const Uuid& pool) const {
  const auto found = ranks_.find(pool);
  return found == ranks_.end() ? all() : Ranks(found->second.begin(), found->second.end());
}

/// Those of before stay in it: what they made has to go, too.
EngineFleet::Ranks EngineFleet::note_ranks(const Uuid& pool, const service::Targets& targets) {
  std::set<uint32_t>& ranks = ranks_[pool];
  for (const model::TargetId& target : targets) {
    if (target.rank < engines_.size()) ranks.insert(target.rank);
  }
  return ranks_of(pool);
}

/// An engine that the pool is just being extended to: it may not have opened it.
bool EngineFleet::is_joining(const Uuid& pool, uint32_t rank) const {
  const auto found = joining_.find(pool);
  return found != joining_.end() && found->second.contains(rank);
}

Task<Result<void>> EngineFleet::ready(Uuid pool, service::Targets more) {
  std::set<uint32_t> ranks;
  if (!pool.is_nil()) {
    const Ranks known = ranks_of(pool);
    ranks.insert(known.begin(), known.end());
  }
  for (const model::TargetId& target : more) ranks.insert(target.rank);
  return each(Ranks(ranks.begin(), ranks.end()), "engine.ready", After::stop,
              [pool](ShardHost& host) { return host.ready(pool, {}); });
}

Task<Result<void>> EngineFleet::create_pool(Uuid pool, service::Targets targets,
                                            service::ShardSizes sizes) {
  const Ranks ranks = note_ranks(pool, targets);
  CO_TRY(made, co_await each(ranks, "engine.create", After::stop, [&](ShardHost& host) {
           return host.create_pool(pool, targets, sizes);
         }));
  // The others know of it, so that it can be extended to them; who is away is told when it comes.
  co_return co_await each(without(ranks), "engine.create", After::overlook, [&](ShardHost& host) {
    return host.open_pool(pool, targets, sizes.memory_bytes);
  });
}

/// One that fails is undone by another one with the targets of before: who is away then has it done
/// when it comes, and need not be asked about the pool.
Task<Result<void>> EngineFleet::extend_pool(Uuid pool, service::Targets targets,
                                            service::ShardSizes sizes) {
  std::set<uint32_t> wanted;
  for (const model::TargetId& target : targets) wanted.insert(target.rank);
  const std::set<uint32_t> known = ranks_[pool];
  std::ranges::set_difference(wanted, known, std::inserter(joining_[pool], joining_[pool].begin()));
  const Ranks ranks = note_ranks(pool, targets);
  const auto done = co_await each(ranks, "engine.extend", After::stop, [&](ShardHost& host) {
    return host.extend_pool(pool, targets, sizes);
  });
  if (wanted.size() < ranks.size()) joining_.erase(pool);
  if (done || wanted.size() < ranks.size()) ranks_[pool] = std::move(wanted);
  co_return done;
}

Task<Result<void>> EngineFleet::serve_extension(Uuid pool, service::Targets targets,
                                                uint64_t memory_bytes) {
  auto done = co_await each(note_ranks(pool, targets), "engine.join", After::overlook,
                            [pool, targets, memory_bytes](ShardHost& host) {
                              return host.serve_extension(pool, targets, memory_bytes);
                            });
  joining_.erase(pool);
  co_return done;
}

/// All are asked: one that is none of the pool's may have what a crash has left.
Task<Result<void>> EngineFleet::open_pool(Uuid pool, service::Targets targets,
                                          uint64_t memory_bytes) {
  note_ranks(pool, targets);
  Result<void> done = co_await each(all(), "engine.open", After::overlook, [&](ShardHost& host) {
    return host.open_pool(pool, targets, memory_bytes);
  });
  if (done) done = co_await settle_pool(pool);
  if (done) co_return done;
  // Why it could not be opened is what counts.
  [[maybe_unused]] const auto closed = co_await close_pool(pool);
  co_return done;
}

Task<Result<void>> EngineFleet::settle_pool(Uuid pool) {
  return each(ranks_of(pool), "engine.settle", After::overlook,
              [pool](ShardHost& host) { return host.settle_pool(pool); });
}

Task<Result<void>> EngineFleet::set_scrub(Uuid pool, model::ScrubPolicy policy) {
  return each(ranks_of(pool), "engine.scrub", After::tell,
              [pool, policy](ShardHost& host) { return host.set_scrub(pool, policy); });
}

Task<Result<void>> EngineFleet::close_pool(Uuid pool) {
  return each(all(), "engine.close", After::go_on,
              [pool](ShardHost& host) { return host.close_pool(pool); });
}

Task<Result<void>> EngineFleet::remove_pool(Uuid pool) {
  const Ranks ranks = ranks_of(pool);
  const auto remove = [pool](ShardHost& host) { return host.remove_pool(pool); };
  CO_TRY(forgotten, co_await each(without(ranks), "engine.remove", After::overlook, remove));
  CO_TRY(removed, co_await each(ranks, "engine.remove", After::go_on, remove));
  ranks_.erase(pool);
  joining_.erase(pool);
  co_return Result<void>{};
}

/// One after the other, in the order of ranks: the lowest one of a transaction decides, and waits
/// for it before the container goes there.
Task<Result<void>> EngineFleet::destroy_container(Uuid pool, uint32_t container) {
  Errors errors{.after = After::go_on};
  auto destroy = [pool, container](ShardHost& host) {
    return host.destroy_container(pool, container);
  };
  Result<void> first;
  for (const uint32_t rank : ranks_of(pool)) {
    const auto done = co_await ask_one(rank, "engine.destroy", errors, destroy);
    if (first) first = done;
  }
  co_return first;
}

/// At once: a freeze does not last long.
Task<Result<model::Epoch>> EngineFleet::freeze_container(Uuid pool, uint32_t container) {
  const Ranks ranks = ranks_of(pool);
  const std::vector<ShardHost*> hosts = running(ranks);
  if (hosts.size() != ranks.size()) co_return stopped();
  model::Epoch newest = 0;
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t rank : ranks) {
    tasks.push_back(freeze_one(*engines_[rank], pool, container, is_joining(pool, rank), newest));
  }
  CO_TRY(frozen, co_await run_all(reactor_, std::move(tasks), hosts.size()));
  co_return newest;
}

namespace {

Task<Result<void>> unfreeze_one(ShardHost& host, Uuid pool, uint32_t container,
                                uint64_t holds_over) {
  co_await host.unfreeze_container(pool, container, holds_over);
  co_return Result<void>{};
}

Task<Result<void>> hold_one(ShardHost& host, Uuid pool, uint32_t container, model::Epoch epoch,
                            uint64_t number, model::Epoch& newest) {
  const auto answered = co_await host.hold_container(pool, container, epoch, number);
  if (is_coming(answered, host)) co_return stopped();
  if (!answered) co_return fail(answered.error());
  newest = std::max(newest, *answered);
  co_return Result<void>{};
}

Task<Result<void>> roll_back_one(ShardHost& host, Uuid pool, uint32_t container, model::Epoch epoch,
                                 model::Epoch at) {
  const auto done = co_await host.rollback(pool, container, epoch, at);
  if (is_coming(done, host)) co_return stopped();
  co_return done;
}

}  // namespace

/// At once: one of them that does not answer leaves no other one waiting.
Task<void> EngineFleet::unfreeze_container(Uuid pool, uint32_t container, uint64_t holds_over) {
  std::vector<Task<Result<void>>> tasks;
  for (ShardHost* const host : running(ranks_of(pool))) {
    tasks.push_back(unfreeze_one(*host, pool, container, holds_over));
  }
  const size_t count = tasks.size();
  if (count == 0) co_return;
  [[maybe_unused]] const auto done = co_await run_all(reactor_, std::move(tasks), count);
}

/// What is held for one that does not answer is let go.
struct EngineFleet::Hold {
  Uuid pool;
  uint32_t container = 0;
  uint64_t number = 0;
  bool over = false;   // all have answered
  bool late = false;   // it was given up before
  bool ended = false;  // on all
};

Task<void> EngineFleet::give_up_late(std::shared_ptr<Hold> hold) {
  co_await reactor_.sleep(kHoldMax);
  if (hold->over) co_return;
  hold->late = true;
  co_await unfreeze_container(hold->pool, hold->container, hold->number);
  hold->ended = true;
}

Task<Result<model::Epoch>> EngineFleet::hold_container(Uuid pool, uint32_t container,
                                                       model::Epoch epoch, uint64_t number) {
  const Ranks ranks = ranks_of(pool);
  const std::vector<ShardHost*> hosts = running(ranks);
  if (hosts.size() != ranks.size()) co_return stopped();
  const auto hold = std::make_shared<Hold>(pool, container, number);
  reactor_.spawn(give_up_late(hold));
  model::Epoch newest = 0;
  std::vector<Task<Result<void>>> tasks;
  for (ShardHost* const host : hosts) {
    tasks.push_back(hold_one(*host, pool, container, epoch, number, newest));
  }
  const auto held = co_await run_all(reactor_, std::move(tasks), hosts.size());
  hold->over = true;
  while (hold->late && !hold->ended) co_await reactor_.sleep(kMillisecond);
  if (!held) co_return fail(held.error());
  if (hold->late) co_return fail(Errc::busy, "rollback: an engine is too slow now; try again");
  co_return newest;
}

Task<Result<void>> EngineFleet::add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  return each(ranks_of(pool), "engine.snapshot", After::stop,
              [pool, container, epoch](ShardHost& host) {
                return host.add_snapshot(pool, container, epoch);
              });
}

Task<Result<void>> EngineFleet::remove_snapshot(Uuid pool, uint32_t container,
                                                model::Epoch epoch) {
  return each(ranks_of(pool), "engine.unsnapshot", After::go_on,
              [pool, container, epoch](ShardHost& host) {
                return host.remove_snapshot(pool, container, epoch);
              });
}

Task<Result<void>> EngineFleet::aggregate_container(Uuid pool, uint32_t container,
                                                    model::Epoch until) {
  return each(ranks_of(pool), "engine.aggregate", After::go_on,
              [pool, container, until](ShardHost& host) {
                return host.aggregate_container(pool, container, until);
              });
}

Task<Result<service::HeldSnapshots>> EngineFleet::snapshots(Uuid pool, uint32_t container,
                                                            uint64_t holds_over) {
  service::HeldSnapshots out;
  std::map<model::Epoch, size_t> holders;  // that hold it on all of their shards
  size_t asked = 0;
  for (ShardHost* const host : running(ranks_of(pool))) {
    const auto held = co_await host->snapshots(pool, container, holds_over);
    if (is_away(held)) continue;
    if (!held) co_return fail(held.error());
    ++asked;
    out.held = out.held || held->held;
    for (const model::Epoch epoch : held->any) holders[epoch] += 0;
    for (const model::Epoch epoch : held->all) ++holders[epoch];
  }
  for (const auto& [epoch, count] : holders) {
    out.any.push_back(epoch);
    if (count == asked) out.all.push_back(epoch);
  }
  co_return out;
}

/// At once, and all that can be asked: it is decided, and a container waits on each that has not.
Task<Result<void>> EngineFleet::rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                                         model::Epoch at) {
  const Ranks ranks = ranks_of(pool);
  const std::vector<ShardHost*> hosts = running(ranks);
  std::vector<Task<Result<void>>> tasks;
  for (ShardHost* const host : hosts) {
    if (!tasks.empty() && at_step_) at_step_("engine.rollback");
    tasks.push_back(roll_back_one(*host, pool, container, epoch, at));
  }
  if (!tasks.empty()) {
    CO_TRY(done, co_await run_all(reactor_, std::move(tasks), hosts.size()));
  }
  if (hosts.size() != ranks.size()) co_return stopped();
  co_return Result<void>{};
}

/// @param failed  gets why an engine that is there does not hold it
Task<Result<void>> EngineFleet::tell_worm(uint32_t rank, Uuid pool, uint32_t container,
                                          model::WormPolicy policy, uint64_t order,
                                          Result<void>& failed) {
  if (rank != 0 && at_step_) at_step_("engine.worm");
  if (stopped_[rank]) co_return stopped();
  ShardHost& host = *engines_[rank];
  const bool joining = is_joining(pool, rank);
  const auto told = co_await host.set_worm(pool, container, std::move(policy), order);
  const bool has_none = !told && told.error().code() == Errc::nonexistent;
  if (is_coming(told, host) || (joining && has_none)) co_return stopped();
  const bool milder = failed || failed.error().code() == Errc::busy;
  if (!told && !is_away(told) && milder) failed = told;
  co_return told;
}

/// One that is away hides nobody's failure.
Task<Result<void>> EngineFleet::set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                                         uint64_t order) {
  Result<void> failed;
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t rank : ranks_of(pool)) {
    tasks.push_back(tell_worm(rank, pool, container, policy, order, failed));
  }
  const auto told = co_await ask_all(std::move(tasks));
  co_return failed ? told : failed;
}

Task<Result<void>> EngineFleet::add_progress(uint32_t rank, Uuid pool, uint32_t container,
                                             service::ContProgress& sum) {
  Result<service::ContProgress> asked = stopped();
  if (!stopped_[rank]) asked = co_await engines_[rank]->flatten_progress(pool, container);
  if (is_away(asked) || is_coming(asked, *engines_[rank])) {
    sum.targets_away += target_count_;
    co_return Result<void>{};
  }
  if (!asked) co_return fail(asked.error());
  model::add(sum.progress, asked->progress);
  co_return Result<void>{};
}

Task<Result<service::ContProgress>> EngineFleet::flatten_progress(Uuid pool, uint32_t container) {
  service::ContProgress sum;
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t rank : ranks_of(pool)) {
    tasks.push_back(add_progress(rank, pool, container, sum));
  }
  CO_TRY(asked, co_await ask_all(std::move(tasks)));
  co_return sum;
}

Task<Result<void>> EngineFleet::add_space(uint32_t rank, Uuid pool, service::ShardSpace& sum) {
  Result<service::ShardSpace> asked = stopped();
  if (!stopped_[rank]) asked = co_await engines_[rank]->space(pool);
  if (is_away(asked)) {
    sum.targets_away += target_count_;
    co_return Result<void>{};
  }
  if (!asked) co_return fail(asked.error());
  const service::ShardSpace& one = *asked;
  sum.data_total += one.data_total;
  sum.data_free += one.data_free;
  sum.meta_total += one.meta_total;
  sum.meta_free += one.meta_free;
  sum.meta_used += one.meta_used;
  co_return Result<void>{};
}

Task<Result<service::ShardSpace>> EngineFleet::space(Uuid pool) {
  service::ShardSpace sum;
  std::vector<Task<Result<void>>> tasks;
  for (const uint32_t rank : ranks_of(pool)) tasks.push_back(add_space(rank, pool, sum));
  CO_TRY(asked, co_await ask_all(std::move(tasks)));
  co_return sum;
}

std::vector<wire::EngineInfo> EngineFleet::engines() const {
  std::vector<wire::EngineInfo> out;
  for (size_t rank = 0; rank < engines_.size(); ++rank) {
    for (wire::EngineInfo& info : engines_[rank]->engines()) {
      if (stopped_[rank]) info.state = wire::EngineState::away;
      out.push_back(std::move(info));
    }
  }
  return out;
}

Task<std::vector<wire::DeviceReply>> EngineFleet::devices() {
  std::vector<wire::DeviceReply> out;
  for (ShardHost* const host : running(all())) {
    for (wire::DeviceReply& device : co_await host->devices()) out.push_back(std::move(device));
  }
  co_return out;
}

Result<wire::HandleRef> EngineFleet::grant(const service::Grant& grant) {
  if (stopped_.front()) return stopped();
  return engines_.front()->grant(grant);
}

/// Handles that are told to the engines together, each with what became of it.
struct EngineFleet::Sharing {
  explicit Sharing(Reactor& reactor) : changed(reactor) {}
  service::Handles handles;
  std::vector<Result<void>> outcomes;
  bool over = false;
  WaitList changed;
};

/// All in one round; whose round is full or under way goes with the next one.
Task<Result<void>> EngineFleet::share(service::Handles handles) {
  while (next_round_ && next_round_->handles.size() + handles.size() > kHandlesAtOnceMax) {
    const auto full = next_round_;
    while (!full->over) co_await full->changed.wait();
  }
  const bool first = !next_round_;
  if (first) next_round_ = std::make_shared<Sharing>(reactor_);
  const auto round = next_round_;
  const size_t begin = round->handles.size();
  round->handles.insert(round->handles.end(), handles.begin(), handles.end());
  if (first && !sharing_) reactor_.spawn(share_rounds());
  while (!round->over) co_await round->changed.wait();
  for (size_t i = begin; i < begin + handles.size(); ++i) {
    if (!round->outcomes[i]) co_return round->outcomes[i];
  }
  co_return Result<void>{};
}

Task<void> EngineFleet::share_rounds() {
  sharing_ = true;
  while (next_round_) co_await share_round(std::exchange(next_round_, nullptr));
  sharing_ = false;
}

/// An engine that refuses one of several handles does not say which: then each half goes again.
Task<void> EngineFleet::share_part(Sharing& round, size_t begin, size_t end) {
  const auto at = [&round](size_t i) { return round.handles.begin() + static_cast<ptrdiff_t>(i); };
  const auto done = co_await share_now(service::Handles(at(begin), at(end)));
  if (!done && end - begin > 1) {
    const size_t middle = begin + (end - begin) / 2;
    co_await share_part(round, begin, middle);
    co_await share_part(round, middle, end);
    co_return;
  }
  for (size_t i = begin; i < end; ++i) round.outcomes[i] = done;
}

Task<void> EngineFleet::share_round(std::shared_ptr<Sharing> round) {
  round->outcomes.resize(round->handles.size());
  co_await share_part(*round, 0, round->handles.size());
  round->over = true;
  round->changed.wake_all();
}

Task<Result<void>> EngineFleet::share_now(service::Handles handles) {
  return each(all(), "engine.share", After::overlook,
              [handles = std::move(handles)](ShardHost& host) { return host.share(handles); });
}

Task<Result<void>> EngineFleet::restore(service::Grant grant, wire::HandleRef handle) {
  return each(all(), "engine.restore", After::overlook,
              [grant, handle](ShardHost& host) { return host.restore(grant, handle); });
}

Task<Result<void>> EngineFleet::retain(service::Handles handles, uint64_t as_of_ns) {
  return each(all(), "engine.retain", After::overlook,
              [handles = std::move(handles), as_of_ns](ShardHost& host) {
                return host.retain(handles, as_of_ns);
              });
}

namespace {

Task<Result<void>> revoke_one(ShardHost& host, wire::HandleRef handle) {
  co_await host.revoke(handle);
  co_return Result<void>{};
}

Task<Result<void>> end_session_on(ShardHost& host, uint64_t session) {
  co_await host.end_session(session);
  co_return Result<void>{};
}

}  // namespace

/// The one that gave the reference out comes last: it may give it out again.
Task<void> EngineFleet::revoke(wire::HandleRef handle) {
  std::vector<Task<Result<void>>> tasks;
  for (size_t rank = 1; rank < engines_.size(); ++rank) {
    tasks.push_back(revoke_one(*engines_[rank], handle));
  }
  [[maybe_unused]] const auto done = co_await ask_all(std::move(tasks));
  co_await engines_.front()->revoke(handle);
}

Task<void> EngineFleet::end_session(uint64_t session) {
  std::vector<Task<Result<void>>> tasks;
  for (ShardHost* const host : engines_) tasks.push_back(end_session_on(*host, session));
  [[maybe_unused]] const auto done = co_await ask_all(std::move(tasks));
}

}  // namespace cairn::embed
