// validate_node(): the only way in for a page that was read from a medium.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "index/node.h"

namespace cairn::index {
namespace {

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

Result<void> check_header(const NodeHeader& h) {
  const bool leaf = h.page.kind == static_cast<uint8_t>(PageKind::leaf);
  const bool branch = h.page.kind == static_cast<uint8_t>(PageKind::branch);
  if (!leaf && !branch) return fail(Errc::checksum, "page: neither leaf nor branch");
  if (leaf ? h.page.level != 0 : h.page.level == 0 || h.page.level > kLevelMax) {
    return fail(Errc::checksum, "page: its level does not fit its kind");
  }
  const size_t slots_end =
      sizeof(NodeHeader) + h.prefix_bytes.get() + sizeof(NodeSlot) * h.slot_count.get();
  if (h.slot_count.get() == 0) return fail(Errc::checksum, "page: empty");
  if (h.prefix_bytes.get() > kKeyBytesMax) return fail(Errc::checksum, "page: prefix too long");
  if (h.heap_begin.get() < slots_end || h.heap_begin.get() > kPageBytes) {
    return fail(Errc::checksum, "page: slots, heap and prefix overlap");
  }
  if (h.reserved.get() != 0 || h.page.reserved.get() != 0) {
    return fail(Errc::checksum, "page: reserved bytes are not zero");
  }
  return {};
}

struct Bounds {
  size_t heap_begin, heap_end, prefix_bytes;
  bool leaf;
};

/// Where the entry of `slot` ends, or 0 if it leaves the heap or breaks a limit.
size_t entry_end(ByteView page, const NodeSlot& slot, const Bounds& b, bool keyless) {
  const size_t begin = slot.offset.get();
  const size_t suffix = slot.suffix_bytes.get();
  const size_t key_bytes = b.prefix_bytes + suffix;
  if (begin < b.heap_begin || begin >= b.heap_end) return 0;
  if (key_bytes > kKeyBytesMax || (key_bytes == 0 && !keyless)) return 0;
  if (keyless && suffix != 0) return 0;
  for (size_t i = suffix; i < kHeadBytes; ++i) {
    if (slot.head[i] != 0) return 0;
  }
  size_t end = begin + (suffix > kHeadBytes ? suffix - kHeadBytes : 0);
  if (!b.leaf) return end + sizeof(BranchValue) <= b.heap_end ? end + sizeof(BranchValue) : 0;
  if (begin + kValueLengthBytes > b.heap_end) return 0;
  U16le value_bytes;
  std::memcpy(&value_bytes, page.data() + begin, sizeof value_bytes);
  if (value_bytes.get() < kStampBytes || value_bytes.get() > kValueBytesMax) return 0;
  end += kValueLengthBytes + value_bytes.get();
  return end <= b.heap_end ? end : 0;
}

int compare_suffixes(const Node& node, uint32_t a, uint32_t b) {
  // Short heads are filled up with zeros, so they order as wholes.
  const int c = std::memcmp(node.head(a).data(), node.head(b).data(), kHeadBytes);
  if (c != 0) return c;
  const ByteView ra = node.rest(a);
  const ByteView rb = node.rest(b);
  const size_t n = std::min(ra.size(), rb.size());
  const int d = n == 0 ? 0 : std::memcmp(ra.data(), rb.data(), n);
  if (d != 0) return d;
  return static_cast<int>(node.suffix_bytes(a)) - static_cast<int>(node.suffix_bytes(b));
}

/// What entries say, now that each lies inside the heap.
Result<void> check_content(const Node& node) {
  const uint32_t first = node.is_leaf() ? 0 : 1;
  for (uint32_t i = 0; i < node.count(); ++i) {
    const int order = i > first ? compare_suffixes(node, i - 1, i) : -1;
    if (order == 0) return fail(Errc::checksum, "page: a key stands twice");
    if (order > 0) return fail(Errc::checksum, "page: its keys are not in order");
    const ByteView value = node.value(i);
    const uint64_t stamp = node.is_leaf() ? load_le64(value.data()) : node.child_newest(i);
    if (stamp > node.newest()) return fail(Errc::checksum, "page: a record is newer than its page");
    if (!node.is_leaf() && node.child(i).is_null()) {
      return fail(Errc::checksum, "page: a branch leads nowhere");
    }
  }
  return {};
}

/// Which bytes of a page belong to entries. By words: a page is checked each time it is loaded.
class TakenBytes {
 public:
  /// Takes [begin, end), which is not empty; false if a part of it was taken before.
  bool take(size_t begin, size_t end) {
    bool was_free = true;
    for (size_t word = begin / 64; word <= (end - 1) / 64; ++word) {
      const uint64_t bits = part_of(word, begin, end);
      was_free = was_free && (words_[word] & bits) == 0;
      words_[word] |= bits;
    }
    return was_free;
  }
  /// Are all bytes of the page in [begin, end) zero that nobody took?
  bool rest_is_zero(ByteView page, size_t begin, size_t end) const {
    for (size_t word = begin / 64; word * 64 < end; ++word) {
      uint64_t rest = ~words_[word] & part_of(word, begin, end);
      for (; rest != 0; rest &= rest - 1) {
        const auto bit = static_cast<size_t>(std::countr_zero(rest));
        if (page[word * 64 + bit] != std::byte{0}) return false;
      }
    }
    return true;
  }

