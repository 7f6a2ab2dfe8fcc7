#include "index/tree.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cairn::index {
namespace {

/// Header and slots of a leaf of middling records.
constexpr size_t kFetchedBytes = 1024;

uint8_t kind_at(uint32_t level) {
  return static_cast<uint8_t>(level == 0 ? PageKind::leaf : PageKind::branch);
}

bool is_of_level(const Frame& frame, uint32_t level) {
  const PageHeader& h = frame.header();
  return h.level == level && h.kind == kind_at(level);
}

Result<Frame*> of_level(Frame* frame, uint32_t level) {
  if (!is_of_level(*frame, level)) [[unlikely]] {
    return fail(Errc::checksum, "tree: a page is not of the level that its parent says");
  }
  return frame;
}

int compare(ByteView a, ByteView b) {
  const size_t n = std::min(a.size(), b.size());
  const int c = n == 0 ? 0 : std::memcmp(a.data(), b.data(), n);
  return c != 0 ? c : a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

Bytes whole_key(const Node& node, uint32_t slot) {
  Bytes key(node.key_bytes(slot));
  node.key(slot).copy(0, key.size(), key.data());
  return key;
}

}  // namespace

Tree::Tree(Pager& pager) : pager_(pager) { pager_.set_validator(&validate_node); }

Result<Frame*> Tree::root_frame() {
  TRY(frame, pager_.get(pager_.root()));
  const uint32_t level = frame->header().level;
  if (level > kLevelMax) return fail(Errc::checksum, "tree: its root's level is out of range");
  return of_level(frame, level);
}

Frame* Tree::child_or_null(const Node& parent, uint32_t slot) {
  // The search jumps through the slots; asking for their lines together hides all misses but one.
  // Branches are warm anyway.
  const uint32_t level = parent.level() - 1;
  Frame* const frame = pager_.find(parent.child(slot), level == 0 ? kFetchedBytes : 0);
  return frame != nullptr && is_of_level(*frame, level) ? frame : nullptr;
}

Result<Frame*> Tree::child_frame(const Node& parent, uint32_t slot) {
  if (Frame* const frame = child_or_null(parent, slot)) [[likely]]
    return frame;
  TRY(frame, pager_.get(parent.child(slot)));
  return of_level(frame, parent.level() - 1);
}

Result<std::optional<ByteView>> Tree::get(ByteView key) {
  if (pager_.root().is_null()) return std::nullopt;
  if (near_ != nullptr) return get_near(key);
  TRY(frame, root_frame());
  Node node(frame->data);
  while (!node.is_leaf()) {
    const uint32_t slot = node.child_for(key);
    const Frame* const child = child_or_null(node, slot);
    if (child == nullptr) [[unlikely]]
      return fail(child_frame(node, slot).error());
    node = Node(child->data);
  }
  const Node::Found found = node.find(key);
  if (!found.equal) return std::nullopt;
  return node.leaf_value(found.slot);
}

Result<Tree::Span> Tree::span_at(ByteView key) {
  Span span;
  if (pager_.root().is_null()) return span;
  span.absent = pager_.root();
  span.level = kLevelMax;
  for (auto frame = root_frame();;) {
    if (!frame && frame.error().code() != Errc::page_absent) return fail(frame.error());
    if (!frame) return span;
    const Node node((*frame)->data);
    span.level = node.level();
    span.absent = {};
    if (node.is_leaf()) return span;
    const uint32_t slot = node.child_for(key);
    if (slot > 0) span.low = whole_key(node, slot);
    if (slot + 1 < node.count()) span.high = whole_key(node, slot + 1);
    span.absent = node.child(slot);
    --span.level;
    frame = child_frame(node, slot);
  }
}

Result<uint64_t> Tree::newest_stamp(ByteView low, ByteView high) {
  // Pages still to look at: at most the two at the borders of each level. An empty low or high
  // means that the page has nothing beyond that side.
  struct Pending {
    Frame* frame;
    ByteView low, high;
  };
  if (pager_.root().is_null() || (!high.empty() && compare(low, high) >= 0)) return uint64_t{0};
  TRY(root, root_frame());
  std::array<Pending, 2 * (kLevelMax + 1)> pending;
  size_t count = 0;
  pending[count++] = {root, low, high};
  uint64_t newest = 0;
  while (count > 0) {
    const Pending at = pending[--count];
    const Node node(at.frame->data);
    if (node.newest() <= newest) continue;
    if (at.low.empty() && at.high.empty()) {
      newest = node.newest();
      continue;
    }
    if (node.is_leaf()) {
      const uint32_t from = at.low.empty() ? 0 : node.find(at.low).slot;
      const uint32_t to = at.high.empty() ? node.count() : node.find(at.high).slot;
      for (uint32_t i = from; i < to; ++i) {
        newest = std::max(newest, load_le64(node.leaf_value(i).data()));
      }
      continue;
    }
    const Node::Found begin = node.find(at.low);
    const uint32_t first = at.low.empty() ? 0 : begin.equal ? begin.slot : begin.slot - 1;
    const ByteView first_low = !at.low.empty() && begin.equal ? ByteView{} : at.low;
    // The last child that has keys below `high`.
    const uint32_t last = at.high.empty() ? node.count() - 1 : node.find(at.high).slot - 1;
    for (uint32_t i = first; i <= last; ++i) {
      const ByteView child_low = i == first ? first_low : ByteView{};
      const ByteView child_high = i == last ? at.high : ByteView{};
      if (node.child_newest(i) <= newest) continue;
      if (child_low.empty() && child_high.empty()) {
        newest = node.child_newest(i);
        continue;
      }
      TRY(child, child_frame(node, i));
      pending[count++] = {child, child_low, child_high};
    }
  }
  return newest;
}

// ---- prepare ----

Result<void> Tree::touch(ByteView key, bool erase, uint32_t value_bytes) {
  Way own;
  Way& way = near_ != nullptr ? *near_ : own;
  TRY(gone, go(way, key));
  for (uint32_t i = 0; i < way.depth_; ++i) {
    const Way::Step& step = way.steps_[i];
    touched_.push_back(
        {.page = step.ref.page_number(), .level = way.depth_ - 1 - i, .frame = step.frame});
  }
  if (erase) return {};
  Touched& leaf = touched_.back();
  leaf.puts = 1;
  leaf.put_bytes = static_cast<uint32_t>(Node::packed_bytes(true, key.size(), 0, value_bytes));
  leaf.foreign = !Node(way.leaf()->data).has_prefix(key);
  return {};
}

/// Do the insertions fit whatever else is there, also with a head's bytes more, which a longer
/// prefix may cost?
bool Tree::surely_fits(const Touched& leaf) {
  const Node node(leaf.frame->data);
  const size_t folded = leaf.foreign ? node.count() * node.prefix().size() : 0;
  return node.used_bytes() + folded + leaf.put_bytes + kHeadBytes <= kNodeBytes;
}

namespace {

/// Does the only op exchange a value for one of the same length?
bool overwrites(const Batch& batch, const Frame& leaf) {
  const Batch::Op& op = batch.ops().front();
  const Node node(leaf.data);
  const Node::Found found = node.find(batch.key(op));
  return found.equal && node.leaf_value(found.slot).size() == op.value_bytes;
}

}  // namespace

size_t Tree::worst_case_pages(const BatchShape& batch) {
  // Every touched page may be copied. A leaf may overflow once for each insertion that may not fit,
  // and takes one page for it: a new one or a copy of its neighbour. Each overflow brings one
  // separator to the level above, where the same is asked again.
  std::sort(touched_.begin(), touched_.end(), [](const Touched& a, const Touched& b) {
    return a.level != b.level ? a.level < b.level : a.page < b.page;
  });
  size_t pages = 0;
  size_t puts = 0;
  size_t arriving = 0;  // separators from the level below
  size_t splits = 0;    // of this level
  size_t level = 0;
  // A separator is the beginning of a key: of the batch, of an overflowing leaf or, where leaves
  // trade records, of any other.
  const bool any_border = batch.spills || batch.erases || batch.fills != 0;
  size_t separator_bytes = any_border ? kKeyBytesMax : batch.key_bytes_max;
  for (size_t i = 0; i < touched_.size();) {
    Touched sum = touched_[i];
    for (++i; i < touched_.size() && touched_[i].page == sum.page; ++i) {
      sum.puts += touched_[i].puts;
      sum.put_bytes += touched_[i].put_bytes;
      sum.foreign |= touched_[i].foreign;
    }
    const Node node(sum.frame->data);
    if (sum.level != level) {
      // Another leaf's overflow may fill up a neighbour, a removal may merge two: nothing is sure
      // then. Each fill of a leaf copies a neighbour and moves a border.
      if (level == 0 && ((batch.spills && splits != 0) || batch.erases)) splits = puts;
      if (level == 0) splits += batch.fills;
      pages += splits;
      arriving = std::exchange(splits, 0);
      level = sum.level;
    }
    ++pages;
    if (node.is_leaf()) {
      puts += sum.puts;
      if (surely_fits(sum)) continue;
      splits += sum.puts;
      for (uint32_t k = 0; k < node.count(); ++k) {
        separator_bytes = std::max(separator_bytes, node.key_bytes(k));
      }
      continue;
    }
    const size_t folded = node.count() * node.prefix().size();
    const size_t added = arriving * (sizeof(NodeSlot) + separator_bytes + sizeof(BranchValue));
    const bool fits = node.used_bytes() + folded + added + kHeadBytes <= kNodeBytes;
    if (!fits || batch.erases || batch.fills != 0) splits = arriving;
  }
  // The root may split, too, and what grows above it.
  return pages + (splits == 0 ? 0 : 3 * splits + 2);
}

Result<void> Tree::touch(const Batch& batch, const Batch::Op& op) {
  const ByteView key = batch.key(op);
  if (op.kind != Batch::Op::Kind::move) {
    return touch(key, op.kind == Batch::Op::Kind::erase, op.value_bytes);
  }
  TRY(moved, get(key));
  if (!moved) return fail(Errc::checksum, "tree: the record to be moved is not there");
  TRY(source, touch(key, true, 0));
  return touch(batch.value(op), false, static_cast<uint32_t>(moved->size()));
}

namespace {

/// Does any op change the source of a move that comes after it?
bool moves_what_changed(const Batch& batch) {
  struct Change {
    ByteView key;
    size_t op;
    bool is_source;
  };
  std::vector<Change> changes;
  changes.reserve(batch.op_count() + batch.move_count());
  for (size_t i = 0; i < batch.op_count(); ++i) {
    const Batch::Op& op = batch.ops()[i];
    const bool is_move = op.kind == Batch::Op::Kind::move;
    changes.push_back({batch.key(op), i, is_move});
    if (is_move) changes.push_back({batch.value(op), i, false});
  }
  std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    const int c = compare(a.key, b.key);
    return c != 0 ? c < 0 : a.op < b.op;
  });
  for (size_t i = 1; i < changes.size(); ++i) {
    if (changes[i].is_source && compare(changes[i - 1].key, changes[i].key) == 0) return true;
  }
  return false;
}

}  // namespace

