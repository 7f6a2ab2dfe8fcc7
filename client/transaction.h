// Transactions of a client: changes are kept here and sent together by commit(); reads go to the
// store at one epoch, which the first of them picks, and do not see the transaction's own changes.
// What was read is validated at commit. Home: the container's reactor.
//
//   open -> committed          commit()
//   open -> failed -> open     a read or commit() met something newer (tx_restart); restart()
//   open -> aborted            abort(), or commit() failed otherwise: nothing was changed, except
//                              after timed_out, where the outcome is unknown
#pragma once

#include <deque>
#include <optional>
#include <set>

#include "client/client.h"
#include "runtime/reactor.h"

namespace cairn::client {

struct TransactionOptions {
  bool read_only = false;  // changes: no_perm
};

class Transaction : public std::enable_shared_from_this<Transaction> {
 public:
  enum class State : uint8_t { open, committing, committed, failed, aborted };

  Transaction(ContainerPtr base, TransactionOptions options);
  /// Reads the container as it was at `epoch`; may change nothing.
  Transaction(ContainerPtr base, model::Epoch epoch);

  State state() const { return state_; }
  const ContainerPtr& base() const { return base_; }
  /// What becomes of the values of updates; `stay`: they are the caller's, who keeps them until
  /// commit(). Keys are copied.
  enum class Values : uint8_t { copied, stay };
  /// The container as the transaction sees it; its changes become the transaction's. Conditions
  /// are checked at once; one that does not hold (exists, nonexistent) leaves the transaction open.
  /// @error no_perm  not open, or read only   @error tx_restart  it has failed
  ContainerPtr container(Values values = Values::copied);

  /// Durable when it completes. A transaction without changes asks nobody.
  /// @error tx_restart  something read has changed: restart() and do everything again
  /// @error already  committed before   @error in_progress  a commit is under way
  /// @error no_perm  ended otherwise
  Task<Result<void>> commit();
  /// @error already  aborted before   @error no_perm  not open
  Result<void> abort();
  /// Forgets everything; the next read picks a new epoch. @error no_perm  not failed
  Result<void> restart();
  /// @error uninitialized  none was picked yet
  Result<model::Epoch> epoch() const;

 private:
  friend class TransactionView;
  struct Kept {
    Change change;
    Bytes memory;  // dkey, akeys and, unless they stay, values
  };
  /// What was read, in an order that finds doubles.
  struct Read {
    model::ObjectId oid;
    ReadRange::Level level;
    Bytes dkey, akey;
    auto operator<=>(const Read&) const = default;
  };

  /// A read under way.
  struct Reading {
    uint64_t round = 0;
    bool picks = false;      // the epoch; other reads wait for it
    model::Epoch chosen = 0;
    ReadAt at;
  };

  Result<void> check_open() const;
  Result<void> check_change() const;
  /// `reading` stays until end_read(). @error no_perm
  Task<Result<void>> begin_read(Reading& reading);
  /// Takes note of what was read. @error what the read ended with; tx_restart: it has failed
  Result<void> end_read(const Reading& reading, const Error& outcome, std::vector<Read> ranges);
  void keep(Change change, Values values);
  void forget();
  Task<void> tell_final(std::set<model::ObjectId> oids);

  const ContainerPtr base_;
  const TransactionOptions options_;
  const bool fixed_ = false;
  State state_ = State::open;
  std::optional<model::Epoch> epoch_;
  std::deque<Kept> changes_;
  std::set<Read> reads_;
  std::set<model::ObjectId> final_;  // objects that it writes for the last time
  uint64_t round_ = 0;  // restart() begins a new one
  bool picking_ = false;
  WaitList picked_;
};
using TransactionPtr = std::shared_ptr<Transaction>;

}  // namespace cairn::client
