#include "vos/overlay.h"

#include <set>

#include "base/check.h"

namespace cairn::vos {

namespace {

using Kind = Overlay::Change::Kind;

/// The tree's records and the changes, merged; a change stands in for the tree's record.
class OverlayCursor final : public LensCursor {
 public:
  OverlayCursor(index::Tree& tree, const Overlay::Changes& changes)
      : tree_(tree), changes_(changes), cursor_(tree), at_(changes.end()) {}

  Result<void> seek(ByteView from) override {
    at_ = changes_.lower_bound(as_chars(from));
    forward_ = true;
    TRY(sought, cursor_.seek(from));
    return settle_forward();
  }

  Result<void> seek_before(ByteView before) override {
    at_ = changes_.lower_bound(as_chars(before));
    forward_ = false;
    TRY(sought, cursor_.seek_before(before));
    return settle_backward();
  }

  Result<void> next() override {
    CHECK(valid);
    if (!forward_) {
      Bytes behind(key.begin(), key.end());
      behind.push_back(std::byte{0});
      return seek(behind);
    }
    if (from_changes_) {
      ++at_;
    } else {
      TRY(moved, cursor_.next());
    }
    return settle_forward();
  }

  Result<void> prev() override {
    CHECK(valid);
    if (forward_) return seek_before(Bytes(key.begin(), key.end()));
    if (!from_changes_) {
      TRY(moved, cursor_.prev());
    }
    return settle_backward();
  }

 private:
  /// Both positions are at their first entry that may be the answer.
  Result<void> settle_forward() {
    for (;; ++at_) {
      if (at_ == changes_.end() ||
          (cursor_.valid() && as_chars(cursor_.key()) < std::string_view(at_->first))) {
        return take_tree();
      }
      if (cursor_.valid() && as_chars(cursor_.key()) == at_->first) {
        TRY(moved, cursor_.next());
      }
      if (at_->second.kind != Kind::erase) return take_change();
    }
  }

  /// The changes' next entry is the one before `at_`.
  Result<void> settle_backward() {
    for (;;) {
      if (at_ == changes_.begin() ||
          (cursor_.valid() && as_chars(cursor_.key()) > std::string_view(std::prev(at_)->first))) {
        return take_tree();
      }
      if (cursor_.valid() && as_chars(cursor_.key()) == std::prev(at_)->first) {
        TRY(moved, cursor_.prev());
      }
      --at_;
      if (at_->second.kind != Kind::erase) return take_change();
    }
  }

  Result<void> take_tree() {
    from_changes_ = false;
    valid = cursor_.valid();
    if (!valid) return {};
    key = cursor_.key();
    value = cursor_.value();
    return {};
  }

  Result<void> take_change() {
    if (at_->second.kind == Kind::move) {
      TRY(moved, tree_.get(as_bytes(at_->second.moved_from)));
      if (!moved) return fail(Errc::checksum, "overlay: a moved record is not in the tree");
      value = *moved;
    } else {
      value = at_->second.value;
    }
    from_changes_ = true;
    valid = true;
    key = as_bytes(at_->first);
    return {};
  }

  index::Tree& tree_;
  const Overlay::Changes& changes_;
  index::Cursor cursor_;
  Overlay::Changes::const_iterator at_;
  bool forward_ = true;
  bool from_changes_ = false;
};

}  // namespace

Result<std::optional<ByteView>> Overlay::get(ByteView key) {
  const auto found = changes_.find(as_chars(key));
  if (found == changes_.end()) return tree_.get(key);
  switch (found->second.kind) {
    case Kind::put:
      return ByteView(found->second.value);
    case Kind::move:
      return tree_.get(as_bytes(found->second.moved_from));
    case Kind::erase:
      break;
  }
  return std::nullopt;
}

std::unique_ptr<LensCursor> Overlay::cursor(ByteView) {
  return std::make_unique<OverlayCursor>(tree_, changes_);
}

void Overlay::absorb(const index::Batch& batch) {
  for (const index::Batch::Op& op : batch.ops()) {
    const std::string key(as_chars(batch.key(op)));
    const ByteView value = batch.value(op);
    switch (op.kind) {
      case index::Batch::Op::Kind::put:
        changes_[key] = {Kind::put, Bytes(value.begin(), value.end()), {}};
        break;
      case index::Batch::Op::Kind::erase:
        changes_[key] = {};
        break;
      case index::Batch::Op::Kind::move: {
        // What an earlier operation put is known; only the tree's own records are still to move.
        Change taken{Kind::move, {}, key};
        if (const auto known = changes_.find(key); known != changes_.end()) {
          CHECK(known->second.kind != Kind::erase);
          taken = known->second;
        }
        changes_[key] = {};
        if (taken.kind == Kind::move && taken.moved_from == as_chars(value)) {
          changes_.erase(taken.moved_from);  // back where the tree has it
        } else {
          changes_[std::string(as_chars(value))] = std::move(taken);
        }
        break;
      }
    }
  }
  published_.insert(published_.end(), batch.data().begin(), batch.data().end());
  freed_.insert(freed_.end(), batch.freed().begin(), batch.freed().end());
}

void Overlay::emit(index::Batch& batch) const {
  // Moves go first, so that none finds its source changed; each takes its source away. Backwards:
  // what goes to history leaves the live range before something takes its place there.
  std::set<std::string_view> sources;
  for (auto it = changes_.rbegin(); it != changes_.rend(); ++it) {
    const auto& [key, change] = *it;
    if (change.kind != Kind::move) continue;
    batch.move(as_bytes(change.moved_from), as_bytes(key));
    sources.insert(change.moved_from);
  }
  for (const auto& [key, change] : changes_) {
    if (change.kind == Kind::put) batch.put(as_bytes(key), change.value);
    if (change.kind == Kind::erase && !sources.contains(key)) batch.erase(as_bytes(key));
  }
  for (const index::BatchData& data : published_) batch.publish(data);
  for (const media::Extent& extent : freed_) batch.free(extent);
}

uint64_t Overlay::bytes() const {
  uint64_t bytes = 64 + 18 * published_.size() + 14 * freed_.size();
  for (const auto& [key, change] : changes_) {
    bytes += key.size() + change.value.size() + change.moved_from.size() + 12;
  }
  return bytes;
}

void Overlay::clear() {
  changes_.clear();
  published_.clear();
  freed_.clear();
}

}  // namespace cairn::vos
