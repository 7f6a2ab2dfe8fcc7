// View: what an operation reads the tree through: `get(key)` and an ordered cursor over keys of the
// live range (docs/internals/versions.md). Live, it is the tree as it is; else a Lens stands
// between: an older epoch, or the changes that a transaction has planned. Home: the shard's
// reactor. Plain calls, which end with page_absent like those of the tree. Internal to vos/.
#pragma once

#include <memory>

#include "index/tree.h"
#include "model/ids.h"

namespace cairn::vos {

/// An ordered position of a Lens; keys come out in their live form.
class LensCursor {
 public:
  LensCursor() = default;
  LensCursor(const LensCursor&) = delete;
  LensCursor& operator=(const LensCursor&) = delete;
  virtual ~LensCursor() = default;
  virtual Result<void> seek(ByteView key) = 0;
  virtual Result<void> seek_before(ByteView key) = 0;
  virtual Result<void> next() = 0;
  virtual Result<void> prev() = 0;

  // Set by the calls above. Borrowed until the cursor moves.
  bool valid = false;
  ByteView key;
  ByteView value;
};

/// Another way to see the tree. One that is not live pays for virtual calls and allocations.
class Lens {
 public:
  Lens() = default;
  Lens(const Lens&) = delete;
  Lens& operator=(const Lens&) = delete;
  virtual ~Lens() = default;
  /// Borrowed until the tree or the lens changes. @error page_absent
  virtual Result<std::optional<ByteView>> get(ByteView key) = 0;
  /// @param within  a live prefix; the cursor need not find anything outside of it
  virtual std::unique_ptr<LensCursor> cursor(ByteView within) = 0;
};

/// A value: the tree, and the lens if there is one. Both outlive it.
class View {
 public:
  explicit View(index::Tree& tree) : tree_(&tree) {}
  /// Does a lens show changes that the tree does not have yet?
  enum class Shows : uint8_t { committed, planned };
  /// @param epoch  what is newer is not seen (by the lens, and among the markers)
  View(index::Tree& tree, Lens* lens, model::Epoch epoch, Shows shows = Shows::planned)
      : tree_(&tree), lens_(lens), epoch_(epoch), shows_(shows) {}

  bool is_live() const { return lens_ == nullptr; }
  /// What memory counts of the tree holds for the view, too.
  bool is_committed() const { return lens_ == nullptr || shows_ == Shows::committed; }
  model::Epoch epoch() const { return epoch_; }

  /// The value of a key of the live range. @error page_absent
  Result<std::optional<ByteView>> get(ByteView key) const {
    if (lens_ == nullptr) [[likely]] return tree_->get(key);
    return lens_->get(key);
  }

  /// As index::Cursor. @param within  a live prefix: what lies outside of it may not be found
  class Cursor {
   public:
    Cursor(const View& view, ByteView within, uint32_t leaves_ahead = 0)
        : tree_(*view.tree_, leaves_ahead) {
      if (view.lens_ != nullptr) [[unlikely]] lens_ = view.lens_->cursor(within);
    }
    Result<void> seek(ByteView key) { return lens_ ? lens_->seek(key) : tree_.seek(key); }
    Result<void> seek_before(ByteView key) {
      return lens_ ? lens_->seek_before(key) : tree_.seek_before(key);
    }
    Result<void> next() { return lens_ ? lens_->next() : tree_.next(); }
    Result<void> prev() { return lens_ ? lens_->prev() : tree_.prev(); }
    bool valid() const { return lens_ ? lens_->valid : tree_.valid(); }
    ByteView key() const { return lens_ ? lens_->key : tree_.key(); }
    ByteView value() const { return lens_ ? lens_->value : tree_.value(); }

   private:
    index::Cursor tree_;
    std::unique_ptr<LensCursor> lens_;
  };

 private:
  index::Tree* tree_;
  Lens* lens_ = nullptr;
  model::Epoch epoch_ = model::kEpochMax;
  Shows shows_ = Shows::planned;
};

}  // namespace cairn::vos
