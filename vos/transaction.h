// Transactions of one shard (docs/internals/versions.md). A client reads at one epoch, collects its
// changes and brings both at once: the shard validates what was read, then all changes happen or
// none. transact() decides at once; prepare() is the half of a transaction that spans shards: its
// changes stand aside until commit() or abort(). Keys and buffers are borrowed until the task ends.
#pragma once

#include <compare>
#include <variant>
#include <vector>

#include "vos/operation.h"

namespace cairn::vos {

/// Names a transaction in every shard that takes part; the client draws it. {0, 0} is none.
struct TxId {
  uint64_t high = 0;
  uint64_t low = 0;
  friend auto operator<=>(const TxId&, const TxId&) = default;
};

/// One change. Origin and epoch of the operation are not looked at: the transaction's count.
using TxOp = std::variant<UpdateRequest, PunchRequest>;

/// Something that the transaction has read, by a transactional fetch, listing or query or by a
/// condition that failed: all of it counts, also what was found absent.
struct TxRead {
  enum class Level : uint8_t { object, dkey, akey };
  ObjectPath object;
  Level level = Level::object;
  ByteView dkey;           // dkey, akey
  ByteView akey;           // akey
  model::Epoch epoch = 0;  // at which it was read, as the answer said
};

/// The limits of one transaction and of those that wait for their outcome.
inline constexpr size_t kTxOpsMax = 65'535;
inline constexpr size_t kTxReadsMax = 65'536;
inline constexpr size_t kTxUnresolvedMax = 4096;

struct TransactRequest {
  /// In this order: each sees what those before it did.
  std::vector<TxOp> ops;
  std::vector<TxRead> reads;
  /// prepare() only. 0: the shard picks; else the epoch that the transaction has on other shards.
  model::Epoch epoch = 0;
  Origin origin;  // transact() only
  /// prepare() only. False: others hold what they have prepared, so a container that is held for a
  /// rollback is not waited for: in_progress.
  bool may_wait = true;
};

/// How a transaction went. A status that is not ok: op number `failed_op` could not be done, and
/// nothing happened.
///   exists, nonexistent  its condition does not hold
///   no_perm, invalid, key_too_big, record_too_big  as for an operation alone
struct Transacted {
  static constexpr size_t kNone = ~size_t{0};
  Errc status = Errc::ok;
  size_t failed_op = kNone;
  const char* what = "";   // of the failure; a literal
  model::Epoch epoch = 0;  // at which all of it became visible; prepare: may become
};

/// A prepared transaction whose outcome the shard does not know.
struct UnresolvedTx {
  TxId id;
  model::Epoch epoch = 0;
};

}  // namespace cairn::vos
