// The commands of ddb. Each function adds some to a tool; they run on whatever session is open.
#pragma once

#include <memory>
#include <string>

#include "cmd/ddb/session.h"
#include "cmd/ddb/tree_path.h"
#include "cmd/tool/tool.h"

namespace cairn::ddb {

/// What the commands of one run of ddb share.
struct Ddb {
  Place place;
  bool writable = false;
  bool quit = false;  // the shell ends
  std::unique_ptr<Session> session;

  /// The session, opened if it is not. @error what it prints is on stderr already
  Found<Session*> get();
  /// As get(), refused without write mode.
  Found<Session*> get_writable();
};

/// ls, records, value_dump, value_load, rm, csum_dump.
void add_tree_commands(tool::Tool& tool, Ddb& ddb);
/// superblock_dump, log_dump, space_dump.
void add_dump_commands(tool::Tool& tool, Ddb& ddb);
/// open, close, version, and those of the reference that mean nothing here.
void add_other_commands(tool::Tool& tool, Ddb& ddb);

/// A record of the tree: where it stands and what it says, without its payload. Never fails: what
/// cannot be read is said so.
tool::Json record_json(ByteView key, ByteView value);
std::string record_line(const tool::Json& record);

/// Words of a line: separated by blanks; '...' and "..." hold blanks, \ only outside of them keeps
/// itself and the next character (it is a part of paths). Nullopt: a quote is left open.
std::optional<std::vector<std::string>> split_words(const std::string& line);

}  // namespace cairn::ddb
