// Tree: a B+tree over checksummed pages with path copying; ordered byte keys to small values. All calls are
// plain: a look-up that meets a page that is not in memory returns Errc::page_absent after noting which one;
// the driver (Store::load_absent) loads it and the caller starts again. Nothing is changed by a call that
// fails. Home: the shard's reactor. Byte map: index/page_format.h, docs/formats/pages.md.
#pragma once

#include <optional>

#include "index/batch.h"
#include "index/pager.h"

namespace cairn::index {

class Tree {
 public:
  explicit Tree(Pager& pager);

  /// The value of `key`, borrowed until the next change of the tree or eviction.
  /// @error page_absent
  Result<std::optional<ByteView>> get(ByteView key);

  /// The newest stamp of any record with key in [low, high) (high empty: to the end); 0 if none. May be
  /// a removed record's stamp where its page lies wholly inside the range. @error page_absent
  Result<uint64_t> newest_stamp(ByteView low, ByteView high);

  /// Makes sure that apply(batch) cannot fail: every page on the way is in memory and there are free
  /// pages and frames for copies and splits. Changes no record.
  /// @error page_absent, no_memory (budget), no_space (no free pages)
  Result<void> prepare(const Batch& batch);
  /// Applies all ops. Precondition: prepare() succeeded and nothing happened since.
  void apply(const Batch& batch);

  /// Walks every page: structure, order, fill, stamps. For tests and `cairn check`.
  /// @error page_absent, checksum
  Result<uint64_t> verify();

 private:
  friend class Cursor;
  Pager& pager_;
};

/// An ordered position. Valid until the tree changes or a step ends (eviction); cheap to make anew.
class Cursor {
 public:
  explicit Cursor(Tree& tree) : tree_(&tree) {}
  /// To the first record with key >= `key`; valid() tells if there is one. @error page_absent
  Result<void> seek(ByteView key);
  /// To the last record with key < `key`. @error page_absent
  Result<void> seek_before(ByteView key);
  /// @error page_absent  the cursor stays where it was
  Result<void> next();
  Result<void> prev();
  bool valid() const { return valid_; }
  /// The whole key, borrowed until the cursor moves.
  ByteView key() const { return key_; }
  ByteView value() const { return value_; }

 private:
  Tree* tree_;
  bool valid_ = false;
  Bytes key_buffer_;
  ByteView key_;
  ByteView value_;
  Frame* leaf_ = nullptr;
  uint32_t slot_ = 0;
};

}  // namespace cairn::index
