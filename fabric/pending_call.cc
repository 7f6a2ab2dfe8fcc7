#include "fabric/pending_call.h"

namespace cairn::fabric {

void DeadlineWatch::arm(Instant deadline) {
  if (deadline == kNever || (until_ != kNever && until_ <= deadline)) return;
  until_ = deadline;
  reactor_.spawn(watch(this, reactor_, deadline));
}

Task<void> DeadlineWatch::watch(DeadlineWatch* self, Reactor& reactor, Instant until) {
  const std::weak_ptr<bool> alive = self->alive_;
  const Instant now = reactor.clock().now();
  if (until > now) co_await reactor.sleep(until - now);
  if (alive.expired()) co_return;
  if (self->until_ != until) co_return;  // one that looks earlier took over
  self->until_ = kNever;
  self->arm(self->look_(reactor.clock().now()));
}

}  // namespace cairn::fabric
