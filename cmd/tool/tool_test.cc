#include "cmd/tool/tool.h"

#include <gtest/gtest.h>

#include "cmd/tool/format.h"

namespace cairn::tool {
namespace {

TEST(Format, Sizes_are_read_with_both_kinds_of_units) {
  // Goal: the table of the reference. Method: examples of each suffix, and what is no size.
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("2G"), 2'000'000'000u);
  EXPECT_EQ(parse_size("2 GiB"), 2ull << 30);
  EXPECT_EQ(parse_size("64Ki"), 65'536u);
  EXPECT_EQ(parse_size("1.5kb"), 1'500u);
  for (const char* bad : {"", "abc", "G", "-1", "2GX", "1..5", "99999E", ".5G"}) {
    EXPECT_FALSE(parse_size(bad)) << bad;
  }
}

TEST(Format, Sizes_are_printed_as_the_tools_print_them) {
  // Goal: one digit below 10, none above; the next unit where rounding reaches it.
  EXPECT_EQ(si_bytes(0), "0 B");
  EXPECT_EQ(si_bytes(2'000'000'000), "2.0 GB");
  EXPECT_EQ(si_bytes(150'000'000), "150 MB");
  EXPECT_EQ(si_bytes(999'999), "1.0 MB");
  EXPECT_EQ(iec_bytes(1u << 20), "1.0 MiB");
}

TEST(Format, Pairs_take_quotes_and_backslashes) {
  // Goal: the key list grammar. Method: examples, then each refusal.
  std::string problem;
  const auto pairs = parse_pairs("a:1,b:'x,y:z',c:2\\,3,d:e:f", &problem);
  ASSERT_TRUE(pairs);
  EXPECT_EQ((*pairs)[1].second, "x,y:z");
  EXPECT_EQ((*pairs)[2].second, "2,3");
  EXPECT_EQ((*pairs)[3].second, "e:f");
  for (const char* bad : {"a", "a:", ":b", "a:1,a:2", "a:1,,b:2"}) {
    EXPECT_FALSE(parse_pairs(bad, &problem)) << bad;
    EXPECT_FALSE(problem.empty());
  }
}

TEST(Format, Tables_pad_every_cell_to_its_column) {
  // Goal: the recorded layout of `dmg pool list`.
  EXPECT_EQ(table({"Pool", "Size"}, {{"tank", "150 MB"}}),
            "Pool Size   \n---- ----   \ntank 150 MB \n");
}

TEST(Status, Texts_name_the_code_and_what_it_means) {
  EXPECT_EQ(status_text(-1005), "DER_NONEXIST(-1005): The specified entity does not exist");
}

int run(std::vector<std::string> words, std::string* out, std::string* err) {
  Tool tool("t", "test");
  tool.resource("pool", {}, "pools");
  auto& list = tool.command("pool", "list", {"ls"}, "list");
  std::string label;
  list.app->add_option("pool_label", label, "label")->required();
  list.run = [&]() -> Outcome { return Reply{"label " + label + "\n", {{"label", label}}}; };
  words.insert(words.begin(), "t");
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int status = tool.main(static_cast<int>(argv.size()), argv.data());
  *out = testing::internal::GetCapturedStdout();
  *err = testing::internal::GetCapturedStderr();
  return status;
}

TEST(ToolMain, Prints_text_or_the_envelope_and_words_errors_as_scripts_know_them) {
  // Goal: exit status, stdout and stderr of each outcome. Method: one command, several lines.
  std::string out, err;
  EXPECT_EQ(run({"pool", "list", "x"}, &out, &err), 0);
  EXPECT_EQ(out, "label x\n");
  EXPECT_EQ(run({"-j", "pool", "ls", "x"}, &out, &err), 0);
  EXPECT_EQ(
      out,
      "{\n  \"response\": {\n    \"label\": \"x\"\n  },\n  \"error\": null,\n  \"status\": 0\n}\n");
  EXPECT_EQ(run({"pool", "list", "x", "--json"}, &out, &err), 0);
  EXPECT_TRUE(out.starts_with("{"));
  EXPECT_EQ(run({"pool", "list"}, &out, &err), 1);
  EXPECT_EQ(err, "ERROR: t: the required argument `<pool label>` was not provided\n");
  EXPECT_EQ(run({"pool", "list", "x", "--nope=3"}, &out, &err), 1);
  EXPECT_EQ(err, "ERROR: t: unknown flag `nope'\n");
  EXPECT_EQ(run({"pool"}, &out, &err), 1);
  EXPECT_EQ(err, "ERROR: t: Please specify one command of: list\n");
  EXPECT_EQ(run({"bogus"}, &out, &err), 1);
  EXPECT_NE(err.find("Unknown command `bogus'"), std::string::npos);
}

}  // namespace
}  // namespace cairn::tool