Result<void> Tree::prepare(const Batch& batch, Pager::Use use) {
  touched_.clear();
  BatchShape shape{.spills = may_spill(batch), .fills = fills_max(batch)};
  size_t puts = 0;
  for (const Batch::Op& op : batch.ops()) {
    shape.erases |= op.kind != Batch::Op::Kind::put;
    if (op.kind == Batch::Op::Kind::erase) continue;
    ++puts;
    const bool is_move = op.kind == Batch::Op::Kind::move;
    shape.key_bytes_max =
        std::max<size_t>(shape.key_bytes_max, is_move ? op.value_bytes : op.key_bytes);
  }
  if (batch.move_count() != 0) {
    if (pager_.root().is_null()) {
      return fail(Errc::checksum, "tree: the record to be moved is not there");
    }
    if (moves_what_changed(batch)) {
      return fail(Errc::checksum, "tree: a record to be moved was changed by the same batch");
    }
  }
  if (puts == 0 && use == Pager::Use::update) use = Pager::Use::removal;
  if (pager_.root().is_null()) return pager_.reserve(puts == 0 ? 0 : 3 * puts + 2, use);
  for (const Batch::Op& op : batch.ops()) {
    TRY(done, touch(batch, op));
  }
  // Most batches put one record: its way is copied, and that is all.
  const bool one_put = puts == 1 && batch.op_count() == 1 && batch.move_count() == 0;
  if (one_put && shape.fills == 0 &&
      (surely_fits(touched_.back()) || overwrites(batch, *touched_.back().frame))) {
    return pager_.reserve(touched_.size(), use);
  }
  return pager_.reserve(worst_case_pages(shape), use);
}

