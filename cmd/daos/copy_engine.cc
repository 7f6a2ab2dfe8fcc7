#include "cmd/daos/copy_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

namespace cairn::tool {

namespace {

/// Two chunks of the usual size.
constexpr uint64_t kPieceBytes = 2u << 20;
/// Larger files are copied by several threads.
constexpr uint64_t kBigBytes = 2 * kPieceBytes;
constexpr uint64_t kLanesMax = 8;
constexpr uint64_t kErrorsShown = 50;

char* piece_buffer() {
  thread_local std::vector<char> buffer(kPieceBytes);
  return buffer.data();
}

const char* way_out(int number, bool at_destination) {
  switch (number) {
    case ENOSPC:
    case EDQUOT:
      return "remove something there, or copy to a larger one";
    case EACCES:
    case EPERM:
      return "run as a user who may, or change its mode";
    case EEXIST:
    case EISDIR:
    case ENOTDIR:
    case ELOOP:
    case EINVAL:
      return at_destination ? "an entry of another kind is in the way there: remove it, or choose "
                              "another destination"
                            : "it changed meanwhile: copy it again";
    case ENOENT:
      return at_destination ? "its directory went away: copy again" : "it was removed meanwhile";
    case EMFILE:
    case ENFILE:
      return "raise the limit of open files (ulimit -n)";
    case EIO:
      return at_destination ? "the device refuses to write: see the lines above, then copy "
                              "again"
                            : "the device cannot read it: take it from another copy";
    case ENAMETOOLONG:
      return "shorten its name";
    default:
      return "copy it again";
  }
}

}  // namespace

struct CopyEngine::Dir {
  DirPtr parent;
  Side::HandlePtr source, target;
  std::string path;  // as shown
  struct stat info{};
  bool fresh = false;    // nobody else puts anything into the target
  bool finishes = true;  // gets mode and time at the end
};

struct CopyEngine::BigFile {
  DirPtr dir;
  std::string path;
  Side::HandlePtr source, target;
  struct stat info{};
  std::atomic<uint64_t> next{0};   // offset of the next piece
  std::atomic<uint64_t> lanes{0};  // threads that have not ended
  std::atomic<bool> failed{false};
};

CopyEngine::CopyEngine(Side& from, Side& to, CopyOptions options)
    : from_(from),
      to_(to),
      options_(options),
      terminal_(isatty(STDERR_FILENO) == 1),
      started_(std::chrono::steady_clock::now()) {}

void CopyEngine::run(const Side::Entry& top, Side::HandlePtr into, const std::string& name,
                     const std::string& shown) {
  auto above = std::make_shared<Dir>();
  above->target = std::move(into);
  const size_t slash = shown.rfind('/');
  above->path = slash == std::string::npos ? "" : shown.substr(0, slash);
  above->finishes = false;
  std::vector<std::thread> threads;
  {
    // The top is a task like the others, but already looked at.
    std::lock_guard lock(mutex_);
    ++working_;
  }
  for (unsigned i = 0; i < std::max(1u, options_.threads); ++i) {
    threads.emplace_back([this] { work(); });
  }
  std::thread watcher([this] { progress_loop(); });
  if (S_ISDIR(top.info.st_mode)) {
    auto dir = std::shared_ptr<Dir>(new Dir, [this](Dir* d) { finish_dir(d); });
    dir->path = shown;
    dir->info = top.info;
    auto source = from_.open_top_dir();
    SideResult<Side::HandlePtr> target = above->target;
    if (!name.empty()) target = to_.make_dir(*above->target, name, &dir->fresh);
    if (!source) fail(shown, "open", source.error(), false);
    if (source && !target) fail(shown, "make", target.error(), true);
    if (source && target) {
      dir->source = *source;
      dir->target = *target;
      dir->finishes = !name.empty();
      fill_dir(dir);
    } else {
      dir->finishes = false;
    }
  } else if (S_ISREG(top.info.st_mode)) {
    copy_file(above, name, top);
  } else {
    skip(shown, top.info.st_mode);
  }
  {
    std::lock_guard lock(mutex_);
    --working_;
    changed_.notify_all();
  }
  for (std::thread& thread : threads) thread.join();
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  watcher.join();
  // Others may still put entries into it; what is flat takes them, too.
  if (name.empty() && counts.dirs != 0 && !stopped_) to_.finish_top(*above->target);
}

void CopyEngine::push(std::vector<Task> tasks) {
  std::lock_guard lock(mutex_);
  for (Task& task : tasks) tasks_.push_back(std::move(task));
  if (tasks.size() == 1) {
    changed_.notify_one();
  } else {
    changed_.notify_all();
  }
}

void CopyEngine::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !tasks_.empty() || working_ == 0; });
    if (tasks_.empty()) return;
    Task task = std::move(tasks_.back());
    tasks_.pop_back();
    ++working_;
    lock.unlock();
    if (task.big) {
      copy_pieces(*task.big);
    } else if (!stopped_) {
      copy_entry(task.dir, task.name);
    }
    task = {};  // may finish directories
    lock.lock();
    if (--working_ == 0 && tasks_.empty()) changed_.notify_all();
  }
}

