// Messages and openings of libfabric connections as values. Byte maps: ofi_format.h. Pure.
#pragma once

#include "base/bytes.h"
#include "base/errc.h"
#include "base/result.h"
#include "fabric/ofi_format.h"

namespace cairn::fabric {

struct OfiHead {
  OfiKind kind = OfiKind::call;
  uint64_t connection = 0;
  uint64_t id = 0;
  uint32_t body_bytes = 0;
  uint32_t room_bytes = 0;
  uint64_t body_address = 0, body_key = 0;
  uint64_t room_address = 0, room_key = 0;
  uint32_t wait_ms = 0;
  friend bool operator==(const OfiHead&, const OfiHead&) = default;
};

inline constexpr size_t kOfiHeadBytes = sizeof(OfiHeadFormat);

/// Fills the first kOfiHeadBytes of `message`.
void put_ofi_head(Bytes& message, const OfiHead& head);
/// A message without a body.
Bytes encode_ofi_head(const OfiHead& head);
/// @error format_invalid  not a message of ours   @error checksum  it was damaged
Result<OfiHead> decode_ofi_head(ByteView message);

struct OfiOpen {
  Errc status = Errc::ok;
  bool ring = false;
  uint16_t provider = 0;  // index in kOfiProviders
  uint64_t connection = 0;
  Bytes name;
};

/// With `front_bytes` of room in front.
Bytes encode_ofi_open(const OfiOpen& open, size_t front_bytes);
/// @error format_invalid  not an opening   @error protocol  of another version
Result<OfiOpen> decode_ofi_open(ByteView bytes);

}  // namespace cairn::fabric
