#include "runtime/lasting_text.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(LastingText, A_text_is_kept_once_and_only_so_many_are) {
  // Goal: an error's text outlives whoever made it, and nobody fills memory with them. Method: the
  // same text twice, then more texts than are kept.
  const char* const first = lasting_text(std::string("sealed by ") + "somebody", "-");
  EXPECT_STREQ(first, "sealed by somebody");
  EXPECT_EQ(first, lasting_text("sealed by somebody", "-"));
  size_t refused = 0;
  for (size_t i = 0; i < kLastingTextsMax + 10; ++i) {
    const std::string text = "text " + std::to_string(i);
    const char* const kept = lasting_text(text, "too many");
    if (kept == std::string_view("too many"))
      ++refused;
    else
      EXPECT_EQ(kept, text);
  }
  EXPECT_GE(refused, 11u);
  EXPECT_STREQ(first, "sealed by somebody");
  EXPECT_EQ(first, lasting_text("sealed by somebody", "-")) << "a known one is found all the same";
}

}  // namespace
}  // namespace cairn
