// WriteBehind: data that the log has made durable and that is not in its blocks yet
// (docs/decisions/0010-data-in-the-log.md). It is copied here, read from here, and written many
// blocks at once. Internal to index/. Home: the shard's reactor.
// Invariants: what is written is written in order of arrival, one bufferful at a time, so that of
// two copies of a block the newer one comes last. Memory: two buffers.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/flat_map.h"
#include "media/device.h"
#include "media/space.h"
#include "runtime/reactor.h"

namespace cairn::index {

class WriteBehind {
 public:
  /// @param blocks_max  of one buffer
  WriteBehind(Reactor& reactor, size_t blocks_max) : blocks_max_(blocks_max), moved_(reactor) {}

  /// Blocks in the order in which they came.
  struct Buffer {
    media::AlignedBuffer bytes;
    std::vector<uint64_t> blocks;
    const std::byte* at(size_t i) const { return bytes.data() + i * media::kBlockBytes; }
  };

  /// No block waits.
  bool empty() const { return newest_.empty(); }
  /// Nor is one being written.
  bool idle() const { return empty() && !writing(); }
  bool has_room(size_t blocks) const {
    return (filling_ ? filling_->blocks.size() : 0) + blocks <= blocks_max_;
  }
  bool full() const { return !has_room(1); }
  /// One whole block, copied. Precondition: has_room(1).
  void put(uint64_t block, const std::byte* bytes);
  /// What a block will hold; null: what it holds on the medium. Borrowed for the step.
  const std::byte* find(uint64_t block) const;
  /// Somebody writes the blocks himself: what waits for them is of former owners.
  void forget(media::Extent extent);

  /// What has come so far is to be written now. Precondition: nothing is being written.
  Buffer& begin();
  /// Is the copy of the buffer's block number `i` the newest?
  bool is_newest(const Buffer& buffer, size_t i) const {
    return find(buffer.blocks[i]) == buffer.at(i);
  }
  /// @param written  else they stay readable from here, and nothing may come any more
  void end(bool written);
  bool writing() const { return writing_ != nullptr; }
  /// A copy of one of the blocks is being written.
  bool writes(media::Extent extent) const;
  /// A buffer has been written.
  WaitList& moved() { return moved_; }

 private:
  const size_t blocks_max_;
  WaitList moved_;
  std::unique_ptr<Buffer> filling_, writing_, spare_;
  FlatMap<uint64_t, const std::byte*> newest_;  // by block: in one of the two
};

}  // namespace cairn::index
