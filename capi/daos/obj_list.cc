// Listing of dkeys, akeys and extents, key queries, anchors.
#include "capi/daos/obj_list.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "capi/daos/obj_args.h"
#include "model/limits.h"

namespace cairn::capi {
namespace {

using What = model::ListRequest::What;

constexpr uint32_t kDkeyValueType = 2;  // what the reference reports for every dkey

/// Lays keys out over iovs, none across two. Returns how many fitted.
size_t lay_out(const model::Listed& listed, d_sg_list_t& sgl, KeyListArgs args, bool dkeys) {
  size_t placed = 0;
  uint64_t from = 0;
  for (uint32_t v = 0; v < sgl.sg_nr && placed < listed.lengths.size(); ++v) {
    d_iov_t& iov = sgl.sg_iovs[v];
    uint64_t used = 0;
    while (placed < listed.lengths.size() && listed.lengths[placed] <= iov.iov_buf_len - used) {
      const uint64_t bytes = listed.lengths[placed];
      if (bytes != 0) {
        std::memcpy(static_cast<std::byte*>(iov.iov_buf) + used, listed.keys.data() + from, bytes);
      }
      if (args.kds != nullptr) args.kds[placed] = {bytes, dkeys ? kDkeyValueType : 0};
      used += bytes;
      from += bytes;
      ++placed;
    }
    if (used == 0) continue;
    iov.iov_len = used;
    sgl.sg_nr_out = v + 1;
  }
  return placed;
}

ByteView key_at(const model::Listed& listed, size_t index) {
  uint64_t from = 0;
  for (size_t i = 0; i < index; ++i) from += listed.lengths[i];
  return {listed.keys.data() + from, listed.lengths[index]};
}

int too_small(KeyListArgs args, uint64_t needed) {
  if (args.kds != nullptr) args.kds[0].kd_key_len = needed;
  return -DER_KEY2BIG;
}

Task<int> list_keys_task(client::ContainerPtr container, model::ObjectId oid, What what,
                         ByteView dkey, Bytes position, KeyListArgs args) {
  model::ListRequest request;
  request.what = what;
  request.dkey = dkey;
  request.count_max = *args.nr;
  request.position = std::move(position);
  for (uint32_t i = 0; args.sgl != nullptr && i < args.sgl->sg_nr; ++i) {
    request.bytes_max += args.sgl->sg_iovs[i].iov_buf_len;
  }
  auto listed = co_await container->list(oid, std::move(request));
  if (!listed) co_return der_of(listed);
  if (listed->too_small && !listed->lengths.empty()) co_return too_small(args, listed->lengths[0]);
  if (listed->lengths.empty()) {
    *args.nr = 0;
    put_position(*args.anchor, listed->position, listed->eof);
    co_return 0;
  }
  if (args.sgl == nullptr) co_return too_small(args, listed->lengths[0]);
  const size_t placed = lay_out(*listed, *args.sgl, args, what == What::dkeys);
  if (placed == 0) co_return too_small(args, listed->lengths[0]);
  if (placed < listed->lengths.size()) {
    // Several iovs hold less than one of their size; go on at the first key that is left.
    const ByteView next = key_at(*listed, placed);
    auto position_of_next = co_await container->position_of(oid, what, next);
    if (!position_of_next) co_return der_of(position_of_next);
    put_position(*args.anchor, *position_of_next, false);
  } else {
    put_position(*args.anchor, listed->position, listed->eof);
  }
  *args.nr = static_cast<uint32_t>(placed);
  co_return 0;
}

struct RecxListArgs {
  daos_size_t* size = nullptr;
  uint32_t* nr = nullptr;
  daos_recx_t* recxs = nullptr;
  daos_epoch_range_t* eprs = nullptr;
  daos_anchor_t* anchor = nullptr;
};

Task<int> list_recxs_task(client::ContainerPtr container, model::ObjectId oid,
                          model::ListRequest request, RecxListArgs args) {
  auto listed = co_await container->list(oid, std::move(request));
  if (!listed) co_return der_of(listed);
  const size_t count = std::min<size_t>(listed->recxs.size(), *args.nr);
  for (size_t i = 0; i < count; ++i) {
    if (args.recxs != nullptr) args.recxs[i] = {listed->recxs[i].index, listed->recxs[i].count};
    if (args.eprs != nullptr && i < listed->epochs.size()) {
      args.eprs[i] = {listed->epochs[i], listed->epochs[i]};
    }
  }
  if (args.size != nullptr) *args.size = listed->record_bytes;
  *args.nr = static_cast<uint32_t>(count);
  put_position(*args.anchor, listed->position, listed->eof);
  co_return 0;
}

struct QueryKeyArgs {
  daos_key_t* dkey = nullptr;
  daos_key_t* akey = nullptr;
  daos_recx_t* recx = nullptr;
};

void put_integer(daos_key_t& key, uint64_t value) {
  std::memcpy(key.iov_buf, &value, sizeof value);
  key.iov_len = sizeof value;
}

Task<int> query_key_task(client::ContainerPtr container, model::ObjectId oid,
                         model::QueryKeyRequest request, QueryKeyArgs out) {
  auto found = co_await container->query_key(oid, request);
  if (!found) co_return der_of(found);
  if (!found->found) {
    if (request.want_dkey) out.dkey->iov_len = 0;
    co_return 0;
  }
  if (request.want_dkey) put_integer(*out.dkey, found->dkey);
  if (request.want_akey) put_integer(*out.akey, found->akey);
  if (request.want_recx) *out.recx = {found->recx.index, found->recx.count};
  co_return 0;
}

uint64_t integer_of(ByteView key) {
  uint64_t value = 0;
  std::memcpy(&value, key.data(), std::min(key.size(), sizeof value));
  return value;
}

/// @error invalid  the flags contradict each other, or a buffer is missing or too small
Result<model::QueryKeyRequest> query_request(model::ObjectId oid, uint64_t flags,
                                             QueryKeyArgs args) {
  model::QueryKeyRequest out;
  const bool max = (flags & DAOS_GET_MAX) != 0;
  const bool min = (flags & DAOS_GET_MIN) != 0;
  out.max = max;
  out.want_dkey = (flags & DAOS_GET_DKEY) != 0;
  out.want_akey = (flags & DAOS_GET_AKEY) != 0;
  out.want_recx = (flags & DAOS_GET_RECX) != 0;
  if (max == min || (!out.want_dkey && !out.want_akey && !out.want_recx)) {
    return fail(Errc::invalid, "query key: exactly one of MAX and MIN, and something to look for");
  }
  const auto takes_integer = [](const daos_key_t* key, model::KeyKind kind) {
    return kind == model::KeyKind::integer && key != nullptr && key->iov_buf != nullptr &&
           key->iov_buf_len >= sizeof(uint64_t);
  };
  if (out.want_dkey) {
    if (!takes_integer(args.dkey, model::dkey_kind(oid.type()))) {
      return fail(Errc::invalid, "query key: a dkey needs integer keys and a buffer of 8 bytes");
    }
  } else {
    TRY(dkey, dkey_of(args.dkey, oid));
    out.dkey_bytes = dkey;
    out.dkey = integer_of(dkey);
  }
  if (out.want_akey) {
    if (!takes_integer(args.akey, model::akey_kind(oid.type()))) {
      return fail(Errc::invalid, "query key: an akey needs integer keys and a buffer of 8 bytes");
    }
  } else if (out.want_recx) {
    TRY(akey, akey_of(args.akey, oid));
    out.akey_bytes = akey;
    out.akey = integer_of(akey);
  }
  if (out.want_recx && args.recx == nullptr) return fail(Errc::invalid, "query key: no recx");
  return out;
}

Task<int> position_task(client::ContainerPtr container, model::ObjectId oid, What what,
                        ByteView key, daos_anchor_t* anchor) {
  auto position = co_await container->position_of(oid, what, key);
  if (position) put_position(*anchor, *position, false);
  co_return der_of(position);
}

/// Anchors of the parts of a listing of dkeys. @param nr  0 or their number; gets it
Task<int> split_task(client::ContainerPtr container, model::ObjectId oid, uint32_t* nr,
                     daos_anchor_t* anchors) {
  auto parts = co_await container->parts_of(oid, {});
  if (!parts) co_return der_of(parts);
  if (*nr != 0 && *nr != parts->size()) co_return -DER_INVAL;
  *nr = static_cast<uint32_t>(parts->size());
  for (size_t i = 0; anchors != nullptr && i < parts->size(); ++i) {
    anchors[i] = {};
    put_position(anchors[i], (*parts)[i], false);
  }
  co_return 0;
}

Task<int> anchor_task(client::ContainerPtr container, model::ObjectId oid, uint32_t index,
                      daos_anchor_t* anchor) {
  auto parts = co_await container->parts_of(oid, {});
  if (!parts) co_return der_of(parts);
  if (index >= parts->size()) co_return -DER_INVAL;
  *anchor = {};
  put_position(*anchor, (*parts)[index], false);
  co_return 0;
}

bool at_end(const daos_anchor_t& anchor) { return anchor.da_type == DAOS_ANCHOR_TYPE_EOF; }

}  // namespace

Result<Bytes> position_in(const daos_anchor_t& anchor) {
  static_assert(sizeof anchor.da_buf == model::kAnchorBytes);
  if (anchor.da_type == DAOS_ANCHOR_TYPE_ZERO) return Bytes{};
  if (anchor.da_type != DAOS_ANCHOR_TYPE_KEY || anchor.da_shard > sizeof anchor.da_buf) {
    return fail(Errc::invalid, "anchor: not zeroed, and not one that a listing returned");
  }
  const ByteView bytes = view_of(anchor.da_buf, anchor.da_shard);
  return Bytes(bytes.begin(), bytes.end());
}

void put_position(daos_anchor_t& anchor, const Bytes& position, bool eof) {
  anchor.da_type = eof ? DAOS_ANCHOR_TYPE_EOF : DAOS_ANCHOR_TYPE_KEY;
  anchor.da_shard = static_cast<uint16_t>(std::min(position.size(), sizeof anchor.da_buf));
  if (position.empty()) {
    if (!eof) anchor.da_type = DAOS_ANCHOR_TYPE_ZERO;
    return;
  }
  std::memcpy(anchor.da_buf, position.data(), anchor.da_shard);
}

int list_keys(std::shared_ptr<ObjectHandle> object, What what, ByteView dkey, KeyListArgs args,
              daos_event_t* ev) {
  if (args.nr == nullptr || *args.nr == 0 || args.anchor == nullptr) return call(-DER_INVAL, ev);
  if (args.sgl != nullptr && !check_sgl(*args.sgl)) return call(-DER_INVAL, ev);
  auto position = position_in(*args.anchor);
  if (at_end(*args.anchor)) {
    *args.nr = 0;
    return call(0, ev);
  }
  if (!position) return call(der_of(position), ev);
  return call(
      list_keys_task(object->container, object->oid, what, dkey, std::move(*position), args), ev);
}

}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;
using What = model::ListRequest::What;