 private:
  /// The bits of word `word` that lie in [begin, end).
  static uint64_t part_of(size_t word, size_t begin, size_t end) {
    uint64_t bits = ~uint64_t{0};
    if (begin > word * 64) bits &= ~uint64_t{0} << (begin - word * 64);
    if (end < (word + 1) * 64) bits &= ~uint64_t{0} >> ((word + 1) * 64 - end);
    return bits;
  }

  std::array<uint64_t, kPageBytes / 64> words_{};
};

}  // namespace

Result<void> validate_node(ByteView page) {
  if (page.size() != kPageBytes) return fail(Errc::checksum, "page: not a whole page");
  const auto& h = *reinterpret_cast<const NodeHeader*>(page.data());
  TRY(header_ok, check_header(h));
  const Bounds bounds{h.heap_begin.get(), kPageBytes, h.prefix_bytes.get(),
                      h.page.kind == static_cast<uint8_t>(PageKind::leaf)};
  const size_t slots_begin = sizeof(NodeHeader) + h.prefix_bytes.get();
  const size_t slots_end = slots_begin + sizeof(NodeSlot) * h.slot_count.get();
  const auto* slots = reinterpret_cast<const NodeSlot*>(page.data() + slots_begin);
  TakenBytes taken;
  size_t taken_bytes = 0;
  for (size_t i = 0; i < h.slot_count.get(); ++i) {
    const size_t end = entry_end(page, slots[i], bounds, !bounds.leaf && i == 0);
    if (end == 0) return fail(Errc::checksum, "page: an entry leaves the heap or breaks a limit");
    const size_t begin = slots[i].offset.get();
    if (!taken.take(begin, end)) return fail(Errc::checksum, "page: two entries overlap");
    taken_bytes += end - begin;
  }
  if (taken_bytes + h.hole_bytes.get() != bounds.heap_end - bounds.heap_begin) {
    return fail(Errc::checksum, "page: its entries and holes do not fill the heap");
  }
  if (!taken.rest_is_zero(page, bounds.heap_begin, bounds.heap_end)) {
    return fail(Errc::checksum, "page: a hole is not zero");
  }
  if (!all_zero(page.subspan(slots_end, bounds.heap_begin - slots_end))) {
    return fail(Errc::checksum, "page: its free space is not zero");
  }
  return check_content(Node(const_cast<std::byte*>(page.data())));
}

}  // namespace cairn::index
