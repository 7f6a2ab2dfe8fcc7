#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/short_bytes.h"
#include "index/pager_state.h"
#include "index/tree.h"

namespace cairn::index {

namespace {
/// Records whose bytes are fetched before a walk comes to them.
constexpr uint32_t kFetchAhead = 8;
}  // namespace

void Cursor::enter_leaf() {
  const Node leaf(path_[depth_ - 1].frame->data);
  leaf_ = path_[depth_ - 1].frame->data;
  leaf_count_ = leaf.count();
  const ByteView prefix = leaf.prefix();
  prefix_bytes_ = prefix.size();
  if (!prefix.empty()) std::memcpy(key_buffer_.data(), prefix.data(), prefix.size());
}

void Cursor::load() {
  const Node leaf(leaf_);
  leaf.copy_suffix(slot_, key_buffer_.data() + prefix_bytes_);
  key_bytes_ = prefix_bytes_ + leaf.suffix_bytes(slot_);
  value_ = leaf.leaf_value(slot_);
  valid_ = true;
}

Result<Frame*> Cursor::child(const Node& node, uint32_t slot) {
  auto frame = tree_->child_frame(node, slot);
  if (frame || leaves_ahead_ == 0 || node.level() != 1) return frame;
  if (frame.error().code() != Errc::page_absent) return frame;
  std::vector<PageRef>& ahead = tree_->pager_.state().ahead;
  ahead.clear();
  const uint32_t end = std::min(node.count(), slot + 1 + leaves_ahead_);
  for (uint32_t next = slot + 1; next < end; ++next) ahead.push_back(node.child(next));
  return frame;
}

Result<void> Cursor::descend(ByteView key) {
  valid_ = false;
  depth_ = 0;
  if (tree_->pager_.root().is_null()) return {};
  if (tree_->near_ != nullptr && leaves_ahead_ == 0) return descend_near(key, *tree_->near_);
  TRY(frame, tree_->root_frame());
  for (uint32_t depth = 0;; ++depth) {
    const Node node(frame->data);
    path_[depth].frame = frame;
    if (node.is_leaf()) {
      slot_ = node.find(key).slot;
      depth_ = depth + 1;
      enter_leaf();
      return {};
    }
    path_[depth].slot = node.child_for(key);
    TRY(below, child(node, path_[depth].slot));
    frame = below;
  }
}

Result<void> Cursor::descend_near(ByteView key, Tree::Way& way) {
  TRY(gone, tree_->go(way, key));
  for (uint32_t i = 0; i < way.depth_; ++i) path_[i] = {way.steps_[i].frame, way.steps_[i].slot};
  depth_ = way.depth_;
  slot_ = Node(way.leaf()->data).find(key).slot;
  enter_leaf();
  return {};
}

/// A seek forward that ends in the same leaf needs no way down from the root.
bool Cursor::seek_in_leaf(ByteView key) {
  if (slot_ + 1 >= leaf_count_ || key.size() < prefix_bytes_) return false;
  const ByteView prefix{key_buffer_.data(), prefix_bytes_};
  if (compare_bytes(key.first(prefix_bytes_), prefix) != 0) return false;
  const Node leaf(leaf_);
  const ByteView suffix = key.subspan(prefix_bytes_);
  if (leaf.compare(slot_, suffix) >= 0) return false;
  uint32_t slot = slot_ + 1;
  // Records stand anywhere in the page; who seeks step by step comes to those that follow.
  if (slot + kFetchAhead < leaf_count_) __builtin_prefetch(leaf.entry(slot + kFetchAhead));
  if (leaf.compare(slot, suffix) < 0) slot = leaf.find(key).slot;
  if (slot >= leaf_count_) return false;
  slot_ = slot;
  load();
  return true;
}

Result<void> Cursor::seek(ByteView key) {
  if (valid_ && seek_in_leaf(key)) return {};
  TRY(done, descend(key));
  if (depth_ == 0) return {};
  if (slot_ < leaf_count_) {
    load();
    return {};
  }
  return next_leaf();
}

Result<void> Cursor::seek_before(ByteView key) {
  TRY(done, descend(key));
  if (depth_ == 0) return {};
  if (slot_ > 0) {
    --slot_;
    load();
    return {};
  }
  return prev_leaf();
}

Result<void> Cursor::next() {
  DCHECK(valid_);
  if (slot_ + 1 < leaf_count_) [[likely]] {
    ++slot_;
    load();
    return {};
  }
  return next_leaf();
}

Result<void> Cursor::prev() {
  DCHECK(valid_);
  if (slot_ > 0) [[likely]] {
    --slot_;
    load();
    return {};
  }
  return prev_leaf();
}

Result<void> Cursor::descend_edge(std::array<Step, kLevelMax + 1>& path, uint32_t depth,
                                  bool last) {
  // Works on a copy of the path, so that a page that is not in memory leaves the cursor as it was.
  for (;;) {
    const Node node(path[depth].frame->data);
    if (node.is_leaf()) break;
    TRY(frame, child(node, path[depth].slot));
    const Node below(frame->data);
    path[++depth] = {frame, last && !below.is_leaf() ? below.count() - 1 : 0};
  }
  path_ = path;
  enter_leaf();
  slot_ = last ? leaf_count_ - 1 : 0;
  load();
  return {};
}

Result<void> Cursor::next_leaf() {
  std::array<Step, kLevelMax + 1> path = path_;
  for (uint32_t depth = depth_ - 1; depth-- > 0;) {
    if (path[depth].slot + 1 >= Node(path[depth].frame->data).count()) continue;
    ++path[depth].slot;
    return descend_edge(path, depth, false);
  }
  valid_ = false;
  return {};
}

Result<void> Cursor::prev_leaf() {
  std::array<Step, kLevelMax + 1> path = path_;
  for (uint32_t depth = depth_ - 1; depth-- > 0;) {
    if (path[depth].slot == 0) continue;
    --path[depth].slot;
    return descend_edge(path, depth, true);
  }
  valid_ = false;
  return {};
}

}  // namespace cairn::index
