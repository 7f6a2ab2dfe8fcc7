// Paths and words as ddb reads them, and the device that keeps writes to itself. The commands are
// tested as programs (tests/tools/ddb.py).
#include "cmd/ddb/ddb.h"

#include <gtest/gtest.h>

#include "runtime/random.h"
#include "vos/key_text.h"

namespace cairn::ddb {
namespace {

using Words = std::vector<std::string>;

TEST(DdbPath, Is_cut_at_slashes_that_are_neither_escaped_nor_in_braces) {
  EXPECT_EQ(split_path("/"), Words{});
  EXPECT_EQ(split_path(""), Words{});
  EXPECT_EQ(split_path("/1/2.3/a\\/b//c/"), (Words{"1", "2.3", "a\\/b", "c"}));
  EXPECT_EQ(split_path("[0]/{bin:0x2f}/{0-9}"), (Words{"[0]", "{bin:0x2f}", "{0-9}"}));
  EXPECT_EQ(split_path("/a/{b/c}"), (Words{"a", "{b/c}"}));
  EXPECT_EQ(split_path("/a/{b"), std::nullopt);
  EXPECT_EQ(split_path("/a\\"), std::nullopt);
}

TEST(DdbPath, A_key_is_read_back_as_it_is_printed) {
  // Goal: what `ls` prints can be typed. Method: random keys of every byte, each kind.
  SeededRandom random(4);
  for (int i = 0; i < 2000; ++i) {
    Bytes key(1 + random.below(12));
    for (std::byte& b : key) {
      b = static_cast<std::byte>(random.below(3) == 0 ? random.below(256) : 32 + random.below(95));
    }
    for (const model::KeyKind kind : {model::KeyKind::hashed, model::KeyKind::lexical}) {
      const std::string text = vos::level_text(kind, key);
      bool hashed = true;
      EXPECT_EQ(parse_level(kind, text, &hashed), key) << text;
      EXPECT_FALSE(hashed);
      EXPECT_EQ(split_path("/1/" + text + "/x"), (Words{"1", text, "x"})) << text;
    }
    Bytes integer(8);
    store_le64(integer.data(), random.next());
    bool hashed = true;
    const std::string text = vos::level_text(model::KeyKind::integer, integer);
    EXPECT_EQ(parse_level(model::KeyKind::integer, text, &hashed), integer) << text;
  }
}

TEST(DdbPath, A_malformed_level_is_nothing) {
  bool hashed = false;
  for (const char* text : {"", "{bin:0x0}", "{bin:12}", "{bin:0xzz}", "{nope:1}", "a{b", "a\\"}) {
    EXPECT_EQ(parse_level(model::KeyKind::hashed, text, &hashed), std::nullopt) << text;
  }
  for (const char* text : {"", "x", "-1", "18446744073709551616", "{uint64:}", "1 "}) {
    EXPECT_EQ(parse_level(model::KeyKind::integer, text, &hashed), std::nullopt) << text;
  }
  for (const char* text : {"", "{}", "{1}", "{2-1}", "{a-b}", "1-2", "{0-9223372036854775808}"}) {
    EXPECT_EQ(parse_extent_level(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_extent_level("{3-3}"), (model::Recx{3, 1}));
  EXPECT_EQ(parse_extent_level("{0-99}"), (model::Recx{0, 100}));
}

TEST(DdbWords, Quotes_hold_blanks_and_backslashes_stay) {
  EXPECT_EQ(split_words(""), Words{});
  EXPECT_EQ(split_words("  # all of it"), Words{});
  EXPECT_EQ(split_words("ls -d /1 # a path"), (Words{"ls", "-d", "/1"}));
  EXPECT_EQ(split_words("rm '/1/a b' \"c'd\" e\\ f g#h"),
            (Words{"rm", "/1/a b", "c'd", "e\\ f", "g#h"}));
  EXPECT_EQ(split_words("rm '' x"), (Words{"rm", "", "x"}));
  EXPECT_EQ(split_words("rm 'x"), std::nullopt);
}

/// Memory; every write is a failure of the test.
class FrozenDevice final : public media::Device {
 public:
  explicit FrozenDevice(uint64_t bytes) : bytes_(bytes) {
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<std::byte>(i * 7 / 3);
  }
  uint64_t size_bytes() const override { return bytes_.size(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), into.size(), into.begin());
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t, ByteView) override {
    ADD_FAILURE() << "a write";
    co_return Result<void>{};
  }
  Task<Result<void>> write_durable(uint64_t o, ByteView f) override { return write(o, f); }
  Task<Result<void>> flush() override {
    ADD_FAILURE() << "a flush";
    co_return Result<void>{};
  }
  Task<void> discard(uint64_t, uint64_t) override {
    ADD_FAILURE() << "a discard";
    co_return;
  }

 private:
  Bytes bytes_;
};

TEST(DdbOverlay, Keeps_writes_to_itself_and_reads_them_back) {
  // Goal: read-only means that nothing reaches the file. Method: random writes and reads against a
  // copy, over a device that takes no write.
  SeededRandom random(9);
  Reactor reactor(system_clock(), random, nullptr);
  Context context(reactor);
  constexpr uint64_t kBlocks = 64;
  FrozenDevice below(kBlocks * media::kBlockBytes);
  OverlayDevice overlay(below);
  Bytes model(below.size_bytes());
  ASSERT_TRUE(context.run(below.read(0, model)));
  for (int i = 0; i < 300; ++i) {
    const uint64_t first = random.below(kBlocks);
    const uint64_t count = 1 + random.below(std::min<uint64_t>(8, kBlocks - first));
    Bytes bytes(count * media::kBlockBytes, static_cast<std::byte>(i));
    const auto at = static_cast<ptrdiff_t>(first * media::kBlockBytes);
    if (random.below(2) == 0) {
      ASSERT_TRUE(context.run(overlay.write_durable(first * media::kBlockBytes, bytes)));
      std::copy(bytes.begin(), bytes.end(), model.begin() + at);
    }
    ASSERT_TRUE(context.run(overlay.read(first * media::kBlockBytes, bytes)));
    ASSERT_TRUE(std::equal(bytes.begin(), bytes.end(), model.begin() + at));
  }
  ASSERT_TRUE(context.run(overlay.flush()));
  context.run(overlay.discard(0, media::kBlockBytes));
  EXPECT_FALSE(context.run(overlay.write(below.size_bytes(), Bytes(media::kBlockBytes))));
}

TEST(DdbRecord, Bytes_that_mean_nothing_are_told_as_damaged) {
  SeededRandom random(11);
  for (int i = 0; i < 3000; ++i) {
    Bytes key(1 + random.below(60)), value(random.below(80));
    for (std::byte& b : key) b = static_cast<std::byte>(random.below(6));
    for (std::byte& b : value) b = static_cast<std::byte>(random.below(256));
    const tool::Json json = record_json(key, value);
    EXPECT_TRUE(record_line(json).find(json["key"].get<std::string>()) == 0);
    if (value.size() < 8) EXPECT_TRUE(json.contains("damaged"));
  }
}

}  // namespace
}  // namespace cairn::ddb
