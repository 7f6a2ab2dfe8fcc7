// Every sequence of three letters of a small alphabet on the simulated disks, cut at every point at
// which a cut leaves something else, with every combination of what was not flushed (up to 8
// writes, else 256 of them), whole and torn in sectors. What is judged after each: everything that
// was acknowledged, or that any answer proved, is there; the rest is there whole or not at all, in
// the order of the log; the check is clean; and all of that again after a second cut.
//
// CAIRN_POWER_SHARE=n runs every n-th sequence only (1: all; CAIRN_TEST_SEED shifts which).
#include <gtest/gtest.h>

#include <cstdio>
#include <numeric>

#include "runtime/clock.h"
#include "runtime/parallel.h"
#include "tests/store/story.h"

namespace cairn::tests::store {
namespace {

using Sequence = std::array<Letter, 3>;

std::string text_of(const Sequence& s) {
  return std::string(name_of(s[0])) + ", " + name_of(s[1]) + ", " + name_of(s[2]);
}

// ---- a life until its cuts ---------------------------------------------------------------------

/// Something that the outside was told.
struct Told {
  bool is_ack = false;
  size_t op = 0;           // ack: which operation
  model::Epoch epoch = 0;  // ack
  size_t look = 0;         // else: which look
  std::string text;        // and what it gave
  size_t told_before = 0;  // how much had been told when it was asked
};

/// The disks at a point where a cut may come, and what had been told by then.
struct Cut {
  std::array<SimDisk::Image, 3> images;
  size_t told = 0;
};

struct Record {
  std::vector<Told> told;
  std::vector<Cut> cuts;
  std::string final_text;
};

/// The shard that every sequence starts from: values of each kind, some only in the log.
const Media& base_media() {
  static const Media kMedia = [] {
    Box box(test_seed());
    CHECK(box.start(true).has_value());
    uint32_t stamp = 1'000;
    vos::testing::Op array = op_of(Letter::overwrite, stamp);
    array.iods[0].recxs = {{0, kArrayRecords}};
    CHECK(box.run(vos::testing::execute(box.shard(), paths()[0], array)).has_value());
    CHECK(box.run(perform(box.shard(), Letter::large, ++stamp)).has_value());
    CHECK(box.run(perform(box.shard(), Letter::checkpoint, ++stamp)).has_value());
    CHECK(box.run(perform(box.shard(), Letter::small, ++stamp)).has_value());
    for (size_t i = 0; i < 3; ++i) CHECK(box.run(box.disk(i).flush()).has_value());
    return box.durable();
  }();
  return kMedia;
}

State base_state() {
  State state;
  vos::testing::Op array = op_of(Letter::overwrite, 1'000);
  array.iods[0].recxs = {{0, kArrayRecords}};
  CHECK(vos::testing::apply_op(state[0], array).empty());
  apply(state, Letter::large, 1'001);
  apply(state, Letter::small, 1'003);
  return state;
}

Task<Result<void>> tell_ack(Record& record, vos::Shard& shard, Letter letter, size_t op) {
  Told told{.is_ack = true, .op = op};
  CO_TRY(epoch, co_await perform(shard, letter, static_cast<uint32_t>(op + 1)));
  told.epoch = epoch;
  record.told.push_back(std::move(told));
  co_return Result<void>{};
}

/// Asks everything, again and again while the operations run.
Task<Result<void>> watch(Reactor& reactor, Record& record, vos::Shard& shard, size_t rounds) {
  for (size_t i = 0; i < rounds * kLooks; ++i) {
    Told told{.look = i % kLooks, .text = {}, .told_before = record.told.size()};
    CO_TRY(text, co_await look(shard, told.look));
    told.text = text;
    record.told.push_back(std::move(told));
    co_await reactor.sleep(7 * kMicrosecond);
  }
  co_return Result<void>{};
}

Task<Result<void>> one_by_one(Record& record, vos::Shard& shard, Sequence letters) {
  for (size_t i = 0; i < letters.size(); ++i) {
    CO_TRY(done, co_await tell_ack(record, shard, letters[i], i));
  }
  co_return Result<void>{};
}

Task<Result<void>> together(Reactor& reactor, Record& record, vos::Shard& shard, Sequence letters) {
  std::vector<Task<Result<void>>> tasks;
  for (size_t i = 0; i < letters.size(); ++i) {
    tasks.push_back(tell_ack(record, shard, letters[i], i));
  }
  tasks.push_back(watch(reactor, record, shard, 3));
  co_return co_await run_all(reactor, std::move(tasks), 4);
}

/// Notes the disks before each event.
void note_cuts(Box& box, Record& record) {
  box.world().power().before_event = [&box, &record] {
    Cut cut{.images = {}, .told = record.told.size()};
    for (size_t i = 0; i < 3; ++i) cut.images[i] = box.disk(i).image();
    record.cuts.push_back(std::move(cut));
  };
}

/// Half of all sequences have log and data behind one cache.
bool shares_cache(const Sequence& letters) {
  size_t sum = 0;
  for (const Letter letter : letters) sum += static_cast<size_t>(letter);
  return sum % 2 != 0;
}

Record live(const Sequence& letters, bool concurrent) {
  Record record;
  Box box(test_seed(), &base_media());
  if (shares_cache(letters)) box.share_cache();
  CHECK(box.start(false).has_value());
  note_cuts(box, record);
  const auto done =
      box.run(concurrent ? together(box.world().reactor(), record, box.shard(), letters)
                         : one_by_one(record, box.shard(), letters));
  EXPECT_TRUE(done.has_value()) << done.error().what();
  box.world().power().before_event();  // the end is a cut, too
  box.world().power().before_event = nullptr;
  const auto text = box.run(full_text(box.shard()));
  EXPECT_TRUE(text.has_value());
  record.final_text = text.value_or("");
  return record;
}

// ---- what may be there afterwards --------------------------------------------------------------

/// The states that one order of the operations goes through. A container's removal may stand in it
/// twice: it works in slices until it finds nothing, so it may meet what is written meanwhile.
struct Chain {
  std::vector<size_t> order;
  std::vector<State> states;       // after none, one, ... of them
  std::vector<std::string> texts;  // full_text() of each
};

/// The newest state that what was told proves. Nullopt: it contradicts this order.
std::optional<size_t> proven(const Chain& chain, const std::vector<Told>& told, size_t count) {
  std::vector<size_t> after(count + 1, 0);  // proven by the first n
  for (size_t n = 0; n < count; ++n) {
    const Told& t = told[n];
    size_t at = 0;
    if (t.is_ack) {
      const auto last = std::find(chain.order.rbegin(), chain.order.rend(), t.op);
      at = static_cast<size_t>(chain.order.rend() - last);
    } else {
      at = after[t.told_before];
      while (at < chain.states.size() && look(chain.states[at], t.look) != t.text) ++at;
      if (at == chain.states.size()) return std::nullopt;
    }
    after[n + 1] = std::max(after[n], at);
  }
  return after[count];
}

bool follows_epochs(const std::vector<size_t>& order, const std::array<model::Epoch, 3>& epochs) {
  model::Epoch last = 0;
  for (const size_t op : order) {
    if (epochs[op] == 0) continue;
    if (epochs[op] < last) return false;
    last = epochs[op];
  }
  return true;
}

/// The orders of `ops` that agree with epochs, with the final content and with all that was told.
void add_chains(std::vector<size_t> ops, const Sequence& letters, const Record& record,
                bool first_only, std::vector<Chain>& chains) {
  std::array<model::Epoch, 3> epochs{};
  for (const Told& t : record.told) {
    if (t.is_ack) epochs[t.op] = t.epoch;
  }
  std::sort(ops.begin(), ops.end());
  do {
    if (!follows_epochs(ops, epochs)) continue;
    Chain chain{ops, {base_state()}, {}};
    for (const size_t op : ops) {
      chain.states.push_back(chain.states.back());
      apply(chain.states.back(), letters[op], static_cast<uint32_t>(op + 1));
    }
    if (full_text(chain.states.back()) != record.final_text) continue;
    if (!proven(chain, record.told, record.told.size())) continue;
    for (const State& state : chain.states) chain.texts.push_back(full_text(state));
    chains.push_back(std::move(chain));
    if (first_only) break;
  } while (std::next_permutation(ops.begin(), ops.end()));
}

/// What may have happened. (Which order it was cannot be told where a removal has no epoch.)
std::vector<Chain> chains_of(const Sequence& letters, const Record& record, bool concurrent) {
  std::vector<Chain> chains;
  // One by one, the first order is that of the calls.
  add_chains({0, 1, 2}, letters, record, !concurrent, chains);
  const bool written = std::find(letters.begin(), letters.end(), Letter::large) != letters.end();
  for (size_t op = 0; concurrent && written && op < letters.size(); ++op) {
    if (letters[op] == Letter::destroy) add_chains({0, 1, 2, op}, letters, record, false, chains);
  }
  return chains;
}

// ---- what a cut leaves -------------------------------------------------------------------------

enum class Tear : uint8_t { none, prefix, suffix, alternate };

/// Puts a write on the medium, or those of its sectors that the tear leaves.
void put(SimDisk::Sectors& medium, const SimDisk::Sectors& write, Tear tear, Random& random) {
  const size_t edge = write.size() < 2 ? 1 : 1 + random.below(write.size() - 1);
  size_t i = 0;
  for (const auto& [sector, bytes] : write) {
    const size_t at = i++;
    if (tear == Tear::prefix && at >= edge) continue;
    if (tear == Tear::suffix && at < edge) continue;
    if (tear == Tear::alternate && at % 2 == 0) continue;
    medium[sector] = bytes;
  }
}

struct Pending {
  size_t disk;
  const SimDisk::Sectors* write;
};

/// Which unflushed writes are there, and how.
struct Choice {
  uint64_t mask = 0;
  Tear tear = Tear::none;
  uint64_t torn = 0;  // those of `mask` that are torn
};

std::vector<Choice> choices_of(size_t pending, Random& random) {
  constexpr size_t kAllSubsets = 8;
  const uint64_t all = (uint64_t{1} << pending) - 1;
  std::vector<uint64_t> masks;
  if (pending <= kAllSubsets) {
    for (uint64_t mask = 0; mask <= all; ++mask) masks.push_back(mask);
  } else {
    masks = {0, all};
    while (masks.size() < 256) masks.push_back(random.next() & all);
  }
  std::vector<Choice> choices;
  for (const uint64_t mask : masks) {
    choices.push_back({mask, Tear::none, 0});
    if (mask == 0) continue;
    for (const Tear tear : {Tear::prefix, Tear::suffix, Tear::alternate}) {
      choices.push_back({mask, tear, mask});
      for (size_t i = 0; mask == all && pending > 1 && i < pending; ++i) {
        choices.push_back({mask, tear, uint64_t{1} << i});
      }
    }
  }
  return choices;
}

Media media_of(const Cut& cut, const std::vector<Pending>& pending, const Choice& choice,
               Random& random) {
  Media media;
  for (size_t i = 0; i < 3; ++i) media[i] = cut.images[i].durable;
  for (size_t i = 0; i < pending.size(); ++i) {
    if ((choice.mask >> i & 1) == 0) continue;
    const bool torn = (choice.torn >> i & 1) != 0;
    put(media[pending[i].disk], *pending[i].write, torn ? choice.tear : Tear::none, random);
  }
  return media;
}

// ---- the judge ---------------------------------------------------------------------------------

struct Counts {
  uint64_t sequences = 0, cuts = 0, crashes = 0, second = 0;
};

void expect_clean(Box& box) {
  const auto report = box.run(box.shard().check(true));
  ASSERT_TRUE(report.has_value()) << report.error().what();
  for (const std::string& problem : report->problems) ADD_FAILURE() << problem;
}

/// Opens what is left. @returns the content that it answers, after the verdict on it
std::string recovered_text(Box& box) {
  const auto opened = box.start(false);
  EXPECT_TRUE(opened.has_value()) << opened.error().what();
  if (!opened) return "";
  const auto text = box.run(full_text(box.shard()));
  EXPECT_TRUE(text.has_value()) << text.error().what();
  return text.value_or("");
}

bool is_allowed(const std::string& text, const std::vector<Chain>& chains,
                const std::vector<Told>& told, size_t told_count) {
  return std::any_of(chains.begin(), chains.end(), [&](const Chain& chain) {
    for (size_t at = *proven(chain, told, told_count); at < chain.texts.size(); ++at) {
      if (chain.texts[at] == text) return true;
    }
    return false;
  });
}

/// The next era's power goes as well, with all that it had not flushed: what was answered stays.
void expect_again(const Media& media, const std::string& text, bool changed) {
  Box box(test_seed() + 2, &media);
  const std::string now = recovered_text(box);
  ASSERT_EQ(now, text) << "what was answered after the first cut is not there after the second";
  if (!changed) return;
  // It goes on.
  State ignored;
  const auto done = box.run(perform(box.shard(), Letter::small, 77));
  ASSERT_TRUE(done.has_value()) << done.error().what();
  const auto after = box.run(full_text(box.shard()));
  ASSERT_TRUE(after.has_value());
  const Media third = box.durable();
  Box last(test_seed() + 3, &third);
  ASSERT_EQ(recovered_text(last), *after) << "an update after the recovery is lost";
  ASSERT_NO_FATAL_FAILURE(expect_clean(last));
}

void judge(const Media& media, const std::vector<Chain>& chains, const std::vector<Told>& told,
           size_t told_count, Counts& counts) {
  Box box(test_seed() + 1, &media);
  const std::string text = recovered_text(box);
  if (!is_allowed(text, chains, told, told_count)) {
    std::string wanted;
    for (const Chain& chain : chains) {
      for (size_t at = *proven(chain, told, told_count); at < chain.texts.size(); ++at) {
        wanted += "\n  " + chain.texts[at];
      }
    }
    FAIL() << "found " << text << "\nwanted one of" << wanted;
  }
  const Media after = box.durable();
  ASSERT_NO_FATAL_FAILURE(expect_clean(box));
  ++counts.crashes;
  if (counts.crashes % 4 != 0) return;
  ++counts.second;
  ASSERT_NO_FATAL_FAILURE(expect_again(after, text, counts.second % 4 == 0));
}

std::vector<Pending> pending_of(const Cut& cut) {
  std::vector<Pending> pending;
  for (size_t disk = 0; disk < 3; ++disk) {
    for (const SimDisk::Sectors& write : cut.images[disk].unflushed) {
      if (!write.empty()) pending.push_back({disk, &write});
    }
  }
  return pending;
}

/// Nothing can be told apart: the same medium, the same pending writes, as much told.
bool same(const Cut& a, const Cut& b) {
  if (a.told != b.told) return false;
  for (size_t i = 0; i < 3; ++i) {
    if (a.images[i].durable != b.images[i].durable) return false;
    if (a.images[i].unflushed != b.images[i].unflushed) return false;
  }
  return true;
}

void expect_survives(const Sequence& letters, bool concurrent, Counts& counts) {
  SCOPED_TRACE(text_of(letters) + (concurrent ? ", together" : ", one by one"));
  const Record record = live(letters, concurrent);
  const std::vector<Chain> chains = chains_of(letters, record, concurrent);
  ASSERT_FALSE(chains.empty()) << "no order of the operations explains what was answered";
  ++counts.sequences;
  const Cut* before = nullptr;
  for (size_t at = 0; at < record.cuts.size(); ++at) {
    const Cut& cut = record.cuts[at];
    if (before != nullptr && same(*before, cut)) continue;
    before = &cut;
    ++counts.cuts;
    SeededRandom random(test_seed() + at);
    const std::vector<Pending> pending = pending_of(cut);
    for (const Choice& choice : choices_of(pending.size(), random)) {
      SCOPED_TRACE("cut " + std::to_string(at) + " of " + std::to_string(record.cuts.size()) +
                   ", " + std::to_string(pending.size()) + " pending, kept " +
                   std::to_string(choice.mask) + " tear " +
                   std::to_string(static_cast<int>(choice.tear)) + " torn " +
                   std::to_string(choice.torn));
      ASSERT_NO_FATAL_FAILURE(
          judge(media_of(cut, pending, choice, random), chains, record.told, cut.told, counts));
    }
  }
}

void all_sequences(bool concurrent) {
  const uint64_t share = env_number("CAIRN_POWER_SHARE", 36);
  const Instant begin = system_clock().now();
  Counts counts;
  uint64_t number = test_seed();
  for (const Letter a : kAlphabet) {
    for (const Letter b : kAlphabet) {
      for (const Letter c : kAlphabet) {
        if (number++ % share != 0) continue;
        ASSERT_NO_FATAL_FAILURE(expect_survives({a, b, c}, concurrent, counts));
      }
    }
  }
  std::printf("%llu sequences, %llu cut points, %llu crashes, %llu of them cut again, %.1f s\n",
              static_cast<unsigned long long>(counts.sequences),
              static_cast<unsigned long long>(counts.cuts),
              static_cast<unsigned long long>(counts.crashes),
              static_cast<unsigned long long>(counts.second),
              static_cast<double>(system_clock().now() - begin) / 1e9);
}

TEST(PowerSequences, One_by_one_whatever_a_cut_leaves_what_was_acknowledged_is_there) {
  // Goal: promise 1 for each sequence of three operations. Method: see above; each is awaited.
  all_sequences(false);
}

TEST(PowerSequences, Together_whatever_was_answered_before_a_cut_is_there_after_it) {
  // Goal: the same while operations overlap, and store.md rule 12: what a fetch or a listing has
  // answered (also that a key is gone) is never taken back. Method: all three at once, with a
  // reader that asks all the time.
  all_sequences(true);
}

}  // namespace
}  // namespace cairn::tests::store
