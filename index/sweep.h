// Sweep: a walk in key order over the pages of the newest durable root, as they stand on the
// medium. It reads into buffers of its own, so it proves the medium and pushes nothing out of the
// page cache. Updates and checkpoints may go on: no page that a durable root reaches is changed
// before the next superblock is durable, and when that happened the sweep goes on from the same key
// under the new root. Changes that are only in the log and in memory are not seen.
// Home: the shard's reactor. The store outlives it.
#pragma once

#include <memory>
#include <optional>

#include "index/node.h"
#include "index/store.h"

namespace cairn::index {

class Sweep {
 public:
  explicit Sweep(std::shared_ptr<StoreCore> core);
  Sweep(Sweep&&) noexcept;
  Sweep& operator=(Sweep&&) = delete;
  ~Sweep();

  struct Visit {
    PageRef ref;
    uint32_t level = 0;
    uint64_t newest_said = 0;    // the newest stamp below it, as its parent says
    Bytes low, high;             // what it is for: low <= key < high; high empty: to the end. What
                                 // lies below `low` was seen before
    const char* lost = nullptr;  // why nothing below it can be read; null: the page is whole
    bool moved = false;          // the root is another one than at the visit before
  };
  /// The next page: a branch stands before its children. Nullopt: the end.
  Task<std::optional<Visit>> next();
  /// The page of the last visit, if it is whole; borrowed until next().
  Node node() const;
  /// Before next(): do not go into the last visit's children.
  void skip_children();

  /// The value of a key in the durable root, past the cache.
  /// @error checksum, io  a page on the way is damaged
  Task<Result<std::optional<Bytes>>> get(Bytes key);

  /// What is wrong with the superblock and the bitmap pages on the medium; a line each.
  Task<std::vector<std::string>> check_fixed_pages();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::index
