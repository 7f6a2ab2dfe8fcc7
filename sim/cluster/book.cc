#include "sim/cluster/book.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"

namespace cairn::sim {

namespace {

/// Operations of a register shown to people.
constexpr size_t kShown = 12;

uint64_t mix(uint64_t n) {
  n ^= n >> 31;
  n *= 0x9e3779b97f4a7c15;
  return n ^ n >> 29;
}

/// Mostly small; some in blocks of their own; a few over several.
size_t length_of(Value value) {
  const uint64_t dice = mix(value + 77);
  if (dice % 16 == 0) return 4'096 + dice / 16 % (kValueBytesMax - 4'096);
  return 8 + dice / 16 % 120;
}

std::string place(size_t at) { return "register " + std::to_string(at); }

}  // namespace

Bytes bytes_of(Value value) {
  Bytes out(length_of(value));
  store_le64(out.data(), value);
  for (size_t i = 8; i < out.size(); ++i) out[i] = static_cast<std::byte>(mix(value + i / 512) + i);
  return out;
}

std::optional<Value> value_of(ByteView bytes) {
  if (bytes.empty()) return kNothing;
  if (bytes.size() < 8) return std::nullopt;
  const Value value = load_le64(bytes.data());
  const Bytes expected = bytes_of(value);
  if (!std::ranges::equal(expected, bytes)) return std::nullopt;
  return value;
}

size_t Book::begin(size_t at, RegisterOp op) {
  ++operations_;
  op.happened = false;
  op.end = kNever;
  chapter_[at].ops.push_back(op);
  return chapter_[at].ops.size() - 1;
}

void Book::end(size_t at, size_t number, Instant when) {
  RegisterOp& op = chapter_[at].ops[number];
  op.happened = true;
  op.end = when;
}

void Book::never(size_t at, size_t number) {
  RegisterOp& op = chapter_[at].ops[number];
  op.writes = false;
  op.sees = RegisterOp::Sees::any;
}

void Book::wrote_at(size_t at, Value value, model::Epoch epoch, Instant begin, Instant end) {
  chapter_[at].written.push_back({value, epoch, begin, end});
}

void Book::snapshot_made(model::Epoch epoch, Instant begin, Instant end) {
  snapshots_[epoch].made = {begin, end};
}

void Book::snapshot_shows(model::Epoch epoch, size_t at, Value value) {
  Snapshot& snapshot = snapshots_[epoch];
  const auto [known, fresh] = snapshot.shows.try_emplace(at, value);
  if (!fresh && known->second != value) {
    problem("snapshot " + std::to_string(epoch) + " showed " + std::to_string(known->second) +
            " at " + place(at) + ", and later " + std::to_string(value));
  }
  if (!fresh || !snapshot.made) return;
  add(at, {.begin = snapshot.made->first,
           .end = snapshot.made->second,
           .happened = true,
           .sees = RegisterOp::Sees::value,
           .seen = value,
           .name = "snapshot"});
}

void Book::group_read(size_t group, const std::vector<Value>& values, const std::string& how) {
  if (std::ranges::adjacent_find(values, std::not_equal_to<>()) == values.end()) return;
  std::string what = how + " saw one transaction in part:";
  for (const Value value : values) what += " " + std::to_string(value);
  what += "\n";
  for (size_t member = 0; member < kGroupMembers; ++member) {
    const std::vector<RegisterOp>& ops = chapter_[member_of(group, member)].ops;
    const size_t some = std::min(ops.size(), kShown);
    what += describe(kNothing, {ops.end() - static_cast<ptrdiff_t>(some), ops.end()});
  }
  problem(std::move(what));
}

/// What ended before another one began has the lower epoch.
void Book::check_epochs(size_t at) {
  const std::vector<Written>& all = chapter_[at].written;
  for (const Written& a : all) {
    for (const Written& b : all) {
      if (a.end >= b.begin || a.epoch < b.epoch) continue;
      problem(place(at) + ": " + std::to_string(a.value) + " was written before " +
              std::to_string(b.value) + " but has a later epoch");
    }
  }
}

/// A snapshot shows the newest value at or below it, of those whose epochs are known, or one whose
/// epoch nobody knows.
void Book::check_snapshots(size_t at) {
  const Register& reg = chapter_[at];
  for (const auto& [epoch, snapshot] : snapshots_) {
    const auto shown = snapshot.shows.find(at);
    if (!snapshot.made || shown == snapshot.shows.end()) continue;
    const Written* newest = nullptr;
    const Written* seen = nullptr;
    for (const Written& each : reg.written) {
      if (each.value == shown->second) seen = &each;
      if (each.epoch <= epoch && (newest == nullptr || newest->epoch < each.epoch)) newest = &each;
    }
    const bool too_new = seen != nullptr && seen->epoch > epoch;
    const bool too_old = seen != nullptr && newest != nullptr && newest->epoch > seen->epoch;
    if (!too_new && !too_old) continue;
    problem("snapshot " + std::to_string(epoch) + " shows " + std::to_string(seen->value) + " at " +
            place(at) + ", written at " + std::to_string(seen->epoch) +
            (too_new ? ", which is above it" : "; there is a newer one below it"));
  }
}

void Book::end_chapter(const std::vector<Value>& values) {
  CHECK(values.size() == kRegisters);
  for (size_t at = 0; at < kRegisters; ++at) {
    Register& reg = chapter_[at];
    for (const RegisterOp& op : reg.ops) {
      if (!op.happened && op.writes) ++unknown_;
    }
    const Verdict verdict = explain(reg.initial, reg.ops);
    if (verdict != Verdict::explained) {
      problem(place(at) +
              (verdict == Verdict::impossible ? ": no order explains it\n"
                                              : ": too hard to explain\n") +
              describe(reg.initial, reg.ops));
    }
    if (!went_back_) check_epochs(at);
    if (!went_back_) check_snapshots(at);
  }
  for (size_t at = 0; at < kRegisters; ++at) chapter_[at] = {.initial = values[at]};
  for (auto& [epoch, snapshot] : snapshots_) snapshot.made.reset();
  went_back_ = false;
}

}  // namespace cairn::sim
