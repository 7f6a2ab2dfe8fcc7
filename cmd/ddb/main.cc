// ddb: looks at one shard of a home, and edits it, while nobody serves it.
//
//   ddb [options] COMMAND [arguments]     one command
//   ddb [options] -f FILE                 one command a line, up to the first that fails
//   ddb [options]                         a shell: one command a line from stdin
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>

#include "cmd/ddb/ddb.h"

namespace cairn::ddb {

namespace {

struct Options {
  std::string file, database, log_directory, debug_level;
  bool version = false;
};

void add_commands(tool::Tool& tool, Ddb& ddb) {
  add_tree_commands(tool, ddb);
  add_dump_commands(tool, ddb);
  add_other_commands(tool, ddb);
}

/// Options that stand before the command; those of the reference that choose where its own log goes
/// are taken and do nothing.
void add_options(tool::Tool& tool, Ddb& ddb, Options& o) {
  CLI::App& app = tool.app();
  app.add_flag("-w,--write_mode", ddb.writable, "allow commands that change the shard");
  app.add_option("-s,--vos_path", ddb.place.directory, "a pool's directory, HOME/pools/UUID");
  app.add_option("--home,-p,--db_path", ddb.place.home, "a home (default CAIRN_HOME)");
  app.add_option("--pool", ddb.place.pool, "the pool's label or UUID");
  app.add_option("--target", ddb.place.target, "the target whose shard it is (default 0)");
  app.add_option("-f,--cmd_file", o.file, "run the commands of a file");
  app.add_option("--debug", o.debug_level, "taken and ignored; CAIRN_LOG chooses what is reported");
  app.add_option("--log_dir", o.log_directory, "taken and ignored; reports go to stderr");
  app.add_flag("-v,--version", o.version, "print the version");
}

/// One command line of a file or of the shell. @returns its exit status
int run_line(Ddb& ddb, const std::string& line, bool json) {
  const auto words = split_words(line);
  tool::Tool tool("ddb", "commands");
  add_commands(tool, ddb);
  if (!words) {
    std::fprintf(stderr, "ERROR: ddb: a quote is left open in: %s\n", line.c_str());
    return 1;
  }
  if (words->empty()) return 0;
  std::vector<char*> argv{const_cast<char*>("ddb")};
  for (const std::string& word : *words) argv.push_back(const_cast<char*>(word.c_str()));
  if (json) argv.push_back(const_cast<char*>("--json"));
  return tool.main(static_cast<int>(argv.size()), argv.data());
}

/// Commands of a file: the first failure ends it.
int run_file(Ddb& ddb, const std::string& name, bool json) {
  std::ifstream file(name);
  if (!file) {
    std::fprintf(stderr, "ERROR: ddb: cannot read %s\n", name.c_str());
    return 1;
  }
  std::string line;
  for (size_t number = 1; !ddb.quit && std::getline(file, line); ++number) {
    if (run_line(ddb, line, json) == 0) continue;
    std::fprintf(stderr, "ERROR: ddb: %s ends at line %zu; what stands before it is done\n",
                 name.c_str(), number);
    return 1;
  }
  return 0;
}

/// The shell: a failure does not end it. Where stdin is no terminal, the last command's status is
/// the shell's.
int run_shell(Ddb& ddb, bool json) {
  const bool prompt = isatty(STDIN_FILENO) != 0;
  int status = 0;
  std::string line;
  for (;;) {
    if (prompt) {
      std::fputs("ddb> ", stdout);
      std::fflush(stdout);
    }
    if (ddb.quit || !std::getline(std::cin, line)) break;
    status = run_line(ddb, line, json);
    if (ddb.quit) break;
  }
  return prompt ? 0 : status;
}

int finish(Ddb& ddb, int status) {
  if (!ddb.session) return status;
  const auto closed = ddb.session->close();
  ddb.session.reset();
  if (closed) return status;
  std::fprintf(stderr, "ERROR: ddb: closed without a checkpoint: %s\n", closed.error().what());
  return 1;
}

}  // namespace

}  // namespace cairn::ddb

int main(int argc, char** argv) {
  using namespace cairn::ddb;
  cairn::tool::Tool tool("ddb", "Looks at one shard of a home, offline, and edits it with -w");
  Ddb ddb;
  Options options;
  add_commands(tool, ddb);
  add_options(tool, ddb, options);
  tool.without_command([&] {
    if (options.version) return run_line(ddb, "version", tool.json());
    return options.file.empty() ? run_shell(ddb, tool.json())
                                : run_file(ddb, options.file, tool.json());
  });
  return finish(ddb, tool.main(argc, argv));
}
