// Many updates in flight: each lets those who are ready go on first while memory is asked for what
// it looks at. In which order they happen, who shares a log write, and what each sees.
#include <gtest/gtest.h>

#include <deque>

#include "index/testing_disk.h"
#include "vos/shard.h"

namespace cairn::vos {
namespace {

using index::testing::TestClock;
using index::testing::TestDisk;
using model::ValueType;

struct Crowd {
  Crowd()
      : random(7),
        reactor(clock, random, nullptr),
        wal(reactor, 1u << 20),
        meta(reactor, 4u << 20),
        data(reactor, 1u << 20) {
    clock.advance_to(1'700'000'000 * kSecond);  // the epochs that it draws must be of its time
    std::optional<Result<std::unique_ptr<Shard>>> made;
    reactor.spawn(into(Shard::create(reactor, {&wal, &meta, &data}, {}, {}), made));
    rest();
    CHECK(made && made->has_value());
    shard = std::move(**made);
  }
  ~Crowd() {
    std::optional<Result<void>> closed;
    reactor.spawn(into(shard->close(), closed));
    rest();
    EXPECT_TRUE(closed && closed->has_value());
  }
  void rest() {
    while (reactor.turn()) {
    }
  }

  struct Update {
    UpdateRequest request;
    std::string dkey;
    Bytes bytes;
    std::optional<Result<model::Epoch>> done;
  };
  /// To be run by the next rest().
  Update& begin(std::string dkey, std::string_view value, uint64_t flags = 0,
                ValueType type = ValueType::single, model::Epoch epoch = 0) {
    Update& u = updates.emplace_back();
    u.dkey = std::move(dkey);
    u.bytes.assign(as_bytes(value).begin(), as_bytes(value).end());
    u.request = {.object = {1, {1, 0x0001'0001'0000'0000}, 0},
                 .dkey = as_bytes(u.dkey),
                 .flags = flags,
                 .epoch = epoch};
    const bool array = type == ValueType::array;
    model::Recxs recxs;
    if (array) recxs.push_back({0, u.bytes.size()});
    u.request.iods.push_back({as_bytes("a"),
                              type,
                              array ? 1 : u.bytes.size(),
                              0,
                              recxs,
                              {{u.bytes.data(), u.bytes.size()}},
                              false});
    reactor.spawn(into(shard->update(u.request), u.done));
    return u;
  }
  std::string get(std::string_view dkey) {
    Bytes out(100);
    FetchRequest request{.object = {1, {1, 0x0001'0001'0000'0000}, 0}, .dkey = as_bytes(dkey)};
    request.iods.push_back(
        {as_bytes("a"), ValueType::single, 0, 0, {}, {{out.data(), out.size()}}, false});
    std::optional<Result<model::Fetched>> done;
    reactor.spawn(into(shard->fetch(request), done));
    rest();
    EXPECT_TRUE(done && done->has_value());
    out.resize((*done)->iods[0].record_bytes);
    return std::string(as_chars(out));
  }

  template <class T>
  static Task<void> into(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }

  TestClock clock;
  SeededRandom random;
  Reactor reactor;
  TestDisk wal, meta, data;
  std::unique_ptr<Shard> shard;
  std::deque<Update> updates;
};

TEST(Crowd, Updates_in_flight_happen_in_the_order_in_which_they_came) {
  Crowd c;
  for (int i = 0; i < 200; ++i) c.begin("k" + std::to_string(i % 7), std::to_string(i));
  c.rest();
  model::Epoch newest = 0;
  for (const Crowd::Update& u : c.updates) {
    ASSERT_TRUE(u.done && u.done->has_value());
    EXPECT_GT(**u.done, newest);
    newest = **u.done;
  }
  for (int k = 0; k < 7; ++k) {
    const int last = 199 - (199 - k) % 7;
    EXPECT_EQ(c.get("k" + std::to_string(k)), std::to_string(last));
  }
}

TEST(Crowd, All_of_them_share_one_log_write) {
  // Goal: that each lets the others go first splits no group. Method: one update has made the
  // object; then 64 at once.
  Crowd c;
  c.begin("first", "v");
  c.rest();
  const uint64_t before = c.wal.writes;
  for (int i = 0; i < 64; ++i) c.begin("k" + std::to_string(i), "value");
  c.rest();
  EXPECT_EQ(c.wal.writes, before + 1);
  for (const Crowd::Update& u : c.updates) EXPECT_TRUE(u.done && u.done->has_value());
}

TEST(Crowd, Each_sees_what_those_before_it_have_done) {
  // Goal: what is decided is decided behind the ones in front. Method: two insertions of each key
  // at once, then arrays under the akeys of single values, some dated by their caller.
  Crowd c;
  for (int i = 0; i < 60; ++i) {
    c.begin("k" + std::to_string(i / 2), i % 2 == 0 ? "one" : "two", model::cond::kDkeyInsert);
  }
  for (int i = 0; i < 30; ++i) c.begin("k" + std::to_string(i), "array", 0, ValueType::array);
  c.rest();
  for (int i = 0; i < 60; ++i) {
    const auto& done = *c.updates[static_cast<size_t>(i)].done;
    ASSERT_EQ(done.has_value(), i % 2 == 0) << i;
    if (!done) EXPECT_EQ(done.error().code(), Errc::exists);
  }
  for (size_t i = 60; i < 90; ++i) {
    const auto& done = *c.updates[i].done;
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::no_perm);
  }
  for (int k = 0; k < 30; ++k) EXPECT_EQ(c.get("k" + std::to_string(k)), "one");
}

TEST(Crowd, An_update_with_an_epoch_of_its_caller_is_overtaken_by_none_that_came_later) {
  Crowd c;
  c.begin("before", "v");
  const model::Epoch drawn = c.shard->draw_epoch();
  Crowd::Update& dated = c.begin("dated", "v", 0, ValueType::single, drawn);
  for (int i = 0; i < 20; ++i) c.begin("k" + std::to_string(i), "v");
  c.rest();
  ASSERT_TRUE(dated.done && dated.done->has_value()) << dated.done->error().what();
  EXPECT_EQ(**dated.done, drawn);
}

}  // namespace
}  // namespace cairn::vos
