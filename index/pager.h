// Pager: the pages of one store in memory, with path copying. The tree sees frames; which pages are
// on media, and when they are written, is between pager and checkpoint.
//
// Generations: generation g is everything allocated since checkpoint g began. A page born in an
// earlier generation is part of a root that is durable or on its way to be, so it is never changed:
// writable() gives a copy at a new address and the old address is freed once no durable root needs
// it (store.md rules 14, 15). A page born in the current generation is changed in place and its
// address is reusable at once. Every page has its address from its allocation on, so writing it
// needs no change of its parent.
//
// Home: the shard's reactor. Plain calls only. Frames stay where they are until eviction, which
// happens only between steps (Store::load_absent, Store::end_step), never inside a plain call.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "index/page_header_format.h"

namespace cairn::index {

/// One page in memory. `data` is kPageBytes bytes, block-aligned. Only pages for which writable()
/// or allocate() gave the frame in this generation may be changed.
struct Frame {
  std::byte* data = nullptr;
  PageRef ref;
  uint32_t birth = 0;
  bool dirty = false;  // differs from the medium
  uint32_t pins = 0;   // > 0: not evicted, not reused

  ByteView view() const { return {data, kPageBytes}; }
  ByteSpan span() { return {data, kPageBytes}; }
  const PageHeader& header() const { return *reinterpret_cast<const PageHeader*>(data); }
  PageHeader& header() { return *reinterpret_cast<PageHeader*>(data); }
};

class Pager {
 public:
  struct State;
  explicit Pager(std::unique_ptr<State> state);
  ~Pager();

  /// The frame of a page of the live tree. Hot: one hash look-up.
  /// @error page_absent  not in memory; noted for Store::load_absent
  Result<Frame*> get(PageRef ref);
  /// As get(); null where that fails, and nothing is noted. @param bytes_ahead  so much of the page
  /// the caller will look at: the processor is asked for it at once
  Frame* find(PageRef ref, size_t bytes_ahead = 0);

  /// For a later look: asks the processor for the page's frame and its first bytes, and looks at
  /// neither. Null: not in memory.
  Frame* ask(PageRef ref, size_t bytes_ahead);

  /// The frame to change instead of `frame`: itself if it was born in this generation, else a copy
  /// at a new address (the old one is dropped). The caller stores the new ref in the parent, or as
  /// root. Never fails after a reserve() that counted it.
  Frame* writable(Frame* frame);
  /// A new zeroed page of this generation, dirty; the pager fills page_number and birth in its
  /// header. Never fails after a reserve() that counted it.
  Frame* allocate();
  /// The live tree no longer names this page. The frame must not be used afterwards.
  void drop(Frame* frame);

  /// Who asks for pages. Removals may use pages that updates may not: what they free comes back.
  /// The hook before a checkpoint may use the last ones, and the last of the log: it cannot wait
  /// for either, because only the checkpoint gives some back. Bitmaps of blocks have pages that are
  /// kept for them, and no record.
  enum class Use : uint8_t { update, removal, checkpoint, bitmap };
  /// Makes sure that the next `pages` calls of allocate() and writable() together succeed, until
  /// the next step. @error no_memory (the budget, or more than any step may change)
  /// @error no_space (no free pages on the meta blob)
  /// @error page_absent  waiting may help (a checkpoint frees pages, eviction frames, trimming
  /// frees
  ///                     log): Store::load_absent waits for it, then start again as after an absent
  ///                     page
  Result<void> reserve(size_t pages, Use use = Use::update);

  /// The live root; null: an empty tree.
  PageRef root() const;
  void set_root(PageRef root);

  /// Called on each page of kind leaf or branch after it was read and its header was checked; an
  /// error (checksum) makes the load fail. Set once by the tree.
  using Validator = Result<void> (*)(ByteView page);
  void set_validator(Validator validator);

  State& state() { return *state_; }
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace cairn::index
