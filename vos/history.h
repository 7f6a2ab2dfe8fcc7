// What a shard keeps in memory about older versions: the snapshots of each container, the newest
// epochs at which versions ended, and containers that are closed for a while
// (docs/internals/versions.md). Internal to vos/. Home: the shard's reactor. Plain calls.
#pragma once

#include <memory>
#include <vector>

#include "base/flat_map.h"
#include "base/hash.h"
#include "runtime/reactor.h"
#include "vos/value_format.h"

namespace cairn::vos {

struct Snapshot {
  model::Epoch epoch = 0;
  SnapshotState state = SnapshotState::alive;
  model::Epoch stamp = 0;  // of its record: when it was made, or went back to last
};

/// The snapshots of all containers, as their records say.
class Snapshots {
 public:
  /// Ascending epochs; empty: none.
  std::span<const Snapshot> of(ContNumber container) const {
    const auto found = containers_.find(container);
    if (found == containers_.end()) return {};
    return found->second;
  }
  bool any(ContNumber container) const {
    return !containers_.empty() && containers_.find(container) != containers_.end();
  }
  const Snapshot* find(ContNumber container, model::Epoch epoch) const;
  /// Is it there, and not being given up?
  bool is_alive(ContNumber container, model::Epoch epoch) const {
    const Snapshot* const found = find(container, epoch);
    return found != nullptr && found->state != SnapshotState::dying;
  }
  /// The newest living one in [begin, end): the slot of a version that lived then. 0: none.
  model::Epoch newest_in(ContNumber container, model::Epoch begin, model::Epoch end) const;

  void set(ContNumber container, Snapshot snapshot);
  void erase(ContNumber container, model::Epoch epoch);

  /// Snapshots that are not just alive: work in the background.
  size_t busy() const { return busy_; }
  struct Work {
    ContNumber container = 0;
    Snapshot snapshot;
  };
  /// The oldest of some container, rollbacks first. Precondition: busy() > 0.
  Work next_work() const;

 private:
  FlatMap<ContNumber, std::vector<Snapshot>> containers_;
  size_t busy_ = 0;
};

/// The newest epoch at which a version ended, per object and per dkey, hashed into a table of fixed
/// size. What was visible at an epoch at or above that of a slot is live, unless it is a snapshot's
/// affair. A plan raises it before its commit: at worst a read is refused for nothing.
class EndedVersions {
 public:
  EndedVersions() : slots_(kSlots) {}
  /// Nothing is known of what ended up to `epoch`.
  void raise_all(model::Epoch epoch);
  /// Of all objects.
  model::Epoch newest() const { return newest_; }
  /// @param prefix  an object or dkey prefix of the live range
  model::Epoch at(ByteView prefix) const {
    const model::Epoch own = slots_[slot(prefix)];
    return wholes_.empty() ? own : std::max(own, whole_at(prefix));
  }
  /// Something of every dkey of the object ended, and nobody knows their names.
  void raise_whole(ByteView object_prefix, model::Epoch epoch);
  void raise(ByteView prefix, model::Epoch epoch) {
    model::Epoch& at = slots_[slot(prefix)];
    at = std::max(at, epoch);
    newest_ = std::max(newest_, epoch);
  }

 private:
  static constexpr size_t kSlots = 16'384;
  static size_t slot(ByteView prefix) { return xxh3_64(prefix) % kSlots; }
  model::Epoch whole_at(ByteView prefix) const;
  std::vector<model::Epoch> slots_;
  std::vector<model::Epoch> wholes_;  // by object, once there are any
  model::Epoch newest_ = 0;
};

/// What somebody wants of a container.
struct Access {
  bool writes = false;
  model::Epoch epoch = model::kEpochMax;  // of a read; kEpochMax: what is there now
  static constexpr Access read(model::Epoch epoch) { return {.writes = false, .epoch = epoch}; }
};
inline constexpr Access kWrite{.writes = true};

/// A container that is closed for a while. Shared with the timers that end it or have others look
/// again, which may outlive the shard.
struct Closure {
  enum class Kind : uint8_t {
    frozen,    // for a snapshot: writes wait
    held,      // for a rollback that is not decided here: writes wait, and reads at later epochs
    rollback,  // goes back: all wait
  };
  Closure(Reactor& reactor, Kind k) : moved(reactor), kind(k) {}
  WaitList moved;
  bool over = false;
  const Kind kind;
  model::Epoch answered = 0;  // the newest one issued

  bool stops(const Access& access) const {
    if (access.writes || kind == Kind::rollback) return true;
    return kind == Kind::held && access.epoch != model::kEpochMax && access.epoch > answered;
  }
  void end() {
    over = true;
    moved.wake_all();
  }
};

class Closures {
 public:
  /// Null: go on. Else wait for `moved` and ask again.
  std::shared_ptr<Closure> of(ContNumber container, const Access& access) {
    if (closed_.empty()) [[likely]] return nullptr;
    return find(container, access);
  }
  std::shared_ptr<Closure> find(ContNumber container, const Access& access);
  void set(ContNumber container, std::shared_ptr<Closure> closure);
  void end(ContNumber container);
  /// The shard closes: frozen writes go on, all others look again.
  void wake_all();

 private:
  FlatMap<ContNumber, std::shared_ptr<Closure>> closed_;
};

}  // namespace cairn::vos
