// wire/object_format.h - bodies of the object messages, format 1, behind the header of
// header_format.h. All integers little-endian, nothing aligned. Unit: bytes.
//
// Every object request begins with an ObjectPart:
//        0     8  oid_lo
//        8     8  oid_hi
//       16     4  shard
//       20     2  target            transact: of the engine that holds the shard; others: zero, the
//                                   header names the target
//       22     2  rank              transact: of that engine; others: zero
//       24     8  flags             conditions (model::cond); zero where the opcode has none
//
// update, fetch: ObjectPart, then
//       32     4  dkey_bytes
//       36     4  iod_count
//       40  40*n  IodPart           one per akey
//      ...        dkey
//      ...        akeys             of all iods
//      ...  16*r  RecxPart          of all iods
// Bulk of an update: the iods' payloads one behind the other, IodPart::buffer_bytes each.
//
// IodPart:
//        0     4  akey_bytes
//        4     4  recx_count
//        8     8  record_bytes
//       16     8  flags             conditions of this akey
//       24     8  buffer_bytes      update: payload in the bulk part; fetch: room for the result
//       32     1  type              model::ValueType
//       33     1  size_only         0 or 1
//       34     6  reserved          zero
//
// fetch reply: FetchedHead {status, iod_count}, then FetchedPart per iod, then per iod its pieces
// (offset, bytes) and extents (index, count) as pairs of 8 bytes. Bulk: the pieces' bytes in the
// same order.
//
// punch: ObjectPart, PunchPart, a U32 length per akey, dkey, akeys.
// list: ObjectPart, ListPart, dkey, akey, position.
// list reply: ListedPart, a U64 length per key, RecxPart per extent, a U64 epoch per extent,
// position, keys. query_key: ObjectPart, QueryPart, dkey, akey.   reply: QueriedPart. max_epoch:
// ObjectPart.                          reply: no body (Header::epoch). position_of: ObjectPart,
// PositionPart, key.     reply: the position's bytes. update, punch, transact reply: no body
// (Header::epoch).
// transact: TransactPart, then per operation an OpPart and the body of that opcode as above, then
// per read a ReadPart, dkey, akey. Bulk: the payloads of the updates in their order.
// list_objects: ObjectsPart, position.  diff: DiffPart, position.   (Nothing names an object.)
// list_objects reply: PagePart, OidPart per object, position. diff reply: PagePart, per difference
// DifferencePart, dkey, akey; position.
// flatten: FlattenPart, FlattenObjectPart per object.  reply: FlattenedPart per object.
// A reply with a status has no body.
#pragma once

#include <cstddef>
#include <type_traits>

#include "base/endian.h"

