// The descriptors of object I/O that client, wire and store share. They borrow keys and buffers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/errc.h"
#include "model/ids.h"

namespace cairn::model {

enum class ValueType : uint8_t { none = 0, single = 1, array = 2 };

/// A run of array records.
struct Recx {
  uint64_t index = 0;
  uint64_t count = 0;
  friend bool operator==(const Recx&, const Recx&) = default;
};
/// Mostly one, and then nothing is allocated.
using Recxs = SmallVector<Recx, 1>;

/// Conditional flags, the values of DAOS_COND_*.
namespace cond {
inline constexpr uint64_t kPunch = 0x1;
inline constexpr uint64_t kDkeyInsert = 0x2;
inline constexpr uint64_t kDkeyUpdate = 0x4;
inline constexpr uint64_t kDkeyFetch = 0x8;
inline constexpr uint64_t kAkeyInsert = 0x10;
inline constexpr uint64_t kAkeyUpdate = 0x20;
inline constexpr uint64_t kAkeyFetch = 0x40;
inline constexpr uint64_t kPerAkey = 0x80;  // akey conditions come from each Iod::flags
inline constexpr uint64_t kMask = 0xff;
/// No condition: of an update, that it is the last one of its object (CAIRN_COND_FINAL). Who does
/// not know it updates all the same.
inline constexpr uint64_t kFinal = uint64_t{1} << 48;
}  // namespace cond

/// One akey of an update or a fetch.
/// Update: `buffer` holds record_bytes * sum(recxs.count) bytes (single: record_bytes); more is
/// ignored.
///         record_bytes 0 punches the value or the extents.
/// Fetch:  `buffer` is the room for the result, packed in recx order; empty with `size_only`.
struct Iod {
  ByteView akey;
  ValueType type = ValueType::none;
  uint64_t record_bytes = 0;
  uint64_t flags = 0;
  Recxs recxs;  // array only; ascending or not, not overlapping
  IoVecs buffer;
  bool size_only = false;  // fetch: the caller has no buffer and wants sizes
  /// Update: the CRC32C of each 4 KiB of buffer[0] from its begin, as far as they are known. What
  /// they stand for must not change. Borrowed as the buffer is.
  std::span<const uint32_t> block_crcs;
};
// On the heap: it is handed from floor to floor, and that must be cheap.
using Iods = std::vector<Iod>;

/// What a fetch found for one akey.
struct FetchedIod {
  /// Single: the value's length. Array: bytes per record. 0: nothing there.
  uint64_t record_bytes = 0;
  /// Parts of the buffer that were filled: ascending, touching ones joined. Holes are left alone.
  struct Piece {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    friend bool operator==(const Piece&, const Piece&) = default;
  };
  using Pieces = SmallVector<Piece, 1>;
  Pieces pieces;
  /// Array: the visible extents inside the request, ascending per recx.
  Recxs extents;
};

/// The result of a fetch. `status` record_too_big: some buffer was too small, nothing was copied,
/// all record_bytes are right. nonexistent: a condition failed.
struct Fetched {
  Errc status = Errc::ok;
  Epoch epoch = 0;  // of a transactional fetch
  SmallVector<FetchedIod, 1> iods;
  /// CRC32C of all pieces one behind the other, where it is known without looking at them.
  std::optional<uint32_t> payload_crc;
};

/// What to enumerate and from where.
struct ListRequest {
  enum class What : uint8_t { dkeys, akeys, recxs };
  What what = What::dkeys;
  ByteView dkey;            // akeys, recxs
  ByteView akey;            // recxs
  uint32_t count_max = 0;   // keys or extents wanted, > 0
  uint64_t bytes_max = 0;   // room for key bytes
  Bytes position;           // of the previous reply; empty: from the start. <= kAnchorBytes
  bool descending = false;  // recxs only
  /// At a transaction's epoch: no answer where something newer was written.
  bool transactional = false;
};

/// Keys stand one behind the other in `keys`; `lengths` cuts them. If not even the first fits,
/// lengths = {its length}, keys is empty and `too_small` is set; the position has not moved.
struct Listed {
  Bytes keys;
  std::vector<uint64_t> lengths;
  Recxs recxs;
  std::vector<Epoch> epochs;  // of each recx
  uint64_t record_bytes = 0;  // recxs: bytes per record, 0 if nothing is there
  bool too_small = false;
  bool eof = false;
  Bytes position;
  Epoch epoch = 0;  // of a transactional listing
};

/// Greatest or smallest integer dkey, akey, extent (DAOS_GET_*).
struct QueryKeyRequest {
  bool max = true;  // else min
  bool want_dkey = false, want_akey = false, want_recx = false;
  uint64_t dkey = 0;  // if not wanted and the dkeys are integers
  uint64_t akey = 0;
  ByteView dkey_bytes;  // if not wanted and the keys are not integers
  ByteView akey_bytes;
  bool transactional = false;  // as ListRequest
};
struct QueriedKey {
  bool found = false;
  uint64_t dkey = 0, akey = 0;
  Recx recx;
  uint64_t record_bytes = 0;
  Epoch epoch = 0;  // of a transactional query
};

}  // namespace cairn::model
