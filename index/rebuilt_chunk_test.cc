#include <gtest/gtest.h>

#include "index/rebuilt_chunk.h"
#include "index/superblock_format.h"

namespace cairn::index {
namespace {

TEST(RebuiltChunk, What_records_own_counts_where_no_commit_said_anything) {
  RebuiltChunk chunk(3);
  chunk.note(10, 100);
  chunk.note(50, 70);
  chunk.note(kChunkBits - 1, kChunkBits);
  EXPECT_EQ(chunk.number(), 3u);
  EXPECT_EQ(chunk.count_owned(0, kChunkBits), 91u);
  EXPECT_EQ(chunk.count_owned(0, 11), 1u);
}

TEST(RebuiltChunk, The_last_commit_counts_whenever_a_record_was_met) {
  // Goal: a record that was met before it went, or is met from an older state, changes nothing.
  RebuiltChunk chunk(0);
  chunk.note(0, 100);
  chunk.change(20, 40, false);   // freed, its record was met before
  chunk.note(0, 100);            // met once more
  chunk.change(200, 300, true);  // published; its record is never met
  chunk.change(250, 260, false);
  chunk.change(30, 35, true);  // and published again
  EXPECT_EQ(chunk.count_owned(0, 100), 85u);
  EXPECT_EQ(chunk.count_owned(30, 35), 5u);
  EXPECT_EQ(chunk.count_owned(100, 400), 90u);
}

TEST(RebuiltChunk, Its_bits_are_those_of_a_bitmap_page) {
  RebuiltChunk chunk(0);
  chunk.note(3, 5);
  chunk.note(64, 65);
  Bytes bits(kChunkBytes);
  chunk.save(bits.data());
  EXPECT_EQ(load_le64(bits.data()), 0x18u);
  EXPECT_EQ(load_le64(bits.data() + 8), 1u);
}

}  // namespace
}  // namespace cairn::index
