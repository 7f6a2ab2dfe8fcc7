#include "base/short_bytes.h"

#include <gtest/gtest.h>

#include <random>

namespace cairn {
namespace {

int sign(int n) { return n < 0 ? -1 : n > 0 ? 1 : 0; }

TEST(ShortBytes, Compare_in_the_order_of_memcmp) {
  // Goal: words and the rest, high bytes, and strings of which one begins the other. Method: pairs
  // of all lengths to 40 that differ at one place or nowhere.
  std::mt19937 random(3);
  for (size_t n = 0; n <= 40; ++n) {
    for (size_t m = 0; m <= 40; ++m) {
      Bytes a(n), b(m);
      for (size_t i = 0; i < std::max(n, m); ++i) {
        const auto byte = static_cast<std::byte>(random());
        if (i < n) a[i] = byte;
        if (i < m) b[i] = byte;
      }
      const size_t common = std::min(n, m);
      if (common != 0 && random() % 2 == 0) b[random() % common] = static_cast<std::byte>(random());
      const int differ = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
      const int wanted = differ != 0 ? sign(differ) : n < m ? -1 : n > m ? 1 : 0;
      ASSERT_EQ(sign(compare_bytes(a, b)), wanted) << n << " " << m;
      ASSERT_EQ(sign(compare_bytes(b, a)), -wanted) << n << " " << m;
    }
  }
}

TEST(ShortBytes, Copy_every_length_and_nothing_beside) {
  for (size_t n = 0; n <= 100; ++n) {
    Bytes from(n), into(n + 2, std::byte{0xEE});
    for (size_t i = 0; i < n; ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
    copy_short(into.data() + 1, from.data(), n);
    EXPECT_EQ(Bytes(into.begin() + 1, into.end() - 1), from) << n;
    EXPECT_EQ(into.front(), std::byte{0xEE});
    EXPECT_EQ(into.back(), std::byte{0xEE});
  }
}

TEST(ShortBytes, The_first_zero_is_found_wherever_it_stands) {
  for (size_t n = 0; n <= 30; ++n) {
    for (size_t zero = 0; zero <= n; ++zero) {
      Bytes bytes(n, std::byte{0x80});
      for (size_t i = 0; i < n; i += 3) bytes[i] = std::byte{1};
      if (zero < n) bytes[zero] = std::byte{0};
      if (zero + 1 < n) bytes[zero + 1] = std::byte{1};  // what a borrow of the word before changes
      EXPECT_EQ(bytes_before_zero(bytes), zero) << n << " " << zero;
    }
  }
}

}  // namespace
}  // namespace cairn
