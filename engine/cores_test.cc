// One engine on several cores, each with a thread of its own: what clients and other engines see is
// one engine. Run under TSan after a change here.
#include "engine/cores.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/decide.h"
#include "engine/testing.h"
#include "runtime/context.h"
#include "runtime/parallel.h"
#include "wire/codec.h"
#include "wire/peek.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 0xABCDEF;
constexpr uint32_t kTargets = 4;
constexpr uint32_t kRank = 3;
constexpr Uuid kPool{.bytes = {1, 2, 3}};

wire::ObjectAddress at(uint32_t target, uint64_t number = 0) {
  return {.oid = {target + 1 + number * kTargets, uint64_t{1} << 32},
          .shard = 0,
          .target = target,
          .rank = kRank};
}

/// The same where the header says where it is.
wire::ObjectAddress alone(uint32_t target, uint64_t number) {
  wire::ObjectAddress out = at(target, number);
  out.target = out.rank = 0;
  return out;
}

std::unique_ptr<Reactor> make_reactor() {
  auto io = make_io_backend();
  CHECK(io.has_value());
  return std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
}

class CoresTest : public testing::TestWithParam<uint32_t> {
 public:
  struct Disks {
    MemoryDevice wal{8u << 20}, meta{16u << 20}, data{16u << 20};
  };
  /// What one core has, made and ended at its home.
  struct Home {
    std::unique_ptr<Core> core;  // null: the first
    Reactor* reactor = nullptr;
    std::unique_ptr<Engine> engine;
    std::vector<std::unique_ptr<vos::Shard>> shards;
  };

  void SetUp() override {
    first_ = make_reactor();
    context_ = std::make_unique<Context>(*first_);
    homes_.resize(GetParam());
    for (uint32_t core = 0; core < homes_.size(); ++core) {
      Home& home = homes_[core];
      home.reactor = first_.get();
      if (core == 0) continue;
      auto started = Core::start();
      ASSERT_TRUE(started);
      home.core = std::move(*started);
      home.reactor = &home.core->reactor();
    }
    start(true);
  }
  void TearDown() override {
    stop();
    for (Home& home : homes_) {
      if (home.core) home.core->end({});
    }
  }
  template <class Make>
  auto at_home(uint32_t core, Make make) {
    return context_->run(run_on(*first_, *homes_[core].reactor, std::move(make)));
  }

  Task<Result<void>> open(uint32_t core, bool fresh) {
    Home& home = homes_[core];
    const CoreMap map{.targets = kTargets, .cores = GetParam()};
    home.engine = std::make_unique<Engine>(
        *home.reactor,
        EngineOptions{.rank = kRank, .target_count = kTargets, .core = core, .cores = GetParam()});
    home.engine->set_ranks(kPool, {kRank}, all_cores());
    for (uint32_t target = 0; target < kTargets; ++target) {
      if (map.core_of(target) != core) continue;
      Disks& d = disks_[target];
      CO_TRY(shard,
             fresh
                 ? co_await vos::Shard::create(*home.reactor, {&d.wal, &d.meta, &d.data}, kPool, {})
                 : co_await vos::Shard::open(*home.reactor, {&d.wal, &d.meta, &d.data}, kPool, {}));
      home.engine->add_shard(kPool, target, *shard);
      home.shards.push_back(std::move(shard));
    }
    co_return Result<void>{};
  }
  Task<Result<void>> shut(uint32_t core) {
    Home& home = homes_[core];
    co_await home.engine->remove_shards(kPool);
    for (auto& shard : home.shards) {
      const auto closed = co_await shard->close();
      if (!closed && !broken_) co_return closed;
    }
    home.shards.clear();
    home.engine.reset();
    co_return Result<void>{};
  }
  std::vector<uint32_t> all_cores() const {
    std::vector<uint32_t> out;
    for (uint32_t core = 0; core < GetParam(); ++core) out.push_back(core);
    return out;
  }
  Task<Result<void>> restore(uint32_t core) {
    co_return co_await homes_[core].engine->restore_handle(
        {.pool = kPool, .container = 1, .writable = true, .session = kSession, .spread = true},
        handle_);
  }
  void start(bool fresh) {
    std::vector<EngineCores::Member> members;
    for (uint32_t core = 0; core < homes_.size(); ++core) {
      ASSERT_TRUE(at_home(core, [this, core, fresh] { return open(core, fresh); }));
      members.push_back({*homes_[core].reactor, *homes_[core].engine});
    }
    cores_ = std::make_unique<EngineCores>(std::move(members), kRank, kTargets);
    cores_->set_pool(kPool, all_cores());
    if (fresh) handle_ = {.index = 0, .generation = 7};
    for (uint32_t core = 0; core < homes_.size(); ++core) {
      ASSERT_TRUE(at_home(core, [this, core] { return restore(core); }));
    }
  }
  void stop() {
    context_->run(cores_->stop());
    for (uint32_t core = 0; core < homes_.size(); ++core) {
      ASSERT_TRUE(at_home(core, [this, core] { return shut(core); }));
    }
    cores_.reset();
  }
  Task<Result<void>> settle(uint32_t core) {
    return homes_[core].engine->resolve_transactions(kPool);
  }
  void restart() {
    stop();
    start(false);
    for (uint32_t core = 0; core < homes_.size(); ++core) {
      ASSERT_TRUE(at_home(core, [this, core] { return settle(core); }));
    }
  }

