// One engine of a home as a process of its own has it, asked over its socket.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "cmd/embed/admin_server.h"
#include "cmd/embed/remote_shards.h"
#include "fabric/stream_server.h"
#include "runtime/context.h"
#include "runtime/io.h"
#include "runtime/parallel.h"
#include "wire/codec.h"

namespace cairn::embed {
namespace {

namespace fs = std::filesystem;
constexpr uint32_t kRank = 1;
constexpr service::ShardSizes kSizes = {.wal_bytes = 32u << 20, .meta_bytes = 64u << 20,
                                        .data_bytes = 16u << 20};

constexpr uint64_t kNewer = uint64_t{100} << 22;  // a wall time after generations below 100

class AdminTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_admin_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    home_ = name;
    setenv("CAIRN_LOG", "off", 1);
    auto io = make_io_backend();
    ASSERT_TRUE(io);
    reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
    context_ = std::make_unique<Context>(*reactor_);
    start();
    link_ = make_link();
  }
  void TearDown() override {
    close(*link_);
    link_.reset();
    stop();
    context_.reset();
    fs::remove_all(home_);
  }
  void start() {
    auto engine = run(LocalEngine::open(
        *reactor_, {.home = home_, .file = file_, .rank = kRank, .use = HomeUse::server}));
    ASSERT_TRUE(engine);
    engine_ = std::move(*engine);
    engine_->engine().set_serving(false);
    admin_ = std::make_unique<AdminServer>(*reactor_, file_.uuid, kRank, *engine_, true,
                                           AdminServer::Hooks{});
    server_ = std::make_unique<fabric::StreamServer>(
        *reactor_, engine_->engine(),
        fabric::StreamServerOptions{
            .system = file_.uuid, .rank = kRank, .incarnation = engine_->incarnation()},
        fabric::StreamServer::Hooks{});
    server_->set_admin(admin_->door());
    run_void(listen());
  }
  void stop() {
    run_void(stop_all());
    server_.reset();
    admin_.reset();
    engine_.reset();
  }
  Task<bool> listen() {
    ::unlink(engine_socket(home_, kRank).c_str());
    co_return server_->listen({.host = engine_socket(home_, kRank)}).has_value();
  }
  Task<bool> stop_all() {
    admin_->release();
    co_await server_->close(kSecond);
    co_await engine_->stop();
    co_await admin_->stop();
    const auto closed = co_await engine_->close();
    co_return closed.has_value();
  }
  std::unique_ptr<AdminLink> make_link() {
    return std::make_unique<AdminLink>(
        *reactor_,
        AdminLinkOptions{.home = home_, .system = file_.uuid, .grace_ns = 100 * kMillisecond});
  }
  Task<bool> unfreeze(RemoteShards& shards, uint64_t holds_over) {
    co_await shards.unfreeze_container(pool_, 1, holds_over);
    co_return true;
  }
  static Task<bool> close_link(AdminLink& link) {
    co_await link.close();
    co_return true;
  }
  void close(AdminLink& link) { run_void(close_link(link)); }
  template <class T>
  T run(Task<T> task) {
    return context_->run(std::move(task));
  }
  void run_void(Task<bool> task) { EXPECT_TRUE(context_->run(std::move(task))); }
  Result<wire::AdminReply> ask(AdminLink& link, wire::AdminVerb verb, uint64_t incarnation = 0) {
    wire::AdminRequest request;
    request.verb = verb;
    request.incarnation = incarnation;
    return run(link.ask(kRank, std::move(request)));
  }

  std::string home_;
  const HomeFile file_{.uuid = {{1, 2, 3}}, .created_ns = 1, .engine_count = 2};
  const Uuid pool_{{7}};
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<LocalEngine> engine_;
  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<fabric::StreamServer> server_;
  std::unique_ptr<AdminLink> link_;
};

