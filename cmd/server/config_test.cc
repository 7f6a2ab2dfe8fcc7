// The configuration of daos_server, key by key.
#include "cmd/server/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "cmd/server/config_keys.h"
#include "cmd/server/replica.h"

namespace cairn::server {
namespace {

/// A whole configuration; `top` and `engine` are more lines of their maps.
std::string file_with(const std::string& top, const std::string& engine = "",
                      const std::string& storage =
                          "  storage:\n"
                          "  - {class: ram, scm_mount: /mnt/daos0}\n"
                          "  - {class: file, bdev_list: [/var/b0], bdev_size: 16}\n") {
  std::string text;
  if (top.find("provider:") == top.npos) text += "provider: ofi+tcp\n";
  if (top.find("transport_config:") == top.npos) {
    text += "transport_config: {allow_insecure: true}\n";
  }
  text += top + "engines:\n";
  text += "- targets: 1\n";
  if (engine.find("fabric_iface:") == engine.npos) text += "  fabric_iface: lo\n";
  if (engine.find("fabric_iface_port:") == engine.npos) text += "  fabric_iface_port: 31416\n";
  return text + engine + storage;
}

std::string all_of(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

ServerConfig good(const std::string& text) {
  ConfigOutcome out = parse_config(text);
  EXPECT_TRUE(out.config) << text << all_of(out.errors);
  return out.config.value_or(ServerConfig{});
}

/// What is wrong with it, all lines.
std::string bad(const std::string& text) {
  const ConfigOutcome out = parse_config(text);
  EXPECT_FALSE(out.config) << text;
  return all_of(out.errors);
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

using Check = std::function<void()>;

/// For each honoured key: what it does, and what it does not take.
std::map<std::string, Check> honoured_checks() {
  std::map<std::string, Check> out;
  out["name"] = [] {
    good(file_with("name: daos_server\n"));
    EXPECT_SAYS(bad(file_with("name: other\n")), "name: 'other'");
  };
  out["mgmt_svc_replicas"] = [] {
    EXPECT_EQ(good(file_with("mgmt_svc_replicas: [localhost]\n")).replicas,
              std::vector<std::string>{"localhost"});
    EXPECT_SAYS(bad(file_with("mgmt_svc_replicas: [a, b, c]\n")), "one replica");
  };
  out["access_points"] = [] {
    EXPECT_EQ(good(file_with("access_points: ['h:10001']\n")).replicas,
              std::vector<std::string>{"h:10001"});
    EXPECT_SAYS(bad(file_with("access_points: [a]\nmgmt_svc_replicas: [a]\n")), "old name");
  };
  out["control_metadata.path"] = [] {
    const auto config = good(file_with("control_metadata: {path: /var/daos}\n"));
    EXPECT_EQ(config.home(), "/var/daos/daos_control");
    EXPECT_TRUE(config.md_on_ssd());
    EXPECT_EQ(good(file_with("")).home(), "/mnt/daos0/daos_control");
    EXPECT_SAYS(bad(file_with("control_metadata: {path: relative}\n")), "absolute");
  };
  out["port"] = [] {
    EXPECT_EQ(good(file_with("")).port, 10'001);
    EXPECT_EQ(good(file_with("port: 12345\n")).port, 12'345);
    for (const char* wrong : {"0", "65536", "-1", "ten", "1e3", "''", "[1]"}) {
      EXPECT_SAYS(bad(file_with("port: " + std::string(wrong) + "\n")), "port: ");
    }
  };
  out["control_iface"] = [] {
    EXPECT_EQ(good(file_with("control_iface: eth0\n")).control_iface, "eth0");
  };
  out["transport_config.allow_insecure"] = [] {
    EXPECT_SAYS(bad(file_with("transport_config: {allow_insecure: false}\n")), "certificates");
    EXPECT_SAYS(bad(file_with("transport_config: {allow_insecure: 1}\n")), "true or false");
  };
  out["provider"] = [] {
    EXPECT_EQ(good(file_with("provider: ofi+tcp;ofi_rxm\n")).provider, "ofi+tcp;ofi_rxm");
    for (const char* each : {"ofi+sockets", "ofi+shm", "ofi+verbs;ofi_rxm", "ofi+cxi", "ofi+efa"}) {
      EXPECT_EQ(good(file_with(std::string("provider: ") + each + "\n")).provider, each);
    }
    EXPECT_SAYS(bad(file_with("provider: ofi+verbs\n")), "ofi+tcp");
    EXPECT_SAYS(bad(file_with("provider: ''\n")), "say which");
  };
  out["core_dump_filter"] = [] {
    EXPECT_EQ(good(file_with("core_dump_filter: 0x13\n")).core_dump_filter, 0x13u);
    EXPECT_EQ(good(file_with("")).core_dump_filter, std::nullopt);
    EXPECT_SAYS(bad(file_with("core_dump_filter: 0xg\n")), "core_dump_filter");
  };
  out["control_log_mask"] = [] {
    EXPECT_EQ(good(file_with("control_log_mask: DEBUG\n")).control_log_mask, "DEBUG");
    EXPECT_SAYS(bad(file_with("control_log_mask: LOUD\n")), "no level");
  };
  out["control_log_file"] = [] {
    EXPECT_EQ(good(file_with("control_log_file: /tmp/s.log\n")).control_log_file, "/tmp/s.log");
  };
  out["disable_engine_auto_restart"] = [] {
    EXPECT_TRUE(good(file_with("")).auto_restart);
    EXPECT_FALSE(good(file_with("disable_engine_auto_restart: true\n")).auto_restart);
  };
  out["engine_auto_restart_min_delay"] = [] {
    EXPECT_EQ(good(file_with("engine_auto_restart_min_delay: 5\n")).restart_delay_seconds, 5u);
    EXPECT_SAYS(bad(file_with("engine_auto_restart_min_delay: 5\n"
                              "disable_engine_auto_restart: true\n")),
                "does not go with");
  };
  return out;
}

void add_engine_checks(std::map<std::string, Check>& out) {
  out["engines"] = [] {
    EXPECT_EQ(good(file_with("")).engines.size(), 1u);
    EXPECT_SAYS(bad("provider: ofi+tcp\ntransport_config: {allow_insecure: true}\n"), "needs one");
    EXPECT_SAYS(bad("engines: 3\n"), "list of maps");
    EXPECT_SAYS(bad("engines: [1]\n"), "list of maps");
  };
  out["engines.targets"] = [] {
    EXPECT_EQ(good(file_with("")).engines[0].targets, 1u);
    EXPECT_SAYS(bad("engines: [{targets: 0}]\n"), "engines.targets: '0'");
    EXPECT_SAYS(bad("engines: [{targets: 65}]\n"), "from 1 to 64");
    EXPECT_SAYS(bad("engines: [{}]\n"), "how many targets");
  };
  out["engines.first_core"] = [] {
    EXPECT_EQ(good(file_with("", "  first_core: 2\n")).engines[0].first_core, 2u);
    EXPECT_SAYS(bad(file_with("", "  first_core: x\n")), "first_core");
    EXPECT_SAYS(bad(file_with("", "  first_core: 65536\n")), "first_core");
    EXPECT_SAYS(parse_config(file_with(""), {.targets = 2, .first_core = 65535}).errors.at(0),
                "its last core");
  };
  out["engines.fabric_iface"] = [] {
    EXPECT_EQ(good(file_with("", "  fabric_iface: eth1\n")).engines[0].fabric_iface, "eth1");
    EXPECT_SAYS(bad("engines: [{targets: 1}]\n"), "give an interface");
  };
  out["engines.fabric_iface_port"] = [] {
    EXPECT_EQ(good(file_with("", "  fabric_iface_port: 7\n")).engines[0].fabric_iface_port, 7u);
    EXPECT_SAYS(bad(file_with("", "  fabric_iface_port: 10001\n")), "the system itself");
    EXPECT_SAYS(bad("engines: [{targets: 1}]\n"), "give a port");
  };
  out["engines.provider"] = [] {
    EXPECT_EQ(good(file_with("", "  provider: ofi+shm\n")).engines[0].provider, "ofi+shm");
    EXPECT_SAYS(bad(file_with("", "  provider: ucx+dc_x\n")), "engines.provider");
  };
  out["engines.log_mask"] = [] {
    EXPECT_EQ(good(file_with("", "  log_mask: 'ERR,mgmt=DEBUG'\n")).engines[0].log_mask,
              "ERR,mgmt=DEBUG");
    EXPECT_SAYS(bad(file_with("", "  log_mask: LOUD\n")), "engines.log_mask");
  };
  out["engines.log_file"] = [] {
    EXPECT_EQ(good(file_with("", "  log_file: /tmp/e\n")).engines[0].log_file, "/tmp/e");
  };
  out["engines.env_vars"] = [] {
    EXPECT_EQ(good(file_with("", "  env_vars: [A=1, B=]\n")).engines[0].env_vars,
              (std::vector<std::string>{"A=1", "B="}));
    EXPECT_SAYS(bad(file_with("", "  env_vars: [A]\n")), "NAME=value");
    EXPECT_SAYS(bad(file_with("", "  env_vars: ['=A']\n")), "NAME=value");
    EXPECT_SAYS(bad(file_with("", "  env_vars: [\"A=x\\nlisten y\"]\n")), "list of words");
    EXPECT_SAYS(bad(file_with("", "  log_file: \"/x\\ny\"\n")), "control characters");
  };
}

std::string storage(const std::string& tiers) {
  return file_with("control_metadata: {path: /var/daos}\n", "", "  storage:\n" + tiers);
}
constexpr const char* kRam = "  - {class: ram, scm_mount: /mnt/daos0}\n";

void add_storage_checks(std::map<std::string, Check>& out) {
  out["engines.storage"] = [] {
    EXPECT_EQ(good(file_with("")).engines[0].tiers.size(), 2u);
    EXPECT_SAYS(bad(file_with("", "", "  storage: []\n")), "first tier is of class ram");
    EXPECT_SAYS(bad(storage(std::string(kRam) + kRam)), "only the first tier");
  };
  out["engines.storage.class"] = [] {
    const auto config =
        good(storage(std::string(kRam) + "  - {class: kdev, bdev_list: [/dev/x]}\n"));
    EXPECT_EQ(config.engines[0].tiers[1].kind, TierClass::kdev);
    EXPECT_SAYS(bad(storage("  - {class: nvme, bdev_list: ['0000:81:00.0']}\n")), "class: kdev");
    EXPECT_SAYS(bad(storage("  - {class: dcpm}\n")), "class: ram");
    EXPECT_SAYS(bad(storage("  - {class: disk}\n")), "'disk'");
    EXPECT_SAYS(bad(storage(std::string(kRam) + "  - {class: file, bdev_list: [/a]}\n" +
                            "  - {class: kdev, bdev_list: [/dev/b]}\n")),
                "do not mix");
  };
  out["engines.storage.scm_mount"] = [] {
    EXPECT_EQ(good(file_with("")).engines[0].tiers[0].scm_mount, "/mnt/daos0");
    EXPECT_SAYS(bad(storage("  - {class: ram}\n")), "absolute directory");
  };
  out["engines.storage.bdev_list"] = [] {
    EXPECT_EQ(good(file_with("")).engines[0].tiers[1].bdev_list,
              std::vector<std::string>{"/var/b0"});
    EXPECT_SAYS(bad(storage(std::string(kRam) + "  - {class: file}\n")), "needs a device");
    EXPECT_SAYS(
        bad(storage(std::string(kRam) + "  - {class: kdev, bdev_list: ['0000:81:00.0']}\n")),
        "absolute paths");
  };
  out["engines.storage.bdev_size"] = [] {
    EXPECT_EQ(good(file_with("")).engines[0].tiers[1].bdev_bytes, 16'000'000'000u);
    EXPECT_SAYS(
        bad(storage(std::string(kRam) + "  - {class: kdev, bdev_list: [/dev/x], bdev_size: 1}\n")),
        "is for files");
  };
  out["engines.storage.bdev_roles"] = [] {
    const std::string two = std::string(kRam) + "  - {class: file, bdev_list: [/a], bdev_roles: ";
    const std::string last = "  - {class: file, bdev_list: [/b], bdev_roles: ";
    const auto config = good(storage(two + "[wal]}\n" + last + "[meta, data]}\n"));
    EXPECT_EQ(config.engines[0].tiers[1].roles, (Roles{.wal = true}));
    EXPECT_EQ(config.engines[0].tiers[2].roles, (Roles{.meta = true, .data = true}));
    EXPECT_SAYS(bad(storage(two + "[wal, data]}\n" + last + "[meta]}\n")), "only with meta");
    EXPECT_SAYS(bad(storage(two + "[wal, meta]}\n" + last + "[meta, data]}\n")), "on one tier");
    EXPECT_SAYS(bad(storage(two + "[wal, meta]}\n")), "is missing");
    EXPECT_SAYS(bad(storage(two + "[log]}\n")), "'log'");
    EXPECT_SAYS(bad(storage(two + "[wal, wal]}\n")), "at most once");
    EXPECT_SAYS(bad(storage(two + "[wal]}\n  - {class: file, bdev_list: [/b]}\n")), "every tier");
    EXPECT_SAYS(bad(file_with("", "", "  storage:\n" + two + "[wal, meta, data]}\n")),
                "control_metadata.path");
  };
}

TEST(ServerConfig, Each_honoured_key_does_what_it_says) {
  auto checks = honoured_checks();
  add_engine_checks(checks);
  add_storage_checks(checks);
  for (const KeyRule& rule : key_rules()) {
    if (rule.handling != Handling::honoured) continue;
    SCOPED_TRACE(rule.path);
    const auto found = checks.find(std::string(rule.path));
    ASSERT_NE(found, checks.end()) << "no test for this key";
    found->second();
    checks.erase(found);
  }
  for (const auto& [path, check] : checks) ADD_FAILURE() << path << ": is no honoured key";
}

/// The file with one more key, where its path says.
std::string file_with_key(std::string_view path, const std::string& value) {
  const auto line = [&](std::string_view rest) {
    const size_t dot = rest.find('.');
    if (dot == rest.npos) return std::string(rest) + ": " + value;
    return std::string(rest.substr(0, dot)) + ": {" + std::string(rest.substr(dot + 1)) + ": " +
           value + "}";
  };
  if (path.starts_with("engines.storage.")) {
    const std::string key = line(path.substr(16));
    const bool device = path.find("bdev") != path.npos;
    return file_with("", "",
                     "  storage:\n  - {class: ram, scm_mount: /mnt/daos0" +
                         (device ? std::string() : ", " + key) +
                         "}\n  - {class: file, bdev_list: [/var/b0]" +
                         (device ? ", " + key : std::string()) + "}\n");
  }
  if (path.starts_with("engines.")) return file_with("", "  " + line(path.substr(8)) + "\n");
  if (path.starts_with("transport_config.")) {
    return file_with("transport_config: {allow_insecure: true, " + line(path.substr(17)) + "}\n");
  }
  return file_with(line(path) + "\n");
}

TEST(ServerConfig, Each_noted_key_is_accepted_with_one_notice) {
  for (const KeyRule& rule : key_rules()) {
    if (rule.handling != Handling::noted) continue;
    SCOPED_TRACE(rule.path);
    const ConfigOutcome out = parse_config(file_with_key(rule.path, "7"));
    EXPECT_TRUE(out.config) << all_of(out.errors);
    ASSERT_EQ(out.notices.size(), 1u) << all_of(out.notices);
    EXPECT_SAYS(out.notices[0], std::string(rule.path) + ": has no effect: ");
    EXPECT_TRUE(parse_config(file_with_key(rule.path, "[]")).notices.empty());
  }
}

TEST(ServerConfig, Each_refused_key_says_the_way_out) {
  for (const KeyRule& rule : key_rules()) {
    if (rule.handling != Handling::refused) continue;
    SCOPED_TRACE(rule.path);
    EXPECT_SAYS(bad(file_with_key(rule.path, "7")),
                std::string(rule.path) + ": " + std::string(rule.says));
  }
}

TEST(ServerConfig, Unknown_keys_and_what_is_no_configuration) {
  EXPECT_SAYS(bad(file_with("nosuch: 1\n")), "nosuch: unknown key, line 3");
  EXPECT_SAYS(bad(file_with("", "  nosuch: 1\n")), "engines.nosuch: unknown key");
  EXPECT_SAYS(bad(file_with("transport_config: {allow_insecure: true, nosuch: 1}\n")),
              "transport_config.nosuch");
  EXPECT_SAYS(bad(file_with("control_metadata: /var\n")), "has keys of its own");
  EXPECT_SAYS(bad(file_with("port: 1\nport: 2\n")), "twice");
  EXPECT_SAYS(bad(""), "not a map");
  EXPECT_SAYS(bad("- 1\n"), "not a map");
  EXPECT_SAYS(bad("a: [\n"), "not YAML");
  EXPECT_SAYS(bad("{a: b}: c\n"), "unknown key");
  EXPECT_SAYS(bad(std::string(2 << 20, '#')), "longer than a MiB");
  EXPECT_SAYS(bad("a: &a [*a]\n"), "unknown");
}

TEST(ServerConfig, The_command_line_goes_before_the_file) {
  const ConfigOutcome out =
      parse_config(file_with("port: 7\n"), {.port = 8, .targets = 3, .first_core = 1});
  ASSERT_TRUE(out.config);
  EXPECT_EQ(out.config->port, 8u);
  EXPECT_EQ(out.config->engines[0].targets, 3u);
  EXPECT_EQ(out.config->engines[0].first_core, 1u);
  EXPECT_FALSE(parse_config(file_with(""), {.port = 31416}).config) << "the engine's own";
}

TEST(ServerConfig, All_errors_are_told_at_once) {
  const std::string errors = bad("name: x\nport: 0\nengines: [{}]\n");
  for (const char* part : {"name: ", "port: ", "engines.targets: ", "provider: "}) {
    EXPECT_SAYS(errors, part);
  }
}

TEST(ServerConfig, Roles_are_chosen_where_no_tier_has_some) {
  std::string tiers = kRam;
  const Roles wal{.wal = true}, meta{.meta = true}, data{.data = true};
  tiers += "  - {class: file, bdev_list: [/a]}\n";
  EXPECT_EQ(good(storage(tiers)).engines[0].tiers[1].roles,
            (Roles{.wal = true, .meta = true, .data = true}));
  tiers += "  - {class: file, bdev_list: [/b]}\n";
  EXPECT_EQ(good(storage(tiers)).engines[0].tiers[1].roles, wal);
  EXPECT_EQ(good(storage(tiers)).engines[0].tiers[2].roles, (Roles{.meta = true, .data = true}));
  tiers += "  - {class: file, bdev_list: [/c]}\n";
  EXPECT_EQ(good(storage(tiers)).engines[0].tiers[2].roles, meta);
  EXPECT_EQ(good(storage(tiers)).engines[0].tiers[3].roles, data);
  EXPECT_SAYS(bad(storage(tiers + "  - {class: file, bdev_list: [/d]}\n")), "at most three");
  EXPECT_SAYS(bad(storage(kRam)), "holds the metadata");
}

TEST(ServerConfig, Engines_are_alike_and_share_nothing) {
  const auto two = [](const std::string& second) {
    return file_with("", "  log_file: /tmp/e0\n") + second;
  };
  const std::string fine =
      "- {targets: 1, fabric_iface: lo, fabric_iface_port: 31417, log_file: /tmp/e1, storage: ["
      "{class: ram, scm_mount: /mnt/daos1}, {class: file, bdev_list: [/var/b1]}]}\n";
  EXPECT_EQ(good(two(fine)).engines.size(), 2u);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = fine;
    return bad(two(text.replace(text.find(from), from.size(), to)));
  };
  EXPECT_SAYS(with("targets: 1", "targets: 2"), "the same for all");
  EXPECT_SAYS(with("31417", "31416"), "two engines");
  EXPECT_SAYS(with("/tmp/e1", "/tmp/e0"), "two engines");
  EXPECT_SAYS(with("/mnt/daos1", "/mnt/daos0"), "two engines");
  EXPECT_SAYS(with("/var/b1", "/var/b0"), "two engines");
  EXPECT_SAYS(with("[/var/b1]", "[/var/b1, /var/b2]"), "as many devices");
}

TEST(ServerConfig, The_table_in_the_documentation_is_the_programs) {
  std::ifstream file(CAIRN_SOURCE_DIR "/docs/server.md");
  std::stringstream text;
  text << file.rdbuf();
  std::string table;
  static constexpr const char* kWords[] = {"honoured", "notice", "refused"};
  for (const KeyRule& rule : key_rules()) {
    table += "| `" + std::string(rule.path) + "` | " + kWords[static_cast<int>(rule.handling)] +
             " | " + std::string(rule.says) + " |\n";
  }
  EXPECT_SAYS(text.str(), table);
}

TEST(Replicas, Say_on_which_machine_the_services_are) {
  setenv("CAIRN_LOG", "off", 1);
  const auto where = [](const std::string& replica, uint16_t port = 10'001) -> std::string {
    ServerConfig config;
    config.port = port;
    if (!replica.empty()) config.replicas = {replica};
    const auto found = services_of(config);
    if (!found) return "error";
    return *found ? (*found)->text : "here";
  };
  EXPECT_EQ(where(""), "here");
  EXPECT_EQ(where("localhost"), "here");
  EXPECT_EQ(where("127.0.0.1", 7), "here");
  EXPECT_EQ(where("localhost:10001"), "here");
  EXPECT_EQ(where("localhost:10002"), "localhost:10002") << "another server of this machine";
  EXPECT_EQ(where("192.0.2.1"), "192.0.2.1:10001");
  EXPECT_EQ(where("192.0.2.1", 7), "192.0.2.1:7");
  EXPECT_EQ(where("192.0.2.1:9", 7), "192.0.2.1:9");
  EXPECT_EQ(where("no.such.host.invalid"), "error");
  EXPECT_EQ(where("192.0.2.1:x"), "error");
}

}  // namespace
}  // namespace cairn::server
