#include "index/batch.h"

#include <limits>

#include "base/check.h"

namespace cairn::index {

Batch::Op& Batch::add(Op::Kind kind, ByteView key, ByteView value) {
  CHECK(!key.empty() && key.size() <= kKeyBytesMax);
  CHECK(arena_.size() <= std::numeric_limits<uint32_t>::max() - key.size() - value.size());
  if (ops_.empty()) arena_.reserve(key.size() + value.size());  // most batches put one record
  Op op;
  op.kind = kind;
  op.key_begin = static_cast<uint32_t>(arena_.size());
  op.key_bytes = static_cast<uint32_t>(key.size());
  op.value_begin = op.key_begin + op.key_bytes;
  op.value_bytes = static_cast<uint32_t>(value.size());
  arena_.insert(arena_.end(), key.begin(), key.end());
  arena_.insert(arena_.end(), value.begin(), value.end());
  return ops_.emplace_back(op);
}

void Batch::put(ByteView key, ByteView value) {
  CHECK(value.size() >= kStampBytes && value.size() <= kValueBytesMax);
  add(Op::Kind::put, key, value);
}

void Batch::erase(ByteView key) { add(Op::Kind::erase, key, {}); }

void Batch::move(ByteView from, ByteView to) {
  CHECK(!to.empty() && to.size() <= kKeyBytesMax);
  CHECK(as_chars(from) != as_chars(to));
  add(Op::Kind::move, from, to);
  ++move_count_;
}

void Batch::add(const Batch& from, const Op& op) {
  add(op.kind, from.key(op), from.value(op));
  move_count_ += op.kind == Op::Kind::move ? 1 : 0;
}

void Batch::add(const Batch& from) {
  for (const Op& op : from.ops_) add(from, op);
  data_.insert(data_.end(), from.data_.begin(), from.data_.end());
  freed_.insert(freed_.end(), from.freed_.begin(), from.freed_.end());
}

void Batch::clear() {
  arena_.clear();
  ops_.clear();
  move_count_ = 0;
  data_.clear();
  freed_.clear();
  fills_leaves_ = false;
}

}  // namespace cairn::index
