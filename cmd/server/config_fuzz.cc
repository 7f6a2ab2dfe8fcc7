// Fuzzer of the configuration file and of the launch file that is made from one: any text either is
// told what is wrong with it, or gives a configuration that keeps its bounds and can be written.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "cmd/embed/launch_file.h"
#include "cmd/server/config.h"

using namespace cairn;

namespace {

void configuration(std::string_view text) {
  const server::ConfigOutcome out = server::parse_config(text);
  CHECK(out.config.has_value() == out.errors.empty());
  if (!out.config) return;
  CHECK(!out.config->engines.empty() && out.config->engines.size() <= 64);
  CHECK(out.config->allow_insecure && out.config->home().front() == '/');
  for (const server::EngineConfig& engine : out.config->engines) {
    CHECK(engine.targets >= 1 && engine.targets <= 64);
    CHECK(!engine.tiers.empty() && engine.tiers.front().kind == server::TierClass::ram);
    for (size_t i = 1; i < engine.tiers.size(); ++i) CHECK(engine.tiers[i].roles.any());
  }
}

void launch(std::string_view text) {
  size_t line = 0;
  const auto parsed = embed::parse_launch(text, &line);
  if (!parsed) return;
  CHECK(embed::parse_launch(embed::format_launch(*parsed), &line) == *parsed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_chars(view_of(data, size));
  configuration(text);
  launch(text);
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (
      const char* text :
      {"provider: ofi+tcp\ntransport_config: {allow_insecure: true}\nengines:\n- targets: 1\n"
       "  fabric_iface: lo\n  fabric_iface_port: 31416\n  storage:\n"
       "  - {class: ram, scm_mount: /m}\n  - {class: file, bdev_list: [/b], bdev_size: 16}\n",
       "provider: ofi+tcp\ncontrol_metadata: {path: /c}\ntransport_config: {allow_insecure: true}\n"
       "engines: [{targets: 2, fabric_iface: lo, fabric_iface_port: 1, env_vars: [A=1],\n"
       "storage: [{class: ram, scm_mount: /m}, {class: kdev, bdev_list: [/d], bdev_roles: [wal]},\n"
       "{class: kdev, bdev_list: [/e], bdev_roles: [meta, data]}]}]\n",
       "a: &a [*a]\nengines: *a\n", "? [x]\n: {y: z}\nname: !!binary x\n",
       "cairn launch 1\nrestart no\nengine 0\nlisten tcp:1.2.3.4:5\nlog /x y\nlevel info\n"
       "cores 0-3\nenv A=B\nengine 7\n"}) {
    seeds.push_back(testing::seed_of(std::string_view(text)));
  }
  return seeds;
}
