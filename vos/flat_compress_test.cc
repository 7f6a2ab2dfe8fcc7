// Flattened objects whose buffers are compressed, on simulated disks: they answer as others do, in
// one read, and take less room where that is worth it.
#include <gtest/gtest.h>

#include "vos/key_format.h"
#include "vos/testing/transactions.h"

namespace cairn::vos::testing {
namespace {

class FlatCompress : public ::testing::Test {
 protected:
  void SetUp() override { start(true); }
  void start(bool create) {
    const auto started = rig_.start(create);
    ASSERT_TRUE(started && *started) << started->error().what();
  }
  void restart() {
    ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
    start(false);
  }
  template <class T>
  T run(Task<T> task) {
    auto done = rig_.world.run(std::move(task));
    CHECK(done.has_value());
    return std::move(*done);
  }
  Shard& shard() { return *rig_.shard; }
  static ObjectPath path(uint64_t n) { return {1, {n, 0x0001'0001'0000'0000}, 0}; }
  static std::string text(uint64_t n, size_t size = 4'000) {
    std::string out;
    for (uint64_t i = n; out.size() < size; ++i)
      out += "line " + std::to_string(i * i) + " of it\n";
    out.resize(size);
    return out;
  }
  std::string noise(size_t size = 4'000) {
    std::string out(size, 0);
    for (char& c : out) c = static_cast<char>(random_.below(256));
    return out;
  }
  void put(uint64_t n, std::string value) {
    wanted_[n] = value;
    ASSERT_TRUE(run(put_single(shard(), path(n), "d", "a", std::move(value))));
  }
  void flatten_all(FlattenOptions options = {.compress = true}) {
    std::vector<ObjectPath> paths;
    for (const auto& [n, value] : wanted_) paths.push_back(path(n));
    const auto done = run(shard().flatten(paths, options));
    ASSERT_TRUE(done) << done.error().what();
    for (const Flattened& f : *done) ASSERT_EQ(f.outcome, FlattenOutcome::flattened);
  }
  void expect_wanted() {
    for (const auto& [n, value] : wanted_) {
      const auto got = run(read_single(shard(), path(n), "d", "a"));
      ASSERT_TRUE(got) << got.error().what();
      ASSERT_EQ(*got, value) << n;
    }
    ASSERT_NO_FATAL_FAILURE(rig_.expect_clean());
  }
  FlatUsage usage() { return *run(shard().flat_usage(1)); }
  uint64_t data_reads() { return rig_.data.requests(sim::SimDisk::Op::read); }

  Rig rig_{test_seed(), {}, {.wal = 8u << 20, .data = 32u << 20}};
  std::map<uint64_t, std::string> wanted_;
  SeededRandom random_{test_seed()};
};

TEST_F(FlatCompress, Text_takes_less_room_and_a_cold_read_is_one_request_all_the_same) {
  for (uint64_t n = 1; n <= 60; ++n) ASSERT_NO_FATAL_FAILURE(put(n, text(n)));
  ASSERT_NO_FATAL_FAILURE(flatten_all());
  EXPECT_EQ(usage().objects, 60u);
  EXPECT_LT(2 * usage().buffer_bytes, 60u * 4'000u);
  EXPECT_LT(2 * usage().extent_bytes, 60u * 4'096u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
  ASSERT_NO_FATAL_FAILURE(restart());
  for (const auto& [n, value] : wanted_) ASSERT_TRUE(*run(shard().is_flat(path(n))));
  for (const auto& [n, value] : wanted_) {
    const uint64_t reads = data_reads();
    ASSERT_EQ(*run(read_single(shard(), path(n), "d", "a")), value);
    ASSERT_EQ(data_reads() - reads, 1u) << "cold";
    ASSERT_EQ(*run(read_single(shard(), path(n), "d", "a")), value);
    ASSERT_EQ(data_reads() - reads, 1u) << "warm: what is stored has another checksum";
  }
}

TEST_F(FlatCompress, An_extent_that_would_save_little_stays_as_it_is) {
  // Goal: decided for the extent. Method: noise; noise with some text, where all save less than an
  // eighth; text with some noise, which alone stays as it is.
  for (uint64_t n = 1; n <= 40; ++n) ASSERT_NO_FATAL_FAILURE(put(n, noise()));
  ASSERT_NO_FATAL_FAILURE(flatten_all());
  const uint64_t raw = usage().buffer_bytes;
  EXPECT_GE(raw, 40u * 4'000u);
  for (uint64_t n = 1; n <= 40; ++n) {
    ASSERT_NO_FATAL_FAILURE(put(n, n % 20 == 0 ? text(n) : noise()));
  }
  ASSERT_NO_FATAL_FAILURE(flatten_all());
  EXPECT_EQ(usage().buffer_bytes, raw);
  for (uint64_t n = 1; n <= 40; ++n) {
    ASSERT_NO_FATAL_FAILURE(put(n, n % 10 == 0 ? noise() : text(n)));
  }
  ASSERT_NO_FATAL_FAILURE(flatten_all());
  EXPECT_LT(2 * usage().buffer_bytes, raw);
  EXPECT_GE(usage().buffer_bytes, 4u * 4'000u);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

TEST_F(FlatCompress, Cleaning_copies_what_is_stored_and_a_change_takes_it_out) {
  for (uint64_t n = 1; n <= 60; ++n) ASSERT_NO_FATAL_FAILURE(put(n, text(n)));
  ASSERT_NO_FATAL_FAILURE(flatten_all());
  const uint64_t before = usage().buffer_bytes;
  for (uint64_t n = 1; n <= 60; ++n) {
    if (n % 5 == 0) continue;
    ASSERT_NO_FATAL_FAILURE(put(n, "short"));
  }
  EXPECT_EQ(usage().objects, 12u);
  const uint64_t left = usage().buffer_bytes;
  EXPECT_LT(left, before / 4);
  ASSERT_TRUE(run(shard().clean_flat(1)));
  EXPECT_EQ(usage().objects, 12u);
  EXPECT_EQ(usage().buffer_bytes, left);
  EXPECT_LE(usage().extent_bytes, round_up(left, media::kBlockBytes));
  for (int i = 0; i < 2; ++i) {
    ASSERT_NO_FATAL_FAILURE(expect_wanted());
    ASSERT_NO_FATAL_FAILURE(restart());
  }
}

TEST_F(FlatCompress, A_damaged_buffer_is_told_by_its_object_and_takes_no_other_along) {
  // Method: three in one extent; every twentieth bit of it flipped in turn: each object gives its
  // bytes or an error, the check tells of the one that was hit, cleaning leaves it.
  for (uint64_t n = 1; n <= 3; ++n) ASSERT_NO_FATAL_FAILURE(put(n, text(n)));
  ASSERT_NO_FATAL_FAILURE(flatten_all());
  ASSERT_LT(usage().buffer_bytes, 6'000u);
  ASSERT_NO_FATAL_FAILURE(rig_.close_cleanly());
  const Bytes medium = rig_.data.peek(0, 1u << 20);
  const auto magic = as_bytes("CFLT");
  const auto at = std::search(medium.begin(), medium.end(), magic.begin(), magic.end());
  ASSERT_NE(at, medium.end());
  const auto begin = static_cast<uint64_t>(at - medium.begin());
  ASSERT_EQ(begin % media::kBlockBytes, 0u);
  size_t told = 0;
  for (uint64_t byte = 0; byte < 4'000; byte += 131) {
    SCOPED_TRACE(byte);
    rig_.data.flip_bit(begin + byte, byte % 8);
    start(false);
    size_t refused = 0;
    for (const auto& [n, value] : wanted_) {
      const auto got = run(read_single(shard(), path(n), "d", "a"));
      if (got) EXPECT_EQ(*got, value);
      if (!got) EXPECT_EQ(got.error().code(), Errc::checksum);
      refused += got ? 0 : 1;
    }
    EXPECT_LE(refused, 1u);
    const auto report = run(shard().check(true));
    ASSERT_TRUE(report);
    EXPECT_EQ(report->losses.size(), refused);
    told += refused;
    ASSERT_TRUE(run(shard().clean_flat(1)));
    EXPECT_EQ(usage().objects, 3u);
    rig_.next_era();
    rig_.data.flip_bit(begin + byte, byte % 8);
  }
  EXPECT_GT(told, 10u);
  start(false);
  ASSERT_NO_FATAL_FAILURE(expect_wanted());
}

}  // namespace
}  // namespace cairn::vos::testing
