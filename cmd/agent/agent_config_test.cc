#include "cmd/agent/agent_config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace cairn::agent {
namespace {

constexpr const char* kInsecure = "transport_config: {allow_insecure: true}\n";

AgentConfig good(const std::string& text) {
  ConfigOutcome out = parse_config(text + kInsecure, false);
  EXPECT_TRUE(out.config) << text << (out.errors.empty() ? "" : out.errors[0]);
  return out.config.value_or(AgentConfig{});
}
std::string bad(const std::string& text) {
  const ConfigOutcome out = parse_config(text, false);
  EXPECT_FALSE(out.config) << text;
  return out.errors.empty() ? "" : out.errors[0];
}

TEST(AgentConfig, Each_honoured_key_does_what_it_says) {
  EXPECT_EQ(good("").servers, std::vector<std::string>{"localhost:10001"});
  EXPECT_EQ(good("access_points: [a, 'b:7']\nport: 12\n").servers,
            (std::vector<std::string>{"a:12", "b:7"}));
  EXPECT_EQ(good("runtime_dir: /r\n").runtime_dir, "/r");
  EXPECT_EQ(good("log_file: /l\n").log_file, "/l");
  good("name: daos_server\n");
  EXPECT_EQ(bad("name: x\n").substr(0, 6), "name: ");
  EXPECT_EQ(bad("port: 0\n").substr(0, 6), "port: ");
  EXPECT_EQ(bad("access_points: []\n").substr(0, 15), "access_points: ");
  EXPECT_EQ(bad("runtime_dir: r\n").substr(0, 13), "runtime_dir: ");
  EXPECT_NE(bad("{}").find("certificates"), std::string::npos);
  EXPECT_TRUE(parse_config("{}", true).config);
}

TEST(AgentConfig, Each_noted_key_is_accepted_with_one_notice) {
  for (const tool::KeyRule& rule : key_rules()) {
    if (rule.handling != tool::Handling::noted) continue;
    std::string line(rule.path);
    const size_t dot = line.find('.');
    line = dot == line.npos ? line + ": 7\n"
                            : line.substr(0, dot) + ": {" + line.substr(dot + 1) + ": 7}\n";
    const ConfigOutcome out = parse_config(line, true);
    EXPECT_TRUE(out.config) << line;
    EXPECT_EQ(out.notices.size(), 1u) << line;
  }
  EXPECT_NE(bad("nosuch: 1\n").find("unknown key"), std::string::npos);
}

TEST(AgentConfig, The_table_in_the_documentation_is_the_programs) {
  std::ifstream file(CAIRN_SOURCE_DIR "/docs/server.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string table;
  for (const tool::KeyRule& rule : key_rules()) {
    table += "| `" + std::string(rule.path) + "` | " +
             (rule.handling == tool::Handling::honoured ? "honoured" : "notice") + " | " +
             std::string(rule.says) + " |\n";
  }
  EXPECT_NE(text.str().find(table), std::string::npos) << table;
}

}  // namespace
}  // namespace cairn::agent
