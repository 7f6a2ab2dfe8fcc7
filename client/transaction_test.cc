#include "client/transaction.h"

#include <gtest/gtest.h>

#include "client/array.h"
#include "client/testing/fake_container.h"
#include "client/view.h"

namespace cairn::client {
namespace {

constexpr ArrayShape kShape{.cell_bytes = 1, .chunk_cells = 4};
constexpr std::byte kAkey[] = {std::byte{'0'}};

class TransactionTest : public testing::Test {
 protected:
  template <class T>
  T run(Task<T> task) {
    return system_.context().run(std::move(task));
  }
  template <class T>
  static Errc code(const Result<T>& result) {
    return result ? Errc::ok : result.error().code();
  }
  ObjectArgs args(uint64_t flags = 0) const {
    return {.oid = oid_, .dkey = view_of(&dkey_, 8), .flags = flags};
  }
  static model::Iods iod(std::byte* data) {
    model::Iods iods(1);
    iods[0].akey = kAkey;
    iods[0].type = model::ValueType::array;
    iods[0].record_bytes = 1;
    iods[0].recxs = {{0, 1}};
    iods[0].buffer = {{data, 1}};
    return iods;
  }
  Errc put(const TransactionPtr& tx, uint64_t flags = 0, char value = 'v') {
    auto byte = static_cast<std::byte>(value);
    return code(run(tx->container()->update(args(flags), iod(&byte))));
  }
  /// What the container holds: the byte, or '-' for nothing.
  char look(ContainerPtr where) {
    std::byte byte{'-'};
    const auto fetched = run(where->fetch(args(), iod(&byte)));
    return fetched ? static_cast<char>(byte) : '!';
  }
  TransactionPtr begin(TransactionOptions options = {}) {
    return std::make_shared<Transaction>(base_, options);
  }

