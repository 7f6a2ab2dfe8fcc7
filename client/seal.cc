// Sealed containers from the client's side: sealing, unsealing, and what a change is told that is
// refused.
#include "base/report.h"
#include "client/system_impl.h"
#include "runtime/lasting_text.h"
#include "wire/worm.h"

namespace cairn::client {

namespace {

/// What was learned about a container's seal is good for so long.
constexpr Duration kSealKnown = kSecond;

WormInfo::SealState state_of(wire::SealState state) {
  switch (state) {
    case wire::SealState::sealing:
      return WormInfo::SealState::sealing;
    case wire::SealState::sealed:
      return WormInfo::SealState::sealed;
    case wire::SealState::unsealing:
      return WormInfo::SealState::unsealing;
    default:
      return WormInfo::SealState::none;
  }
}

}  // namespace

Task<Result<void>> ContainerImpl::seal(std::string by) {
  auto wanted = request(wire::Op::cont_seal);
  wanted.name = std::move(by);
  return pool_->impl().command(std::move(wanted));
}

Task<Result<void>> ContainerImpl::unseal() {
  return pool_->impl().command(request(wire::Op::cont_unseal));
}

Task<Result<WormInfo>> ContainerImpl::query_worm(bool with_progress) {
  auto wanted = request(wire::Op::cont_worm);
  wanted.count = with_progress ? 1 : 0;
  CO_TRY(reply, co_await pool_->impl().control(std::move(wanted)));
  CO_TRY(policy, wire::policy_of(reply.worm.worm));
  co_return WormInfo{.policy = std::move(policy),
                     .state = state_of(reply.worm.seal_state),
                     .progress = wire::progress_of(reply.worm.progress),
                     .targets_away = reply.worm.targets_away};
}

/// Says once for each seal when and by whom the container was sealed: a program may have thousands
/// of changes refused, and shows none of their errors.
Task<Error> ContainerImpl::explain(Error error) {
  const Instant now = reactor().clock().now();
  if (seal_asked_ == 0 || now - seal_asked_ >= kSealKnown) {
    seal_asked_ = now;
    const auto found = co_await query_worm(false);
    if (!found || found->state == WormInfo::SealState::none) {
      seal_text_ = nullptr;
      co_return error;
    }
    const char* const text =
        lasting_text("container " + to_string(uuid()) + " was " + seal_text(found->policy.seal) +
                         "; `daos cont unseal` lets it be changed again",
                     "the container is sealed; `daos cont query` says since when and by whom");
    if (text != seal_text_) report(Severity::warning, text);
    seal_text_ = text;
  }
  if (seal_text_ == nullptr) co_return error;
  co_return Error(error.code(), seal_text_);
}

}  // namespace cairn::client
