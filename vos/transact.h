// Transaction: several changes on their way to one epoch. Internal to vos/. Home: the shard's
// reactor.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "vos/overlay.h"
#include "vos/punch.h"
#include "vos/update.h"
#include "vos/validation.h"

namespace cairn::vos {

struct Transaction {
  Transaction(Shard::State& s, const TransactRequest& r);

  /// One of the two.
  struct Change {
    std::unique_ptr<Update> update;
    std::unique_ptr<Punch> punch;
    ContNumber container() const {
      return update ? update->request.object.container : punch->request.object.container;
    }
    const KeyPath& path() const { return update ? update->path : punch->path; }
    /// Null: it punches a whole object.
    const Key* dkey_prefix() const {
      if (update) return &update->checked.dkey_prefix;
      return punch->request.level == PunchRequest::Level::object ? nullptr : &punch->dkey_prefix;
    }
  };
  struct Read {
    KeyRange range;
    model::Epoch epoch = 0;
  };

  Shard::State& state;
  const TransactRequest& request;
  std::vector<Change> changes;
  std::vector<Read> reads;
  Overlay overlay;
  BlockCache cache;
  index::Batch batch;
  model::Epoch epoch = 0;
  bool aside = false;                    // prepare(): the changes are not made, only planned
  bool too_large = false;                // for one log record
  size_t failed_op = Transacted::kNone;  // where check() and plan() ended
  IoRoom::Hold room;                     // for its data

  /// Is no container sealed that it changes? @error no_perm
  Result<void> check_open() const;
  /// Is the request sound? Fills `reads`.
  Result<void> check();
  /// Waits for room and reserves blocks; after an error, cancel_all(false).
  Task<Result<void>> stage_admitted();
  void cancel_all(bool only_unused);
  /// One step: validates, picks the epoch, plans all changes into `batch`, prepares the tree.
  /// @error tx_restart, in_progress, page_absent, no_space (too_large, maybe), and what an
  /// operation fails with
  Result<void> plan();
  Task<Result<void>> plan_loaded();
  /// The changes as records that stand aside.
  PendingRecords pending() const;
  /// What was read was read at the transaction's epoch, too.
  void mark_reads();
  /// In the step of the commit: what memory knows of it.
  void committed();
  /// Of its log record.
  uint16_t record_kind() const;
  /// The data to be written beside the record.
  std::vector<index::Store::DataWrite> writes() const;
  /// What is answered.
  Result<Transacted> outcome(const Result<model::Epoch>& done) const;

 private:
  Result<void> stage_all();
  std::optional<std::pair<ContNumber, Access>> closed_container();
  Result<void> validate();
  std::vector<KeyRange> ranges() const;
  Result<void> plan_changes();
  /// Blocks of the transaction's own data are not on the medium yet.
  void fill_own_blocks();
};

}  // namespace cairn::vos
