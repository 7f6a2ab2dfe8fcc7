// Tree::apply(): insertions, splits, removals and merges. After Tree::prepare() nothing here can
// fail. Pages on the way down are made writable before anything below them is changed, so that a
// page of this generation always has parents of this generation.
#include <algorithm>

#include "base/check.h"
#include "index/tree.h"

namespace cairn::index {

/// One change of the tree: the path from root to leaf, all writable.
class TreeWriter {
 public:
  /// @param spills  a full leaf may give records to its neighbours (prepare() must have counted
  /// with it)
  /// @param fills  how often a leaf may be filled up
  TreeWriter(Tree& tree, bool spills, size_t fills)
      : tree_(tree), pager_(tree.pager_), items_(tree.items_), spills_(spills), fills_(fills) {}

  void put(ByteView key, ByteView value);
  void erase(ByteView key);
  /// The leaf of `key`, which is there, takes from its right neighbour until it is full, and gives
  /// to its left one until that is. prepare() must have counted with it.
  void fill_leaf_of(ByteView key);
  /// The value of a key that is there has got smaller: its leaf may be merged with a neighbour.
  void trim(ByteView key);

 private:
  struct Step {
    Frame* frame = nullptr;
    uint32_t slot = 0;  // that leads on
  };

  Frame* present(Result<Frame*> frame) {
    CHECK(frame.has_value());  // prepare() touched it
    return *frame;
  }
  Node node(uint32_t depth) const { return Node(path_[depth].frame->data); }
  bool is_there(ByteView key);
  /// Fills the path to the leaf of `key`; raises newest stamps on the way.
  void descend(ByteView key, uint64_t stamp);
  /// The same by the tree's way.
  void descend_near(ByteView key, uint64_t stamp);
  void insert(uint32_t depth, uint32_t slot, ByteView key, ByteView value);
  bool insert_repacked(uint32_t depth, uint32_t slot, ByteView key, ByteView value);
  void split(uint32_t depth, uint32_t slot, ByteView key);
  size_t cut_of(const Node& old, uint32_t slot, ByteView key) const;
  size_t even_cut(bool leaf, size_t prefix) const;
  bool spill(uint32_t depth, uint32_t slot, uint32_t left_slot);
  void move_border(uint32_t depth, uint32_t left_slot, Frame* neighbour, size_t cut, size_t known);
  void grow_root(Frame* left);
  void tell_parent(uint32_t depth);
  void remove_child(uint32_t depth, uint32_t slot);
  void shrink(uint32_t depth);
  bool merge(uint32_t depth, uint32_t left_slot, bool other_is_left, size_t bytes_max);
  size_t fullest_cut(size_t prefix) const;
  void fill_leaf(uint32_t left_slot);
  void collapse_root();

