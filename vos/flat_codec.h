// The stored form of a flattened object's buffer: as it is, or compressed (docs/formats/flat.md).
// Each buffer is compressed by itself, so that one read of exactly its blocks still answers, and
// those who copy or count stored buffers need not restore them. Internal to vos/. Home: the shard's
// reactor. Plain calls: a buffer is at most kFlatObjectBytesMax.
#pragma once

#include <memory>

#include "vos/flat_format.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace cairn::vos {

/// Keeps what zstd works with between calls; made at the first one.
class FlatCodec {
 public:
  FlatCodec() noexcept;
  ~FlatCodec();
  FlatCodec(FlatCodec&&) noexcept;
  FlatCodec& operator=(FlatCodec&&) noexcept;

  /// The compressed form of a buffer as encode_flat() makes it. Empty: it would not take less room.
  Bytes compress(ByteView buffer);
  /// The buffer of a stored form, not parsed; one that is not compressed is returned as it is.
  /// Allocates at most kFlatObjectBytesMax, whatever the bytes say.
  /// @error checksum  of a compressed one: its stored bytes are damaged, or restore to something
  /// else than they say   @error format_newer
  Result<Bytes> restore(Bytes stored);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const noexcept;
    void operator()(ZSTD_DCtx_s* context) const noexcept;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> compressing_;
  std::unique_ptr<ZSTD_DCtx_s, Free> restoring_;
};

/// What compressing some buffers would save.
struct FlatSaving {
  uint64_t raw = 0, stored = 0;  // room that they take, bytes
  /// @param compressed  empty: it stays as it is
  void add(ByteView buffer, ByteView compressed) {
    raw += round_up(buffer.size(), kFlatAlign);
    stored += round_up(compressed.empty() ? buffer.size() : compressed.size(), kFlatAlign);
  }
  /// At least an eighth: less is not worth restoring them at every cold read.
  bool pays() const { return 8 * (raw - stored) >= raw; }
};

}  // namespace cairn::vos
