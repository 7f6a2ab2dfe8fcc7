#include "engine/flattener.h"

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "base/report.h"
#include "engine/flatten_pass.h"
#include "engine/flatten_slice.h"
#include "engine/read_sketch.h"

namespace cairn::engine {

namespace {

/// A slice beside requests: some hundred microseconds of CPU.
constexpr size_t kBusySlice = 64;
/// Who is at work is left alone until no request has come for this long.
constexpr Duration kRest = 20 * kMillisecond;
/// But a slice of a sealed container, and one of a search for what is cold, comes at least so
/// often.
constexpr Duration kSealedPace = 200 * kMillisecond;
constexpr Duration kColdPace = 2 * kSecond;
/// A container that is rolled back is looked at again so often.
constexpr Duration kShutPause = kSecond;
/// Hints wait for others to share blocks with, and beside requests no longer than the latter.
constexpr Duration kHintWait = 50 * kMillisecond;
constexpr Duration kHintWaitBusy = kSecond;
/// From here on hints are worked off whatever else is to do: more would be lost.
constexpr size_t kHintsUrgent = kFinalHintsMax / 2;
/// Hints that are looked through for those of one container.
constexpr size_t kHintsLookedAt = 1024;
/// Hints that are tried again: how many, how often, and after what time at first; then four times
/// that, each time.
constexpr size_t kRetriesMax = 4096;
constexpr uint8_t kTriesMax = 5;
constexpr Duration kRetryFirst = 200 * kMillisecond;
/// After an error nothing is tried for this long, and twice as long after each further one.
constexpr Duration kErrorGapFirst = 5 * kSecond;
constexpr Duration kErrorGapMost = 600 * kSecond;
/// What sleeps longer looks in between: nothing can be woken before its time.
constexpr Duration kSleepMost = 60 * kSecond;

struct Hint {
  vos::ObjectPath object;
  Instant due = 0;  // not tried before
  uint8_t tries = 0;
};

bool is_for_later(model::FlattenOutcome outcome) {
  return outcome == model::FlattenOutcome::pending || outcome == model::FlattenOutcome::changed ||
         outcome == model::FlattenOutcome::reclaiming;
}

auto order_of(const Hint& hint) {
  return std::tie(hint.object.oid.hi, hint.object.oid.lo, hint.object.shard);
}

}  // namespace

struct Flattener::State {
  State(Reactor& r, vos::Shard& s, std::string n, const uint64_t& q, PolicyOf p)
      : reactor(r), shard(s), name(std::move(n)), requests(q), policy_of(std::move(p)), left(r) {}

  Reactor& reactor;
  vos::Shard& shard;
  const std::string name;
  const uint64_t& requests;
  const PolicyOf policy_of;
  Facts facts;

  bool stopped = false;
  bool inside = false;  // a slice is under way
  WaitList left;
  Instant error_until = 0;
  unsigned errors_in_row = 0;

  /// A loop of slices. One that sleeps is replaced by one that looks sooner.
  struct Loop {
    uint64_t run = 0;  // the task that may go on; those before it end when they wake
    bool runs = false;
    Instant wakes = 0;  // while it sleeps; else 0
    uint64_t seen_requests = 0;
  };
  Loop hinted, passing;
  std::deque<Hint> hints;  // as they came
  std::vector<Hint> retries;
  Instant oldest = 0;  // when the first of `hints` came
  std::map<vos::ContNumber, FlattenPass> passes;
  vos::ContNumber last_pass = 0;
  uint64_t pass_number = 0;
  Instant slice_end = 0;  // of the last one of a pass
  size_t cold_passes = 0;  // whose policy asks for what is cold
  std::unique_ptr<ReadSketch> reads;

  Instant now() const { return reactor.clock().now(); }
  bool is_busy(Loop& loop) const { return std::exchange(loop.seen_requests, requests) != requests; }

  void note_outcome(const Result<SliceOutcomes>& done);
  Task<Result<SliceOutcomes>> work(std::vector<vos::ObjectPath> objects,
                                   vos::FlattenOptions options);
  void push(Hint hint);
  void retry(Hint hint);
  void take_due_retries();
  std::vector<Hint> take_batch(size_t count_max);
  Task<Duration> hint_step();
  Instant next_retry() const;

  std::map<vos::ContNumber, FlattenPass>::iterator due_pass(Instant at);
  bool is_cold(const FlattenPass& pass, const vos::ObjectPath& object) const;
  Task<Duration> pass_step();
  Task<void> pass_slice(vos::ContNumber container, size_t count_max);
  FlattenPass* find(vos::ContNumber container, uint64_t number);
  Task<void> listing_failed(vos::ContNumber container, uint64_t number, Error error);
  void watch_reads(bool cold_before, bool cold_now);

