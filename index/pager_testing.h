// A pager whose medium is memory: for tests and benches of what stands on the pager, without a
// store.
#pragma once

#include <memory>

#include "base/flat_map.h"

#include "index/pager.h"

namespace cairn::index {

/// `pages` free pages; everything stays in memory.
std::unique_ptr<Pager> make_memory_pager(size_t pages);

/// The same with a medium, so that pages can leave and come back.
class MemoryPager {
 public:
  /// `frames_limit`: the budget of frames, 0: as many as pages.
  explicit MemoryPager(size_t pages, size_t frames_limit = 0);
  Pager& pager() { return *pager_; }
  /// Loads the page that the last page_absent named. @error checksum, as the validator says
  Result<void> load_absent();
  /// Writes every dirty page and drops every unpinned frame.
  void evict_all();
  /// What a checkpoint does to the pager: everything so far is frozen, what was dropped before is
  /// free.
  void checkpoint();
  /// The bytes of a page on the medium, to damage them. Empty: never written.
  Bytes& medium(uint64_t page_number) { return medium_[page_number]; }

 private:
  void write_dirty();
  std::unique_ptr<Pager> pager_;
  FlatMap<uint64_t, Bytes> medium_;
};

}  // namespace cairn::index
