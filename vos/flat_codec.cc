#include "vos/flat_codec.h"

#include <zstd.h>

#include "base/check.h"

namespace cairn::vos {

namespace {

/// Why this one: docs/decisions/0019-compressed-buffers.md.
constexpr int kLevel = 3;

std::unexpected<Error> damaged() {
  return fail(Errc::checksum, "flat: compressed bytes restore to something else than they say");
}

}  // namespace

FlatCodec::FlatCodec() noexcept = default;
FlatCodec::~FlatCodec() = default;
FlatCodec::FlatCodec(FlatCodec&&) noexcept = default;
FlatCodec& FlatCodec::operator=(FlatCodec&&) noexcept = default;

void FlatCodec::Free::operator()(ZSTD_CCtx_s* context) const noexcept { ZSTD_freeCCtx(context); }
void FlatCodec::Free::operator()(ZSTD_DCtx_s* context) const noexcept { ZSTD_freeDCtx(context); }

Bytes FlatCodec::compress(ByteView buffer) {
  CHECK(buffer.size() > sizeof(FlatHeader) && buffer.size() <= kFlatObjectBytesMax);
  if (!compressing_) {
    compressing_.reset(ZSTD_createCCtx());
    CHECK(compressing_ != nullptr);  // out of memory
  }
  const ByteView rest = buffer.subspan(sizeof(FlatHeader));
  constexpr size_t kBegin = sizeof(FlatPackedHeader);
  Bytes out(kBegin + ZSTD_compressBound(rest.size()));
  const size_t made = ZSTD_compressCCtx(compressing_.get(), out.data() + kBegin,
                                        out.size() - kBegin, rest.data(), rest.size(), kLevel);
  CHECK(ZSTD_isError(made) == 0);  // there is room for whatever comes
  out.resize(kBegin + made);
  if (round_up(out.size(), kFlatAlign) >= round_up(buffer.size(), kFlatAlign)) return {};
  finish_packed_flat(out, buffer);
  return out;
}

Result<Bytes> FlatCodec::restore(Bytes stored) {
  TRY(identity, identify_flat(stored));
  if (!identity.compressed) return stored;
  TRY(header, check_packed_flat(stored));
  const ByteView frame = ByteView(stored).subspan(sizeof(FlatPackedHeader));
  const size_t wanted = header.original.get() - sizeof(FlatHeader);
  // One whole frame that says what it holds: a reader of older forms of zstd is not asked.
  if (frame.size() < 4 || load_le32(frame.data()) != ZSTD_MAGICNUMBER ||
      ZSTD_getFrameContentSize(frame.data(), frame.size()) != wanted ||
      ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) {
    return damaged();
  }
  if (!restoring_) {
    restoring_.reset(ZSTD_createDCtx());
    CHECK(restoring_ != nullptr);  // out of memory
  }
  Bytes out(header.original.get());
  const size_t made = ZSTD_decompressDCtx(restoring_.get(), out.data() + sizeof(FlatHeader), wanted,
                                          frame.data(), frame.size());
  if (ZSTD_isError(made) != 0 || made != wanted) return damaged();
  FlatHeader raw = header.flat;
  raw.flags = 0;
  raw.length = header.original;
  raw.checksum = header.original_checksum;
  std::memcpy(out.data(), &raw, sizeof(raw));
  return out;
}

}  // namespace cairn::vos
