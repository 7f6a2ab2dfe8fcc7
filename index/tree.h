// Tree: a B+tree over checksummed pages with path copying; ordered byte keys to small values. All
// calls are plain: a look-up that meets a page that is not in memory returns Errc::page_absent
// after noting which one; the driver (Store::load_absent) loads it and the caller starts again.
// Nothing is changed by a call that fails. Home: the shard's reactor. Byte map:
// index/page_format.h, docs/formats/pages.md.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "index/batch.h"
#include "index/node.h"
#include "index/pager.h"

namespace cairn::index {

class Tree {
 public:
  explicit Tree(Pager& pager);

  /// The value of `key`, borrowed until the next change of the tree or eviction.
  /// @error page_absent
  Result<std::optional<ByteView>> get(ByteView key);

  /// What get_many() found of one key.
  struct Looked {
    bool known = false;  // false: a page is not in memory, or damaged; get() tells which
    std::optional<ByteView> value;  // as of get()
  };
  /// As get() of each key, but their ways down go side by side: a random look-up in a large tree
  /// mostly waits for memory, and those waits overlap. Also brings the neighbours of keys that are
  /// not there. Never fails. @param found  as many as keys
  void get_many(std::span<const ByteView> keys, std::span<Looked> found);

  /// The way down to one leaf, kept so that it need not be searched again: whoever goes it finds
  /// out whether it still leads where it did, at the cost of a look at the branches.
  class Way {
   public:
    Way() {}  // NOLINT: not "= default", which would zero the steps of what is made with {}

   private:
    friend class Cursor;
    friend class Tree;
    friend class TreeWriter;
    struct Step {
      Frame* frame;
      PageRef ref;
      uint32_t slot;  // that leads on
    };
    Frame* leaf() const { return steps_[depth_ - 1].frame; }
    uint32_t depth_ = 0;  // pages, from the root on; 0: none
    std::array<Step, kLevelMax + 1> steps_;
  };
  /// While it lives, look-ups of one key, prepare() and apply() go the way where it leads to their
  /// leaf, and else leave it as the one that they went. For the plain calls of one operation, which
  /// are mostly about one leaf.
  class [[nodiscard]] Near {
   public:
    Near(Tree& tree, Way& way) : tree_(tree), before_(std::exchange(tree.near_, &way)) {}
    Near(const Near&) = delete;
    Near& operator=(const Near&) = delete;
    ~Near() { tree_.near_ = before_; }

   private:
    Tree& tree_;
    Way* const before_;
  };
  /// For an operation that is about to look at `key` while others run: notes the way, and asks the
  /// processor for the leaf, if that is in memory. Waits for none of it; never fails.
  void approach(ByteView key, Way& way);
  /// A moment later: asks for the entry. Does nothing where the way has changed.
  void approach_entry(ByteView key, const Way& way);

  /// The newest stamp of any record with key in [low, high) (high empty: to the end); 0 if none.
  /// May be a removed record's stamp where its page lies wholly inside the range. @error
  /// page_absent
  Result<uint64_t> newest_stamp(ByteView low, ByteView high);

  /// The page on which a look-up of `key` ends: its leaf, or the first page that is not in memory.
  struct Span {
    Bytes low, high;  // its keys, as its parents say; high empty: to the end
    uint32_t level = 0;
    PageRef absent;   // null: it is the leaf
  };
  /// @error checksum  a page in memory is not what its parent says
  Result<Span> span_at(ByteView key);

  /// Makes sure that apply(batch) cannot fail: every page on the way is in memory and there are
  /// free pages and frames for copies and splits. Changes no record.
  /// @param use  what the batch is for; one that only erases counts as a removal anyhow
  /// @error page_absent, no_memory (budget, or too many changes at once), no_space (no free pages)
  /// @error checksum  a move whose source is not there, or was changed earlier in the batch
  Result<void> prepare(const Batch& batch, Pager::Use use = Pager::Use::update);
  /// Applies all ops. Precondition: prepare() succeeded and nothing happened since.
  void apply(const Batch& batch);

  /// Walks every page: structure, order, fill, stamps. For tests and `cairn check`.
  /// @returns the number of records  @error page_absent, checksum
  Result<uint64_t> verify();

 private:
  friend class Cursor;
  friend class TreeWriter;

