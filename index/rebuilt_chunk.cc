#include "index/rebuilt_chunk.h"

#include "base/check.h"
#include "base/endian.h"
#include "index/superblock_format.h"
#include "media/bits.h"

namespace cairn::index {

RebuiltChunk::RebuiltChunk(uint64_t number)
    : number_(number),
      owned_(kChunkBits / media::kWordBits),
      changed_(kChunkBits / media::kWordBits) {}

void RebuiltChunk::note(uint32_t begin, uint32_t end) {
  CHECK(end <= kChunkBits);
  for (uint64_t w = begin / media::kWordBits; w * media::kWordBits < end; ++w) {
    owned_[w] |= media::word_mask(w, begin, end) & ~changed_[w];
  }
}

void RebuiltChunk::change(uint32_t begin, uint32_t end, bool owned) {
  CHECK(end <= kChunkBits);
  media::set_bits(changed_, begin, end, true);
  media::set_bits(owned_, begin, end, owned);
}

uint64_t RebuiltChunk::count_owned(uint32_t begin, uint32_t end) const {
  return media::count_bits(owned_, begin, end);
}

void RebuiltChunk::save(std::byte* bits) const {
  for (size_t w = 0; w < owned_.size(); ++w) store_le64(bits + w * sizeof(uint64_t), owned_[w]);
}

}  // namespace cairn::index
