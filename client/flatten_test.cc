// Hints that objects are final, with engines that hang, are away or are busy.
#include <gtest/gtest.h>

#include <array>

#include "client/system_impl.h"
#include "client/transaction.h"
#include "fabric/inproc.h"
#include "runtime/jumping_testing.h"
#include "wire/codec.h"

namespace cairn::client {
namespace {

/// Answers updates at once, and what is to be flattened as it is told to.
struct FakeEngine final : fabric::Service {
  explicit FakeEngine(Reactor& r) : reactor(r) {}

  Task<Result<void>> serve(void*, void*) override {
    co_return fail(Errc::not_supported, "fake: bytes only");
  }
  Task<Bytes> serve_bytes(Bytes message) override {
    Bytes out;
    auto decoded = wire::decode_request(std::move(message));
    if (!decoded) co_return out;
    const wire::Request& request = (*decoded)->request;
    wire::Reply reply;
    reply.header.session = request.header.session;
    reply.header.sequence = request.header.sequence;
    if (const auto* flatten = std::get_if<wire::FlattenObjects>(&request.body)) {
      ++asked;
      if (hang != 0) co_await reactor.sleep(hang);
      if (refusals != 0) {
        --refusals;
        reply.error = Error{refusal, "fake: not now"};
      } else {
        told += flatten->objects.size();
        reply.body = wire::FlattenedObjects{
            .objects = std::vector<model::Flattened>(flatten->objects.size())};
      }
    } else {
      ++updates;
      reply.header.epoch = updates;
    }
    wire::encode_reply(request, reply, out);
    co_return out;
  }

  Reactor& reactor;
  Duration hang = 0;
  Errc refusal = Errc::shutdown;
  unsigned refusals = 0;
  unsigned asked = 0, updates = 0;
  size_t told = 0;
};

/// A container on one target of each of two ranks, and an object with a shard on either.
class FinalHint : public testing::Test, protected JumpingWorld {
 protected:
  FinalHint() : JumpingWorld(5) {
    for (uint32_t rank = 0; rank < 2; ++rank) {
      transport_.attach({.rank = rank}, engines_[rank]);
      map_.targets.push_back({.id = {rank, 0}});
    }
    layout::set_shape(map_);
    system_.emplace(SystemParts{
        .context = &context_, .rpc = &rpc_, .service = {}, .shutdown = {}, .graph = {}});
    pool_ = std::make_shared<PoolImpl>(*system_, Uuid{}, 1, Access::read_write);
    container_ = std::make_shared<ContainerImpl>(
        pool_, ContainerImpl::Opened{
                   .uuid = {}, .handle = 1, .io = {}, .access = Access::read_write, .map = map_});
  }
  ~FinalHint() override {
    reactor.spawn(close(transport_));
    while (step()) {
    }
  }
  static Task<void> close(fabric::InprocTransport& transport) { co_await transport.close(); }

  template <class T>
  T run(Task<T> task) {
    const Instant began = clock.now();
    T value = JumpingWorld::run(std::move(task));
    took_ = clock.now() - began;
    return value;
  }
  Task<Result<model::Epoch>> last_update() {
    return container_->update({.oid = oid_, .dkey = as_bytes("d"), .flags = model::cond::kFinal},
                              {});
  }
  /// Of one that was told of the object and changes nothing.
  Task<Result<void>> commit() {
    auto transaction = std::make_shared<Transaction>(container_, TransactionOptions{});
    auto noted = co_await transaction->container()->note_final({oid_});
    if (!noted) co_return noted;
    co_return co_await transaction->commit();
  }
  void expect_both_end_soon() {
    EXPECT_TRUE(run(last_update()));
    EXPECT_LE(took_, kSecond);
    EXPECT_TRUE(run(commit()));
    EXPECT_LE(took_, kSecond);
    EXPECT_EQ(engines_[0].updates + engines_[1].updates, 1u);
    EXPECT_EQ(engines_[0].told, 2u) << "whoever is there is told";
    EXPECT_EQ(engines_[1].asked, 2u) << "one attempt each";
    EXPECT_EQ(engines_[1].told, 0u);
  }

  Context context_{reactor};
  std::array<FakeEngine, 2> engines_{FakeEngine{reactor}, FakeEngine{reactor}};
  fabric::InprocTransport transport_{reactor, {.encode = true}};
  Rpc rpc_{reactor, transport_, served_rpc_options()};
  layout::PoolMap map_{.targets = {}};
  std::optional<SystemImpl> system_;
  std::shared_ptr<PoolImpl> pool_;
  std::shared_ptr<ContainerImpl> container_;
  Duration took_ = 0;  // by the last run()
  const model::ObjectId oid_{.lo = 42, .hi = uint64_t{1} << 48 | uint64_t{2} << 32 | 7};
};

TEST_F(FinalHint, Holds_an_update_or_commit_back_a_second_at_most_when_an_engine_hangs) {
  // Goal: what is durable is answered. Method: one of two engines takes the hint and says nothing
  // for ten minutes.
  engines_[1].hang = 600 * kSecond;
  engines_[1].refusals = 2;
  expect_both_end_soon();
}

TEST_F(FinalHint, Is_dropped_at_once_where_an_engine_is_about_to_leave_or_busy) {
  // Goal: neither the grace nor resends. Method: an engine that refuses everything.
  for (const Errc refusal : {Errc::shutdown, Errc::overload}) {
    for (FakeEngine& engine : engines_) {
      engine.asked = engine.updates = 0;
      engine.told = 0;
    }
    engines_[1].refusal = refusal;
    engines_[1].refusals = 2;
    expect_both_end_soon();
    EXPECT_EQ(took_, 0u);
  }
}

TEST_F(FinalHint, Is_given_patiently_to_who_asks_for_nothing_else) {
  // Goal: cairn_obj_final() outlives a restart of an engine. Method: one that refuses a few times.
  engines_[1].refusals = 5;
  EXPECT_TRUE(run(container_->note_final({oid_})));
  EXPECT_EQ(engines_[0].told, 1u);
  EXPECT_EQ(engines_[1].told, 1u);
  EXPECT_EQ(engines_[1].asked, 6u);
}

}  // namespace
}  // namespace cairn::client
