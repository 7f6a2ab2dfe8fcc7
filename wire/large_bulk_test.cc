// Large payloads: where they stand in a message, and that they may travel apart from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "base/byte_counts.h"
#include "base/crc32c.h"
#include "wire/codec.h"
#include "wire/header_format.h"
#include "wire/limits.h"

namespace cairn::wire {
namespace {

constexpr size_t kBytes = 100'000;

Bytes pattern(size_t bytes) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 7 + (i >> 8));
  return out;
}

/// An array of `memory`'s bytes, in two pieces of memory.
model::Iods array_iods(Bytes& memory) {
  const size_t half = memory.size() / 2;
  model::Iods iods(1);
  iods[0].akey = as_bytes("a");
  iods[0].type = model::ValueType::array;
  iods[0].record_bytes = 1;
  iods[0].recxs = {{.index = 0, .count = memory.size()}};
  iods[0].buffer = {{memory.data(), half}};
  iods[0].buffer.push_back({memory.data() + half, memory.size() - half});
  return iods;
}

Request update_of(Bytes& memory) {
  Request request;
  auto& update = request.body.emplace<ObjectUpdate>();
  update.dkey = as_bytes("d");
  update.iods = array_iods(memory);
  return request;
}

Bytes joined(Bytes head, ByteView bulk) {
  head.insert(head.end(), bulk.begin(), bulk.end());
  return head;
}

void reseal(Bytes& message) {
  HeaderFormat f;
  std::memcpy(&f, message.data(), sizeof(f));
  const size_t bulk = f.bulk_offset.get();
  f.bulk_checksum = crc32c(ByteView(message).subspan(bulk));
  std::memcpy(message.data(), &f, sizeof(f));
  f.checksum = crc32c(ByteView(message).subspan(kChecksumFrom, bulk - kChecksumFrom));
  std::memcpy(message.data(), &f, sizeof(f));
}

TEST(LargeBulk, Of_an_update_is_aligned_and_may_travel_apart) {
  // Goal: both ways make the same message, and its payload can go to a device from where it was
  // received. Method: sizes around the border; decode from aligned memory.
  for (const size_t bytes :
       {size_t{1}, kLargeBulkMin - 1, kLargeBulkMin, kBytes, size_t{3} << 20}) {
    Bytes memory = pattern(bytes);
    const Request request = update_of(memory);
    Bytes whole, head;
    Buffer bulk;
    ASSERT_TRUE(encode_request(request, whole).has_value());
    ASSERT_TRUE(encode_request(request, head, &bulk).has_value());
    EXPECT_EQ(bulk.size(), bytes >= kLargeBulkMin ? bytes : 0);
    EXPECT_EQ(joined(head, bulk), whole);

    Buffer received = Buffer::uninitialised(whole.size());
    std::memcpy(received.data(), whole.data(), whole.size());
    auto decoded = decode_request(std::move(received));
    ASSERT_TRUE(decoded.has_value());
    const auto& buffer = std::get<ObjectUpdate>((*decoded)->request.body).iods[0].buffer;
    ASSERT_EQ(buffer.size(), 1u);
    EXPECT_EQ(Bytes(buffer[0].data, buffer[0].data + buffer[0].bytes), memory);
    if (bytes >= kLargeBulkMin) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer[0].data) % kBulkAlignment, 0u);
    }
  }
}

TEST(LargeBulk, Padding_is_checked) {
  // Goal: no byte of a message means nothing. Method: one change each, with checksums made good.
  Bytes memory = pattern(kBytes);
  Bytes good;
  ASSERT_TRUE(encode_request(update_of(memory), good).has_value());
  const auto code_of = [](Bytes message) {
    reseal(message);
    const auto decoded = decode_request(std::move(message));
    return decoded ? (*decoded)->error.code() : decoded.error().code();
  };
  EXPECT_EQ(code_of(good), Errc::ok);
  HeaderFormat f;
  std::memcpy(&f, good.data(), sizeof(f));
  const uint32_t bulk = f.bulk_offset.get(), padding = f.padding_bytes.get();
  ASSERT_GT(padding, 1u);
  Bytes dirty = good;
  dirty[bulk - 1] = std::byte{1};
  EXPECT_EQ(code_of(dirty), Errc::protocol);
  for (const uint32_t wrong : {padding - 1, padding + 1, uint32_t{0}}) {
    Bytes bad = good;
    store_le32(&bad[offsetof(HeaderFormat, padding_bytes)], wrong);
    EXPECT_NE(code_of(bad), Errc::ok) << wrong;
  }
  for (const uint32_t wrong : {uint32_t{kBulkAlignment}, ~uint32_t{0}}) {
    Bytes bad = good;
    store_le32(&bad[offsetof(HeaderFormat, padding_bytes)], wrong);
    EXPECT_EQ(code_of(bad), Errc::protocol) << wrong;
  }
  Bytes moved = good;  // one byte less of it, and so not at a multiple any more
  moved.erase(moved.begin() + bulk - 1);
  store_le32(&moved[offsetof(HeaderFormat, padding_bytes)], padding - 1);
  store_le32(&moved[offsetof(HeaderFormat, bulk_offset)], bulk - 1);
  store_le64(&moved[offsetof(HeaderFormat, message_bytes)], moved.size());
  EXPECT_EQ(code_of(moved), Errc::protocol);
}

