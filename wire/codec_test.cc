#include "wire/codec.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "wire/golden.h"
#include "wire/header_format.h"
#include "wire/limits.h"
#include "wire/samples.h"

namespace cairn::wire {
namespace {

std::string hex(ByteView bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    char two[4];
    std::snprintf(two, sizeof(two), "%02x", static_cast<unsigned>(bytes[i]));
    text += two;
  }
  return text;
}

Bytes encoded(const Request& request) {
  Bytes out;
  EXPECT_TRUE(encode_request(request, out).has_value());
  return out;
}
Bytes encoded(const Request& request, const Reply& reply) {
  Bytes out;
  encode_reply(request, reply, out);
  return out;
}

/// Makes changed bytes look untouched on the way, so that the parser behind the checksum is met.
void reseal(Bytes& message) {
  HeaderFormat f;
  if (message.size() < sizeof(f)) return;
  std::memcpy(&f, message.data(), sizeof(f));
  f.message_bytes = message.size();
  const size_t bulk = std::min<size_t>(f.bulk_offset.get(), message.size());
  f.bulk_checksum = crc32c(ByteView(message).subspan(bulk));
  std::memcpy(message.data(), &f, sizeof(f));
  if (bulk < kChecksumFrom) return;
  f.checksum = crc32c(ByteView(message).subspan(kChecksumFrom, bulk - kChecksumFrom));
  std::memcpy(message.data(), &f, sizeof(f));
}

struct Rng {
  uint64_t state;
  uint64_t next() {  // splitmix64
    uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  uint64_t below(uint64_t bound) { return next() % bound; }
};

uint64_t test_seed() {
  const char* const text = std::getenv("CAIRN_SEED");
  const uint64_t seed = text == nullptr ? 20'261'125 : std::strtoull(text, nullptr, 10);
  std::printf("CAIRN_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

TEST(WireCodec, Each_message_has_the_recorded_bytes) {
  // Goal: the format does not change by accident. Method: bytes recorded with format 1.
  const std::vector<Sample> all = samples();
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(hex(encoded(all[i].request)), kGoldenRequests[i]) << all[i].name;
    EXPECT_EQ(hex(encoded(all[i].request, all[i].reply)), kGoldenReplies[i]) << all[i].name;
  }
  Bytes refusal;
  encode_error(sample_header(), Opcode::fetch, Errc::no_handle, refusal);
  EXPECT_EQ(hex(refusal), kGoldenRefusal);
}

TEST(WireCodec, Header_fields_stand_at_their_documented_offsets) {
  // Goal: header_format.h's map is true. Method: look at single bytes of a message.
  const std::vector<Sample> all = samples();
  const Bytes m = encoded(all[1].request);
  EXPECT_EQ(as_chars(ByteView(m).first(4)), "CRNQ");
  EXPECT_EQ(load_le32(&m[8]), 0x00020001u);  // opcode update, version 1
  EXPECT_EQ(static_cast<uint8_t>(m[24]), 0xA0);
  EXPECT_EQ(load_le32(&m[76]), 9u);
  EXPECT_EQ(load_le64(&m[88]), 42u);
  EXPECT_EQ(load_le64(&m[120]), 0x7172737475767778u);
  EXPECT_EQ(load_le64(&m[160]), m.size());
  const uint32_t bulk = load_le32(&m[156]);
  EXPECT_EQ(as_chars(ByteView(m).subspan(bulk)), "helloaabbccdd");
}

void expect_same(const Header& a, const Header& b) {
  EXPECT_EQ(a.flags, b.flags);
  EXPECT_EQ(a.features, b.features);
  EXPECT_EQ(a.system, b.system);
  EXPECT_EQ(a.sender_rank, b.sender_rank);
  EXPECT_EQ(a.sender_incarnation, b.sender_incarnation);
  EXPECT_EQ(a.target, b.target);
  EXPECT_EQ(a.target_incarnation, b.target_incarnation);
  EXPECT_EQ(a.map_version, b.map_version);
  EXPECT_EQ(a.placement_generation, b.placement_generation);
  EXPECT_EQ(a.handle, b.handle);
  EXPECT_EQ(a.session, b.session);
  EXPECT_EQ(a.sequence, b.sequence);
  EXPECT_EQ(a.acknowledged_below, b.acknowledged_below);
  EXPECT_EQ(a.remaining_ns, b.remaining_ns);
  EXPECT_EQ(a.hlc, b.hlc);
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.minor_epoch, b.minor_epoch);
  EXPECT_EQ(a.transaction_lo, b.transaction_lo);
  EXPECT_EQ(a.transaction_hi, b.transaction_hi);
}

TEST(WireCodec, A_request_comes_back_as_it_went) {
  // Goal: nothing is lost on the way. Method: encode, decode, compare the header, encode again.
  for (const Sample& sample : samples()) {
    const Bytes sent = encoded(sample.request);
    auto decoded = decode_request(sent);
    ASSERT_TRUE(decoded.has_value()) << sample.name;
    ASSERT_EQ((*decoded)->error.code(), Errc::ok) << sample.name;
    expect_same((*decoded)->request.header, sample.request.header);
    EXPECT_EQ(hex(encoded((*decoded)->request)), hex(sent)) << sample.name;
  }
}

TEST(WireCodec, An_update_carries_the_payload_and_no_byte_more) {
  // Goal: bytes beyond the records stay at home. Method: the sample's single value has a larger
  // buffer.
  const std::vector<Sample> all = samples();
  auto decoded = decode_request(encoded(all[1].request));
  ASSERT_TRUE(decoded.has_value());
  const auto& update = std::get<ObjectUpdate>((*decoded)->request.body);
  ASSERT_EQ(update.iods.size(), 3u);
  ASSERT_EQ(update.iods[0].buffer.size(), 1u);
  EXPECT_EQ(as_chars({update.iods[0].buffer[0].data, update.iods[0].buffer[0].bytes}), "hello");
  EXPECT_EQ(as_chars(update.iods[1].akey), "array");
  EXPECT_EQ(update.iods[1].recxs, (model::Recxs{{10, 3}, {1, 1}}));
  EXPECT_EQ(update.iods[2].record_bytes, 0u);
  EXPECT_TRUE(update.iods[2].buffer.empty());
}

TEST(WireCodec, Fetched_pieces_land_in_the_callers_buffers_and_nowhere_else) {
  // Goal: holes and spare room keep their bytes. Method: a server's memory differs from the
  // caller's; only the pieces may cross.
  std::vector<Sample> all = samples();
  Sample& sample = all[3];
  auto server = decode_request(encoded(sample.request));
  ASSERT_TRUE(server.has_value());
  for (model::Iod& iod : std::get<ObjectFetch>((*server)->request.body).iods) {
    for (const IoVec& vec : iod.buffer) std::memset(vec.data, 'S', vec.bytes);
  }
  Reply reply;
  const Bytes answer = encoded((*server)->request, sample.reply);
  ASSERT_TRUE(decode_reply(answer, sample.request, reply).has_value());
  const auto& iods = std::get<ObjectFetch>(sample.request.body).iods;
  EXPECT_EQ(as_chars({iods[0].buffer[0].data, 3}), "SSS");
  EXPECT_EQ(as_chars({iods[0].buffer[1].data, iods[0].buffer[1].bytes}), "SS, and more than that");
  EXPECT_EQ(as_chars({iods[1].buffer[0].data, 8}), "SSbbSSSS");
  const auto& fetched = std::get<model::Fetched>(reply.body);
  EXPECT_EQ(fetched.iods[1].record_bytes, 2u);
  EXPECT_EQ(fetched.iods[1].extents, (model::Recxs{{10, 1}, {12, 1}, {1, 1}}));
}

TEST(WireCodec, Replies_come_back_as_they_went) {
  // Goal: typed answers survive. Method: decode and compare fields of each kind.
  std::vector<Sample> all = samples();
  for (Sample& sample : all) {
    Reply reply;
    const Bytes sent = encoded(sample.request, sample.reply);
    ASSERT_TRUE(decode_reply(sent, sample.request, reply).has_value()) << sample.name;
    EXPECT_EQ(reply.error.code(), Errc::ok);
    expect_same(reply.header, sample.reply.header);
    EXPECT_EQ(hex(encoded(sample.request, reply)), hex(sent)) << sample.name;
  }
  Reply refused;
  refused.header = sample_header();
  refused.error = Error{Errc::no_space, "full"};
  Reply back;
  ASSERT_TRUE(decode_reply(encoded(all[1].request, refused), all[1].request, back).has_value());
  EXPECT_EQ(back.error.code(), Errc::no_space);
}

TEST(WireCodec, Damaged_or_foreign_bytes_are_told_apart) {
  // Goal: each kind of bad message has its own error. Method: one change each.
  const std::vector<Sample> all = samples();
  const Bytes good = encoded(all[1].request);
  const auto code_of = [](Bytes message) {
    auto decoded = decode_request(std::move(message));
    return decoded ? (*decoded)->error.code() : decoded.error().code();
  };
  for (size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_EQ(code_of({good.begin(), good.begin() + static_cast<ptrdiff_t>(cut)}),
              Errc::format_invalid);
  }
  for (size_t at = 4; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= std::byte{0x10};
    EXPECT_NE(code_of(bad), Errc::ok) << at;
  }
  Bytes flipped = good;
  flipped.back() ^= std::byte{1};
  EXPECT_EQ(code_of(flipped), Errc::checksum);
  Bytes newer = good;
  newer[8] = std::byte{2};
  EXPECT_EQ(code_of(newer), Errc::protocol);
  Bytes unknown_flag = good;
  unknown_flag[13] = std::byte{1};
  reseal(unknown_flag);
  EXPECT_EQ(code_of(unknown_flag), Errc::protocol);
  Bytes harmless_flag = good;
  harmless_flag[14] = std::byte{1};
  reseal(harmless_flag);
  EXPECT_EQ(code_of(harmless_flag), Errc::ok);
  Bytes reserved = good;
  reserved[146] = std::byte{1};
  reseal(reserved);
  EXPECT_EQ(code_of(reserved), Errc::protocol);
  Bytes opcode = good;
  opcode[10] = std::byte{99};
  reseal(opcode);
  EXPECT_NE(code_of(opcode), Errc::ok);
  EXPECT_EQ(code_of(encoded(all[1].request, all[1].reply)), Errc::format_invalid);
}

TEST(WireCodec, An_answer_to_another_request_is_refused) {
  // Goal: a stray reply changes nothing. Method: replies of another kind, sequence and session.
  std::vector<Sample> all = samples();
  Reply reply;
  EXPECT_FALSE(decode_reply(encoded(all[6].request, all[6].reply), all[1].request, reply));
  Reply other = all[1].reply;
  other.header.sequence = 43;
  EXPECT_FALSE(decode_reply(encoded(all[1].request, other), all[1].request, reply));
  other = all[1].reply;
  other.header.session = 1;
  EXPECT_FALSE(decode_reply(encoded(all[1].request, other), all[1].request, reply));
}

TEST(WireCodec, Hostile_requests_never_crash_and_never_parse_into_nonsense) {
  // Goal: any bytes give an error or a sound request. Method: random changes behind a right
  // checksum; what still parses must encode again. The sanitizers watch.
  Rng rng{test_seed()};
  const std::vector<Sample> all = samples();
  size_t sound = 0;
  for (int round = 0; round < 40'000; ++round) {
    Bytes message = encoded(all[rng.below(all.size())].request);
    const size_t changes = 1 + rng.below(4);
    for (size_t c = 0; c < changes; ++c) {
      const size_t from = rng.below(3) == 0 ? 8 : sizeof(HeaderFormat);
      const size_t at = from + rng.below(message.size() - from);
      message[at] = rng.below(3) == 0 ? std::byte{0xFF} : static_cast<std::byte>(rng.next());
    }
    if (rng.below(8) == 0) message.resize(rng.below(message.size() + 1));
    if (rng.below(8) == 0) message.resize(message.size() + rng.below(64));
    reseal(message);
    auto decoded = decode_request(message);
    if (!decoded || (*decoded)->error.code() != Errc::ok) continue;
    ++sound;
    Bytes again;
    EXPECT_TRUE(encode_request((*decoded)->request, again).has_value());
  }
  EXPECT_GT(sound, 1'000u);
}

TEST(WireCodec, Hostile_replies_never_write_outside_the_callers_buffers) {
  // Goal: a malicious server cannot reach beyond what was offered. Method: random changes to
  // replies, with guard bytes around each buffer.
  Rng rng{test_seed() + 1};
  for (int round = 0; round < 40'000; ++round) {
    std::vector<Sample> all = samples();
    Sample& sample = all[rng.below(all.size())];
    Bytes message = encoded(sample.request, sample.reply);
    std::vector<Bytes> before = sample.memory;
    Bytes guarded(3 * 16, std::byte{'g'});
    if (auto* const fetch = std::get_if<ObjectFetch>(&sample.request.body)) {
      for (size_t i = 0; i < 2; ++i) fetch->iods[i].buffer = {{guarded.data() + 16, 16}};
    }
    const size_t changes = 1 + rng.below(4);
    for (size_t c = 0; c < changes; ++c) {
      const size_t from = rng.below(4) == 0 ? 8 : sizeof(HeaderFormat);
      const size_t at = from + rng.below(std::max<size_t>(1, message.size() - from));
      if (at < message.size()) message[at] = static_cast<std::byte>(rng.next());
    }
    reseal(message);
    Reply reply;
    const auto done = decode_reply(message, sample.request, reply);
    (void)done;
    for (size_t i = 0; i < 16; ++i) {
      ASSERT_EQ(guarded[i], std::byte{'g'});
      ASSERT_EQ(guarded[32 + i], std::byte{'g'});
    }
    EXPECT_EQ(before, sample.memory);
  }
}

TEST(WireCodec, Counts_that_the_bytes_cannot_hold_reserve_no_memory) {
  // Goal: a small message cannot make an engine reserve much. Method: the largest counts in small
  // bodies.
  std::vector<Sample> all = samples();
  Bytes iods = encoded(all[3].request);
  store_le32(&iods[sizeof(HeaderFormat) + 36], 0xFFFFFFFF);
  reseal(iods);
  auto decoded = decode_request(iods);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ((*decoded)->error.code(), Errc::format_invalid);
  Bytes room = encoded(all[3].request);
  store_le64(&room[sizeof(HeaderFormat) + 40 + 24], kBulkBytesMax + 1);
  reseal(room);
  decoded = decode_request(room);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ((*decoded)->error.code(), Errc::format_invalid);
  Bytes akeys = encoded(all[2].request);
  store_le32(&akeys[sizeof(HeaderFormat) + 32 + 12], 0x10000000);
  reseal(akeys);
  decoded = decode_request(akeys);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ((*decoded)->error.code(), Errc::format_invalid);
}

TEST(WireCodec, A_transaction_shares_its_payload_out_in_order) {
  // Goal: each update finds its own bytes, punches none. Method: the sample; then a bulk that is
  // one byte short or long.
  const std::vector<Sample> all = samples();
  const Bytes sent = encoded(all[8].request);
  auto decoded = decode_request(sent);
  ASSERT_TRUE(decoded.has_value());
  const auto& transact = std::get<ObjectTransact>((*decoded)->request.body);
  ASSERT_EQ(transact.ops.size(), 3u);
  for (const size_t i : {0u, 2u}) {
    const auto& update = std::get<ObjectUpdate>(transact.ops[i]);
    EXPECT_EQ(as_chars({update.iods[0].buffer[0].data, update.iods[0].buffer[0].bytes}), "hello");
    EXPECT_EQ(as_chars({update.iods[1].buffer[0].data, update.iods[1].buffer[0].bytes}),
              "aabbccdd");
  }
  EXPECT_EQ(as_chars(std::get<ObjectPunch>(transact.ops[1]).dkey), "gone");
  ASSERT_EQ(transact.reads.size(), 3u);
  EXPECT_EQ(as_chars(transact.reads[2].akey), "akey");
  for (const int more : {-1, 1}) {
    Bytes bad = sent;
    bad.resize(sent.size() + static_cast<size_t>(more));
    reseal(bad);
    auto refused = decode_request(bad);
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ((*refused)->error.code(), Errc::format_invalid);
  }
}

TEST(WireCodec, A_malformed_transaction_is_refused) {
  // Goal: counts, levels and opcodes are checked before use. Method: one change each in the sample.
  const Bytes good = encoded(samples()[8].request);
  const auto refused = [&good](size_t at, uint32_t value) {
    Bytes bad = good;
    store_le32(&bad[sizeof(HeaderFormat) + at], value);
    reseal(bad);
    auto decoded = decode_request(bad);
    return decoded.has_value() && (*decoded)->error.code() == Errc::format_invalid;
  };
  EXPECT_TRUE(refused(8, 0xFFFFFFFF));          // operations
  EXPECT_TRUE(refused(8, kTransactOpsMax));
  EXPECT_TRUE(refused(12, 0xFFFFFFFF));         // reads
  EXPECT_TRUE(refused(12, kTransactReadsMax));
  EXPECT_TRUE(refused(16, 4));                  // a fetch as an operation
  EXPECT_TRUE(refused(16, 9));                  // a transaction inside
  EXPECT_TRUE(refused(20, 1));                  // reserved
  Bytes no_epoch = good;
  store_le64(&no_epoch[sizeof(HeaderFormat)], 0);
  reseal(no_epoch);
  EXPECT_EQ((*decode_request(no_epoch))->error.code(), Errc::format_invalid);

  const std::vector<Sample> all = samples();
  Request request = all[8].request;
  auto& transact = std::get<ObjectTransact>(request.body);
  transact.ops.resize(kTransactOpsMax + 1, ObjectPunch{});
  Bytes out;
  EXPECT_EQ(encode_request(request, out).error().code(), Errc::record_too_big);
  EXPECT_TRUE(out.empty());
}

TEST(WireCodec, Only_what_a_transaction_changes_or_reads_names_a_target) {
  // Goal: targets come back as they went; elsewhere the header names it. Method: set it in each.
  const std::vector<Sample> all = samples();
  Request request = all[8].request;
  auto& transact = std::get<ObjectTransact>(request.body);
  std::get<ObjectUpdate>(transact.ops[0]).object.target = 7;
  std::get<ObjectPunch>(transact.ops[1]).object.target = 8;
  std::get<ObjectPunch>(transact.ops[1]).object.rank = 63;
  transact.reads[1].object.target = 9;
  const auto decoded = decode_request(encoded(request));
  ASSERT_TRUE(decoded.has_value() && (*decoded)->error.code() == Errc::ok);
  const auto& back = std::get<ObjectTransact>((*decoded)->request.body);
  EXPECT_EQ(std::get<ObjectUpdate>(back.ops[0]).object.target, 7u);
  EXPECT_EQ(std::get<ObjectPunch>(back.ops[1]).object.target, 8u);
  EXPECT_EQ(std::get<ObjectPunch>(back.ops[1]).object.rank, 63u);
  EXPECT_EQ(back.reads[1].object.target, 9u);
  for (const size_t plain : {size_t{1}, size_t{2}, size_t{3}, size_t{4}, size_t{6}}) {
    Bytes bad = encoded(all[plain].request);
    store_le32(&bad[sizeof(HeaderFormat) + offsetof(ObjectPart, target)], 1);
    reseal(bad);
    const auto refused = decode_request(bad);
    ASSERT_TRUE(refused.has_value()) << plain;
    EXPECT_EQ((*refused)->error.code(), Errc::format_invalid) << plain;
  }
}

TEST(WireCodec, What_is_too_large_for_a_message_is_refused_whole) {
  // Goal: a sender learns that it must split, and nothing half is appended. Method: an iod whose
  // buffer claims more than the limit (never touched).
  Sample sample = std::move(samples()[1]);
  auto& update = std::get<ObjectUpdate>(sample.request.body);
  update.iods[0].record_bytes = kBulkBytesMax + 1;
  update.iods[0].buffer = {{update.iods[0].buffer[0].data, kBulkBytesMax + 1}};
  Bytes out = bytes_of_text("before");
  const auto refused = encode_request(sample.request, out);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), Errc::record_too_big);
  EXPECT_EQ(as_chars(out), "before");
}

TEST(WireCodec, A_listing_that_asks_for_too_much_is_cut_to_what_a_reply_can_hold) {
  // Goal: no request makes a reply that cannot be sent. Method: the largest wishes.
  Sample sample = std::move(samples()[4]);
  auto& list = std::get<ObjectList>(sample.request.body);
  list.request.count_max = ~uint32_t{0};
  list.request.bytes_max = ~uint64_t{0};
  auto decoded = decode_request(encoded(sample.request));
  ASSERT_TRUE(decoded.has_value());
  const auto& cut = std::get<ObjectList>((*decoded)->request.body).request;
  EXPECT_EQ(cut.count_max, kListCountMax);
  EXPECT_EQ(cut.bytes_max, kListBytesMax);
}

}  // namespace
}  // namespace cairn::wire
