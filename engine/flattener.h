// Flattener: flattens objects of one shard in the background (vos/flatten.h), from two sources.
// Hints: objects that somebody has said to be final. They are kept in memory, and the oldest go
// where there are too many: an object that nobody flattens stays as it is. Passes: all objects of a
// container that is sealed, from its seal on until each is flat or stays as it is for a reason that
// lasts; and, where the container's policy says so, again and again those that have not changed
// for long and are not read often. Others go first: it rests while requests come, as far as that
// can wait.
// Home: the shard's reactor. With nothing to do, nothing runs. How far a pass is stands in memory
// only: after a restart it begins anew, and passes by what is flat.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "model/worm_policy.h"
#include "runtime/reactor.h"
#include "vos/shard.h"

namespace cairn::engine {

/// Hints that wait at once, of a shard.
inline constexpr size_t kFinalHintsMax = 16'384;
/// Objects that are flattened in one call: they share blocks.
inline constexpr size_t kFlattenSliceMax = 256;
/// Objects with more reads noted of late (engine/read_sketch.h) are not cold.
inline constexpr uint8_t kColdReadsMax = 8;

class Flattener {
 public:
  /// What a container's properties say now.
  using PolicyOf = std::function<model::WormPolicy(vos::ContNumber)>;

  /// What has been done since it was made.
  struct Facts {
    uint64_t hints = 0;          // taken
    uint64_t hints_dropped = 0;  // there were too many, or they were tried too often
    size_t hints_waiting = 0;
    uint64_t flattened = 0;  // objects, by hints and passes
    uint64_t passes = 0;     // that came to their end
    uint64_t errors = 0;     // that ended a slice: it is done again later
  };

  /// @param name       of the shard, for the log
  /// @param requests   of the engine: it grows with each; outlives the flattener, as the shard does
  Flattener(Reactor& reactor, vos::Shard& shard, std::string name, const uint64_t& requests,
            PolicyOf policy_of);
  Flattener(const Flattener&) = delete;
  ~Flattener();

  /// Somebody says that the object was written for the last time. It is durable already. Never
  /// waits; again is fine.
  void note_final(const vos::ObjectPath& object);
  /// Asks for the container's policy: a pass begins, goes on or ends. Call it whenever the policy
  /// has changed, and for each container with one when the shard is opened.
  void policy_changed(vos::ContNumber container);
  /// Whether note_read() is of use: only where some policy asks for cold objects.
  bool watches_reads() const;
  void note_read(const model::ObjectId& object);
  /// Of the container's pass. Objects with several shards here count once for each.
  model::FlattenProgress progress(vos::ContNumber container) const;
  /// Returns when nothing uses the shard any more. Whatever is asked afterwards does nothing.
  Task<void> stop();
  Facts facts() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace cairn::engine
