// Writing and strict reading of format structs, for the codecs of this folder.
#pragma once

#include <cstring>

#include "base/bytes.h"
#include "base/result.h"
#include "wire/object_format.h"

namespace cairn::wire {

inline void put(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }
template <class T>
  requires kIsPart<T>
void put(Bytes& out, const T& part) {
  put(out, view_of(&part, sizeof(part)));
}

/// Takes from the front of a body. The first failure sticks; what was taken then is zero or empty.
class Cursor {
 public:
  explicit Cursor(ByteView body) : rest_(body) {}

  template <class T>
    requires kIsPart<T>
  T take() {
    T part{};
    if (const ByteView bytes = take_bytes(sizeof(T)); !bytes.empty()) {
      std::memcpy(&part, bytes.data(), sizeof(T));
    }
    return part;
  }
  ByteView take_bytes(size_t bytes) {
    if (bytes > rest_.size()) {
      ok_ = false;
      return {};
    }
    const ByteView taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  /// `count` things of at least `each` bytes may still follow. Ask before making room for them.
  bool has(uint64_t count, size_t each) {
    if (count > rest_.size() / each) ok_ = false;
    return ok_;
  }
  void expect(bool condition) {
    if (!condition) ok_ = false;
  }
  void expect_zero(ByteView reserved) {
    for (const std::byte b : reserved) expect(b == std::byte{0});
  }
  bool ok() const { return ok_; }
  /// All was there, and nothing is left.
  Result<void> finish() const {
    if (!ok_ || !rest_.empty()) {
      return fail(Errc::format_invalid, "wire: the body of a message is malformed");
    }
    return {};
  }

 private:
  ByteView rest_;
  bool ok_ = true;
};

/// For arrays of bytes inside parts.
template <size_t N>
ByteView bytes_of(const U8 (&field)[N]) {
  return view_of(field, N);
}

}  // namespace cairn::wire
