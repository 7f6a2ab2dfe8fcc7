// Batch: the changes of one local transaction to the tree and to the space of a store. It is what
// the log holds and what replay applies again.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "media/space.h"

namespace cairn::index {

/// Limits of one record, related to the page size in index/page_format.h.
inline constexpr size_t kKeyBytesMax = 1280;
inline constexpr size_t kValueBytesMax = 6 * 1024;

/// Every value starts with an 8-byte little-endian stamp (the epoch, for vos), so that the newest
/// stamp of a key range costs one descent.
inline constexpr size_t kStampBytes = 8;

/// Data that lies beside the log record; replay proves it by `digest` (store.md rule 10), or writes
/// it again where the record carries it, too (docs/decisions/0010-data-in-the-log.md).
struct BatchData {
  media::Extent extent;
  // CRC32C over the little-endian CRC32Cs of each whole 4 KiB block of the extent, in order; the
  // zeros that fill the last block count.
  uint32_t digest = 0;
  // All bytes of the extent, borrowed, where the record may carry them (its DataWrite then has them
  // in one piece); of a record that was read: where it does. Else empty.
  ByteView payload{};
};

/// Changes in the order they are applied. Owns its bytes.
class Batch {
 public:
  struct Op {
    enum class Kind : uint8_t { put = 0, erase = 1, move = 2 };
    Kind kind = Kind::put;
    uint32_t key_begin = 0, key_bytes = 0;      // move: of the source
    uint32_t value_begin = 0, value_bytes = 0;  // move: of the target, a key
  };

  /// Inserts or replaces. Key 1..kKeyBytesMax, value kStampBytes..kValueBytesMax (checked by
  /// CHECK).
  void put(ByteView key, ByteView value);
  /// Removes; absent is fine. Where a later op puts the key again with a smaller value, its page
  /// may be merged with a neighbour as after a removal.
  void erase(ByteView key);
  /// One change of another batch.
  void add(const Batch& from, const Op& op);
  /// All that another batch does, behind what this one does.
  void add(const Batch& from);
  /// The record at `from` as it was before this batch takes the key `to`, replacing what stands
  /// there; the log holds only the two keys. No op before this one may change `from`, and it must
  /// exist: Tree::prepare() refuses the batch otherwise. The keys differ (CHECK). A later op may
  /// put `from` again.
  void move(ByteView from, ByteView to);
  /// A reserved extent becomes owned, with its data beside this record.
  void publish(const BatchData& data) { data_.push_back(data); }
  /// An owned extent becomes free.
  void free(media::Extent extent) { freed_.push_back(extent); }

  /// Leaves that its insertions are on are filled up with records of their neighbours, at most so
  /// many as Tree::fills_max() says: for what is written once. Not in the log: after a replay they
  /// are as full as ever.
  void fill_leaves() { fills_leaves_ = true; }
  bool fills_leaves() const { return fills_leaves_; }

  /// Data number `i` is `payload`, borrowed.
  void set_payload(size_t i, ByteView payload) { data_[i].payload = payload; }

  bool empty() const { return ops_.empty() && data_.empty() && freed_.empty(); }
  /// Its memory stays, for the next changes.
  void clear();
  /// Memory that it holds, whether in use or not.
  size_t room_bytes() const {
    return arena_.capacity() + ops_.capacity() * sizeof(Op) + data_.capacity() * sizeof(BatchData) +
           freed_.capacity() * sizeof(media::Extent);
  }
  size_t op_count() const { return ops_.size(); }
  size_t move_count() const { return move_count_; }
  const std::vector<Op>& ops() const { return ops_; }
  ByteView key(const Op& op) const { return ByteView(arena_).subspan(op.key_begin, op.key_bytes); }
  /// Of a put, or a move's target key; empty for an erase.
  ByteView value(const Op& op) const {
    return ByteView(arena_).subspan(op.value_begin, op.value_bytes);
  }
  const std::vector<BatchData>& data() const { return data_; }
  /// The most that its record takes in the log, without payloads.
  size_t record_bytes() const {
    constexpr size_t kPerOp = 32, kPerExtent = 24, kHead = 64;
    return kHead + arena_.size() + kPerOp * ops_.size() +
           kPerExtent * (data_.size() + freed_.size());
  }
  const std::vector<media::Extent>& freed() const { return freed_; }

 private:
  Op& add(Op::Kind kind, ByteView key, ByteView value);

  Bytes arena_;
  std::vector<Op> ops_;
  size_t move_count_ = 0;
  std::vector<BatchData> data_;
  std::vector<media::Extent> freed_;
  bool fills_leaves_ = false;
};

/// What a log record says besides its changes.
struct RecordHeader {
  uint64_t session = 0;  // who asked (0: internal); with `sequence`, rule 13's key
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  uint16_t minor_epoch = 0;
  uint16_t kind = 0;  // the owner's; opaque here
};

}  // namespace cairn::index
