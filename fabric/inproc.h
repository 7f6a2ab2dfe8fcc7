// The in-process transport: a call is a plain hand-over by reference, on the caller's reactor, with
// no copy and no time limit. Its test mode stands in for a network: every message becomes bytes, is
// delayed, may be lost on either way, and is parsed at the other end. Home: the reactor given.
#pragma once

#include <memory>
#include <vector>

#include "fabric/transport.h"
#include "runtime/reactor.h"

namespace cairn::fabric {

struct InprocOptions {
  bool encode = false;     // every message crosses as bytes
  double drop_chance = 0;  // 0..1, per message, so twice per call; needs `encode`
  Duration delay_max = 0;  // uniform in [0, delay_max], each way; needs `encode`
  uint64_t seed = 0;       // of delays and losses
};

/// For tests and metrics.
struct InprocCounts {
  uint64_t calls = 0, requests_lost = 0, replies_lost = 0, replies_late = 0;
};

class InprocTransport final : public Transport {
 public:
  /// A drop chance or a delay switches `encode` on.
  InprocTransport(Reactor& reactor, InprocOptions options);
  ~InprocTransport() override;

  /// `service` outlives the transport, or is detached first.
  void attach(Endpoint at, Service& service);
  void detach(Endpoint at);

  Task<Result<void>> call(Endpoint to, Call& call, Instant deadline) override;
  bool call_at_once(Endpoint to, Call& call) override;
  /// Waits for messages that are still under way (test mode). Call before destruction, with no
  /// calls left.
  Task<void> close();

  const InprocCounts& counts() const { return counts_; }

 private:
  struct Flight;
  Task<Result<void>> call_by_bytes(Service& service, Call& call, Instant deadline);
  Task<void> carry(std::shared_ptr<Flight> flight, Service& service, Bytes request);
  Task<void> watch(std::shared_ptr<Flight> flight);
  Service* find(Endpoint at) const;
  bool lose();
  Duration delay();

  struct Attached {
    Endpoint at;
    Service* service;
  };
  Reactor& reactor_;
  InprocOptions options_;
  SeededRandom random_;
  Gate gate_;
  std::vector<Attached> services_;  // a handful
  InprocCounts counts_;
};

}  // namespace cairn::fabric