  SeededRandom random_{1};
  Reactor reactor_{system_clock(), random_, nullptr};
  FakeSystem system_{reactor_};
  FakePool pool_{system_};
  std::shared_ptr<FakeContainer> base_ =
      std::make_shared<FakeContainer>(reactor_, pool_);
  const model::ObjectId oid_{.lo = 1, .hi = uint64_t{13} << 56};
  const uint64_t dkey_ = 1;
};

TEST_F(TransactionTest, Changes_are_copied_kept_and_made_by_commit) {
  // Goal: nothing leaves before commit; the caller's memory is free at once; reads see the store.
  const auto tx = begin();
  {
    std::byte byte{'v'};
    ASSERT_TRUE(run(tx->container()->update(args(), iod(&byte))));
    byte = std::byte{'X'};
  }
  EXPECT_EQ(base_->calls, 0);
  EXPECT_EQ(look(tx->container()), '-');
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(look(base_), 'v');
  EXPECT_EQ(base_->validated, std::vector{ReadRange::Level::akey});
  EXPECT_EQ(tx->state(), Transaction::State::committed);
}

TEST_F(TransactionTest, Values_that_stay_with_the_caller_are_read_at_commit) {
  // Goal: no copy where the caller promised to wait. What it holds at commit counts.
  const auto tx = begin();
  std::byte byte{'a'};
  ASSERT_TRUE(run(tx->container(Transaction::Values::stay)->update(args(), iod(&byte))));
  byte = std::byte{'b'};
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(look(base_), 'b');
}

TEST_F(TransactionTest, States_answer_as_recorded) {
  // Goal: the table of states and calls. Method: each state, all calls.
  const auto done = begin();
  EXPECT_EQ(code(done->epoch()), Errc::uninitialized);
  EXPECT_EQ(code(done->restart()), Errc::no_perm);
  EXPECT_EQ(code(run(done->commit())), Errc::ok);
  EXPECT_EQ(code(run(done->commit())), Errc::already);
  EXPECT_EQ(code(done->abort()), Errc::no_perm);
  EXPECT_EQ(code(done->restart()), Errc::no_perm);
  EXPECT_EQ(put(done), Errc::no_perm);
  const auto aborted = begin();
  EXPECT_EQ(put(aborted), Errc::ok);
  EXPECT_EQ(code(aborted->abort()), Errc::ok);
  EXPECT_EQ(code(aborted->abort()), Errc::already);
  EXPECT_EQ(code(run(aborted->commit())), Errc::no_perm);
  EXPECT_EQ(code(aborted->restart()), Errc::no_perm);
  EXPECT_EQ(look(aborted->container()), '!');
  EXPECT_EQ(base_->calls, 0);
  const auto reader = begin({.read_only = true});
  EXPECT_EQ(put(reader), Errc::no_perm);
  EXPECT_EQ(code(run(reader->commit())), Errc::ok);
}

TEST_F(TransactionTest, A_conflict_fails_it_and_restart_begins_anew) {
  // Goal: tx_restart from a read and from commit; after restart a new epoch and no old changes.
  const auto tx = begin();
  EXPECT_EQ(look(tx->container()), '-');
  EXPECT_EQ(base_->last_read.epoch, model::kEpochMax);
  const auto first = tx->epoch();
  ASSERT_TRUE(first);
  EXPECT_EQ(look(tx->container()), '-');
  EXPECT_EQ(base_->last_read.epoch, *first);
  EXPECT_EQ(put(tx), Errc::ok);
  base_->conflicts = true;
  EXPECT_EQ(code(run(tx->commit())), Errc::tx_restart);
  EXPECT_EQ(base_->validated_at, *first);
  EXPECT_EQ(put(tx), Errc::no_perm);
  EXPECT_EQ(code(run(tx->commit())), Errc::no_perm);
  EXPECT_EQ(code(tx->abort()), Errc::no_perm);
  ASSERT_EQ(code(tx->restart()), Errc::ok);
  EXPECT_EQ(code(tx->epoch()), Errc::uninitialized);
  EXPECT_EQ(look(tx->container()), '!');
  EXPECT_EQ(tx->state(), Transaction::State::failed);
  base_->conflicts = false;
  ASSERT_EQ(code(tx->restart()), Errc::ok);
  EXPECT_EQ(put(tx, 0, 'w'), Errc::ok);
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(base_->transacted.size(), 1u);
  EXPECT_EQ(look(base_), 'w');
}

TEST_F(TransactionTest, Conditions_are_checked_at_once_and_validated_at_commit) {
  // Goal: a failed one leaves the transaction usable; each one becomes a read.
  const auto tx = begin();
  EXPECT_EQ(put(tx, model::cond::kDkeyUpdate), Errc::nonexistent);
  EXPECT_EQ(put(tx, model::cond::kDkeyInsert), Errc::ok);
  EXPECT_EQ(code(run(tx->container()->punch_dkey(args(model::cond::kPunch)))), Errc::nonexistent);
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(base_->validated, std::vector{ReadRange::Level::dkey});
  const auto second = begin();
  EXPECT_EQ(put(second, model::cond::kDkeyInsert), Errc::exists);
  EXPECT_EQ(code(run(second->container()->punch_dkey(args(model::cond::kPunch)))), Errc::ok);
  EXPECT_EQ(code(run(second->commit())), Errc::ok);
  EXPECT_EQ(look(base_), '-');
}

TEST_F(TransactionTest, Objects_are_final_when_it_is_committed_and_not_before) {
  // Goal: CAIRN_COND_FINAL in transactions. Method: said by an update, by a call, and of an object
  // that it does not change; committed, aborted, failed.
  const std::vector<model::ObjectId> other{{.lo = 7, .hi = oid_.hi}};
  const auto tx = begin();
  EXPECT_EQ(put(tx, model::cond::kFinal), Errc::ok);
  EXPECT_EQ(put(tx, model::cond::kFinal), Errc::ok);
  EXPECT_EQ(code(run(tx->container()->note_final(other))), Errc::ok);
  EXPECT_TRUE(base_->final_objects.empty());
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(base_->final_objects, (std::vector{oid_, other[0]}));
  EXPECT_EQ(code(run(tx->container()->note_final(other))), Errc::no_perm);

  base_->final_objects.clear();
  const auto aborted = begin();
  EXPECT_EQ(put(aborted, model::cond::kFinal), Errc::ok);
  EXPECT_EQ(code(aborted->abort()), Errc::ok);
  const auto failed = begin();
  EXPECT_EQ(put(failed, model::cond::kFinal), Errc::ok);
  base_->conflicts = true;
  EXPECT_EQ(code(run(failed->commit())), Errc::tx_restart);
  base_->conflicts = false;
  EXPECT_EQ(code(failed->restart()), Errc::ok);
  EXPECT_EQ(put(failed), Errc::ok);
  EXPECT_EQ(code(run(failed->commit())), Errc::ok);
  EXPECT_TRUE(base_->final_objects.empty());

  const auto silent = begin();
  EXPECT_EQ(code(run(silent->container()->note_final(other))), Errc::ok);
  EXPECT_EQ(code(run(silent->commit())), Errc::ok);
  EXPECT_EQ(base_->final_objects, other);
  EXPECT_EQ(code(run(begin({.read_only = true})->container()->note_final(other))), Errc::no_perm);
  EXPECT_EQ(code(run(at_epoch(base_, 5)->note_final(other))), Errc::no_perm);
}

TEST_F(TransactionTest, Reads_at_once_share_the_epoch_that_the_first_one_picks) {
  // Goal: one epoch for all. Method: an array read of several chunks, in parallel.
  const auto tx = begin();
  Bytes room(16);
  ASSERT_TRUE(run(array_read(tx->container(), oid_, kShape, {{0, 16}},
                             {{room.data(), room.size()}}, false)));
  EXPECT_EQ(base_->last_read.epoch, *tx->epoch());
  EXPECT_TRUE(base_->last_read.in_transaction);
  Bytes data(16, std::byte{'x'});
  ASSERT_TRUE(run(array_write(tx->container(), oid_, kShape, {{0, 16}},
                              {{data.data(), data.size()}})));
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(base_->transacted.size(), 4u);
  EXPECT_EQ(base_->validated.size(), 4u);
}

TEST_F(TransactionTest, A_view_of_an_epoch_reads_there_and_changes_nothing) {
  // Goal: every kind of read carries the epoch; every change is refused.
  const ContainerPtr old = at_epoch(base_, 77);
  EXPECT_EQ(look(old), '-');
  EXPECT_EQ(base_->last_read.epoch, 77u);
  EXPECT_FALSE(base_->last_read.in_transaction);
  base_->last_read = {};
  EXPECT_TRUE(run(old->list(oid_, {.count_max = 1})));
  EXPECT_EQ(base_->last_read.epoch, 77u);
  base_->last_read = {};
  EXPECT_TRUE(run(array_size(old, oid_, kShape)));
  EXPECT_EQ(base_->last_read.epoch, 77u);
  std::byte byte{};
  EXPECT_EQ(code(run(old->update(args(), iod(&byte)))), Errc::no_perm);
  EXPECT_EQ(code(run(old->punch_dkey(args()))), Errc::no_perm);
  EXPECT_EQ(code(run(old->punch_object(oid_, 0))), Errc::no_perm);
  EXPECT_EQ(code(run(old->punch_akeys(args(), {}))), Errc::no_perm);
  EXPECT_EQ(old->access(), Access::read_only);

  const auto tx = std::make_shared<Transaction>(base_, 78);
  EXPECT_EQ(look(tx->container()), '-');
  EXPECT_EQ(base_->last_read.epoch, 78u);
  EXPECT_FALSE(base_->last_read.in_transaction);
  EXPECT_EQ(put(tx), Errc::no_perm);
  EXPECT_EQ(*tx->epoch(), 78u);
  EXPECT_EQ(code(run(tx->commit())), Errc::ok);
  EXPECT_EQ(code(tx->abort()), Errc::no_perm);
}

}  // namespace
}  // namespace cairn::client
