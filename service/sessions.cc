// Sessions: a client process, its requests under way, and its answers that it may ask for again.
// An answer's record goes with the commit that decides the request, so there is one exactly if the
// request was executed; it is erased with a later commit of the session, once acknowledged.
#include <algorithm>

#include "base/report.h"
#include "service/service.h"

namespace cairn::service {

class [[nodiscard]] Service::Inside {
 public:
  Inside(Service& service, uint64_t session) : service_(&service), session_(session) {
    ++service.inside_[session];
  }
  Inside(Inside&& other) noexcept
      : service_(std::exchange(other.service_, nullptr)), session_(other.session_) {}
  Inside& operator=(Inside&&) = delete;
  ~Inside() {
    if (service_ == nullptr) return;
    const auto found = service_->inside_.find(session_);
    if (--found->second != 0) return;
    service_->inside_.erase(found);
    service_->left_.wake_all();
  }

 private:
  Service* service_;
  uint64_t session_;
};

Result<Service::Inside> Service::enter(Origin origin) {
  if (ending_.contains(origin.session)) {
    return fail(Errc::no_handle, "service: the client's session is being ended");
  }
  if (origin.resend && ended_.contains(origin.session)) {
    return fail(Errc::unknown, "service: the client's session was ended; the outcome is unknown");
  }
  return Inside(*this, origin.session);
}

Task<Result<Bytes>> Service::handle(Origin origin, Bytes bytes) {
  CO_TRY(hold, gate_.enter());
  CO_TRY(parsed, wire::proto_decode<wire::ControlRequest>(bytes));
  if (parsed.version != wire::kControlVersion) {
    co_return fail(Errc::protocol,
                   "service: a request of another version; use programs of one "
                   "version");
  }
  CO_TRY(inside, enter(origin));
  CO_TRY(earlier, co_await earlier_answer(origin));
  if (earlier) co_return std::move(*earlier);
  const Request request{std::move(parsed), origin};
  CO_TRY(reply, co_await dispatch(request));
  co_return wire::proto_encode(reply);
}

Task<Result<std::optional<Bytes>>> Service::earlier_answer(Origin origin) {
  const auto known = done_.find(origin.session);
  if (known == done_.end() || !known->second.contains(origin.sequence)) {
    co_return std::optional<Bytes>();
  }
  CO_TRY(entry, co_await config_.get(done_key(origin.session, origin.sequence)));
  if (!entry) co_return fail(Errc::unknown, "service: a copy of an acknowledged request");
  CO_TRY(record, parse_record<DoneRecord>(entry->value));
  co_return std::optional<Bytes>(std::move(record.reply));
}

/// Commits what decides the request, with its answer.
/// @error overload  too many answers are not acknowledged   Others as ConfigStore::commit()
Task<Result<void>> Service::commit_done(const Request& request, ConfigTxn txn, Reply reply) {
  const Origin origin = request.origin;
  const bool noted = keeps() && origin.session != 0 && origin.sequence != 0;
  std::vector<uint64_t> acknowledged;
  if (const auto known = done_.find(origin.session); noted && known != done_.end()) {
    const std::set<uint64_t>& kept = known->second;
    const auto open = kept.lower_bound(origin.acknowledged_below);
    if (kept.size() >= kDoneMax && std::distance(open, kept.end()) >= ptrdiff_t{kDoneMax}) {
      co_return fail(Errc::overload, "service: too many answers that were not acknowledged");
    }
    for (auto at = kept.begin(); at != open && acknowledged.size() < kEraseMax; ++at) {
      acknowledged.push_back(*at);
      txn.erase(done_key(origin.session, *at));
    }
  }
  if (noted) {
    txn.put(done_key(origin.session, origin.sequence),
            wire::proto_encode(DoneRecord{.reply = wire::proto_encode(reply)}));
  }
  if (txn.puts.empty() && txn.deletes.empty()) co_return Result<void>{};
  CO_TRY(done, co_await config_.commit(std::move(txn)));
  if (!noted) co_return Result<void>{};
  std::set<uint64_t>& kept = done_[origin.session];
  for (const uint64_t sequence : acknowledged) kept.erase(sequence);
  kept.insert(origin.sequence);
  co_return Result<void>{};
}

Task<void> Service::forget_done(uint64_t session) {
  const auto known = done_.extract(session);
  if (known.empty()) co_return;
  std::vector<std::string> keys;
  for (const uint64_t sequence : known.mapped()) keys.push_back(done_key(session, sequence));
  const auto erased = co_await erase_keys(std::move(keys));
  if (erased) co_return;
  report(Severity::warning, std::string("service: an ended session's answers are erased later: ") +
                                erased.error().what());
}

Task<Result<void>> Service::start_done() {
  if (options_.read_only) co_return Result<void>{};
  if (!keeps()) co_return co_await erase_prefix(std::string(kDonePrefix));
  CO_TRY(entries, co_await config_.range(std::string(kDonePrefix)));
  for (const ConfigEntry& entry : entries) {
    const auto key = parse_session_key(entry.key, kDonePrefix);
    if (!key) co_return fail(Errc::checksum, "config store: a key that names no request");
    done_[key->session].insert(key->number);
    restored_.insert(key->session);
  }
  co_return Result<void>{};
}

std::vector<uint64_t> Service::sessions() const { return {restored_.begin(), restored_.end()}; }

void Service::remember_ended(uint64_t session) {
  if (!ended_.insert(session).second) return;
  ended_order_.push_back(session);
  if (ended_order_.size() <= kEndedMax) return;
  ended_.erase(ended_order_.front());
  ended_order_.pop_front();
}

Task<void> Service::end_session(uint64_t session) {
  const auto hold = gate_.enter();
  if (!hold) co_return;
  while (!ending_.insert(session).second) co_await left_.wait();
  while (inside_.contains(session)) co_await left_.wait();
  co_await end_handles(take_session(session));
  co_await forget_done(session);
  co_await host_.end_session(session);
  restored_.erase(session);
  remember_ended(session);
  ending_.erase(session);
  left_.wake_all();
}

}  // namespace cairn::service