void CopyEngine::copy_entry(const DirPtr& dir, const std::string& name) {
  auto entry = from_.look(*dir->source, name);
  if (!entry) return fail(dir->path + "/" + name, "open", entry.error(), false);
  switch (entry->info.st_mode & S_IFMT) {
    case S_IFDIR:
      return copy_dir(dir, name, entry->info);
    case S_IFREG:
      return copy_file(dir, name, std::move(*entry));
    case S_IFLNK:
      return copy_link(dir, name, *entry);
    default:
      return skip(dir->path + "/" + name, entry->info.st_mode);
  }
}

void CopyEngine::copy_dir(const DirPtr& parent, const std::string& name, const struct stat& info) {
  auto dir = std::shared_ptr<Dir>(new Dir, [this](Dir* d) { finish_dir(d); });
  dir->parent = parent;
  dir->path = parent->path + "/" + name;
  dir->info = info;
  dir->finishes = false;
  auto source = from_.open_dir(*parent->source, name);
  if (!source) return fail(dir->path, "open", source.error(), false);
  auto target = to_.make_dir(*parent->target, name, &dir->fresh);
  if (!target) return fail(dir->path, "make", target.error(), true);
  dir->source = *source;
  dir->target = *target;
  dir->finishes = true;
  fill_dir(dir);
}

void CopyEngine::fill_dir(const DirPtr& dir) {
  counts.dirs++;
  note(dir->info, dir->path);
  auto names = from_.list(*dir->source);
  if (!names) return fail(dir->path, "list", names.error(), false);
  std::vector<Task> tasks;
  tasks.reserve(names->size());
  for (auto name = names->rbegin(); name != names->rend(); ++name) {
    tasks.push_back({dir, std::move(*name), nullptr});
  }
  if (!tasks.empty()) push(std::move(tasks));
}

void CopyEngine::finish_dir(Dir* dir) {
  if (dir->finishes && dir->target != nullptr) {
    const auto ok = to_.finish_dir(*dir->target, dir->info);
    if (!ok && !stopped_) fail(dir->path, "set mode and time of", ok.error(), true);
  }
  delete dir;
}

void CopyEngine::copy_file(const DirPtr& dir, const std::string& name, Side::Entry entry) {
  const std::string path = dir->path + "/" + name;
  auto target = to_.make_file(*dir->target, name, entry.info.st_mode, dir->fresh);
  if (!target) return fail(path, "create", target.error(), true);
  const auto bytes = static_cast<uint64_t>(entry.info.st_size);
  if (bytes <= kBigBytes) {
    if (copy_bytes(*entry.file, **target, 0, bytes, path)) {
      finish_file(*dir, path, **target, entry.info);
    }
    return;
  }
  auto big = std::make_shared<BigFile>();
  big->dir = dir;
  big->path = path;
  big->source = entry.file;
  big->target = *target;
  big->info = entry.info;
  const uint64_t lanes = std::min(kLanesMax, bytes / kPieceBytes);
  big->lanes = lanes;
  push(std::vector<Task>(lanes - 1, Task{nullptr, "", big}));
  copy_pieces(*big);
}

