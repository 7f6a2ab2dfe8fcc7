#include "base/small_vector.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace cairn {
namespace {

using Strings = SmallVector<std::string, 2>;

/// Longer than what a std::string holds in place, so that a leak or a double free is seen.
std::string text(int number) {
  return "a text that has to be allocated, number " + std::to_string(number);
}

TEST(SmallVector, The_first_elements_stand_in_the_object_and_more_outside) {
  // Goal: no allocation up to N. Method: where data() lies before and after the third element.
  Strings items{text(0), text(1)};
  const auto inside = [&items] {
    const auto* at = reinterpret_cast<const char*>(items.data());
    const auto* object = reinterpret_cast<const char*>(&items);
    return at >= object && at < object + sizeof(items);
  };
  EXPECT_TRUE(inside());
  items.push_back(items[0]);  // an element of its own, while it grows
  EXPECT_FALSE(inside());
  EXPECT_EQ(items, (Strings{text(0), text(1), text(0)}));
}

TEST(SmallVector, Moves_leave_an_empty_vector_whether_inside_or_outside) {
  // Goal: ownership. Method: both kinds moved by construction and assignment; owners counted.
  for (const size_t count : {size_t{1}, size_t{2}, size_t{5}}) {
    const auto held = std::make_shared<int>(7);
    SmallVector<std::shared_ptr<int>, 2> from;
    for (size_t i = 0; i < count; ++i) from.push_back(held);
    SmallVector<std::shared_ptr<int>, 2> made(std::move(from));
    EXPECT_TRUE(from.empty());
    EXPECT_EQ(made.size(), count);
    SmallVector<std::shared_ptr<int>, 2> assigned(3);
    assigned = std::move(made);
    EXPECT_TRUE(made.empty());
    EXPECT_EQ(held.use_count(), static_cast<long>(count) + 1);
    made.push_back(held);
    assigned.clear();
    EXPECT_EQ(held.use_count(), 2);
  }
}

TEST(SmallVector, A_random_walk_agrees_with_std_vector) {
  // Goal: every operation. Method: the same random operations on both; seed below.
  constexpr uint32_t kSeed = 20240611;
  std::mt19937 random(kSeed);
  Strings ours;
  std::vector<std::string> theirs;
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 8) {
      case 0:
      case 1:
        ours.push_back(text(step));
        theirs.push_back(text(step));
        break;
      case 2:
        if (theirs.empty()) break;
        ours.pop_back();
        theirs.pop_back();
        break;
      case 3: {
        const size_t count = random() % 6;
        ours.resize(count);
        theirs.resize(count);
        break;
      }
      case 4: {
        const std::vector<std::string> more{text(step), text(step + 1)};
        ours.append(more.begin(), more.end());
        theirs.insert(theirs.end(), more.begin(), more.end());
        break;
      }
      case 5: {
        const auto odd = [](const std::string& s) { return !s.empty() && s.back() % 2 == 1; };
        EXPECT_EQ(erase_if(ours, odd), std::erase_if(theirs, odd));
        break;
      }
      case 6: {
        Strings copy(ours);
        ours = Strings{text(step)};
        ours = copy;
        break;
      }
      case 7: {
        Strings moved(std::move(ours));
        ours = std::move(moved);
        break;
      }
    }
    ASSERT_TRUE(std::equal(ours.begin(), ours.end(), theirs.begin(), theirs.end())) << step;
  }
}

}  // namespace
}  // namespace cairn
