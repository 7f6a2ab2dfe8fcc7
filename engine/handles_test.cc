// Handles that another engine gives out: what a table answers that may not have heard of one.
#include "engine/handles.h"

#include <gtest/gtest.h>

#include "engine/testing.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 77;

/// The table that gives handles out, and one that hears of them, on one clock.
struct Tables {
  EngineWorld world;
  HandleTable gives{world.reactor, false};
  HandleTable hears{world.reactor, true};
  HandleSpec spec{.pool = world.pool, .container = 1, .writable = true, .session = kSession};
  PoolShards shards{world.shard.get()};

  wire::HandleRef open() { return *gives.add(spec, shards); }
  Errc use(HandleTable& table, wire::HandleRef handle) {
    const auto used = table.use(handle, kSession, 0);
    return used ? Errc::ok : used.error().code();
  }
  void pass(Duration time) { world.clock.jump_to(world.clock.now() + time); }
};

TEST(HandleTable, One_that_was_not_heard_of_is_waited_for) {
  // Goal: a client whose handle is younger than the engine's last word from the services asks again
  // and does not fail. Method: before anything was heard; a place used before; once heard.
  Tables t;
  const wire::HandleRef first = t.open();
  EXPECT_EQ(t.use(t.hears, first), Errc::unreachable);
  EXPECT_EQ(t.use(t.gives, {.index = first.index, .generation = first.generation + 1}),
            Errc::no_handle);
  ASSERT_TRUE(t.hears.restore(t.spec, t.shards, first));
  EXPECT_EQ(t.use(t.hears, first), Errc::ok);

  for (HandleTable* const table : {&t.gives, &t.hears}) {
    ASSERT_TRUE(t.world.run(table->remove(first)));
    EXPECT_EQ(t.use(*table, first), Errc::no_handle);  // closed, and that is known
  }
  const wire::HandleRef second = t.open();
  EXPECT_EQ(second.index, first.index);
  EXPECT_EQ(t.use(t.hears, second), Errc::unreachable);
  EXPECT_EQ(t.use(t.hears, {.index = second.index}), Errc::no_handle);
  EXPECT_EQ(t.use(t.hears, {.index = kHandlesMax, .generation = 9}), Errc::no_handle);
}

TEST(HandleTable, What_was_evicted_before_all_were_heard_of_is_unknown) {
  // Goal: who waits for a handle that will never come learns it at once. Method: an engine that is
  // new hears of all, among them not this one; clocks may differ by less than two seconds.
  Tables t;
  const wire::HandleRef gone = t.open();
  t.pass(kSecond);
  t.hears.note_all_heard();
  EXPECT_EQ(t.use(t.hears, gone), Errc::unreachable);  // it may be younger, by their clocks
  t.pass(3 * kSecond);
  t.hears.note_all_heard();
  EXPECT_EQ(t.use(t.hears, gone), Errc::no_handle);
  EXPECT_EQ(t.use(t.hears, t.open()), Errc::unreachable);
}

TEST(HandleTable, One_that_came_after_the_list_was_made_stays) {
  // Goal: a list of all handles that comes late closes none that was opened meanwhile (found by
  // simulated clusters, seeds 101 and 189). Method: one before the list and one after; it comes.
  Tables t;
  const wire::HandleRef before = t.open(), listed = t.open();
  t.pass(kSecond);
  const uint64_t as_of_ns = t.world.clock.wall_ns();
  const wire::HandleRef after = t.open();
  for (const wire::HandleRef& handle : {before, listed, after}) {
    ASSERT_TRUE(t.hears.restore(t.spec, t.shards, handle));
  }
  const auto closed = t.hears.close_others({listed}, as_of_ns);
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed.front(), before);
  EXPECT_EQ(t.use(t.hears, before), Errc::no_handle);
  EXPECT_EQ(t.use(t.hears, listed), Errc::ok);
  EXPECT_EQ(t.use(t.hears, after), Errc::ok);
}

TEST(HandleTable, A_newer_handle_takes_the_place_of_one_that_was_closed_unheard) {
  // Goal: an engine that missed a closing lets the next handle in, after those inside have left.
  Tables t;
  const wire::HandleRef old = t.open();
  ASSERT_TRUE(t.hears.restore(t.spec, t.shards, old));
  ASSERT_TRUE(t.world.run(t.gives.remove(old)));
  const wire::HandleRef next = t.open();
  ASSERT_EQ(next.index, old.index);
  ASSERT_EQ(t.hears.restore(t.spec, t.shards, next).error().code(), Errc::exists);

  bool made = false;
  {
    auto inside = t.hears.use(old, kSession, 0);
    ASSERT_TRUE(inside);
    t.world.reactor.spawn(EngineWorld::mark(t.hears.make_room(next), made));
    t.world.step();
    EXPECT_FALSE(made);
    EXPECT_EQ(t.use(t.hears, old), Errc::no_handle);  // closed to others
  }
  while (!made) ASSERT_TRUE(t.world.step());
  ASSERT_TRUE(t.hears.restore(t.spec, t.shards, next));
  EXPECT_EQ(t.use(t.hears, next), Errc::ok);
  // The other way round nothing moves.
  t.world.run_void(t.hears.make_room(old));
  EXPECT_EQ(t.hears.restore(t.spec, t.shards, old).error().code(), Errc::exists);
  EXPECT_EQ(t.use(t.hears, next), Errc::ok);
}

TEST(HandleTable, Of_a_pool_that_is_away_is_waited_for) {
  Tables t;
  const wire::HandleRef handle = t.open();
  ASSERT_TRUE(t.hears.restore(t.spec, {}, handle));
  EXPECT_EQ(t.use(t.hears, handle), Errc::unreachable);
  const auto others = t.hears.use(handle, kSession + 1, 0);
  EXPECT_EQ(others.error().code(), Errc::no_handle);
  ASSERT_TRUE(t.hears.restore(t.spec, t.shards, handle));
  EXPECT_EQ(t.use(t.hears, handle), Errc::ok);
}

TEST(HandleTable, Generations_ascend_over_a_restart) {
  // Goal: a reference of an engine before this one, closed or lost, names nothing here. Method: one
  // place, given away again and again, by a table and then by its successor.
  Tables t;
  wire::HandleRef last = t.open();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(t.world.run(t.gives.remove(last)));
    const wire::HandleRef next = t.open();
    ASSERT_EQ(next.index, 0u);
    ASSERT_GT(static_cast<int32_t>(next.generation - last.generation), 0);
    last = next;
    if (i % 10 == 0) t.pass(50 * kMillisecond);
  }
  t.pass(kSecond);
  HandleTable successor(t.world.reactor, false);
  ASSERT_TRUE(successor.restore(t.spec, t.shards, {.index = 3, .generation = last.generation}));
  EXPECT_GT(static_cast<int32_t>(successor.add(t.spec, t.shards)->generation - last.generation), 0);
}

}  // namespace
}  // namespace cairn::engine
