#include "client/transaction.h"

#include <algorithm>
#include <cstring>

#include "client/view.h"

namespace cairn::client {
namespace {

namespace cond = model::cond;
using Level = ReadRange::Level;

constexpr uint64_t kUpdateConds =
    cond::kDkeyInsert | cond::kDkeyUpdate | cond::kAkeyInsert | cond::kAkeyUpdate;

Bytes bytes_of(ByteView view) { return {view.begin(), view.end()}; }

/// What an update takes of its buffer.
uint64_t value_bytes(const model::Iod& iod) {
  uint64_t records = iod.type == model::ValueType::array ? 0 : 1;
  if (iod.type == model::ValueType::array) {
    for (const model::Recx& recx : iod.recxs) records += recx.count;
  }
  uint64_t room = 0, needed = 0;
  for (const IoVec& vec : iod.buffer) room += vec.bytes;
  return __builtin_mul_overflow(records, iod.record_bytes, &needed) ? room
                                                                    : std::min(needed, room);
}

/// Copies into `memory`, which has the room, and gives back the copy.
ByteView copy_key(ByteView key, std::byte*& memory) {
  if (!key.empty()) std::memcpy(memory, key.data(), key.size());
  const ByteView copy = view_of(memory, key.size());
  memory += key.size();
  return copy;
}

void copy_value(model::Iod& iod, std::byte*& memory) {
  uint64_t left = value_bytes(iod);
  std::byte* const begin = memory;
  for (const IoVec& vec : iod.buffer) {
    const uint64_t part = std::min<uint64_t>(left, vec.bytes);
    if (part != 0) std::memcpy(memory, vec.data, part);
    memory += part;
    left -= part;
  }
  const auto bytes = static_cast<uint64_t>(memory - begin);
  iod.buffer.clear();
  if (bytes != 0) iod.buffer.push_back({begin, bytes});
}

template <class T>
Error error_of(const Result<T>& result) {
  return result ? Error{Errc::ok, ""} : result.error();
}

uint64_t conditions_of(const model::Iod& iod, uint64_t flags) {
  return (flags & cond::kPerAkey) != 0 ? iod.flags : flags;
}

bool has_conditions(const model::Iods& iods, uint64_t flags) {
  if ((flags & kUpdateConds) != 0) return true;
  return (flags & cond::kPerAkey) != 0 && std::ranges::any_of(iods, [](const model::Iod& iod) {
           return (iod.flags & kUpdateConds) != 0;
         });
}

}  // namespace

/// Holds its transaction, so that it may outlive the handle that it was made for.
class TransactionView final : public ContainerView {
 public:
  TransactionView(std::shared_ptr<Transaction> tx, Transaction::Values values)
      : ContainerView(tx->base()), tx_(std::move(tx)), values_(values) {}

  Task<Result<model::Epoch>> update(ObjectArgs args, model::Iods iods) override;
  Task<Result<model::Epoch>> punch_object(model::ObjectId oid, uint64_t flags) override;
  Task<Result<model::Epoch>> punch_dkey(ObjectArgs args) override;
  Task<Result<model::Epoch>> punch_akeys(ObjectArgs args, std::vector<ByteView> akeys) override;
  Task<Result<model::Epoch>> transact(Changes changes) override;
  Task<Result<void>> note_final(std::vector<model::ObjectId> oids) override;
  Task<Result<model::Fetched>> fetch_at(ReadAt at, ObjectArgs args,
                                        model::Iods iods) override;
  Task<Result<model::Listed>> list_at(ReadAt at, model::ObjectId oid,
                                      model::ListRequest request) override;
  Task<Result<model::QueriedKey>> query_key_at(ReadAt at, model::ObjectId oid,
                                               model::QueryKeyRequest request) override;
  Task<Result<model::Epoch>> max_epoch_at(ReadAt at, model::ObjectId oid) override;

 private:
  Task<Result<void>> check_conditions(ObjectArgs args, const model::Iods& iods);
  Task<Result<bool>> dkey_exists(ObjectArgs args);
  Task<Result<bool>> akey_exists(ObjectArgs args, const model::Iod& iod);

