#include "index/superblock_format.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"
#include "index/pager_state.h"

namespace cairn::index {
namespace {

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

uint64_t bytes_for(uint64_t chunk_refs) {
  return round_up(sizeof(SuperblockHeader) + chunk_refs * sizeof(uint64_t), kSuperblockUnit);
}

std::vector<PageRef> take_refs(const std::byte* at, uint32_t count) {
  std::vector<PageRef> refs(count);
  for (uint32_t i = 0; i < count; ++i) refs[i].word = load_le64(at + i * sizeof(uint64_t));
  return refs;
}

bool bytes_fit(const SuperblockHeader& header) {
  const uint64_t page_chunks = header.page_chunk_count.get();
  const uint64_t data_refs = header.data_ref_count.get();
  if (page_chunks + data_refs > kChunkRefsMax) return false;
  if (header.bytes.get() != bytes_for(page_chunks + data_refs)) return false;
  if (header.meta_pages.get() <= 2 * kEdgePages) return false;
  const uint64_t blocks = header.data_blocks.get();
  const bool directories = header.version.get() != kVersionWithoutDirectories;
  // What is near 2^64 must not wrap.
  return page_chunks == chunk_count(header.meta_pages.get() - kEdgePages) &&
         blocks <= UINT64_MAX / 2 &&
         data_refs == (directories ? directory_ref_count(blocks) : chunk_count(blocks));
}

Result<Superblock> read_fields(const SuperblockHeader& header, ByteView bytes) {
  if (header.page_bytes.get() != kPageBytes || header.chunk_bytes.get() != kChunkBytes ||
      header.reserved.get() != 0 || !bytes_fit(header)) {
    return fail(Errc::format_invalid, "superblock: its fields contradict each other");
  }
  Superblock s;
  s.version = header.version.get();
  s.generation = header.generation.get();
  s.incarnation = header.incarnation.get();
  for (int i = 0; i < 2; ++i) s.store_id[i] = header.store_id[i].get();
  for (int i = 0; i < 2; ++i) s.owner_tag[i] = header.owner_tag[i].get();
  s.meta_pages = header.meta_pages.get();
  s.data_blocks = header.data_blocks.get();
  s.wal_bytes = header.wal_bytes.get();
  s.root.word = header.root.get();
  s.log_position = header.log_position.get();
  s.log_predecessor = header.log_predecessor.get();
  s.epoch_highest = header.epoch_highest.get();
  s.read_lease = header.read_lease.get();
  const std::byte* refs = bytes.data() + sizeof header;
  s.page_chunks = take_refs(refs, header.page_chunk_count.get());
  refs += s.page_chunks.size() * sizeof(uint64_t);
  auto& data_refs = s.version == kVersionWithoutDirectories ? s.data_chunks : s.data_directories;
  data_refs = take_refs(refs, header.data_ref_count.get());
  refs += data_refs.size() * sizeof(uint64_t);
  if (!all_zero({refs, bytes.data() + bytes.size()})) {
    return fail(Errc::format_invalid, "superblock: padding is not zero");
  }
  return s;
}

}  // namespace

Bytes encode_superblock(const Superblock& s) {
  const auto& data_refs =
      s.version == kVersionWithoutDirectories ? s.data_chunks : s.data_directories;
  const size_t refs = s.page_chunks.size() + data_refs.size();
  CHECK(refs <= kChunkRefsMax);
  Bytes out(bytes_for(refs));
  SuperblockHeader header{};
  header.magic = kSuperblockMagic;
  header.version = s.version;
  header.bytes = static_cast<uint32_t>(out.size());
  header.generation = s.generation;
  header.incarnation = s.incarnation;
  for (int i = 0; i < 2; ++i) header.store_id[i] = s.store_id[i];
  for (int i = 0; i < 2; ++i) header.owner_tag[i] = s.owner_tag[i];
  header.page_bytes = kPageBytes;
  header.chunk_bytes = kChunkBytes;
  header.meta_pages = s.meta_pages;
  header.data_blocks = s.data_blocks;
  header.wal_bytes = s.wal_bytes;
  header.root = s.root.word;
  header.log_position = s.log_position;
  header.log_predecessor = s.log_predecessor;
  header.epoch_highest = s.epoch_highest;
  header.read_lease = s.read_lease;
  header.page_chunk_count = static_cast<uint32_t>(s.page_chunks.size());
  header.data_ref_count = static_cast<uint32_t>(data_refs.size());
  DCHECK(bytes_fit(header));
  std::memcpy(out.data(), &header, sizeof header);
  std::byte* at = out.data() + sizeof header;
  for (const auto* list : {&s.page_chunks, &data_refs}) {
    for (const PageRef ref : *list) {
      store_le64(at, ref.word);
      at += sizeof(uint64_t);
    }
  }
  store_le64(out.data() + offsetof(SuperblockHeader, checksum), xxh3_64(out));
  return out;
}

Result<Superblock> parse_superblock(ByteView slot) {
  SuperblockHeader header;
  CHECK(slot.size() >= sizeof header);
  std::memcpy(&header, slot.data(), sizeof header);
  if (header.magic.get() != kSuperblockMagic) {
    if (all_zero(slot.first(kSuperblockUnit))) {
      return fail(Errc::nonexistent, "superblock: nothing was written here");
    }
    return fail(Errc::format_invalid, "superblock: not a store of ours");
  }
  const uint64_t bytes = header.bytes.get();
  if (bytes < kSuperblockUnit || bytes > slot.size() || bytes % kSuperblockUnit != 0) {
    return fail(Errc::checksum, "superblock: torn or damaged");
  }
  Bytes whole(slot.begin(), slot.begin() + static_cast<ptrdiff_t>(bytes));
  store_le64(whole.data() + offsetof(SuperblockHeader, checksum), 0);
  if (xxh3_64(whole) != header.checksum.get()) {
    return fail(Errc::checksum, "superblock: torn or damaged");
  }
  if (header.version.get() > kSuperblockVersion) {
    return fail(Errc::format_newer, "superblock: written by a newer version; upgrade this program");
  }
  if (header.version.get() < kVersionWithoutDirectories) {
    return fail(Errc::format_invalid, "superblock: of a version that never was");
  }
  return read_fields(header, slot.first(bytes));
}

void seal_bitmap(ByteSpan page, PageKind kind, PageRef ref, uint32_t birth, uint64_t chunk) {
  CHECK(page.size() == kPageBytes);
  BitmapHeader header{};
  header.page.page_number = ref.page_number();
  header.page.birth = birth;
  header.page.kind = static_cast<uint8_t>(kind);
  header.chunk = chunk;
  std::memcpy(page.data(), &header, sizeof header);
  seal_page(page);
}

Result<ByteView> open_bitmap(ByteView page, PageKind kind, PageRef ref, uint64_t chunk) {
  TRY(whole, check_page(page, ref));
  BitmapHeader header;
  std::memcpy(&header, page.data(), sizeof header);
  bool right = header.page.kind == static_cast<uint8_t>(kind) && header.page.level == 0 &&
               header.page.newest_stamp.get() == 0 && header.chunk.get() == chunk;
  for (const U64le& zero : header.reserved) right = right && zero.get() == 0;
  if (!right) return fail(Errc::checksum, "bitmap page: not the one that the superblock names");
  return page.subspan(sizeof header);
}

Result<std::vector<ChunkEntry>> parse_directory(ByteView entries, uint64_t directory,
                                                uint64_t data_blocks) {
  CHECK(entries.size() == kChunkBytes);
  CHECK(directory < directory_count(data_blocks));
  const uint64_t count = directory_chunks(directory, data_blocks);
  std::vector<ChunkEntry> chunks(count);
  for (uint64_t i = 0; i < kDirectoryChunks; ++i) {
    DirectoryEntry entry;
    std::memcpy(&entry, entries.data() + i * sizeof entry, sizeof entry);
    const PageRef bitmap{entry.bitmap.get()};
    const uint32_t used = entry.used.get(), run_max = entry.run_max.get();
    const uint64_t first_block = (directory * kDirectoryChunks + i) * kChunkBits;
    const bool lost = i < count && run_max == kChunkLost;
    const uint64_t blocks = i < count ? std::min(kChunkBits, data_blocks - first_block) : 0;
    if (used > blocks || (!lost && run_max > (i < count ? kChunkBits : 0)) ||
        (bitmap.is_null() ? !lost && used != 0 : i >= count)) {
      return fail(Errc::checksum, "directory of blocks: its entries contradict each other");
    }
    if (i < count) chunks[i] = {bitmap, used, lost ? 0 : run_max, lost};
  }
  return chunks;
}

void encode_directory(const std::vector<ChunkEntry>& chunks, ByteSpan entries) {
  CHECK(entries.size() == kChunkBytes);
  CHECK(chunks.size() <= kDirectoryChunks);
  for (size_t i = 0; i < chunks.size(); ++i) {
    DirectoryEntry entry;
    entry.bitmap = chunks[i].bitmap.word;
    entry.used = chunks[i].used;
    entry.run_max = chunks[i].lost ? kChunkLost : chunks[i].run_max;
    std::memcpy(entries.data() + i * sizeof entry, &entry, sizeof entry);
  }
}

}  // namespace cairn::index
