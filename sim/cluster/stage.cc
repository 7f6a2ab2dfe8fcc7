#include "sim/cluster/stage.h"

#include <algorithm>

#include "base/crc32c.h"

namespace cairn::sim {

namespace {
constexpr uint64_t kPrime = 0x100000001b3;
}  // namespace

void Trace::add(uint64_t value) {
  hash_ = (hash_ ^ value) * kPrime;
  hash_ ^= hash_ >> 29;
}

void Trace::add(ByteView bytes) {
  add(bytes.size());
  add(crc32c(bytes));
}

void Trace::add(std::string_view text) { add(as_bytes(text)); }

Process::Process(Stage& stage, std::string name)
    : stage_(stage), name_(std::move(name)), clock_(stage.clock()), random_(stage.random().next()) {
  stage_.processes_.push_back(this);
}

Process::~Process() {
  CHECK(!is_running());
  std::erase(stage_.processes_, this);
}

void Process::begin_run() {
  CHECK(!is_running());
  ++life_;
  reactor_ = std::make_unique<Reactor>(clock_, random_, nullptr);
}

void Process::end_run() {
  CHECK(is_running());
  CHECK(!reactor_->on_home());
  reactor_.reset();
}

void Stage::at(Instant when, std::move_only_function<void()> event) {
  events_.push_back({std::max(when, now()), order_++, std::move(event)});
  std::ranges::push_heap(events_, [](const Event& a, const Event& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  });
}

/// Has it anything to do? Most have not, most of the time.
bool Stage::is_due(const Reactor& reactor) {
  return reactor.has_ready() || reactor.next_timer() <= clock_.now() || reactor.has_mail();
}

/// What is due now, once.
bool Stage::turn() {
  bool ran = false;
  // By number: an event may add processes or end them.
  for (size_t i = 0; i < processes_.size(); ++i) {
    Process& process = *processes_[i];
    if (process.is_running() && is_due(*process.reactor_)) ran |= process.reactor_->turn();
  }
  while (!events_.empty() && events_.front().at <= now()) {
    std::ranges::pop_heap(events_, [](const Event& a, const Event& b) {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    });
    auto run = std::move(events_.back().run);
    events_.pop_back();
    run();
    ran = true;
  }
  return ran;
}

Instant Stage::next() const {
  Instant next = events_.empty() ? kNever : events_.front().at;
  for (const Process* const process : processes_) {
    if (process->is_running()) next = std::min(next, process->reactor_->next_timer());
  }
  return next;
}

bool Stage::run(const std::function<bool()>& done, Instant until) {
  while (!done()) {
    if (turn()) continue;
    const Instant at = next();
    if (at > until) {
      clock_.advance_to(std::max(until, clock_.now()));
      return done();
    }
    clock_.advance_to(std::max(at, clock_.now()));
  }
  return true;
}

}  // namespace cairn::sim
