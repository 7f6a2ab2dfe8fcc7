// Copies a tree from one side to another with many threads: most entries are small, and each costs
// a few waits for media, so that the rate is (entries in flight) / (time of one).
//
// Order: a directory is made before what is in it, and gets its mode and time after that; a file is
// created, written, and then gets mode and time in one update; only then is it reported. Entries
// are taken newest first, so that few directories are open at once.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "cmd/daos/copy_side.h"

namespace cairn::tool {

struct CopyOptions {
  unsigned threads = 32;
  int report_fd = -1;   // one line per file or link that is durable at the destination
  bool progress = true;
};

struct CopyCounts {
  std::atomic<uint64_t> dirs{0}, files{0}, links{0}, bytes{0};
  std::atomic<uint64_t> errors{0};
  std::atomic<uint64_t> skipped{0};      // sockets, fifos, devices
  std::atomic<uint64_t> cut_modes{0};    // mode bits that the destination does not keep
  std::atomic<uint64_t> hard_links{0};   // files that have other names, too
  std::atomic<uint64_t> files_expected{0}, bytes_expected{0};  // as far as counted
  std::atomic<bool> counted{false};
};

class CopyEngine {
 public:
  CopyEngine(Side& from, Side& to, CopyOptions options);

  /// Copies `top`, shown as `shown`, to `name` in `into`; an empty name: the directory's entries
  /// into `into` itself. Blocks until all is done. Errors are told on stderr and counted.
  void run(const Side::Entry& top, Side::HandlePtr into, const std::string& name,
           const std::string& shown);

  /// After run(): whether it ended early, because nothing more could succeed.
  bool stopped() const { return stopped_; }

  /// A thread may count what there is to copy meanwhile, for the time left.
  CopyCounts counts;

 private:
  /// A directory that is being copied; finished when the last reference goes.
  struct Dir;
  using DirPtr = std::shared_ptr<Dir>;
  /// A large file, written in pieces by several threads.
  struct BigFile;
  struct Task {
    DirPtr dir;
    std::string name;
    std::shared_ptr<BigFile> big;
  };

  void work();
  void push(std::vector<Task> tasks);
  void progress_loop();
  void print_progress(double seconds, bool last);

  void copy_entry(const DirPtr& dir, const std::string& name);
  void copy_dir(const DirPtr& parent, const std::string& name, const struct stat& info);
  void fill_dir(const DirPtr& dir);
  void copy_file(const DirPtr& dir, const std::string& name, Side::Entry entry);
  void copy_link(const DirPtr& dir, const std::string& name, const Side::Entry& entry);
  void copy_pieces(BigFile& big);
  void finish_file(Dir& dir, const std::string& path, Side::Handle& file, const struct stat& info);
  void finish_dir(Dir* dir);
  /// @returns whether all bytes arrived
  bool copy_bytes(Side::Handle& source, Side::Handle& target, uint64_t offset, uint64_t bytes,
                  const std::string& path);
  void note(const struct stat& info, const std::string& path);
  void skip(const std::string& path, uint32_t mode);
  void fail(const std::string& path, const char* step, int number, bool at_destination);
  void report(const std::string& path);
  void say(const std::string& line);

  Side& from_;
  Side& to_;
  const CopyOptions options_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point started_;

  std::mutex mutex_;                 // of the next four
  std::condition_variable changed_;
  std::vector<Task> tasks_;          // newest last
  unsigned working_ = 0;
  bool ended_ = false;

  std::atomic<bool> stopped_{false};  // nothing more can succeed
  std::mutex out_;                    // of stderr
  bool line_open_ = false;            // a progress line is being shown
};

}  // namespace cairn::tool
