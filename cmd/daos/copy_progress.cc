// The progress line of a copy: on a terminal redrawn in place, else a line now and then.
#include <cstdio>

#include "cmd/daos/copy_engine.h"
#include "cmd/tool/format.h"

namespace cairn::tool {

namespace {

constexpr std::chrono::milliseconds kRedraw{200};
constexpr std::chrono::seconds kLines{5};

std::string duration_text(double seconds) {
  char text[32];
  const auto whole = static_cast<unsigned long long>(seconds + 0.5);
  std::snprintf(text, sizeof text, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60,
                whole % 60);
  return text;
}

/// By files and by bytes; the slower of both decides.
std::string time_left(const CopyCounts& counts, double seconds) {
  if (!counts.counted || seconds < 1) return "";
  const auto part = [](uint64_t done, uint64_t all) {
    return all == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(all);
  };
  const double done = std::min(part(counts.files + counts.links, counts.files_expected),
                               part(counts.bytes, counts.bytes_expected));
  if (done <= 0 || done > 1) return "";
  return ", " + duration_text(seconds * (1 - done) / done) + " left";
}

}  // namespace

void CopyEngine::progress_loop() {
  std::unique_lock lock(mutex_);
  const auto period = terminal_ ? std::chrono::duration_cast<std::chrono::milliseconds>(kRedraw)
                                : std::chrono::duration_cast<std::chrono::milliseconds>(kLines);
  auto next = started_ + period;
  while (!ended_) {
    if (changed_.wait_until(lock, next, [this] { return ended_; })) break;
    next += period;
    lock.unlock();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - started_;
    if (options_.progress) print_progress(spent.count(), false);
    lock.lock();
  }
  lock.unlock();
  std::lock_guard out(out_);
  if (line_open_) std::fputs("\r\033[K", stderr);
  line_open_ = false;
}

void CopyEngine::print_progress(double seconds, bool) {
  const uint64_t files = counts.files + counts.links;
  const uint64_t bytes = counts.bytes;
  char rate[64];
  std::snprintf(rate, sizeof rate, "%.0f files/s, %s/s", static_cast<double>(files) / seconds,
                iec_bytes(static_cast<uint64_t>(static_cast<double>(bytes) / seconds)).c_str());
  std::string line = std::to_string(files);
  if (counts.counted) line += " of " + std::to_string(counts.files_expected.load());
  line += " files, " + iec_bytes(bytes);
  if (counts.counted) line += " of " + iec_bytes(counts.bytes_expected);
  line += ", " + std::string(rate) + time_left(counts, seconds);
  std::lock_guard lock(out_);
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
    std::fflush(stderr);
    line_open_ = true;
  } else {
    std::fprintf(stderr, "daos: %s\n", line.c_str());
  }
}

}  // namespace cairn::tool