struct Fetch {
  Bytes room = pattern(kBytes);
  Request request;
  std::unique_ptr<DecodedRequest> served;

  Fetch() {
    auto& fetch = request.body.emplace<ObjectFetch>();
    fetch.dkey = as_bytes("d");
    fetch.iods = array_iods(room);
    Bytes message;
    EXPECT_TRUE(encode_request(request, message).has_value());
    served = *decode_request(std::move(message));
    const Bytes stored = pattern(kBytes + 1);
    std::memcpy(served->fetch_room.data(), stored.data() + 1, kBytes);
  }
  static Reply reply_of(model::FetchedIod::Pieces pieces) {
    Reply reply;
    auto& fetched = reply.body.emplace<model::Fetched>();
    fetched.iods.emplace_back();
    fetched.iods[0].record_bytes = 1;
    fetched.iods[0].pieces = std::move(pieces);
    return reply;
  }
};

TEST(LargeBulk, Of_a_fetch_is_the_room_itself_where_it_can_be) {
  // Goal: the same message as without, copied only where pieces do not stand one behind the other,
  // and never a byte of the room that was not fetched. Method: whole, cut, in two, with a hole.
  const model::FetchedIod::Pieces cases[] = {{{0, kBytes}},
                                             {{0, 50'000}},
                                             {{0, 40'000}, {40'000, 60'000}},
                                             {{0, 40'000}, {50'000, 50'000}},
                                             {{1, 99'999}},
                                             {{0, 100}},
                                             {}};
  for (size_t i = 0; i < std::size(cases); ++i) {
    Fetch fetch;
    const Reply reply = Fetch::reply_of(cases[i]);
    Bytes whole, head;
    encode_reply(fetch.served->request, reply, whole);
    Buffer bulk = std::move(fetch.served->fetch_room);
    const std::byte* const room = bulk.data();
    encode_reply(fetch.served->request, reply, head, &bulk);
    EXPECT_EQ(joined(head, bulk), whole) << i;
    EXPECT_EQ(bulk.data() == room, i < 3) << i;
    Reply got;
    ASSERT_TRUE(decode_reply(whole, fetch.request, got).has_value()) << i;
    for (const auto& piece : cases[i]) {
      const Bytes stored = pattern(kBytes + 1);
      EXPECT_EQ(std::memcmp(fetch.room.data() + piece.offset, stored.data() + 1 + piece.offset,
                            piece.bytes),
                0);
    }
  }
}

TEST(LargeBulk, Of_a_reply_is_summed_as_it_is_copied_and_damage_is_found_anywhere) {
  // Goal: it is looked at once, and no damage passes. Method: count what is summed; change a byte
  // in each part of it.
  Bytes memory = pattern(kBytes), into(kBytes);
  Request request;
  auto& fetch = request.body.emplace<ObjectFetch>();
  fetch.dkey = as_bytes("d");
  fetch.iods = array_iods(memory);
  Reply reply;
  auto& fetched = reply.body.emplace<model::Fetched>();
  fetched.iods.resize(1);
  fetched.iods[0].record_bytes = 1;
  fetched.iods[0].pieces = {{0, 1000}, {2000, kBytes - 2000}};
  Bytes good;
  encode_reply(request, reply, good);
  fetch.iods = array_iods(into);
  Reply got;
  static uint64_t summed = 0;
  on_summed = [](size_t bytes) { summed += bytes; };
  ASSERT_TRUE(decode_reply(good, request, got).has_value());
  on_summed = nullptr;
  EXPECT_LE(summed, kBytes);
  EXPECT_GT(summed, 0u);
  EXPECT_TRUE(std::equal(memory.begin() + 2000, memory.end(), into.begin() + 2000));
  EXPECT_TRUE(std::equal(memory.begin(), memory.begin() + 1000, into.begin()));
  EXPECT_EQ(into[1500], std::byte{0}) << "between the pieces";
  for (size_t at = good.size() - (kBytes - 1000); at < good.size(); at += 3'333) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x10};
    EXPECT_EQ(decode_reply(bad, request, got).error().code(), Errc::checksum) << at;
  }
}

TEST(LargeBulk, Nothing_of_the_room_goes_with_an_error) {
  for (const bool other_body : {false, true}) {
    Fetch fetch;
    Reply reply;
    if (!other_body) reply.error = Error{Errc::no_perm, "no"};
    Bytes whole, head;
    encode_reply(fetch.served->request, reply, whole);
    Buffer bulk = std::move(fetch.served->fetch_room);
    encode_reply(fetch.served->request, reply, head, &bulk);
    EXPECT_TRUE(bulk.empty());
    EXPECT_EQ(head, whole);
  }
}

TEST(LargeBulk, Of_an_update_is_summed_once_for_message_and_blocks) {
  // Goal: the checksums that verified a payload are those of its blocks, for who stores it, and
  // only where a block is one of the message. Method: three iods, the third beginning inside a
  // block, and the last block of each cut.
  Bytes memory = pattern(40'960 + 9'000 + 50'000);
  Request request;
  auto& update = request.body.emplace<ObjectUpdate>();
  update.dkey = as_bytes("d");
  size_t at = 0;
  for (const size_t bytes : {40'960u, 9'000u, 50'000u}) {
    Bytes part(memory.begin() + static_cast<long>(at),
               memory.begin() + static_cast<long>(at + bytes));
    update.iods.push_back(array_iods(part)[0]);
    update.iods.back().buffer = {{memory.data() + at, bytes}};
    at += bytes;
  }
  Bytes whole;
  ASSERT_TRUE(encode_request(request, whole).has_value());
  Buffer received = Buffer::uninitialised(whole.size());
  std::memcpy(received.data(), whole.data(), whole.size());
  auto decoded = decode_request(std::move(received));
  ASSERT_TRUE(decoded.has_value());
  const auto& iods = std::get<ObjectUpdate>((*decoded)->request.body).iods;
  ASSERT_EQ(iods.size(), 3u);
  EXPECT_EQ(iods[0].block_crcs.size(), 10u);
  EXPECT_EQ(iods[1].block_crcs.size(), 2u);
  EXPECT_EQ(iods[2].block_crcs.size(), 0u);
  for (const model::Iod& iod : iods) {
    const ByteView data(iod.buffer[0].data, iod.buffer[0].bytes);
    for (size_t i = 0; i < iod.block_crcs.size(); ++i) {
      EXPECT_EQ(iod.block_crcs[i], crc32c(data.subspan(i * kBulkAlignment, kBulkAlignment))) << i;
    }
  }
  // A flipped bit in a whole block, and in the cut one at the end.
  for (const size_t back : {size_t{1}, size_t{60'000}}) {
    Buffer damaged = Buffer::uninitialised(whole.size());
    std::memcpy(damaged.data(), whole.data(), whole.size());
    damaged.data()[whole.size() - back] ^= std::byte{1};
    EXPECT_EQ(decode_request(std::move(damaged)).error().code(), Errc::checksum) << back;
  }
}

TEST(LargeBulk, Of_a_reply_may_come_with_its_checksum) {
  // Goal: what was verified as it was read is not summed again, and the same bytes go out.
  Bytes plain, known;
  for (Bytes* const out : {&plain, &known}) {
    Fetch fetch;
    Reply reply = Fetch::reply_of({{0, kBytes}});
    Buffer bulk = std::move(fetch.served->fetch_room);
    if (out == &known) std::get<model::Fetched>(reply.body).payload_crc = crc32c(bulk);
    encode_reply(fetch.served->request, reply, *out, &bulk);
    ASSERT_EQ(bulk.size(), kBytes);
    *out = joined(std::move(*out), bulk);
    Reply got;
    EXPECT_TRUE(decode_reply(*out, fetch.request, got).has_value());
  }
  EXPECT_EQ(known, plain);
}

}  // namespace
}  // namespace cairn::wire
