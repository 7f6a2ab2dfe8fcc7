// The search among the heads of a page's slots. Internal to index/.
#pragma once

#include <cstring>

#include "base/bytes.h"
#include "base/endian.h"
#include "index/page_format.h"

namespace cairn::index {

/// The head that a slot with that suffix has.
inline uint32_t head_value(ByteView suffix) {
  if (suffix.size() >= kHeadBytes) return load_be32(suffix.data());
  std::byte head[kHeadBytes] = {};
  if (!suffix.empty()) std::memcpy(head, suffix.data(), suffix.size());
  return load_be32(head);
}

/// How many of ascending slots have a head below `head`. By quarters: three comparisons a step that
/// do not wait for each other, and no branch that depends on them (every second guess would fail).
inline size_t lower_head(ByteView slots, uint32_t head) {
  const std::byte* at = slots.data();
  const auto below = [&](size_t slot) {
    return static_cast<size_t>(load_be32(at + sizeof(NodeSlot) * slot) < head);
  };
  size_t length = slots.size() / sizeof(NodeSlot);
  while (length >= 4) {
    const size_t quarter = length / 4;
    at += sizeof(NodeSlot) * quarter *
          (below(quarter - 1) + below(2 * quarter - 1) + below(3 * quarter - 1));
    length -= 3 * quarter;
  }
  size_t more = 0;
  for (size_t i = 0; i < length; ++i) more += below(i);
  return static_cast<size_t>(at - slots.data()) / sizeof(NodeSlot) + more;
}

}  // namespace cairn::index
