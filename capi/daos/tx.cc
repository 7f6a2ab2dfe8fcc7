// Transactions, and conversions of epochs.
#include <daos_api.h>

#include <new>

#include "capi/daos/library.h"
#include "model/hlc.h"

namespace cairn::capi {
namespace {

/// @error no_handle
Result<client::TransactionPtr> tx_of(daos_handle_t th) {
  TRY(running, system());
  const auto handle = find<TxHandle>(th);
  if (!handle) return fail(Errc::no_handle, "transaction handle: unknown or closed");
  return handle->tx;
}

// Bodies of calls: the state of a transaction is looked at on the reactor only.

Task<int> commit_task(client::TransactionPtr tx) { co_return der_of(co_await tx->commit()); }
Task<int> abort_task(client::TransactionPtr tx) { co_return der_of(tx->abort()); }
Task<int> restart_task(client::TransactionPtr tx) { co_return der_of(tx->restart()); }
Task<Result<model::Epoch>> epoch_task(client::TransactionPtr tx) { co_return tx->epoch(); }

Task<int> close_task(daos_handle_t th, client::TransactionPtr tx) {
  if (tx->state() == client::Transaction::State::committing) co_return -DER_BUSY;
  // One that was not committed ends with its last holder.
  co_return library().handles.remove<TxHandle>(th) ? 0 : -DER_NO_HDL;
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_tx_open(daos_handle_t coh, daos_handle_t* th, uint64_t flags, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (th == nullptr) return call(-DER_INVAL, ev);
  auto handle = std::make_shared<TxHandle>();
  handle->tx = std::make_shared<client::Transaction>(
      std::move(*container),
      client::TransactionOptions{.read_only = (flags & DAOS_TF_RDONLY) != 0});
  handle->values_stay = (flags & DAOS_TF_ZERO_COPY) != 0;
  *th = library().handles.insert(std::move(handle));
  return call(0, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_open_snap(daos_handle_t coh, daos_epoch_t epoch, daos_handle_t* th,
                      daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (th == nullptr || epoch == 0 || epoch == DAOS_EPOCH_MAX) return call(-DER_INVAL, ev);
  auto handle = std::make_shared<TxHandle>();
  handle->tx = std::make_shared<client::Transaction>(std::move(*container), epoch);
  *th = library().handles.insert(std::move(handle));
  return call(0, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_commit(daos_handle_t th, daos_event_t* ev) try {
  auto tx = tx_of(th);
  if (!tx) return call(capi::der_of(tx), ev);
  return call(commit_task(std::move(*tx)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_abort(daos_handle_t th, daos_event_t* ev) try {
  auto tx = tx_of(th);
  if (!tx) return call(capi::der_of(tx), ev);
  return call(abort_task(std::move(*tx)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_close(daos_handle_t th, daos_event_t* ev) try {
  auto tx = tx_of(th);
  if (!tx) return call(capi::der_of(tx), ev);
  return call(close_task(th, std::move(*tx)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_restart(daos_handle_t th, daos_event_t* ev) try {
  auto tx = tx_of(th);
  if (!tx) return call(capi::der_of(tx), ev);
  return call(restart_task(std::move(*tx)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_hdl2epoch(daos_handle_t th, daos_epoch_t* epoch) try {
  auto tx = tx_of(th);
  if (!tx) return capi::der_of(tx);
  if (epoch == nullptr) return -DER_INVAL;
  const auto found = run_blocking(epoch_task(std::move(*tx)));
  if (found) *epoch = *found;
  return capi::der_of(found);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_tx_local2global(daos_handle_t th, d_iov_t* glob) {
  (void)th;
  (void)glob;
  return -DER_NOSYS;
}
int daos_tx_global2local(daos_handle_t coh, d_iov_t glob, daos_handle_t* th) {
  (void)coh;
  (void)glob;
  (void)th;
  return -DER_NOSYS;
}

int daos_hlc2timespec(uint64_t hlc, struct timespec* ts) {
  if (ts == nullptr) return -DER_INVAL;
  constexpr uint64_t kNanoseconds = 1'000'000'000;
  const uint64_t ns = model::wall_ns_of_epoch(hlc);
  ts->tv_sec = static_cast<time_t>(ns / kNanoseconds);
  ts->tv_nsec = static_cast<long>(ns % kNanoseconds);
  return 0;
}

int daos_hlc2timestamp(uint64_t hlc, time_t* ts) {
  if (ts == nullptr) return -DER_INVAL;
  timespec whole{};
  (void)daos_hlc2timespec(hlc, &whole);
  *ts = whole.tv_sec;
  return 0;
}

}  // extern "C"
