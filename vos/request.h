// What updates and fetches check about a request before they look at anything. Internal to vos/.
#pragma once

#include "base/result.h"
#include "vos/key_format.h"
#include "vos/plan.h"

namespace cairn::vos {

struct KeptRecx {
  Span span;
  uint64_t offset = 0;   // of its first byte in the buffer
};

/// An iod with its ranges checked.
struct CheckedIod {
  CheckedIod() {}  // NOLINT: see Key
  const model::Iod* iod = nullptr;
  Key akey_prefix;
  SmallVector<KeptRecx, 1> recxs;  // in the caller's order, empty ones left out; array only
  SmallVector<Span, 1> spans;      // ascending
  uint64_t record_count = 0;
};

struct CheckedRequest {
  Key dkey_prefix;
  SmallVector<CheckedIod, 1> iods;
};

/// @error invalid   no dkey, malformed ranges, ranges that overlap, wrong key length
/// @error key_too_big
/// @param checked  as new; filled in place, where it stays
Result<void> check_request(const KeyPath& path, ByteView dkey, const model::Iods& iods,
                           CheckedRequest& checked);

}  // namespace cairn::vos
