// Objects: ids, open and close, update, fetch, punch.
#include <daos_obj.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "capi/daos/obj_args.h"
#include "capi/daos/obj_open.h"

namespace cairn::capi {
namespace {

Task<int> update_task(client::ContainerPtr container, client::ObjectArgs args,
                      model::Iods iods) {
  co_return der_of(co_await container->update(args, std::move(iods)));
}

/// What a program gave to be filled.
struct FetchAnswer {
  daos_iod_t* iods = nullptr;
  d_sg_list_t* sgls = nullptr;
  daos_iom_t* ioms = nullptr;
};

/// Extents of one array akey for the program. @error no_memory
Result<void> fill_iom(const daos_iod_t& iod, const model::FetchedIod& found, daos_iom_t& iom) {
  iom.iom_type = iod.iod_type;
  iom.iom_size = found.record_bytes;
  iom.iom_nr_out = 0;
  iom.iom_recx_lo = iom.iom_recx_hi = {0, 0};
  if (iod.iod_type != DAOS_IOD_ARRAY || found.extents.empty()) return {};
  const auto recx_of = [](const model::Recx& r) { return daos_recx_t{r.index, r.count}; };
  iom.iom_recx_lo = iom.iom_recx_hi = recx_of(found.extents.front());
  for (const model::Recx& extent : found.extents) {
    if (extent.index < iom.iom_recx_lo.rx_idx) iom.iom_recx_lo = recx_of(extent);
    if (extent.index > iom.iom_recx_hi.rx_idx) iom.iom_recx_hi = recx_of(extent);
  }
  if ((iom.iom_flags & DAOS_IOMF_DETAIL) == 0) return {};
  const auto total = static_cast<uint32_t>(found.extents.size());
  if (iom.iom_recxs == nullptr) {
    iom.iom_recxs = static_cast<daos_recx_t*>(std::calloc(total, sizeof(daos_recx_t)));
    if (iom.iom_recxs == nullptr) return fail(Errc::no_memory, "fetch: no memory for extents");
    iom.iom_nr = total;
  }
  iom.iom_nr_out = total;
  for (uint32_t i = 0; i < std::min(total, iom.iom_nr); ++i) {
    iom.iom_recxs[i] = recx_of(found.extents[i]);
  }
  return {};
}

int answer_fetch(const model::Fetched& fetched, FetchAnswer out) {
  if (fetched.status != Errc::ok && fetched.status != Errc::record_too_big) {
    return der_of(fetched.status);
  }
  for (size_t i = 0; i < fetched.iods.size(); ++i) {
    const model::FetchedIod& found = fetched.iods[i];
    out.iods[i].iod_size = found.record_bytes;
    if (out.sgls != nullptr) out.sgls[i].sg_nr_out = 0;
    if (fetched.status != Errc::ok) continue;
    uint64_t end = 0;
    for (const auto& piece : found.pieces) end = std::max(end, piece.offset + piece.bytes);
    if (out.sgls != nullptr) set_filled(out.sgls[i], end);
    if (out.ioms == nullptr) continue;
    const auto filled = fill_iom(out.iods[i], found, out.ioms[i]);
    if (!filled) return der_of(filled);
  }
  return der_of(fetched.status);
}

Task<int> fetch_task(client::ContainerPtr container, client::ObjectArgs args,
                     model::Iods iods, FetchAnswer out) {
  auto fetched = co_await container->fetch(args, std::move(iods));
  co_return fetched ? answer_fetch(*fetched, out) : der_of(fetched);
}

/// What stands in memory needs no task. @returns false  it does not: fetch_task()
bool fetched_at_once(client::Container& container, const client::ObjectArgs& args,
                     model::Iods& iods, FetchAnswer out, int* answer) {
  if (!container.fetches_at_once()) return false;
  const auto running = system();
  if (!running) return false;
  model::Fetched fetched;
  const bool done =
      (*running)->context().at_once([&] { return container.fetch_at_once(args, iods, fetched); });
  if (done) *answer = answer_fetch(fetched, out);
  return done;
}

Task<int> punch_object_task(client::ContainerPtr container, model::ObjectId oid) {
  co_return der_of(co_await container->punch_object(oid, 0));
}

Task<int> punch_dkey_task(client::ContainerPtr container, client::ObjectArgs args) {
  co_return der_of(co_await container->punch_dkey(args));
}

Task<int> punch_akeys_task(client::ContainerPtr container, client::ObjectArgs args,
                           std::vector<ByteView> akeys) {
  co_return der_of(co_await container->punch_akeys(args, std::move(akeys)));
}

Task<int> max_epoch_task(client::ContainerPtr container, model::ObjectId oid, daos_epoch_t* out) {
  auto epoch = co_await container->max_epoch(oid);
  if (epoch) *out = *epoch;
  co_return der_of(epoch);
}

/// Akeys of a punch. Those that cannot exist, by their length, are left out; with a condition that
/// ends it.
Result<std::vector<ByteView>> akeys_to_punch(model::ObjectId oid, uint64_t flags, unsigned count,
                                             const daos_key_t* akeys) {
  if (count == 0 || akeys == nullptr) return fail(Errc::invalid, "punch: no akeys");
  std::vector<ByteView> out;
  for (unsigned i = 0; i < count; ++i) {
    const daos_key_t& key = akeys[i];
    if (key.iov_buf == nullptr || key.iov_len > key.iov_buf_len) {
      return fail(Errc::invalid, "punch: an akey is NULL");
    }
    if (length_fits(model::akey_kind(oid.type()), key.iov_len)) {
      out.push_back(view_of(key.iov_buf, key.iov_len));
    } else if ((flags & model::cond::kPunch) != 0) {
      return fail(Errc::nonexistent, "punch: no akey of that length exists");
    }
  }
  return out;
}

}  // namespace

Result<std::shared_ptr<ObjectHandle>> open_object(daos_handle_t coh, daos_obj_id_t oid,
                                                  unsigned mode) {
  TRY(running, system());
  const auto cont = find<ContHandle>(coh);
  if (!cont) return fail(Errc::no_handle, "container handle: unknown or closed");
  const model::ObjectId id{.lo = oid.lo, .hi = oid.hi};
  if (id.is_nil()) return fail(Errc::invalid, "object id: nil");
  if (id.type() > model::kObjectTypeMax) return fail(Errc::invalid, "object id: unknown type");
  TRY(judged, model::class_of_object(id, cont->opening->shape));
  auto object = std::make_shared<ObjectHandle>();
  object->container = cont->container();
  object->oid = id;
  object->mode = mode;
  return object;
}

}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_obj_generate_oid2(daos_handle_t coh, daos_obj_id_t* oid, enum daos_otype_t type,
                           daos_oclass_id_t cid, daos_oclass_hints_t hints, uint32_t args) {
  (void)args;
  const auto cont = find<ContHandle>(coh);
  if (!cont) return no_handle();
  if (oid == nullptr || static_cast<unsigned>(type) > model::kObjectTypeMax) return -DER_INVAL;
  const auto made = model::generate_oid({.user = {.lo = oid->lo, .hi = oid->hi},
                                         .type = static_cast<uint8_t>(type),
                                         .class_id = cid,
                                         .hints = hints},
                                        cont->opening->shape);
  if (!made) return refuse("daos_obj_generate_oid", made.error());
  *oid = {.lo = made->lo, .hi = made->hi};
  return 0;
}