namespace cairn::wire {

struct ObjectPart {
  U64le oid_lo, oid_hi;
  U32le shard;
  U16le target, rank;
  U64le flags;
};
static_assert(sizeof(ObjectPart) == 32 && offsetof(ObjectPart, flags) == 24);

/// Of update and fetch.
struct IoPart {
  U32le dkey_bytes, iod_count;
};
static_assert(sizeof(IoPart) == 8);

struct IodPart {
  U32le akey_bytes, recx_count;
  U64le record_bytes, flags, buffer_bytes;
  U8 type, size_only;
  U8 reserved[6];
};
static_assert(sizeof(IodPart) == 40 && offsetof(IodPart, type) == 32);

struct RecxPart {
  U64le index, count;
};
static_assert(sizeof(RecxPart) == 16);

struct FetchedHead {
  U32le status, iod_count;
};
static_assert(sizeof(FetchedHead) == 8);

struct FetchedPart {
  U64le record_bytes;
  U32le piece_count, extent_count;
};
static_assert(sizeof(FetchedPart) == 16);

struct PunchPart {
  U8 level;  // PunchLevel
  U8 reserved[7];
  U32le dkey_bytes, akey_count;
};
static_assert(sizeof(PunchPart) == 16);

struct ListPart {
  U8 what, descending;  // model::ListRequest::What; 0 or 1
  U16le reserved_a;
  U32le count_max;
  U64le bytes_max;
  U32le dkey_bytes, akey_bytes;
  U32le position_bytes, reserved_b;
};
static_assert(sizeof(ListPart) == 32);

struct ListedPart {
  U32le key_count, recx_count;
  U64le record_bytes;
  U32le keys_bytes, position_bytes;
  U8 too_small, eof;  // 0 or 1
  U8 reserved[6];
};
static_assert(sizeof(ListedPart) == 32);

/// Bits of QueryPart::what.
inline constexpr uint8_t kQueryMax = 1, kQueryDkey = 2, kQueryAkey = 4, kQueryRecx = 8;
inline constexpr uint8_t kQueryMask = 15;
struct QueryPart {
  U8 what;
  U8 reserved[7];
  U64le dkey, akey;
  U32le dkey_bytes, akey_bytes;
};
static_assert(sizeof(QueryPart) == 32);

struct QueriedPart {
  U8 found;  // 0 or 1
  U8 reserved[7];
  U64le dkey, akey, recx_index, recx_count, record_bytes;
};
static_assert(sizeof(QueriedPart) == 48);

struct PositionPart {
  U8 what;  // model::ListRequest::What
  U8 reserved[3];
  U32le key_bytes;
};
static_assert(sizeof(PositionPart) == 8);

struct TransactPart {
  U64le read_epoch;  // 0: no reads
  U32le op_count, read_count;
};
static_assert(sizeof(TransactPart) == 16);

struct OpPart {
  U16le opcode;  // update or punch
  U8 reserved[6];
};
static_assert(sizeof(OpPart) == 8);

struct ReadPart {
  ObjectPart object;  // flags: zero
  U8 level;           // ReadLevel
  U8 reserved[7];
  U32le dkey_bytes, akey_bytes;  // zero below the level
};
static_assert(sizeof(ReadPart) == 48);

struct ObjectsPart {
  U32le count_max, position_bytes;
};
static_assert(sizeof(ObjectsPart) == 8);

struct DiffPart {
  U64le older, newer;
  U32le count_max, position_bytes;
};
static_assert(sizeof(DiffPart) == 24);

struct PagePart {
  U32le count, position_bytes;
  U8 eof;  // 0 or 1
  U8 reserved[7];
};
static_assert(sizeof(PagePart) == 16);

struct OidPart {
  U64le lo, hi;
};
static_assert(sizeof(OidPart) == 16);

struct DifferencePart {
  U64le oid_lo, oid_hi;
  U32le shard;
  U8 kind;  // Difference::Kind
  U8 reserved[3];
  U32le dkey_bytes, akey_bytes;
};
static_assert(sizeof(DifferencePart) == 32);

struct FlattenPart {
  U64le inline_bytes_max, object_bytes_max;  // 0: the default
  U32le keys_max, object_count;
};
static_assert(sizeof(FlattenPart) == 24);

struct FlattenObjectPart {
  U64le oid_lo, oid_hi;
  U32le shard, reserved;
};
static_assert(sizeof(FlattenObjectPart) == 24);

struct FlattenedPart {
  U8 outcome;  // model::FlattenOutcome
  U8 reserved[7];
  U64le epoch, buffer_bytes;
};
static_assert(sizeof(FlattenedPart) == 24);

template <class T>
inline constexpr bool kIsPart = std::is_trivially_copyable_v<T> &&
                                std::has_unique_object_representations_v<T> && alignof(T) == 1;
static_assert(kIsPart<ObjectPart> && kIsPart<IoPart> && kIsPart<IodPart> && kIsPart<RecxPart>);
static_assert(kIsPart<FetchedHead> && kIsPart<FetchedPart> && kIsPart<PunchPart>);
static_assert(kIsPart<ListPart> && kIsPart<ListedPart> && kIsPart<QueryPart>);
static_assert(kIsPart<QueriedPart> && kIsPart<PositionPart>);
static_assert(kIsPart<TransactPart> && kIsPart<OpPart> && kIsPart<ReadPart>);
static_assert(kIsPart<ObjectsPart> && kIsPart<DiffPart> && kIsPart<PagePart>);
static_assert(kIsPart<OidPart> && kIsPart<DifferencePart>);
static_assert(kIsPart<FlattenPart> && kIsPart<FlattenObjectPart> && kIsPart<FlattenedPart>);

}  // namespace cairn::wire