  Tree& tree_;
  Pager& pager_;
  std::vector<NodeItem>& items_;
  std::array<Step, kLevelMax + 1> path_;
  uint32_t depth_ = 0;  // of the leaf
  bool spills_;
  size_t fills_;  // that are left
};

namespace {

/// Pages below this are merged with a neighbour, if both together stay below the second mark: so
/// that the next insertion does not split them again.
constexpr size_t kMergeBelowBytes = kNodeBytes / 4;
constexpr size_t kMergedBytesMax = kNodeBytes * 3 / 4;
/// Two neighbours share their records evenly if that leaves a tenth of both free.
constexpr size_t kSharedBytesMax = 2 * kNodeBytes * 9 / 10;
/// A sequence that meets the end of a full page goes on in the next one, if that is emptier than
/// this.
constexpr size_t kSpillBelowBytes = kNodeBytes / 4;
/// A leaf that is to be full is full enough from here on.
constexpr size_t kFullBytes = kNodeBytes * 15 / 16;

bool fits(std::span<const NodeItem> items, bool leaf, size_t known, size_t bytes_max = kNodeBytes) {
  return packed_node_bytes(items, leaf, choose_prefix(items, leaf, known)) <= bytes_max;
}

/// The shortest key that separates two neighbours: above `left`, at or below `right`.
Bytes separator(const KeyParts& left, const KeyParts& right) {
  Bytes l(left.size());
  Bytes r(right.size());
  left.copy(0, l.size(), l.data());
  right.copy(0, r.size(), r.data());
  const auto end = std::mismatch(l.begin(), l.end(), r.begin(), r.end());
  CHECK(end.second != r.end());
  r.resize(static_cast<size_t>(end.second - r.begin()) + 1);
  return r;
}

}  // namespace

bool TreeWriter::is_there(ByteView key) {
  // prepare() touched the key's leaf. If the way leads to a page that is not in memory, that leaf
  // was given up by an erase before this one because it had become empty.
  const auto found = tree_.get(key);
  return found && found->has_value();
}

void TreeWriter::descend(ByteView key, uint64_t stamp) {
  if (tree_.near_ != nullptr) return descend_near(key, stamp);
  Frame* frame = pager_.writable(present(tree_.root_frame()));
  pager_.set_root(frame->ref);
  for (depth_ = 0;; ++depth_) {
    const Node at(frame->data);
    path_[depth_] = {frame, 0};
    at.raise_newest(stamp);
    if (at.is_leaf()) return;
    const uint32_t slot = at.child_for(key);
    path_[depth_].slot = slot;
    frame = pager_.writable(present(tree_.child_frame(at, slot)));
    at.set_child(slot, frame->ref);
    if (stamp > at.child_newest(slot)) at.set_child_newest(slot, stamp);
  }
}

void TreeWriter::descend_near(ByteView key, uint64_t stamp) {
  Tree::Way& way = *tree_.near_;
  const auto gone = tree_.go(way, key);
  CHECK(gone.has_value());  // prepare() touched it
  depth_ = way.depth_ - 1;
  for (uint32_t i = 0; i <= depth_; ++i) {
    Tree::Way::Step& step = way.steps_[i];
    Frame* const frame = pager_.writable(step.frame);
    step.frame = frame;
    path_[i] = {frame, step.slot};
    const Node at(frame->data);
    at.raise_newest(stamp);
    if (i == 0) pager_.set_root(frame->ref);
    if (i != 0 && frame->ref != step.ref) node(i - 1).set_child(way.steps_[i - 1].slot, frame->ref);
    step.ref = frame->ref;
    if (i == depth_ || stamp <= at.child_newest(step.slot)) continue;
    at.set_child_newest(step.slot, stamp);
  }
}

void TreeWriter::put(ByteView key, ByteView value) {
  const uint64_t stamp = load_le64(value.data());
  if (pager_.root().is_null()) {
    Frame* leaf = pager_.allocate();
    const NodeItem only{KeyParts(key), value};
    build_node(Node(leaf->data), PageKind::leaf, 0, {&only, 1});
    pager_.set_root(leaf->ref);
    return;
  }
  descend(key, stamp);
  const Node leaf = node(depth_);
  const Node::Found found = leaf.find(key);
  if (found.equal) {
    if (leaf.leaf_value(found.slot).size() == value.size()) {
      leaf.overwrite(found.slot, value);
      return;
    }
    leaf.remove(found.slot);
  }
  insert(depth_, found.slot, key, value);
}

void TreeWriter::insert(uint32_t depth, uint32_t slot, ByteView key, ByteView value) {
  const Node at = node(depth);
  if (at.has_prefix(key)) {
    const size_t bytes = at.entry_bytes(key.size(), value.size());
    if (bytes > at.gap_bytes() && bytes <= at.free_bytes()) at.compact();
    if (bytes <= at.gap_bytes()) {
      at.insert(slot, key, value);
      return;
    }
  }
  if (insert_repacked(depth, slot, key, value)) return;
  if (spills_ && depth == depth_ && depth > 0) {
    const uint32_t mine = path_[depth - 1].slot;
    if (mine + 1 < node(depth - 1).count() && spill(depth, slot, mine)) return;
    if (mine > 0 && spill(depth, slot, mine - 1)) return;
  }
  split(depth, slot, key);
}

bool TreeWriter::insert_repacked(uint32_t depth, uint32_t slot, ByteView key, ByteView value) {
  const Node at = node(depth);
  const NodeHeader hints = at.header();
  const uint64_t newest = at.newest();
  items_.clear();
  at.items(items_);
  items_.insert(items_.begin() + slot, NodeItem{KeyParts(key), value});
  const size_t known = at.prefix().size();
  if (!fits(items_, at.is_leaf(), known)) return false;
  const auto kind = static_cast<PageKind>(at.header().page.kind);
  build_node(at, kind, at.level(), items_, known);
  // The parent's entry says the same as the header, which may only rise between two splits.
  at.raise_newest(newest);
  at.keep_hints(hints, 0);
  at.count_insertion(slot);
  return true;
}

size_t TreeWriter::even_cut(bool leaf, size_t prefix) const {
  const size_t total = packed_node_bytes(items_, leaf, prefix) - prefix;
  size_t left = 0;
  for (size_t i = 0; i + 1 < items_.size(); ++i) {
    const size_t key_bytes = !leaf && i == 0 ? prefix : items_[i].key.size();
    const size_t bytes = Node::packed_bytes(leaf, key_bytes, prefix, items_[i].value.size());
    // Cut before the entry that stands across the middle, or behind it: where the halves differ
    // less.
    if (2 * (left + bytes) >= total) {
      const bool before = i > 0 && total - 2 * left < 2 * (left + bytes) - total;
      return before ? i : i + 1;
    }
    left += bytes;
  }
  return items_.size() - 1;
}

size_t TreeWriter::cut_of(const Node& old, uint32_t slot, ByteView key) const {
  const size_t count = items_.size();
  if (!old.has_prefix(key)) {
    // It stands before or behind all others, alone: repacked with it they would not fit.
    return slot + 1 == count ? slot : 1;
  }
  const bool at_end = slot + 1 == count;
  size_t cut = 0;
  if (const Node::Drift drift = old.drift(slot); drift == Node::Drift::up) {
    cut = at_end ? slot : slot + 1;
  } else if (drift == Node::Drift::down) {
    cut = slot == 0 ? 1 : slot;
  }
  const std::span<const NodeItem> all(items_);
  const size_t known = old.prefix().size();
  if (cut != 0 && fits(all.first(cut), old.is_leaf(), known) &&
      fits(all.subspan(cut), old.is_leaf(), known)) {
    return cut;
  }
  return even_cut(old.is_leaf(), known);
}

void TreeWriter::split(uint32_t depth, uint32_t slot, ByteView key) {
  // items_ holds the entries of the page with the new one (insert_repacked filled it).
  Frame* left_frame = path_[depth].frame;
  const Node left(left_frame->data);
  const auto kind = static_cast<PageKind>(left.header().page.kind);
  const uint32_t level = left.level();
  const NodeHeader hints = left.header();
  const size_t cut = cut_of(left, slot, key);
  const std::span<const NodeItem> all(items_);
  const bool leaf = left.is_leaf();
  CHECK(cut > 0 && cut < all.size());
  Bytes middle;
  if (leaf) {
    middle = separator(all[cut - 1].key, all[cut].key);
  } else {
    middle.resize(all[cut].key.size());
    all[cut].key.copy(0, middle.size(), middle.data());
  }
  Frame* right_frame = pager_.allocate();
  const Node right(right_frame->data);
  const size_t known = left.prefix().size();
  build_node(right, kind, level, all.subspan(cut), known);
  build_node(left, kind, level, all.first(cut), known);
  if (slot >= cut) {
    right.keep_hints(hints, static_cast<uint32_t>(cut));
  } else {
    left.keep_hints(hints, 0);
  }
  items_.clear();
  if (depth == 0) {
    grow_root(left_frame);
    depth = 1;
  }
  tell_parent(depth);
  node(depth - 1).raise_newest(right.newest());  // matters to a new root
  const BranchValue entry{right_frame->ref.word, right.newest()};
  insert(depth - 1, path_[depth - 1].slot + 1, middle, view_of(&entry, sizeof entry));
}

bool TreeWriter::spill(uint32_t depth, uint32_t slot, uint32_t left_slot) {
  // items_ holds the entries of the full leaf with the new one. The neighbour's join them if both
  // pages together have room; then the border between the two moves.
  const Node parent = node(depth - 1);
  Frame* mine = path_[depth].frame;
  const Node at(mine->data);
  const bool to_right = left_slot == path_[depth - 1].slot;
  const auto found = tree_.child_frame(parent, to_right ? left_slot + 1 : left_slot);
  if (!found) return false;
  const Node there((*found)->data);
  const Node::Drift drift = at.drift(slot);
  const size_t count = items_.size();
  if (drift != Node::Drift::none) {
    // A sequence fills the page that it came from, and nearly empty neighbours.
    const bool heads_there = to_right ? drift == Node::Drift::up && slot + 5 >= count
                                      : drift == Node::Drift::down && slot < 5;
    if (!heads_there || there.used_bytes() > kSpillBelowBytes) return false;
  } else if (at.used_bytes() + there.used_bytes() > kSharedBytesMax) {
    return false;
  }
  std::vector<NodeItem> theirs;
  there.items(theirs);
  items_.insert(to_right ? items_.end() : items_.begin(), theirs.begin(), theirs.end());
  const std::span<const NodeItem> all(items_);
  const size_t shared = choose_prefix(all, true, 0);
  size_t cut = even_cut(true, shared);
  if (drift == Node::Drift::up) cut = count - 1;
  if (drift == Node::Drift::down) cut = theirs.size() + 1;
  const bool room = fits(all.first(cut), true, shared) && fits(all.subspan(cut), true, shared);
  if (!room) {
    items_.erase(to_right ? items_.begin() + static_cast<ptrdiff_t>(count) : items_.begin(),
                 to_right ? items_.end() : items_.begin() + static_cast<ptrdiff_t>(theirs.size()));
    return false;
  }
  move_border(depth, left_slot, *found, cut, shared);
  return true;
}

void TreeWriter::move_border(uint32_t depth, uint32_t left_slot, Frame* neighbour, size_t cut,
                             size_t known) {
  const Node parent = node(depth - 1);
  Frame* mine = path_[depth].frame;
  const bool to_right = left_slot == path_[depth - 1].slot;
  Frame* other = pager_.writable(neighbour);
  const Node left(to_right ? mine->data : other->data);
  const Node right(to_right ? other->data : mine->data);
  const std::span<const NodeItem> all(items_);
  const Bytes middle = separator(all[cut - 1].key, all[cut].key);
  // Both are sources and targets: the right one is built beside and moved in.
  std::byte page[kPageBytes];
  std::memcpy(page, &right.header(), sizeof(NodeHeader));
  build_node(Node(page), PageKind::leaf, 0, all.subspan(cut), known);
  build_node(left, PageKind::leaf, 0, all.first(cut), known);
  constexpr size_t kKept = offsetof(PageHeader, kind);
  std::memcpy(reinterpret_cast<std::byte*>(&right.header()) + kKept, page + kKept,
              kPageBytes - kKept);
  items_.clear();
  const Frame* left_frame = to_right ? mine : other;
  const Frame* right_frame = to_right ? other : mine;
  parent.set_child(left_slot, left_frame->ref);
  parent.set_child_newest(left_slot, left.newest());
  parent.remove(left_slot + 1);
  const BranchValue entry{right_frame->ref.word, right.newest()};
  insert(depth - 1, left_slot + 1, middle, view_of(&entry, sizeof entry));
}

void TreeWriter::grow_root(Frame* left) {
  Frame* root = pager_.allocate();
  const BranchValue entry{left->ref.word, Node(left->data).newest()};
  const NodeItem only{KeyParts(), view_of(&entry, sizeof entry)};
  CHECK(Node(left->data).level() < kLevelMax);
  build_node(Node(root->data), PageKind::branch, Node(left->data).level() + 1, {&only, 1});
  std::move_backward(path_.begin(), path_.begin() + depth_ + 1, path_.begin() + depth_ + 2);
  path_[0] = {root, 0};
  ++depth_;
  pager_.set_root(root->ref);
}

void TreeWriter::tell_parent(uint32_t depth) {
  // A page that was built anew knows its newest stamp exactly; the pages above may keep an older
  // claim.
  const Node parent = node(depth - 1);
  parent.set_child_newest(path_[depth - 1].slot, node(depth).newest());
}

// ---- removal ----

void TreeWriter::erase(ByteView key) {
  if (pager_.root().is_null() || !is_there(key)) return;
  descend(key, 0);
  const Node leaf = node(depth_);
  const Node::Found found = leaf.find(key);
  CHECK(found.equal);
  leaf.remove(found.slot);
  shrink(depth_);
}

void TreeWriter::trim(ByteView key) {
  CHECK(is_there(key));
  descend(key, 0);
  shrink(depth_);
}

void TreeWriter::shrink(uint32_t depth) {
  const Node at = node(depth);
  if (at.count() == 0) {
    pager_.drop(path_[depth].frame);
    if (depth == 0) {
      pager_.set_root({});
      return;
    }
    remove_child(depth - 1, path_[depth - 1].slot);
    shrink(depth - 1);
    return;
  }
  if (depth == 0) {
    collapse_root();
    return;
  }
  if (at.used_bytes() >= kMergeBelowBytes) return;
  const uint32_t slot = path_[depth - 1].slot;
  const bool merged =
      (slot > 0 && merge(depth, slot - 1, true, kMergedBytesMax)) ||
      (slot + 1 < node(depth - 1).count() && merge(depth, slot, false, kMergedBytesMax));
  if (merged) shrink(depth - 1);
}

void TreeWriter::remove_child(uint32_t depth, uint32_t slot) {
  const Node parent = node(depth);
  parent.remove(slot);
  if (slot == 0 && parent.count() > 0) parent.drop_first_key();
}

bool TreeWriter::merge(uint32_t depth, uint32_t left_slot, bool other_is_left, size_t bytes_max) {
  // The neighbour is read and dropped, the page of the path takes all: it is writable already. A
  // neighbour that is not in memory is not worth a read.
  const Node parent = node(depth - 1);
  Frame* mine = path_[depth].frame;
  const auto other = tree_.child_frame(parent, other_is_left ? left_slot : left_slot + 1);
  if (!other) return false;
  const Node at(mine->data);
  const Node left(other_is_left ? (*other)->data : mine->data);
  const Node right(other_is_left ? mine->data : (*other)->data);
  if (left.used_bytes() + right.used_bytes() > bytes_max) return false;
  items_.clear();
  left.items(items_);
  const size_t middle = items_.size();
  right.items(items_);
  Bytes key(parent.key_bytes(left_slot + 1));
  parent.key(left_slot + 1).copy(0, key.size(), key.data());
  if (!at.is_leaf()) items_[middle].key = KeyParts(key);
  const bool leaf = at.is_leaf();
  if (!fits(items_, leaf, 0, bytes_max)) return false;
  const auto kind = static_cast<PageKind>(at.header().page.kind);
  build_node(at, kind, at.level(), items_);
  items_.clear();
  pager_.drop(*other);
  parent.set_child(left_slot, mine->ref);
  parent.set_child_newest(left_slot, at.newest());
  parent.remove(left_slot + 1);
  path_[depth - 1].slot = left_slot;
  return true;
}

/// How many of items_, with that prefix, fill one leaf.
size_t TreeWriter::fullest_cut(size_t prefix) const {
  size_t bytes = prefix;
  for (size_t i = 0; i < items_.size(); ++i) {
    bytes += Node::packed_bytes(true, items_[i].key.size(), prefix, items_[i].value.size());
    if (bytes > kNodeBytes) return i;
  }
  return items_.size();
}

void TreeWriter::fill_leaf_of(ByteView key) {
  // From the right first: what then goes on to the left leaves no crumbs behind.
  for (const bool to_left : {false, true}) {
    if (fills_ == 0) return;
    descend(key, 0);
    if (depth_ == 0) return;
    const uint32_t slot = path_[depth_ - 1].slot;
    if (to_left ? slot == 0 : slot + 1 == node(depth_ - 1).count()) continue;
    fill_leaf(to_left ? slot - 1 : slot);
  }
}

void TreeWriter::fill_leaf(uint32_t left_slot) {
  const Node parent = node(depth_ - 1);
  const bool other_is_left = left_slot != path_[depth_ - 1].slot;
  const auto other = tree_.child_frame(parent, other_is_left ? left_slot : left_slot + 1);
  if (!other) return;  // not worth a read
  const Node left(other_is_left ? (*other)->data : path_[depth_].frame->data);
  const Node right(other_is_left ? path_[depth_].frame->data : (*other)->data);
  if (left.used_bytes() >= kFullBytes) return;
  --fills_;
  if (merge(depth_, left_slot, other_is_left, kNodeBytes)) {
    shrink(depth_ - 1);
    return;
  }
  items_.clear();
  left.items(items_);
  const size_t own = items_.size();
  right.items(items_);
  const std::span<const NodeItem> all(items_);
  const size_t prefix = choose_prefix(all, true, 0);
  const size_t cut = fullest_cut(prefix);
  const bool moves = cut > own && cut < all.size() && fits(all.first(cut), true, prefix) &&
                     fits(all.subspan(cut), true, prefix);
  if (moves) move_border(depth_, left_slot, *other, cut, prefix);
  items_.clear();
}

void TreeWriter::collapse_root() {
  // The child that is left need not be of the path; one that is not in memory may wait.
  for (;;) {
    const auto root = tree_.root_frame();
    if (!root) return;
    const Node at((*root)->data);
    if (at.is_leaf() || at.count() > 1) return;
    pager_.set_root(at.child(0));
    pager_.drop(*root);
  }
}

namespace {

/// What an op does to one key; a move does it to two.
struct Effect {
  ByteView key;
  ByteView value;
  bool erase = false;
};

enum class Counts : uint8_t { no, yes, replaces };

/// Of the effects on the same key the last one counts; it replaces where an erase was before it.
std::vector<Counts> last_of_each_key(const std::vector<Effect>& effects) {
  std::vector<uint32_t> order(effects.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const int c = as_chars(effects[a].key).compare(as_chars(effects[b].key));
    return c != 0 ? c < 0 : a < b;
  });
  std::vector<Counts> counts(effects.size(), Counts::yes);
  for (size_t i = 1; i < order.size(); ++i) {
    const Effect& before = effects[order[i - 1]];
    if (as_chars(before.key) != as_chars(effects[order[i]].key)) continue;
    counts[order[i - 1]] = Counts::no;
    if (before.erase) counts[order[i]] = Counts::replaces;
  }
  return counts;
}

}  // namespace

