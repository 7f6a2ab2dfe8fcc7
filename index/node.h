// Node: one leaf or branch page, seen as a sorted array of entries. A view over a frame's bytes; it
// owns nothing and knows nothing of other pages. Byte map: index/page_format.h. Pages that come
// from a medium pass validate_node() before a Node looks at them; after that every access stays
// inside the page.
#pragma once

#include <bit>
#include <cstring>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/result.h"
#include "base/short_bytes.h"
#include "index/page_format.h"

namespace cairn::index {

/// Everything that page_format.h demands of one page. Also the pager's validator.
/// @error checksum  the page breaks a rule
Result<void> validate_node(ByteView page);

/// A key in up to three pieces (a page's prefix, a slot's head, an entry's rest). Borrowed.
struct KeyParts {
  ByteView prefix, head, rest;
  KeyParts() = default;
  explicit KeyParts(ByteView whole) : prefix(whole) {}
  KeyParts(ByteView p, ByteView h, ByteView r) : prefix(p), head(h), rest(r) {}
  size_t size() const { return prefix.size() + head.size() + rest.size(); }
  /// Copies bytes [from, from + bytes) of the key.
  void copy(size_t from, size_t bytes, std::byte* into) const;
};

/// One entry while a page is taken apart and built again. Borrowed.
struct NodeItem {
  KeyParts key;
  ByteView value;  // of a branch: a BranchValue
};

class Node {
 public:
  explicit Node(std::byte* page) : p_(page) {}

  /// Makes the page an empty one; page_number and birth stay.
  void init(PageKind kind, uint32_t level);

  NodeHeader& header() const { return *reinterpret_cast<NodeHeader*>(p_); }
  bool is_leaf() const { return header().page.kind == static_cast<uint8_t>(PageKind::leaf); }
  uint32_t level() const { return header().page.level; }
  uint32_t count() const { return load16(offsetof(NodeHeader, slot_count)); }
  uint64_t newest() const { return load_le64(p_ + offsetof(PageHeader, newest_stamp)); }
  void raise_newest(uint64_t stamp) const {
    if (stamp > newest()) store_le64(p_ + offsetof(PageHeader, newest_stamp), stamp);
  }

  ByteView prefix() const {
    const size_t bytes = load16(offsetof(NodeHeader, prefix_bytes));
    return {p_ + sizeof(NodeHeader), bytes};
  }
  size_t suffix_bytes(uint32_t slot) const { return load16(at(slot) + 6); }
  ByteView head(uint32_t slot) const {
    const size_t bytes = suffix_bytes(slot);
    return {p_ + at(slot), bytes < kHeadBytes ? bytes : kHeadBytes};
  }
  ByteView rest(uint32_t slot) const {
    const size_t bytes = suffix_bytes(slot);
    return {p_ + load16(at(slot) + 4) + value_length_bytes(),
            bytes > kHeadBytes ? bytes - kHeadBytes : 0};
  }
  KeyParts key(uint32_t slot) const { return {prefix(), head(slot), rest(slot)}; }
  size_t key_bytes(uint32_t slot) const { return prefix().size() + suffix_bytes(slot); }
  /// Writes the key behind the prefix.
  void copy_suffix(uint32_t slot, std::byte* into) const {
    const ByteView h = head(slot);
    copy_short(into, h.data(), h.size());
    const ByteView r = rest(slot);
    copy_short(into + h.size(), r.data(), r.size());
  }
  ByteView value(uint32_t slot) const {
    const ByteView r = rest(slot);
    const size_t bytes = is_leaf() ? load16(load16(at(slot) + 4)) : sizeof(BranchValue);
    return {r.data() + r.size(), bytes};
  }
  ByteView leaf_value(uint32_t slot) const {
    const size_t entry = load16(at(slot) + 4);
    const size_t suffix = load16(at(slot) + 6);
    const size_t skip = kValueLengthBytes + (suffix > kHeadBytes ? suffix - kHeadBytes : 0);
    return {p_ + entry + skip, load16(entry)};
  }
  /// Where a slot's entry begins in the page.
  const std::byte* entry(uint32_t slot) const { return p_ + load16(at(slot) + 4); }
  NodeItem item(uint32_t slot) const { return {key(slot), value(slot)}; }

  PageRef child(uint32_t slot) const { return {load_le64(branch_value(slot))}; }
  uint64_t child_newest(uint32_t slot) const { return load_le64(branch_value(slot) + 8); }
  void set_child(uint32_t slot, PageRef ref) const { store_le64(branch_value(slot), ref.word); }
  void set_child_newest(uint32_t slot, uint64_t stamp) const {
    store_le64(branch_value(slot) + 8, stamp);
  }

