#include "index/batch.h"

#include <limits>

#include "base/check.h"

namespace cairn::index {

void Batch::put(ByteView key, ByteView value) {
  CHECK(!key.empty() && key.size() <= kKeyBytesMax);
  CHECK(value.size() >= kStampBytes && value.size() <= kValueBytesMax);
  CHECK(arena_.size() <= std::numeric_limits<uint32_t>::max() - key.size() - value.size());
  if (ops_.empty()) arena_.reserve(key.size() + value.size());  // most batches put one record
  Op op;
  op.key_begin = static_cast<uint32_t>(arena_.size());
  op.key_bytes = static_cast<uint32_t>(key.size());
  op.value_begin = op.key_begin + op.key_bytes;
  op.value_bytes = static_cast<uint32_t>(value.size());
  arena_.insert(arena_.end(), key.begin(), key.end());
  arena_.insert(arena_.end(), value.begin(), value.end());
  ops_.push_back(op);
}

void Batch::erase(ByteView key) {
  CHECK(!key.empty() && key.size() <= kKeyBytesMax);
  CHECK(arena_.size() <= std::numeric_limits<uint32_t>::max() - key.size());
  Op op;
  op.erase = true;
  op.key_begin = static_cast<uint32_t>(arena_.size());
  op.key_bytes = static_cast<uint32_t>(key.size());
  op.value_begin = op.key_begin + op.key_bytes;
  arena_.insert(arena_.end(), key.begin(), key.end());
  ops_.push_back(op);
}

void Batch::add(const Batch& from, const Op& op) {
  if (op.erase) return erase(from.key(op));
  put(from.key(op), from.value(op));
}

void Batch::clear() {
  arena_.clear();
  ops_.clear();
  data_.clear();
  freed_.clear();
}

}  // namespace cairn::index