  /// The root's page or the child's, checked against what its parent says of it. @error
  /// page_absent, checksum
  Result<Frame*> root_frame();
  Result<Frame*> child_frame(const Node& parent, uint32_t slot);
  /// As child_frame(); null where that fails.
  Frame* child_or_null(const Node& parent, uint32_t slot);
  /// To the leaf of `key`, by the way or by a search that becomes the way. The tree is not empty.
  /// @error page_absent, checksum
  Result<void> go(Way& way, ByteView key);
  /// Is it (still) the way to the leaf of `key`?
  bool leads(const Way& way, ByteView key) const;
  Result<std::optional<ByteView>> get_near(ByteView key);
  struct Fences;
  Result<uint64_t> verify_page(const Frame& frame, const Fences& fences);

  struct BatchShape {
    bool spills = false;
    bool erases = false;
    size_t fills = 0;
    size_t key_bytes_max = 0;  // of the insertions
  };
  /// One page on the way of an op; scratch of prepare().
  struct Touched {
    uint64_t page = 0;
    uint32_t level = 0;
    Frame* frame = nullptr;
    uint32_t puts = 0;       // leaves: insertions
    uint32_t put_bytes = 0;  // the most that they take
    bool foreign = false;    // a key without the page's prefix
  };
  /// Batches up to this size may even out neighbouring leaves instead of splitting them; for larger
  /// ones the worst case of that would be reserved too often for nothing.
  static constexpr size_t kSpillOpsMax = 16;
  static bool surely_fits(const Touched& leaf);
  Result<void> touch(ByteView key, bool erase, uint32_t value_bytes);
  Result<void> touch(const Batch& batch, const Batch::Op& op);
  /// A move takes a key away and brings one.
  static bool may_spill(const Batch& batch) {
    return batch.op_count() + batch.move_count() <= kSpillOpsMax;
  }
  /// How many leaves a batch fills up, at most: so that few pages are reserved for it.
  static size_t fills_max(const Batch& batch) {
    return batch.fills_leaves() ? std::min<size_t>(batch.op_count(), 32) : 0;
  }
  size_t worst_case_pages(const BatchShape& batch);

  Pager& pager_;
  Way* near_ = nullptr;
  std::vector<Touched> touched_;
  std::vector<NodeItem> items_;  // scratch of apply()
};

/// An ordered position. Valid until the tree changes or a step ends (eviction); cheap to make anew.
class Cursor {
 public:
  /// @param leaves_ahead  for a walk forward: where a leaf is missing, so many behind it are loaded
  ///                      beside it
  explicit Cursor(Tree& tree, uint32_t leaves_ahead = 0)
      : tree_(&tree), leaves_ahead_(leaves_ahead) {}
  /// To the first record with key >= `key`; valid() tells if there is one. Short ways forward are
  /// cheap. `key` must not be borrowed from the cursor. @error page_absent
  Result<void> seek(ByteView key);
  /// To the last record with key < `key`. @error page_absent
  Result<void> seek_before(ByteView key);
  /// To the record after or before; valid() turns false at the end. Precondition: valid().
  /// @error page_absent  the cursor stays where it was
  Result<void> next();
  Result<void> prev();
  bool valid() const { return valid_; }
  /// The whole key, borrowed until the cursor moves.
  ByteView key() const { return {key_buffer_.data(), key_bytes_}; }
  ByteView value() const { return value_; }

 private:
  /// A page of the path and the slot in it that leads on.
  struct Step {
    Frame* frame = nullptr;
    uint32_t slot = 0;
  };
  Result<void> descend(ByteView key);
  Result<void> descend_near(ByteView key, Tree::Way& way);
  Result<void> next_leaf();
  Result<void> prev_leaf();
  /// Goes down from path[depth] to a leaf, always by the first or always by the last child.
  Result<void> descend_edge(std::array<Step, kLevelMax + 1>& path, uint32_t depth, bool last);
  bool seek_in_leaf(ByteView key);
  Result<Frame*> child(const Node& node, uint32_t slot);
  void enter_leaf();
  void load();

  Tree* tree_;
  uint32_t leaves_ahead_ = 0;
  bool valid_ = false;
  uint32_t depth_ = 0;  // pages of the path; 0: an empty tree
  uint32_t slot_ = 0;   // in the leaf
  uint32_t leaf_count_ = 0;
  std::byte* leaf_ = nullptr;
  size_t prefix_bytes_ = 0;  // of the leaf; key_buffer_ starts with it
  size_t key_bytes_ = 0;
  ByteView value_;
  std::array<Step, kLevelMax + 1> path_;  // root first; the leaf's slot is slot_
  std::array<std::byte, kKeyBytesMax> key_buffer_;
};

}  // namespace cairn::index
