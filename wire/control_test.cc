#include "wire/control.h"

#include <gtest/gtest.h>

namespace cairn::wire {
namespace {

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

TEST(Control, A_request_has_these_bytes) {
  // Goal: the wire form is that of wire/control.proto and does not move. Method: golden bytes, made
  // with protoc --encode from the schema.
  ControlRequest request;
  request.op = Op::cont_create;
  request.label = "docs";
  request.pool_handle = 300;
  request.props.push_back({.number = 0x1002, .integer = 0});
  request.props.push_back({.number = 0x100d, .text = "u@"});
  const Bytes golden = bytes_of({0x08, 0x01, 0x10, 0x14, 0x22, 0x04, 'd', 'o', 'c', 's', 0x48, 0xac,
                                 0x02, 0x5a, 0x05, 0x08, 0x82, 0x20, 0x10, 0x00, 0x5a, 0x07, 0x08,
                                 0x8d, 0x20, 0x1a, 0x02, 'u', '@'});
  EXPECT_EQ(proto_encode(request), golden);
  const auto back = proto_decode<ControlRequest>(golden);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->op, Op::cont_create);
  EXPECT_EQ(back->label, "docs");
  EXPECT_EQ(back->pool_handle, 300u);
  EXPECT_EQ(back->props, request.props);
}

TEST(Control, A_reply_comes_back_as_it_went) {
  // Goal: nested and repeated fields survive. Method: one of everything, encoded twice.
  ControlReply reply;
  reply.uuid = uuid_from_random({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  reply.first = ~uint64_t{0};
  reply.pools.resize(2);
  reply.pools[1].label = "tank";
  reply.pools[1].props.push_back({.number = 11, .integer = 3});
  reply.attrs.push_back({"name", bytes_of({0, 255})});
  const Bytes bytes = proto_encode(reply);
  const auto back = proto_decode<ControlReply>(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->uuid, reply.uuid);
  EXPECT_EQ(back->first, ~uint64_t{0});
  ASSERT_EQ(back->pools.size(), 2u);
  EXPECT_EQ(back->pools[1].props, reply.pools[1].props);
  EXPECT_EQ(back->attrs, reply.attrs);
  EXPECT_EQ(proto_encode(*back), bytes);
}

TEST(Control, What_is_said_of_a_seal_has_these_bytes) {
  // Goal, method: as above.
  ControlReply reply;
  reply.worm = {.worm = {.sealed_at = 300, .sealed_by = "a@b"},
                .seal_state = SealState::sealed,
                .targets_away = 3};
  const Bytes golden = bytes_of({0x92, 0x01, 0x0e, 0x0a, 0x08, 0x28, 0xac, 0x02, 0x32, 0x03, 'a',
                                 '@', 'b', 0x10, 0x02, 0x20, 0x03});
  EXPECT_EQ(proto_encode(reply), golden);
  const auto back = proto_decode<ControlReply>(golden);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->worm.worm, reply.worm.worm);
  EXPECT_EQ(back->worm.seal_state, SealState::sealed);
}

TEST(Control, Unknown_fields_are_skipped) {
  // Goal: an older program reads a newer message. Method: fields 100 of every wire type.
  Bytes bytes = bytes_of({0xa0, 0x06, 0x05, 0xa2, 0x06, 0x02, 1, 2, 0xa1, 0x06, 1,    2,    3,  4,
                          5,    6,    7,    8,    0xa5, 0x06, 1, 2, 3,    4,    0x22, 0x01, 'x'});
  const auto back = proto_decode<ControlRequest>(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->label, "x");
}

TEST(Control, A_message_without_a_version_is_not_of_the_newest_one) {
  // Goal: what is absent on the wire is zero, also where a new struct starts with something else.
  const auto empty = proto_decode<ControlRequest>({});
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->version, 0u);
  ControlRequest request;
  request.version = 0;
  const auto back = proto_decode<ControlRequest>(proto_encode(request));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->version, 0u);
}

TEST(Control, Hostile_bytes_are_refused_or_parsed_and_never_more) {
  // Goal: no bytes crash the parser. Method: every truncation and every single-byte change of a
  // message.
  ControlRequest request;
  request.label = std::string(200, 'l');
  request.props.push_back({.number = 1, .raw = Bytes(20)});
  request.attrs.push_back({"n", Bytes(3)});
  const Bytes whole = proto_encode(request);
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    (void)proto_decode<ControlRequest>(ByteView(whole).first(cut));
  }
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int change = 1; change < 256; ++change) {
      Bytes changed = whole;
      changed[at] ^= static_cast<std::byte>(change);
      (void)proto_decode<ControlRequest>(changed);
    }
  }
  EXPECT_FALSE(proto_decode<ControlRequest>(bytes_of({0x22, 0x05, 'x'})));
  EXPECT_FALSE(proto_decode<ControlRequest>(bytes_of({0x20, 0x05})));   // label as a number
  EXPECT_FALSE(proto_decode<ControlReply>(bytes_of({0x0a, 0x02, 1, 2})));   // a UUID of two bytes
}

}  // namespace
}  // namespace cairn::wire
