// Scrubber: one shard proves what stands on its media again and again, as the properties of its
// pool say (model/scrub_policy.h). Damage is told in the log; reads find it for themselves.
// Home: the shard's reactor. With mode off nothing runs. A pass is kept in memory only: one that a
// restart cuts begins anew.
#pragma once

#include <memory>
#include <string>

#include "model/scrub_policy.h"
#include "runtime/reactor.h"
#include "vos/scrub.h"

namespace cairn::engine {

class Scrubber {
 public:
  /// What has been done since it was made.
  struct Facts {
    uint64_t passes = 0;             // that came to their end
    uint64_t pages = 0, blocks = 0;  // read
    uint64_t losses = 0;
    bool running = false;  // a pass has begun
  };

  /// @param name      of the shard, for the log
  /// @param requests  of the engine: it grows with each; outlives the scrubber, as the shard does
  Scrubber(Reactor& reactor, vos::Shard& shard, std::string name, const uint64_t& requests);
  Scrubber(const Scrubber&) = delete;
  ~Scrubber();

  /// Takes effect at once; a pass that has begun goes on under it, unless the mode is off.
  void set_policy(const model::ScrubPolicy& policy);
  /// Returns when nothing reads the shard any more. set_policy() does nothing afterwards.
  Task<void> stop();
  Facts facts() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace cairn::engine
