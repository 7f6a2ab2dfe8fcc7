// Transactions, reads at epochs and walks over a container, as an engine serves them.
#include <gtest/gtest.h>

#include <string>

#include "engine/engine.h"
#include "engine/testing.h"
#include "wire/codec.h"

namespace cairn::engine {
namespace {

constexpr uint64_t kSession = 0xABCDEF;
const wire::ObjectAddress kObject{.oid = {1, uint64_t{1} << 32}, .shard = 0};

class VersionsTest : public testing::Test {
 protected:
  void SetUp() override {
    handle_ = *world_.engine.add_handle(
        {.pool = world_.pool, .container = 1, .writable = true, .session = kSession});
  }
  wire::Request request(uint64_t sequence = 0) const {
    wire::Request r;
    r.header.handle = handle_;
    r.header.session = kSession;
    r.header.sequence = sequence;
    r.header.acknowledged_below = 1;
    return r;
  }
  /// By bytes, so that every codec takes part.
  wire::Reply serve(const wire::Request& r) {
    Bytes message;
    EXPECT_TRUE(wire::encode_request(r, message).has_value());
    const Bytes answer = world_.run(world_.engine.serve_bytes(std::move(message)));
    wire::Reply reply;
    EXPECT_TRUE(wire::decode_reply(answer, r, reply).has_value());
    return reply;
  }
  static wire::ObjectUpdate update(const char* dkey, std::string& value) {
    return {.object = kObject, .dkey = as_bytes(dkey), .iods = single_value(value)};
  }
  model::Epoch put(const char* dkey, std::string value) {
    wire::Request r = request(++sequence_);
    r.body = update(dkey, value);
    const wire::Reply reply = serve(r);
    EXPECT_EQ(reply.error.code(), Errc::ok);
    return reply.header.epoch;
  }
  struct Seen {
    std::string value;
    Errc code = Errc::ok;
    model::Epoch epoch = 0;
  };
  Seen get(const char* dkey, model::Epoch epoch = 0, bool in_transaction = false) {
    std::string room(8, '#');
    wire::Request r = request();
    r.header.epoch = epoch;
    r.header.transaction_lo = in_transaction ? 1 : 0;
    r.body =
        wire::ObjectFetch{.object = kObject, .dkey = as_bytes(dkey), .iods = single_value(room)};
    const wire::Reply reply = serve(r);
    if (reply.error.code() != Errc::ok) return {.code = reply.error.code()};
    room.resize(std::get<model::Fetched>(reply.body).iods.front().record_bytes);
    return {.value = room, .epoch = reply.header.epoch};
  }
  model::Epoch snapshot() {
    const auto newest = world_.run(world_.shard->freeze_container(1));
    EXPECT_TRUE(newest);
    EXPECT_TRUE(world_.run(world_.shard->add_snapshot(1, *newest + 1)));
    return *newest + 1;
  }

