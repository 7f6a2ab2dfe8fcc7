// Object id tables of snapshots.
#include <daos_obj.h>

#include <new>

#include "capi/daos/library.h"
#include "capi/daos/obj_list.h"
#include "client/oid_table.h"

namespace cairn::capi {
namespace {

Task<int> open_task(client::ContainerPtr container, model::Epoch epoch, daos_handle_t* oh) {
  const auto there = co_await client::table_check(container, epoch);
  if (!there) co_return der_of(there);
  auto handle = std::make_shared<TableHandle>();
  handle->container = std::move(container);
  handle->epoch = epoch;
  *oh = library().handles.insert(std::move(handle));
  co_return 0;
}

struct ListArgs {
  daos_obj_id_t* oids = nullptr;
  uint32_t* nr = nullptr;
  daos_anchor_t* anchor = nullptr;
};

/// Which entries are kept: >0, 0, or <0 to end with that code.
int keep_all(daos_obj_id_t, d_iov_t*) { return 1; }
int keep_unmarked(daos_obj_id_t, d_iov_t* marker) { return marker->iov_len == 0 ? 1 : 0; }

/// Puts what the filter keeps of a page into the program's memory.
int answer(client::TablePage page, ListArgs args, daos_oit_filter_cb* filter) {
  uint32_t kept = 0;
  for (size_t i = 0; i < page.oids.size(); ++i) {
    const daos_obj_id_t oid{.lo = page.oids[i].lo, .hi = page.oids[i].hi};
    d_iov_t marker{};
    if (!page.markers.empty()) {
      d_iov_set(&marker, page.markers[i].data(), page.markers[i].size());
    }
    const int wanted = filter(oid, &marker);
    if (wanted < 0) return wanted;
    if (wanted > 0) args.oids[kept++] = oid;
  }
  *args.nr = kept;
  put_position(*args.anchor, page.position, page.eof);
  return 0;
}

client::TableRequest request_of(ListArgs args, Bytes position, daos_oit_filter_cb* filter) {
  return {.position = std::move(position),
          .count_max = *args.nr,
          .with_markers = filter != keep_all};
}

Task<int> list_task(std::shared_ptr<TableHandle> table, client::TableRequest request,
                    ListArgs args, daos_oit_filter_cb* filter) {
  auto page = co_await client::table_list(table->container, table->epoch, std::move(request));
  co_return page ? answer(std::move(*page), args, filter) : der_of(page);
}

int list(daos_handle_t oh, ListArgs args, daos_oit_filter_cb* filter, daos_event_t* ev) {
  auto table = find<TableHandle>(oh);
  if (!table) return call(no_handle(), ev);
  if (args.oids == nullptr || args.nr == nullptr || *args.nr == 0 || args.anchor == nullptr ||
      filter == nullptr) {
    return call(-DER_INVAL, ev);
  }
  if (args.anchor->da_type == DAOS_ANCHOR_TYPE_EOF) {
    *args.nr = 0;
    return call(0, ev);
  }
  auto position = position_in(*args.anchor);
  if (!position) return call(der_of(position), ev);
  client::TableRequest request = request_of(args, std::move(*position), filter);
  if (ev != nullptr) return call(list_task(std::move(table), std::move(request), args, filter), ev);
  // A program's filter runs on its own thread, where it may call the library.
  auto page = run_blocking(client::table_list(table->container, table->epoch, std::move(request)));
  return page ? answer(std::move(*page), args, filter) : der_of(page);
}

Task<int> mark_task(std::shared_ptr<TableHandle> table, model::ObjectId oid, Bytes marker) {
  co_return der_of(
      co_await client::table_mark(table->container, table->epoch, oid, std::move(marker)));
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_oit_open(daos_handle_t coh, daos_epoch_t epoch, daos_handle_t* oh, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (oh == nullptr) return call(-DER_INVAL, ev);
  return call(open_task(std::move(*container), epoch, oh), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_oit_close(daos_handle_t oh, daos_event_t* ev) try {
  return call(library().handles.remove<TableHandle>(oh) ? 0 : no_handle(), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_oit_list(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr, daos_anchor_t* anchor,
                  daos_event_t* ev) {
  return list(oh, {.oids = oids, .nr = oids_nr, .anchor = anchor}, keep_all, ev);
}

int daos_oit_list_unmarked(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr,
                           daos_anchor_t* anchor, daos_event_t* ev) {
  return list(oh, {.oids = oids, .nr = oids_nr, .anchor = anchor}, keep_unmarked, ev);
}

int daos_oit_list_filter(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr,
                         daos_anchor_t* anchor, daos_oit_filter_cb filter, daos_event_t* ev) {
  return list(oh, {.oids = oids, .nr = oids_nr, .anchor = anchor}, filter, ev);
}

int daos_oit_mark(daos_handle_t oh, daos_obj_id_t oid, d_iov_t* marker, daos_event_t* ev) try {
  auto table = find<TableHandle>(oh);
  if (!table) return call(no_handle(), ev);
  Bytes bytes;
  if (marker != nullptr) {
    if (marker->iov_buf == nullptr || marker->iov_len == 0 ||
        marker->iov_len > DAOS_OIT_MARKER_MAX_LEN) {
      return call(-DER_INVAL, ev);
    }
    const ByteView view = view_of(marker->iov_buf, marker->iov_len);
    bytes.assign(view.begin(), view.end());
  }
  return call(mark_task(std::move(table), {.lo = oid.lo, .hi = oid.hi}, std::move(bytes)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
