// World: simulated clock, random numbers, disks and a reactor, run to an end from a seed. A power
// cut ends an era; the next era has a new reactor over what the disks kept.
//
//   World world(seed);
//   SimDisk& disk = world.add_disk("meta", 1 << 20);
//   world.cut_power_at(17);                        // the 17th request from now is the last to
//   start auto result = world.run(work(...));            // nullopt: the power went
//   world.end_era();                               // frames are destroyed; now drop objects of the
//   era world.begin_era();                             // unflushed sectors have been decided
//
// Objects that tasks refer to must live until end_era() has returned and be dropped before
// begin_era().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/reactor.h"
#include "sim/clock.h"
#include "sim/disk.h"

namespace cairn::sim {

class World {
 public:
  explicit World(uint64_t seed);
  ~World();

  Reactor& reactor() { return *reactor_; }
  SimClock& clock() { return clock_; }
  Random& random() { return random_; }
  Power& power() { return power_; }

  SimDisk& add_disk(std::string name, uint64_t bytes);
  const std::vector<std::unique_ptr<SimDisk>>& disks() const { return disks_; }
  /// All disks so far lie behind one cache: a flush of one is a flush of all.
  void share_cache();

  /// The n-th request to any disk from now on is the last to start; 0: never.
  void cut_power_at(uint64_t requests_from_now);
  uint64_t requests() const { return power_.requests; }

  /// Runs until the task has ended. Nullopt: the power went first. A task that waits for something
  /// that can never come is a bug and aborts with a message.
  template <class T>
  std::optional<T> run(Task<T> task) {
    std::optional<T> result;
    reactor_->spawn(keep(std::move(task), result));
    drive([&result] { return result.has_value(); });
    return result;
  }
  /// Runs whatever is under way for a while.
  void run_for(Duration duration);

  void end_era();
  void begin_era();

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  void drive(std::move_only_function<bool()> done);

  SimClock clock_;
  SeededRandom random_;
  Power power_;
  std::unique_ptr<Reactor> reactor_;
  std::vector<std::unique_ptr<SimDisk>> disks_;
};

}  // namespace cairn::sim
