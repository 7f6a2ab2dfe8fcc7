// A disk that has memory only for what was written, so that it can be of any size. For tests of
// this folder.
#pragma once

#include <array>
#include <cstring>
#include <map>

#include "base/check.h"
#include "media/device.h"
#include "runtime/reactor.h"

namespace cairn::index::testing {

class SparseDisk final : public media::Device {
 public:
  SparseDisk(Reactor& reactor, uint64_t bytes) : reactor_(reactor), bytes_(bytes) {}

  uint64_t size_bytes() const override { return bytes_; }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    co_await reactor_.yield();
    ++reads;
    const bool bad = bad_offset >= offset && bad_offset < offset + into.size();
    if (bad || offset + into.size() > bytes_) co_return fail(Errc::io, "sparse disk: read");
    for (size_t at = 0; at < into.size(); at += media::kBlockBytes) {
      const auto found = blocks_.find((offset + at) / media::kBlockBytes);
      if (found == blocks_.end()) {
        std::memset(into.data() + at, 0, media::kBlockBytes);
      } else {
        std::memcpy(into.data() + at, found->second.data(), media::kBlockBytes);
      }
    }
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    co_await reactor_.yield();
    if (offset + from.size() > bytes_) co_return fail(Errc::io, "sparse disk: write");
    const bool mended = bad_offset >= offset && bad_offset < offset + from.size();
    if (mended) bad_offset = UINT64_MAX;
    for (size_t at = 0; at < from.size(); at += media::kBlockBytes) {
      std::memcpy(blocks_[(offset + at) / media::kBlockBytes].data(), from.data() + at,
                  media::kBlockBytes);
    }
    co_return Result<void>{};
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    co_return co_await write(offset, from);
  }
  Task<Result<void>> flush() override {
    co_await reactor_.yield();
    co_return Result<void>{};
  }
  Task<void> discard(uint64_t, uint64_t) override { co_return; }

  void flip_bit(uint64_t offset) {
    blocks_[offset / media::kBlockBytes][offset % media::kBlockBytes] ^= std::byte{1};
  }
  /// Of memory, about.
  uint64_t memory_bytes() const { return blocks_.size() * (media::kBlockBytes + 64); }

  uint64_t reads = 0;
  uint64_t bad_offset = UINT64_MAX;  // cannot be read until it is written

 private:
  Reactor& reactor_;
  uint64_t bytes_;
  std::map<uint64_t, std::array<std::byte, media::kBlockBytes>> blocks_;
};

}  // namespace cairn::index::testing
