#include "vos/value_format.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <string>
#include <thread>

#include "runtime/random.h"

namespace cairn::vos {
namespace {

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += kDigits[static_cast<uint8_t>(b) >> 4];
    out += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return out;
}

const std::string kEpoch = "8877665544332211";
constexpr model::Epoch kE = 0x1122334455667788;

BlockData three_blocks() { return {{{300, 2}, {7, 1}}, 5, {0x01020304, 0x05060708, 0x090a0b0c}}; }

TEST(ValueFormat, Values_have_the_documented_bytes) {
  // Goal: a change of the value format is seen. Method: golden bytes of each form.
  Bytes out;
  put_touched(out, kE);
  EXPECT_EQ(hex(out), kEpoch + "00");
  put_snapshot(out, kE, SnapshotState::dying);
  EXPECT_EQ(hex(out), kEpoch +
                          "00"
                          "01");
  EXPECT_EQ(*parse_snapshot(out), SnapshotState::dying);
  out.back() = std::byte{3};
  EXPECT_FALSE(parse_snapshot(out));
  EXPECT_FALSE(parse_snapshot(ByteView(out).first(9)));
  put_present(out, kE, model::ValueType::array, 300);
  EXPECT_EQ(hex(out), kEpoch +
                          "00"
                          "02"
                          "ac02");
  put_inlined(out, kE, as_bytes("abc"));
  EXPECT_EQ(hex(out), kEpoch +
                          "01"
                          "616263");
  put_extent_inlined(out, kE, {3, 1, true}, as_bytes("abc"));
  EXPECT_EQ(hex(out), kEpoch +
                          "21"
                          "03"
                          "01"
                          "616263");
  put_data(out, kE, 12'000, three_blocks());
  EXPECT_EQ(hex(out), kEpoch +
                          "03"
                          "e05d"
                          "01"
                          "05"
                          "02"
                          "ac0202"
                          "0701"
                          "040302010807060"
                          "50c0b0a09");
  put_extent_data(out, kE, {12'000, 1, false}, three_blocks());
  EXPECT_EQ(hex(out), kEpoch +
                          "03"
                          "e05d"
                          "01"
                          "01"
                          "05"
                          "02"
                          "ac0202"
                          "0701"
                          "040302010807060"
                          "50c0b0a09");
}

TEST(ValueFormat, The_number_of_markers_is_an_epoch_and_a_varint) {
  Bytes value;
  put_marker_count(value, 0x1122, 300);
  EXPECT_EQ(hex(value), "2211000000000000" "ac02");
  EXPECT_EQ(*parse_marker_count(value), 300u);
  value.push_back(std::byte{0});
  EXPECT_EQ(parse_marker_count(value).error().code(), Errc::checksum);
  value.resize(8);
  EXPECT_FALSE(parse_marker_count(value));
  value.push_back(std::byte{0});
  EXPECT_FALSE(parse_marker_count(value)) << "none is told by the record's absence";
}

/// Memory that is also mapped elsewhere.
struct SharedPage {
  SharedPage() {
    void* const at =
        mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(at, MAP_FAILED);
    here = static_cast<std::byte*>(at);
    void* const again = mremap(at, 0, kBytes, MREMAP_MAYMOVE);
    EXPECT_NE(again, MAP_FAILED);
    there = static_cast<std::byte*>(again);
  }
  ~SharedPage() {
    munmap(here, kBytes);
    munmap(there, kBytes);
  }
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;

  static constexpr size_t kBytes = 4096;
  std::byte* here = nullptr;
  std::byte* there = nullptr;
};

TEST(ValueFormat, A_payload_that_changes_while_it_is_read_gives_a_record_that_can_be_read) {
  // Goal: form, bitmap and bytes of an 88-byte payload agree whatever the program does to its
  // buffer. Method: a thread flips bytes of it, through another mapping, during 100,000 puts.
  const SharedPage page;
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> flips = 0;
  std::thread writer([&] {
    for (; !stop; ++flips) {
      for (size_t i = 0; i < kPackedBytes; ++i) {
        *static_cast<volatile std::byte*>(page.there + i) = static_cast<std::byte>(flips & 1);
      }
    }
  });
  while (flips < 2) std::this_thread::yield();
  const ByteView payload(page.here, kPackedBytes);
  Bytes out;
  size_t unreadable = 0;
  for (int i = 0; i < 100'000; ++i) {
    put_inlined(out, kE, payload);
    if (!parse_value(Kind::single, out)) ++unreadable;
    put_extent_inlined(out, kE, {kPackedBytes, 1, false}, payload);
    if (!parse_value(Kind::extent, out)) ++unreadable;
  }
  stop = true;
  writer.join();
  EXPECT_EQ(unreadable, 0u);
}

TEST(ValueFormat, An_inode_value_is_packed_and_restored_exactly) {
  // Goal: 88-byte values keep every byte. Method: random fillings of all densities.
  SeededRandom random(3);
  for (int i = 0; i < 2'000; ++i) {
    Bytes inode(kPackedBytes);
    const uint64_t density = random.below(100);
    for (std::byte& b : inode) {
      if (random.below(100) < density) b = static_cast<std::byte>(random.next());
    }
    Bytes out;
    put_inlined(out, kE, inode);
    EXPECT_LE(out.size(), 9 + kPackedBytes);
    const auto value = parse_value(Kind::single, out);
    ASSERT_TRUE(value);
    ASSERT_EQ(value->payload_bytes, kPackedBytes);
    Bytes back(kPackedBytes);
    copy_inlined(*value, 0, back);
    ASSERT_EQ(back, inode);
  }
}

TEST(ValueFormat, Data_values_are_read_back_with_their_blocks_and_checksums) {
  // Goal: parse inverts put, with checksums inside and apart. Method: a short and a long block
  // list.
  Bytes out;
  put_data(out, kE, 12'000, three_blocks());
  const auto value = parse_value(Kind::single, out);
  ASSERT_TRUE(value);
  const auto data = parse_data(*value);
  ASSERT_TRUE(data);
  EXPECT_EQ(data->runs, three_blocks().runs);
  EXPECT_EQ(data->crcs, three_blocks().crcs);
  EXPECT_EQ(data->skip, 5u);
  EXPECT_EQ(data->block_at(1), 301u);
  EXPECT_EQ(data->block_at(2), 7u);

  BlockData large{{{9, 2000}}, 0, std::vector<uint32_t>(2000, 1)};
  put_extent_data(out, kE, {2000 * 4096, 1, false}, large);
  const auto apart = parse_value(Kind::extent, out);
  ASSERT_TRUE(apart);
  EXPECT_TRUE(apart->checksums_apart);
  EXPECT_LT(out.size(), 40u);
  ASSERT_TRUE(parse_data(*apart));
  EXPECT_TRUE(parse_data(*apart)->crcs.empty());
}

TEST(ValueFormat, What_is_too_small_or_too_large_to_be_packed_is_in_no_shared_blocks) {
  const auto parse = [](uint64_t bytes) {
    Bytes out;
    put_shared_data(out, 7, bytes, {.runs = {{1, 1}}, .skip = 0, .crcs = {1}, .blocks_before = 2});
    return parse_value(Kind::single, out);
  };
  EXPECT_TRUE(parse(256));
  EXPECT_TRUE(parse(4'095));
  for (const uint64_t bytes : {1u, 255u, 4'096u}) {
    const auto value = parse(bytes);
    ASSERT_FALSE(value) << bytes;
    EXPECT_EQ(value.error().code(), Errc::checksum);
  }
}

TEST(ValueFormat, A_value_in_shared_blocks_says_where_their_extent_begins) {
  Bytes out;
  const BlockData data{
      .runs = {{302, 2}}, .skip = 4'000, .crcs = {1, 0x11223344}, .blocks_before = 2};
  put_shared_data(out, 0x0102, 300, data);
  EXPECT_EQ(hex(out),
            "0201000000000000"
            "83"
            "ac02"
            "01"
            "a01f"
            "01"
            "ae02"
            "02"
            "01000000"
            "44332211"
            "02");
  const auto value = parse_value(Kind::single, out);
  ASSERT_TRUE(value);
  EXPECT_TRUE(value->shared);
  EXPECT_EQ(value->payload_bytes, 300u);
  const auto again = parse_data(*value);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->blocks_before, 2u);
  EXPECT_EQ(again->crcs, data.crcs);
  // Of nothing else, and not without the number.
  EXPECT_FALSE(parse_value(Kind::extent, out));
  EXPECT_FALSE(parse_value(Kind::name, out));
  Bytes apart = out;
  apart[8] |= std::byte{0x40};
  EXPECT_FALSE(parse_value(Kind::single, apart));
  Bytes inlined = out;
  inlined[8] = std::byte{0x81};
  EXPECT_FALSE(parse_value(Kind::single, inlined));
  Bytes cut(out.begin(), out.end() - 1);
  EXPECT_FALSE(parse_data(*parse_value(Kind::single, cut)));
  Bytes own = out;
  own[8] = std::byte{3};
  EXPECT_FALSE(parse_data(*parse_value(Kind::single, own))) << "something follows its end";
  // An extent that would begin before the first block.
  put_shared_data(out, 7, 300, {.runs = {{1, 1}}, .skip = 0, .crcs = {1}, .blocks_before = 2});
  EXPECT_FALSE(parse_data(*parse_value(Kind::single, out)));
}

TEST(ValueFormat, Records_of_flattened_objects_have_their_golden_bytes) {
  Bytes out;
  const std::byte taken[] = {std::byte{0}, std::byte{5}};
  put_flat(out, {0x0102, {300, 4'096, 777, 0x11223344}, taken});
  EXPECT_EQ(hex(out),
            "0201000000000000"
            "00"
            "44332211"
            "ac02"
            "8004"
            "8906"
            "0005");
  const auto flat = parse_flat(out);
  ASSERT_TRUE(flat);
  EXPECT_EQ(flat->place, (FlatPlace{300, 4'096, 777, 0x11223344}));
  EXPECT_TRUE(flat->is_taken(8) && flat->is_taken(10));
  EXPECT_FALSE(flat->is_taken(9) || flat->is_taken(0) || flat->is_taken(1'000));
  out.back() = std::byte{0};
  EXPECT_FALSE(parse_flat(out)) << "bits that say nothing";
  put_flat(out, {1, {300, 0, kFlatObjectBytesMax + 1, 0}, {}});
  EXPECT_FALSE(parse_flat(out)) << "longer than a buffer can be";

  put_pack(out, 0x0102, {.blocks = 9, .objects = 300, .bytes = 4'000});
  EXPECT_EQ(hex(out),
            "0201000000000000"
            "00"
            "09"
            "ac02"
            "a01f");
  ASSERT_TRUE(parse_pack(out));
  EXPECT_EQ(parse_pack(out)->bytes, 4'000u);
  put_pack(out, 1, {.blocks = 1, .objects = 1, .bytes = 4'097});
  EXPECT_FALSE(parse_pack(out)) << "more than its blocks hold";
  put_pack(out, 1, {.blocks = 1, .objects = 0, .bytes = 0});
  EXPECT_FALSE(parse_pack(out)) << "it would have gone";
}

TEST(ValueFormat, Policies_have_the_documented_bytes_and_others_are_refused) {
  // Goal: golden bytes; nothing from a disk becomes a policy that nobody could have set. Method:
  // each field out of bounds, and every cut.
  Bytes out;
  put_policy(out, 0x0102, {.inline_bytes_max = 300, .object_bytes_max = 4'096, .cold_after_s = 5});
  EXPECT_EQ(hex(out),
            "0201000000000000"
            "00"
            "ac02"
            "8020"
            "05"
            "00");
  const model::WormPolicy policy{.inline_bytes_max = 0,
                                 .object_bytes_max = 1u << 20,
                                 .compress = true,
                                 .cold_after_s = 0,
                                 .seal = {kE, "me@h"}};
  put_policy(out, 1, policy);
  EXPECT_EQ(hex(out),
            "0100000000000000"
            "00"
            "00"
            "808040"
            "00"
            "03" +
                kEpoch +
                "04"
                "6d654068");
  ASSERT_TRUE(parse_policy(out));
  EXPECT_EQ(*parse_policy(out), policy);
  for (size_t n = 0; n < out.size(); ++n) EXPECT_FALSE(parse_policy(ByteView(out).first(n))) << n;
  const auto changed = [&out](size_t at, int byte) {
    Bytes bytes = out;
    bytes[at] = std::byte(byte);
    return bytes;
  };
  EXPECT_FALSE(parse_policy(changed(8, 1))) << "another form";
  EXPECT_FALSE(parse_policy(changed(12, 0x41))) << "a buffer that is too large";
  EXPECT_FALSE(parse_policy(changed(14, 7))) << "a bit that means nothing";
  EXPECT_FALSE(parse_policy(changed(14, 1))) << "not sealed, and yet by somebody";
  EXPECT_FALSE(parse_policy(changed(24, '\n'))) << "a name that cannot be printed";
  Bytes never = out;
  std::fill(never.begin() + 15, never.begin() + 23, std::byte{0});
  EXPECT_FALSE(parse_policy(never)) << "sealed at no epoch";
  out.push_back(std::byte{0});
  EXPECT_FALSE(parse_policy(out)) << "something behind it";
}

TEST(ValueFormat, Damaged_values_are_refused_and_never_read_beyond_their_end) {
  // Goal: bytes from the medium are parsed. Method: cut and mutate each form (sanitizers watch).
  SeededRandom random(5);
  std::vector<std::pair<Kind, Bytes>> samples;
  Bytes out;
  put_data(out, kE, 12'000, three_blocks());
  samples.emplace_back(Kind::single, out);
  put_extent_data(out, kE, {12'000, 1, false}, three_blocks());
  samples.emplace_back(Kind::extent, out);
  put_inlined(out, kE, Bytes(kPackedBytes));
  samples.emplace_back(Kind::single, out);
  put_present(out, kE, model::ValueType::array, 300);
  samples.emplace_back(Kind::present, out);
  put_checksums(out, kE, std::vector<uint32_t>{1, 2, 3});
  samples.emplace_back(Kind::checksums, out);
  for (const auto& [kind, sample] : samples) {
    for (int i = 0; i < 20'000; ++i) {
      Bytes bytes = sample;
      if (i % 2 == 0) bytes.resize(random.below(bytes.size()));
      if (!bytes.empty()) bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
      const auto value = parse_value(kind, Bytes(bytes));
      if (value && value->form == Form::data) {
        const auto parsed = parse_value(kind, bytes);
        const auto data = parse_data(*parsed);
        if (data) {
          EXPECT_EQ(data->block_count(), (data->skip + parsed->payload_bytes + 4095) / 4096);
        }
      }
    }
  }
  for (size_t n = 0; n < samples[0].second.size(); ++n) {
    Bytes cut(samples[0].second.begin(), samples[0].second.begin() + static_cast<ptrdiff_t>(n));
    const auto value = parse_value(Kind::single, cut);
    EXPECT_FALSE(value && parse_data(*value)) << n;
  }
}

}  // namespace
}  // namespace cairn::vos
