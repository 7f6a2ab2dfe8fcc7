// Engine: the data plane of a server. It holds shards by pool and target and a table of open
// handles, checks both on every request, and runs the request on the shard. Control requests go to
// whoever registered for them; shards and handles are added and removed by plain calls (from that
// side). Home: one reactor, the shards'; where targets are dealt over several, one of these is on
// each (cores.h). Invariant: an operation under way holds its shard and its handle.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "engine/flattener.h"
#include "engine/peers.h"
#include "engine/scrubber.h"
#include "engine/seat.h"
#include "fabric/transport.h"
#include "runtime/at_home.h"
#include "runtime/reactor.h"
#include "vos/shard.h"
#include "wire/message.h"

namespace cairn::engine {

/// Handles that may be open at once.
inline constexpr size_t kHandlesMax = size_t{1} << 20;

struct EngineOptions {
  Uuid system;  // requests of another system are refused; nil: not checked
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  uint32_t target_count = 1;  // requests for another target get nonexistent
  /// Handles are given out by another engine, and this one may hear of them late: requests with one
  /// that it has not heard of get `unreachable`, so that their senders wait and ask again.
  bool hears_of_handles = false;
  /// Of the targets, those that this core has; the others are its siblings'.
  uint32_t core = 0, cores = 1;
};

/// What a handle gives access to, on every target of the engine. `session` is the client's: its
/// updates are executed exactly once, and nobody else may use the handle (0: anybody may, and
/// updates need a session that the shards know).
struct HandleSpec {
  Uuid pool;
  vos::ContNumber container = 0;
  bool writable = false;
  uint64_t session = 0;
  bool spread = false;  // the pool has shards of other engines or cores, too
};

/// A control request, handed to the service: an opaque body and who sent it.
struct ControlCall {
  uint64_t session = 0;
  uint64_t sequence = 0;
  uint64_t acknowledged_below = 0;  // answers to smaller sequences have arrived
  bool resend = false;              // an engine before this one may have seen it
  Bytes body;
};
/// Answers control requests. Called at most once per (session, sequence) while the engine lives: it
/// keeps the answer until the client has acknowledged it. An error becomes the client's error.
using ControlHandler = std::move_only_function<Task<Result<Bytes>>(ControlCall)>;

class Engine final : public fabric::Service {
 public:
  Engine(Reactor& reactor, EngineOptions options);
  ~Engine() override;

  /// Without one, control requests get not_supported.
  void set_control(ControlHandler handler);

  /// The other engines of the system, borrowed. Without them, what concerns several engines gets
  /// not_supported.
  void set_peers(Peers* peers);
  /// The other cores of the engine, asked by number; borrowed.
  void set_siblings(Peers* siblings);
  /// False: object requests get unreachable, so that clients wait. For an engine that has to catch
  /// up first.
  void set_serving(bool serving);

  /// `shard` stays the caller's and outlives remove_shards(). One shard per pool and target, all of
  /// a pool before its first handle.
  void add_shard(const Uuid& pool, uint32_t target, vos::Shard& shard);
  /// Closes the pool's handles, waits for operations inside, then forgets its shards (absent:
  /// nothing).
  Task<void> remove_shards(Uuid pool);
  /// The engines with shards of the pool, this one among them, and of this one the cores. Before
  /// resolve_transactions().
  void set_ranks(const Uuid& pool, std::vector<uint32_t> ranks, std::vector<uint32_t> cores = {});
  /// Ends transactions of the pool's shards that a crash cut, as far as the other engines can be
  /// asked; the rest follows in the background, and what it touches waits. When all shards were
  /// added. @error io, no_memory
  Task<Result<void>> resolve_transactions(Uuid pool);
  /// Another engine asks. @error unreachable  the pool is not served here   Others: Peers::ask()
  Task<Result<PeerReply>> serve_peer(PeerRequest request);
  /// How the pool's shards are scrubbed, also those that are added later. In effect at once; off
  /// until it is called.
  void set_scrub(const Uuid& pool, const model::ScrubPolicy& policy);
  /// What was scrubbed of a shard. Nothing: the pool has none there.
  std::optional<Scrubber::Facts> scrub_facts(const Uuid& pool, uint32_t target) const;
  /// Has the pool's flatteners ask for the container's policy (vos::Shard::worm_policy()): whenever
  /// it has changed, and of each container that has one when shards were added.
  void policy_changed(const Uuid& pool, vos::ContNumber container);
  /// Only the flattener of that target.
  void policy_changed(const Uuid& pool, uint32_t target, vos::ContNumber container);
  /// What the passes over the container have come to, on all of the pool's shards here.
  model::FlattenProgress flatten_progress(const Uuid& pool, vos::ContNumber container) const;
  /// What was flattened in the background of a shard. Nothing: the pool has none there.
  std::optional<Flattener::Facts> flatten_facts(const Uuid& pool, uint32_t target) const;
  /// Null if the pool has no shard there.
  vos::Shard* shard(const Uuid& pool, uint32_t target) const;

  /// Makes a handle and opens its session on the shards.
  /// @error nonexistent  the pool has no shard here, nor was it named by set_ranks()
  /// @error overload  kHandlesMax are open
  Result<wire::HandleRef> add_handle(const HandleSpec& spec);
  /// Makes a handle valid that another engine gave out, or one before this one, and opens its
  /// session on the shards. Again is fine.
  /// Where the pool has no shard here, requests get no_handle, and nobody else gets the reference.
  /// @error exists   another handle has that index
  /// @error invalid  no engine gives out such a reference
  Task<Result<void>> restore_handle(HandleSpec spec, wire::HandleRef handle);
  /// Requests that come later get no_handle; returns when those inside have ended.
  /// @error no_handle  unknown or closed before
  Task<Result<void>> remove_handle(wire::HandleRef handle);
  /// Makes these the handles that there are, as restore_handle() does; others are removed, at once,
  /// and those inside waited for. @error exists  as restore_handle(): the rest was done
  /// @param as_of_ns  wall time of the list, where handles are given out: those given out since are
  ///                  not in it and stay
  Task<Result<void>> retain_handles(std::vector<std::pair<HandleSpec, wire::HandleRef>> handles,
                                    uint64_t as_of_ns);
  /// Removes every handle of the container. For its destruction.
  Task<void> evict_container(Uuid pool, vos::ContNumber container);
  size_t handle_count() const;
  /// Forgets what is kept for resends of the client's requests. When it has left.
  void end_session(uint64_t session);

  /// Refuses new requests with shutdown, waits for those inside. The shards stay open.
  Task<void> stop();

  // fabric::Service
  Task<Result<void>> serve(void* request, void* reply) override;
  bool serve_at_once(void* request, void* reply) override;
  Task<Bytes> serve_bytes(Bytes request) override;
  Begun begin_message(Buffer message, size_t head_bytes) override;
  Task<fabric::Message> serve_message(Buffer request, size_t head_bytes) override;

 private:
  struct State;
  AtHome<State> state_;
};

}  // namespace cairn::engine