  EngineWorld world_{0};
  wire::HandleRef handle_;
  uint64_t sequence_ = 0;
};

TEST_F(VersionsTest, A_transaction_is_made_as_one_and_once) {
  // Goal: all operations in their order, a resend changes nothing. Method: two values and a punch;
  // the same message again after somebody else wrote.
  put("gone", "old");
  std::string one = "one", two = "two";
  wire::Request r = request(++sequence_);
  r.body = wire::ObjectTransact{
      .ops = {update("x", one), update("y", two),
              wire::ObjectPunch{
                  .object = kObject, .level = wire::PunchLevel::dkey, .dkey = as_bytes("gone")}}};
  const wire::Reply made = serve(r);
  ASSERT_EQ(made.error.code(), Errc::ok);
  EXPECT_GT(made.header.epoch, 0u);
  EXPECT_EQ(get("x").value, "one");
  EXPECT_EQ(get("y").value, "two");
  EXPECT_EQ(get("gone").value, "");
  put("x", "later");
  r.header.flags |= wire::kFlagResend;
  const wire::Reply again = serve(r);
  EXPECT_EQ(again.error.code(), Errc::ok);
  EXPECT_EQ(again.header.epoch, made.header.epoch);
  EXPECT_EQ(get("x").value, "later");
}

TEST_F(VersionsTest, What_was_read_is_validated) {
  // Goal: a write between read and commit is found; without one the commit goes through.
  put("x", "1");
  const Seen read = get("x", 0, true);
  ASSERT_EQ(read.value, "1");
  ASSERT_GT(read.epoch, 0u);
  std::string value = "2";
  wire::ObjectTransact transact{
      .read_epoch = read.epoch,
      .ops = {update("y", value)},
      .reads = {{.object = kObject,
                 .level = wire::ReadLevel::akey,
                 .dkey = as_bytes("x"),
                 .akey = as_bytes("a")}}};
  wire::Request r = request(++sequence_);
  r.body = transact;
  EXPECT_EQ(serve(r).error.code(), Errc::ok);
  put("x", "other");
  r = request(++sequence_);
  r.body = transact;
  EXPECT_EQ(serve(r).error.code(), Errc::tx_restart);
  EXPECT_EQ(get("x", read.epoch, true).code, Errc::tx_restart);
}

TEST_F(VersionsTest, A_transaction_needs_a_writable_handle) {
  handle_ = *world_.engine.add_handle(
      {.pool = world_.pool, .container = 1, .writable = false, .session = kSession});
  std::string value = "v";
  wire::Request r = request(++sequence_);
  r.body = wire::ObjectTransact{.ops = {update("x", value)}};
  EXPECT_EQ(serve(r).error.code(), Errc::no_perm);
}

TEST_F(VersionsTest, Reads_at_a_snapshot_see_what_was) {
  // Goal: fetch, list, max epoch and the walk over objects take the epoch of the header.
  const model::Epoch first = put("x", "old");
  const model::Epoch at = snapshot();
  put("x", "new");
  put("y", "new");
  EXPECT_EQ(get("x", at).value, "old");
  EXPECT_EQ(get("y", at).value, "");
  EXPECT_EQ(get("x").value, "new");
  wire::Request list = request();
  list.header.epoch = at;
  list.body = wire::ObjectList{.object = kObject,
                               .request = {.count_max = 10, .bytes_max = 100}};
  EXPECT_EQ(std::get<model::Listed>(serve(list).body).lengths.size(), 1u);
  wire::Request newest = request();
  newest.header.epoch = at;
  newest.body = wire::ObjectMaxEpoch{.object = kObject};
  EXPECT_EQ(serve(newest).header.epoch, first);
  wire::Request objects = request();
  objects.header.epoch = at;
  objects.body = wire::ListObjects{.count_max = 10};
  const wire::Reply listed = serve(objects);
  ASSERT_EQ(listed.error.code(), Errc::ok);
  EXPECT_EQ(std::get<wire::ListedObjects>(listed.body).oids,
            std::vector<model::ObjectId>{kObject.oid});
  objects.body = wire::ListObjects{.count_max = 0};
  EXPECT_EQ(serve(objects).error.code(), Errc::invalid);
}

TEST_F(VersionsTest, Differences_of_snapshots_come_page_by_page) {
  // Goal: each difference once, over several pages. Method: pages of one.
  put("x", "1");
  put("y", "1");
  const model::Epoch older = snapshot();
  put("x", "2");
  put("z", "1");
  const model::Epoch newer = snapshot();
  std::vector<std::pair<std::string, wire::Difference::Kind>> found;
  Bytes position;
  for (bool eof = false; !eof;) {
    wire::Request r = request();
    r.body = wire::DiffSnapshots{
        .older = older, .newer = newer, .count_max = 1, .position = position};
    const wire::Reply reply = serve(r);
    ASSERT_EQ(reply.error.code(), Errc::ok);
    const auto& page = std::get<wire::Differences>(reply.body);
    for (const auto& difference : page.differences) {
      found.emplace_back(as_chars(difference.dkey), difference.kind);
    }
    position = page.position;
    eof = page.eof;
  }
  EXPECT_EQ(found, (std::vector<std::pair<std::string, wire::Difference::Kind>>{
                       {"x", wire::Difference::Kind::changed},
                       {"z", wire::Difference::Kind::added}}));
  wire::Request r = request();
  r.body = wire::DiffSnapshots{.older = newer, .newer = older, .count_max = 1};
  EXPECT_EQ(serve(r).error.code(), Errc::invalid);
}

}  // namespace
}  // namespace cairn::engine
