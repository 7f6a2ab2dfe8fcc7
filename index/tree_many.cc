// The descents of many look-ups side by side: a random look-up in a large tree mostly waits for
// memory, and those waits can overlap.
#include <algorithm>

#include "base/check.h"
#include "index/tree.h"

namespace cairn::index {
namespace {

/// Look-ups on their way at once. A CPU has a few dozen lines under way; more would only evict.
constexpr size_t kAtOnce = 32;
/// Header and slots of a leaf of middling records.
constexpr size_t kFetchedBytes = 1024;
/// An entry of a small value, with what stands before it in its first line.
constexpr size_t kEntryBytes = 192;
constexpr size_t kLineBytes = 64;
constexpr uint32_t kNoSlot = UINT32_MAX;

void fetch_lines(const std::byte* from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kLineBytes) __builtin_prefetch(from + at);
}

}  // namespace

void Tree::get_many(std::span<const ByteView> keys, std::span<Looked> found) {
  DCHECK(keys.size() == found.size());
  std::fill(found.begin(), found.end(), Looked{pager_.root().is_null(), std::nullopt});
  if (pager_.root().is_null()) return;
  const auto root = root_frame();
  if (!root) return;
  std::array<std::byte*, kAtOnce> pages;
  std::array<uint32_t, kAtOnce> slots;
  while (!keys.empty()) {
    const auto group = keys.first(std::min(keys.size(), kAtOnce));
    const auto group_found = found.first(group.size());
    keys = keys.subspan(group.size());
    found = found.subspan(group.size());
    pages.fill((*root)->data);
    // Leaves all have one depth.
    for (uint32_t level = (*root)->header().level; level > 0; --level) {
      for (size_t i = 0; i < group.size(); ++i) {
        if (pages[i] == nullptr) continue;
        const Node branch(pages[i]);
        const auto child = child_frame(branch, branch.child_for(group[i]));
        pages[i] = child ? (*child)->data : nullptr;
        if (pages[i] != nullptr) fetch_lines(pages[i], level == 1 ? kFetchedBytes : kLineBytes);
      }
    }
    for (size_t i = 0; i < group.size(); ++i) {
      if (pages[i] == nullptr) continue;
      const Node leaf(pages[i]);
      const Node::Found at = leaf.find(group[i]);
      slots[i] = at.equal ? at.slot : kNoSlot;
      if (at.equal) fetch_lines(leaf.entry(at.slot), kEntryBytes);
    }
    for (size_t i = 0; i < group.size(); ++i) {
      if (pages[i] == nullptr) continue;
      group_found[i].known = true;
      if (slots[i] != kNoSlot) group_found[i].value = Node(pages[i]).leaf_value(slots[i]);
    }
  }
}

}  // namespace cairn::index