  struct Found {
    uint32_t slot;  // the first entry with a key >= the wanted one; count() if none
    bool equal;
  };
  /// In a leaf: among all slots; in a branch: among slots 1 and up.
  Found find(ByteView key) const;
  /// Of a slot's key to `suffix` behind the prefix: below, at or above 0.
  int compare(uint32_t slot, ByteView suffix) const;
  /// Branch: the child whose range has `key`.
  uint32_t child_for(ByteView key) const {
    const Found f = find(key);
    return f.equal ? f.slot : f.slot - 1;
  }

  bool has_prefix(ByteView key) const {
    const ByteView p = prefix();
    return key.size() >= p.size() && std::memcmp(key.data(), p.data(), p.size()) == 0;
  }
  /// Bytes that an entry takes, its slot with it; `key` starts with the prefix.
  size_t entry_bytes(size_t key_bytes, size_t value_bytes) const {
    return packed_bytes(is_leaf(), key_bytes, prefix().size(), value_bytes);
  }
  static size_t packed_bytes(bool leaf, size_t key_bytes, size_t prefix_bytes, size_t value_bytes) {
    const size_t suffix = key_bytes - prefix_bytes;
    return sizeof(NodeSlot) + (leaf ? kValueLengthBytes : 0) +
           (suffix > kHeadBytes ? suffix - kHeadBytes : 0) + value_bytes;
  }
  /// Free bytes between slots and heap; and with the holes.
  size_t gap_bytes() const { return load16(offsetof(NodeHeader, heap_begin)) - slots_end(); }
  size_t free_bytes() const { return gap_bytes() + load16(offsetof(NodeHeader, hole_bytes)); }
  /// Bytes of slots, entries and prefix.
  size_t used_bytes() const { return kNodeBytes - free_bytes(); }

  /// Precondition: has_prefix(key), gap_bytes() >= entry_bytes(). Keeps the hints.
  void insert(uint32_t slot, ByteView key, ByteView value) const;
  /// Leaf: exchanges the value for one of the same length.
  void overwrite(uint32_t slot, ByteView value) const;
  void remove(uint32_t slot) const;
  /// Branch: slot 0 loses its key after the one before it was removed.
  void drop_first_key() const;
  /// Gathers the holes into the gap.
  void compact() const;
  /// After build_node(): the run of the page that was before goes on; the page begins with its slot
  /// `cut`.
  void keep_hints(const NodeHeader& before, uint32_t cut) const;
  /// Notes an insertion at `slot` (insert() does so itself).
  void count_insertion(uint32_t slot) const;
  /// Where the newest insertions, one of them at `slot`, are heading.
  enum class Drift : uint8_t { none, up, down };
  Drift drift(uint32_t slot) const;

  void items(std::vector<NodeItem>& out) const {
    for (uint32_t i = 0; i < count(); ++i) out.push_back(item(i));
  }

 private:
  size_t load16(size_t offset) const {
    uint16_t v;
    std::memcpy(&v, p_ + offset, 2);
    if constexpr (std::endian::native != std::endian::little) v = __builtin_bswap16(v);
    return v;
  }
  size_t slots_begin() const {
    return sizeof(NodeHeader) + load16(offsetof(NodeHeader, prefix_bytes));
  }
  size_t at(uint32_t slot) const { return slots_begin() + sizeof(NodeSlot) * slot; }
  size_t slots_end() const { return at(count()); }
  size_t value_length_bytes() const { return is_leaf() ? kValueLengthBytes : 0; }
  std::byte* branch_value(uint32_t slot) const {
    const size_t suffix = suffix_bytes(slot);
    return p_ + load16(at(slot) + 4) + (suffix > kHeadBytes ? suffix - kHeadBytes : 0);
  }
  size_t entry_heap_bytes(uint32_t slot) const {
    return entry_bytes(key_bytes(slot), value(slot).size()) - sizeof(NodeSlot);
  }
  /// Orders the suffix of `slot` (whose head equals the wanted one's) against the wanted suffix.
  int compare_same_head(uint32_t slot, ByteView suffix) const;

  std::byte* p_;
};

/// Bytes that a page of these items takes (to compare with kNodeBytes).
size_t packed_node_bytes(std::span<const NodeItem> items, bool leaf, size_t prefix_bytes);

/// How many bytes of prefix a page of `items` gets: all that its keys share, unless `known` bytes,
/// which they are known to share at least in part, make a smaller page (heads are never shortened).
/// So a part of a page never needs more than the page did. A branch's first item counts only by its
/// value.
size_t choose_prefix(std::span<const NodeItem> items, bool leaf, size_t known);

/// Builds a page of `items`, which may borrow from the page itself. Its newest stamp is that of the
/// items; its hints are gone. Precondition: with choose_prefix(items, leaf, known) they fit.
void build_node(Node node, PageKind kind, uint32_t level, std::span<const NodeItem> items,
                size_t known = 0);

}  // namespace cairn::index