  wire::Request request(uint32_t target, uint64_t sequence = 0) const {
    return {.header = {.target = target,
                       .handle = handle_,
                       .session = kSession,
                       .sequence = sequence,
                       .acknowledged_below = 1}};
  }
  Task<wire::Reply> serve(wire::Request& r) {
    wire::Reply reply;
    EXPECT_TRUE(co_await cores_->serve(&r, &reply));
    co_return reply;
  }
  /// As it comes over a network.
  Task<wire::Reply> serve_by_bytes(wire::Request& r) {
    Bytes message;
    EXPECT_TRUE(wire::encode_request(r, message));
    const Bytes answer = co_await cores_->serve_bytes(std::move(message));
    wire::Reply reply;
    EXPECT_TRUE(wire::decode_reply(answer, r, reply));
    co_return reply;
  }
  Task<Errc> put(uint32_t target, uint64_t number, std::string value, uint64_t sequence) {
    wire::Request r = request(target, sequence);
    r.body = wire::ObjectUpdate{
        .object = alone(target, number), .dkey = as_bytes("d"), .iods = single_value(value)};
    const wire::Reply reply = number % 2 == 0 ? co_await serve(r) : co_await serve_by_bytes(r);
    co_return reply.error.code();
  }
  Task<std::string> get(uint32_t target, uint64_t number = 0) {
    std::string room(8, '#');
    wire::Request r = request(target);
    r.body = wire::ObjectFetch{
        .object = alone(target, number), .dkey = as_bytes("d"), .iods = single_value(room)};
    const wire::Reply reply = number % 2 == 0 ? co_await serve_by_bytes(r) : co_await serve(r);
    if (reply.error.code() != Errc::ok) co_return "error";
    room.resize(std::get<model::Fetched>(reply.body).iods.front().record_bytes);
    co_return room;
  }
  std::vector<std::string> get_all() {
    std::vector<std::string> out;
    for (uint32_t target = 0; target < kTargets; ++target) {
      out.push_back(context_->run(get(target)));
    }
    return out;
  }
  static std::vector<std::string> all(const std::string& value) {
    return std::vector<std::string>(kTargets, value);
  }
  /// One transaction over all targets. @param asked  the target that gets the request
  Task<Errc> put_all(std::string value, uint64_t sequence, uint32_t asked = 0) {
    wire::Request r = request(asked, sequence);
    wire::ObjectTransact body;
    for (uint32_t target = 0; target < kTargets; ++target) {
      body.ops.push_back(wire::ObjectUpdate{
          .object = at(target), .dkey = as_bytes("d"), .iods = single_value(value)});
    }
    r.body = std::move(body);
    const wire::Reply reply = co_await serve(r);
    // What was taken apart is whole again.
    const auto& after = std::get<wire::ObjectTransact>(r.body);
    for (const auto& op : after.ops) EXPECT_EQ(std::get<wire::ObjectUpdate>(op).iods.size(), 1u);
    co_return reply.error.code();
  }
  Task<uint64_t> count_unresolved(uint32_t core) {
    uint64_t count = 0;
    for (const auto& shard : homes_[core].shards) count += shard->unresolved().size();
    co_return count;
  }
  uint64_t unresolved() {
    uint64_t count = 0;
    for (uint32_t core = 0; core < homes_.size(); ++core) {
      count += at_home(core, [this, core] { return count_unresolved(core); });
    }
    return count;
  }
  Task<Result<void>> put_many(uint32_t target, uint64_t sequence) {
    constexpr uint64_t kNumbers = 40;
    for (uint64_t number = 0; number < kNumbers; ++number) {
      EXPECT_EQ(co_await put(target, number, std::to_string(number), sequence + number), Errc::ok);
    }
    for (uint64_t number = 0; number < kNumbers; ++number) {
      EXPECT_EQ(co_await get(target, number), std::to_string(number));
    }
    co_return Result<void>{};
  }

  std::unique_ptr<Reactor> first_;
  std::unique_ptr<Context> context_;
  Disks disks_[kTargets];
  std::vector<Home> homes_;
  std::unique_ptr<EngineCores> cores_;
  wire::HandleRef handle_;
  bool broken_ = false;  // one of the disks
};

