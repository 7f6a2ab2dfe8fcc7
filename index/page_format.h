// index/page_format.h - leaf and branch pages of the tree, format 1. All integers little-endian.
// Unit: bytes. The first 32 bytes are index/page_header_format.h.
//
//   offset  size  field          meaning
//        0    32  header         kind 1 (leaf) or 2 (branch); level 0 or 1..kLevelMax
//       32     2  slot_count     1 and up: empty pages do not exist, an empty tree has no root
//       34     2  heap_begin     first byte of the heap; slots grow up, the heap grows down
//       36     2  hole_bytes     bytes of the heap that belong to no entry; they are zero
//       38     2  prefix_bytes   p, length of prefix; 0..1280
//       40     2  last_slot      hint for splits, any value is valid: slot of the newest insertion
//       42     2  run_slot       hint: the slot where those insertions began that are
//                                neighbours in time and place
//       44     2  run            hint: their number
//       46     2  reserved       zero
//       48     p  prefix         the first bytes of every key of the page, kept once
//   48 + p   8*n  slots          ascending by key
//      ...        free           zero
//   heap_begin    heap           entries in any order, and holes; up to the page's end
//
//   slot:  0  4  head            the first bytes of the key behind the prefix, zero beyond its end
//          4  2  offset          of its entry, from the start of the page
//          6  2  suffix_bytes    length of the key behind the prefix, with the head; 0..1280
//
//   entry of a leaf:     0  2   value_bytes    8..6144
//                        2      rest           the key behind prefix and head, or nothing
//                               value          starts with its stamp, 8 bytes
//   entry of a branch:   0      rest           as above
//                            8  child          PageRef
//                            8  newest_stamp   of the child's header
//
// A branch's slot i leads to the keys k with key(i) <= k < key(i + 1). Slot 0 has no key: head
// zero, suffix_bytes 0; it leads to everything below key(1), and everything of the parent's range
// at its end.
//
// Valid iff: the header's rules hold; 48 + p + 8 * slot_count <= heap_begin <= 16384; every entry
// lies inside the heap, none overlap, and with hole_bytes they fill it; free and holes are zero;
// keys (behind slot 0 of a branch) strictly ascend; lengths are in their bounds and prefix_bytes +
// suffix_bytes is 1..1280; no child is null; no stamp is above the header's newest_stamp.
#pragma once

#include "base/endian.h"
#include "index/batch.h"
#include "index/page_header_format.h"

namespace cairn::index {

/// Highest level of a branch: more than any tree of 2^48 pages needs, so that a path has a fixed
/// size.
inline constexpr uint32_t kLevelMax = 15;
inline constexpr uint32_t kHeadBytes = 4;

struct NodeHeader {
  PageHeader page;
  U16le slot_count, heap_begin, hole_bytes, prefix_bytes;
  U16le last_slot, run_slot, run;
  U16le reserved;
};
static_assert(sizeof(NodeHeader) == 48);
static_assert(offsetof(NodeHeader, slot_count) == 32);
static_assert(offsetof(NodeHeader, last_slot) == 40);
static_assert(offsetof(NodeHeader, reserved) == 46);
static_assert(std::is_trivially_copyable_v<NodeHeader>);
static_assert(std::has_unique_object_representations_v<NodeHeader>, "padding leaks old bytes");

struct NodeSlot {
  U8 head[kHeadBytes];
  U16le offset, suffix_bytes;
};
static_assert(sizeof(NodeSlot) == 8);
static_assert(offsetof(NodeSlot, offset) == 4);
static_assert(std::has_unique_object_representations_v<NodeSlot>);

struct BranchValue {
  U64le child, newest_stamp;
};
static_assert(sizeof(BranchValue) == 16);

inline constexpr size_t kValueLengthBytes = 2;
/// What slots, heap and prefix of one page share.
inline constexpr size_t kNodeBytes = kPageBytes - sizeof(NodeHeader);
/// The most that one record or child takes, all of its key in the page.
inline constexpr size_t kLeafEntryBytesMax =
    sizeof(NodeSlot) + kValueLengthBytes + kKeyBytesMax + kValueBytesMax;
inline constexpr size_t kBranchEntryBytesMax =
    sizeof(NodeSlot) + kKeyBytesMax + sizeof(BranchValue);

// A page that overflows by one entry holds at most kNodeBytes + E. The most even cut leaves the
// halves at most E apart, so the larger has at most (kNodeBytes + 2 E) / 2 bytes: it must fit.
static_assert((kNodeBytes + 2 * kLeafEntryBytesMax) / 2 <= kNodeBytes,
              "any full leaf can be split");
static_assert((kNodeBytes + 2 * kBranchEntryBytesMax) / 2 <= kNodeBytes,
              "any full branch can be split");
static_assert(kNodeBytes / kBranchEntryBytesMax >= 8, "branches branch, whatever the keys");
static_assert(kValueBytesMax <= 0xFFFF && kPageBytes <= 0xFFFF);

}  // namespace cairn::index
