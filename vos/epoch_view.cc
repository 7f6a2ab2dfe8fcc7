#include "vos/epoch_view.h"

namespace cairn::vos {

namespace {

/// Merges the live range with slots of the history range.
class EpochCursor final : public LensCursor {
 public:
  /// @param slots  0 for the live range
  EpochCursor(index::Tree& tree, model::Epoch epoch, ByteView within,
              const std::vector<model::Epoch>& slots)
      : epoch_(epoch) {
    within_.add(within);
    sources_.reserve(slots.size());
    for (const model::Epoch slot : slots) {
      sources_.push_back({slot, slot == 0 ? within_ : history_key(within, slot),
                          std::make_unique<index::Cursor>(tree)});
    }
  }

  Result<void> seek(ByteView key) override {
    forward_ = true;
    for (Source& s : sources_) {
      TRY(sought, s.cursor->seek(in_range_of(s, key)));
      TRY(settled, settle(s));
    }
    choose();
    return {};
  }
  Result<void> seek_before(ByteView key) override {
    forward_ = false;
    for (Source& s : sources_) {
      TRY(sought, s.cursor->seek_before(in_range_of(s, key)));
      TRY(settled, settle(s));
    }
    choose();
    return {};
  }
  Result<void> next() override {
    DCHECK(valid);
    if (!forward_) {
      Key after = key_;
      after.add(0);
      return seek(after);
    }
    return step();
  }
  Result<void> prev() override {
    DCHECK(valid);
    if (forward_) {
      const Key before = key_;
      return seek_before(before);
    }
    return step();
  }

 private:
  struct Source {
    model::Epoch slot = 0;
    Key prefix;  // of what the cursor may find, in its own range
    std::unique_ptr<index::Cursor> cursor;
    bool valid = false;

    /// What orders the records of all sources.
    ByteView order() const {
      return cursor->key().subspan(slot == 0 ? kRangePrefixBytes : kHistoryPrefixBytes);
    }
  };

  Key in_range_of(const Source& s, ByteView key) const {
    if (s.slot != 0) return history_key(key, s.slot);
    Key own;
    own.add(key);
    return own;
  }
  /// Moves on to a record that was there at the epoch.
  Result<void> settle(Source& s) {
    for (;;) {
      s.valid = s.cursor->valid() && s.cursor->key().size() >= s.prefix.size() &&
                std::memcmp(s.cursor->key().data(), s.prefix.view().data(), s.prefix.size()) == 0;
      if (!s.valid || load_le64(s.cursor->value().data()) <= epoch_) return {};
      TRY(moved, forward_ ? s.cursor->next() : s.cursor->prev());
    }
  }
  Result<void> step() {
    Source& s = sources_[chosen_];
    TRY(moved, forward_ ? s.cursor->next() : s.cursor->prev());
    TRY(settled, settle(s));
    choose();
    return {};
  }
  void choose() {
    valid = false;
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (!sources_[i].valid) continue;
      if (valid) {
        const int c = as_chars(sources_[i].order()).compare(as_chars(sources_[chosen_].order()));
        if (forward_ ? c >= 0 : c <= 0) continue;
      }
      chosen_ = i;
      valid = true;
    }
    if (!valid) return;
    const Source& s = sources_[chosen_];
    key_.truncate(0);
    key_.add(within_.view().first(kRangePrefixBytes));
    key_.add(s.order());
    key = key_.view();
    value = s.cursor->value();
  }

  model::Epoch epoch_;
  Key within_;
  Key key_;
  std::vector<Source> sources_;
  size_t chosen_ = 0;
  bool forward_ = true;
};

}  // namespace

EpochLens::EpochLens(Shard::State& state, ContNumber container, model::Epoch epoch)
    : tree_(state.tree()), epoch_(epoch) {
  for (const Snapshot& s : state.snapshots.of(container)) {
    if (s.epoch >= epoch) slots_.push_back(s.epoch);
  }
}

Result<std::optional<ByteView>> EpochLens::get(ByteView key) {
  TRY(live, tree_.get(key));
  if (live && load_le64(live->data()) <= epoch_) return live;
  if (in_range(key, Range::marker)) return std::nullopt;
  for (const model::Epoch slot : slots_) {
    TRY(older, tree_.get(history_key(key, slot)));
    if (older && load_le64(older->data()) <= epoch_) return older;
  }
  return std::nullopt;
}

std::unique_ptr<LensCursor> EpochLens::cursor(ByteView within) {
  // Markers have no history: each of their epochs is a record.
  std::vector<model::Epoch> sources{0};
  if (!in_range(within, Range::marker)) sources.insert(sources.end(), slots_.begin(), slots_.end());
  return std::make_unique<EpochCursor>(tree_, epoch_, within, sources);
}

}  // namespace cairn::vos
