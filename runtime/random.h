// The random seam. Production is seeded by the kernel, simulation by the test's seed.
#pragma once

#include <array>
#include <cstdint>

namespace cairn {

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t next() = 0;
  /// Uniform in [0, bound); bound > 0.
  uint64_t below(uint64_t bound) { return next() % bound; }
  std::array<uint8_t, 16> bytes16();
};

/// The kernel's generator. Any thread.
Random& system_random();

/// Deterministic: same seed, same numbers, on every machine.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t next() override;

 private:
  uint64_t state_;
};

}  // namespace cairn
