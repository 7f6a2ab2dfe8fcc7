// Rpc: the client's side of calls, one per process: its session, its sequence numbers, resends and
// the newest epoch that it has seen. Everything goes through a fabric::Transport. Home: the reactor
// given. Invariant: a sequence is outstanding from its first send until its outcome is known;
// `acknowledged_below` never passes an outstanding one.
#pragma once

#include <deque>
#include <map>

#include "base/result.h"
#include "fabric/transport.h"
#include "model/ids.h"
#include "runtime/reactor.h"
#include "wire/message.h"

namespace cairn::client {

struct RpcOptions {
  Uuid system;           // nil: not checked
  uint64_t session = 0;  // 0: a random one
  /// Time for one attempt; doubled by each resend up to `attempt_ns_max`. kNever: one attempt that
  /// waits as long as it takes (in process nothing is lost).
  Duration attempt_ns = kNever;
  Duration attempt_ns_max = 2 * kSecond;
  /// After this the caller gets timed_out.
  Duration total_ns = 60 * kSecond;
  /// How long an engine may be away (restarting) before its callers learn it.
  Duration reconnect_grace_ns = 0;
};
/// For a process: never 0.
uint64_t random_session(Random& random);
/// For the in-process transport's test mode, whose losses are many and whose engine is near.
RpcOptions lossy_rpc_options();
/// For engines in other processes: messages are not lost, but connections break, engines restart.
RpcOptions served_rpc_options();

class WireCall;

class Rpc {
 public:
  Rpc(Reactor& reactor, fabric::Transport& transport, RpcOptions options = {});
  ~Rpc();

  Reactor& reactor() { return reactor_; }
  const Uuid& system() const { return options_.system; }
  /// Random, never 0. Engines must know it before updates (add_handle).
  uint64_t session() const { return session_; }
  model::Epoch observed() const { return observed_; }
  uint64_t resends() const { return resends_; }

  /// Sends `request` and waits. Fills the header's session fields; what changes something (update,
  /// punch, control) gets a sequence. `request`, `reply` and what they borrow stay until the task
  /// ends.
  /// @error the server's answer, or
  /// @error timed_out    the outcome is unknown
  /// @error unreachable  nobody has served there for all of the grace; nothing was done
  Task<Result<void>> call(fabric::Endpoint to, wire::Request& request, wire::Reply& reply);
  /// One attempt until `deadline`, of a hint: neither resends nor the grace for an engine that is
  /// away. In process it waits as call() does. Precondition: it has no sequence.
  /// @error the server's answer, timed_out, unreachable, overload
  Task<Result<void>> call_once(fabric::Endpoint to, wire::Request& request, wire::Reply& reply,
                               Instant deadline);
  /// Whether call_at_once() may ever succeed: engines are in this process.
  bool calls_at_once() const { return options_.attempt_ns == kNever; }
  /// The same as a plain call, of a read that succeeds without waiting for anything. False: ask
  /// call().
  bool call_at_once(fabric::Endpoint to, wire::Request& request, wire::Reply& reply);
  /// A control request. Bytes in, bytes out.
  Task<Result<Bytes>> control(fabric::Endpoint to, Bytes body);

 private:
  void start_sequence(wire::Request& request);
  void end_sequence(uint64_t sequence);
  Task<Result<void>> send(fabric::Endpoint to, wire::Request& request, WireCall& call);
  bool engine_away(const Result<void>& outcome, const wire::Reply& reply) const;
  static Result<void> after_grace(const wire::Request& request, const Result<void>& outcome);

  Reactor& reactor_;
  fabric::Transport& transport_;
  RpcOptions options_;
  uint64_t session_;
  model::Epoch observed_ = 0;
  uint64_t resends_ = 0;
  uint64_t next_sequence_ = 1;
  uint64_t acknowledged_below_ = 1;
  std::deque<uint8_t> ended_;  // of sequences acknowledged_below_ and up
  /// Engines that do not answer the door, and since when: the grace is theirs, not each call's.
  std::map<uint32_t, Instant> away_since_;  // by rank
};

}  // namespace cairn::client
