// cairn: what is ours alone. `status` tells what a home holds, `check` proves offline that it is
// whole.
#include <cstdio>
#include <string>

#include "client/home.h"
#include "cmd/tool/format.h"
#include "cmd/tool/tool.h"

namespace cairn::tool {

namespace {

std::string home_name() {
  const char* home = std::getenv("CAIRN_HOME");
  return home != nullptr && *home != '\0' ? home : "~/.cairn";
}

std::string short_name(const client::PoolInfo& pool) {
  return pool.label.empty() ? to_string(pool.uuid).substr(0, 8) : pool.label;
}

Outcome status() {
  auto system = client::open_home({.path = {}, .create = false, .read_only = true});
  if (!system) return failure("cannot open the home " + home_name(), system.error());
  auto pools = (*system)->context().run((*system)->pool_list());
  auto closed = (*system)->shutdown();
  if (!pools) return failure("cannot list the pools", pools.error());
  if (!closed) return failure("cannot close the home", closed.error());
  Json list = Json::array();
  std::vector<std::vector<std::string>> rows;
  uint64_t metadata = 0;
  for (const client::PoolInfo& pool : *pools) {
    metadata += pool.meta_used;
    list.push_back({{"label", pool.label},
                    {"uuid", to_string(pool.uuid)},
                    {"data_total", pool.data_total},
                    {"data_free", pool.data_free},
                    {"meta_total", pool.meta_total},
                    {"meta_free", pool.meta_free},
                    {"meta_used", pool.meta_used}});
    rows.push_back({short_name(pool), si_bytes(pool.data_total + pool.meta_total),
                    si_bytes(pool.data_total - pool.data_free), si_bytes(pool.meta_used)});
  }
  std::string text = "Home " + home_name() + ": " + std::to_string(pools->size()) + " pool" +
                     (pools->size() == 1 ? "" : "s") + "\n";
  if (!rows.empty()) text += table({"Pool", "Size", "Data", "Metadata"}, rows);
  return Reply{text, {{"home", home_name()}, {"pools", list}, {"metadata_bytes", metadata}}};
}

Outcome check(bool quick) {
  auto report = client::check_home({}, !quick);
  if (!report) return failure("cannot check the home " + home_name(), report.error());
  Json parts = Json::array();
  std::string text;
  size_t problems = 0;
  for (const auto& part : report->parts) {
    problems += part.problems.size();
    parts.push_back({{"name", part.name},
                     {"pages", part.pages},
                     {"records", part.records},
                     {"blocks", part.blocks},
                     {"problems", part.problems}});
    text += part.name + ": " + std::to_string(part.pages) + " pages, " +
            std::to_string(part.records) + " records, " + std::to_string(part.blocks) +
            " blocks: " +
            (part.problems.empty() ? "clean" : std::to_string(part.problems.size()) + " problems") +
            "\n";
    for (const std::string& problem : part.problems) text += "  " + problem + "\n";
  }
  const Json response{{"clean", problems == 0}, {"parts", parts}};
  if (problems == 0) return Reply{text, response};
  std::fputs(text.c_str(), stderr);
  return std::unexpected(Failure{"the home " + home_name() + " is damaged (" +
                                     std::to_string(problems) +
                                     " problems, listed above); copy what is readable elsewhere "
                                     "and keep the home for analysis",
                                 -static_cast<int>(Errc::checksum),
                                 {},
                                 response});
}

}  // namespace

}  // namespace cairn::tool

int main(int argc, char** argv) {
  using namespace cairn::tool;
  Tool tool("cairn", "Looks at a home (CAIRN_HOME, default ~/.cairn) of the store");
  Command& status_command = tool.command("", "status", {}, "What the home holds");
  status_command.run = status;
  Command& check_command =
      tool.command("", "check", {}, "Proves offline that every store of the home is whole");
  bool quick = false;
  check_command.app->add_flag("-q,--quick", quick,
                              "do not read the data blocks, only all metadata");
  check_command.run = [&quick] { return check(quick); };
  return tool.main(argc, argv);
}
