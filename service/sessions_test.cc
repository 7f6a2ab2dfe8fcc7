#include <gtest/gtest.h>

#include "service/service_testing.h"

namespace cairn::service {
namespace {

constexpr uint64_t kOwner = 5, kOther = 6;

/// A service that keeps handles; requests of several sessions, each with a sequence.
class SessionsTest : public ServiceTest {
 protected:
  void SetUp() override {
    options_.keep_handles = true;
    ServiceTest::SetUp();
  }
  Result<wire::ControlReply> as(uint64_t session, wire::ControlRequest request) {
    return call_as({.session = session, .sequence = ++sequence_}, std::move(request));
  }
  uint64_t connect_as(uint64_t session, uint32_t access = 2) {
    const auto reply =
        as(session, {.op = wire::Op::pool_connect, .name = "tank", .access = access});
    EXPECT_TRUE(reply);
    return reply ? reply->handle : 0;
  }
  Result<wire::ControlReply> open_as(uint64_t session, uint64_t pool, uint32_t access = 2) {
    return as(session,
              {.op = wire::Op::cont_open, .name = "docs", .access = access, .pool_handle = pool});
  }
  Errc query_pool(uint64_t session, uint64_t pool) {
    return code(as(session, {.op = wire::Op::pool_query, .pool_handle = pool}));
  }
  Errc query_cont(uint64_t session, uint64_t cont) {
    return code(as(session, {.op = wire::Op::cont_query, .cont_handle = cont}));
  }
  Errc disconnect(uint64_t session, uint64_t pool) {
    return code(as(session, {.op = wire::Op::pool_disconnect, .pool_handle = pool}));
  }
  Errc close(uint64_t session, uint64_t cont) {
    return code(as(session, {.op = wire::Op::cont_close, .cont_handle = cont}));
  }
  Result<wire::ControlReply> attach_pool(uint64_t session, uint64_t pool) {
    return as(session, {.op = wire::Op::pool_attach, .pool_handle = pool});
  }
  Result<wire::ControlReply> attach_cont(uint64_t session, uint64_t pool, uint64_t cont) {
    return as(session, {.op = wire::Op::cont_attach, .pool_handle = pool, .cont_handle = cont});
  }
  void make_pool_and_cont() {
    ASSERT_TRUE(as(1, {.op = wire::Op::pool_create, .label = "tank", .bytes = kPoolBytes}));
    const uint64_t pool = connect_as(1);
    ASSERT_TRUE(as(1, {.op = wire::Op::cont_create, .label = "docs", .pool_handle = pool}));
    end(1);
  }
  static Task<bool> ended(Service& service, uint64_t session) {
    co_await service.end_session(session);
    co_return true;
  }
  void end(uint64_t session) { ASSERT_TRUE(world_.run(ended(*service_, session)).has_value()); }
  size_t records(std::string_view prefix) const {
    size_t count = 0;
    for (const auto& [key, entry] : config_.entries) count += key.starts_with(prefix) ? 1 : 0;
    return count;
  }