int daos_obj_open(daos_handle_t coh, daos_obj_id_t oid, unsigned int mode, daos_handle_t* oh,
                  daos_event_t* ev) try {
  auto object = open_object(coh, oid, mode);
  if (!object) {
    const bool argument = object.error().code() != Errc::no_handle;
    return call(argument ? refuse("daos_obj_open", object.error()) : capi::der_of(object), ev);
  }
  if (oh == nullptr) return call(-DER_INVAL, ev);
  *oh = library().handles.insert(std::move(*object));
  return call(0, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_close(daos_handle_t oh, daos_event_t* ev) try {
  return call(library().handles.remove<ObjectHandle>(oh) ? 0 : no_handle(), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_update(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                    unsigned int nr, daos_iod_t* iods, d_sg_list_t* sgls, daos_event_t* ev) try {
  auto object = object_for(oh, th, true);
  if (!object) return call(capi::der_of(object), ev);
  const model::ObjectId oid = (*object)->oid;
  const auto key = dkey_of(dkey, oid);
  const auto conds = update_flags(flags);
  if (!key || !conds) return call(key ? -DER_INVAL : capi::der_of(key), ev);
  auto parsed = update_iods({.flags = flags, .count = nr, .iods = iods, .sgls = sgls}, oid);
  if (!parsed) return call(capi::der_of(parsed), ev);
  return call(update_task((*object)->container, {.oid = oid, .dkey = *key, .flags = *conds},
                          std::move(*parsed)),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_fetch(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                   unsigned int nr, daos_iod_t* iods, d_sg_list_t* sgls, daos_iom_t* ioms,
                   daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  const model::ObjectId oid = (*object)->oid;
  const auto key = dkey_of(dkey, oid);
  const auto conds = fetch_flags(flags);
  if (!key || !conds) return call(key ? -DER_INVAL : capi::der_of(key), ev);
  auto parsed = fetch_iods({.flags = flags, .count = nr, .iods = iods, .sgls = sgls}, oid);
  if (!parsed) return call(capi::der_of(parsed), ev);
  const client::ObjectArgs args{.oid = oid, .dkey = *key, .flags = *conds};
  const FetchAnswer out{.iods = iods, .sgls = sgls, .ioms = ioms};
  int answer = 0;
  if (ev == nullptr && fetched_at_once(*(*object)->container, args, *parsed, out, &answer)) {
    return answer;
  }
  return call(fetch_task((*object)->container, args, std::move(*parsed), out), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_punch(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_event_t* ev) try {
  (void)flags;
  auto object = object_for(oh, th, true);
  if (!object) return call(capi::der_of(object), ev);
  return call(punch_object_task((*object)->container, (*object)->oid), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_punch_dkeys(daos_handle_t oh, daos_handle_t th, uint64_t flags, unsigned int nr,
                         daos_key_t* dkeys, daos_event_t* ev) try {
  auto object = object_for(oh, th, true);
  if (!object) return call(capi::der_of(object), ev);
  if (nr != 1) return call(-DER_INVAL, ev);
  const auto key = dkey_of(dkeys, (*object)->oid);
  if (!key) return call(capi::der_of(key), ev);
  return call(
      punch_dkey_task((*object)->container,
                      {.oid = (*object)->oid, .dkey = *key, .flags = flags & model::cond::kPunch}),
      ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_punch_akeys(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                         unsigned int nr, daos_key_t* akeys, daos_event_t* ev) try {
  auto object = object_for(oh, th, true);
  if (!object) return call(capi::der_of(object), ev);
  const model::ObjectId oid = (*object)->oid;
  const auto key = dkey_of(dkey, oid);
  if (!key) return call(capi::der_of(key), ev);
  auto names = akeys_to_punch(oid, flags, nr, akeys);
  if (!names || names->empty()) return call(capi::der_of(names), ev);
  return call(punch_akeys_task((*object)->container,
                               {.oid = oid, .dkey = *key, .flags = flags & model::cond::kPunch},
                               std::move(*names)),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_query(daos_handle_t oh, struct daos_obj_attr* oa, d_rank_list_t* ranks,
                   daos_event_t* ev) try {
  (void)oh;
  (void)oa;
  (void)ranks;
  return call(-DER_NOSYS, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_query_max_epoch(daos_handle_t oh, daos_handle_t th, daos_epoch_t* epoch,
                             daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  if (epoch == nullptr) return call(-DER_INVAL, ev);
  return call(max_epoch_task((*object)->container, (*object)->oid, epoch), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_verify(daos_handle_t coh, daos_obj_id_t oid, daos_epoch_t epoch) {
  (void)epoch;
  const auto object = open_object(coh, oid, DAOS_OO_RO);
  return object ? -DER_NOSYS : capi::der_of(object);  // one copy: nothing to compare with
}

}  // extern "C"
