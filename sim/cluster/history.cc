#include "sim/cluster/history.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "base/check.h"

namespace cairn::sim {

namespace {

bool fits(const RegisterOp& op, Value value) {
  switch (op.sees) {
    case RegisterOp::Sees::any:
      return true;
    case RegisterOp::Sees::value:
      return value == op.seen;
    case RegisterOp::Sees::something:
      return value != kNothing;
    case RegisterOp::Sees::nothing:
      return value == kNothing;
  }
  return false;
}

/// The search. Operations stand in the order of their beginnings; `done` says which have had their
/// moment: all before `first`, and some of those after it.
class Search {
 public:
  Search(std::vector<RegisterOp> ops, uint64_t steps_max)
      : ops_(std::move(ops)), done_(ops_.size()), steps_left_(steps_max) {
    std::ranges::sort(ops_, {}, &RegisterOp::begin);
  }

  Verdict run(Value initial) {
    if (place(0, initial)) return Verdict::explained;
    return steps_left_ == 0 ? Verdict::too_hard : Verdict::impossible;
  }

 private:
  /// Somebody who has been here need not come again.
  struct Been {
    size_t first;
    Value value;
    std::vector<size_t> after;
    auto operator<=>(const Been&) const = default;
  };

  bool all_certain_done(size_t first) const {
    for (size_t i = first; i < ops_.size(); ++i) {
      if (ops_[i].happened && !done_[i]) return false;
    }
    return true;
  }

  /// Everything that began before the earliest end of what is left may be next.
  std::vector<size_t> candidates(size_t first) const {
    Instant earliest_end = kNever;
    std::vector<size_t> out;
    for (size_t i = first; i < ops_.size(); ++i) {
      if (ops_[i].begin > earliest_end) break;
      if (done_[i]) continue;
      if (ops_[i].happened) earliest_end = std::min(earliest_end, ops_[i].end);
      out.push_back(i);
    }
    std::erase_if(out, [&](size_t i) { return ops_[i].begin > earliest_end; });
    // Of equal ones that never end the first will do.
    std::set<std::tuple<RegisterOp::Sees, Value, Value>> kinds;
    std::erase_if(out, [&](size_t i) {
      const RegisterOp& op = ops_[i];
      return !op.happened && !kinds.insert({op.sees, op.seen, op.written}).second;
    });
    // What must happen first; of that, what changes nothing.
    std::ranges::sort(out, {}, [this](size_t i) {
      return (ops_[i].happened ? 0 : 2) + (ops_[i].writes ? 1 : 0);
    });
    return out;
  }

  bool place(size_t first, Value value) {
    while (first < ops_.size() && done_[first]) ++first;
    if (all_certain_done(first)) return true;
    if (steps_left_ == 0) return false;
    --steps_left_;
    Been here{first, value, {}};
    for (size_t i = first; i < ops_.size(); ++i) {
      if (done_[i]) here.after.push_back(i);
    }
    if (!been_.insert(std::move(here)).second) return false;
    for (const size_t i : candidates(first)) {
      const RegisterOp& op = ops_[i];
      if (!fits(op, value)) continue;
      if (!op.happened && (!op.writes || op.written == value)) continue;  // explains nothing
      done_[i] = true;
      if (place(first, op.writes ? op.written : value)) return true;
      done_[i] = false;
      // One that fits and changes nothing can go first at no cost.
      if (op.happened && !op.writes) return false;
    }
    return false;
  }

  std::vector<RegisterOp> ops_;
  std::vector<char> done_;
  std::set<Been> been_;
  uint64_t steps_left_;
};

std::string text_of(Value value) { return value == kNothing ? "-" : std::to_string(value); }

/// Stands for every value that nobody saw: they are all the same to those who ask whether there is
/// one.
constexpr Value kUnseen = ~Value{0};

/// What may have happened but explains nothing is left out: a value that nobody saw, where nobody
/// asked whether there is one.
std::vector<RegisterOp> useful(const std::vector<RegisterOp>& ops) {
  std::set<Value> seen;
  bool something = false;
  for (const RegisterOp& op : ops) {
    if (op.sees == RegisterOp::Sees::value) seen.insert(op.seen);
    if (op.sees == RegisterOp::Sees::nothing) seen.insert(kNothing);
    something |= op.sees == RegisterOp::Sees::something;
  }
  std::vector<RegisterOp> out;
  for (RegisterOp op : ops) {
    const bool is_seen = seen.contains(op.written);
    const bool explains = op.writes && (is_seen || (something && op.written != kNothing));
    if (!op.happened && !explains) continue;
    if (op.writes && !is_seen && op.written != kNothing) op.written = kUnseen;
    out.push_back(op);
  }
  return out;
}

}  // namespace

Verdict explain(Value initial, const std::vector<RegisterOp>& ops, uint64_t steps_max) {
  return Search(useful(ops), steps_max).run(initial);
}

std::string describe(Value initial, std::vector<RegisterOp> ops) {
  std::ranges::sort(ops, {}, &RegisterOp::begin);
  std::string out = "  at first: " + text_of(initial) + "\n";
  for (const RegisterOp& op : ops) {
    out += "  " + std::to_string(op.begin / kMicrosecond) + " .. " +
           (op.end == kNever ? "?" : std::to_string(op.end / kMicrosecond)) + " us: " + op.name;
    if (op.sees == RegisterOp::Sees::value) out += ", saw " + text_of(op.seen);
    if (op.sees == RegisterOp::Sees::something) out += ", saw something";
    if (op.sees == RegisterOp::Sees::nothing) out += ", saw nothing";
    if (op.writes) out += ", wrote " + text_of(op.written);
    out += op.happened ? "\n" : " (outcome unknown)\n";
  }
  return out;
}

}  // namespace cairn::sim
