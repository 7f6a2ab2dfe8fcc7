#include "client/array.h"

#include <gtest/gtest.h>

#include <string>

#include "client/testing/fake_container.h"

namespace cairn::client {
namespace {

uint64_t test_seed() {
  const char* const text = std::getenv("CAIRN_SEED");
  const uint64_t seed = text == nullptr ? 20'261'125 : std::strtoull(text, nullptr, 10);
  std::printf("CAIRN_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

struct World {
  SeededRandom random{1};
  Reactor reactor{system_clock(), random, nullptr};
  FakeSystem system{reactor};
  FakePool pool{system};
  std::shared_ptr<FakeContainer> container = std::make_shared<FakeContainer>(reactor, pool);
  ArrayShape shape{.cell_bytes = 1, .chunk_cells = 8};

  template <class T>
  T run(Task<T> task) {
    return system.context().run(std::move(task));
  }
  static IoVecs vec(std::string& text) {
    return {{reinterpret_cast<std::byte*>(text.data()), text.size()}};
  }
  Errc write(CellRanges ranges, std::string text) {
    const auto done = run(array_write(container, {}, shape, std::move(ranges), vec(text)));
    return done ? Errc::ok : done.error().code();
  }
  struct Read {
    Errc code = Errc::ok;
    std::string text;
    uint64_t cells_read = 0, cells_short = 0;
  };
  /// Two bytes '#' stand behind the buffer.
  Read read(CellRanges ranges, size_t bytes, bool zero_holes = true) {
    std::string text(bytes + 2, '#');
    const auto done =
        run(array_read(container, {}, shape, std::move(ranges),
                       {{reinterpret_cast<std::byte*>(text.data()), bytes}}, zero_holes));
    for (char& c : text) c = c == '\0' ? '_' : c;
    if (!done) return {.code = done.error().code(), .text = text};
    return {.text = text, .cells_read = done->cells_read, .cells_short = done->cells_short};
  }
  uint64_t size() {
    const auto cells = run(array_size(container, {}, shape));
    EXPECT_TRUE(cells.has_value());
    return cells.value_or(777);
  }
  Errc set_size(uint64_t cells) {
    const auto done = run(array_set_size(container, {}, shape, cells));
    return done ? Errc::ok : done.error().code();
  }
  Errc punch(CellRanges ranges) {
    const auto done = run(array_punch(container, {}, shape, std::move(ranges)));
    return done ? Errc::ok : done.error().code();
  }
};

// The situations and outcomes of the next tests were recorded from the reference
// (shared/conformance).

TEST(Array, Reads_at_the_end_are_short_and_leave_the_rest_untouched) {
  // Goal: array.past-end-byte and -attr. Method: five cells, reads within, across and beyond.
  World w;
  EXPECT_EQ(w.write({{0, 5}}, "abcde"), Errc::ok);
  auto r = w.read({{0, 4}}, 4);
  EXPECT_EQ(r.text, "abcd##");
  EXPECT_EQ(r.cells_read, 4u);
  EXPECT_EQ(r.cells_short, 0u);
  r = w.read({{2, 6}}, 6);
  EXPECT_EQ(r.text, "cde#####");
  EXPECT_EQ(r.cells_read, 3u);
  EXPECT_EQ(r.cells_short, 3u);
  r = w.read({{20, 4}}, 4);
  EXPECT_EQ(r.text, "######");
  EXPECT_EQ(r.cells_read, 0u);
  EXPECT_EQ(r.cells_short, 4u);
  EXPECT_EQ(w.read({{2, 6}}, 6, false).text, "cde#####");
}

TEST(Array, Holes_before_the_end_become_zeros_only_where_asked) {
  // Goal: array.holes-byte and holes-attr-in-object. Method: two islands, chunks of eight cells.
  World w;
  EXPECT_EQ(w.write({{0, 2}}, "ab"), Errc::ok);
  EXPECT_EQ(w.write({{20, 2}}, "yz"), Errc::ok);
  EXPECT_EQ(w.size(), 22u);
  const auto r = w.read({{0, 24}}, 24);
  EXPECT_EQ(r.text, "ab__________________yz####");
  EXPECT_EQ(r.cells_read, 22u);
  EXPECT_EQ(r.cells_short, 2u);
  EXPECT_EQ(w.read({{0, 24}}, 24, false).text, "ab##################yz####");
}

TEST(Array, An_empty_array_reads_nothing) {
  // Goal: array.read-empty. Method: no write.
  World w;
  const auto r = w.read({{0, 4}}, 4);
  EXPECT_EQ(r.text, "######");
  EXPECT_EQ(r.cells_read, 0u);
  EXPECT_EQ(r.cells_short, 4u);
  EXPECT_EQ(w.size(), 0u);
  w.container->put_attributes();
  EXPECT_EQ(w.size(), 0u) << "the attributes are no cells";
}

TEST(Array, Unordered_ranges_are_served_in_the_buffers_order) {
  // Goal: array.unordered-ranges. Method: ranges over three chunks, backwards.
  World w;
  EXPECT_EQ(w.write({{20, 2}, {0, 2}, {7, 2}}, "aabbcc"), Errc::ok);
  EXPECT_EQ(w.read({{0, 22}}, 22).text, "bb_____cc___________aa##");
  const auto r = w.read({{7, 2}, {20, 2}, {0, 2}}, 6);
  EXPECT_EQ(r.text, "ccaabb##");
  EXPECT_EQ(r.cells_read, 6u);
}

TEST(Array, Cells_of_several_bytes_keep_their_record_size) {
  // Goal: array.cell-size-4. Method: three cells over two chunks; the byte type zeroes whole cells.
  World w;
  w.shape = {.cell_bytes = 4, .chunk_cells = 3};
  EXPECT_EQ(w.write({{2, 3}}, "aaaabbbbcccc"), Errc::ok);
  EXPECT_EQ(w.size(), 5u);
  EXPECT_EQ(w.read({{2, 3}}, 12).text, "aaaabbbbcccc##");
  const auto r = w.read({{0, 8}}, 32);
  EXPECT_EQ(r.text, "________aaaabbbbcccc##############");
  EXPECT_EQ(r.cells_read, 5u);
  EXPECT_EQ(r.cells_short, 3u);
  EXPECT_EQ(w.write({{0, 3}}, "0123456789"), Errc::invalid);
}

TEST(Array, Empty_ranges_are_skipped) {
  // Goal: array.range-len-zero and -among-others; where the reference hangs the answer is success.
  World w;
  EXPECT_EQ(w.write({{0, 2}, {10, 0}, {4, 2}}, "abcd"), Errc::ok);
  EXPECT_EQ(w.read({{0, 6}}, 6).text, "ab__cd##");
  EXPECT_EQ(w.write({{5, 0}}, ""), Errc::ok);
  EXPECT_EQ(w.write({}, ""), Errc::ok);
  EXPECT_EQ(w.read({}, 0).text, "##");
}

TEST(Array, Wrong_arguments_are_invalid_and_change_nothing) {
  // Goal: array.sgl-mismatch, overlapping-ranges and shapes of zero. Method: each, then the size.
  World w;
  EXPECT_EQ(w.write({{0, 5}}, "abcd"), Errc::invalid);
  EXPECT_EQ(w.write({{0, 5}}, "abcdef"), Errc::invalid);
  EXPECT_EQ(w.write({{0, 4}, {2, 4}}, "aaaabbbb"), Errc::invalid);
  EXPECT_EQ(w.write({{5, 4}, {0, 6}}, "aaaabbbbbb"), Errc::invalid);
  EXPECT_EQ(w.write({{~uint64_t{0}, 2}}, "ab"), Errc::invalid);
  EXPECT_EQ(w.write({{0, ~uint64_t{0}}, {1, 2}}, "ab"), Errc::invalid);
  EXPECT_EQ(w.read({{0, 4}, {2, 4}}, 8).code, Errc::invalid);
  w.shape.chunk_cells = 0;
  EXPECT_EQ(w.write({{0, 1}}, "a"), Errc::invalid);
  EXPECT_EQ(w.set_size(3), Errc::invalid);
  w.shape = {.cell_bytes = 0, .chunk_cells = 8};
  EXPECT_EQ(w.write({{0, 1}}, ""), Errc::invalid);
  EXPECT_EQ(w.set_size(3), Errc::invalid);
  w.shape.cell_bytes = 1;
  EXPECT_EQ(w.size(), 0u);
}

TEST(Array, Set_size_shrinks_grows_and_empties) {
  // Goal: array.set-size-*. Method: each from twenty cells.
  struct Case {
    uint64_t to;
    std::string text;
  };
  const Case cases[] = {{16, "abcdefghijklmnop##########"},
                        {3, "abc#######################"},
                        {0, "##########################"},
                        {23, "abcdefghijklmnopqrst___###"},
                        {20, "abcdefghijklmnopqrst######"}};
  for (const Case& c : cases) {
    World w;
    w.container->put_attributes();
    EXPECT_EQ(w.write({{0, 20}}, "abcdefghijklmnopqrst"), Errc::ok);
    EXPECT_EQ(w.set_size(c.to), Errc::ok);
    EXPECT_EQ(w.size(), c.to);
    const auto r = w.read({{0, 24}}, 24);
    EXPECT_EQ(r.text, c.text);
    EXPECT_EQ(r.cells_read, std::min<uint64_t>(24, c.to));
    EXPECT_EQ(w.container->dkeys().front(), 0u) << "attributes stay";
  }
}

TEST(Array, Shrinking_to_a_hole_makes_the_last_cell) {
  // Goal: array.set-size-shrink-to-hole and -grow-far. Method: islands, then sizes between and
  // beyond.
  World w;
  EXPECT_EQ(w.write({{0, 2}}, "ab"), Errc::ok);
  EXPECT_EQ(w.write({{40, 2}}, "yz"), Errc::ok);
  EXPECT_EQ(w.set_size(20), Errc::ok);
  EXPECT_EQ(w.size(), 20u);
  EXPECT_EQ(w.read({{0, 22}}, 22).text, "ab__________________####");
  EXPECT_EQ(w.set_size(1000), Errc::ok);
  EXPECT_EQ(w.size(), 1000u);
  EXPECT_EQ(w.read({{996, 4}}, 4, false).text, "###_##");
}

TEST(Array, Punched_ranges_are_holes_and_the_size_may_shrink) {
  // Goal: punch makes holes in what exists and creates nothing. Method: over chunk borders, at the
  // end, and of a range as wide as an array can be.
  World w;
  w.container->listed_max = 2;
  EXPECT_EQ(w.write({{0, 40}}, "abcdefghijklmnopqrstuvwxyz0123456789ABCD"), Errc::ok);
  EXPECT_EQ(w.punch({{6, 12}, {20, 0}, {21, 1}}), Errc::ok);
  EXPECT_EQ(w.read({{0, 24}}, 24).text, "abcdef____________stu_wx##");
  EXPECT_EQ(w.punch({{30, uint64_t{1} << 60}}), Errc::ok);
  EXPECT_EQ(w.size(), 30u);
  const auto dkeys = w.container->dkeys();
  EXPECT_EQ(dkeys, (std::vector<uint64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(w.punch({{1000, 1000}}), Errc::ok);
  EXPECT_EQ(w.container->dkeys(), dkeys);
}

TEST(Array, Chunks_go_in_parallel_up_to_the_limit) {
  // Goal: a large call keeps many chunks under way, not all. Method: 100 chunks; count what ran at
  // once.
  World w;
  EXPECT_EQ(w.write({{0, 800}}, std::string(800, 'x')), Errc::ok);
  EXPECT_EQ(w.container->calls, 100);
  EXPECT_EQ(w.container->running_max, 32);
  w.container->running_max = 0;
  EXPECT_EQ(w.read({{0, 800}}, 800).text, std::string(800, 'x') + "##");
  EXPECT_EQ(w.container->running_max, 32);
}

TEST(Array, A_call_over_thousands_of_chunks_moves_all_of_them) {
  // Goal: the limit on tasks loses no chunk. Method: one cell per chunk, more chunks than tasks.
  World w;
  w.shape.chunk_cells = 1;
  std::string text(2500, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i % 26);
  EXPECT_EQ(w.write({{0, 2500}}, text), Errc::ok);
  EXPECT_EQ(w.container->dkeys().size(), 2500u);
  EXPECT_EQ(w.read({{0, 2500}}, 2500).text, text + "##");
}

TEST(Array, A_failing_chunk_fails_the_call_after_all_have_ended) {
  // Goal: no chunk uses the buffer after return, and the error arrives. Method: the third of ten
  // fails.
  World w;
  w.container->failing_call = 3;
  EXPECT_EQ(w.write({{0, 80}}, std::string(80, 'x')), Errc::no_space);
  EXPECT_EQ(w.container->running, 0);
  w.container->calls = 0;
  EXPECT_EQ(w.read({{0, 80}}, 80).code, Errc::no_space);
  w.container->calls = 0;
  w.container->failing_call = 1;
  EXPECT_EQ(w.set_size(1), Errc::no_space);
}

TEST(Array, Random_operations_match_a_plain_vector) {
  // Goal: any mix of writes, reads, punches and sizes acts as on a vector of optional cells.
  // Method: random shapes, ranges and scattered buffers against such a vector.
  SeededRandom random(test_seed());
  for (int round = 0; round < 60; ++round) {
    World w;
    w.shape = {.cell_bytes = 1 + random.below(3), .chunk_cells = 1 + random.below(9)};
    w.container->listed_max = 1 + static_cast<uint32_t>(random.below(3));
    std::vector<std::optional<char>> model;
    const auto size = [&model] {
      while (!model.empty() && !model.back()) model.pop_back();
      return model.size();
    };
    for (int step = 0; step < 60; ++step) {
      const uint64_t index = random.below(50), count = random.below(30);
      const size_t bytes = count * w.shape.cell_bytes;
      switch (random.below(4)) {
        case 0: {
          const char c = static_cast<char>('a' + random.below(26));
          ASSERT_EQ(w.write({{index, count}}, std::string(bytes, c)), Errc::ok);
          if (count > 0) model.resize(std::max<size_t>(model.size(), index + count));
          for (uint64_t i = 0; i < count; ++i) model[index + i] = c;
          break;
        }
        case 1:
          ASSERT_EQ(w.punch({{index, count}}), Errc::ok);
          for (uint64_t i = index; i < std::min<uint64_t>(index + count, model.size()); ++i) {
            model[i].reset();
          }
          break;
        case 2:
          ASSERT_EQ(w.set_size(index), Errc::ok);
          if (index == size()) break;
          model.resize(index);
          if (index > 0 && !model[index - 1]) model[index - 1] = '_';
          break;
        default: {
          std::string expected;
          const size_t end = size();
          for (uint64_t i = index; i < index + count; ++i) {
            const char c = i >= end ? '#' : model[i].value_or('_');
            expected += std::string(w.shape.cell_bytes, c);
          }
          const auto r = w.read({{index, count}}, bytes);
          ASSERT_EQ(r.text, expected + "##");
          ASSERT_EQ(r.cells_read, std::min<uint64_t>(count, end - std::min(end, index)));
          ASSERT_EQ(r.cells_read + r.cells_short, count);
        }
      }
      ASSERT_EQ(w.size(), size());
    }
  }
}

}  // namespace
}  // namespace cairn::client