void CopyEngine::copy_pieces(BigFile& big) {
  const auto size = static_cast<uint64_t>(big.info.st_size);
  while (!big.failed && !stopped_) {
    const uint64_t at = big.next.fetch_add(kPieceBytes);
    if (at >= size) break;
    if (!copy_bytes(*big.source, *big.target, at, std::min(kPieceBytes, size - at), big.path)) {
      big.failed = true;
    }
  }
  if (--big.lanes == 0 && !big.failed && !stopped_) {
    finish_file(*big.dir, big.path, *big.target, big.info);
  }
}

bool CopyEngine::copy_bytes(Side::Handle& source, Side::Handle& target, uint64_t offset,
                            uint64_t bytes, const std::string& path) {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t piece = std::min(kPieceBytes, bytes - done);
    auto got = from_.read(source, offset + done, piece_buffer(), piece);
    if (!got) {
      fail(path, "read", got.error(), false);
      return false;
    }
    if (*got < piece) {
      fail(path, "read (it became shorter meanwhile)", ESTALE, false);
      return false;
    }
    const auto ok = to_.write(target, offset + done, piece_buffer(), piece);
    if (!ok) {
      fail(path, "write", ok.error(), true);
      return false;
    }
    done += piece;
    counts.bytes += piece;
  }
  return true;
}

void CopyEngine::finish_file(Dir& dir, const std::string& path, Side::Handle& file,
                             const struct stat& info) {
  const auto ok = to_.finish_file(*dir.target, file, info, options_.report_fd >= 0);
  if (!ok) return fail(path, "set mode and time of", ok.error(), true);
  counts.files++;
  note(info, path);
  report(path);
}

void CopyEngine::copy_link(const DirPtr& dir, const std::string& name, const Side::Entry& entry) {
  const std::string path = dir->path + "/" + name;
  const auto ok = to_.make_link(*dir->target, name, entry, options_.report_fd >= 0);
  if (!ok) return fail(path, "make the link", ok.error(), true);
  counts.links++;
  report(path);
}

void CopyEngine::note(const struct stat& info, const std::string& path) {
  if ((info.st_mode & 07777 & ~kKeptModeBits) != 0 && counts.cut_modes++ == 0) {
    say("NOTICE: daos: the sticky bit of " + path + " is not kept by a container");
  }
  if (S_ISREG(info.st_mode) && info.st_nlink > 1 && counts.hard_links++ == 0) {
    say("NOTICE: daos: " + path +
        " has several names (hard links); each name becomes a file of "
        "its own");
  }
}

void CopyEngine::skip(const std::string& path, uint32_t mode) {
  const char* kind = S_ISSOCK(mode)   ? "a socket"
                     : S_ISFIFO(mode) ? "a fifo"
                     : S_ISLNK(mode)  ? "a link to nothing"
                                      : "a device";
  counts.skipped++;
  say("NOTICE: daos: skipped " + path + ": it is " + kind +
      "; only files, directories and links "
      "are copied");
}

void CopyEngine::fail(const std::string& path, const char* step, int number, bool at_destination) {
  // Nothing that follows could fare better.
  const bool full = number == ENOSPC || number == EDQUOT || number == EROFS;
  const bool first = (full && at_destination) ? !stopped_.exchange(true) : !stopped_;
  const uint64_t count = ++counts.errors;
  if (!first || count > kErrorsShown) return;
  say("ERROR: daos: cannot copy " + path + " (" + step +
      (at_destination ? " at the destination" : "") + "): " + errno_text(number) + "; " +
      way_out(number, at_destination));
  if (count == kErrorsShown) say("ERROR: daos: more errors are counted, not shown");
}

void CopyEngine::report(const std::string& path) {
  if (options_.report_fd < 0) return;
  std::string line = path;
  for (size_t at = 0; (at = line.find('\n', at)) != std::string::npos; at += 2) {
    line.replace(at, 1, "\\n");
  }
  line += "\n";
  // One write each: a process that dies leaves whole lines.
  if (write(options_.report_fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    fail(path, "report", errno, false);
  }
}

void CopyEngine::say(const std::string& line) {
  std::lock_guard lock(out_);
  if (line_open_) std::fputs("\r\033[K", stderr);
  line_open_ = false;
  std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace cairn::tool
