#include "wire/engine_admin.h"

#include <gtest/gtest.h>

#include "wire/worm.h"

namespace cairn::wire {
namespace {

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

AdminRequest sample() {
  AdminRequest request;
  request.verb = AdminVerb::open_pool;
  request.incarnation = 300;
  request.targets = {{.rank = 1, .index = 2}};
  request.handles = {{.index = 3, .generation = 4, .container = 5, .writable = true, .session = 6}};
  request.tx_low = 1u << 16;
  request.body = bytes_of({9, 8});
  return request;
}

TEST(EngineAdmin, A_request_has_these_bytes) {
  // Goal: the wire form is that of wire/engine_admin.proto and does not move. Method: golden bytes.
  const Bytes golden =
      bytes_of({0x08, 0x01, 0x10, 0x0b, 0x18, 0xac, 0x02, 0x3a, 0x04, 0x08, 0x01, 0x10, 0x02, 0x7a,
                0x0a, 0x08, 0x03, 0x10, 0x04, 0x20, 0x05, 0x28, 0x01, 0x30, 0x06, 0x88, 0x01, 0x80,
                0x80, 0x04, 0x92, 0x01, 0x02, 0x09, 0x08});
  EXPECT_EQ(proto_encode(sample()), golden);
  const auto back = proto_decode<AdminRequest>(golden);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->verb, AdminVerb::open_pool);
  EXPECT_EQ(back->targets, sample().targets);
  EXPECT_EQ(back->handles, sample().handles);
  EXPECT_EQ(proto_encode(*back), golden);
}

TEST(EngineAdmin, A_reply_has_these_bytes) {
  // Goal, method: as above.
  AdminReply reply;
  reply.rank = 2;
  reply.incarnation = 7;
  reply.addresses = {"tcp:[::1]:9"};
  reply.serving = true;
  reply.any = {1, 0, 300};
  reply.space.data_free = 5;
  const Bytes golden =
      bytes_of({0x08, 0x02, 0x10, 0x07, 0x1a, 0x0b, 't',  'c',  'p',  ':',  '[',  ':', ':',
                '1',  ']',  ':',  '9',  0x20, 0x01, 0x38, 0x01, 0x38, 0x00, 0x38, 0xac, 0x02,
                0x4a, 0x02, 0x10, 0x05});
  EXPECT_EQ(proto_encode(reply), golden);
  const auto back = proto_decode<AdminReply>(golden);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->any, reply.any);
  EXPECT_EQ(back->addresses, reply.addresses);
  EXPECT_EQ(back->space.data_free, 5u);
}

const Worm kWorm{.inline_bytes_max = 300,
                 .object_bytes_max = 4'096,
                 .compress = true,
                 .cold_after_s = 60,
                 .sealed_at = 300,
                 .sealed_by = "a@b"};

TEST(EngineAdmin, What_is_said_of_flattened_containers_has_these_bytes) {
  // Goal, method: as above; and the values that they stand for come back as they went.
  AdminRequest request;
  request.verb = AdminVerb::set_worm;
  request.container = 5;
  request.worm = kWorm;
  const Bytes asked =
      bytes_of({0x08, 0x01, 0x10, 0x1d, 0x28, 0x05, 0xc2, 0x01, 0x12, 0x08, 0xac, 0x02, 0x10, 0x80,
                0x20, 0x18, 0x01, 0x20, 0x3c, 0x28, 0xac, 0x02, 0x32, 0x03, 'a',  '@',  'b'});
  EXPECT_EQ(proto_encode(request), asked);
  const auto back = proto_decode<AdminRequest>(asked);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->worm, kWorm);
  const auto policy = policy_of(back->worm);
  ASSERT_TRUE(policy);
  EXPECT_EQ(worm_of(*policy), kWorm);

  AdminReply reply;
  reply.progress = {.running = true, .flat = 2, .left = 300, .skipped = {0, 7}, .damaged = 1};
  const Bytes answered = bytes_of(
      {0x6a, 0x0d, 0x08, 0x01, 0x10, 0x02, 0x18, 0xac, 0x02, 0x20, 0x00, 0x20, 0x07, 0x28, 0x01});
  EXPECT_EQ(proto_encode(reply), answered);
  const auto told = proto_decode<AdminReply>(answered);
  ASSERT_TRUE(told);
  EXPECT_EQ(progress_of(told->progress).skipped[1], 7u);
}

TEST(EngineAdmin, Properties_that_nobody_could_have_set_are_refused) {
  // Goal: what comes from a peer is parsed. Method: each bound; outcomes of a later version.
  EXPECT_FALSE(policy_of({})) << "buffers of no size";
  Worm worm = kWorm;
  worm.inline_bytes_max = model::kWormInlineBytesMax + 1;
  EXPECT_FALSE(policy_of(worm));
  worm = kWorm;
  worm.sealed_by.clear();
  EXPECT_FALSE(policy_of(worm));
  worm.sealed_by = "me\n";
  EXPECT_FALSE(policy_of(worm));
  worm.sealed_by = std::string(1'000, 'a');
  EXPECT_FALSE(policy_of(worm));
  const FlattenProgress many{.skipped = std::vector<uint64_t>(1'000, 1)};
  EXPECT_EQ(progress_of(many).skipped[model::kFlattenOutcomes - 1], 1u);
}

TEST(EngineAdmin, Hostile_bytes_are_refused_or_parsed_and_never_more) {
  // Goal: no bytes crash the parser. Method: every truncation and every single-byte change.
  const Bytes whole = proto_encode(sample());
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    (void)proto_decode<AdminRequest>(ByteView(whole).first(cut));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int change = 1; change < 256; ++change) {
      Bytes changed = whole;
      changed[at] ^= static_cast<std::byte>(change);
      (void)proto_decode<AdminRequest>(changed);
      (void)proto_decode<AdminReply>(changed);
    }
  }
}

}  // namespace
}  // namespace cairn::wire
