// Requests to bytes.
#include <algorithm>

#include "wire/codec.h"
#include "wire/cursor.h"
#include "wire/framing.h"
#include "wire/limits.h"
#include "wire/payload.h"

namespace cairn::wire {

namespace {

U32le length_of(ByteView bytes) {
  // Longer ones cannot pass finish(): the body would be over its limit.
  return static_cast<uint32_t>(std::min<size_t>(bytes.size(), kBodyBytesMax + 1));
}

void put_object(Bytes& out, const ObjectAddress& object, uint64_t flags) {
  put(out, ObjectPart{.oid_lo = object.oid.lo,
                      .oid_hi = object.oid.hi,
                      .shard = object.shard,
                      .target = static_cast<uint16_t>(object.target),
                      .rank = static_cast<uint16_t>(object.rank),
                      .flags = flags});
}

void put_iods(Bytes& out, ByteView dkey, const model::Iods& iods, bool is_update) {
  put(out, IoPart{.dkey_bytes = length_of(dkey), .iod_count = static_cast<uint32_t>(iods.size())});
  for (const model::Iod& iod : iods) {
    IodPart part{};
    part.akey_bytes = length_of(iod.akey);
    part.recx_count = static_cast<uint32_t>(iod.recxs.size());
    part.record_bytes = iod.record_bytes;
    part.flags = iod.flags;
    part.buffer_bytes = is_update ? payload_bytes(iod) : buffer_bytes(iod);
    part.type = static_cast<uint8_t>(iod.type);
    part.size_only = iod.size_only ? 1 : 0;
    put(out, part);
  }
  put(out, dkey);
  for (const model::Iod& iod : iods) put(out, iod.akey);
  for (const model::Iod& iod : iods) {
    for (const model::Recx& recx : iod.recxs) {
      put(out, RecxPart{.index = recx.index, .count = recx.count});
    }
  }
}

/// Room and payload over the limit are refused before anything is copied.
/// @param bulk_bytes  of the message so far; grows
template <class Count>
Result<void> check_io(const model::Iods& iods, Count count, uint64_t& bulk_bytes) {
  for (const model::Iod& iod : iods) {
    if (iod.recxs.size() > model::kRecxsMax) {
      return fail(Errc::record_too_big, "wire: too many extents in one call; split it");
    }
    bulk_bytes += count(iod);
    if (bulk_bytes > kBulkBytesMax) {
      return fail(Errc::record_too_big, "wire: too much data for one message; split the I/O");
    }
  }
  if (iods.size() > model::kIodsMax) {
    return fail(Errc::record_too_big, "wire: too many akeys in one call; split it");
  }
  return {};
}

void put_update(Bytes& out, const ObjectUpdate& update) {
  put_object(out, update.object, update.flags);
  put_iods(out, update.dkey, update.iods, true);
}
void put_update_bulk(PayloadOut& out, const ObjectUpdate& update) {
  for (const model::Iod& iod : update.iods) put_payload(out, iod, {{0, payload_bytes(iod)}});
}
void put_punch(Bytes& out, const ObjectPunch& punch) {
  PunchPart part{};
  part.level = static_cast<uint8_t>(punch.level);
  part.dkey_bytes = length_of(punch.dkey);
  part.akey_count = static_cast<uint32_t>(punch.akeys.size());
  put_object(out, punch.object, punch.flags);
  put(out, part);
  for (const ByteView akey : punch.akeys) put(out, length_of(akey));
  put(out, punch.dkey);
  for (const ByteView akey : punch.akeys) put(out, akey);
}
void put_op(Bytes& out, const TransactOp& op) {
  OpPart part{};
  const auto* const update = std::get_if<ObjectUpdate>(&op);
  part.opcode = static_cast<uint16_t>(update != nullptr ? Opcode::update : Opcode::punch);
  put(out, part);
  if (update != nullptr) {
    put_update(out, *update);
  } else {
    put_punch(out, std::get<ObjectPunch>(op));
  }
}
void put_read(Bytes& out, const TransactRead& read) {
  ReadPart part{};
  part.object.oid_lo = read.object.oid.lo;
  part.object.oid_hi = read.object.oid.hi;
  part.object.shard = read.object.shard;
  part.object.target = static_cast<uint16_t>(read.object.target);
  part.object.rank = static_cast<uint16_t>(read.object.rank);
  part.level = static_cast<uint8_t>(read.level);
  part.dkey_bytes = length_of(read.dkey);
  part.akey_bytes = length_of(read.akey);
  put(out, part);
  put(out, read.dkey), put(out, read.akey);
}

bool fits(const ObjectAddress& object) {
  return object.target <= 0xffff && object.rank < kRanksMax;
}

/// Returns the bytes of all payload.
/// @error record_too_big   @error nonexistent  a target that no engine has
Result<uint64_t> check_transact(const ObjectTransact& transact) {
  if (transact.ops.size() > kTransactOpsMax || transact.reads.size() > kTransactReadsMax) {
    return fail(Errc::record_too_big, "wire: too many operations in one transaction; split it");
  }
  bool all_fit = true;
  for (const TransactRead& read : transact.reads) all_fit &= fits(read.object);
  for (const TransactOp& op : transact.ops) {
    all_fit &= std::visit([](const auto& one) { return fits(one.object); }, op);
  }
  if (!all_fit) return fail(Errc::nonexistent, "wire: a transaction names no target of an engine");
  uint64_t bulk_bytes = 0;
  for (const TransactOp& op : transact.ops) {
    const auto* const update = std::get_if<ObjectUpdate>(&op);
    if (update == nullptr) continue;
    TRY(sound, check_io(update->iods, [](const auto& iod) { return payload_bytes(iod); },
                        bulk_bytes));
  }
  return bulk_bytes;
}

/// Appends the body of one kind of request, and its bulk.
struct PutBody {
  Bytes& out;
  Framer& framer;
  Buffer* apart;

