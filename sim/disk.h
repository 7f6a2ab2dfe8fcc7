// SimDisk: a device in memory with a volatile cache. What was not flushed is, sector by sector,
// kept, lost, taken from an older write, or torn when the power goes; requests finish in any order;
// requests fail on demand. Everything follows from the world's seed. Home: the world's reactor. The
// bytes outlive power cuts and reactors.
#pragma once

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
};

class SimDisk final : public media::Device {
 public:
  enum class Op : uint8_t { read, write, flush };

  SimDisk(Power& power, Random& random, std::string name, uint64_t bytes);

  /// The reactor on which requests finish from now on.
  void attach(Reactor* reactor) { reactor_ = reactor; }
  /// The power went: decides what of the unflushed sectors is on the medium.
  void settle_after_cut();

  /// The n-th request of this kind from now on (1: the next) fails with `error`, and every later
  /// one too if `for_ever`. A failed write leaves some of its sectors changed.
  void fail(Op op, uint64_t nth, Errc error, bool for_ever = false);
  void heal() { faults_.clear(); }
  /// Damages the medium behind the store's back.
  void flip_bit(uint64_t offset, unsigned bit);
  /// What a reader would see now, for comparisons.
  Bytes peek(uint64_t offset, uint64_t bytes) const;
  uint64_t sectors_written() const { return durable_.size(); }
  /// A sector that was ever written: for aimed damage.
  std::vector<uint64_t> written_sectors() const;
  const std::string& name() const { return name_; }

  uint64_t size_bytes() const override { return bytes_; }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override;
  Task<Result<void>> write(uint64_t offset, ByteView from) override;
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override;
  Task<Result<void>> flush() override;
  Task<void> discard(uint64_t offset, uint64_t bytes) override;

 private:
  using Sector = std::shared_ptr<const Bytes>;
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
  };

  /// Counts the request; the power may go with it. Nullopt: it never finishes.
  Errc start(Op op);
  Task<Result<void>> write_any(uint64_t offset, ByteView from, bool durable);
  Sector newest(uint64_t sector) const;
  Bytes content(uint64_t sector) const;

  Power& power_;
  Random& random_;
  Reactor* reactor_ = nullptr;
  std::string name_;
  uint64_t bytes_;
  uint64_t order_ = 0;
  std::map<uint64_t, Sector> durable_;
  std::map<uint64_t, std::vector<Version>> unflushed_;
  std::vector<Fault> faults_;
};

}  // namespace cairn::sim
