#include "media/wal_format.h"

#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"

namespace cairn::media {
namespace {

constexpr size_t kChecksumAt = offsetof(WalHeader, checksum);

uint32_t checksum_of(ByteView bytes) {
  WalChecksum checksum;
  checksum.add(bytes);
  return checksum.value();
}

Result<void> split_records(ByteView bytes, WalWrite& write) {
  const uint32_t used = write.header.used.get();
  const uint64_t position = write.header.position.get();
  const uint32_t count = write.header.record_count.get();
  if (count > (used - sizeof(WalHeader)) / kWalRecordHeaderBytes) {
    return fail(Errc::checksum, "wal: a log write claims more records than it has room for");
  }
  write.records.reserve(count);
  write.lsns.reserve(count);
  size_t at = sizeof(WalHeader);
  for (uint32_t i = 0; i < count; ++i) {
    if (used - at < kWalRecordHeaderBytes) {
      return fail(Errc::checksum, "wal: a log write ends inside a record");
    }
    const uint32_t length = load_le32(bytes.data() + at);
    at += kWalRecordHeaderBytes;
    if (used - at < length) return fail(Errc::checksum, "wal: a record leaves its log write");
    write.records.push_back(bytes.subspan(at, length));
    at += length;
    write.lsns.push_back(position + at);
  }
  if (at != used) return fail(Errc::checksum, "wal: a log write holds bytes beyond its records");
  return {};
}

}  // namespace

void WalChecksum::add(ByteView piece) {
  if (begun_) {
    crc_ = crc32c(piece, crc_);
    return;
  }
  static constexpr std::byte kZero[4] = {};
  CHECK(piece.size() >= sizeof(WalHeader));
  begun_ = true;
  crc_ = crc32c(piece.first(kChecksumAt));
  crc_ = crc32c(piece.subspan(kChecksumAt + 4), crc32c(kZero, crc_));
}

WalHeader peek_wal_header(ByteView block) {
  CHECK(block.size() >= sizeof(WalHeader));
  WalHeader header;
  std::memcpy(&header, block.data(), sizeof header);
  return header;
}

uint64_t wal_claimed_bytes(ByteView block, uint64_t ring_bytes) {
  if (block.size() < sizeof(WalHeader)) return 0;
  const WalHeader header = peek_wal_header(block);
  if (header.magic.get() != kWalMagic) return 0;
  const uint64_t bytes = header.bytes.get();
  if (bytes == 0 || bytes % kWalBlockBytes != 0 || bytes > ring_bytes) return 0;
  return bytes;
}

Result<WalWrite> parse_wal_write(ByteView bytes) {
  if (bytes.size() < kWalBlockBytes || wal_claimed_bytes(bytes, bytes.size()) != bytes.size()) {
    return fail(Errc::again, "wal: no log write starts here");
  }
  WalWrite write{peek_wal_header(bytes), {}, {}};
  const WalHeader& header = write.header;
  if (checksum_of(bytes) != header.checksum.get()) {
    return fail(Errc::again, "wal: a log write is torn");
  }
  if (header.version.get() > kWalVersion) {
    return fail(Errc::format_newer, "wal: the log was written by a newer version; upgrade");
  }
  const uint64_t used = header.used.get();
  const bool sizes_fit =
      used >= sizeof(WalHeader) && used <= bytes.size() && bytes.size() - used < kWalBlockBytes;
  const bool places_fit = header.position.get() % kWalBlockBytes == 0 &&
                          header.complete.get() <= header.position.get() &&
                          header.position.get() <= ~uint64_t{0} - bytes.size();
  const bool reserved_zero = header.reserved.get() == 0 && header.reserved2.get() == 0;
  if (header.version.get() != kWalVersion || !sizes_fit || !places_fit || !reserved_zero) {
    return fail(Errc::checksum, "wal: a log write breaks the rules of its format");
  }
  TRY(split, split_records(bytes, write));
  return write;
}

uint32_t seal_wal_write(ByteSpan bytes) {
  CHECK(bytes.size() >= kWalBlockBytes);
  const uint32_t checksum = checksum_of(bytes);
  store_le32(bytes.data() + kChecksumAt, checksum);
  return checksum;
}

}  // namespace cairn::media
