// Messages between client and engine as objects. In process they travel by reference: keys and
// payload are borrowed from the caller, nothing is copied. codec.h turns them into bytes and back.
// Invariant: the opcode of a request is the alternative that its body holds.
#pragma once

#include <array>
#include <optional>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "model/flatten.h"
#include "model/ids.h"
#include "model/io.h"

namespace cairn::wire {

/// Numbers are part of the format. `control` carries opaque bytes (protobuf of wire/control.proto).
enum class Opcode : uint16_t {
  control = 1,
  update = 2,
  punch = 3,
  fetch = 4,
  list = 5,
  query_key = 6,
  max_epoch = 7,
  position_of = 8,
  transact = 9,
  list_objects = 10,
  diff = 11,
  flatten = 12,
};

/// An open container (or pool) as an engine knows it. Generation 0: none.
struct HandleRef {
  uint32_t index = 0;
  uint32_t generation = 0;
  friend bool operator==(const HandleRef&, const HandleRef&) = default;
};

/// Ranks are below it: a shard's rank and target share a field of a message.
inline constexpr uint32_t kRanksMax = 1u << 16;
/// Rank of a sender that is no engine.
inline constexpr uint32_t kRankClient = 0xFFFFFFFF;
/// `remaining_ns` without a deadline.
inline constexpr uint64_t kNoDeadline = ~uint64_t{0};

/// Bits of Header::flags.
inline constexpr uint32_t kFlagResend = 1;  // this sequence may have been sent before
/// Of FlattenObjects: they are final, flatten them soon; each is answered with `pending`. An engine
/// that does not know it flattens them at once.
inline constexpr uint32_t kFlagLater = 1u << 16;

/// What every message carries; the byte map is in header_format.h. Zero means "not used"
/// everywhere.
struct Header {
  uint32_t flags = 0;
  uint64_t features = 0;  // of the sender
  Uuid system;            // nil: any
  uint32_t sender_rank = kRankClient;
  uint64_t sender_incarnation = 0;
  uint32_t target = 0;              // of the engine that serves
  uint64_t target_incarnation = 0;  // 0: any
  uint32_t map_version = 0;
  uint32_t placement_generation = 0;
  HandleRef handle;
  uint64_t session = 0;   // 0 in a request: no exactly-once
  uint64_t sequence = 0;  // 0: repeating it is harmless
  uint64_t acknowledged_below = 0;
  uint64_t remaining_ns = kNoDeadline;
  uint64_t hlc = 0;        // newest epoch that the sender has seen
  model::Epoch epoch = 0;  // request: wanted (0: newest, or the shard picks); reply: the result
  uint16_t minor_epoch = 0;
  uint64_t transaction_lo = 0, transaction_hi = 0;
};

struct ObjectAddress {
  model::ObjectId oid;
  uint32_t shard = 0;
  uint32_t target = 0;  // in an ObjectTransact: of the engine. Elsewhere the header's counts
  uint32_t rank = 0;    // in an ObjectTransact: of the engine, below kRanksMax
  friend bool operator==(const ObjectAddress&, const ObjectAddress&) = default;
};

struct Control {
  Bytes body;
};
/// The iods' buffers hold the payload.
struct ObjectUpdate {
  ObjectAddress object;
  uint64_t flags = 0;  // model::cond, with kFinal (not in an ObjectTransact)
  ByteView dkey;
  model::Iods iods;
};
enum class PunchLevel : uint8_t { object = 0, dkey = 1, akeys = 2 };
struct ObjectPunch {
  ObjectAddress object;
  PunchLevel level = PunchLevel::object;
  uint64_t flags = 0;
  ByteView dkey;
  std::vector<ByteView> akeys;
};
/// The iods' buffers take the payload: by reference the server fills them.
struct ObjectFetch {
  ObjectAddress object;
  uint64_t flags = 0;
  ByteView dkey;
  model::Iods iods;
};
struct ObjectList {
  ObjectAddress object;
  model::ListRequest request;
};
struct ObjectQueryKey {
  ObjectAddress object;
  model::QueryKeyRequest request;
};
struct ObjectMaxEpoch {
  ObjectAddress object;
};
struct ObjectPositionOf {
  ObjectAddress object;
  model::ListRequest::What what = model::ListRequest::What::dkeys;
  ByteView key;
};

/// Something a transaction has read: all of an object, all below a dkey, or one akey.
enum class ReadLevel : uint8_t { object = 0, dkey = 1, akey = 2 };
struct TransactRead {
  ObjectAddress object;
  ReadLevel level = ReadLevel::object;
  ByteView dkey, akey;  // as far as the level goes; else empty
};
using TransactOp = std::variant<ObjectUpdate, ObjectPunch>;
/// Changes that become visible together, in their order, if what was read still stands.
struct ObjectTransact {
  model::Epoch read_epoch = 0;  // at which `reads` were read; 0: there are none
  std::vector<TransactOp> ops;
  std::vector<TransactRead> reads;
};

/// Objects of the handle's container on the target, in the order of model/object_order.h. A
/// position is a byte and the order of the object that it is behind: good on every target.
struct ListObjects {
  uint32_t count_max = 0;
  ByteView position;
};
/// What differs between two snapshots of the handle's container, on the target.
struct DiffSnapshots {
  model::Epoch older = 0, newer = 0;
  uint32_t count_max = 0;
  ByteView position;
};

/// Flattens objects of the handle's container on the target (vos/flatten.h). Again is fine.
struct FlattenObjects {
  model::FlattenLimits limits;
  struct One {
    model::ObjectId oid;
    uint32_t shard = 0;
  };
  std::vector<One> objects;
};

/// A receiver may use the vectors of a body while it serves the call, but leaves them as they were:
/// the sender may have to send again.
struct Request {
  Header header;
  std::variant<Control, ObjectUpdate, ObjectPunch, ObjectFetch, ObjectList, ObjectQueryKey,
               ObjectMaxEpoch, ObjectPositionOf, ObjectTransact, ListObjects,
               DiffSnapshots, FlattenObjects>
      body;

  Opcode opcode() const { return static_cast<Opcode>(body.index() + 1); }
};
static_assert(std::variant_size_v<decltype(Request::body)> == 12);

struct ListedObjects {
  std::vector<model::ObjectId> oids;
  Bytes position;
  bool eof = false;
};
struct Difference {
  enum class Kind : uint8_t { added = 0, removed = 1, changed = 2 };
  ObjectAddress object;
  Kind kind = Kind::changed;
  Bytes dkey, akey;
};
struct Differences {
  std::vector<Difference> differences;
  Bytes position;
  bool eof = false;
};

/// Of each in their order.
struct FlattenedObjects {
  std::vector<model::Flattened> objects;
};

/// Nothing: update, punch, transact and max_epoch answer in Header::epoch. Bytes: control and
/// position_of.
using ReplyBody =
    std::variant<std::monostate, Bytes, model::Fetched, model::Listed, model::QueriedKey,
                               ListedObjects, Differences, FlattenedObjects>;

struct Reply {
  Header header;
  /// Errc::ok, or why there is no body. Its text crosses only by reference.
  Error error{Errc::ok, ""};
  ReplyBody body;
};

}  // namespace cairn::wire
