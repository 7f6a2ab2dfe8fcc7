// Snapshots of containers, and our own calls on them (cairn_cont.h).
#include <cairn_cont.h>
#include <daos_cont.h>

#include <algorithm>
#include <new>

#include "capi/daos/library.h"
#include "client/oid_table.h"

namespace cairn::capi {
namespace {

Task<int> create_task(client::ContainerPtr container, bool with_table, daos_epoch_t* epoch) {
  auto made = co_await container->snap_create();
  if (!made) co_return der_of(made);
  if (with_table) {
    const auto table = co_await client::table_create(container, *made);
    if (!table) {
      (void)co_await container->snap_destroy(*made);
      co_return der_of(table);
    }
  }
  *epoch = *made;
  co_return 0;
}

struct SnapListArgs {
  int* nr = nullptr;
  daos_epoch_t* epochs = nullptr;
  daos_anchor_t* anchor = nullptr;
};

Task<int> list_task(client::ContainerPtr container, SnapListArgs args) {
  auto found = co_await container->snap_list();
  if (!found) co_return der_of(found);
  const size_t room = args.epochs == nullptr || *args.nr < 0 ? 0 : static_cast<size_t>(*args.nr);
  for (size_t i = 0; i < std::min(room, found->size()); ++i) args.epochs[i] = (*found)[i].epoch;
  *args.nr = static_cast<int>(found->size());
  if (args.anchor != nullptr) args.anchor->da_type = DAOS_ANCHOR_TYPE_EOF;
  co_return 0;
}

/// The table first: a snapshot is the only way to it.
Task<int> destroy_task(client::ContainerPtr container, model::Epoch epoch) {
  auto known = co_await container->snap_list();
  if (!known) co_return der_of(known);
  const auto found = std::ranges::find(*known, epoch, &client::Snapshot::epoch);
  if (found != known->end() && found->has_table) {
    const auto gone = co_await client::table_destroy(container, epoch);
    if (!gone) co_return der_of(gone);
  }
  co_return der_of(co_await container->snap_destroy(epoch));
}

Task<int> rollback_task(client::ContainerPtr container, model::Epoch epoch) {
  co_return der_of(co_await container->rollback(epoch));
}

Task<int> table_create_task(client::ContainerPtr container, model::Epoch epoch) {
  co_return der_of(co_await client::table_create(std::move(container), epoch));
}

Task<int> table_destroy_task(client::ContainerPtr container, model::Epoch epoch) {
  co_return der_of(co_await client::table_destroy(std::move(container), epoch));
}

bool read_only(const client::ContainerPtr& container) {
  return container->access() == client::Access::read_only;
}

constexpr uint32_t kDifferencesPerPage = 256;

cairn_snap_difference_t difference_of(const client::Difference& from) {
  cairn_snap_difference_t to{};
  to.oid = {.lo = from.oid.lo, .hi = from.oid.hi};
  to.kind = static_cast<uint32_t>(from.kind);
  to.dkey = from.dkey.data();
  to.dkey_bytes = from.dkey.size();
  to.akey = from.akey.data();
  to.akey_bytes = from.akey.size();
  return to;
}
static_assert(CAIRN_SNAP_REMOVED == static_cast<int>(client::Difference::Kind::removed));
static_assert(CAIRN_SNAP_CHANGED == static_cast<int>(client::Difference::Kind::changed));

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_cont_create_snap_opt(daos_handle_t coh, daos_epoch_t* epoch, char* name,
                              enum daos_snapshot_opts opts, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (name != nullptr) return call(-DER_NOSYS, ev);
  if (epoch == nullptr) return call(-DER_INVAL, ev);
  if ((opts & DAOS_SNAP_OPT_CR) == 0) return call(-DER_NOSYS, ev);
  const bool with_table = (opts & DAOS_SNAP_OPT_OIT) != 0;
  return call(create_task(std::move(*container), with_table, epoch), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_create_snap(daos_handle_t coh, daos_epoch_t* epoch, char* name, daos_event_t* ev) {
  return daos_cont_create_snap_opt(coh, epoch, name, DAOS_SNAP_OPT_CR, ev);
}

int daos_cont_list_snap(daos_handle_t coh, int* nr, daos_epoch_t* epochs, char** names,
                        daos_anchor_t* anchor, daos_event_t* ev) try {
  (void)names;  // there are none
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (nr == nullptr) return call(-DER_INVAL, ev);
  return call(list_task(std::move(*container), {.nr = nr, .epochs = epochs, .anchor = anchor}),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_destroy_snap(daos_handle_t coh, daos_epoch_range_t epr, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (epr.epr_lo != epr.epr_hi || epr.epr_lo == 0) return call(-DER_INVAL, ev);
  return call(destroy_task(std::move(*container), epr.epr_lo), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_snap_oit_create(daos_handle_t coh, daos_epoch_t epoch, char* name,
                              daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (name != nullptr) return call(-DER_NOSYS, ev);
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  return call(table_create_task(std::move(*container), epoch), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_snap_oit_destroy(daos_handle_t coh, daos_handle_t oh, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  const auto table = find<TableHandle>(oh);
  if (!table) return call(-DER_NO_HDL, ev);
  if ((*container)->uuid() != table->container->uuid()) return call(-DER_INVAL, ev);
  return call(table_destroy_task(std::move(*container), table->epoch), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int cairn_cont_rollback(daos_handle_t coh, daos_epoch_t epoch, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (epoch == 0 || epoch == DAOS_EPOCH_MAX) return call(-DER_INVAL, ev);
  return call(rollback_task(std::move(*container), epoch), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int cairn_cont_snap_diff(daos_handle_t coh, daos_epoch_t older, daos_epoch_t newer,
                         cairn_snap_diff_cb_t* found, void* arg) try {
  auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  if (found == nullptr) return -DER_INVAL;
  Bytes position;
  for (bool eof = false; !eof;) {
    auto page = run_blocking(
        (*container)->snap_diff(older, newer, std::move(position), kDifferencesPerPage));
    if (!page) return capi::der_of(page);
    for (const client::Difference& difference : page->differences) {
      const cairn_snap_difference_t one = difference_of(difference);
      if (const int rc = found(&one, arg); rc != 0) return rc;
    }
    position = std::move(page->position);
    eof = page->eof;
  }
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