// ---- verify ----

/// What the parent says about a page. Empty high: no bound.
struct Tree::Fences {
  ByteView low, high;
};

Result<uint64_t> Tree::verify_page(const Frame& frame, const Fences& fences) {
  TRY(valid, validate_node(frame.view()));
  const Node node(frame.data);
  const uint32_t first = node.is_leaf() ? 0 : 1;
  if (node.count() > first) {
    if (compare(whole_key(node, first), fences.low) < 0 ||
        (!fences.high.empty() && compare(whole_key(node, node.count() - 1), fences.high) >= 0)) {
      return fail(Errc::checksum, "tree: a page has keys outside of its parent's range");
    }
  }
  if (node.is_leaf()) return node.count();
  uint64_t records = 0;
  for (uint32_t i = 0; i < node.count(); ++i) {
    TRY(child, child_frame(node, i));
    if (child->header().newest_stamp.get() != node.child_newest(i)) {
      return fail(Errc::checksum, "tree: a parent has another newest stamp than its child");
    }
    const Bytes low = i == 0 ? Bytes(fences.low.begin(), fences.low.end()) : whole_key(node, i);
    const Bytes high = i + 1 == node.count() ? Bytes(fences.high.begin(), fences.high.end())
                                             : whole_key(node, i + 1);
    TRY(below, verify_page(*child, {low, high}));
    records += below;
  }
  return records;
}

Result<uint64_t> Tree::verify() {
  if (pager_.root().is_null()) return uint64_t{0};
  TRY(root, root_frame());
  return verify_page(*root, {});
}

}  // namespace cairn::index