TEST_P(CoresTest, Requests_for_all_targets_at_once_each_reach_their_own) {
  // Goal: by reference and by bytes, whatever core the target is on. Method: several clients of
  // each target at once.
  std::vector<Task<Result<void>>> tasks;
  for (uint32_t target = 0; target < kTargets; ++target) {
    for (uint64_t i = 0; i < 3; ++i) {
      tasks.push_back(put_many(target, 1 + (target * 3 + i) * 1000));
    }
  }
  const size_t count = tasks.size();
  EXPECT_TRUE(context_->run(run_all(*first_, std::move(tasks), count)));
}

TEST_P(CoresTest, What_names_no_target_or_is_no_request_is_answered_all_the_same) {
  EXPECT_EQ(context_->run(put(kTargets, 0, "x", 5)), Errc::nonexistent);
  EXPECT_EQ(context_->run(put(UINT32_MAX, 1, "x", 6)), Errc::nonexistent);
  EXPECT_TRUE(context_->run(cores_->serve_bytes(Bytes(3))).empty());
  EXPECT_TRUE(context_->run(cores_->serve_bytes(Bytes(300, std::byte{0xee}))).empty());
  wire::Request control = request(kTargets - 1);
  control.body = wire::Control{};
  EXPECT_EQ(context_->run(serve(control)).error.code(), Errc::not_supported);
  EXPECT_EQ(wire::peek_target(Bytes(175)), std::nullopt);
}

TEST_P(CoresTest, Copies_of_a_request_are_recognised_where_it_was_executed) {
  // Goal: exactly once, on every core. Method: the same sequences again, with other values.
  for (uint32_t target = 0; target < kTargets; ++target) {
    const uint64_t sequence = 10 + target;
    EXPECT_EQ(context_->run(put(target, 0, "first", sequence)), Errc::ok);
    EXPECT_EQ(context_->run(put(target, 0, "again", sequence)), Errc::ok);
    EXPECT_EQ(context_->run(get(target)), "first");
  }
}

TEST_P(CoresTest, Changes_on_all_cores_come_together_and_once) {
  // Goal: one outcome; a copy is answered, not executed, also after a restart.
  ASSERT_EQ(context_->run(put_all("one", 5)), Errc::ok);
  EXPECT_EQ(get_all(), all("one"));
  ASSERT_EQ(context_->run(put_all("two", 6)), Errc::ok);
  EXPECT_EQ(context_->run(put_all("one", 5)), Errc::ok);
  EXPECT_EQ(get_all(), all("two"));
  restart();
  EXPECT_EQ(context_->run(put_all("one", 5)), Errc::ok);
  EXPECT_EQ(get_all(), all("two"));
  EXPECT_EQ(unresolved(), 0u);
  // A higher core does not decide about what a lower one takes part in.
  const Errc last = context_->run(put_all("no", 7, kTargets - 1));
  EXPECT_EQ(last, GetParam() == 1 ? Errc::ok : Errc::stale_map);
}

TEST_P(CoresTest, Transactions_that_meet_on_all_cores_all_come_to_an_end) {
  // Goal: no two wait for each other over cores. Method: many at once, of the same objects.
  struct Put {
    static Task<Result<void>> run(CoresTest& test, uint64_t sequence) {
      for (uint64_t i = 0; i < 3; ++i) {
        Errc code = Errc::tx_restart;
        for (uint64_t tries = 0; code == Errc::tx_restart; ++tries) {
          code = co_await test.put_all(std::to_string(sequence), sequence + i * 100 + tries);
        }
        EXPECT_EQ(code, Errc::ok);
      }
      co_return Result<void>{};
    }
  };
  std::vector<Task<Result<void>>> tasks;
  for (uint64_t i = 0; i < 6; ++i) tasks.push_back(Put::run(*this, 1000 + i * 1000));
  EXPECT_TRUE(context_->run(run_all(*first_, std::move(tasks), 6)));
  const auto values = get_all();
  EXPECT_EQ(values, all(values[0]));
  EXPECT_EQ(unresolved(), 0u);
}