  PayloadOut begin_bulk(uint64_t bytes) {
    framer.begin_bulk(bytes >= kLargeBulkMin);
    return PayloadOut(out, apart, bytes);
  }

  Result<void> operator()(const Control& control) {
    put(out, ByteView(control.body));
    return {};
  }
  Result<void> operator()(const ObjectUpdate& update) {
    uint64_t bulk_bytes = 0;
    TRY(sound, check_io(update.iods, [](const auto& iod) { return payload_bytes(iod); },
                        bulk_bytes));
    put_update(out, update);
    PayloadOut payload = begin_bulk(bulk_bytes);
    put_update_bulk(payload, update);
    framer.set_apart(payload.apart(), payload.checksum());
    return {};
  }
  Result<void> operator()(const ObjectFetch& fetch) {
    uint64_t room = 0;
    TRY(sound, check_io(fetch.iods, [](const auto& iod) { return buffer_bytes(iod); }, room));
    put_object(out, fetch.object, fetch.flags);
    put_iods(out, fetch.dkey, fetch.iods, false);
    return {};
  }
  Result<void> operator()(const ObjectPunch& punch) {
    put_punch(out, punch);
    return {};
  }
  Result<void> operator()(const ObjectList& list) {
    const model::ListRequest& r = list.request;
    ListPart part{};
    part.what = static_cast<uint8_t>(r.what);
    part.descending = r.descending ? 1 : 0;
    part.count_max = r.count_max;
    part.bytes_max = r.bytes_max;
    part.dkey_bytes = length_of(r.dkey);
    part.akey_bytes = length_of(r.akey);
    part.position_bytes = length_of(r.position);
    put_object(out, list.object, 0);
    put(out, part);
    put(out, r.dkey), put(out, r.akey), put(out, ByteView(r.position));
    return {};
  }
  Result<void> operator()(const ObjectQueryKey& query) {
    const model::QueryKeyRequest& r = query.request;
    QueryPart part{};
    part.what =
        static_cast<uint8_t>((r.max ? kQueryMax : 0) | (r.want_dkey ? kQueryDkey : 0) |
                             (r.want_akey ? kQueryAkey : 0) | (r.want_recx ? kQueryRecx : 0));
    part.dkey = r.dkey;
    part.akey = r.akey;
    part.dkey_bytes = length_of(r.dkey_bytes);
    part.akey_bytes = length_of(r.akey_bytes);
    put_object(out, query.object, 0);
    put(out, part);
    put(out, r.dkey_bytes), put(out, r.akey_bytes);
    return {};
  }
  Result<void> operator()(const ObjectMaxEpoch& query) {
    put_object(out, query.object, 0);
    return {};
  }
  Result<void> operator()(const ObjectPositionOf& position) {
    PositionPart part{};
    part.what = static_cast<uint8_t>(position.what);
    part.key_bytes = length_of(position.key);
    put_object(out, position.object, 0);
    put(out, part);
    put(out, position.key);
    return {};
  }
  Result<void> operator()(const ListObjects& list) {
    put(out, ObjectsPart{.count_max = list.count_max, .position_bytes = length_of(list.position)});
    put(out, list.position);
    return {};
  }
  Result<void> operator()(const DiffSnapshots& diff) {
    put(out, DiffPart{.older = diff.older,
                      .newer = diff.newer,
                      .count_max = diff.count_max,
                      .position_bytes = length_of(diff.position)});
    put(out, diff.position);
    return {};
  }
  Result<void> operator()(const FlattenObjects& flatten) {
    if (flatten.objects.size() > kFlattenCountMax) {
      return fail(Errc::invalid, "wire: too many objects to flatten in one message");
    }
    put(out, FlattenPart{.inline_bytes_max = flatten.limits.inline_bytes_max,
                         .object_bytes_max = flatten.limits.object_bytes_max,
                         .keys_max = flatten.limits.keys_max,
                         .object_count = static_cast<uint32_t>(flatten.objects.size())});
    for (const FlattenObjects::One& one : flatten.objects) {
      put(out, FlattenObjectPart{
                   .oid_lo = one.oid.lo, .oid_hi = one.oid.hi, .shard = one.shard, .reserved = 0});
    }
    return {};
  }
  Result<void> operator()(const ObjectTransact& transact) {
    TRY(bulk_bytes, check_transact(transact));
    put(out, TransactPart{.read_epoch = transact.read_epoch,
                          .op_count = static_cast<uint32_t>(transact.ops.size()),
                          .read_count = static_cast<uint32_t>(transact.reads.size())});
    for (const TransactOp& op : transact.ops) put_op(out, op);
    for (const TransactRead& read : transact.reads) put_read(out, read);
    PayloadOut payload = begin_bulk(bulk_bytes);
    for (const TransactOp& op : transact.ops) {
      if (const auto* const update = std::get_if<ObjectUpdate>(&op)) {
        put_update_bulk(payload, *update);
      }
    }
    framer.set_apart(payload.apart(), payload.checksum());
    return {};
  }
};

}  // namespace

Result<void> encode_request(const Request& request, Bytes& out, Buffer* apart) {
  Framer framer(out);
  if (const auto put_body = std::visit(PutBody{out, framer, apart}, request.body); !put_body) {
    framer.abandon();
    return put_body;
  }
  return framer.finish(MessageKind::request, request.opcode(), request.header, Errc::ok);
}

}  // namespace cairn::wire
