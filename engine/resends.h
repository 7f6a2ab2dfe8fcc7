// Resends: makes a request that came twice run once at a time, and control requests once at all; so
// what was refused once is not done by a copy that comes later.
// Only messages that crossed as bytes can come twice. Internal to engine/. Home: the engine's
// reactor.
#pragma once

#include <map>

#include "base/flat_map.h"
#include "base/result.h"
#include "runtime/reactor.h"
#include "wire/message.h"

namespace cairn::engine {

/// Sessions that may be known at once: a bound on what unknown peers can make an engine hold.
inline constexpr size_t kSessionsMax = 65'536;
/// Unacknowledged sequences of one session; a client has at most as many calls under way.
inline constexpr size_t kSequencesMax = 65'536;

/// What became of one sequence.
struct Attempt {
  bool running = true;
  bool answered = false;  // by `error`, or (a control request) by `answer`
  Error error{Errc::ok, ""};
  Bytes answer;
};

class Resends {
 public:
  explicit Resends(Reactor& reactor) : ended_(reactor) {}

  /// Enters a sequence; waits while an earlier copy runs. Then the caller serves the request and
  /// calls end(), except where *answered is returned: that was the outcome.
  /// @error unknown   acknowledged before, or the session has ended: a copy that comes too late
  /// @error overload  too many sessions or sequences
  Task<Result<const Attempt*>> begin(uint64_t session, uint64_t sequence, uint64_t acknowledged);
  void end(const wire::Request& request, const wire::Reply& reply);
  /// Copies that wait get unknown.
  void forget(uint64_t session) {
    sessions_.erase(session);
    ended_.wake_all();
  }

 private:
  struct Session {
    uint64_t acknowledged_below = 0;
    std::map<uint64_t, Attempt> attempts;
  };
  Attempt* find(uint64_t session, uint64_t sequence);

  FlatMap<uint64_t, Session> sessions_;
  WaitList ended_;
};

}  // namespace cairn::engine