void Tree::apply(const Batch& batch) {
  TreeWriter writer(*this, may_spill(batch), fills_max(batch));
  const auto& ops = batch.ops();
  const bool only_puts = std::all_of(
      ops.begin(), ops.end(), [](const auto& op) { return op.kind == Batch::Op::Kind::put; });
  if (only_puts && !batch.fills_leaves()) {
    for (const Batch::Op& op : ops) writer.put(batch.key(op), batch.value(op));
    return;
  }
  std::vector<Effect> effects;
  effects.reserve(ops.size() + batch.move_count());
  std::vector<Bytes> moved;  // the values, which the first change may carry elsewhere
  moved.reserve(batch.move_count());
  for (const Batch::Op& op : ops) {
    if (op.kind != Batch::Op::Kind::move) {
      effects.push_back({batch.key(op), batch.value(op), op.kind == Batch::Op::Kind::erase});
      continue;
    }
    const auto value = get(batch.key(op));
    CHECK(value.has_value() && value->has_value());  // prepare() saw it
    moved.emplace_back((*value)->begin(), (*value)->end());
    effects.push_back({batch.key(op), {}, true});
    effects.push_back({batch.value(op), moved.back(), false});
  }
  // Insertions go first: an erase that empties a leaf gives it up, and a key of its range then
  // leads to a neighbour that prepare() did not touch.
  const std::vector<Counts> counts = last_of_each_key(effects);
  for (const bool erasing : {false, true}) {
    for (size_t i = 0; i < effects.size(); ++i) {
      const Effect& effect = effects[i];
      if (counts[i] == Counts::no || effect.erase != erasing) continue;
      if (erasing) {
        writer.erase(effect.key);
      } else {
        writer.put(effect.key, effect.value);
      }
    }
  }
  for (size_t i = 0; i < effects.size(); ++i) {
    if (counts[i] == Counts::replaces && !effects[i].erase) writer.trim(effects[i].key);
  }
  if (!batch.fills_leaves()) return;
  for (size_t i = 0; i < effects.size(); ++i) {
    if (counts[i] != Counts::no && !effects[i].erase) writer.fill_leaf_of(effects[i].key);
  }
}

}  // namespace cairn::index
