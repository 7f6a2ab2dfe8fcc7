// A service on a ConfigStore in memory and engines that only remember, for tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <set>

#include "service/service.h"
#include "sim/world.h"

namespace cairn::service {

inline constexpr uint64_t kPoolBytes = 256u << 20;

/// A ConfigStore in memory.
class MapConfig final : public ConfigStore {
 public:
  Task<Result<std::optional<ConfigEntry>>> get(std::string key) override {
    const auto found = entries.find(key);
    std::optional<ConfigEntry> entry;
    if (found != entries.end()) entry = found->second;
    if (slow_reads != nullptr) co_await slow_reads->sleep(kMillisecond);
    co_return entry;
  }
  Task<Result<std::vector<ConfigEntry>>> range(std::string prefix) override {
    std::vector<ConfigEntry> out;
    for (const auto& [key, entry] : entries) {
      if (key.starts_with(prefix)) out.push_back(entry);
    }
    co_return out;
  }
  Task<Result<Revision>> commit(ConfigTxn txn) override {
    for (const auto& required : txn.require) {
      const auto found = entries.find(required.key);
      if ((found == entries.end() ? 0 : found->second.modified) != required.modified) {
        co_return fail(Errc::again, "changed");
      }
    }
    if (fail_commits) co_return fail(Errc::no_space, "full");
    if (commits_left > 0 && --commits_left == 0) fail_commits = true;
    ++revision;
    for (auto& put : txn.puts) entries[put.key] = {put.key, std::move(put.value), revision};
    for (const auto& key : txn.deletes) entries.erase(key);
    const Revision made = revision;
    if (on_commit) on_commit();
    if (slow != nullptr) co_await slow->sleep(kMillisecond);
    co_return made;
  }
  void watch(std::string, std::function<void(Revision)>) override {}

