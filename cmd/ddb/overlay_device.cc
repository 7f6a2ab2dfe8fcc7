#include "cmd/ddb/overlay_device.h"

#include <cstring>

#include "base/check.h"

namespace cairn::ddb {

using media::kBlockBytes;

Task<Result<void>> OverlayDevice::read(uint64_t offset, ByteSpan into) {
  const uint64_t first = offset / kBlockBytes;
  CO_TRY(done, co_await below_.read(offset, into));
  for (auto it = blocks_.lower_bound(first);
       it != blocks_.end() && it->first * kBlockBytes < offset + into.size(); ++it) {
    const uint64_t at = it->first * kBlockBytes - offset;
    std::memcpy(into.data() + at, it->second.data(), kBlockBytes);
  }
  co_return Result<void>{};
}

Task<Result<void>> OverlayDevice::write(uint64_t offset, ByteView from) {
  CHECK(offset % kBlockBytes == 0);
  CHECK(from.size() % kBlockBytes == 0);
  if (offset > size_bytes() || from.size() > size_bytes() - offset) {
    co_return fail(Errc::io, "overlay: a write beyond the end");
  }
  for (size_t at = 0; at < from.size(); at += kBlockBytes) {
    const ByteView block = from.subspan(at, kBlockBytes);
    blocks_[(offset + at) / kBlockBytes].assign(block.begin(), block.end());
  }
  co_return Result<void>{};
}

Task<Result<void>> OverlayDevice::write_durable(uint64_t offset, ByteView from) {
  return write(offset, from);
}

Task<Result<void>> OverlayDevice::flush() { co_return Result<void>{}; }

Task<void> OverlayDevice::discard(uint64_t, uint64_t) { co_return; }

}  // namespace cairn::ddb
