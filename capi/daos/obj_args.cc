#include "capi/daos/obj_args.h"

#include <algorithm>

#include "model/limits.h"

namespace cairn::capi {
namespace {

namespace cond = model::cond;

constexpr uint64_t kUpdateConds =
    cond::kDkeyInsert | cond::kDkeyUpdate | cond::kAkeyInsert | cond::kAkeyUpdate | cond::kFinal;
constexpr uint64_t kFetchConds = cond::kDkeyFetch | cond::kAkeyFetch;
constexpr uint64_t kAkeyConds = cond::kAkeyInsert | cond::kAkeyUpdate | cond::kAkeyFetch;

Result<ByteView> key_of(const daos_key_t* key, model::KeyKind kind, bool may_be_empty) {
  if (key == nullptr || key->iov_buf == nullptr || key->iov_len > key->iov_buf_len ||
      (key->iov_len == 0 && !may_be_empty)) {
    return fail(Errc::invalid, "key: NULL, empty, or longer than its buffer");
  }
  if (kind == model::KeyKind::integer && key->iov_len != model::kIntegerKeyBytes) {
    return fail(Errc::invalid, "key: integer keys have 8 bytes");
  }
  if (!length_fits(kind, key->iov_len)) {
    return fail(Errc::key_too_big, "key: over the limit (hashed 1 MiB, lexical 96 bytes)");
  }
  return view_of(key->iov_buf, key->iov_len);
}

/// Insert together with update acts as update.
uint64_t without_contradiction(uint64_t flags) {
  if ((flags & cond::kDkeyUpdate) != 0) flags &= ~cond::kDkeyInsert;
  if ((flags & cond::kAkeyUpdate) != 0) flags &= ~cond::kAkeyInsert;
  return flags;
}

Result<uint64_t> checked_flags(uint64_t flags, uint64_t allowed) {
  flags &= cond::kMask | (allowed & cond::kFinal);
  if ((flags & ~(allowed | cond::kPerAkey)) != 0) {
    return fail(Errc::invalid, "conditions: not for this kind of call");
  }
  if ((flags & cond::kPerAkey) != 0 && (flags & kAkeyConds) != 0) {
    return fail(Errc::invalid, "conditions: akey conditions both per akey and for all");
  }
  return without_contradiction(flags);
}

bool overlapping(model::Recxs recxs) {
  std::sort(recxs.begin(), recxs.end(),
            [](const model::Recx& a, const model::Recx& b) { return a.index < b.index; });
  for (size_t i = 1; i < recxs.size(); ++i) {
    if (recxs[i].index - recxs[i - 1].index < recxs[i - 1].count) return true;
  }
  return false;
}

Result<model::Recxs> recxs_of(const daos_iod_t& iod) {
  if (iod.iod_nr == 0 || iod.iod_recxs == nullptr || iod.iod_nr > model::kRecxsMax) {
    return fail(Errc::invalid, "iod: no extents, or over a million of them");
  }
  model::Recxs out;
  out.reserve(iod.iod_nr);
  for (uint32_t i = 0; i < iod.iod_nr; ++i) {
    const daos_recx_t& recx = iod.iod_recxs[i];
    if (recx.rx_idx > model::kArrayIndexMax) return fail(Errc::invalid, "iod: index above 2^63");
    if (recx.rx_nr == 0) continue;
    if (recx.rx_nr - 1 > model::kArrayIndexMax - recx.rx_idx) {
      return fail(Errc::invalid, "iod: an extent crosses 2^63");
    }
    out.push_back({recx.rx_idx, recx.rx_nr});
  }
  if (out.empty()) return fail(Errc::invalid, "iod: all extents are empty");
  if (out.size() > 1 && overlapping(out)) return fail(Errc::invalid, "iod: extents overlap");
  return out;
}

/// Everything of an iod but its buffer. @param out  as new
Result<void> describe(const daos_iod_t& iod, model::ObjectId oid, uint64_t iod_flags,
                      model::Iod& out) {
  TRY(akey, akey_of(&iod.iod_name, oid));
  out.akey = akey;
  out.flags = without_contradiction(iod.iod_flags & iod_flags);
  switch (iod.iod_type) {
    case DAOS_IOD_SINGLE:
      if (iod.iod_nr != 1) return fail(Errc::invalid, "iod: a single value has iod_nr 1");
      out.type = model::ValueType::single;
      return {};
    case DAOS_IOD_ARRAY: {
      TRY(recxs, recxs_of(iod));
      out.type = model::ValueType::array;
      out.recxs = std::move(recxs);
      return {};
    }
    case DAOS_IOD_NONE:
      if (iod.iod_nr == 0 && iod.iod_recxs == nullptr) return {};
      [[fallthrough]];
    default:
      return fail(Errc::invalid, "iod: unknown type, or type NONE with extents");
  }
}

uint64_t records_of(const model::Iod& iod) {
  if (iod.type != model::ValueType::array) return 1;
  uint64_t sum = 0;
  for (const model::Recx& recx : iod.recxs) {
    sum = sum > UINT64_MAX - recx.count ? UINT64_MAX : sum + recx.count;
  }
  return sum;
}

uint64_t capacity_of(const d_sg_list_t& sgl) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < sgl.sg_nr; ++i) sum += sgl.sg_iovs[i].iov_buf_len;
  return sum;
}

