// What updates and fetches check about a request before they look at anything. Internal to vos/.
#pragma once

#include <vector>

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
  const model::Iod* iod = nullptr;
  Key akey_prefix;
  std::vector<KeptRecx> recxs;     // in the caller's order, empty ones left out; array only
  std::vector<Span> spans;         // ascending
  uint64_t record_count = 0;
};

struct CheckedRequest {
  Key dkey_prefix;
  std::vector<CheckedIod> iods;
};

/// @error invalid   no dkey, malformed ranges, ranges that overlap, wrong key length
/// @error key_too_big
Result<CheckedRequest> check_request(const KeyPath& path, ByteView dkey,
                                     const std::vector<model::Iod>& iods);

}  // namespace cairn::vos