  std::map<std::string, ConfigEntry> entries;
  Revision revision = 0;
  bool fail_commits = false;
  int commits_left = 0;  // after so many all fail; 0: no limit
  std::function<void()> on_commit;
  Reactor* slow = nullptr;        // others move between a commit and its answer
  Reactor* slow_reads = nullptr;  // and between a look and its answer
};

/// Engines that remember what they were told.
class FakeHost : public ShardHost {
 public:
  Task<Result<void>> ready(Uuid, Targets) override {
    if (at_ready) co_await at_ready();
    if (slow != nullptr) co_await slow->sleep(kMillisecond);
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    co_return Result<void>{};
  }
  Task<Result<void>> settle_pool(Uuid) override { co_return Result<void>{}; }
  Task<Result<void>> set_scrub(Uuid, model::ScrubPolicy policy) override {
    if (at_scrub) co_await std::exchange(at_scrub, nullptr)();
    scrubs.push_back(policy);
    if (fail_scrub) co_return fail(Errc::io, "a shard has stopped");
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    co_return Result<void>{};
  }
  Task<Result<void>> close_pool(Uuid) override { co_return Result<void>{}; }
  Task<Result<void>> create_pool(Uuid pool, Targets targets, ShardSizes sizes) override {
    made_on[pool] = targets;
    created_with[pool] = sizes.memory_bytes;
    pools.insert(pool);
    if (fail_create) co_return fail(Errc::no_space, "full");
    co_return Result<void>{};
  }
  Task<Result<void>> extend_pool(Uuid pool, Targets targets, ShardSizes sizes) override {
    if (!pools.contains(pool)) co_return fail(Errc::nonexistent, "not served");
    if (fail_create) co_return fail(Errc::no_space, "full");
    extended_to[pool] = targets;
    created_with[pool] = sizes.memory_bytes;
    co_return Result<void>{};
  }
  Task<Result<void>> serve_extension(Uuid pool, Targets targets, uint64_t) override {
    opened_on[pool] = targets;
    co_return Result<void>{};
  }
  Task<Result<void>> open_pool(Uuid pool, Targets targets, uint64_t memory_bytes) override {
    opened_on[pool] = targets;
    opened_with[pool] = memory_bytes;
    if (!pools.contains(pool)) co_return fail(Errc::nonexistent, "no files");
    co_return Result<void>{};
  }
  Task<Result<void>> remove_pool(Uuid pool) override {
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    if (fail_remove) co_return fail(Errc::io, "cannot remove");
    pools.erase(pool);
    co_return Result<void>{};
  }
  Task<Result<void>> destroy_container(Uuid, uint32_t container) override {
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    if (fail_remove) co_return fail(Errc::io, "cannot remove");
    held.erase(container);
    destroyed.push_back(container);
    co_return Result<void>{};
  }
  Task<Result<model::Epoch>> freeze_container(Uuid pool, uint32_t container) override {
    if (serves_only_its_pools && !pools.contains(pool)) co_return fail(Errc::nonexistent, "none");
    if (fail_freeze) co_return fail(Errc::io, "a shard has stopped");
    frozen.insert(container);
    co_return newest;
  }
  /// A shard of two that fails: the other one holds the snapshot.
  Task<Result<void>> add_snapshot(Uuid, uint32_t container, model::Epoch epoch) override {
    EXPECT_TRUE(frozen.contains(container));
    EXPECT_GT(epoch, newest);
    held[container].insert(epoch);
    if (fail_adds > 0) {
      --fail_adds;
      co_return fail(Errc::timed_out, "the freeze has ended");
    }
    frozen.erase(container);
    newest = epoch;
    co_return Result<void>{};
  }
  Task<Result<void>> remove_snapshot(Uuid, uint32_t container, model::Epoch epoch) override {
    if (fail_remove) co_return fail(Errc::io, "cannot remove");
    held[container].erase(epoch);
    co_return Result<void>{};
  }
  Task<void> unfreeze_container(Uuid, uint32_t container, uint64_t holds_over) override {
    frozen.erase(container);
    holding.erase(container);
    holds_refused = std::max(holds_refused, holds_over);
    co_return;
  }
  Task<Result<model::Epoch>> hold_container(Uuid, uint32_t container, model::Epoch,
                                            uint64_t number) override {
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    EXPECT_GT(number, holds_refused);
    holding.insert(container);  // on a shard of two
    if (fail_holds > 0) {
      --fail_holds;
      co_return fail(Errc::busy, "transactions wait for their outcome");
    }
    co_return newest;
  }
  Task<Result<void>> rollback(Uuid, uint32_t container, model::Epoch epoch,
                              model::Epoch at) override {
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    if (fail_rollback) co_return fail(Errc::no_space, "full");
    EXPECT_GT(at, newest);
    holding.erase(container);
    if (ats.insert(at).second) rolled_back.emplace_back(container, epoch);
    co_return Result<void>{};
  }
  Task<Result<HeldSnapshots>> snapshots(Uuid, uint32_t container, uint64_t holds_over) override {
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    const std::vector<model::Epoch> epochs(held[container].begin(), held[container].end());
    holds_refused = std::max(holds_refused, holds_over);
    co_return HeldSnapshots{epochs, epochs, holding.contains(container)};
  }
  Task<Result<void>> aggregate_container(Uuid, uint32_t container, model::Epoch until) override {
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    aggregated.emplace_back(container, until);
    co_return Result<void>{};
  }
  Task<Result<void>> set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                              uint64_t order) override {
    if (serves_only_its_pools && !pools.contains(pool)) co_return fail(Errc::nonexistent, "none");
    if (at_worm) co_await std::exchange(at_worm, nullptr)();
    if (away) co_return fail(Errc::unreachable, "an engine is away");
    if (fail_worm) co_return fail(Errc::io, "a shard has stopped");
    frozen.erase(container);
    EXPECT_GE(order, worm_orders[container]) << "an older policy after a newer one";
    worm_orders[container] = order;
    worms[container] = policy;
    told_worm.push_back(container);
    if (fail_drains > 0) {
      --fail_drains;
      co_return fail(Errc::busy, "transactions wait for their outcome");
    }
    co_return Result<void>{};
  }
  Task<Result<ContProgress>> flatten_progress(Uuid, uint32_t container) override {
    if (away && one_of_many) co_return fail(Errc::unreachable, "an engine is away");
    if (away) co_return ContProgress{.targets_away = 1};
    co_return ContProgress{.progress = progress[container]};
  }
  Task<Result<ShardSpace>> space(Uuid) override { co_return ShardSpace{.data_total = 7}; }
  std::vector<wire::EngineInfo> engines() const override {
    return {{.rank = 0, .incarnation = 5, .state = wire::EngineState::joined}};
  }
  Task<std::vector<wire::DeviceReply>> devices() override {
    std::vector<wire::DeviceReply> out(1);
    out[0] = {.path = "/dev/one", .roles = "meta", .total_bytes = 9, .free_bytes = 4};
    co_return out;
  }
  Result<wire::HandleRef> grant(const Grant& grant) override {
    grants.push_back(grant);
    return wire::HandleRef{static_cast<uint32_t>(grants.size()), 1};
  }
  Task<Result<void>> share(Handles handles) override {
    if (at_share) co_await at_share();
    for (const auto& [grant, handle] : handles) open_handles.insert(handle.index);
    if (fail_share) co_return fail(Errc::exists, "taken on another engine");
    shared.insert(shared.end(), handles.begin(), handles.end());
    co_return Result<void>{};
  }
  Task<Result<void>> restore(Grant grant, wire::HandleRef handle) override {
    if (fail_restore) co_return fail(Errc::exists, "taken");
    restored.emplace_back(grant, handle);
    co_return Result<void>{};
  }
  Task<Result<void>> retain(Handles handles, uint64_t) override {
    retained = std::move(handles);
    if (at_retain) co_await at_retain();
    co_return Result<void>{};
  }
  Task<void> end_session(uint64_t session) override {
    sessions_ended.push_back(session);
    co_return;
  }
  Task<void> revoke(wire::HandleRef handle) override {
    revoked.push_back(handle.index);
    open_handles.erase(handle.index);
    co_return;
  }