/// The bytes that an update takes from its sgl. @error invalid, record_too_big
Result<IoVecs> payload_of(const d_sg_list_t* sgl, uint64_t bytes) {
  if (sgl == nullptr) return fail(Errc::invalid, "update: data without an sgl");
  TRY(ok, check_sgl(*sgl));
  if (bytes > capacity_of(*sgl)) {
    return fail(Errc::record_too_big, "update: the sgl is shorter than the records");
  }
  IoVecs out;
  for (uint32_t i = 0; i < sgl->sg_nr && bytes > 0; ++i) {
    const d_iov_t& iov = sgl->sg_iovs[i];
    if (iov.iov_buf_len == 0) continue;
    if (iov.iov_len == 0 || iov.iov_len > iov.iov_buf_len) {
      return fail(Errc::invalid, "update: iov_len is 0 or above iov_buf_len");
    }
    const uint64_t part = std::min<uint64_t>(bytes, iov.iov_len);
    out.push_back({static_cast<std::byte*>(iov.iov_buf), part});
    bytes -= part;
  }
  if (bytes > 0) return fail(Errc::record_too_big, "update: the iovs hold less than the records");
  return out;
}

Result<void> check_count(IoArgs args) {
  if (args.count == 0 || args.iods == nullptr || args.count > model::kIodsMax) {
    return fail(Errc::invalid, "iods: none, or too many");
  }
  return {};
}

}  // namespace

bool length_fits(model::KeyKind kind, size_t bytes) {
  switch (kind) {
    case model::KeyKind::integer:
      return bytes == model::kIntegerKeyBytes;
    case model::KeyKind::lexical:
      return bytes <= model::kLexicalKeyBytesMax;
    case model::KeyKind::hashed:
      return bytes <= model::kKeyBytesMax;
  }
  return false;
}

Result<std::shared_ptr<ObjectHandle>> in_transaction(std::shared_ptr<ObjectHandle> object,
                                                     daos_handle_t th, ValuesOf values) {
  if (!daos_handle_is_valid(th)) return object;
  const auto handle = find<TxHandle>(th);
  if (!handle) return fail(Errc::no_handle, "transaction handle: unknown or closed");
  client::Container& base = *handle->tx->base();
  if (base.uuid() != object->container->uuid() ||
      base.pool().uuid() != object->container->pool().uuid()) {
    return fail(Errc::invalid, "transaction: the object is in another container");
  }
  const bool stay = handle->values_stay && values == ValuesOf::program;
  auto seen = std::make_shared<ObjectHandle>(*object);
  seen->container = handle->tx->container(stay ? client::Transaction::Values::stay
                                               : client::Transaction::Values::copied);
  return seen;
}

