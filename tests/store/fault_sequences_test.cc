// Every single read, write and flush of a workload fails once: with an I/O error (a failed write
// leaves some of its sectors changed, as a short one does), with a full medium, or with a flipped
// bit that nobody reports. What is judged: nothing wrong is ever answered; a failed log write or
// flush stops the shard before anything else is acknowledged; after a restart exactly the
// acknowledged state is there, the operation that failed whole or not at all, and the check is
// clean. Where a bit was flipped on its way to the medium, what it held may be told as damaged.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/store/story.h"

namespace cairn::tests::store {
namespace {

constexpr Letter kWorkload[] = {
    Letter::small,   Letter::large,    Letter::overwrite, Letter::snapshot,
    Letter::evict,   Letter::punch,    Letter::small,     Letter::overwrite,
    Letter::destroy, Letter::snapshot, Letter::overwrite, Letter::checkpoint,
    Letter::large,   Letter::small,    Letter::evict,     Letter::overwrite,
};

enum class Harm : uint8_t { io, no_space, flip };
const char* name_of(Harm harm) {
  static constexpr const char* kNames[] = {"io", "no_space", "flip"};
  return kNames[static_cast<size_t>(harm)];
}

struct Fault {
  size_t disk = 0;
  SimDisk::Op op = SimDisk::Op::write;
  uint64_t nth = 0;
  Harm harm = Harm::io;
  bool one_cache = false;  // of log and data
  bool silent() const { return harm == Harm::flip; }
  bool damages() const { return silent() && op == SimDisk::Op::write; }
};

std::string text_of(const Fault& f) {
  static constexpr const char* kOps[] = {"read", "write", "flush"};
  return "disk " + std::to_string(f.disk) + ", " + kOps[static_cast<size_t>(f.op)] + " " +
         std::to_string(f.nth) + ", " + name_of(f.harm) + (f.one_cache ? ", one cache" : "");
}

bool tells_of_damage(Errc code) { return code == Errc::checksum || code == Errc::format_invalid; }

/// What the outside knows: the state that was acknowledged, and those that are possible as well
/// because an operation failed with an open outcome.
struct Life {
  std::vector<State> possible{State{}};
  std::vector<State> before_last;  // what was possible before the last acknowledged change
  bool told_damage = false;
  std::vector<std::string> wrong;

