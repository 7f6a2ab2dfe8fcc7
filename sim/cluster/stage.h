// Stage: several simulated processes on one clock. A process is a reactor with a clock and random
// numbers of its own, and dies alone: its tasks are dropped wherever they are. What goes on outside
// of processes (messages under way, faults to come) are events of the stage. Everything follows
// from the seed; the trace tells two runs apart.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "runtime/reactor.h"
#include "sim/clock.h"

namespace cairn::sim {

/// A hash over all that happened, in order.
class Trace {
 public:
  void add(uint64_t value);
  void add(ByteView bytes);
  void add(std::string_view text);
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

class Stage;

/// The clock of one process: the stage's time, and a wall clock that may be wrong.
class SkewedClock final : public Clock {
 public:
  explicit SkewedClock(SimClock& base) : base_(base) {}
  Instant now() override { return base_.now(); }
  uint64_t wall_ns() override { return base_.wall_ns() + static_cast<uint64_t>(skew_ns_); }
  void set_skew_ns(int64_t skew_ns) { skew_ns_ = skew_ns; }

 private:
  SimClock& base_;
  int64_t skew_ns_ = 0;
};

/// A process that runs, or does not. Outlives its runs.
class Process {
 public:
  Process(Stage& stage, std::string name);
  virtual ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  Stage& stage() { return stage_; }
  const std::string& name() const { return name_; }
  bool is_running() const { return reactor_ != nullptr; }
  /// Counts runs, from 1.
  uint64_t life() const { return life_; }
  Reactor& reactor() { return *reactor_; }
  SkewedClock& clock() { return clock_; }
  Random& random() { return random_; }

 protected:
  /// Begins a run: a reactor without tasks.
  void begin_run();
  /// Ends it: tasks are dropped where they are. Then the objects that they used may go.
  void end_run();

 private:
  friend class Stage;
  Stage& stage_;
  const std::string name_;
  SkewedClock clock_;
  SeededRandom random_;
  std::unique_ptr<Reactor> reactor_;
  uint64_t life_ = 0;
};

class Stage {
 public:
  explicit Stage(uint64_t seed) : random_(seed) {}
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  Instant now() { return clock_.now(); }
  SimClock& clock() { return clock_; }
  Random& random() { return random_; }
  Trace& trace() { return trace_; }

  /// Runs `event` at that time, outside of every process; those of one time in the order in which
  /// they were given.
  void at(Instant when, std::move_only_function<void()> event);
  void after(Duration delay, std::move_only_function<void()> event) {
    at(now() + delay, std::move(event));
  }

  /// Runs everything until `done`, or until `until`. @returns what `done` said last
  bool run(const std::function<bool()>& done, Instant until);

 private:
  friend class Process;
  struct Event {
    Instant at = 0;
    uint64_t order = 0;
    std::move_only_function<void()> run;
  };
  bool is_due(const Reactor& reactor);
  bool turn();
  Instant next() const;

  SimClock clock_;
  SeededRandom random_;
  Trace trace_;
  std::vector<Process*> processes_;
  std::vector<Event> events_;  // a heap by (at, order)
  uint64_t order_ = 0;
};

}  // namespace cairn::sim
