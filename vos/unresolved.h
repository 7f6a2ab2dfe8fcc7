// Unresolved: the transactions whose changes stand aside, and which keys they are about to change.
// The tree has an entry of each, by which the table is made again at an open. Home: the shard's
// reactor. Plain calls. Internal to vos/.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "vos/entry_format.h"
#include "vos/epoch_table.h"
#include "vos/transaction.h"

namespace cairn::vos {

/// Pending records of all transactions together: their keys are in memory.
inline constexpr size_t kPendingRecordsMax = 1u << 20;

struct StandingTx {
  TxId id;
  model::Epoch epoch = 0;
  TxState state = TxState::staging;
  std::vector<std::string> keys;  // of its pending records, in the order of its operations
  uint64_t chunks = 0;            // records of the entry that list them
  bool resolving = false;         // a task folds or drops it
  Errc failed = Errc::ok;         // folding it came to an end with this
};

class Unresolved {
 public:
  /// What an operation is about to do with a range.
  enum class Intent : uint8_t {
    read,    // what is committed: must wait for what is being folded
    change,  // and transactional reads: must not meet anything that stands aside
  };

  size_t count() const { return txs_.size(); }
  size_t record_count() const { return records_; }
  StandingTx* find(TxId id);
  const std::map<TxId, StandingTx>& all() const { return txs_; }
  /// Is it the key of a record of the transaction (or one of those) of that epoch?
  bool lists(ByteView key, model::Epoch epoch) const;
  /// Does any have records in the container?
  bool any(ContNumber container) const;
  /// The one in the container that a plain read at `epoch` must not pass by: it is committed, or
  /// may yet come to be seen there. Null: none.
  const StandingTx* seen_at(ContNumber container, model::Epoch epoch) const;
  /// From now on the keys' ranges are taken. Precondition: no other transaction has the id.
  StandingTx& add(TxId id, model::Epoch epoch, TxState state);
  /// @error checksum  not the key of a pending record
  Result<void> add_key(StandingTx& tx, std::string key);
  void remove(TxId id);
  /// The transaction that `range` meets; null if there is none.
  const StandingTx* meets(const KeyRange& range, Intent intent) const;

 private:
  const StandingTx* meets_prefix(const Key& prefix, bool below, Intent intent) const;

  std::map<TxId, StandingTx> txs_;
  /// Live prefixes of the ranges that are taken, and by whom.
  std::multimap<std::string, const StandingTx*, std::less<>> taken_;
  size_t records_ = 0;
};

}  // namespace cairn::vos