TEST_F(AdminTest, What_is_asked_by_messages_is_done) {
  // Goal: each request of a ShardHost reaches the engine and its answer comes back. Method: a pool
  // from its creation to its end.
  RemoteShards shards(*reactor_, *link_, kRank, 10 * kMillisecond);
  EXPECT_EQ(run(shards.ready(pool_, {})).error().code(), Errc::unreachable);
  EXPECT_EQ(run(shards.remove_pool(pool_)).error().code(), Errc::unreachable);
  const auto joined = ask(*link_, wire::AdminVerb::join);
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->rank, kRank);
  EXPECT_EQ(joined->incarnation, engine_->incarnation());
  EXPECT_FALSE(joined->serving);
  shards.come(*joined);
  ASSERT_TRUE(ask(*link_, wire::AdminVerb::serve));
  shards.serve();
  EXPECT_TRUE(run(shards.ready(pool_, {})));
  EXPECT_EQ(shards.engines().at(0).state, wire::EngineState::joined);

  const service::Targets targets{{0, 0}, {1, 0}};
  ASSERT_TRUE(run(shards.create_pool(pool_, targets, kSizes)));
  ASSERT_NE(engine_->shards().shard(pool_, 0), nullptr);
  EXPECT_TRUE(run(shards.open_pool(pool_, targets, 0)));
  EXPECT_TRUE(run(shards.settle_pool(pool_)));
  EXPECT_GT(run(shards.space(pool_))->data_total, 0u);
  EXPECT_FALSE(run(shards.devices()).empty());
  const service::Grant grant{.pool = pool_, .container = 1, .writable = true, .session = 9};
  ASSERT_TRUE(run(shards.share(
      {{grant, {.index = 4, .generation = 5}}, {grant, {.index = 6, .generation = 7}}})));
  EXPECT_EQ(engine_->engine().handle_count(), 2u);
  ASSERT_TRUE(run(shards.retain({{grant, {.index = 6, .generation = 7}}}, kNewer)));
  EXPECT_EQ(engine_->engine().handle_count(), 1u);
  EXPECT_EQ(run(shards.share({{grant, {.index = 6, .generation = 6}}})).error().code(),
            Errc::exists);

  const model::WormPolicy policy{.compress = true, .cold_after_s = 60, .seal = {7, "me@here"}};
  ASSERT_TRUE(run(shards.set_worm(pool_, 2, policy, 5)));
  EXPECT_EQ(engine_->shards().shard(pool_, 0)->worm_policy(2), policy);
  EXPECT_EQ(run(shards.set_worm(pool_, 2, {.object_bytes_max = 1}, 6)).error().code(),
            Errc::invalid);
  EXPECT_TRUE(run(shards.flatten_progress(pool_, 2)));
  EXPECT_EQ(run(shards.set_worm(Uuid{{8}}, 2, policy, 6)).error().code(), Errc::nonexistent);

  const auto newest = run(shards.freeze_container(pool_, 1));
  ASSERT_TRUE(newest);
  ASSERT_TRUE(run(shards.add_snapshot(pool_, 1, *newest + 100)));
  const model::Epoch epoch = *newest + 100;
  const auto answered = run(shards.hold_container(pool_, 1, epoch, 7));
  ASSERT_TRUE(answered);
  EXPECT_GE(*answered, epoch);
  auto held = run(shards.snapshots(pool_, 1, 8));
  ASSERT_TRUE(held);
  EXPECT_EQ(held->all, std::vector<model::Epoch>{epoch});
  EXPECT_TRUE(held->held);
  EXPECT_EQ(run(shards.hold_container(pool_, 1, epoch, 8)).error().code(), Errc::busy);
  EXPECT_TRUE(run(shards.rollback(pool_, 1, epoch, *answered + 1)));
  EXPECT_FALSE(run(shards.snapshots(pool_, 1, 0))->held);
  ASSERT_TRUE(run(shards.hold_container(pool_, 1, epoch, 9)));
  EXPECT_EQ(run(shards.freeze_container(pool_, 1)).error().code(), Errc::busy);
  EXPECT_TRUE(run(shards.rollback(pool_, 1, epoch, *answered + 1)));
  EXPECT_TRUE(run(shards.snapshots(pool_, 1, 0))->held) << "it was done before";
  run_void(unfreeze(shards, 10));
  EXPECT_EQ(run(shards.hold_container(pool_, 1, epoch, 10)).error().code(), Errc::busy);
  EXPECT_TRUE(run(shards.remove_snapshot(pool_, 1, *newest + 100)));
  EXPECT_TRUE(run(shards.destroy_container(pool_, 1)));
  EXPECT_EQ(engine_->engine().handle_count(), 0u);
  EXPECT_TRUE(run(shards.remove_pool(pool_)));
  EXPECT_EQ(run(shards.space(pool_)).error().code(), Errc::nonexistent);
  EXPECT_TRUE(run(shards.remove_pool(pool_)));
}

TEST_F(AdminTest, A_policy_that_was_overtaken_is_refused) {
  // Goal: what a service gave up waiting for does not undo what it sent later. Method: orders that
  // come the wrong way round, at once and one after the other.
  HomeShards& shards = engine_->shards();
  ASSERT_TRUE(run(shards.create_pool(pool_, {{.rank = kRank}}, kSizes)));
  const model::WormPolicy sealed{.compress = true, .seal = {7, "me@here"}};
  const auto held = [&] { return shards.shard(pool_, 0)->worm_policy(2); };
  ASSERT_TRUE(run(shards.set_worm(pool_, 2, sealed, 5)));
  EXPECT_EQ(run(shards.set_worm(pool_, 2, {}, 4)).error().code(), Errc::busy);
  EXPECT_EQ(held(), sealed);
  EXPECT_TRUE(run(shards.set_worm(pool_, 2, sealed, 5))) << "told once more";
  EXPECT_TRUE(run(shards.set_worm(pool_, 3, {.compress = true}, 4))) << "of another container";

  std::vector<Task<Result<void>>> tasks;
  tasks.push_back(shards.set_worm(pool_, 2, {.compress = true}, 6));
  tasks.push_back(shards.set_worm(pool_, 2, {}, 8));
  tasks.push_back(shards.set_worm(pool_, 2, sealed, 7));
  EXPECT_EQ(run(run_all(*reactor_, std::move(tasks), 3)).error().code(), Errc::busy);
  EXPECT_EQ(held(), model::WormPolicy{});
}

