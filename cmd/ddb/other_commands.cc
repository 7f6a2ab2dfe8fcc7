// Sessions, and the commands of the reference's tool that have no object here.
#include "cmd/ddb/ddb.h"
#include "index/page_format.h"
#include "index/record_format.h"
#include "media/wal_format.h"

namespace cairn::ddb {

namespace {

using tool::Json;
using tool::Outcome;
using tool::Reply;

struct Refused {
  const char* name;
  const char* why;
};

constexpr const char* kNoIncarnationLog =
    "there is no incarnation log: a key exists while it has records; `records PATH` lists them "
    "with their epochs";
constexpr const char* kNoTransactionTable =
    "there is no table of transactions: a transaction is one record of the log (`log_dump`), whole "
    "or absent after a crash";
constexpr const char* kNoDeviceTable =
    "there is no table of devices: a shard is the three files wal, meta and data of its directory; "
    "`superblock_dump` shows their lengths";

constexpr Refused kRefused[] = {
    {"ilog_dump", kNoIncarnationLog},
    {"ilog_commit", kNoIncarnationLog},
    {"ilog_clear", kNoIncarnationLog},
    {"dtx_dump", kNoTransactionTable},
    {"dtx_cmt_clear", kNoTransactionTable},
    {"dtx_act_commit", kNoTransactionTable},
    {"dtx_act_abort", kNoTransactionTable},
    {"dtx_act_discard_invalid", kNoTransactionTable},
    {"dtx_stat", kNoTransactionTable},
    {"dtx_aggr", kNoTransactionTable},
    {"smd_sync", kNoDeviceTable},
    {"dev_list", kNoDeviceTable},
    {"dev_replace", kNoDeviceTable},
    {"vea_update",
     "free space is what no record owns, and is not edited; `space_dump` shows it, `cairn check` "
     "compares it with the records"},
    {"feature",
     "there are no feature flags: each format has a version; `version` and `superblock_dump` show "
     "them"},
    {"rm_pool", "a pool goes with `dmg pool destroy`, which also removes its files"},
    {"prov_mem",
     "metadata is read from the file meta on demand, so no memory is provisioned; nothing is to be "
     "done"},
};

}  // namespace

Found<Session*> Ddb::get() {
  if (session) return session.get();
  if (place.directory.empty() && place.pool.empty()) {
    return std::unexpected(tool::Failure{
        "no shard is open; give a pool's directory with -s, or --home and --pool (in the shell: "
        "`open DIRECTORY`)",
        tool::kStatusMisc,
        {},
        {}});
  }
  auto opened = Session::open(place, writable);
  if (!opened) {
    return tool::failure(
        "cannot open " + (place.directory.empty() ? "pool " + place.pool : place.directory),
        opened.error());
  }
  session = std::move(*opened);
  return session.get();
}

Found<Session*> Ddb::get_writable() {
  if (!writable) {
    return std::unexpected(tool::Failure{
        "this changes the shard: start ddb with -w", -static_cast<int>(Errc::no_perm), {}, {}});
  }
  return get();
}

void add_other_commands(tool::Tool& tool, Ddb& ddb) {
  const auto directory = std::make_shared<std::string>();
  tool::Command& open = tool.command("", "open", {}, "Open the shard in a pool's directory");
  open.app->add_option("directory", *directory, "HOME/pools/UUID")->required();
  open.run = [&ddb, directory]() -> Outcome {
    if (ddb.session) return tool::refuse("a shard is open; `close` it first");
    ddb.place = {.directory = *directory, .home = {}, .pool = {}};
    const auto session = ddb.get();
    if (!session) return std::unexpected(session.error());
    return Reply{"", {{"directory", (*session)->directory()}, {"writable", ddb.writable}}};
  };
  tool.command("", "close", {}, "Close the shard").run = [&ddb]() -> Outcome {
    if (!ddb.session) return tool::refuse("no shard is open");
    const auto closed = ddb.session->close();
    ddb.session.reset();
    ddb.place = {};
    if (!closed) return tool::failure("closed without a checkpoint", closed.error());
    return Reply{"", nullptr};
  };
  tool.command("", "version", {}, "Versions of the program and of the formats it knows").run =
      []() -> Outcome {
    const Json formats{{"superblock", index::kSuperblockVersion},
                       {"log", media::kWalVersion},
                       {"log_record", index::kRecordVersion}};
    std::string text = "ddb " CAIRN_VERSION "\n";
    for (const auto& [name, version] : formats.items()) {
      text += "format " + name + ": " + version.dump() + "\n";
    }
    return Reply{text, {{"version", CAIRN_VERSION}, {"formats", formats}}};
  };
  tool.command("", "quit", {"q", "exit"}, "End the shell").run = [&ddb]() -> Outcome {
    ddb.quit = true;
    return Reply{"", nullptr};
  };
  for (const Refused& refused : kRefused) {
    tool::Command& command = tool.command("", refused.name, {}, "not here: says what to use");
    command.app->group("");  // help does not show it
    const auto words = std::make_shared<std::vector<std::string>>();
    command.app->add_option("words", *words);
    command.run = [&refused, words]() -> Outcome {
      return tool::refuse(std::string(refused.name) + ": " + refused.why,
                          -static_cast<int>(Errc::not_supported));
    };
  }
}

std::optional<std::vector<std::string>> split_words(const std::string& line) {
  std::vector<std::string> words;
  bool inside = false;  // of a word
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        words.back() += c;
      }
      continue;
    }
    if (c == ' ' || c == '\t' || c == '\r') {
      inside = false;
      continue;
    }
    if (c == '#' && !inside) break;
    if (!inside) words.emplace_back();
    inside = true;
    if (c == '\'' || c == '"') {
      quote = c;
    } else {
      words.back() += c;
      if (c == '\\' && i + 1 < line.size()) words.back() += line[++i];
    }
  }
  if (quote != 0) return std::nullopt;
  return words;
}

}  // namespace cairn::ddb
