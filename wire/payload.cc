#include "wire/payload.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "wire/limits.h"

namespace cairn::wire {

namespace {

/// Copied and summed while it is in the cache.
constexpr size_t kPartBytes = 16u << 10;

/// Calls `touch(data, bytes)` for each contiguous part of [offset, offset + bytes) of a buffer.
template <class Touch>
void for_parts(const IoVecs& buffer, model::FetchedIod::Piece piece, Touch touch) {
  uint64_t begin = 0;
  for (const IoVec& vec : buffer) {
    if (piece.bytes == 0) return;
    if (piece.offset < begin + vec.bytes) {
      const uint64_t skip = piece.offset - begin;
      const uint64_t bytes = std::min<uint64_t>(piece.bytes, vec.bytes - skip);
      touch(vec.data + skip, bytes);
      piece.offset += bytes;
      piece.bytes -= bytes;
    }
    begin += vec.bytes;
  }
  CHECK(piece.bytes == 0);
}

}  // namespace

uint64_t buffer_bytes(const model::Iod& iod) {
  uint64_t bytes = 0;
  for (const IoVec& vec : iod.buffer) {
    if (__builtin_add_overflow(bytes, vec.bytes, &bytes)) return ~uint64_t{0};
  }
  return bytes;
}

uint64_t payload_bytes(const model::Iod& iod) {
  const uint64_t room = buffer_bytes(iod);
  uint64_t records = iod.type == model::ValueType::array ? 0 : 1;
  if (iod.type == model::ValueType::array) {
    for (const model::Recx& recx : iod.recxs) {
      if (__builtin_add_overflow(records, recx.count, &records)) return room;
    }
  }
  uint64_t needed = 0;
  if (__builtin_mul_overflow(records, iod.record_bytes, &needed)) return room;
  return std::min(needed, room);
}

PayloadOut::PayloadOut(Bytes& out, Buffer* apart, uint64_t bytes) : out_(out), apart_(apart) {
  if (apart_ != nullptr) *apart_ = Buffer::uninitialised(bytes >= kLargeBulkMin ? bytes : 0);
  if (apart_ != nullptr && apart_->empty()) apart_ = nullptr;
  if (apart_ == nullptr) out_.reserve(out_.size() + bytes);
}

void PayloadOut::put(ByteView bytes) {
  if (apart_ == nullptr) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    return;
  }
  CHECK(bytes.size() <= apart_->size() - put_);
  while (!bytes.empty()) {
    const ByteView part = bytes.first(std::min(bytes.size(), kPartBytes));
    std::byte* const into = apart_->data() + std::exchange(put_, put_ + part.size());
    std::memcpy(into, part.data(), part.size());
    checksum_ = crc32c({into, part.size()}, checksum_);
    bytes = bytes.subspan(part.size());
  }
}

void put_payload(PayloadOut& out, const model::Iod& iod, const Pieces& pieces) {
  for (const auto& piece : pieces) {
    for_parts(iod.buffer, piece,
              [&out](const std::byte* data, uint64_t bytes) { out.put({data, bytes}); });
  }
}

uint32_t spread_payload(ByteView bytes, const model::Iod& iod, const Pieces& pieces,
                        uint32_t seed) {
  uint32_t crc = seed;
  for (const auto& piece : pieces) {
    for_parts(iod.buffer, piece, [&bytes, &crc](std::byte* data, uint64_t count) {
      while (count != 0) {
        const ByteView part = bytes.first(std::min<uint64_t>(count, kPartBytes));
        crc = crc32c(part, crc);
        std::memcpy(data, part.data(), part.size());
        bytes = bytes.subspan(part.size());
        data += part.size();
        count -= part.size();
      }
    });
  }
  CHECK(bytes.empty());
  return crc;
}

}  // namespace cairn::wire
