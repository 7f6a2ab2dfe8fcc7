#include "runtime/random.h"

#include <errno.h>
#include <sys/random.h>

#include <cstring>

#include "base/check.h"

namespace cairn {
namespace {

class SystemRandom final : public Random {
 public:
  uint64_t next() override {
    uint64_t value = 0;
    ssize_t got;
    do {
      got = getrandom(&value, sizeof value, 0);
    } while (got < 0 && errno == EINTR);
    CHECK(got == sizeof value);
    return value;
  }
};

}  // namespace

std::array<uint8_t, 16> Random::bytes16() {
  const uint64_t halves[2] = {next(), next()};
  std::array<uint8_t, 16> out;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<uint8_t>(halves[i / 8] >> (8 * (i % 8)));
  }
  return out;
}

Random& system_random() {
  static SystemRandom random;
  return random;
}

// SplitMix64: one word of state, every seed is good, and it is the same everywhere.
uint64_t SeededRandom::next() {
  state_ += 0x9e3779b97f4a7c15u;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace cairn
