// The compressed form of a flattened object's buffer: golden, restored exactly, and distrusted.
#include "vos/flat_codec.h"

#include <gtest/gtest.h>

#include <random>

#include "base/crc32c.h"

namespace cairn::vos {
namespace {

constexpr ObjectPath kObject{9, {0x1122, 0x0001'0001'0000'0003}, 2};

Bytes buffer_of(Bytes payload) {
  FlatContent content{kObject, {}};
  FlatContent::Dkey dkey{component_of(model::KeyKind::hashed, as_bytes("d")), {}, {}};
  dkey.akeys.push_back(
      {component_of(model::KeyKind::hashed, as_bytes("a")), {}, model::ValueType::array, 1, {}});
  dkey.akeys.back().values.push_back({0, payload.size(), false, std::move(payload)});
  content.dkeys.push_back(std::move(dkey));
  return encode_flat(std::move(content));
}

Bytes text_like(size_t size, uint64_t seed) {
  static constexpr std::string_view kWords[] = {"object ", "store ", "of ", "many ", "words\n"};
  std::mt19937_64 random(seed);
  Bytes out;
  while (out.size() < size) {
    const ByteView word = as_bytes(kWords[random() % 5]);
    out.insert(out.end(), word.begin(), word.end());
  }
  out.resize(size);
  return out;
}

void fix_checksum(Bytes& bytes) {
  store_le32(bytes.data() + offsetof(FlatHeader, checksum), 0);
  store_le32(bytes.data() + offsetof(FlatHeader, checksum), crc32c(bytes));
}

/// The stored form with another frame, or another original length; all checksums right.
Bytes stored_with(const Bytes& buffer, ByteView frame, std::optional<uint32_t> original = {}) {
  Bytes stored(sizeof(FlatPackedHeader));
  stored.insert(stored.end(), frame.begin(), frame.end());
  finish_packed_flat(stored, buffer);
  if (original) {
    store_le32(stored.data() + offsetof(FlatPackedHeader, original), *original);
    fix_checksum(stored);
  }
  return stored;
}

ByteView frame_of(const Bytes& stored) {
  return ByteView(stored).subspan(sizeof(FlatPackedHeader));
}

TEST(FlatCodec, A_buffer_comes_back_as_it_was) {
  FlatCodec codec;
  for (const size_t size : {200u, 4'096u, 60'000u, 1'000'000u}) {
    const Bytes buffer = buffer_of(text_like(size, size));
    const Bytes stored = codec.compress(buffer);
    ASSERT_FALSE(stored.empty()) << size;
    EXPECT_LT(stored.size(), buffer.size());
    const auto identity = check_stored_flat(stored);
    ASSERT_TRUE(identity) << identity.error().what();
    EXPECT_TRUE(identity->compressed);
    EXPECT_EQ(identity->length, stored.size());
    EXPECT_EQ(identity->object.oid, kObject.oid);
    EXPECT_FALSE(FlatBuffer::parse(stored)) << "it must be restored first";
    const auto again = codec.restore(stored);
    ASSERT_TRUE(again) << again.error().what();
    EXPECT_EQ(*again, buffer);
    EXPECT_TRUE(FlatBuffer::parse(*again));
  }
}

TEST(FlatCodec, What_does_not_shrink_stays_as_it_is) {
  std::mt19937_64 random(3);
  Bytes noise(5'000);
  for (std::byte& b : noise) b = static_cast<std::byte>(random());
  FlatCodec codec;
  const Bytes buffer = buffer_of(noise);
  EXPECT_TRUE(codec.compress(buffer).empty());
  EXPECT_EQ(*codec.restore(buffer), buffer);
}

TEST(FlatCodec, A_stored_form_of_today_can_be_read_tomorrow) {
  // Goal: golden bytes. Method: a frame by hand, of one block that is not compressed, so that the
  // version of zstd does not show: magic, one segment with a content size of one byte, a last
  // block.
  const Bytes buffer = buffer_of(Bytes(20, std::byte{7}));
  const ByteView rest = ByteView(buffer).subspan(sizeof(FlatHeader));
  ASSERT_LT(rest.size(), 200u);
  Bytes frame;
  const auto size = static_cast<uint8_t>(rest.size());
  for (const int b :
       {0x28, 0xB5, 0x2F, 0xFD, 0x20, int{size}, (size << 3 & 0xFF) | 1, size >> 5, 0}) {
    frame.push_back(static_cast<std::byte>(b));
  }
  frame.insert(frame.end(), rest.begin(), rest.end());
  const Bytes stored = stored_with(buffer, frame);
  EXPECT_EQ(stored[5], std::byte{1});
  EXPECT_EQ(load_le32(stored.data() + 12), stored.size());
  EXPECT_EQ(load_le32(stored.data() + 60), buffer.size());
  EXPECT_EQ(load_le32(stored.data() + 64), load_le32(buffer.data() + 8));
  const auto again = FlatCodec().restore(stored);
  ASSERT_TRUE(again) << again.error().what();
  EXPECT_EQ(*again, buffer);
}

TEST(FlatCodec, No_bit_of_a_stored_form_can_change_unseen) {
  // Goal: hostile bytes. Method: each bit flipped, as it is and with the checksum set right: what
  // is restored is the buffer, or no sound one.
  FlatCodec codec;
  const Bytes buffer = buffer_of(text_like(600, 5));
  const Bytes good = codec.compress(buffer);
  ASSERT_FALSE(good.empty());
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    Bytes bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const auto plain = codec.restore(bad);
    EXPECT_FALSE(plain && FlatBuffer::parse(*plain)) << bit;
    fix_checksum(bad);
    const auto fixed = codec.restore(bad);
    if (!fixed || !FlatBuffer::parse(*fixed)) continue;
    EXPECT_EQ(*fixed, buffer) << bit;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    if (size >= sizeof(FlatHeader)) {
      store_le32(cut.data() + offsetof(FlatHeader, length), static_cast<uint32_t>(size));
      fix_checksum(cut);
    }
    EXPECT_FALSE(codec.restore(cut)) << size;
  }
}

TEST(FlatCodec, A_frame_that_holds_something_else_than_the_header_says_is_refused) {
  // Goal: memory has a bound whatever the bytes say. Method: a frame of 1 MiB behind a header that
  // says less, lengths beyond the limit, two frames, a frame that may be skipped.
  FlatCodec codec;
  const Bytes buffer = buffer_of(text_like(600, 5));
  const Bytes good = codec.compress(buffer);
  const Bytes other = codec.compress(buffer_of(Bytes(1'000'000)));
  ASSERT_FALSE(good.empty() || other.empty());
  ASSERT_TRUE(codec.restore(stored_with(buffer, frame_of(good))));
  EXPECT_FALSE(codec.restore(stored_with(buffer, frame_of(other))));
  for (const uint32_t original : {0u, 59u, 60u, 61u, uint32_t{kFlatObjectBytesMax},
                                  uint32_t{kFlatObjectBytesMax} + 1, 0xFFFF'FFFFu}) {
    EXPECT_FALSE(codec.restore(stored_with(buffer, frame_of(good), original))) << original;
  }
  Bytes two(frame_of(good).begin(), frame_of(good).end());
  two.insert(two.end(), frame_of(good).begin(), frame_of(good).end());
  EXPECT_FALSE(codec.restore(stored_with(buffer, two)));
  Bytes skipped{std::byte{0x50}, std::byte{0x2A}, std::byte{0x4D}, std::byte{0x18},
                std::byte{0},    std::byte{0},    std::byte{0},    std::byte{0}};
  EXPECT_FALSE(codec.restore(stored_with(buffer, skipped)));
  EXPECT_FALSE(codec.restore(stored_with(buffer, {})));
}

}  // namespace
}  // namespace cairn::vos
