#include "index/node.h"

#include <algorithm>

#include "index/node_search.h"

namespace cairn::index {
namespace {

constexpr size_t kLineBytes = 64;

}  // namespace

void KeyParts::copy(size_t from, size_t bytes, std::byte* into) const {
  for (const ByteView part : {prefix, head, rest}) {
    if (from >= part.size()) {
      from -= part.size();
      continue;
    }
    const size_t n = std::min(part.size() - from, bytes);
    if (n != 0) std::memcpy(into, part.data() + from, n);
    into += n;
    bytes -= n;
    from = 0;
  }
  DCHECK(bytes == 0);
}

void Node::init(PageKind kind, uint32_t level) {
  constexpr size_t kKept = offsetof(PageHeader, kind);
  std::memset(p_ + kKept, 0, kPageBytes - kKept);
  header().page.kind = static_cast<uint8_t>(kind);
  header().page.level = static_cast<uint8_t>(level);
  header().heap_begin = kPageBytes;
}

int Node::compare_same_head(uint32_t slot, ByteView suffix) const {
  const size_t mine = suffix_bytes(slot);
  if (mine > kHeadBytes && suffix.size() > kHeadBytes) {
    const ByteView r = rest(slot);
    return compare_bytes(r, suffix.subspan(kHeadBytes));
  }
  // The shorter one is the beginning of the other: what differs would differ in the heads.
  return mine < suffix.size() ? -1 : mine > suffix.size() ? 1 : 0;
}

int Node::compare(uint32_t slot, ByteView suffix) const {
  const uint32_t mine = load_be32(p_ + at(slot));
  const uint32_t head = head_value(suffix);
  if (mine != head) return mine < head ? -1 : 1;
  return compare_same_head(slot, suffix);
}

Node::Found Node::find(ByteView key) const {
  const uint32_t n = count();
  const uint32_t first = is_leaf() ? 0 : 1;
  const ByteView p = prefix();
  const size_t shared = std::min(p.size(), key.size());
  const int c = shared == 0 ? 0 : __builtin_memcmp(key.data(), p.data(), shared);
  if (c < 0 || (c == 0 && key.size() < p.size())) return {first, false};
  if (c > 0) return {n, false};
  const ByteView suffix = key.subspan(p.size());
  const uint32_t head = head_value(suffix);
  const std::byte* slots = p_ + slots_begin();
  const auto head_of = [slots](size_t slot) { return load_be32(slots + sizeof(NodeSlot) * slot); };
  size_t low = lower_head({slots + sizeof(NodeSlot) * first, sizeof(NodeSlot) * (n - first)}, head);
  low += first;
  // Among equal heads (rarely more than a few) the rest decides.
  size_t high = low;
  for (size_t step = 1; high < n && head_of(high) == head; step *= 2) {
    high = std::min<size_t>(n, high + step);
  }
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const uint32_t h = head_of(middle);
    // A value mostly begins in the line of its key and ends in the next one.
    __builtin_prefetch(entry(static_cast<uint32_t>(middle)) + kLineBytes);
    const int order =
        h != head ? (h < head ? -1 : 1) : compare_same_head(static_cast<uint32_t>(middle), suffix);
    if (order == 0) return {static_cast<uint32_t>(middle), true};
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return {static_cast<uint32_t>(low), false};
}

void Node::count_insertion(uint32_t slot) const {
  NodeHeader& h = header();
  const int at = static_cast<int>(slot);
  int last = h.last_slot.get();
  int begin = h.run_slot.get();
  int run = h.run.get();
  // A few slots of tolerance: records that belong together may come in any order.
  if (at >= last - 4 && at <= last + 4) {
    run = std::min(run + 1, 0xFFFF);
    last = at;
  } else if (run >= 2) {
    // Something else in between: the run weighs half, its drift too.
    if (at <= last) ++last;
    if (at <= begin) ++begin;
    begin = last - (last - begin) / 2;
    run /= 2;
  } else {
    last = begin = at;
    run = 0;
  }
  h.last_slot = static_cast<uint16_t>(last);
  h.run_slot = static_cast<uint16_t>(std::max(begin, 0));
  h.run = static_cast<uint16_t>(run);
}

Node::Drift Node::drift(uint32_t slot) const {
  constexpr int kRunMin = 4;
  const int run = header().run.get();
  if (run < kRunMin) return Drift::none;
  // Each insertion of an ascending run is one slot above the one before; a descending one stays in
  // place.
  const int moved = static_cast<int>(slot) - header().run_slot.get();
  return 2 * moved > run ? Drift::up : 4 * moved < run ? Drift::down : Drift::none;
}

void Node::keep_hints(const NodeHeader& before, uint32_t cut) const {
  const auto shifted = [cut](uint32_t slot) {
    return static_cast<uint16_t>(slot > cut ? slot - cut : 0);
  };
  NodeHeader& h = header();
  const uint32_t last = shifted(before.last_slot.get());
  const uint32_t begin = shifted(before.run_slot.get());
  h.last_slot = static_cast<uint16_t>(last);
  h.run_slot = static_cast<uint16_t>(begin);
  // What lies in another page now does not count any more.
  h.run = cut == 0 ? before.run.get()
                   : std::min<uint16_t>(before.run.get(), static_cast<uint16_t>(last - begin + 4));
}

void Node::insert(uint32_t slot, ByteView key, ByteView value) const {
  NodeHeader& h = header();
  const uint32_t n = count();
  DCHECK(slot <= n);
  DCHECK(has_prefix(key));
  DCHECK(gap_bytes() >= entry_bytes(key.size(), value.size()));
  count_insertion(slot);
  const ByteView suffix = key.subspan(prefix().size());
  const size_t rest_bytes = suffix.size() > kHeadBytes ? suffix.size() - kHeadBytes : 0;
  const size_t length_bytes = value_length_bytes();
  const size_t entry = h.heap_begin.get() - (length_bytes + rest_bytes + value.size());
  std::byte* at_entry = p_ + entry;
  if (length_bytes != 0) {
    const U16le length = static_cast<uint16_t>(value.size());
    std::memcpy(at_entry, &length, sizeof length);
  }
  if (rest_bytes != 0) {
    std::memcpy(at_entry + length_bytes, suffix.data() + kHeadBytes, rest_bytes);
  }
  std::memcpy(at_entry + length_bytes + rest_bytes, value.data(), value.size());
  std::memmove(p_ + at(slot + 1), p_ + at(slot), sizeof(NodeSlot) * (n - slot));
  store_be32(p_ + at(slot), head_value(suffix));
  auto& s = *reinterpret_cast<NodeSlot*>(p_ + at(slot));
  s.offset = static_cast<uint16_t>(entry);
  s.suffix_bytes = static_cast<uint16_t>(suffix.size());
  h.heap_begin = static_cast<uint16_t>(entry);
  h.slot_count = static_cast<uint16_t>(n + 1);
}

void Node::overwrite(uint32_t slot, ByteView value) const {
  const ByteView old = leaf_value(slot);
  DCHECK(old.size() == value.size());
  std::memcpy(p_ + (old.data() - p_), value.data(), value.size());
}

void Node::remove(uint32_t slot) const {
  NodeHeader& h = header();
  const uint32_t n = count();
  DCHECK(slot < n);
  const size_t entry = load16(at(slot) + 4);
  const size_t bytes = entry_heap_bytes(slot);
  std::memset(p_ + entry, 0, bytes);
  if (entry == h.heap_begin.get()) {
    h.heap_begin = static_cast<uint16_t>(entry + bytes);
  } else {
    h.hole_bytes = static_cast<uint16_t>(h.hole_bytes.get() + bytes);
  }
  std::memmove(p_ + at(slot), p_ + at(slot + 1), sizeof(NodeSlot) * (n - slot - 1));
  std::memset(p_ + at(n - 1), 0, sizeof(NodeSlot));
  h.slot_count = static_cast<uint16_t>(n - 1);
  if (slot < h.last_slot.get()) h.last_slot = static_cast<uint16_t>(h.last_slot.get() - 1);
}

void Node::drop_first_key() const {
  if (suffix_bytes(0) == 0) return;
  BranchValue v;
  std::memcpy(&v, branch_value(0), sizeof v);
  const size_t bytes = entry_heap_bytes(0);
  const size_t entry = load16(at(0) + 4);
  const size_t kept = entry + bytes - sizeof v;
  std::memset(p_ + entry, 0, bytes - sizeof v);
  std::memset(p_ + at(0), 0, sizeof(NodeSlot));
  auto& s = *reinterpret_cast<NodeSlot*>(p_ + at(0));
  s.offset = static_cast<uint16_t>(kept);
  NodeHeader& h = header();
  if (entry == h.heap_begin.get()) {
    h.heap_begin = static_cast<uint16_t>(kept);
  } else {
    h.hole_bytes = static_cast<uint16_t>(h.hole_bytes.get() + bytes - sizeof v);
  }
}

void Node::compact() const {
  std::byte old[kPageBytes];
  std::memcpy(old, p_, kPageBytes);
  const Node from(old);
  NodeHeader& h = header();
  size_t begin = kPageBytes;
  for (uint32_t i = 0; i < count(); ++i) {
    const size_t bytes = from.entry_heap_bytes(i);
    begin -= bytes;
    std::memcpy(p_ + begin, old + from.load16(at(i) + 4), bytes);
    reinterpret_cast<NodeSlot*>(p_ + at(i))->offset = static_cast<uint16_t>(begin);
  }
  std::memset(p_ + slots_end(), 0, begin - slots_end());
  h.heap_begin = static_cast<uint16_t>(begin);
  h.hole_bytes = 0;
}

size_t packed_node_bytes(std::span<const NodeItem> items, bool leaf, size_t prefix_bytes) {
  size_t bytes = prefix_bytes;
  for (size_t i = 0; i < items.size(); ++i) {
    const bool keyless = !leaf && i == 0;
    const size_t key_bytes = keyless ? prefix_bytes : items[i].key.size();
    bytes += Node::packed_bytes(leaf, key_bytes, prefix_bytes, items[i].value.size());
  }
  return bytes;
}

size_t choose_prefix(std::span<const NodeItem> all, bool leaf, size_t known) {
  const std::span<const NodeItem> items = leaf || all.empty() ? all : all.subspan(1);
  if (items.empty()) return 0;
  const KeyParts& a = items.front().key;
  const KeyParts& b = items.back().key;
  std::byte low[kKeyBytesMax];
  std::byte high[kKeyBytesMax];
  a.copy(0, a.size(), low);
  b.copy(0, b.size(), high);
  const auto end = std::mismatch(low, low + a.size(), high, high + b.size());
  const auto shared = static_cast<size_t>(end.first - low);
  known = std::min(known, shared);
  const bool longer_is_better =
      packed_node_bytes(all, leaf, shared) <= packed_node_bytes(all, leaf, known);
  return longer_is_better ? shared : known;
}

void build_node(Node node, PageKind kind, uint32_t level, std::span<const NodeItem> items,
                size_t known) {
  const bool leaf = kind == PageKind::leaf;
  const size_t prefix_bytes = choose_prefix(items, leaf, known);
  std::byte page[kPageBytes];
  std::memcpy(page, &node.header(), sizeof(NodeHeader));
  Node fresh(page);
  fresh.init(kind, level);
  const size_t slots_begin = sizeof(NodeHeader) + prefix_bytes;
  size_t begin = kPageBytes;
  if (prefix_bytes != 0) items.back().key.copy(0, prefix_bytes, page + sizeof(NodeHeader));
  uint64_t newest = 0;
  auto* slot = reinterpret_cast<NodeSlot*>(page + slots_begin);
  for (size_t i = 0; i < items.size(); ++i, ++slot) {
    const NodeItem& item = items[i];
    const size_t suffix = !leaf && i == 0 ? 0 : item.key.size() - prefix_bytes;
    const size_t head = std::min<size_t>(suffix, kHeadBytes);
    begin -= Node::packed_bytes(leaf, suffix, 0, item.value.size()) - sizeof(NodeSlot);
    CHECK(begin >= slots_begin + sizeof(NodeSlot) * items.size());
    std::byte* into = page + begin;
    if (leaf) {
      const U16le length = static_cast<uint16_t>(item.value.size());
      std::memcpy(into, &length, sizeof length);
      into += sizeof length;
    }
    item.key.copy(prefix_bytes, head, reinterpret_cast<std::byte*>(slot->head));
    item.key.copy(prefix_bytes + head, suffix - head, into);
    into += suffix - head;
    std::memcpy(into, item.value.data(), item.value.size());
    slot->offset = static_cast<uint16_t>(begin);
    slot->suffix_bytes = static_cast<uint16_t>(suffix);
    newest = std::max(newest, load_le64(into + (leaf ? 0 : offsetof(BranchValue, newest_stamp))));
  }
  NodeHeader& h = fresh.header();
  h.slot_count = static_cast<uint16_t>(items.size());
  h.heap_begin = static_cast<uint16_t>(begin);
  h.prefix_bytes = static_cast<uint16_t>(prefix_bytes);
  h.page.newest_stamp = newest;
  constexpr size_t kKept = offsetof(PageHeader, kind);
  std::memcpy(reinterpret_cast<std::byte*>(&node.header()) + kKept, page + kKept,
              kPageBytes - kKept);
}

}  // namespace cairn::index
