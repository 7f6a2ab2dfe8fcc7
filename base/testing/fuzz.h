// What every *_fuzz.cc shares: cutting an input into values, and the seeds it starts from. A fuzz
// program is linked with libFuzzer (preset fuzz) or with tests/corpus/main.cc, which runs each file
// of a corpus once.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/bytes.h"
#include "base/endian.h"

namespace cairn::testing {

/// Takes values off the front of an input; zeros when it is used up.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(view_of(data, size)) {}
  bool done() const { return rest_.empty(); }
  uint64_t number(size_t bytes) {
    std::byte le[8] = {};
    const ByteView taken = take(bytes);
    std::copy(taken.begin(), taken.end(), le);
    return load_le64(le);
  }
  uint8_t u8() { return static_cast<uint8_t>(number(1)); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  ByteView take(size_t bytes) {
    const ByteView taken = rest_.first(std::min(bytes, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  /// Up to 255 bytes, their number first.
  ByteView chunk() { return take(u8()); }
  ByteView rest() { return take(rest_.size()); }

 private:
  ByteView rest_;
};

/// Each seed is one file of tests/corpus/NAME, where a fuzzer begins.
using FuzzSeeds = std::vector<Bytes>;

inline Bytes seed_of(ByteView bytes) { return {bytes.begin(), bytes.end()}; }
inline Bytes seed_of(std::string_view text) { return seed_of(as_bytes(text)); }
inline void append(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

}  // namespace cairn::testing

/// Made by the encoders that the target's parser reads; `NAME_fuzz --seeds DIR` writes them.
cairn::testing::FuzzSeeds fuzz_seeds();
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
