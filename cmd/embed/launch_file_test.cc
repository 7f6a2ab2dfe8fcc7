#include "cmd/embed/launch_file.h"

#include <gtest/gtest.h>

namespace cairn::embed {
namespace {

constexpr size_t kFine = ~size_t{0};

/// The number of the line that is wrong.
size_t wrong_line(std::string_view text, Errc wanted = Errc::format_invalid) {
  size_t line = kFine;
  const auto parsed = parse_launch(text, &line);
  EXPECT_FALSE(parsed) << text;
  if (!parsed) EXPECT_EQ(parsed.error().code(), wanted) << text;
  return line;
}

TEST(LaunchFile, Comes_back_as_it_was) {
  LaunchFile launch{.restart_seconds = 7};
  launch.engines[0] = {.listen = {"tcp:127.0.0.1:1", "tcp:127.0.0.1:2"},
                       .log = "/a log",
                       .level = "info",
                       .cores = "2-5",
                       .env = {"A=1", "B=", "C=x=y"},
                       .unset = {"D"}};
  launch.engines[3] = {};
  size_t line = 0;
  const auto back = parse_launch(format_launch(launch), &line);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, launch);
  EXPECT_EQ(back->of(9), EngineLaunch{});
  launch.restart = false;
  launch.restart_seconds = 0;
  EXPECT_EQ(parse_launch(format_launch(launch), &line), launch);
}

TEST(LaunchFile, Says_which_line_is_wrong) {
  EXPECT_EQ(wrong_line(""), 0u);
  EXPECT_EQ(wrong_line("cairn storage 1\n"), 0u);
  EXPECT_EQ(wrong_line("cairn launch 2\n", Errc::format_newer), 0u);
  const std::string head = "cairn launch 1\n# a word\n\n";
  for (const char* line : {"restart", "restart -1", "restart never", "engine", "engine x",
                           "engine 70000", "listen tcp:1", "log /x", "nosuch 1", "engine 1 2"}) {
    EXPECT_EQ(wrong_line(head + line + "\n"), 4u) << line;
  }
  const std::string engine = head + "engine 0\n";
  for (const char* line : {"cores", "cores 3", "cores 3-1", "cores 1-99999999", "env", "env =1",
                           "env A", "unset", "unset A=1", "engine 0", "nosuch"}) {
    EXPECT_EQ(wrong_line(engine + line + "\n"), 5u) << line;
  }
}

}  // namespace
}  // namespace cairn::embed
