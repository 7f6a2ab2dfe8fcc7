// Keys of a shard's tree as people and scripts read them: what `cairn check --losses`, `cairn
// scrub` and `ddb` print. A key that is cut short anywhere, as the border between two pages may be,
// is told as far as it goes. Plain functions.
//
//   path   /CONTAINER/HI.LO.SHARD/DKEY/AKEY    levels of a key, as `ddb` takes them
//   DKEY   integer keys in decimal; others as they are, with / \ { } [ ] behind a \, if they are
//          text, else {bin:0xHEX}; of a long one its first 64 bytes and {hash:0xHEX}
#pragma once

#include <optional>
#include <string>

#include "vos/key_format.h"

namespace cairn::vos {

/// "live", "pending", "history", "markers", "sessions", "snapshots", or "range N".
std::string range_text(Range range);
/// "name", "present", "single", "extent", "checksums", "touched", or "kind N".
std::string kind_text(Kind kind);
/// "HI.LO.SHARD".
std::string object_text(model::ObjectId oid, uint64_t shard);
/// A whole key of a level, as given by a caller or as a long one's component.
std::string level_text(model::KeyKind kind, ByteView key);
std::string hex_text(ByteView bytes);

struct KeyText {
  std::optional<uint32_t> container;
  std::string range;               // empty: the key ends before it
  std::string object, dkey, akey;  // empty: the key ends before it, or is of a level above
  std::string record;              // kind and position, if the key goes so far
  bool cut = false;                // the last level that is named is not whole

  /// "/1/281474976710656.2.0/dkey/akey"; with " extent ..20" where a record is named, a * where it
  /// is cut, and the range in front unless it is live.
  std::string text() const;
};
KeyText key_text(ByteView key);

/// "from X up to Y" for keys low <= key < high; high empty: to the end.
std::string key_range_text(ByteView low, ByteView high);

}  // namespace cairn::vos
