#include "engine/resends.h"

namespace cairn::engine {

namespace {

/// A change with this outcome was looked at and refused: that answer counts, whatever a copy of it
/// would find. After other errors the same request again may be done, or finds out what was. What
/// was done is in the shard's log, which knows copies.
bool is_refusal(Errc code) {
  return code == Errc::exists || code == Errc::nonexistent || code == Errc::tx_restart;
}

}  // namespace

Attempt* Resends::find(uint64_t session, uint64_t sequence) {
  const auto known = sessions_.find(session);
  if (known == sessions_.end()) return nullptr;
  const auto attempt = known->second.attempts.find(sequence);
  return attempt == known->second.attempts.end() ? nullptr : &attempt->second;
}

Task<Result<const Attempt*>> Resends::begin(uint64_t session, uint64_t sequence,
                                            uint64_t acknowledged) {
  for (;;) {
    if (!sessions_.contains(session) && sessions_.size() >= kSessionsMax) {
      co_return fail(Errc::overload, "engine: too many clients; try again later");
    }
    Session& known = sessions_[session];
    if (acknowledged > known.acknowledged_below) {
      known.acknowledged_below = acknowledged;
      // Running ones stay until they end.
      std::erase_if(known.attempts, [acknowledged](const auto& entry) {
        return entry.first < acknowledged && !entry.second.running;
      });
    }
    if (sequence < known.acknowledged_below) {
      co_return fail(Errc::unknown, "engine: a copy of a request that was answered before");
    }
    const auto at = known.attempts.find(sequence);
    if (at == known.attempts.end()) {
      if (known.attempts.size() >= kSequencesMax) {
        co_return fail(Errc::overload, "engine: too many requests of one client; try again later");
      }
      known.attempts.emplace(sequence, Attempt{});
      co_return nullptr;
    }
    if (!at->second.running) {
      if (at->second.answered) co_return &at->second;
      at->second.running = true;
      co_return nullptr;
    }
    co_await ended_.wait();
    if (!sessions_.contains(session)) {
      co_return fail(Errc::unknown, "engine: the session has ended; the outcome is unknown");
    }
  }
}

void Resends::end(const wire::Request& request, const wire::Reply& reply) {
  Attempt* const attempt = find(request.header.session, request.header.sequence);
  if (attempt == nullptr) return;  // the session was forgotten meanwhile
  attempt->running = false;
  if (is_refusal(reply.error.code())) {
    attempt->answered = true;
    attempt->error = reply.error;
  } else if (request.opcode() == wire::Opcode::control) {
    attempt->answered = true;
    attempt->error = reply.error;
    if (const auto* const bytes = std::get_if<Bytes>(&reply.body)) attempt->answer = *bytes;
  }
  ended_.wake_all();
}

}  // namespace cairn::engine