TEST_P(CoresTest, Another_engine_asks_all_cores_as_one) {
  // Goal: an epoch above all, prepared on all targets or on none, ended on all. Method: what a
  // decider elsewhere sends, with one target that refuses.
  std::string value = "peer";
  wire::ObjectTransact body;
  for (uint32_t target = 0; target < kTargets; ++target) {
    body.ops.push_back(wire::ObjectUpdate{
        .object = at(target), .dkey = as_bytes("d"), .iods = single_value(value)});
  }
  const vos::TxId id{.high = kSession, .low = uint64_t{9} << 18};  // of engine 0
  const auto ask = [&](PeerRequest request) {
    request.pool = kPool;
    request.id = id;
    request.container = 1;
    return context_->run(cores_->serve_peer(request));
  };
  const auto drawn = ask({.verb = PeerVerb::draw});
  ASSERT_TRUE(drawn);
  ASSERT_NE(drawn->epoch, 0u);
  PeerRequest prepare{.verb = PeerVerb::prepare, .epoch = drawn->epoch + 2, .body = &body};
  ASSERT_TRUE(ask(prepare));
  EXPECT_EQ(unresolved(), kTargets);
  for (const auto& op : body.ops) EXPECT_EQ(std::get<wire::ObjectUpdate>(op).iods.size(), 1u);
  ASSERT_TRUE(ask({.verb = PeerVerb::abort, .epoch = prepare.epoch}));
  EXPECT_EQ(unresolved(), 0u);

  // One of the last core's has been written meanwhile.
  ASSERT_EQ(context_->run(put(kTargets - 1, 0, "newer", 50)), Errc::ok);
  std::get<wire::ObjectUpdate>(body.ops.back()).flags = model::cond::kDkeyInsert;
  prepare.epoch = ask({.verb = PeerVerb::draw})->epoch + 2;
  EXPECT_EQ(ask(prepare).error().code(), Errc::exists);
  EXPECT_EQ(unresolved(), 0u);

  std::get<wire::ObjectUpdate>(body.ops.back()).flags = 0;
  prepare.epoch = ask({.verb = PeerVerb::draw})->epoch + 2;
  ASSERT_TRUE(ask(prepare));
  ASSERT_TRUE(ask({.verb = PeerVerb::commit}));
  EXPECT_EQ(get_all(), all("peer"));
  EXPECT_EQ(unresolved(), 0u);
  cores_->set_pool(kPool, {});
}

TEST_P(CoresTest, What_a_crash_cut_is_ended_by_the_core_that_decides) {
  // Goal: prepared everywhere and not decided: nothing remains. Method: prepare on all targets with
  // an id of the first, as if the core had gone before its commit; open again.
  std::string value = "cut";
  const vos::TxId id{.high = kSession, .low = uint64_t{9} << 18 | kRank << 8};
  struct Prepare {
    static Task<Result<void>> run(Home& home, vos::TxId id, model::Epoch epoch, uint32_t first,
                                  std::string& value) {
      for (uint32_t i = 0; i < home.shards.size(); ++i) {
        vos::TransactRequest one;
        one.epoch = epoch;
        one.ops.push_back(vos::UpdateRequest{.object = {.container = 1, .oid = at(first + i).oid},
                                             .dkey = as_bytes("d"),
                                             .iods = single_value(value)});
        CO_TRY(done, co_await home.shards[i]->prepare(id, one));
      }
      co_return Result<void>{};
    }
    static Task<uint64_t> draw(Home& home) { co_return home.shards[0]->draw_epoch(); }
  };
  ASSERT_EQ(context_->run(put_all("old", 5)), Errc::ok);
  model::Epoch epoch = 0;
  for (uint32_t core = 0; core < homes_.size(); ++core) {
    epoch =
        std::max(epoch, at_home(core, [this, core] { return Prepare::draw(homes_[core]); }) + 2);
  }
  for (uint32_t core = 0, first = 0; core < homes_.size(); ++core) {
    ASSERT_TRUE(at_home(
        core, [&, core, first] { return Prepare::run(homes_[core], id, epoch, first, value); }));
    first += static_cast<uint32_t>(homes_[core].shards.size());
  }
  EXPECT_EQ(unresolved(), kTargets);
  restart();
  for (int tries = 0; tries < 500 && unresolved() != 0; ++tries) usleep(10'000);
  EXPECT_EQ(unresolved(), 0u);
  EXPECT_EQ(get_all(), all("old"));
}

TEST_P(CoresTest, A_shard_that_has_stopped_stops_no_other) {
  // Goal: an error of one core's medium is its own. Method: break the last target's log.
  disks_[kTargets - 1].wal.broken = broken_ = true;
  EXPECT_EQ(context_->run(put(kTargets - 1, 0, "x", 5)), Errc::io);
  for (uint32_t target = 0; target + 1 < kTargets; ++target) {
    EXPECT_EQ(context_->run(put(target, 0, "fine", 6)), Errc::ok);
    EXPECT_EQ(context_->run(get(target)), "fine");
  }
  EXPECT_NE(context_->run(put_all("no", 7)), Errc::ok);
  // What was prepared on the others waits for the outcome, and nothing else does.
  EXPECT_EQ(context_->run(put(0, 8, "fine", 8)), Errc::ok);
}

INSTANTIATE_TEST_SUITE_P(Counts, CoresTest, testing::Values(1u, 2u, 4u),
                         [](const testing::TestParamInfo<uint32_t>& info) {
                           return std::to_string(info.param) + "Cores";
                         });

}  // namespace
}  // namespace cairn::engine
