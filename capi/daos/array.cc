// Arrays of equal cells over client/array.h, and the record that keeps their sizes.
#include <daos_array.h>

#include <cstring>
#include <new>

#include "capi/daos/array_attr_format.h"
#include "capi/daos/global.h"
#include "capi/daos/obj_args.h"
#include "capi/daos/obj_open.h"
#include "client/array.h"

namespace cairn::capi {
namespace {

constexpr std::byte kArrayAkey[] = {std::byte{'0'}};
constexpr uint64_t kAttrDkey = 0;

client::ArrayShape shape_of(const ArrayHandle& array) {
  return {.cell_bytes = array.cell_bytes, .chunk_cells = array.chunk_cells.load()};
}

std::shared_ptr<ArrayHandle> make_handle(std::shared_ptr<ObjectHandle> object, uint64_t cell_bytes,
                                         uint64_t chunk_cells) {
  auto array = std::make_shared<ArrayHandle>();
  array->object = std::move(object);
  array->cell_bytes = cell_bytes;
  array->chunk_cells.store(chunk_cells);
  return array;
}

/// Errors as object_for().
Result<std::shared_ptr<ArrayHandle>> array_for(daos_handle_t oh, daos_handle_t th, bool change,
                                               ValuesOf values = ValuesOf::library) {
  TRY(running, system());
  auto array = find<ArrayHandle>(oh);
  if (!array) return fail(Errc::no_handle, "array handle: unknown or closed");
  if (change && !array->object->writable()) {
    return fail(Errc::no_perm, "array: opened for reading only");
  }
  if (!daos_handle_is_valid(th)) return array;
  TRY(object, in_transaction(array->object, th, values));
  return make_handle(std::move(object), array->cell_bytes, array->chunk_cells.load());
}

model::Iods attr_iod(ArrayAttrBytes& bytes, uint64_t record_bytes) {
  model::Iods out(1);
  out[0].akey = kArrayAkey;
  out[0].type = model::ValueType::single;
  out[0].record_bytes = record_bytes;
  out[0].buffer = {{bytes.data(), bytes.size()}};
  return out;
}

/// @param seen  the object in the caller's transaction
Task<int> create_task(std::shared_ptr<ObjectHandle> object, client::ContainerPtr seen,
                      ArrayAttr attr, daos_handle_t* oh) {
  ArrayAttrBytes bytes = encode(attr);
  const client::ObjectArgs args{.oid = object->oid,
                                .dkey = view_of(&kAttrDkey, sizeof kAttrDkey),
                                .flags = model::cond::kDkeyInsert | model::cond::kAkeyInsert};
  auto written = co_await seen->update(args, attr_iod(bytes, bytes.size()));
  if (!written) co_return der_of(written);
  *oh = library().handles.insert(make_handle(object, attr.cell_bytes, attr.chunk_cells));
  co_return 0;
}

struct OpenAnswer {
  daos_size_t* cell_size = nullptr;
  daos_size_t* chunk_size = nullptr;
  daos_handle_t* oh = nullptr;
};

Task<int> open_task(std::shared_ptr<ObjectHandle> object, client::ContainerPtr seen,
                    OpenAnswer out) {
  ArrayAttrBytes bytes{};
  const client::ObjectArgs args{
      .oid = object->oid, .dkey = view_of(&kAttrDkey, sizeof kAttrDkey), .flags = 0};
  auto fetched = co_await seen->fetch(args, attr_iod(bytes, 0));
  if (!fetched) co_return der_of(fetched);
  if (fetched->status == Errc::record_too_big) co_return -DER_NO_PERM;
  if (fetched->status != Errc::ok) co_return der_of(fetched->status);
  if (fetched->iods.empty() || fetched->iods[0].record_bytes == 0) co_return -DER_NONEXIST;
  const auto attr = parse_array_attr(ByteView(bytes).first(fetched->iods[0].record_bytes));
  if (!attr) co_return der_of(attr);
  *out.cell_size = attr->cell_bytes;
  *out.chunk_size = attr->chunk_cells;
  *out.oh = library().handles.insert(make_handle(object, attr->cell_bytes, attr->chunk_cells));
  co_return 0;
}

Task<int> write_task(std::shared_ptr<ObjectHandle> object, client::ArrayShape shape,
                     client::CellRanges ranges, IoVecs buffer) {
  co_return der_of(co_await client::array_write(object->container, object->oid, shape,
                                                std::move(ranges), std::move(buffer)));
}

Task<int> read_task(std::shared_ptr<ObjectHandle> object, client::ArrayShape shape,
                    client::CellRanges ranges, IoVecs buffer,
                    daos_array_iod_t* iod) {
  const bool bytes = object->oid.type() == DAOS_OT_ARRAY_BYTE;
  auto read = co_await client::array_read(object->container, object->oid, shape, std::move(ranges),
                                          std::move(buffer), bytes);
  if (read && bytes) {
    iod->arr_nr_read = read->cells_read;
    iod->arr_nr_short_read = read->cells_short;
  }
  co_return der_of(read);
}

Task<int> punch_task(std::shared_ptr<ObjectHandle> object, client::ArrayShape shape,
                     client::CellRanges ranges) {
  co_return der_of(
      co_await client::array_punch(object->container, object->oid, shape, std::move(ranges)));
}

Task<int> size_task(std::shared_ptr<ObjectHandle> object, client::ArrayShape shape,
                    daos_size_t* out) {
  auto size = co_await client::array_size(object->container, object->oid, shape);
  if (size) *out = *size;
  co_return der_of(size);
}

Task<int> stat_task(std::shared_ptr<ObjectHandle> object, client::ArrayShape shape,
                    daos_array_stbuf_t* out) {
  auto size = co_await client::array_size(object->container, object->oid, shape);
  if (!size) co_return der_of(size);
  auto epoch = co_await object->container->max_epoch(object->oid);
  if (!epoch) co_return der_of(epoch);
  *out = {*size, *epoch};
  co_return 0;
}

Task<int> set_size_task(std::shared_ptr<ObjectHandle> object, client::ArrayShape shape,
                        uint64_t cells) {
  co_return der_of(co_await client::array_set_size(object->container, object->oid, shape, cells));
}

Task<int> destroy_task(std::shared_ptr<ObjectHandle> object) {
  co_return der_of(co_await object->container->punch_object(object->oid, 0));
}

struct IoPlan {
  client::CellRanges ranges;  // empty: nothing to do
  IoVecs buffer;
};

/// Ranges that are not empty. @error invalid; not_supported  a very long list of very short ranges
Result<client::CellRanges> ranges_of(const daos_array_iod_t* iod, uint64_t* cells) {
  if (iod == nullptr || (iod->arr_nr != 0 && iod->arr_rgs == nullptr)) {
    return fail(Errc::invalid, "array: no ranges");
  }
  client::CellRanges out;
  bool short_only = true;
  *cells = 0;
  for (daos_size_t i = 0; i < iod->arr_nr; ++i) {
    const daos_range_t& range = iod->arr_rgs[i];
    if (range.rg_len > DAOS_ARRAY_RG_LEN_THD) short_only = false;
    if (range.rg_len == 0) continue;
    if (range.rg_len - 1 > UINT64_MAX - range.rg_idx || *cells > UINT64_MAX - range.rg_len) {
      return fail(Errc::invalid, "array: a range wraps");
    }
    *cells += range.rg_len;
    out.push_back({range.rg_idx, range.rg_len});
  }
  if (short_only && iod->arr_nr > DAOS_ARRAY_LIST_IO_LIMIT) {
    return fail(Errc::not_supported, "array: over 16384 ranges of at most 16 cells");
  }
  return out;
}

Result<IoPlan> plan_of(const ArrayHandle& array, const daos_array_iod_t* iod,
                       const d_sg_list_t* sgl) {
  IoPlan out;
  uint64_t cells = 0;
  TRY(ranges, ranges_of(iod, &cells));
  if (sgl == nullptr) return fail(Errc::invalid, "array: no sgl");
  TRY(ok, check_sgl(*sgl));
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < sgl->sg_nr; ++i) {
    const d_iov_t& iov = sgl->sg_iovs[i];
    if (iov.iov_len > iov.iov_buf_len) return fail(Errc::invalid, "array: iov_len over its buffer");
    if (iov.iov_len == 0) continue;
    out.buffer.push_back({static_cast<std::byte*>(iov.iov_buf), iov.iov_len});
    bytes += iov.iov_len;
  }
  if (cells > UINT64_MAX / array.cell_bytes || cells * array.cell_bytes != bytes) {
    return fail(Errc::invalid, "array: the sgl does not have the length of the ranges");
  }
  out.ranges = std::move(ranges);
  return out;
}

bool sizes_valid(uint64_t cell_bytes, uint64_t chunk_cells) {
  return cell_bytes != 0 && chunk_cells != 0 && chunk_cells <= UINT64_MAX / 2 / cell_bytes;
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_array_create(daos_handle_t coh, daos_obj_id_t oid, daos_handle_t th, daos_size_t cell_size,
                      daos_size_t chunk_size, daos_handle_t* oh, daos_event_t* ev) try {
  auto object = open_object(coh, oid, DAOS_OO_RW);
  if (!object) return call(capi::der_of(object), ev);
  const auto seen = in_transaction(*object, th, ValuesOf::library);
  if (!seen) return call(capi::der_of(seen), ev);
  if (!daos_is_array(oid) || oh == nullptr || !sizes_valid(cell_size, chunk_size)) {
    return call(-DER_INVAL, ev);
  }
  return call(create_task(std::move(*object), (*seen)->container, {cell_size, chunk_size}, oh),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_open(daos_handle_t coh, daos_obj_id_t oid, daos_handle_t th, unsigned int mode,
                    daos_size_t* cell_size, daos_size_t* chunk_size, daos_handle_t* oh,
                    daos_event_t* ev) try {
  auto object = open_object(coh, oid, mode);
  if (!object) return call(capi::der_of(object), ev);
  const auto seen = in_transaction(*object, th, ValuesOf::library);
  if (!seen) return call(capi::der_of(seen), ev);
  if (daos_obj_id2type(oid) != DAOS_OT_ARRAY || cell_size == nullptr || chunk_size == nullptr ||
      oh == nullptr) {
    return call(-DER_INVAL, ev);
  }
  return call(
      open_task(std::move(*object), (*seen)->container, {cell_size, chunk_size, oh}), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_open_with_attr(daos_handle_t coh, daos_obj_id_t oid, daos_handle_t th,
                              unsigned int mode, daos_size_t cell_size, daos_size_t chunk_size,
                              daos_handle_t* oh, daos_event_t* ev) try {
  auto object = open_object(coh, oid, mode);
  if (!object) return call(capi::der_of(object), ev);
  const auto seen = in_transaction(*object, th);
  if (!seen) return call(capi::der_of(seen), ev);
  const enum daos_otype_t type = daos_obj_id2type(oid);
  if ((type != DAOS_OT_ARRAY_ATTR && type != DAOS_OT_ARRAY_BYTE) || oh == nullptr ||
      !sizes_valid(cell_size, chunk_size)) {
    return call(-DER_INVAL, ev);
  }
  *oh = library().handles.insert(make_handle(std::move(*object), cell_size, chunk_size));
  return call(0, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_local2global(daos_handle_t oh, d_iov_t* glob) {
  const auto array = array_for(oh, DAOS_HDL_INVAL, false);
  if (!array) return capi::der_of(array);
  const ObjectHandle& object = *(*array)->object;
  GlobalBlob blob;
  blob.kind = GlobalKind::array;
  blob.process = object.mode;
  blob.cookie = (*array)->cell_bytes;
  blob.extra = (*array)->chunk_cells.load();
  blob.oid = {object.oid.lo, object.oid.hi};
  blob.owner = object.container->uuid();
  return capi::der_of(export_blob(blob, glob));
}

int daos_array_global2local(daos_handle_t coh, d_iov_t glob, unsigned int mode,
                            daos_handle_t* oh) try {
  if (oh == nullptr) return -DER_INVAL;
  const auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  const auto blob = import_blob(glob, GlobalKind::array);
  if (!blob) return capi::der_of(blob);
  if (blob->owner != (*container)->uuid() || !sizes_valid(blob->cookie, blob->extra)) {
    return -DER_INVAL;
  }
  const auto wanted = mode == 0 ? static_cast<unsigned>(blob->process) : mode;
  auto object = open_object(coh, {.lo = blob->oid[0], .hi = blob->oid[1]}, wanted);
  if (!object) return capi::der_of(object);
  *oh = library().handles.insert(make_handle(std::move(*object), blob->cookie, blob->extra));
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_close(daos_handle_t oh, daos_event_t* ev) try {
  return call(library().handles.remove<ArrayHandle>(oh) ? 0 : no_handle(), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_read(daos_handle_t oh, daos_handle_t th, daos_array_iod_t* iod, d_sg_list_t* sgl,
                    daos_event_t* ev) try {
  const auto array = array_for(oh, th, false);
  if (!array) return call(capi::der_of(array), ev);
  auto plan = plan_of(**array, iod, sgl);
  if (!plan || plan->ranges.empty()) return call(capi::der_of(plan), ev);
  return call(read_task((*array)->object, shape_of(**array), std::move(plan->ranges),
                        std::move(plan->buffer), iod),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_write(daos_handle_t oh, daos_handle_t th, daos_array_iod_t* iod, d_sg_list_t* sgl,
                     daos_event_t* ev) try {
  const auto array = array_for(oh, th, true, ValuesOf::program);
  if (!array) return call(capi::der_of(array), ev);
  auto plan = plan_of(**array, iod, sgl);
  if (!plan || plan->ranges.empty()) return call(capi::der_of(plan), ev);
  return call(write_task((*array)->object, shape_of(**array), std::move(plan->ranges),
                         std::move(plan->buffer)),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_get_size(daos_handle_t oh, daos_handle_t th, daos_size_t* size,
                        daos_event_t* ev) try {
  const auto array = array_for(oh, th, false);
  if (!array) return call(capi::der_of(array), ev);
  if (size == nullptr) return call(-DER_INVAL, ev);
  return call(size_task((*array)->object, shape_of(**array), size), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_stat(daos_handle_t oh, daos_handle_t th, daos_array_stbuf_t* stbuf,
                    daos_event_t* ev) try {
  const auto array = array_for(oh, th, false);
  if (!array) return call(capi::der_of(array), ev);
  if (stbuf == nullptr) return call(-DER_INVAL, ev);
  return call(stat_task((*array)->object, shape_of(**array), stbuf), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_set_size(daos_handle_t oh, daos_handle_t th, daos_size_t size,
                        daos_event_t* ev) try {
  const auto array = array_for(oh, th, true);
  if (!array) return call(capi::der_of(array), ev);
  return call(set_size_task((*array)->object, shape_of(**array), size), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_destroy(daos_handle_t oh, daos_handle_t th, daos_event_t* ev) try {
  const auto array = array_for(oh, th, true);
  if (!array) return call(capi::der_of(array), ev);
  return call(destroy_task((*array)->object), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_punch(daos_handle_t oh, daos_handle_t th, daos_array_iod_t* iod,
                     daos_event_t* ev) try {
  const auto array = array_for(oh, th, true);
  if (!array) return call(capi::der_of(array), ev);
  uint64_t cells = 0;
  auto ranges = ranges_of(iod, &cells);
  if (!ranges || ranges->empty()) return call(capi::der_of(ranges), ev);
  return call(punch_task((*array)->object, shape_of(**array), std::move(*ranges)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_array_get_attr(daos_handle_t oh, daos_size_t* chunk_size, daos_size_t* cell_size) {
  const auto array = array_for(oh, DAOS_HDL_INVAL, false);
  if (!array) return capi::der_of(array);
  if (chunk_size == nullptr || cell_size == nullptr) return -DER_INVAL;
  *chunk_size = (*array)->chunk_cells.load();
  *cell_size = (*array)->cell_bytes;
  return 0;
}

int daos_array_update_chunk_size(daos_handle_t oh, daos_size_t chunk_size) {
  const auto array = array_for(oh, DAOS_HDL_INVAL, false);
  if (!array) return capi::der_of(array);
  if (!sizes_valid((*array)->cell_bytes, chunk_size)) return -DER_INVAL;
  (*array)->chunk_cells.store(chunk_size);
  return 0;
}

}  // extern "C"
