// The blocks that a record of a shard owns, whatever its kind: for the offline check, and for the
// store to make lost bitmaps anew. Plain calls.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "media/space.h"

namespace cairn::vos {

/// @error checksum  not a record of ours
Result<std::vector<media::Extent>> claims_of(ByteView key, ByteView value);

}  // namespace cairn::vos
