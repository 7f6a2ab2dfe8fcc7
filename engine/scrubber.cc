#include "engine/scrubber.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/report.h"

namespace cairn::engine {

namespace {

/// Read between two looks at what others want.
constexpr uint64_t kSliceBytes = 256u << 10;
/// Who is at work is left alone until no request has come for this long.
constexpr Duration kRest = 20 * kMillisecond;
/// A timed pass that is late reads no faster than a slice in this time.
constexpr Duration kPauseLeast = 10 * kMillisecond;
/// A pass never begins sooner after the end of the one before.
constexpr Duration kGapLeast = kSecond;
/// Nor so soon after one that an error ended: it may well be there again, as in a stopped shard.
constexpr Duration kGapAfterError = 600 * kSecond;
/// What sleeps longer looks in between: nothing can be woken before its time.
constexpr Duration kSleepMost = 60 * kSecond;
constexpr uint64_t kFrequencyMax = 100ull * 365 * 86'400;
/// Losses of one pass that get a line of their own in the log.
constexpr size_t kToldMax = 32;

}  // namespace

struct Scrubber::State {
  State(Reactor& r, vos::Shard& s, std::string n, const uint64_t& q)
      : reactor(r), shard(s), name(std::move(n)), requests(q), left(r) {}

  Reactor& reactor;
  vos::Shard& shard;
  const std::string name;
  const uint64_t& requests;
  model::ScrubPolicy policy;
  Facts facts;

  uint64_t run = 0;  // the task that may go on; those before it end when they wake
  bool stopped = false;
  bool inside = false;  // a slice is under way
  WaitList left;

  std::optional<vos::Scrub> pass;
  Instant begun = 0;         // the pass, or the last one
  Instant next_begin = 0;    // of the next one
  bool waits = false;        // for that: one has ended since it was switched on
  uint64_t bytes_total = 0;  // to be read, as far as known when it began
  uint64_t seen_requests = 0;
  size_t told = 0;  // of the pass's losses
  uint64_t counted = 0;
  bool threshold_told = false;

  Duration frequency() const {
    return static_cast<Duration>(std::min(policy.frequency_s, kFrequencyMax)) * kSecond;
  }
  void begin_pass();
  void count();
  void end_pass(const Result<bool>& last);
  Instant next_slice() const;
  Task<Duration> step();
  static Task<void> go_on(std::weak_ptr<State> alive, Reactor& reactor, uint64_t run);
};

void Scrubber::State::begin_pass() {
  const vos::ShardUsage usage = shard.usage();
  bytes_total = usage.meta_used + usage.data_total - usage.data_free;
  begun = reactor.clock().now();
  told = 0;
  counted = 0;
  threshold_told = false;
  pass.emplace(shard, vos::ScrubOptions{});
}

/// Tells what is new in the pass's report.
void Scrubber::State::count() {
  const vos::ScrubReport& found = pass->report();
  for (; told < std::min(found.losses.size(), kToldMax); ++told) {
    report(Severity::error, name + ": " + vos::loss_text(found.losses[told]));
  }
  facts.losses += found.loss_count - counted;
  counted = found.loss_count;
  if (policy.threshold == 0 || counted < policy.threshold || threshold_told) return;
  threshold_told = true;
  report(Severity::error, name + ": the threshold of " + std::to_string(policy.threshold) +
                              " losses is reached; replace what it stands on");
}

void Scrubber::State::end_pass(const Result<bool>& last) {
  const vos::ScrubReport& found = pass->report();
  facts.pages += found.pages;
  facts.blocks += found.blocks;
  for (const std::string& problem : found.problems) report(Severity::error, name + ": " + problem);
  if (found.loss_count > told) {
    report(Severity::error, name + ": in all " + std::to_string(found.loss_count) +
                                " losses; `cairn check --losses` lists them");
  }
  const bool failed = !last && last.error().code() != Errc::shutdown;
  if (failed) {
    report(Severity::warning, name + ": a scrub was cut short: " + last.error().what());
  }
  if (last) ++facts.passes;
  pass.reset();
  waits = true;
  const Duration gap = failed ? kGapAfterError : kGapLeast;
  next_begin = std::max(begun + frequency(), reactor.clock().now() + gap);
}

/// When the next slice of the pass is due.
Instant Scrubber::State::next_slice() const {
  if (policy.mode == model::ScrubMode::lazy) return 0;
  const auto read = static_cast<double>(pass->report().bytes);
  const double share = bytes_total == 0 ? 1.0 : read / static_cast<double>(bytes_total);
  return begun + static_cast<Duration>(static_cast<double>(frequency()) * std::min(share, 1.0));
}

/// @returns how long to wait before the next one
Task<Duration> Scrubber::State::step() {
  const Instant now = reactor.clock().now();
  const Instant due = pass ? next_slice() : next_begin;
  if (now < due) co_return due - now;
  if (policy.mode == model::ScrubMode::lazy && seen_requests != requests) {
    seen_requests = requests;
    co_return kRest;
  }
  if (!pass) begin_pass();
  inside = true;
  const uint64_t mine = run;
  const auto more = co_await pass->slice(kSliceBytes);
  inside = false;
  left.wake_all();
  count();
  // Switched off while it read.
  const bool over = mine != run && (stopped || policy.mode == model::ScrubMode::off);
  if (over || !more || !*more) {
    end_pass(over ? Result<bool>(fail(Errc::shutdown, "scrub: switched off")) : more);
    co_return next_begin - reactor.clock().now();
  }
  co_return policy.mode == model::ScrubMode::lazy ? 0 : kPauseLeast;
}

Task<void> Scrubber::State::go_on(std::weak_ptr<State> alive, Reactor& reactor, uint64_t run) {
  for (Duration pause = kRest;;) {
    co_await reactor.sleep(std::min(pause, kSleepMost));
    const auto state = alive.lock();
    if (!state) co_return;
    // Of a task before this one.
    while (state->inside) co_await state->left.wait();
    if (state->run != run) co_return;
    pause = co_await state->step();
  }
}

Scrubber::Scrubber(Reactor& reactor, vos::Shard& shard, std::string name, const uint64_t& requests)
    : state_(std::make_shared<State>(reactor, shard, std::move(name), requests)) {}

Scrubber::~Scrubber() {
  // A pass is left only where a process came to its end and its tasks are no more: stop() comes
  // first elsewhere.
  State& s = *state_;
  s.stopped = true;
  ++s.run;
  if (!s.inside) s.pass.reset();
}

void Scrubber::set_policy(const model::ScrubPolicy& policy) {
  State& s = *state_;
  if (s.stopped || s.policy == policy) return;
  s.policy = policy;
  ++s.run;
  const bool off = policy.mode == model::ScrubMode::off;
  if (off && !s.inside) s.pass.reset();
  if (off) s.waits = false;
  s.next_begin = s.waits ? s.begun + s.frequency() : 0;
  if (!off) s.reactor.spawn(State::go_on(state_, s.reactor, s.run));
}

Task<void> Scrubber::stop() {
  const auto state = state_;
  state->stopped = true;
  ++state->run;
  while (state->inside) co_await state->left.wait();
  state->pass.reset();
}

Scrubber::Facts Scrubber::facts() const {
  Facts facts = state_->facts;
  facts.running = state_->pass.has_value();
  if (facts.running) {
    facts.pages += state_->pass->report().pages;
    facts.blocks += state_->pass->report().blocks;
  }
  return facts;
}

}  // namespace cairn::engine
