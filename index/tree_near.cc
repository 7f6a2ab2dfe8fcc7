// Ways that are kept: the look-ups, the preparation and the change of one operation mostly end in
// one leaf, and where others run before it, memory can be asked for that leaf meanwhile.
#include "index/node_search.h"
#include "index/pager_state.h"
#include "index/tree.h"

namespace cairn::index {
namespace {

/// Header and slots of a leaf of middling records.
constexpr size_t kFetchedBytes = 1024;
/// An entry of a small value, with what stands before it in its first line.
constexpr size_t kEntryBytes = 192;
constexpr size_t kLineBytes = 64;

/// Is it still the frame of that page, and the page one of the tree? It counts as used then.
bool holds(Frame& frame, PageRef ref) {
  Slot& slot = static_cast<Slot&>(frame);
  if (slot.ref != ref || slot.dropped) return false;
  slot.referenced = true;
  return true;
}

enum class Side : uint8_t { inside, outside, open };

/// Does `key` belong to the child at `slot`, as far as this branch knows? Open: there is no border
/// on that side here.
Side behind_border(const Node& branch, uint32_t slot, ByteView key) {
  if (slot == 0) return Side::open;
  if (!branch.has_prefix(key)) return Side::outside;
  const ByteView suffix = key.subspan(branch.prefix().size());
  return branch.compare(slot, suffix) <= 0 ? Side::inside : Side::outside;
}
Side before_border(const Node& branch, uint32_t slot, ByteView key) {
  if (slot + 1 == branch.count()) return Side::open;
  if (!branch.has_prefix(key)) return Side::outside;
  const ByteView suffix = key.subspan(branch.prefix().size());
  return branch.compare(slot + 1, suffix) > 0 ? Side::inside : Side::outside;
}

}  // namespace

bool Tree::leads(const Way& way, ByteView key) const {
  if (way.depth_ == 0 || way.steps_[0].ref != pager_.root()) return false;
  for (uint32_t i = 0; i < way.depth_; ++i) {
    const Way::Step& step = way.steps_[i];
    if (!holds(*step.frame, step.ref)) return false;
    const Node node(step.frame->data);
    // approach() did not look at the last one, and a frame and its page may have come back as
    // another level's.
    if (node.is_leaf() != (i + 1 == way.depth_)) return false;
    if (node.is_leaf()) break;
    if (step.slot >= node.count() || node.child(step.slot) != way.steps_[i + 1].ref) return false;
  }
  // Each link holds; a split may have taken a part of the leaf's keys all the same. The nearest
  // border on each side decides.
  Side low = Side::open;
  Side high = Side::open;
  for (uint32_t i = way.depth_ - 1; i-- > 0 && (low == Side::open || high == Side::open);) {
    const Node branch(way.steps_[i].frame->data);
    const uint32_t slot = way.steps_[i].slot;
    if (low == Side::open) low = behind_border(branch, slot, key);
    if (high == Side::open) high = before_border(branch, slot, key);
    if (low == Side::outside || high == Side::outside) return false;
  }
  return true;
}

Result<void> Tree::go(Way& way, ByteView key) {
  if (leads(way, key)) return {};
  way.depth_ = 0;
  TRY(frame, root_frame());
  for (uint32_t depth = 0;; ++depth) {
    const Node node(frame->data);
    Way::Step& step = way.steps_[depth];
    step = {frame, frame->ref, 0};
    if (node.is_leaf()) {
      way.depth_ = depth + 1;
      return {};
    }
    step.slot = node.child_for(key);
    TRY(child, child_frame(node, step.slot));
    frame = child;
  }
}

Result<std::optional<ByteView>> Tree::get_near(ByteView key) {
  TRY(gone, go(*near_, key));
  const Node leaf(near_->leaf()->data);
  const Node::Found found = leaf.find(key);
  if (!found.equal) return std::nullopt;
  return leaf.leaf_value(found.slot);
}

void Tree::approach(ByteView key, Way& way) {
  way.depth_ = 0;
  if (pager_.root().is_null()) return;
  Frame* frame = pager_.find(pager_.root());
  if (frame == nullptr || frame->header().level > kLevelMax) return;
  for (uint32_t depth = 0;; ++depth) {
    const Node node(frame->data);
    Way::Step& step = way.steps_[depth];
    step = {frame, frame->ref, 0};
    if (node.is_leaf()) {
      way.depth_ = depth + 1;
      return;
    }
    step.slot = node.child_for(key);
    const PageRef child = node.child(step.slot);
    if (node.level() > 1) {
      frame = child_or_null(node, step.slot);
      if (frame == nullptr) return;
      continue;
    }
    // What it holds is looked at when it has come.
    frame = pager_.ask(child, kFetchedBytes);
    if (frame == nullptr) return;
    way.steps_[depth + 1] = {frame, child, 0};
    way.depth_ = depth + 2;
    return;
  }
}

void Tree::approach_entry(ByteView key, const Way& way) {
  if (way.depth_ == 0 || !holds(*way.leaf(), way.steps_[way.depth_ - 1].ref)) return;
  const Node leaf(way.leaf()->data);
  if (!leaf.is_leaf()) return;
  if (!leaf.has_prefix(key)) return;
  // By the heads alone: entries are what is to be asked for.
  const ByteView prefix = leaf.prefix();
  const ByteView slots(prefix.data() + prefix.size(), sizeof(NodeSlot) * leaf.count());
  const size_t slot = lower_head(slots, head_value(key.subspan(prefix.size())));
  if (slot == leaf.count()) return;
  const std::byte* const entry = leaf.entry(static_cast<uint32_t>(slot));
  for (size_t at = 0; at < kEntryBytes; at += kLineBytes) __builtin_prefetch(entry + at);
}

}  // namespace cairn::index
