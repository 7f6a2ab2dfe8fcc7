// SimDisk: a device in memory with a volatile cache. What was not flushed is, sector by sector,
// kept, lost, taken from an older write, or torn when the power goes; requests finish in any order;
// requests fail on demand. Everything follows from the world's seed. Home: the world's reactor. The
// bytes outlive power cuts and reactors.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "media/device.h"
#include "runtime/random.h"
#include "runtime/reactor.h"

namespace cairn::sim {

inline constexpr uint32_t kSectorBytes = 512;

/// What several disks have in common: one supply, one count of requests.
struct Power {
  bool on = true;
  uint64_t requests = 0;  // started since the world began
  uint64_t cut_at = 0;    // the request with this number is the last to start; 0: none
  Duration delay_max = 100 * kMicrosecond;
  /// Called before a request starts and before it finishes: between two calls nothing changes that
  /// a cut could tell apart.
  std::function<void()> before_event;
};

class SimDisk final : public media::Device {
 public:
  enum class Op : uint8_t { read, write, flush, discard };
  /// What a discarded sector holds: what it held, zeros, or anything; until a flush, after a cut,
  /// what it held before.
  enum class Discard : uint8_t { ignored, keeps, zeros, anything };

  SimDisk(Power& power, Random& random, std::string name, uint64_t bytes);

  /// The reactor on which requests finish from now on.
  void attach(Reactor* reactor) { reactor_ = reactor; }
  /// The power went: decides what of the unflushed sectors is on the medium.
  void settle_after_cut();
  /// The process that used the disk was killed, and the machine goes on: of requests under way,
  /// each sector was changed or not. What was not flushed before still is not.
  void settle_after_kill();

  /// The n-th request of this kind from now on (1: the next) fails with `error`, and every later
  /// one too if `for_ever`. A failed write leaves some of its sectors changed.
  void fail(Op op, uint64_t nth, Errc error, bool for_ever = false);
  /// The n-th request of this kind from now on succeeds with one bit flipped: in what a read gives,
  /// or in what a write puts on the medium.
  void flip(Op op, uint64_t nth);
  /// From now on a read beside a write meets each sector before or after it, as chance has it;
  /// without this, after it.
  void mix_reads() { mixes_reads_ = true; }
  /// As if its first `bytes` had been filled with zeros, durably.
  void fill(uint64_t bytes);
  /// All disks of one group lie behind one cache: see Device::flush_domain(). A flush of one covers
  /// in the others only what overwrites something durable: the rest would need a change of a file's
  /// metadata.
  void join(const std::shared_ptr<std::vector<SimDisk*>>& cache) {
    cache->push_back(this);
    cache_ = cache;
  }
  void heal() { faults_.clear(); }
  /// It wants to know what holds nothing of use, and does this with it.
  void want_discards(Discard what) { discard_ = what; }
  /// Requests of this kind so far.
  uint64_t requests(Op op) const { return requests_[static_cast<size_t>(op)]; }
  /// Damages the medium behind the store's back.
  void flip_bit(uint64_t offset, unsigned bit);
  /// One bit flips in a sector that is durable and not being written, if there is one.
  void rot();
  /// Sectors that rotted and were not written since are what they were.
  void undo_rot();
  /// What a reader would see now, for comparisons.
  Bytes peek(uint64_t offset, uint64_t bytes) const;
  uint64_t sectors_written() const { return durable_.size(); }
  /// A sector that was ever written: for aimed damage.
  std::vector<uint64_t> written_sectors() const;
  const std::string& name() const { return name_; }

  using Sector = std::shared_ptr<const Bytes>;
  using Sectors = std::map<uint64_t, Sector>;
  /// What is on the medium for sure, and the writes that may be, in the order in which they began:
  /// for tests that enumerate what a cut leaves.
  struct Image {
    Sectors durable;
    std::vector<Sectors> unflushed;
  };
  Image image() const;
  /// From now on the medium holds this and nothing else. No request may be under way.
  void restore(Sectors durable);

  uint64_t size_bytes() const override { return bytes_; }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override;
  Task<Result<void>> write(uint64_t offset, ByteView from) override;
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override;
  Task<Result<void>> flush() override;
  uint64_t flush_domain() const override {
    return cache_ ? reinterpret_cast<uintptr_t>(cache_.get()) : 0;
  }
  bool flush_covers(uint64_t offset, uint64_t bytes) override;
  Task<void> discard(uint64_t offset, uint64_t bytes) override;
  bool wants_discard() const override { return discard_ != Discard::ignored; }

 private:
  struct Version {
    uint64_t order;
    bool done;  // the request has finished
    Sector bytes;
  };
  struct Fault {
    Op op;
    uint64_t left;
    Errc error;
    bool for_ever;
    bool flip = false;
  };
  /// What happens to one request.
  struct Fate {
    Errc error = Errc::ok;
    bool flip = false;
  };

  /// Counts the request; the power may go with it.
  Fate start(Op op);
  /// A request is about to have its effect; the power may be gone since.
  void before_event() {
    if (power_.before_event) power_.before_event();
  }
  /// A version of a sector.
  struct Covered {
    uint64_t sector;
    uint64_t order;
  };
  std::vector<Covered> coverable(bool overwrites_only) const;
  void make_durable(const std::vector<Covered>& covered);
  Task<Result<void>> write_any(uint64_t offset, ByteView from, bool durable);
  Bytes discarded();
  void forget(uint64_t offset, uint64_t bytes);
  Sector newest(uint64_t sector) const;
  Sector met_by_read(uint64_t sector);
  void give(uint64_t offset, ByteSpan into);
  Bytes content(uint64_t sector) const;
  void copy_to(uint64_t offset, ByteSpan into) const;

  Power& power_;
  Random& random_;
  Reactor* reactor_ = nullptr;
  std::string name_;
  uint64_t bytes_;
  uint64_t order_ = 0;
  bool mixes_reads_ = false;
  std::shared_ptr<std::vector<SimDisk*>> cache_;  // shared with those
  uint64_t requests_[4] = {};
  Discard discard_ = Discard::ignored;
  Sectors durable_;
  std::map<uint64_t, std::vector<Version>> unflushed_;
  std::vector<Fault> faults_;
  struct Rotten {
    uint64_t sector;
    Sector before, after;
  };
  std::vector<Rotten> rotten_;
};

}  // namespace cairn::sim