  uint64_t sequence_ = 0;
};

TEST_F(SessionsTest, A_handle_is_used_by_its_session_only) {
  // Goal: knowing a handle's number is not enough. Method: every use of it by another session.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  const auto cont = open_as(kOwner, pool);
  ASSERT_TRUE(cont);
  EXPECT_EQ(host_.grants.back().session, kOwner);
  EXPECT_EQ(query_pool(kOther, pool), Errc::no_handle);
  EXPECT_EQ(code(open_as(kOther, pool)), Errc::no_handle);
  EXPECT_EQ(query_cont(kOther, cont->handle), Errc::no_handle);
  EXPECT_EQ(close(kOther, cont->handle), Errc::no_handle);
  EXPECT_EQ(disconnect(kOther, pool), Errc::no_handle);
  EXPECT_EQ(close(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(disconnect(kOwner, pool), Errc::ok);
  EXPECT_EQ(records(kHandlesPrefix), 0u);
}

TEST_F(SessionsTest, Two_hundred_who_open_a_container_at_once_all_get_it) {
  // Goal: openers do not shut each other out over the time of the last opening, which all write.
  // Method: each looks before any writes; more of them than tries.
  constexpr uint64_t kFirst = 100, kCount = 200;
  static_assert(kCount > 2 * kTriesMax);
  make_pool_and_cont();
  std::vector<uint64_t> pools;
  for (uint64_t i = 0; i < kCount; ++i) pools.push_back(connect_as(kFirst + i));
  const auto open_time = [&] {
    const auto reply = as(kFirst, {.op = wire::Op::cont_list, .pool_handle = pools[0]});
    return reply && reply->conts.size() == 1 ? reply->conts[0].open_time : 0;
  };
  const uint64_t before = open_time();
  config_.slow_reads = &world_.reactor();
  std::vector<Errc> outcomes;
  for (uint64_t i = 0; i < kCount; ++i) {
    const wire::ControlRequest request{
        .op = wire::Op::cont_open, .name = "docs", .access = 2, .pool_handle = pools[i]};
    world_.reactor().spawn([](Service& service, Origin origin, Bytes bytes,
                              std::vector<Errc>& into) -> Task<void> {
      const auto reply = co_await service.handle(origin, std::move(bytes));
      into.push_back(reply ? Errc::ok : reply.error().code());
    }(*service_, Origin{.session = kFirst + i, .sequence = 1000}, wire::proto_encode(request),
                                                             outcomes));
  }
  world_.run_for(10 * kSecond);
  config_.slow_reads = nullptr;
  EXPECT_EQ(outcomes, std::vector<Errc>(kCount, Errc::ok));
  EXPECT_EQ(records(kHandlesPrefix), 2 * kCount);
  EXPECT_GT(open_time(), before);
}

TEST_F(SessionsTest, An_ended_session_has_no_handles_and_no_answers) {
  // Goal: nothing of a client that is gone stays, and nothing of others goes. Method: two sessions,
  // one ends, twice.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner), other = connect_as(kOther);
  const auto cont = open_as(kOwner, pool), others = open_as(kOther, other);
  ASSERT_TRUE(cont && others);
  EXPECT_EQ(records(kHandlesPrefix), 4u);
  end(kOwner);
  end(kOwner);
  EXPECT_EQ(host_.revoked, std::vector<uint32_t>{cont->io_index});
  EXPECT_EQ(query_pool(kOwner, pool), Errc::no_handle);
  EXPECT_EQ(query_cont(kOther, others->handle), Errc::ok);
  EXPECT_EQ(records(kHandlesPrefix), 2u);
  EXPECT_EQ(records("done/" + digits_of(kOwner)), 0u);
  end(kOther);
  EXPECT_EQ(records(kHandlesPrefix) + records(kDonePrefix), 0u);
  const auto late =
      call_as({.session = kOther, .sequence = 3, .resend = true}, {.op = wire::Op::pool_list});
  EXPECT_EQ(code(late), Errc::unknown);
  EXPECT_TRUE(host_.sessions_ended == (std::vector<uint64_t>{1, kOwner, kOwner, kOther}));
}

TEST_F(SessionsTest, A_session_that_ends_waits_for_its_requests_inside) {
  // Goal: no handle comes after the end. Method: the end begins inside the commit of a connect;
  // what arrives meanwhile is refused.
  make_pool_and_cont();
  config_.slow = &world_.reactor();
  std::optional<bool> over;
  config_.on_commit = [&] {
    config_.on_commit = nullptr;
    world_.reactor().spawn([](Service& service, std::optional<bool>& end) -> Task<void> {
      co_await service.end_session(kOwner);
      end = true;
    }(*service_, over));
  };
  const uint64_t pool = connect_as(kOwner);
  EXPECT_NE(pool, 0u);
  EXPECT_FALSE(over);
  EXPECT_EQ(code(as(kOwner, {.op = wire::Op::pool_list})), Errc::no_handle);
  world_.run_for(kSecond);
  EXPECT_TRUE(over);
  EXPECT_EQ(code(as(kOwner, {.op = wire::Op::pool_list})), Errc::ok);
  EXPECT_EQ(records(kHandlesPrefix), 0u);
  EXPECT_EQ(query_pool(kOwner, pool), Errc::no_handle);
}

TEST_F(SessionsTest, Kept_handles_are_the_same_after_a_restart) {
  // Goal: clients go on. Method: restart; use, exclude, close; restart once more.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner), reader = connect_as(kOther, 1);
  const auto cont = open_as(kOwner, pool, 4);
  ASSERT_TRUE(cont);
  restart();
  EXPECT_EQ(service_->sessions(), (std::vector<uint64_t>{kOwner, kOther}));
  ASSERT_EQ(host_.restored.size(), 1u);
  const auto& [grant, io] = host_.restored[0];
  EXPECT_EQ(grant.container, 1u);
  EXPECT_EQ(grant.session, kOwner);
  EXPECT_TRUE(grant.writable);
  EXPECT_EQ(io, (wire::HandleRef{cont->io_index, cont->io_generation}));
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(query_cont(kOther, cont->handle), Errc::no_handle);
  EXPECT_EQ(code(open_as(kOther, reader, 1)), Errc::busy) << "still open exclusively";
  EXPECT_EQ(disconnect(kOwner, pool), Errc::busy);
  EXPECT_EQ(close(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(host_.revoked, std::vector<uint32_t>{cont->io_index});
  end(kOther);
  restart();
  EXPECT_EQ(service_->sessions(), std::vector<uint64_t>{kOwner});
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::no_handle);
  EXPECT_EQ(disconnect(kOwner, pool), Errc::ok);
}

TEST_F(SessionsTest, A_handle_on_what_was_destroyed_is_evicted_also_after_a_restart) {
  // Goal: the same errors before and after. Method: force both destroys, restart, use and close.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner), other = connect_as(kOther);
  const auto cont = open_as(kOwner, pool);
  ASSERT_TRUE(cont);
  ASSERT_TRUE(as(
      kOther, {.op = wire::Op::cont_destroy, .name = "docs", .force = true, .pool_handle = other}));
  restart();
  EXPECT_TRUE(host_.restored.empty());
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::nonexistent);
  EXPECT_EQ(query_pool(kOwner, pool), Errc::ok);
  ASSERT_TRUE(as(kOther, {.op = wire::Op::pool_destroy, .name = "tank", .force = true}));
  restart();
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::nonexistent);
  EXPECT_EQ(query_pool(kOwner, pool), Errc::no_handle);
  EXPECT_EQ(close(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(disconnect(kOwner, pool), Errc::ok);
  end(kOther);
  EXPECT_EQ(records(kHandlesPrefix), 0u);
}

TEST_F(SessionsTest, Handles_on_a_pool_that_does_not_open_wait_for_it) {
  // Goal: a shard's failure loses no handle. Method: restart without the files, then with them.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  const auto cont = open_as(kOwner, pool);
  ASSERT_TRUE(cont);
  const auto files = std::exchange(host_.pools, {});
  restart();
  EXPECT_EQ(query_pool(kOwner, pool), Errc::ok);
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(code(attach_pool(kOther, pool)), Errc::nonexistent);
  host_.pools = files;
  restart();
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(host_.restored.size(), 2u);
  EXPECT_TRUE(attach_pool(kOther, pool));
}

TEST_F(SessionsTest, Without_keeping_handles_a_start_erases_what_is_left) {
  // Goal: one process after a server. Method: records, then a restart in the other mode; read only
  // in between, which writes nothing.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  ASSERT_TRUE(open_as(kOwner, pool));
  const Revision before = config_.revision;
  options_.read_only = true;
  restart();
  EXPECT_EQ(query_pool(kOwner, pool), Errc::no_handle);
  connect_as(kOwner);
  end(kOwner);
  EXPECT_EQ(config_.revision, before);
  options_ = {};
  restart();
  EXPECT_EQ(records(kHandlesPrefix) + records(kDonePrefix), 0u);
  EXPECT_TRUE(service_->sessions().empty());
  EXPECT_EQ(query_pool(kOwner, pool), Errc::no_handle);
  connect_as(kOwner);
  EXPECT_EQ(records(kHandlesPrefix) + records(kDonePrefix), 0u);
}

TEST_F(SessionsTest, A_failed_commit_changes_no_handle) {
  // Goal: a full store. Method: connect, open and close while commits fail.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  const auto cont = open_as(kOwner, pool);
  ASSERT_TRUE(cont);
  config_.fail_commits = true;
  EXPECT_EQ(code(open_as(kOwner, pool)), Errc::no_space);
  EXPECT_EQ(host_.revoked, std::vector<uint32_t>{2});
  EXPECT_EQ(close(kOwner, cont->handle), Errc::no_space);
  EXPECT_EQ(code(attach_pool(kOther, pool)), Errc::no_space);
  config_.fail_commits = false;
  EXPECT_EQ(query_cont(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(close(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(disconnect(kOwner, pool), Errc::ok);
}

TEST_F(SessionsTest, An_attached_handle_is_a_copy_that_ends_with_its_owner) {
  // Goal: a handle in two processes. Method: attach, a copy of the copy, close one copy, close the
  // owner; with a restart in between.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner, 4);
  const auto cont = open_as(kOwner, pool, 4);
  ASSERT_TRUE(cont);
  const auto copy = attach_pool(kOther, pool);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->access, 4u);
  const auto cont_copy = attach_cont(kOther, copy->handle, cont->handle);
  ASSERT_TRUE(cont_copy);
  EXPECT_EQ(cont_copy->uuid, cont->uuid);
  EXPECT_EQ(cont_copy->conts.at(0).handle_count, 1u) << "copies are not counted";
  EXPECT_EQ(host_.grants.back().session, kOther);
  const auto third = attach_pool(7, copy->handle);
  ASSERT_TRUE(third);
  const auto cont_third = attach_cont(7, third->handle, cont_copy->handle);
  ASSERT_TRUE(cont_third);
  restart();
  EXPECT_EQ(host_.restored.size(), 3u);
  EXPECT_EQ(disconnect(kOther, copy->handle), Errc::busy);
  EXPECT_EQ(close(kOther, cont_copy->handle), Errc::ok);
  EXPECT_EQ(disconnect(kOther, copy->handle), Errc::ok);
  EXPECT_EQ(query_cont(7, cont_third->handle), Errc::ok) << "a copy of a copy is the owner's";
  EXPECT_EQ(close(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(query_cont(7, cont_third->handle), Errc::no_handle);
  EXPECT_EQ(host_.revoked[0], cont_copy->io_index);
  EXPECT_EQ(std::set(host_.revoked.begin(), host_.revoked.end()),
            (std::set{cont_copy->io_index, cont->io_index, cont_third->io_index}));
  EXPECT_EQ(query_pool(7, third->handle), Errc::ok);
  end(kOwner);
  EXPECT_EQ(query_pool(7, third->handle), Errc::no_handle);
  EXPECT_EQ(records(kHandlesPrefix), 0u);
}

TEST_F(SessionsTest, What_was_opened_through_a_copy_ends_with_the_owner_of_the_connection) {
  // Goal: no access without a connection. Method: a container opened, and attached to, through
  // copies; then the owner disconnects.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  const auto copy = attach_pool(kOther, pool), third = attach_pool(7, pool);
  ASSERT_TRUE(copy && third);
  const auto cont = open_as(kOther, copy->handle);
  ASSERT_TRUE(cont);
  const auto attached = attach_cont(7, third->handle, cont->handle);
  ASSERT_TRUE(attached);
  EXPECT_EQ(code(as(kOwner, {.op = wire::Op::cont_destroy, .name = "docs", .pool_handle = pool})),
            Errc::busy);
  EXPECT_EQ(disconnect(kOwner, pool), Errc::ok);
  EXPECT_EQ(query_cont(kOther, cont->handle), Errc::no_handle);
  EXPECT_EQ(query_cont(7, attached->handle), Errc::no_handle);
  EXPECT_EQ(query_pool(7, third->handle), Errc::no_handle);
  EXPECT_EQ(host_.revoked.size(), 2u);
  EXPECT_TRUE(as(kOwner, {.op = wire::Op::pool_destroy, .name = "tank", .force = true}));
}

TEST_F(SessionsTest, Only_open_handles_of_the_right_kind_are_attached_to) {
  // Goal: hostile numbers. Method: unknown, closed, of the other kind, of another pool, evicted.
  make_pool_and_cont();
  ASSERT_TRUE(as(1, {.op = wire::Op::pool_create, .label = "well", .bytes = kPoolBytes}));
  const uint64_t pool = connect_as(kOwner), mine = connect_as(kOther);
  const auto well = as(kOther, {.op = wire::Op::pool_connect, .name = "well", .access = 2});
  const auto cont = open_as(kOwner, pool);
  ASSERT_TRUE(cont && well);
  for (const uint64_t id : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, cont->handle}) {
    EXPECT_EQ(code(attach_pool(kOther, id)), Errc::no_handle) << id;
  }
  for (const uint64_t id : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, pool}) {
    EXPECT_EQ(code(attach_cont(kOther, mine, id)), Errc::no_handle) << id;
  }
  EXPECT_EQ(code(attach_cont(kOther, pool, cont->handle)), Errc::no_handle) << "another's pool";
  EXPECT_EQ(code(attach_cont(kOther, well->handle, cont->handle)), Errc::invalid);
  const auto copy = attach_cont(kOther, mine, cont->handle);
  ASSERT_TRUE(copy);
  EXPECT_EQ(query_cont(kOwner, copy->handle), Errc::no_handle);
  EXPECT_EQ(close(7, copy->handle), Errc::no_handle);
  ASSERT_TRUE(as(
      kOther, {.op = wire::Op::cont_destroy, .name = "docs", .force = true, .pool_handle = mine}));
  EXPECT_EQ(query_cont(kOther, copy->handle), Errc::nonexistent);
  EXPECT_EQ(code(attach_cont(kOther, mine, cont->handle)), Errc::nonexistent);
  EXPECT_EQ(close(kOther, copy->handle), Errc::ok);
  EXPECT_EQ(close(kOwner, cont->handle), Errc::ok);
  EXPECT_EQ(code(attach_cont(kOther, mine, cont->handle)), Errc::no_handle);
}

TEST_F(SessionsTest, An_owner_that_closes_while_others_attach_takes_them_with_it) {
  // Goal: no copy outlives its owner. Method: the owner closes inside the commit of an attach.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  config_.slow = &world_.reactor();
  std::optional<bool> over;
  config_.on_commit = [&] {
    config_.on_commit = nullptr;
    world_.reactor().spawn([](Service& service, std::optional<bool>& end) -> Task<void> {
      co_await service.end_session(kOwner);
      end = true;
    }(*service_, over));
  };
  EXPECT_EQ(code(attach_pool(kOther, pool)), Errc::no_handle);
  world_.run_for(kSecond);
  EXPECT_TRUE(over);
  EXPECT_EQ(records(kHandlesPrefix), 0u);
}

TEST_F(SessionsTest, What_a_crash_left_of_a_closing_is_erased_at_the_next_start) {
  // Goal: no copy without its owner. Method: a closing whose later commits fail, then a restart.
  make_pool_and_cont();
  const uint64_t pool = connect_as(kOwner);
  const auto copy = attach_pool(kOther, pool);
  ASSERT_TRUE(copy);
  ASSERT_TRUE(open_as(kOther, copy->handle));
  config_.commits_left = 1;
  EXPECT_EQ(disconnect(kOwner, pool), Errc::ok);
  EXPECT_EQ(query_pool(kOther, copy->handle), Errc::no_handle);
  EXPECT_EQ(records(kHandlesPrefix), 2u);
  config_.fail_commits = false;
  restart();
  EXPECT_EQ(records(kHandlesPrefix), 0u);
  EXPECT_EQ(query_pool(kOther, copy->handle), Errc::no_handle);
  // A reference that cannot be restored is lost, and only that.
  const uint64_t again = connect_as(kOwner);
  ASSERT_TRUE(open_as(kOwner, again));
  host_.fail_restore = true;
  restart();
  EXPECT_EQ(query_pool(kOwner, again), Errc::ok);
  EXPECT_EQ(records(kHandlesPrefix), 1u);
}

TEST_F(SessionsTest, Many_handles_are_restored_and_ended) {
  // Goal: more than one commit's worth. Method: 500 openings and copies over 10 sessions.
  make_pool_and_cont();
  std::set<uint64_t> ids;
  const uint64_t owner = connect_as(kOwner);
  const auto cont = open_as(kOwner, owner);
  ASSERT_TRUE(cont);
  for (uint64_t session = 100; session < 110; ++session) {
    const auto pool = attach_pool(session, owner);
    ASSERT_TRUE(pool);
    for (int i = 0; i < 25; ++i) {
      const auto opened = open_as(session, pool->handle, 1);
      const auto copy = attach_cont(session, pool->handle, cont->handle);
      ASSERT_TRUE(opened && copy);
      ids.insert({opened->handle, copy->handle});
    }
  }
  EXPECT_EQ(ids.size(), 500u);
  EXPECT_FALSE(ids.contains(0));
  EXPECT_LT(*ids.rbegin(), uint64_t{1} << 63);
  restart();
  EXPECT_EQ(host_.restored.size(), 501u);
  EXPECT_EQ(service_->sessions().size(), 11u);
  end(105);
  EXPECT_EQ(host_.revoked.size(), 50u);
  end(kOwner);
  EXPECT_EQ(host_.revoked.size(), 501u);
  EXPECT_EQ(records(kHandlesPrefix), 0u);
}

}  // namespace
}  // namespace cairn::service
