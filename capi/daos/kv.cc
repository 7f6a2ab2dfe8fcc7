// Flat key-value objects: a dkey is the key string, its only akey "0" holds a single value.
#include <daos_kv.h>

#include <cstring>
#include <new>

#include "capi/daos/obj_args.h"
#include "capi/daos/obj_list.h"
#include "capi/daos/obj_open.h"

namespace cairn::capi {
namespace {

constexpr std::byte kValueAkey[] = {std::byte{'0'}};

/// @error no_handle, no_perm, invalid  as object_for()
Result<std::shared_ptr<KvHandle>> kv_for(daos_handle_t oh, daos_handle_t th, bool change) {
  TRY(running, system());
  auto kv = find<KvHandle>(oh);
  if (!kv) return fail(Errc::no_handle, "kv handle: unknown or closed");
  if (change && !kv->object->writable()) return fail(Errc::no_perm, "kv: opened for reading only");
  if (!daos_handle_is_valid(th)) return kv;
  auto seen = std::make_shared<KvHandle>(*kv);
  TRY(object, in_transaction(kv->object, th));
  seen->object = std::move(object);
  return seen;
}

/// @error invalid  NULL, empty, or not 8 bytes for integer keys   @error key_too_big
Result<ByteView> key_of(const char* key, model::ObjectId oid) {
  if (key == nullptr) return fail(Errc::invalid, "kv: NULL key");
  d_iov_t iov;
  d_iov_set(&iov, const_cast<char*>(key), std::strlen(key));
  return dkey_of(&iov, oid);
}

model::Iod value_iod() {
  model::Iod iod;
  iod.akey = kValueAkey;
  iod.type = model::ValueType::single;
  return iod;
}

model::Iods one(model::Iod iod) {
  model::Iods out;
  out.push_back(std::move(iod));
  return out;
}

Task<int> put_task(client::ContainerPtr container, client::ObjectArgs args,
                   model::Iods iods) {
  co_return der_of(co_await container->update(args, std::move(iods)));
}

Task<int> get_task(client::ContainerPtr container, client::ObjectArgs args,
                   model::Iods iods, daos_size_t* size) {
  auto fetched = co_await container->fetch(args, std::move(iods));
  if (!fetched) co_return der_of(fetched);
  if (fetched->status == Errc::ok || fetched->status == Errc::record_too_big) {
    *size = fetched->iods.empty() ? 0 : fetched->iods[0].record_bytes;
  }
  co_return der_of(fetched->status);
}

Task<int> remove_task(client::ContainerPtr container, client::ObjectArgs args) {
  co_return der_of(co_await container->punch_dkey(args));
}

Task<int> destroy_task(client::ContainerPtr container, model::ObjectId oid) {
  co_return der_of(co_await container->punch_object(oid, 0));
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_kv_open(daos_handle_t coh, daos_obj_id_t oid, unsigned int mode, daos_handle_t* oh,
                 daos_event_t* ev) try {
  auto object = open_object(coh, oid, mode);
  if (!object) return call(capi::der_of(object), ev);
  if (oh == nullptr || !daos_is_kv(oid)) return call(-DER_INVAL, ev);
  auto kv = std::make_shared<KvHandle>();
  kv->object = std::move(*object);
  kv->object_handle = library().handles.insert(kv->object);
  *oh = library().handles.insert(std::move(kv));
  return call(0, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_kv_close(daos_handle_t oh, daos_event_t* ev) try {
  const auto kv = library().handles.remove<KvHandle>(oh);
  if (!kv) return call(no_handle(), ev);
  library().handles.remove<ObjectHandle>(kv->object_handle);
  return call(0, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

daos_handle_t daos_kv2objhandle(daos_handle_t oh);
daos_handle_t daos_kv2objhandle(daos_handle_t oh) {
  const auto kv = find<KvHandle>(oh);
  return kv ? kv->object_handle : DAOS_HDL_INVAL;
}

int daos_kv_destroy(daos_handle_t oh, daos_handle_t th, daos_event_t* ev) try {
  const auto kv = kv_for(oh, th, true);
  if (!kv) return call(capi::der_of(kv), ev);
  return call(destroy_task((*kv)->object->container, (*kv)->object->oid), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_kv_put(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* key,
                daos_size_t size, const void* buf, daos_event_t* ev) try {
  const auto kv = kv_for(oh, th, true);
  if (!kv) return call(capi::der_of(kv), ev);
  const model::ObjectId oid = (*kv)->object->oid;
  const auto dkey = key_of(key, oid);
  if (!dkey) return call(capi::der_of(dkey), ev);
  const auto conds = update_flags(flags);
  if (!conds || (buf == nullptr && size != 0)) return call(-DER_INVAL, ev);
  model::Iod iod = value_iod();
  iod.record_bytes = size;
  if (size != 0) iod.buffer.push_back({static_cast<std::byte*>(const_cast<void*>(buf)), size});
  return call(put_task((*kv)->object->container, {.oid = oid, .dkey = *dkey, .flags = *conds},
                       one(std::move(iod))),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_kv_get(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* key,
                daos_size_t* size, void* buf, daos_event_t* ev) try {
  const auto kv = kv_for(oh, th, false);
  if (!kv) return call(capi::der_of(kv), ev);
  const model::ObjectId oid = (*kv)->object->oid;
  const auto dkey = key_of(key, oid);
  if (!dkey) return call(capi::der_of(dkey), ev);
  const auto conds = fetch_flags(flags);
  if (!conds || size == nullptr) return call(-DER_INVAL, ev);
  model::Iod iod = value_iod();
  iod.size_only = buf == nullptr || *size == 0;
  if (!iod.size_only) iod.buffer.push_back({static_cast<std::byte*>(buf), *size});
  return call(get_task((*kv)->object->container, {.oid = oid, .dkey = *dkey, .flags = *conds},
                       one(std::move(iod)), size),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_kv_remove(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* key,
                   daos_event_t* ev) try {
  const auto kv = kv_for(oh, th, true);
  if (!kv) return call(capi::der_of(kv), ev);
  const model::ObjectId oid = (*kv)->object->oid;
  const auto dkey = key_of(key, oid);
  if (!dkey) return call(capi::der_of(dkey), ev);
  return call(remove_task((*kv)->object->container,
                          {.oid = oid, .dkey = *dkey, .flags = flags & DAOS_COND_KEY_REMOVE}),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_kv_list(daos_handle_t oh, daos_handle_t th, uint32_t* nr, daos_key_desc_t* kds,
                 d_sg_list_t* sgl, daos_anchor_t* anchor, daos_event_t* ev) try {
  const auto kv = kv_for(oh, th, false);
  if (!kv) return call(capi::der_of(kv), ev);
  return list_keys((*kv)->object, model::ListRequest::What::dkeys, {},
                   {.nr = nr, .kds = kds, .sgl = sgl, .anchor = anchor}, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
