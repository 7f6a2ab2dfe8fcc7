// Mailbox: functions that other threads want run on a reactor's home thread, in order of arrival
// per poster, and the sleep of a reactor that has no I/O backend. Internal to runtime/.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

#include "runtime/clock.h"
#include "runtime/io.h"

namespace cairn {

class Mailbox {
 public:
  using Letter = std::move_only_function<void()>;

  /// `io` ends its wait() when mail arrives; null: sleep() waits here.
  explicit Mailbox(IoBackend* io) : io_(io) {}

  /// Any thread.
  void post(Letter letter) {
    {
      std::lock_guard lock(mutex_);
      letters_.push_back(std::move(letter));
      has_mail_.store(true, std::memory_order_seq_cst);
    }
    // Either this load sees the sleeper, or the sleeper's look at has_mail_ sees the letter.
    if (sleepers_.load(std::memory_order_seq_cst) != 0) wake();
  }
  /// Any thread.
  bool has_mail() const { return has_mail_.load(std::memory_order_acquire); }

  /// Home. Runs what was there at the start; returns how many.
  size_t deliver() {
    if (!has_mail()) return 0;
    {
      std::lock_guard lock(mutex_);
      has_mail_.store(false, std::memory_order_relaxed);
      reading_.swap(letters_);
    }
    for (Letter& letter : reading_) letter();
    const size_t count = reading_.size();
    reading_.clear();
    return count;
  }

  /// Blocks until mail, wake(), finished I/O, or `max`. Any thread.
  void sleep(Duration max) {
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    if (!has_mail_.load(std::memory_order_seq_cst)) {
      if (io_ != nullptr) {
        io_->wait(max);
      } else {
        sleep_here(max);
      }
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }
  /// Ends every sleep(). Any thread. Without an I/O backend there must be mail.
  void wake() {
    if (io_ != nullptr) {
      io_->wake();
    } else {
      arrived_.notify_all();
    }
  }

 private:
  void sleep_here(Duration max) {
    std::unique_lock lock(mutex_);
    const auto awake = [this] { return !letters_.empty(); };
    if (max == kNever) {
      arrived_.wait(lock, awake);
    } else {
      arrived_.wait_for(lock, std::chrono::nanoseconds(max), awake);
    }
  }

  IoBackend* io_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Letter> letters_;
  std::vector<Letter> reading_;  // home only
  std::atomic<bool> has_mail_{false};
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace cairn