  bool allows(const std::string& text) const { return among(possible, text); }
  static bool among(const std::vector<State>& states, const std::string& text) {
    return std::any_of(states.begin(), states.end(),
                       [&](const State& s) { return full_text(s) == text; });
  }
  void acknowledge(Letter letter, uint32_t stamp) {
    if (changes(letter)) before_last = possible;
    for (State& state : possible) apply(state, letter, stamp);
  }
  void leave_open(Letter letter, uint32_t stamp) {
    const size_t count = possible.size();
    for (size_t i = 0; i < count; ++i) {
      possible.push_back(possible[i]);
      apply(possible.back(), letter, stamp);
    }
  }
};

/// An error of the kind that this fault may give.
bool is_fitting(const Fault& fault, Errc code) {
  if (fault.harm == Harm::no_space && code == Errc::no_space) return true;
  return code == Errc::io || tells_of_damage(code);
}

Task<void> one_letter(Box& box, Life& life, const Fault& fault, Letter letter, uint32_t stamp) {
  const bool stopped = box.shard().store().stopped();
  const auto done = co_await perform(box.shard(), letter, stamp);
  if (done) {
    if (stopped && changes(letter))
      life.wrong.push_back("acknowledged after the shard had stopped");
    life.acknowledge(letter, stamp);
    co_return;
  }
  const Errc code = done.error().code();
  if (!is_fitting(fault, code)) life.wrong.push_back(std::string("error: ") + done.error().what());
  // A full shard has done nothing; other errors leave it open.
  if (code != Errc::no_space || box.shard().store().stopped()) life.leave_open(letter, stamp);
}

/// Reads all; what is answered is right.
Task<void> read_all(Box& box, Life& life) {
  const auto text = co_await full_text(box.shard());
  if (text && !life.allows(*text)) life.wrong.push_back("answered " + *text);
  if (!text && tells_of_damage(text.error().code())) life.told_damage = true;
}

Task<void> work(Box& box, Life& life, Fault fault) {
  uint32_t stamp = 0;
  for (const Letter letter : kWorkload) {
    co_await one_letter(box, life, fault, letter, ++stamp);
    if (letter == Letter::evict || letter == Letter::destroy) co_await read_all(box, life);
  }
}

const Media& base_media() {
  static const Media kMedia = [] {
    Box box(test_seed());
    CHECK(box.start(true).has_value());
    for (size_t i = 0; i < 3; ++i) {
      CHECK(box.run(box.disk(i).flush()).has_value());
    }
    return box.durable();
  }();
  return kMedia;
}

Task<bool> as_task(Task<void> task) {
  co_await std::move(task);
  co_return true;
}

/// What the unflushed writes come to: none of them, all of them.
Media settled(Box& box, bool kept) {
  Media media;
  for (size_t i = 0; i < 3; ++i) {
    SimDisk::Image image = box.disk(i).image();
    for (const SimDisk::Sectors& write : image.unflushed) {
      if (!kept) break;
      for (const auto& [sector, bytes] : write) image.durable[sector] = bytes;
    }
    media[i] = std::move(image.durable);
  }
  return media;
}

/// The shard is opened on healthy devices.
void expect_there(const Media& media, const Life& life, const Fault& fault) {
  Box box(test_seed() + 1, &media);
  const auto opened = box.start(false);
  if (!opened) {
    EXPECT_TRUE(fault.damages() && tells_of_damage(opened.error().code())) << opened.error().what();
    return;
  }
  const auto text = box.run(full_text(box.shard()));
  const auto report = box.run(box.shard().check(true));
  ASSERT_TRUE(report.has_value() || fault.damages()) << report.error().what();
  const bool clean = report && report->problems.empty();
  if (fault.damages() && !clean) return;  // told
  if (!text) {
    ADD_FAILURE() << text.error().what();
    return;
  }
  for (const std::string& problem : report->problems) ADD_FAILURE() << problem;
  // A damaged last write of the log, or data beside it, cannot be told from one that the power cut
  // short.
  if (fault.damages() && fault.disk != 1 && Life::among(life.before_last, *text)) return;
  EXPECT_TRUE(life.allows(*text)) << "found " << *text << "\nacknowledged "
                                  << full_text(life.possible.front());
}

/// @returns true if the workload did not meet the fault
bool survives(const Fault& fault) {
  Box box(test_seed(), &base_media());
  if (fault.one_cache) box.share_cache();
  SimDisk& disk = box.disk(fault.disk);
  if (fault.silent()) {
    disk.flip(fault.op, fault.nth);
  } else {
    disk.fail(fault.op, fault.nth, fault.harm == Harm::io ? Errc::io : Errc::no_space);
  }
  const uint64_t before = disk.requests(fault.op);
  Life life;
  const auto opened = box.start(false);
  if (opened) {
    box.run(as_task(work(box, life, fault)));
    box.run(as_task(read_all(box, life)));
  } else {
    EXPECT_TRUE(is_fitting(fault, opened.error().code())) << opened.error().what();
  }
  for (const std::string& wrong : life.wrong) ADD_FAILURE() << wrong;
  const bool met = disk.requests(fault.op) - before >= fault.nth;
  for (const bool kept : {false, true}) {
    expect_there(settled(box, kept), life, fault);
  }
  return !met;
}

/// @returns how many faults there were
uint64_t every_request(bool one_cache) {
  uint64_t runs = 0;
  for (size_t disk = 0; disk < 3; ++disk) {
    for (const auto op : {SimDisk::Op::read, SimDisk::Op::write, SimDisk::Op::flush}) {
      for (const Harm harm : {Harm::io, Harm::no_space, Harm::flip}) {
        if (op != SimDisk::Op::write && harm == Harm::no_space) continue;
        if (op == SimDisk::Op::flush && harm == Harm::flip) continue;
        if (one_cache && (disk == 1 || op == SimDisk::Op::read)) continue;  // no difference there
        for (uint64_t nth = 1; nth < 500; ++nth, ++runs) {
          const Fault fault{disk, op, nth, harm, one_cache};
          SCOPED_TRACE("seed " + std::to_string(test_seed()) + ", " + text_of(fault));
          if (survives(fault)) break;
          if (::testing::Test::HasFailure()) return runs;
        }
      }
    }
  }
  return runs;
}

TEST(FaultSequences, A_request_that_fails_once_loses_nothing_and_answers_nothing_wrong) {
  // Goal: promises 1 and 2 on failing media. Method: each disk, each kind of request, each harm:
  // the n-th such request of opening and workload, for every n until the workload ends before it.
  // With log and data behind caches of their own, and behind one.
  const uint64_t runs = every_request(false) + every_request(true);
  std::printf("%llu faults\n", static_cast<unsigned long long>(runs));
  EXPECT_GT(runs, 100u) << "the workload is too small to mean anything";
}

/// A shard whose last operations only the log knows, and what it holds.
Media logged_media(Life& life) {
  Box box(test_seed(), &base_media());
  CHECK(box.start(false).has_value());
  box.run(as_task(work(box, life, {})));
  CHECK(life.possible.size() == 1 && life.wrong.empty());
  return box.durable();
}

/// Opens it with a read that fails, then on healthy devices. @returns true if the fault was not met
bool opens_again(uint64_t seed, const Media& media, const Life& life, const Fault& fault) {
  Box box(seed, &media);
  SimDisk& disk = box.disk(fault.disk);
  if (fault.silent()) {
    disk.flip(fault.op, fault.nth);
  } else {
    disk.fail(fault.op, fault.nth, Errc::io);
  }
  const auto opened = box.start(false);
  if (opened) {
    const auto text = box.run(full_text(box.shard()));
    if (text) {
      EXPECT_TRUE(life.allows(*text)) << "answered " << *text;
    }
  } else {
    EXPECT_TRUE(is_fitting(fault, opened.error().code())) << opened.error().what();
  }
  const bool met = disk.requests(fault.op) >= fault.nth;
  for (const bool kept : {false, true}) expect_there(settled(box, kept), life, fault);
  return !met;
}

TEST(FaultSequences, A_read_that_fails_once_while_a_shard_opens_loses_nothing) {
  // Goal: what a medium gives wrongly once must not be taken for the end of the log, nor for an
  // older root. Method: each read of each disk during the opening of a shard with records in its
  // log, failed or with a flipped bit; then the same shard on healthy devices.
  Life life;
  const Media media = logged_media(life);
  for (size_t disk = 0; disk < 3; ++disk) {
    for (const Harm harm : {Harm::io, Harm::flip}) {
      for (uint64_t nth = 1; nth < 200; ++nth) {
        // A flip hits one bit of the request: several tries.
        bool unmet = false;
        for (uint64_t i = 0; i < (harm == Harm::flip ? 8 : 1); ++i) {
          const Fault fault{disk, SimDisk::Op::read, nth, harm, false};
          SCOPED_TRACE("seed " + std::to_string(test_seed() + i) + ", " + text_of(fault));
          unmet = opens_again(test_seed() + i, media, life, fault);
          ASSERT_FALSE(::testing::Test::HasFailure());
        }
        if (unmet) break;
      }
    }
  }
}

}  // namespace
}  // namespace cairn::tests::store
