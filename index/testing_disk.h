// Blobs in memory with faults, for the tests of this folder. Power cuts are the simulator's (sim/).
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

#include "base/check.h"
#include "index/store.h"
#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::index::testing {

class TestClock final : public Clock {
 public:
  Instant now() override { return now_ += 100; }
  uint64_t wall_ns() override { return now_; }
  void advance_to(Instant t) { now_ = std::max(now_, t); }

 private:
  Instant now_ = 1;
};

/// Requests complete after a random number of turns, so in any order.
class TestDisk final : public media::Device {
 public:
  TestDisk(Reactor& reactor, uint64_t bytes) : bytes(bytes), reactor_(reactor) {}

  uint64_t size_bytes() const override { return bytes.size(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    CHECK(into.size() % media::kBlockBytes == 0 && offset % media::kBlockBytes == 0);
    co_await pause();
    ++reads;
    if (fail_reads || offset + into.size() > bytes.size()) {
      co_return fail(Errc::io, "test disk: read");
    }
    std::memcpy(into.data(), bytes.data() + offset, into.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    CHECK(from.size() % media::kBlockBytes == 0 && offset % media::kBlockBytes == 0);
    ++in_flight;
    co_await pause();
    --in_flight;
    ++writes;
    const bool broken = writes_left == 0;
    if (writes_left > 0) --writes_left;
    if (broken || offset + from.size() > bytes.size()) co_return fail(Errc::io, "test disk: write");
    if (lose_writes) co_return Result<void>{};
    std::memcpy(bytes.data() + offset, from.data(), from.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    co_return co_await write(offset, from);
  }
  Task<Result<void>> flush() override {
    co_await pause();
    if (fail_flush) co_return fail(Errc::io, "test disk: flush");
    co_return Result<void>{};
  }
  Task<void> discard(uint64_t, uint64_t) override { co_return; }

  Bytes bytes;
  bool fail_reads = false;
  bool fail_flush = false;
  bool lose_writes = false;  // they succeed and nothing happens
  int64_t writes_left = -1;  // then writes fail; -1: never
  uint64_t reads = 0, writes = 0;
  int in_flight = 0;

 private:
  Task<void> pause() {
    for (uint64_t turns = reactor_.random().below(3); turns > 0; --turns) co_await reactor_.yield();
  }
  Reactor& reactor_;
};

/// Three blobs and a reactor; run() drives one task to its end.
struct TestWorld {
  explicit TestWorld(uint64_t seed, uint64_t wal_bytes = 1u << 20, uint64_t meta_bytes = 16u << 20,
                     uint64_t data_bytes = 16u << 20)
      : random(seed),
        reactor(clock, random, nullptr),
        wal(reactor, wal_bytes),
        meta(reactor, meta_bytes),
        data(reactor, data_bytes) {}

  StoreDevices devices() { return {&wal, &meta, &data}; }

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor.spawn(finish(std::move(task), value));
    for (int idle = 0; !value && idle < 100'000;) {
      if (reactor.turn()) {
        idle = 0;
      } else {
        ++idle;
        const Instant next = reactor.next_timer();
        if (next != kNever) clock.advance_to(next);
        CHECK(next != kNever);  // a hang: nothing can ever move again
      }
    }
    return std::move(*value);
  }
  /// Lets everything that moves by itself come to rest.
  void settle() {
    while (reactor.turn()) {
    }
  }

  TestClock clock;
  SeededRandom random;
  Reactor reactor;
  TestDisk wal, meta, data;

 private:
  template <class T>
  static Task<void> finish(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
};

inline uint64_t test_seed() {
  const char* given = std::getenv("CAIRN_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'251;
}

}  // namespace cairn::index::testing