  std::set<Uuid> pools;
  std::vector<uint32_t> destroyed, revoked;
  std::function<Task<void>()> at_ready;   // while others wait for it
  std::function<Task<void>()> at_retain;  // while it makes the handles
  std::function<Task<void>()> at_share;   // while a handle waits to be shared
  std::function<Task<void>()> at_scrub;   // once, while the policy is on its way
  bool fail_scrub = false;
  std::vector<Grant> grants;
  Reactor* slow = nullptr;  // others move while it gets ready
  std::map<Uuid, Targets> made_on, opened_on, extended_to;
  std::map<Uuid, uint64_t> created_with, opened_with;  // memory
  std::map<uint32_t, std::set<model::Epoch>> held;  // snapshots
  std::vector<model::ScrubPolicy> scrubs;           // as they were told
  std::map<uint32_t, model::WormPolicy> worms;      // as it holds them, by container
  std::map<uint32_t, uint64_t> worm_orders;         // of those
  std::vector<uint32_t> told_worm;                  // containers, as it was told
  std::map<uint32_t, model::FlattenProgress> progress;
  std::function<Task<void>()> at_worm;  // once, while a policy is on its way
  bool fail_worm = false;
  bool serves_only_its_pools = false;
  bool one_of_many = false;  // it says itself that it is away, as no host of all engines does
  int fail_drains = 0;
  std::set<uint32_t> frozen;
  model::Epoch newest = 0;  // issued by a shard whose clock may be ahead
  bool fail_create = false, fail_remove = false, fail_freeze = false, fail_restore = false;
  bool fail_share = false, away = false;
  int fail_adds = 0;
  std::vector<std::pair<uint32_t, model::Epoch>> rolled_back, aggregated;
  std::set<model::Epoch> ats;  // of rollbacks
  std::set<uint32_t> holding;  // for one
  uint64_t holds_refused = 0;
  bool fail_rollback = false;
  int fail_holds = 0;
  std::vector<std::pair<Grant, wire::HandleRef>> shared, restored, retained;
  std::set<uint32_t> open_handles;  // that some engine was told of and that were not revoked since
  std::vector<uint64_t> sessions_ended;
};

class ServiceTest : public testing::Test {
 protected:
  void SetUp() override {
    setenv("CAIRN_LOG", "off", 1);
    start();
  }
  void TearDown() override { stop(); }
  void start() {
    service_ = std::make_unique<Service>(world_.reactor(), config_, host_, options_);
    const auto started = world_.run(service_->start());
    ASSERT_TRUE(started && *started);
  }
  void stop() {
    if (service_) world_.run(finish(*service_));
    service_.reset();
  }
  static Task<bool> finish(Service& service) {
    co_await service.stop();
    co_return true;
  }
  void restart() {
    stop();
    start();
  }

  Result<wire::ControlReply> call(wire::ControlRequest request) {
    return call_as({.session = 77}, std::move(request));
  }
  Result<wire::ControlReply> call_as(Origin origin, wire::ControlRequest request) {
    auto bytes = world_.run(service_->handle(origin, wire::proto_encode(request)));
    CHECK(bytes.has_value());
    if (!*bytes) return fail(bytes->error());
    return wire::proto_decode<wire::ControlReply>(**bytes);
  }
  static Errc code(const Result<wire::ControlReply>& reply) {
    return reply ? Errc::ok : reply.error().code();
  }
  Result<wire::ControlReply> create_pool(std::string label, uint64_t bytes = kPoolBytes) {
    return call({.op = wire::Op::pool_create, .label = std::move(label), .bytes = bytes});
  }
  Result<wire::ControlReply> connect(std::string name, uint32_t access = 2) {
    return call({.op = wire::Op::pool_connect, .name = std::move(name), .access = access});
  }
  Result<wire::ControlReply> create_cont(uint64_t pool, std::string label,
                                         std::vector<wire::Prop> props = {}) {
    return call({.op = wire::Op::cont_create, .label = std::move(label), .pool_handle = pool,
                 .props = std::move(props)});
  }
  Result<wire::ControlReply> open_cont(uint64_t pool, std::string name, uint32_t access = 2) {
    return call({.op = wire::Op::cont_open, .name = std::move(name), .access = access,
                 .pool_handle = pool});
  }
  Result<wire::ControlReply> of_cont(wire::Op op, uint64_t handle) {
    return call({.op = op, .cont_handle = handle});
  }
  Result<wire::ControlReply> destroy_cont(uint64_t pool, std::string name, bool force) {
    return call({.op = wire::Op::cont_destroy, .name = std::move(name), .force = force,
                 .pool_handle = pool});
  }
  Result<wire::ControlReply> destroy_pool(std::string name, bool force) {
    return call({.op = wire::Op::pool_destroy, .name = std::move(name), .force = force});
  }
  /// A connected pool.
  uint64_t pool() {
    EXPECT_TRUE(create_pool("tank"));
    return connect("tank")->handle;
  }

  sim::World world_{1};
  MapConfig config_;
  FakeHost host_;
  ServiceOptions options_;
  std::unique_ptr<Service> service_;
};

}  // namespace cairn::service