Result<std::shared_ptr<ObjectHandle>> object_for(daos_handle_t oh, daos_handle_t th, bool change) {
  TRY(running, system());
  auto object = find<ObjectHandle>(oh);
  if (!object) return fail(Errc::no_handle, "object handle: unknown or closed");
  if (change && !object->writable()) {
    return fail(Errc::no_perm, "object: opened for reading only");
  }
  return in_transaction(std::move(object), th);
}

Result<ByteView> dkey_of(const daos_key_t* key, model::ObjectId oid) {
  return key_of(key, model::dkey_kind(oid.type()), false);
}

Result<ByteView> akey_of(const daos_key_t* key, model::ObjectId oid) {
  return key_of(key, model::akey_kind(oid.type()), true);
}

Result<uint64_t> update_flags(uint64_t flags) { return checked_flags(flags, kUpdateConds); }
Result<uint64_t> fetch_flags(uint64_t flags) { return checked_flags(flags, kFetchConds); }

Result<void> check_sgl(const d_sg_list_t& sgl) {
  if (sgl.sg_nr != 0 && sgl.sg_iovs == nullptr) return fail(Errc::invalid, "sgl: no iovs");
  for (uint32_t i = 0; i < sgl.sg_nr; ++i) {
    if (sgl.sg_iovs[i].iov_buf == nullptr && sgl.sg_iovs[i].iov_buf_len != 0) {
      return fail(Errc::invalid, "sgl: an iov with a length and no memory");
    }
  }
  return {};
}

Result<model::Iods> update_iods(IoArgs args, model::ObjectId oid) {
  TRY(ok, check_count(args));
  model::Iods out;
  out.reserve(args.count);
  for (unsigned i = 0; i < args.count; ++i) {
    model::Iod& iod = out.emplace_back();
    TRY(done, describe(args.iods[i], oid, cond::kAkeyInsert | cond::kAkeyUpdate, iod));
    iod.record_bytes = args.iods[i].iod_size;
    if (iod.record_bytes != 0 && iod.type != model::ValueType::none) {
      const uint64_t records = records_of(iod);
      if (records > UINT64_MAX / iod.record_bytes) {
        return fail(Errc::record_too_big, "update: more bytes than can be counted");
      }
      TRY(buffer,
          payload_of(args.sgls == nullptr ? nullptr : &args.sgls[i], records * iod.record_bytes));
      iod.buffer = std::move(buffer);
    }
  }
  return out;
}

Result<model::Iods> fetch_iods(IoArgs args, model::ObjectId oid) {
  TRY(ok, check_count(args));
  model::Iods out;
  out.reserve(args.count);
  for (unsigned i = 0; i < args.count; ++i) {
    model::Iod& iod = out.emplace_back();
    TRY(done, describe(args.iods[i], oid, cond::kAkeyFetch, iod));
    if (args.sgls == nullptr) {
      if (iod.type == model::ValueType::array && args.iods[i].iod_size != 0) {
        return fail(Errc::invalid, "fetch: records are asked for, but there is no sgl");
      }
      iod.size_only = true;
    } else {
      TRY(sgl_ok, check_sgl(args.sgls[i]));
      for (uint32_t v = 0; v < args.sgls[i].sg_nr; ++v) {
        const d_iov_t& iov = args.sgls[i].sg_iovs[v];
        if (iov.iov_buf_len == 0) continue;
        iod.buffer.push_back({static_cast<std::byte*>(iov.iov_buf), iov.iov_buf_len});
      }
    }
  }
  return out;
}

void set_filled(d_sg_list_t& sgl, uint64_t bytes) {
  sgl.sg_nr_out = 0;
  for (uint32_t i = 0; i < sgl.sg_nr && bytes > 0; ++i) {
    d_iov_t& iov = sgl.sg_iovs[i];
    iov.iov_len = std::min<uint64_t>(iov.iov_buf_len, bytes);
    bytes -= iov.iov_len;
    sgl.sg_nr_out = i + 1;
  }
}

}  // namespace cairn::capi
