// file.*: small files through libdfs beside the file system of the disk under test ("ext4" in names
// of peers; the line says which one it is).
#include <vector>

#include "bench/file_side.h"
#include "bench/harness.h"
#include "runtime/random.h"

namespace cairn::bench {

namespace {

Side creating(Run& run, FileSystem& files, size_t threads, int& round) {
  return [&run, &files, threads, &round] {
    auto folder = files.make_folder("round" + std::to_string(round++));
    return create_files(*folder, threads, run.seconds, UINT64_MAX);
  };
}

Extra disk_of(const Run& run) {
  return [name = file_system_name(run.directory)](double) {
    return "\"file_system\": \"" + name + "\"";
  };
}

void create_case(Run& run, size_t our_threads, size_t their_threads, bool fsync) {
  DfsFiles ours(run.directory);
  HostFiles theirs(run.directory + "/files", {.fsync = fsync});
  int our_round = 0;
  int their_round = 0;
  run.compare(creating(run, ours, our_threads, our_round),
              {std::string(fsync ? "ext4.fsync." : "ext4.nofsync.") +
                   std::to_string(their_threads) + (their_threads == 1 ? "thread" : "threads"),
               creating(run, theirs, their_threads, their_round)},
              disk_of(run));
}

enum class Look { stat, read };

void look_case(Run& run, Look look, bool direct) {
  DfsFiles ours(run.directory);
  HostFiles theirs(run.directory + "/files", {.direct = direct});
  const uint64_t files = run.smoke ? 200 : 20'000;
  constexpr size_t kMakers = 16;
  auto our_folder = ours.make_folder("top");
  auto their_folder = theirs.make_folder("top");
  for (Folder* folder : {our_folder.get(), their_folder.get()}) {
    create_files(*folder, kMakers, 0, files / kMakers);
  }
  SeededRandom random(1);
  const auto side = [&](Folder& folder) {
    return rate_of(run.seconds, 100, [&] {
      for (int i = 0; i < 100; ++i) {
        const std::string name = file_name(random.below(kMakers), random.below(files / kMakers));
        look == Look::stat ? folder.stat(name) : folder.read(name);
      }
    });
  };
  run.compare([&] { return side(*our_folder); },
              {direct ? "ext4.O_DIRECT" : "ext4.cached", [&] { return side(*their_folder); }},
              disk_of(run));
}

void metadata_case(Run& run) {
  constexpr size_t kThreads = 64;
  const uint64_t each = run.smoke ? 20 : 1600;
  const auto files = static_cast<double>(kThreads * each);
  DfsFiles ours(run.directory);
  {
    auto folder = ours.make_folder("top");
    create_files(*folder, kThreads, 0, each);
  }
  const auto bytes = static_cast<double>(ours.meta_bytes_after_close());
  run.report(bytes / files, "DAOS", 1024,
             "\"files\": " + std::to_string(kThreads * each) + ", \"lower_is_better\": true");
}

}  // namespace

void add_file_cases(std::vector<Case>& cases) {
  struct {
    const char* name;
    size_t ours, theirs;
    bool fsync;
  } constexpr kCreates[] = {{"1thread.fsync1", 1, 1, true},
                            {"1thread.nofsync1", 1, 1, false},
                            {"64threads.fsync1", 64, 1, true},
                            {"64threads.fsync64", 64, 64, true},
                            {"64threads.nofsync64", 64, 64, false}};
  for (const auto& c : kCreates) {
    cases.push_back({std::string("file.create.4KiB.") + c.name, "files/s",
                     [c](Run& run) { create_case(run, c.ours, c.theirs, c.fsync); }});
  }
  cases.push_back({"file.stat.4KiB", "op/s", [](Run& run) { look_case(run, Look::stat, false); }});
  cases.push_back(
      {"file.read.4KiB.cached", "op/s", [](Run& run) { look_case(run, Look::read, false); }});
  cases.push_back(
      {"file.read.4KiB.direct", "op/s", [](Run& run) { look_case(run, Look::read, true); }});
  cases.push_back({"file.metadata.4KiB", "B/file", [](Run& run) { metadata_case(run); }});
}

}  // namespace cairn::bench