extern "C" {

int daos_obj_list_dkey(daos_handle_t oh, daos_handle_t th, uint32_t* nr, daos_key_desc_t* kds,
                       d_sg_list_t* sgl, daos_anchor_t* anchor, daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  return list_keys(std::move(*object), What::dkeys, {},
                   {.nr = nr, .kds = kds, .sgl = sgl, .anchor = anchor}, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_list_akey(daos_handle_t oh, daos_handle_t th, daos_key_t* dkey, uint32_t* nr,
                       daos_key_desc_t* kds, d_sg_list_t* sgl, daos_anchor_t* anchor,
                       daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  if (dkey == nullptr || dkey->iov_buf == nullptr || dkey->iov_len > dkey->iov_buf_len) {
    return call(-DER_INVAL, ev);
  }
  const bool possible =
      dkey->iov_len != 0 && length_fits(model::dkey_kind((*object)->oid.type()), dkey->iov_len);
  if (!possible && nr != nullptr && *nr != 0 && anchor != nullptr) {
    *nr = 0;  // no such dkey can exist
    put_position(*anchor, {}, true);
    return call(0, ev);
  }
  return list_keys(std::move(*object), What::akeys, view_of(dkey->iov_buf, dkey->iov_len),
                   {.nr = nr, .kds = kds, .sgl = sgl, .anchor = anchor}, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_list_recx(daos_handle_t oh, daos_handle_t th, daos_key_t* dkey, daos_key_t* akey,
                       daos_size_t* size, uint32_t* nr, daos_recx_t* recxs,
                       daos_epoch_range_t* eprs, daos_anchor_t* anchor, bool incr_order,
                       daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  if (nr == nullptr || *nr == 0 || anchor == nullptr) return call(-DER_INVAL, ev);
  const auto dkey_view = dkey_of(dkey, (*object)->oid);
  const auto akey_view = akey_of(akey, (*object)->oid);
  if (!dkey_view || !akey_view) return call(-DER_INVAL, ev);
  if (at_end(*anchor)) {
    *nr = 0;
    return call(0, ev);
  }
  auto position = position_in(*anchor);
  if (!position) return call(capi::der_of(position), ev);
  model::ListRequest request;
  request.what = What::recxs;
  request.dkey = *dkey_view;
  request.akey = *akey_view;
  request.count_max = *nr;
  request.position = std::move(*position);
  request.descending = !incr_order;
  return call(
      list_recxs_task((*object)->container, (*object)->oid, std::move(request),
                      {.size = size, .nr = nr, .recxs = recxs, .eprs = eprs, .anchor = anchor}),
      ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_query_key(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                       daos_key_t* akey, daos_recx_t* recx, daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  if (recx != nullptr) *recx = {0, 0};
  const QueryKeyArgs args{.dkey = dkey, .akey = akey, .recx = recx};
  const auto request = query_request((*object)->oid, flags, args);
  if (!request) return call(capi::der_of(request), ev);
  return call(query_key_task((*object)->container, (*object)->oid, *request, args), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_anchor_split(daos_handle_t oh, uint32_t* nr, daos_anchor_t* anchors) try {
  const auto object = find<ObjectHandle>(oh);
  if (!object) return no_handle();
  if (nr == nullptr) return -DER_INVAL;
  return call(split_task(object->container, object->oid, nr, anchors), nullptr);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_anchor_set(daos_handle_t oh, uint32_t index, daos_anchor_t* anchor) try {
  const auto object = find<ObjectHandle>(oh);
  if (!object) return no_handle();
  if (anchor == nullptr) return -DER_INVAL;
  return call(anchor_task(object->container, object->oid, index, anchor), nullptr);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_obj_key2anchor(daos_handle_t oh, daos_handle_t th, daos_key_t* dkey, daos_key_t* akey,
                        daos_anchor_t* anchor, daos_event_t* ev) try {
  auto object = object_for(oh, th, false);
  if (!object) return call(capi::der_of(object), ev);
  const auto dkey_view = dkey_of(dkey, (*object)->oid);
  if (!dkey_view || anchor == nullptr) return call(-DER_INVAL, ev);
  ByteView key = *dkey_view;
  if (akey != nullptr) {
    const auto akey_view = akey_of(akey, (*object)->oid);
    if (!akey_view) return call(-DER_INVAL, ev);
    key = *akey_view;
  }
  return call(position_task((*object)->container, (*object)->oid,
                            akey == nullptr ? What::dkeys : What::akeys, key, anchor),
              ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
