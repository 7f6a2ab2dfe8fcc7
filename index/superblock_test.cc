#include <cstring>

#include <gtest/gtest.h>

#include "base/hash.h"
#include "index/superblock_format.h"

namespace cairn::index {
namespace {

/// Of format 1.
Superblock example() {
  Superblock s;
  s.version = kVersionWithoutDirectories;
  s.generation = 7;
  s.incarnation = 3;
  s.store_id[0] = 0x0102030405060708;
  s.store_id[1] = 0x1112131415161718;
  s.owner_tag[0] = 0xAA;
  s.owner_tag[1] = 0xBB;
  s.meta_pages = 1024;
  s.data_blocks = 200'000;
  s.wal_bytes = 1 << 20;
  s.root = PageRef::make(99, 6);
  s.log_position = 0x5000;
  s.log_predecessor = 0xDEADBEEF;
  s.epoch_highest = 1000;
  s.read_lease = 2000;
  s.page_chunks = {PageRef::make(10, 6)};
  s.data_chunks = {PageRef::make(11, 5), PageRef{}};
  return s;
}

Bytes slot_of(const Bytes& superblock) {
  Bytes slot(kSuperblockBytesMax);
  std::copy(superblock.begin(), superblock.end(), slot.begin());
  return slot;
}

void reseal(Bytes& slot) {
  store_le64(slot.data() + offsetof(SuperblockHeader, checksum), 0);
  const ByteView bytes(slot.data(), kSuperblockUnit);
  store_le64(slot.data() + offsetof(SuperblockHeader, checksum), xxh3_64(bytes));
}

TEST(Superblock, Its_bytes_stay_as_they_are) {
  // Goal: format 1 never changes. Method: compare with bytes that were written down once.
  const Bytes bytes = encode_superblock(example());
  ASSERT_EQ(bytes.size(), 4096u);
  const uint64_t words[] = {
      0x7075536E72696143, 0x0000100000000001, 0,  // the checksum, below
      0x0000000300000007, 0x0102030405060708, 0x1112131415161718,
      0xAA,               0xBB,               0x00003FC000004000,
      1024,               200'000,            1 << 20,
      0x0006000000000063, 0x5000,             0x00000000DEADBEEF,
      1000,               2000,               0x0000000200000001,
      0x000600000000000A, 0x000500000000000B, 0,
  };
  for (size_t i = 0; i < std::size(words); ++i) {
    if (i == 2) continue;
    EXPECT_EQ(load_le64(bytes.data() + i * 8), words[i]) << "offset " << i * 8;
  }
  EXPECT_EQ(load_le64(bytes.data() + 16), 0x81ced9164560488e);
}

Superblock example_2() {
  Superblock s = example();
  s.version = kSuperblockVersion;
  s.data_blocks = 2 * 1'020 * 130'560 + 1;
  s.data_chunks.clear();
  s.data_directories = {PageRef::make(12, 6), PageRef::make(14, 6), PageRef{}, PageRef{},
                        PageRef::make(13, 6), PageRef::make(15, 6)};
  return s;
}

TEST(Superblock, Its_bytes_in_format_2_stay_as_they_are) {
  // Goal: format 2 never changes. Method: compare with bytes that were written down once.
  const Bytes bytes = encode_superblock(example_2());
  ASSERT_EQ(bytes.size(), 4096u);
  EXPECT_EQ(load_le64(bytes.data() + 8), 0x0000100000000002u);
  const uint64_t words[] = {0x0000000600000001,
                            0x000600000000000A,
                            0x000600000000000C,
                            0x000600000000000E,
                            0,
                            0,
                            0x000600000000000D,
                            0x000600000000000F,
                            0};
  for (size_t i = 0; i < std::size(words); ++i) {
    EXPECT_EQ(load_le64(bytes.data() + 136 + i * 8), words[i]) << "offset " << 136 + i * 8;
  }
  EXPECT_EQ(load_le64(bytes.data() + 16), 0x398bb24098c9acabu);
  const auto parsed = parse_superblock(slot_of(bytes));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().what();
  EXPECT_EQ(encode_superblock(*parsed), bytes);
}

TEST(Superblock, What_is_written_is_read) {
  // Goal: parse is the inverse of encode. Method: encode again what was parsed.
  const Bytes bytes = encode_superblock(example());
  const auto parsed = parse_superblock(slot_of(bytes));
  ASSERT_TRUE(parsed.has_value()) << parsed.error().what();
  EXPECT_EQ(encode_superblock(*parsed), bytes);
}

TEST(Superblock, Any_flipped_bit_is_found) {
  // Goal: no damaged superblock is believed. Method: flip each bit of the used bytes in turn.
  const Bytes slot = slot_of(encode_superblock(example()));
  for (size_t bit = 0; bit < 400 * 8; ++bit) {
    Bytes damaged = slot;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(parse_superblock(damaged).has_value()) << bit;
  }
}

TEST(Superblock, Hostile_fields_under_a_right_checksum_are_refused) {
  // Goal: lengths are not trusted. Method: set fields to extremes and seal again.
  struct Case {
    size_t offset;
    uint32_t value;
    Errc code;
  };
  const Case cases[] = {
      {offsetof(SuperblockHeader, version), 3, Errc::format_newer},
      {offsetof(SuperblockHeader, version), 0, Errc::format_invalid},
      {offsetof(SuperblockHeader, page_bytes), 4096, Errc::format_invalid},
      {offsetof(SuperblockHeader, chunk_bytes), 8, Errc::format_invalid},
      {offsetof(SuperblockHeader, reserved), 1, Errc::format_invalid},
      {offsetof(SuperblockHeader, page_chunk_count), 0xFFFFFFFF, Errc::format_invalid},
      {offsetof(SuperblockHeader, data_ref_count), 0xFFFFFFFF, Errc::format_invalid},
      {offsetof(SuperblockHeader, data_ref_count), 1, Errc::format_invalid},
      {offsetof(SuperblockHeader, meta_pages), 3, Errc::format_invalid},
      {2000, 1, Errc::format_invalid},
  };
  for (const Case& c : cases) {
    Bytes slot = slot_of(encode_superblock(example()));
    store_le32(slot.data() + c.offset, c.value);
    reseal(slot);
    const auto parsed = parse_superblock(slot);
    ASSERT_FALSE(parsed.has_value()) << c.offset;
    EXPECT_EQ(parsed.error().code(), c.code) << c.offset << " " << parsed.error().what();
  }
}

TEST(Superblock, A_blank_slot_is_told_from_a_damaged_one) {
  // Goal: a new blob is not a damaged store. Method: zeros, foreign bytes, an absurd length.
  Bytes slot(kSuperblockBytesMax);
  EXPECT_EQ(parse_superblock(slot).error().code(), Errc::nonexistent);
  slot[9] = std::byte{1};
  EXPECT_EQ(parse_superblock(slot).error().code(), Errc::format_invalid);
  slot = slot_of(encode_superblock(example()));
  store_le32(slot.data() + offsetof(SuperblockHeader, bytes), 0x80000000);
  EXPECT_EQ(parse_superblock(slot).error().code(), Errc::checksum);
}

TEST(Superblock, A_directory_is_read_as_it_was_written_and_hostile_entries_are_refused) {
  // Goal: the bytes of a directory stay; counts and references are not trusted. Method: a directory
  // of two chunks, the second of 69,440 blocks; then one field at a time.
  constexpr uint64_t kBlocks = 200'000;
  Bytes entries(kChunkBytes);
  encode_directory({{PageRef::make(10, 4), 70, 100, false}, {{}, 9, 0, true}}, entries);
  EXPECT_EQ(load_le64(entries.data()), 0x000400000000000Au);
  EXPECT_EQ(load_le64(entries.data() + 8), 0x0000006400000046u);
  EXPECT_EQ(load_le64(entries.data() + 24), 0xFFFFFFFF00000009u);
  const auto read = parse_directory(entries, 0, kBlocks);
  ASSERT_TRUE(read.has_value());
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].run_max, 100u);
  EXPECT_TRUE((*read)[1].lost);
  struct Case {
    size_t offset;
    uint32_t value;
  };
  const Case cases[] = {{8, 130'561}, {12, 130'561},    {24, 69'441},
                        {28, 5},      {32, 1},          {40, 1},
                        {44, 1},      {44, kChunkLost}, {kChunkBytes - 4, 1}};
  for (const Case& c : cases) {
    Bytes hostile = entries;
    store_le32(hostile.data() + c.offset, c.value);
    EXPECT_FALSE(parse_directory(hostile, 0, kBlocks).has_value()) << c.offset << " " << c.value;
  }
}

TEST(Superblock, A_bitmap_page_is_the_one_that_is_asked_for) {
  // Goal: misdirected bitmap pages are found. Method: open one with each wrong name.
  alignas(8) std::byte bytes[kPageBytes] = {};
  bytes[sizeof(BitmapHeader) + 3] = std::byte{0x81};
  const PageRef ref = PageRef::make(77, 5);
  seal_bitmap(bytes, PageKind::page_bitmap, ref, 5, 2);
  const auto bits = open_bitmap(bytes, PageKind::page_bitmap, ref, 2);
  ASSERT_TRUE(bits.has_value());
  EXPECT_EQ(bits->size(), kChunkBytes);
  EXPECT_EQ((*bits)[3], std::byte{0x81});
  EXPECT_FALSE(open_bitmap(bytes, PageKind::block_bitmap, ref, 2).has_value());
  EXPECT_FALSE(open_bitmap(bytes, PageKind::page_bitmap, ref, 1).has_value());
  EXPECT_FALSE(open_bitmap(bytes, PageKind::page_bitmap, PageRef::make(78, 5), 2).has_value());
  EXPECT_FALSE(open_bitmap(bytes, PageKind::page_bitmap, PageRef::make(77, 6), 2).has_value());
}

}  // namespace
}  // namespace cairn::index