  const std::shared_ptr<Transaction> tx_;
  const Transaction::Values values_;
};

Result<void> Transaction::check_open() const {
  if (state_ == State::open) return {};
  return fail(Errc::no_perm, "transaction: has failed or ended");
}

Result<void> Transaction::check_change() const {
  TRY(open, check_open());
  if (options_.read_only) return fail(Errc::no_perm, "transaction: only reads");
  return {};
}

Transaction::Transaction(ContainerPtr base, TransactionOptions options)
    : base_(std::move(base)),
      options_(options),
      picked_(base_->pool().system().context().reactor()) {}

Transaction::Transaction(ContainerPtr base, model::Epoch epoch)
    : base_(std::move(base)),
      options_{.read_only = true},
      fixed_(true),
      epoch_(epoch),
      picked_(base_->pool().system().context().reactor()) {}

ContainerPtr Transaction::container(Values values) {
  return std::make_shared<TransactionView>(shared_from_this(), values);
}

Task<Result<void>> Transaction::begin_read(Reading& reading) {
  CO_TRY(open, check_open());
  while (picking_) {
    co_await picked_.wait();
    CO_TRY(still_open, check_open());
  }
  picking_ = reading.picks = !epoch_.has_value();
  reading.round = round_;
  reading.at = {.epoch = epoch_.value_or(model::kEpochMax),
                .in_transaction = !fixed_,
                .chosen = &reading.chosen};
  co_return Result<void>{};
}

Result<void> Transaction::end_read(const Reading& reading, const Error& outcome,
                                   std::vector<Read> ranges) {
  if (reading.picks && reading.round == round_) {
    picking_ = false;
    picked_.wake_all();
  }
  if (reading.round != round_ || state_ != State::open) {
    return fail(Errc::no_perm, "transaction: ended while it was read");
  }
  if (outcome.code() == Errc::tx_restart && !fixed_) {
    state_ = State::failed;
    forget();
  }
  if (outcome.code() != Errc::ok) return fail(outcome);
  if (reading.picks) epoch_ = reading.chosen;
  if (!fixed_) std::ranges::move(ranges, std::inserter(reads_, reads_.end()));
  return {};
}

/// Copies what the caller may change before commit().
void Transaction::keep(Change change, Values values) {
  uint64_t bytes = change.dkey.size();
  for (const ByteView akey : change.akeys) bytes += akey.size();
  for (const model::Iod& iod : change.iods) {
    bytes += iod.akey.size() + (values == Values::stay ? 0 : value_bytes(iod));
  }
  Kept& kept = changes_.emplace_back();
  kept.memory.resize(bytes);
  std::byte* at = kept.memory.data();
  change.dkey = copy_key(change.dkey, at);
  for (ByteView& akey : change.akeys) akey = copy_key(akey, at);
  for (model::Iod& iod : change.iods) {
    iod.akey = copy_key(iod.akey, at);
    if (values == Values::copied) copy_value(iod, at);
  }
  kept.change = std::move(change);
}

void Transaction::forget() {
  changes_.clear();
  reads_.clear();
  final_.clear();
}

/// It is committed, whether or not they could be told.
Task<void> Transaction::tell_final(std::set<model::ObjectId> oids) {
  if (!oids.empty()) co_await base_->hint_final({oids.begin(), oids.end()});
}

Task<Result<void>> Transaction::commit() {
  if (state_ == State::committed) co_return fail(Errc::already, "transaction: was committed");
  if (state_ == State::committing) {
    co_return fail(Errc::in_progress, "transaction: its commit is under way");
  }
  CO_TRY(open, check_open());
  std::set<model::ObjectId> final_objects = final_;
  if (changes_.empty()) {
    // What it read stood together at its epoch; that is all there is to say.
    state_ = State::committed;
    forget();
    co_await tell_final(std::move(final_objects));
    co_return Result<void>{};
  }
  state_ = State::committing;
  Changes all;
  for (Kept& kept : changes_) all.changes.push_back(std::move(kept.change));
  if (!reads_.empty()) all.read_epoch = *epoch_;
  for (const Read& read : reads_) {
    all.reads.push_back(
        {.oid = read.oid, .level = read.level, .dkey = read.dkey, .akey = read.akey});
  }
  const auto committed = co_await base_->transact(std::move(all));
  if (committed) {
    state_ = State::committed;
    epoch_ = *committed;
  } else {
    state_ = committed.error().code() == Errc::tx_restart ? State::failed : State::aborted;
  }
  forget();
  if (!committed) co_return fail(committed.error());
  co_await tell_final(std::move(final_objects));
  co_return Result<void>{};
}

Result<void> Transaction::abort() {
  if (state_ == State::aborted) return fail(Errc::already, "transaction: was aborted");
  TRY(open, check_open());
  state_ = State::aborted;
  forget();
  return {};
}

Result<void> Transaction::restart() {
  if (state_ != State::failed) {
    return fail(Errc::no_perm, "transaction: only a failed one can be restarted");
  }
  state_ = State::open;
  epoch_.reset();
  ++round_;
  picking_ = false;
  picked_.wake_all();
  return {};
}

Result<model::Epoch> Transaction::epoch() const {
  if (!epoch_) return fail(Errc::uninitialized, "transaction: has no epoch yet");
  return *epoch_;
}

// The view. An epoch that a change answers is 0: it has none before the commit.

Task<Result<bool>> TransactionView::dkey_exists(ObjectArgs args) {
  model::ListRequest request;
  request.what = model::ListRequest::What::akeys;
  request.dkey = args.dkey;
  request.count_max = 1;
  CO_TRY(listed, co_await list_at({}, args.oid, std::move(request)));
  co_return !listed.lengths.empty();
}

Task<Result<bool>> TransactionView::akey_exists(ObjectArgs args, const model::Iod& iod) {
  model::Iods one(1);
  one[0].akey = iod.akey;
  one[0].type = iod.type;
  one[0].recxs = iod.recxs;
  one[0].size_only = true;
  args.flags = cond::kAkeyFetch;
  CO_TRY(fetched, co_await fetch_at({}, args, std::move(one)));
  co_return fetched.status != Errc::nonexistent;
}

Task<Result<void>> TransactionView::check_conditions(ObjectArgs args,
                                                     const model::Iods& iods) {
  if ((args.flags & (cond::kDkeyInsert | cond::kDkeyUpdate)) != 0) {
    CO_TRY(exists, co_await dkey_exists(args));
    if (exists && (args.flags & cond::kDkeyInsert) != 0) {
      co_return fail(Errc::exists, "transaction: the dkey exists");
    }
    if (!exists && (args.flags & cond::kDkeyUpdate) != 0) {
      co_return fail(Errc::nonexistent, "transaction: no such dkey");
    }
  }
  for (const model::Iod& iod : iods) {
    const uint64_t conds = conditions_of(iod, args.flags);
    if ((conds & (cond::kAkeyInsert | cond::kAkeyUpdate)) == 0) continue;
    CO_TRY(exists, co_await akey_exists(args, iod));
    if (exists && (conds & cond::kAkeyInsert) != 0) {
      co_return fail(Errc::exists, "transaction: the akey exists");
    }
    if (!exists && (conds & cond::kAkeyUpdate) != 0) {
      co_return fail(Errc::nonexistent, "transaction: no such akey");
    }
  }
  co_return Result<void>{};
}

Task<Result<model::Epoch>> TransactionView::update(ObjectArgs args, model::Iods iods) {
  CO_TRY(may, tx_->check_change());
  if (has_conditions(iods, args.flags)) {
    CO_TRY(fine, co_await check_conditions(args, iods));
    CO_TRY(still, tx_->check_change());
  }
  // The reads of the conditions are validated at commit, so they hold then, too.
  for (model::Iod& iod : iods) iod.flags = 0;
  if ((args.flags & cond::kFinal) != 0) tx_->final_.insert(args.oid);
  tx_->keep({.oid = args.oid, .dkey = args.dkey, .iods = std::move(iods)}, values_);
  co_return model::Epoch{0};
}

Task<Result<model::Epoch>> TransactionView::punch_object(model::ObjectId oid, uint64_t) {
  CO_TRY(may, tx_->check_change());
  tx_->keep({.kind = Change::Kind::punch_object, .oid = oid}, values_);
  co_return model::Epoch{0};
}

Task<Result<model::Epoch>> TransactionView::punch_dkey(ObjectArgs args) {
  CO_TRY(may, tx_->check_change());
  if ((args.flags & cond::kPunch) != 0) {
    CO_TRY(exists, co_await dkey_exists(args));
    if (!exists) co_return fail(Errc::nonexistent, "transaction: no such dkey");
    CO_TRY(still, tx_->check_change());
  }
  tx_->keep({.kind = Change::Kind::punch_dkey, .oid = args.oid, .dkey = args.dkey}, values_);
  co_return model::Epoch{0};
}

Task<Result<model::Epoch>> TransactionView::punch_akeys(ObjectArgs args,
                                                        std::vector<ByteView> akeys) {
  CO_TRY(may, tx_->check_change());
  if ((args.flags & cond::kPunch) != 0) {
    for (const ByteView akey : akeys) {
      model::Iod iod;
      iod.akey = akey;
      iod.type = model::ValueType::single;
      CO_TRY(exists, co_await akey_exists(args, iod));
      if (!exists) co_return fail(Errc::nonexistent, "transaction: no such akey");
    }
    CO_TRY(still, tx_->check_change());
  }
  tx_->keep({.kind = Change::Kind::punch_akeys,
             .oid = args.oid,
             .dkey = args.dkey,
             .akeys = std::move(akeys)},
            values_);
  co_return model::Epoch{0};
}

Task<Result<model::Epoch>> TransactionView::transact(Changes) {
  co_return fail(Errc::not_supported, "transaction: none inside another");
}

Task<Result<void>> TransactionView::note_final(std::vector<model::ObjectId> oids) {
  CO_TRY(may, tx_->check_change());
  tx_->final_.insert(oids.begin(), oids.end());
  co_return Result<void>{};
}

Task<Result<model::Fetched>> TransactionView::fetch_at(ReadAt, ObjectArgs args,
                                                       model::Iods iods) {
  std::vector<Transaction::Read> ranges;
  const Bytes dkey = bytes_of(args.dkey);
  if ((args.flags & cond::kDkeyFetch) != 0) {
    ranges.push_back({.oid = args.oid, .level = Level::dkey, .dkey = dkey});
  } else {
    for (const model::Iod& iod : iods) {
      ranges.push_back({args.oid, Level::akey, dkey, bytes_of(iod.akey)});
    }
  }
  Transaction::Reading reading;
  CO_TRY(begun, co_await tx_->begin_read(reading));
  auto fetched = co_await base_->fetch_at(reading.at, args, std::move(iods));
  CO_TRY(ended, tx_->end_read(reading, error_of(fetched), std::move(ranges)));
  co_return std::move(*fetched);
}

Task<Result<model::Listed>> TransactionView::list_at(ReadAt, model::ObjectId oid,
                                                     model::ListRequest request) {
  using What = model::ListRequest::What;
  std::vector<Transaction::Read> ranges(1);
  ranges[0].oid = oid;
  ranges[0].level = request.what == What::dkeys   ? Level::object
                    : request.what == What::akeys ? Level::dkey
                                                  : Level::akey;
  if (request.what != What::dkeys) ranges[0].dkey = bytes_of(request.dkey);
  if (request.what == What::recxs) ranges[0].akey = bytes_of(request.akey);
  Transaction::Reading reading;
  CO_TRY(begun, co_await tx_->begin_read(reading));
  auto listed = co_await base_->list_at(reading.at, oid, std::move(request));
  CO_TRY(ended, tx_->end_read(reading, error_of(listed), std::move(ranges)));
  co_return std::move(*listed);
}

Task<Result<model::QueriedKey>> TransactionView::query_key_at(ReadAt, model::ObjectId oid,
                                                              model::QueryKeyRequest request) {
  std::vector<Transaction::Read> ranges(1);
  ranges[0].oid = oid;
  if (!request.want_dkey) {
    ranges[0].level = request.want_akey ? Level::dkey : Level::akey;
    ranges[0].dkey = bytes_of(request.dkey_bytes);
    if (!request.want_akey) ranges[0].akey = bytes_of(request.akey_bytes);
  }
  Transaction::Reading reading;
  CO_TRY(begun, co_await tx_->begin_read(reading));
  auto found = co_await base_->query_key_at(reading.at, oid, request);
  CO_TRY(ended, tx_->end_read(reading, error_of(found), std::move(ranges)));
  co_return *found;
}

Task<Result<model::Epoch>> TransactionView::max_epoch_at(ReadAt, model::ObjectId oid) {
  if (!tx_->epoch()) {
    // The answer has no room for an epoch that is picked.
    model::ListRequest any;
    any.count_max = 1;
    CO_TRY(picked, co_await list_at({}, oid, std::move(any)));
  }
  std::vector<Transaction::Read> ranges(1);
  ranges[0].oid = oid;
  Transaction::Reading reading;
  CO_TRY(begun, co_await tx_->begin_read(reading));
  reading.at = {.epoch = reading.at.epoch};  // validated at commit only
  auto newest = co_await base_->max_epoch_at(reading.at, oid);
  CO_TRY(ended, tx_->end_read(reading, error_of(newest), std::move(ranges)));
  co_return *newest;
}

}  // namespace cairn::client
