// Transactions and object id tables are not built yet: what their calls answer until then
// (docs/deviations.md), and conversions of epochs.
#include <daos_api.h>
#include <daos_obj.h>

#include "capi/daos/library.h"
#include "model/hlc.h"

namespace {

// What a program gets in place of a transaction: not DAOS_TX_NONE, so that one which goes on in
// spite of the error does not change data outside of any transaction.
constexpr daos_handle_t kNeverOpen{DAOS_HTYPE_TX};

}  // namespace

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_tx_open(daos_handle_t coh, daos_handle_t* th, uint64_t flags, daos_event_t* ev) {
  (void)flags;
  const auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (th == nullptr) return call(-DER_INVAL, ev);
  *th = kNeverOpen;
  return call(-DER_NOSYS, ev);
}

int daos_tx_open_snap(daos_handle_t coh, daos_epoch_t epoch, daos_handle_t* th, daos_event_t* ev) {
  const auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (th == nullptr || epoch == 0 || epoch == DAOS_EPOCH_MAX) return call(-DER_INVAL, ev);
  *th = kNeverOpen;
  return call(-DER_NOSYS, ev);
}

// There are no transaction handles, so every one is unknown.
int daos_tx_commit(daos_handle_t th, daos_event_t* ev) {
  (void)th;
  return call(no_handle(), ev);
}
int daos_tx_abort(daos_handle_t th, daos_event_t* ev) {
  (void)th;
  return call(no_handle(), ev);
}
int daos_tx_close(daos_handle_t th, daos_event_t* ev) {
  (void)th;
  return call(no_handle(), ev);
}
int daos_tx_restart(daos_handle_t th, daos_event_t* ev) {
  (void)th;
  return call(no_handle(), ev);
}
int daos_tx_hdl2epoch(daos_handle_t th, daos_epoch_t* epoch) {
  (void)th;
  (void)epoch;
  return no_handle();
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

int daos_oit_open(daos_handle_t coh, daos_epoch_t epoch, daos_handle_t* oh, daos_event_t* ev) {
  (void)epoch;
  const auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  return call(oh == nullptr ? -DER_INVAL : -DER_NOSYS, ev);
}
int daos_oit_close(daos_handle_t oh, daos_event_t* ev) {
  (void)oh;
  return call(no_handle(), ev);
}
int daos_oit_list(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr, daos_anchor_t* anchor,
                  daos_event_t* ev) {
  (void)oh;
  (void)oids;
  (void)oids_nr;
  (void)anchor;
  return call(no_handle(), ev);
}
int daos_oit_list_unmarked(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr,
                           daos_anchor_t* anchor, daos_event_t* ev) {
  return daos_oit_list(oh, oids, oids_nr, anchor, ev);
}
int daos_oit_list_filter(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr,
                         daos_anchor_t* anchor, daos_oit_filter_cb filter, daos_event_t* ev) {
  (void)filter;
  return daos_oit_list(oh, oids, oids_nr, anchor, ev);
}
int daos_oit_mark(daos_handle_t oh, daos_obj_id_t oid, d_iov_t* marker, daos_event_t* ev) {
  (void)oh;
  (void)oid;
  (void)marker;
  return call(no_handle(), ev);
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
