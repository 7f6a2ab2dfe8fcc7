// Book: what the clients of a cluster asked and learned, and whether all of it can be true.
//   - Registers: single values under dkeys of objects on all engines. Each is linearizable.
//   - Groups of registers are only written together, by transactions: whoever looks at one epoch (a
//     transaction, a snapshot) sees the same value in all of them.
//   - A snapshot is one look at every register, at some moment while it was made, and always shows
//     what it showed first.
//   - Epochs of what was written to a register ascend in real time, and a snapshot shows what is
//     newest below it.
// A chapter is the time between two quiet moments: at its end every register is read, its history
// must be explained from what was there at its beginning, and it is forgotten. Pure, but for time.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "model/ids.h"
#include "sim/cluster/history.h"

namespace cairn::sim {

inline constexpr size_t kGroups = 4;
inline constexpr size_t kGroupMembers = 3;
inline constexpr size_t kAlone = 20;  // registers in no group
inline constexpr size_t kRegisters = kGroups * kGroupMembers + kAlone;

/// The registers of a group; the others follow behind all groups.
constexpr size_t member_of(size_t group, size_t member) { return group * kGroupMembers + member; }

/// Every value tells its number, and has a length and bytes that follow from it.
Bytes bytes_of(Value value);
/// @returns nothing: these are bytes that nobody wrote
std::optional<Value> value_of(ByteView bytes);
inline constexpr size_t kValueBytesMax = 24'000;

class Book {
 public:
  Value fresh_value() { return next_value_++; }

  /// Notes that something begins; by its number it ends. Until then nobody knows.
  size_t begin(size_t at, RegisterOp op);
  RegisterOp& op(size_t at, size_t number) { return chapter_[at].ops[number]; }
  /// It happened, as noted.
  void end(size_t at, size_t number, Instant when);
  /// It did not happen, and nothing was seen.
  void never(size_t at, size_t number);
  /// Adds what is over already.
  void add(size_t at, RegisterOp op) { chapter_[at].ops.push_back(op); }

  void wrote_at(size_t at, Value value, model::Epoch epoch, Instant begin, Instant end);
  void snapshot_shows(model::Epoch epoch, size_t at, Value value);
  void snapshot_made(model::Epoch epoch, Instant begin, Instant end);
  void snapshot_gone(model::Epoch epoch) { snapshots_.erase(epoch); }
  /// Of one group, read at one epoch: all the same.
  void group_read(size_t group, const std::vector<Value>& values, const std::string& how);
  /// The container goes back: epochs prove nothing for this chapter.
  void begin_rollback() { went_back_ = true; }

  void problem(std::string what) { problems_.push_back(std::move(what)); }
  const std::vector<std::string>& problems() const { return problems_; }

  /// The values are those of a quiet moment.
  void end_chapter(const std::vector<Value>& values);
  uint64_t operations() const { return operations_; }
  uint64_t unknown() const { return unknown_; }

 private:
  struct Written {
    Value value;
    model::Epoch epoch;
    Instant begin, end;
  };
  struct Register {
    Value initial = kNothing;
    std::vector<RegisterOp> ops;
    std::vector<Written> written;
  };
  struct Snapshot {
    std::optional<std::pair<Instant, Instant>> made;  // in this chapter
    std::map<size_t, Value> shows;
  };
  void check_epochs(size_t at);
  void check_snapshots(size_t at);

  Register chapter_[kRegisters];
  std::map<model::Epoch, Snapshot> snapshots_;
  std::vector<std::string> problems_;
  Value next_value_ = 1;
  uint64_t operations_ = 0, unknown_ = 0;
  bool went_back_ = false;
};

}  // namespace cairn::sim
