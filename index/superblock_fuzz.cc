// Fuzzer of superblocks and bitmap pages, with their checksums made right. Input: a byte that
// chooses (0: superblock as it is, 1: sealed superblock, 2: bitmap, 3: directory), then the first
// bytes.
#include <cstring>

#include "base/check.h"
#include "base/hash.h"
#include "base/testing/fuzz.h"
#include "index/pager_state.h"
#include "index/superblock_format.h"

namespace {

using namespace cairn;
using namespace cairn::index;
using cairn::testing::FuzzInput;

void superblock(ByteView bytes, bool seal) {
  Bytes slot(kSuperblockBytesMax);
  std::copy_n(bytes.begin(), std::min(bytes.size(), slot.size()), slot.begin());
  if (seal) {
    constexpr size_t kAt = offsetof(SuperblockHeader, checksum);
    SuperblockHeader header;
    std::memcpy(&header, slot.data(), sizeof header);
    header.magic = kSuperblockMagic;
    const size_t whole =
        std::min<size_t>(round_up(header.bytes.get(), kSuperblockUnit), slot.size());
    header.bytes = static_cast<uint32_t>(std::max(whole, kSuperblockUnit));
    header.checksum = 0;
    std::memcpy(slot.data(), &header, sizeof header);
    store_le64(slot.data() + kAt, xxh3_64(ByteView(slot).first(header.bytes.get())));
  }
  const auto parsed = parse_superblock(slot);
  if (!parsed) return;
  const Bytes again = encode_superblock(*parsed);
  CHECK(std::equal(again.begin(), again.end(), slot.begin()));
}

void bitmap(FuzzInput in) {
  const auto kind = in.u8() % 2 == 0 ? PageKind::page_bitmap : PageKind::block_bitmap;
  const PageRef ref{in.u64()};
  const uint64_t chunk = in.u64();
  Bytes page(kPageBytes);
  const ByteView bytes = in.rest();
  std::copy_n(bytes.begin(), std::min(bytes.size(), page.size()), page.begin());
  seal_page(page);
  const auto bits = open_bitmap(page, kind, ref, chunk);
  if (bits) CHECK(bits->size() == kChunkBytes);
}

void directory(FuzzInput in) {
  const uint64_t blocks = 1 + in.u64() % (3 * kDirectoryChunks * kChunkBits);
  const uint64_t number = in.u8() % directory_count(blocks);
  Bytes entries(kChunkBytes), again(kChunkBytes);
  const ByteView bytes = in.rest();
  std::copy_n(bytes.begin(), std::min(bytes.size(), entries.size()), entries.begin());
  const auto chunks = parse_directory(entries, number, blocks);
  if (!chunks) return;
  encode_directory(*chunks, again);
  CHECK(entries == again);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, size);
  const uint8_t choice = in.u8() % 4;
  if (choice == 3) {
    directory(in);
  } else if (choice == 2) {
    bitmap(in);
  } else {
    superblock(in.rest(), choice == 1);
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  Superblock s;
  s.generation = 5;
  s.incarnation = 3;
  s.meta_pages = 1'000;
  s.data_blocks = 200'000;
  s.wal_bytes = 1u << 20;
  s.root = PageRef::make(12, 4);
  s.log_position = 8'192;
  s.page_chunks.resize(chunk_count(s.meta_pages - kEdgePages), PageRef::make(9, 4));
  s.data_chunks.resize(chunk_count(s.data_blocks), PageRef::make(10, 4));
  s.data_directories.resize(directory_ref_count(s.data_blocks), PageRef::make(11, 4));
  for (const uint32_t version : {kVersionWithoutDirectories, kSuperblockVersion}) {
    s.version = version;
    const Bytes encoded = encode_superblock(s);
    for (const uint8_t choice : {0, 1}) {
      Bytes seed{static_cast<std::byte>(choice)};
      testing::append(seed, ByteView(encoded).first(sizeof(SuperblockHeader) + 24));
      seeds.push_back(seed);
    }
  }
  Bytes page(kPageBytes);
  seal_bitmap(page, PageKind::block_bitmap, PageRef::make(10, 4), 4, 1);
  Bytes seed{std::byte{2}, std::byte{1}};
  seed.resize(18);
  store_le64(seed.data() + 2, PageRef::make(10, 4).word);
  store_le64(seed.data() + 10, 1);
  testing::append(seed, ByteView(page).first(80));
  seeds.push_back(seed);
  Bytes entries(kChunkBytes);
  encode_directory({{PageRef::make(10, 4), 70, 100, false}, {{}, 9, 0, true}}, entries);
  seed = {std::byte{3}};
  seed.resize(10);
  store_le64(seed.data() + 1, 200'000 - 1);
  testing::append(seed, ByteView(entries).first(32));
  seeds.push_back(seed);
  return seeds;
}