TEST_F(AdminTest, Shards_of_an_extension_are_missed_by_no_seal) {
  // Goal: what is sealed is sealed on all shards. Method: an engine whose shards an extension has
  // made, before they are served.
  const Uuid grown{{9}};
  const model::WormPolicy policy{.seal = {7, "me@here"}};
  HomeShards& own = engine_->shards();
  const service::Targets other = {{.rank = kRank + 1}};
  const service::Targets both = {{.rank = kRank}, {.rank = kRank + 1}};
  ASSERT_TRUE(run(own.open_pool(grown, other, 0)));
  ASSERT_TRUE(run(own.freeze_container(grown, 1))) << "it has none";
  ASSERT_TRUE(run(own.extend_pool(grown, both, kSizes)));
  EXPECT_EQ(run(own.freeze_container(grown, 1)).error().code(), Errc::busy);
  EXPECT_EQ(run(own.set_worm(grown, 1, policy, 1)).error().code(), Errc::busy);
  ASSERT_TRUE(run(own.serve_extension(grown, both, 0)));
  EXPECT_TRUE(run(own.set_worm(grown, 1, policy, 1)));
  EXPECT_EQ(own.shard(grown, 0)->worm_policy(1), policy);
}

TEST_F(AdminTest, A_server_that_was_replaced_changes_nothing) {
  // Goal: only who joined last counts. Method: two links, each a server.
  ASSERT_TRUE(ask(*link_, wire::AdminVerb::join));
  ASSERT_TRUE(ask(*link_, wire::AdminVerb::serve));
  auto next = make_link();
  EXPECT_EQ(ask(*next, wire::AdminVerb::serve).error().code(), Errc::no_perm);
  const auto joined = ask(*next, wire::AdminVerb::join);
  ASSERT_TRUE(joined);
  EXPECT_TRUE(joined->serving);
  EXPECT_EQ(ask(*link_, wire::AdminVerb::devices).error().code(), Errc::no_perm);
  EXPECT_TRUE(ask(*next, wire::AdminVerb::devices));
  close(*next);
}

TEST_F(AdminTest, Another_incarnation_is_not_the_one_that_was_meant) {
  // Goal: what was meant for an engine before this one is not done. Method: restart it.
  const auto joined = ask(*link_, wire::AdminVerb::join);
  ASSERT_TRUE(joined);
  stop();
  start();
  EXPECT_EQ(ask(*link_, wire::AdminVerb::join, joined->incarnation).error().code(),
            Errc::stale_map);
  const auto again = ask(*link_, wire::AdminVerb::join);
  ASSERT_TRUE(again);
  EXPECT_NE(again->incarnation, joined->incarnation);
}

TEST_F(AdminTest, Hostile_requests_are_refused) {
  // Goal: no bytes of a peer harm the engine, and what is no request of it says so. Method: every
  // single-byte change of a joined session's request, and verbs and peers' parts that cannot be.
  ASSERT_TRUE(ask(*link_, wire::AdminVerb::join));
  wire::AdminRequest request;
  request.verb = wire::AdminVerb::peer_prepare;
  request.pool = pool_;
  request.epoch = 77;
  request.body = Bytes(40, std::byte{3});
  const Bytes whole = wire::proto_encode(request);
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int change : {1, 0x55, 0x80, 0xff}) {
      wire::Request message;
      Bytes body = whole;
      body[at] ^= static_cast<std::byte>(change);
      message.body = wire::Control{.body = std::move(body)};
      Bytes bytes;
      ASSERT_TRUE(wire::encode_request(message, bytes));
      (void)run(admin_->door().serve_bytes(std::move(bytes)));
    }
  }
  EXPECT_EQ(ask(*link_, static_cast<wire::AdminVerb>(59)).error().code(), Errc::no_sys);
  EXPECT_EQ(ask(*link_, wire::AdminVerb::restore_handles).error().code(), Errc::invalid);
  EXPECT_FALSE(ask(*link_, wire::AdminVerb::peer_prepare));
  EXPECT_EQ(ask(*link_, wire::AdminVerb::peer_outcome).error().code(), Errc::unreachable);
  EXPECT_TRUE(ask(*link_, wire::AdminVerb::devices));
}

}  // namespace
}  // namespace cairn::embed
