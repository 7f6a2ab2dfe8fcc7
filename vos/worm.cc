#include "vos/worm.h"

#include "runtime/lasting_text.h"
#include "vos/shard_state.h"

namespace cairn::vos {

namespace {

/// Who seals waits so long until the container's transactions are over, and looks so often.
constexpr Duration kDrainMax = 2 * kSecond;
constexpr Duration kDrainLook = kMillisecond;

static_assert(model::kWormInlineBytesMax == kFlatInlineBytesMax);
static_assert(model::kWormObjectBytesMax == kFlatObjectBytesMax);

const char* refusal_of(const model::Seal& seal) {
  return lasting_text(
      "the container was " + seal_text(seal) + "; `daos cont unseal` lets it be changed again",
      "the container is sealed; `daos cont get-prop` says since when and by whom");
}

/// Wanted also where the shard is full. @returns where it stands in the log
Task<Result<media::Lsn>> write_policy(Shard::State& state, ContNumber container,
                                      model::WormPolicy policy) {
  Bytes value;
  index::Batch batch;
  for (;;) {
    CO_TRY(admitted, co_await state.store->admit());
    // Whatever is issued from now on lies above it, also after a crash.
    state.hlc.advance(policy.seal.epoch);
    const model::Epoch epoch = state.next_epoch();
    batch.clear();
    if (policy == model::WormPolicy{}) {
      batch.erase(policy_key(container));
    } else {
      put_policy(value, epoch, policy);
      batch.put(policy_key(container), value);
    }
    auto prepared = state.tree().prepare(batch, index::Pager::Use::removal);
    if (prepared) {
      const media::Lsn at = state.commit({0, 0, epoch, 0, 0}, batch);
      state.worm.set(container, std::move(policy));
      co_return at;
    }
    if (prepared.error().code() != Errc::page_absent) co_return fail(prepared.error());
    CO_TRY(loaded, co_await state.store->load_absent());
  }
}

/// Waits until nothing of the container stands aside. @error busy
Task<Result<void>> drain(Shard::State& state, ContNumber container) {
  const Instant give_up = state.reactor.clock().now() + kDrainMax;
  while (state.unresolved.any(container)) {
    if (state.gate.closed()) co_return fail(Errc::shutdown, "seal: the shard closes");
    if (state.reactor.clock().now() >= give_up) {
      co_return fail(Errc::busy, "seal: transactions of the container wait for their outcome");
    }
    co_await state.reactor.sleep(kDrainLook);
  }
  co_return Result<void>{};
}

}  // namespace

const model::WormPolicy& WormPolicies::of(ContNumber container) const {
  static const model::WormPolicy kDefault;
  const auto found = entries_.find(container);
  return found == entries_.end() ? kDefault : found->second.policy;
}

Result<void> WormPolicies::check_seal(ContNumber container) const {
  const auto found = entries_.find(container);
  if (found == entries_.end() || found->second.refusal == nullptr) return {};
  return fail(Errc::no_perm, found->second.refusal);
}

void WormPolicies::seal_ahead(ContNumber container, model::WormPolicy policy) {
  set(container, std::move(policy));
  entries_.at(container).is_written = false;
}

void WormPolicies::set(ContNumber container, model::WormPolicy policy) {
  const auto found = entries_.find(container);
  if (found != entries_.end() && found->second.refusal != nullptr) --sealed_;
  if (policy == model::WormPolicy{}) {
    if (found != entries_.end()) entries_.erase(found);
    return;
  }
  Entry entry{std::move(policy)};
  if (entry.policy.seal.is_set()) {
    entry.refusal = refusal_of(entry.policy.seal);
    ++sealed_;
  }
  entries_.insert_or_assign(container, std::move(entry));
}

Result<void> WormPolicies::load(ByteView key, ByteView value) {
  TRY(container, parse_policy_key(key));
  TRY(policy, parse_policy(value));
  set(container, std::move(policy));
  return {};
}

std::vector<ContNumber> WormPolicies::containers() const {
  std::vector<ContNumber> out;
  for (const auto& [container, entry] : entries_) out.push_back(container);
  return out;
}

Task<Result<void>> Shard::set_worm_policy(ContNumber container, model::WormPolicy policy) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  CO_TRY(sound, model::check_worm_policy(policy));
  if (policy.seal.epoch > state.epoch_bound()) {
    co_return fail(Errc::invalid, "seal: its epoch is further in the future than clocks differ");
  }
  const bool seals = policy.seal.is_set();
  if (state.worm.of(container) == policy && state.worm.is_written(container)) {
    CO_TRY(settled, co_await state.settle());
  } else {
    if (seals) state.worm.seal_ahead(container, policy);
    CO_TRY(at, co_await write_policy(state, container, std::move(policy)));
    CO_TRY(durable, co_await state.store->durable(at));
  }
  if (!seals) co_return Result<void>{};
  // Who waits for the end of a freeze is refused all the same, and need not wait for that.
  const auto closure = state.closures.find(container, kWrite);
  if (closure != nullptr && closure->kind == Closure::Kind::frozen) unfreeze_container(container);
  co_return co_await drain(state, container);
}

const model::WormPolicy& Shard::worm_policy(ContNumber container) const {
  return state_->worm.of(container);
}

std::vector<ContNumber> Shard::worm_containers() const { return state_->worm.containers(); }

}  // namespace cairn::vos
