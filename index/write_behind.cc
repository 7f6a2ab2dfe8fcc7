#include "index/write_behind.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace cairn::index {
namespace {

bool holds(const media::Extent& extent, uint64_t block) {
  return block >= extent.block && block - extent.block < extent.count;
}

}  // namespace

void WriteBehind::put(uint64_t block, const std::byte* bytes) {
  CHECK(has_room(1));
  if (!filling_) filling_ = std::move(spare_);
  if (!filling_) {
    filling_ = std::make_unique<Buffer>();
    filling_->bytes = media::AlignedBuffer(blocks_max_ * media::kBlockBytes);
    filling_->blocks.reserve(blocks_max_);
  }
  const size_t i = filling_->blocks.size();
  std::byte* const into = filling_->bytes.data() + i * media::kBlockBytes;
  std::memcpy(into, bytes, media::kBlockBytes);
  filling_->blocks.push_back(block);
  newest_[block] = into;
}

const std::byte* WriteBehind::find(uint64_t block) const {
  const auto found = newest_.find(block);
  return found == newest_.end() ? nullptr : found->second;
}

void WriteBehind::forget(media::Extent extent) {
  for (uint32_t i = 0; i < extent.count && !newest_.empty(); ++i) newest_.erase(extent.block + i);
}

WriteBehind::Buffer& WriteBehind::begin() {
  CHECK(!writing_);
  CHECK(filling_ != nullptr);
  writing_ = std::move(filling_);
  return *writing_;
}

void WriteBehind::end(bool written) {
  CHECK(writing_ != nullptr);
  for (size_t i = 0; written && i < writing_->blocks.size(); ++i) {
    if (is_newest(*writing_, i)) newest_.erase(writing_->blocks[i]);
  }
  writing_->blocks.clear();
  spare_ = std::move(writing_);
  moved_.wake_all();
}

bool WriteBehind::writes(media::Extent extent) const {
  return writing_ && std::ranges::any_of(writing_->blocks, [&extent](uint64_t block) {
           return holds(extent, block);
         });
}

}  // namespace cairn::index