  static Task<void> go_on(std::weak_ptr<State> alive, Reactor& reactor, Loop State::* loop,
                          uint64_t run, Duration pause);
  static void start(const std::shared_ptr<State>& state, Loop State::* loop, Duration pause);
};

/// A loop's steps, one behind the other, until it has nothing to do.
Task<void> Flattener::State::go_on(std::weak_ptr<State> alive, Reactor& reactor, Loop State::* loop,
                                   uint64_t run, Duration pause) {
  for (;;) {
    pause = std::min(pause, kSleepMost);
    if (const auto state = alive.lock(); state && (state.get()->*loop).run == run) {
      (state.get()->*loop).wakes = state->now() + pause;
    }
    co_await reactor.sleep(pause);
    const auto state = alive.lock();
    if (!state) co_return;
    // Of the other loop, or of a task before this one.
    while (state->inside) co_await state->left.wait();
    Loop& own = state.get()->*loop;
    if (own.run != run || state->stopped) co_return;
    own.wakes = 0;
    const Instant now = state->now();
    if (now < state->error_until) {
      pause = state->error_until - now;
      continue;
    }
    pause = co_await (loop == &State::hinted ? state->hint_step() : state->pass_step());
    if (own.run != run) co_return;
    if (pause == kNever) {
      own.runs = false;
      co_return;
    }
  }
}

void Flattener::State::start(const std::shared_ptr<State>& state, Loop State::* loop,
                             Duration pause) {
  Loop& own = state.get()->*loop;
  ++own.run;
  own.runs = true;
  own.wakes = state->now() + pause;
  state->reactor.spawn(go_on(state, state->reactor, loop, own.run, pause));
}

/// Errors make everybody wait; the first one in a row is told.
void Flattener::State::note_outcome(const Result<SliceOutcomes>& done) {
  if (done) {
    errors_in_row = 0;
    facts.flattened += static_cast<uint64_t>(
        std::ranges::count(*done, std::optional(model::FlattenOutcome::flattened)));
    return;
  }
  ++facts.errors;
  if (done.error().code() == Errc::shutdown) {
    stopped = true;
    return;
  }
  const unsigned doublings = std::min(errors_in_row++, 10u);
  error_until = now() + std::min(kErrorGapFirst << doublings, kErrorGapMost);
  if (errors_in_row != 1) return;
  report(Severity::warning, name + ": flattening waits: " + done.error().what());
}

/// Precondition: nobody is inside.
Task<Result<SliceOutcomes>> Flattener::State::work(std::vector<vos::ObjectPath> objects,
                                                   vos::FlattenOptions options) {
  // Who stops the flattener waits for it, perhaps with what a rollback needs.
  options.waits = false;
  inside = true;
  auto done = co_await flatten_slice(shard, std::move(objects), options);
  inside = false;
  left.wake_all();
  note_outcome(done);
  co_return done;
}

// ---- hints ----

void Flattener::State::push(Hint hint) {
  if (hints.size() == kFinalHintsMax) {
    hints.pop_front();
    ++facts.hints_dropped;
  }
  if (hints.empty()) oldest = now();
  hints.push_back(hint);
}

void Flattener::State::retry(Hint hint) {
  if (++hint.tries >= kTriesMax || retries.size() == kRetriesMax) {
    ++facts.hints_dropped;
    return;
  }
  hint.due = std::max(error_until, now() + (kRetryFirst << (2 * (hint.tries - 1))));
  retries.push_back(hint);
}

void Flattener::State::take_due_retries() {
  const Instant at = now();
  std::erase_if(retries, [&](const Hint& hint) {
    if (hint.due > at) return false;
    push(hint);
    return true;
  });
}

Instant Flattener::State::next_retry() const {
  Instant first = kNever;
  for (const Hint& hint : retries) first = std::min(first, hint.due);
  return first;
}

/// The oldest one and others of its container, each object once.
std::vector<Hint> Flattener::State::take_batch(size_t count_max) {
  std::vector<Hint> batch, others;
  const vos::ContNumber container = hints.front().object.container;
  for (size_t looked = 0; !hints.empty() && looked < kHintsLookedAt && batch.size() < count_max;
       ++looked) {
    auto& to = hints.front().object.container == container ? batch : others;
    to.push_back(hints.front());
    hints.pop_front();
  }
  hints.insert(hints.begin(), others.begin(), others.end());
  const auto before = [](const Hint& a, const Hint& b) { return order_of(a) < order_of(b); };
  std::sort(batch.begin(), batch.end(), before);
  const auto same = [](const Hint& a, const Hint& b) { return order_of(a) == order_of(b); };
  batch.erase(std::unique(batch.begin(), batch.end(), same), batch.end());
  return batch;
}

/// @returns how long to wait before the next one; kNever: nothing is left
Task<Duration> Flattener::State::hint_step() {
  take_due_retries();
  if (hints.empty()) {
    const Instant next = next_retry();
    if (next == kNever) co_return kNever;
    co_return next - std::min(now(), next);
  }
  const bool urgent = hints.size() >= kHintsUrgent;
  const bool busy = is_busy(hinted);
  if (busy && !urgent && now() < oldest + kHintWaitBusy) co_return kRest;
  const std::vector<Hint> batch = take_batch(busy && !urgent ? kBusySlice : kFlattenSliceMax);
  std::vector<vos::ObjectPath> objects;
  for (const Hint& hint : batch) objects.push_back(hint.object);
  const auto policy = policy_of(objects.front().container);
  const auto done = co_await work(std::move(objects), flatten_options(policy, {}));
  for (size_t i = 0; i < batch.size(); ++i) {
    if (!done || ((*done)[i] && is_for_later(*(*done)[i]))) retry(batch[i]);
  }
  co_return busy && !urgent ? kRest : 0;
}

// ---- passes ----

/// The one behind the last that had a slice.
std::map<vos::ContNumber, FlattenPass>::iterator Flattener::State::due_pass(Instant at) {
  const auto is_due = [at](const auto& entry) { return entry.second.due() <= at; };
  const auto behind = passes.upper_bound(last_pass);
  const auto found = std::find_if(behind, passes.end(), is_due);
  if (found != passes.end()) return found;
  const auto before = std::find_if(passes.begin(), behind, is_due);
  return before != behind ? before : passes.end();
}

FlattenPass* Flattener::State::find(vos::ContNumber container, uint64_t number) {
  const auto found = passes.find(container);
  return found != passes.end() && found->second.number() == number ? &found->second : nullptr;
}

/// Of what a search for cold objects finds.
bool Flattener::State::is_cold(const FlattenPass& pass, const vos::ObjectPath& object) const {
  return pass.is_sealed() || reads == nullptr || reads->reads(object.oid) <= kColdReadsMax;
}

/// Where a part of the tree is lost, what lies before it is flattened, and the round ends there.
Task<void> Flattener::State::listing_failed(vos::ContNumber container, uint64_t number,
                                            Error error) {
  Result<void> works = fail(error);
  if (error.code() == Errc::checksum || error.code() == Errc::io) {
    // A shard that has stopped says io to everything.
    inside = true;
    works = co_await shard.settled();
    inside = false;
    left.wake_all();
  }
  if (!works) {
    note_outcome(fail(error));
    co_return;
  }
  FlattenPass* const pass = find(container, number);
  if (pass == nullptr || stopped) co_return;
  ++facts.errors;
  if (pass->shorten()) co_return;
  report(Severity::error,
         name + ": container " + std::to_string(container) +
             ": some of its objects cannot be found to be flattened: " + error.what());
  pass->unreadable(now());
}

/// Some objects of the container.
Task<void> Flattener::State::pass_slice(vos::ContNumber container, size_t count_max) {
  FlattenPass* pass = &passes.at(container);
  const uint64_t number = pass->number();
  const vos::FlattenOptions options = flatten_options(pass->policy(), reactor.clock().wall_ns());
  if (shard.is_shut(container)) {
    pass->wait_until(now() + kShutPause);
    co_return;
  }
  const bool counts = pass->is_counting();
  count_max = std::min(count_max, pass->page_max());
  inside = true;
  auto listed = co_await shard.object_shards(
      container, pass->position(), static_cast<uint32_t>(counts ? 4 * count_max : count_max));
  inside = false;
  left.wake_all();
  if (!listed) {
    co_await listing_failed(container, number, listed.error());
    co_return;
  }
  pass = find(container, number);
  if (pass == nullptr || stopped) co_return;
  if (counts) {
    pass->counted(*listed);
    co_return;
  }
  if (reads != nullptr) reads->age_to(now());
  std::vector<vos::ObjectPath> objects;
  for (const vos::ObjectPath& object : listed->objects) {
    if (is_cold(*pass, object)) objects.push_back(object);
  }
  const size_t warm = listed->objects.size() - objects.size();
  const auto done = co_await work(std::move(objects), options);
  pass = find(container, number);
  if (!done || pass == nullptr) co_return;
  const uint64_t before = pass->passes();
  pass->flattened(*done, warm, *listed, now());
  facts.passes += pass->passes() - before;
  // What stands in too many pieces to be flattened; where the shard refuses, a later round is told.
  if (pass->take_wish_for_merging()) (void)shard.aggregate_later(container, 0);
}

/// @returns how long to wait before the next one; kNever: nothing is left
Task<Duration> Flattener::State::pass_step() {
  const Instant at = now();
  const auto due = due_pass(at);
  if (due == passes.end()) {
    Instant next = kNever;
    for (const auto& [container, pass] : passes) next = std::min(next, pass.due());
    co_return next == kNever ? kNever : next - at;
  }
  const bool busy = is_busy(passing);
  const Duration pace = due->second.is_sealed() ? kSealedPace : kColdPace;
  if (busy && at < slice_end + pace) co_return kRest;
  last_pass = due->first;
  if (!FlattenPass::is_wanted(policy_of(due->first))) {
    // Destroyed: nobody says so.
    watch_reads(due->second.policy().cold_after_s != 0, false);
    passes.erase(due);
    co_return 0;
  }
  co_await pass_slice(due->first, busy ? kBusySlice : kFlattenSliceMax);
  slice_end = now();
  co_return busy ? kRest : 0;
}

/// While some policy asks for it.
void Flattener::State::watch_reads(bool cold_before, bool cold_now) {
  cold_passes += cold_now;
  cold_passes -= cold_before;
  if (cold_passes == 0) {
    reads.reset();
  } else if (reads == nullptr) {
    reads = std::make_unique<ReadSketch>();
  }
}

// ---- from outside ----

Flattener::Flattener(Reactor& reactor, vos::Shard& shard, std::string name,
                     const uint64_t& requests, PolicyOf policy_of)
    : state_(std::make_shared<State>(reactor, shard, std::move(name), requests,
                                     std::move(policy_of))) {}

Flattener::~Flattener() { state_->stopped = true; }

void Flattener::note_final(const vos::ObjectPath& object) {
  State& s = *state_;
  if (s.stopped || object.container == 0) return;
  ++s.facts.hints;
  s.push({.object = object});
  const Instant now = s.now();
  // The loop may sleep until something is tried again, or after an error.
  const Instant wanted =
      std::max(s.error_until, now + (s.hints.size() == kFlattenSliceMax ? 0 : kHintWait));
  if (!s.hinted.runs || s.hinted.wakes > wanted) {
    State::start(state_, &State::hinted, wanted - now);
  }
}

void Flattener::policy_changed(vos::ContNumber container) {
  State& s = *state_;
  if (s.stopped || container == 0) return;
  const model::WormPolicy policy = s.policy_of(container);
  const auto found = s.passes.find(container);
  s.watch_reads(found != s.passes.end() && found->second.policy().cold_after_s != 0,
                policy.cold_after_s != 0);
  if (!FlattenPass::is_wanted(policy)) {
    if (found != s.passes.end()) s.passes.erase(found);
  } else if (found == s.passes.end() || !found->second.goes_on_under(policy)) {
    s.passes.insert_or_assign(container, FlattenPass(policy, ++s.pass_number));
  } else {
    found->second.set_policy(policy);
  }
  if (!FlattenPass::is_wanted(policy)) return;
  // One that is at work, or about to be, finds it.
  const Instant now = s.now();
  const Instant wanted = std::max(s.error_until, now);
  if (!s.passing.runs || s.passing.wakes > wanted) {
    State::start(state_, &State::passing, wanted - now);
  }
}

bool Flattener::watches_reads() const { return state_->reads != nullptr; }

void Flattener::note_read(const model::ObjectId& object) {
  State& s = *state_;
  if (s.reads == nullptr) return;
  s.reads->age_to(s.now());
  s.reads->note(object);
}

model::FlattenProgress Flattener::progress(vos::ContNumber container) const {
  const auto found = state_->passes.find(container);
  return found == state_->passes.end() ? model::FlattenProgress{} : found->second.progress();
}

Task<void> Flattener::stop() {
  const auto state = state_;
  state->stopped = true;
  while (state->inside) co_await state->left.wait();
  state->hints.clear();
  state->retries.clear();
  state->passes.clear();
  state->cold_passes = 0;
}

Flattener::Facts Flattener::facts() const {
  Facts facts = state_->facts;
  facts.hints_waiting = state_->hints.size() + state_->retries.size();
  return facts;
}

}  // namespace cairn::engine
