#include "vos/data_io.h"

#include <algorithm>
#include <array>

#include "base/crc32c.h"
#include "base/endian.h"
#include "media/device.h"
#include "runtime/parallel.h"

namespace cairn::vos {

namespace {

constexpr std::byte kZeros[kDataBlockBytes] = {};

/// Reads of this size are split, so that checksums of one part are verified while the next is under
/// way.
constexpr uint64_t kReadBlocksMax = 256;
/// Blocks whose checksums are verified before others have their turn.
constexpr size_t kVerifiedAtOnce = 64;

std::unexpected<Error> damaged() {
  return fail(Errc::checksum, "data: the medium gave other bytes than were written");
}

/// Those of `count` blocks at `data`, or nothing.
std::span<const uint32_t> look_up(const KnownCrcs& known, const std::byte* data, size_t count) {
  const auto begin = reinterpret_cast<uintptr_t>(known.data);
  const auto at = reinterpret_cast<uintptr_t>(data);
  if (known.of_blocks.empty() || at < begin || (at - begin) % kDataBlockBytes != 0) return {};
  const size_t first = (at - begin) / kDataBlockBytes;
  const size_t size = known.of_blocks.size();
  if (first > size || count > size - first) return {};
  return known.of_blocks.subspan(first, count);
}

/// Appends the CRCs of the pieces in whole blocks, the last one filled with zeros.
void checksum_blocks(std::span<const IoVec> pieces, const KnownCrcs& known,
                     std::vector<uint32_t>& crcs) {
  uint32_t crc = 0;
  uint64_t in_block = 0;
  for (const IoVec& piece : pieces) {
    for (size_t at = 0; at < piece.bytes;) {
      const ByteView rest(piece.data + at, piece.bytes - at);
      const size_t whole = in_block == 0 ? rest.size() / kDataBlockBytes : 0;
      if (whole != 0) {
        const size_t made = crcs.size();
        crcs.resize(made + whole);
        const auto made_now = std::span(crcs).subspan(made);
        const auto before = look_up(known, piece.data + at, whole);
        if (before.empty()) {
          crc32c_blocks(rest.first(whole * kDataBlockBytes), kDataBlockBytes, made_now);
        } else {
          std::ranges::copy(before, made_now.begin());
        }
        at += whole * kDataBlockBytes;
        continue;
      }
      const size_t n = std::min<size_t>(rest.size(), kDataBlockBytes - in_block);
      crc = crc32c(rest.first(n), crc);
      at += n;
      in_block += n;
      if (in_block == kDataBlockBytes) {
        crcs.push_back(crc);
        crc = 0;
        in_block = 0;
      }
    }
  }
  if (in_block != 0) crcs.push_back(crc32c(ByteView(kZeros, kDataBlockBytes - in_block), crc));
}

uint32_t digest_of(std::span<const uint32_t> crcs) {
  uint32_t digest = 0;
  for (const uint32_t crc : crcs) {
    std::byte le[4];
    store_le32(le, crc);
    digest = crc32c(le, digest);
  }
  return digest;
}

}  // namespace

ByteSpan IoVecCursor::take(uint64_t max) {
  while (index_ < pieces_.size()) {
    const IoVec& v = pieces_[index_];
    if (offset_ == v.bytes) {
      ++index_;
      offset_ = 0;
      continue;
    }
    const size_t n = std::min<uint64_t>(max, v.bytes - offset_);
    ByteSpan run{v.data + offset_, n};
    offset_ += n;
    return run;
  }
  return {};
}

void IoVecCursor::skip(uint64_t bytes) {
  while (bytes > 0) {
    const ByteSpan run = take(bytes);
    CHECK(!run.empty());
    bytes -= run.size();
  }
}

void IoVecCursor::copy_out(ByteSpan into) {
  while (!into.empty()) {
    const ByteSpan run = take(into.size());
    CHECK(!run.empty());
    std::memcpy(into.data(), run.data(), run.size());
    into = into.subspan(run.size());
  }
}

void IoVecCursor::copy_in(ByteView from) {
  while (!from.empty()) {
    const ByteSpan run = take(from.size());
    CHECK(!run.empty());
    std::memcpy(run.data(), from.data(), run.size());
    from = from.subspan(run.size());
  }
}

uint64_t total_bytes(std::span<const IoVec> pieces) {
  uint64_t sum = 0;
  for (const IoVec& v : pieces) sum += v.bytes;
  return sum;
}

namespace {

bool goes_down_directly(std::span<const IoVec> pieces, uint64_t bytes) {
  return pieces.size() == 1 && bytes % kDataBlockBytes == 0 &&
         reinterpret_cast<uintptr_t>(pieces[0].data) % kDataBlockBytes == 0;
}

/// Copies the payload; the rest of its last block is zero and belongs to the piece.
IoVec copy_payload(Staged& staged, std::span<const IoVec> pieces) {
  staged.copy = media::AlignedBuffer::uninitialised(round_up(staged.bytes, kDataBlockBytes));
  IoVecCursor(pieces).copy_out(staged.copy.span().first(staged.bytes));
  std::ranges::fill(staged.copy.span().subspan(staged.bytes), std::byte{0});
  return {staged.copy.data(), staged.copy.size()};
}

}  // namespace

Result<Staged> stage(index::Store& store, IoVecCursor& from, uint64_t bytes) {
  CHECK(bytes > 0);
  TRY(runs, store.reserve_data(bytes));
  if (runs.size() > kRunsMax) {
    store.cancel_data(runs);
    return fail(Errc::no_space, "data: free space is too fragmented for this value");
  }
  Staged staged;
  staged.bytes = bytes;
  staged.data.runs = std::move(runs);
  IoVecs pieces;
  for (uint64_t left = bytes; left > 0; left -= pieces.back().bytes) {
    const ByteSpan piece = from.take(left);
    CHECK(!piece.empty());
    pieces.push_back({piece.data(), piece.size()});
  }
  if (bytes <= kAlwaysCopiedBytesMax ||
      (bytes <= kCopiedBytesMax && !goes_down_directly(pieces, bytes))) {
    const IoVec copy = copy_payload(staged, pieces);
    pieces = {copy};
  }
  IoVecCursor cut(pieces);
  for (const media::Extent& run : staged.data.runs) {
    index::Store::DataWrite write{run, {}};
    for (uint64_t left = uint64_t{run.count} * kDataBlockBytes; left > 0;) {
      const ByteSpan piece = cut.take(left);
      if (piece.empty()) break;  // the rest of the last block
      write.pieces.push_back({piece.data(), piece.size()});
      left -= piece.size();
    }
    staged.writes.push_back(std::move(write));
  }
  return staged;
}

void make_checksums(Staged& staged, KnownCrcs known) {
  std::vector<uint32_t>& crcs = staged.data.crcs;
  crcs.reserve(staged.data.block_count());
  for (const index::Store::DataWrite& write : staged.writes) {
    const size_t first = crcs.size();
    checksum_blocks(write.pieces, known, crcs);
    CHECK(crcs.size() - first == write.extent.count);
    staged.published.push_back({write.extent, digest_of(std::span(crcs).subspan(first)), {}});
    // What was copied stays as it is until the record is made, to its last block's end.
    const uint64_t bytes = uint64_t{write.extent.count} * kDataBlockBytes;
    if (staged.copy.size() != 0 && staged.bytes <= index::Store::kLoggedBytesMax &&
        write.pieces.size() == 1 && write.pieces[0].bytes == bytes) {
      staged.published.back().payload = {write.pieces[0].data, bytes};
    }
  }
}

namespace {

/// Blocks [first, first + count) of `data`, adjacent on the medium, into `into` (whole blocks),
/// verified.
struct BlockRun {
  media::Extent extent;  // adjacent blocks
  const uint32_t* crcs;  // one a block
};

bool is_sound(ByteView data, std::span<const uint32_t> wanted) {
  std::array<uint32_t, kVerifiedAtOnce> crcs;
  CHECK(wanted.size() <= crcs.size());
  const auto found = std::span(crcs).first(wanted.size());
  crc32c_blocks(data, kDataBlockBytes, found);
  return std::ranges::equal(wanted, found);
}

Task<Result<void>> read_run(Reactor& reactor, index::Store& store, BlockRun run, ByteSpan into) {
  CO_TRY(done, co_await store.read_data(run.extent, 0, into));
  for (size_t at = 0; at < run.extent.count; at += kVerifiedAtOnce) {
    if (at != 0) co_await reactor.yield();
    const size_t count = std::min<size_t>(kVerifiedAtOnce, run.extent.count - at);
    const ByteView data = into.subspan(at * kDataBlockBytes, count * kDataBlockBytes);
    if (!is_sound(data, {run.crcs + at, count})) co_return damaged();
  }
  co_return Result<void>{};
}

/// As read_run(), but only what begins at byte `begin` of the run goes to `into`.
Task<Result<void>> read_part(Reactor& reactor, index::Store& store, BlockRun run, uint64_t begin,
                             std::vector<IoVec> into) {
  auto bounce = media::AlignedBuffer::uninitialised(size_t{run.extent.count} * kDataBlockBytes);
  CO_TRY(done, co_await read_run(reactor, store, run, bounce.span()));
  uint64_t at = begin;
  for (const IoVec& v : into) {
    std::memcpy(v.data, bounce.data() + at, v.bytes);
    at += v.bytes;
  }
  co_return Result<void>{};
}

bool fits_directly(uint64_t begin, uint64_t bytes, std::span<const IoVec> into) {
  return begin == 0 && bytes % kDataBlockBytes == 0 && into.size() == 1 &&
         reinterpret_cast<uintptr_t>(into[0].data) % kDataBlockBytes == 0;
}

/// One that is one request. `read` lives until it has ended.
Task<Result<void>> read_at_once(Reactor& reactor, index::Store& store, DataRead& read,
                                uint64_t bytes) {
  const uint64_t begin = read.data.skip + read.begin;
  const uint64_t first = begin / kDataBlockBytes;
  const uint64_t last = (begin + bytes + kDataBlockBytes - 1) / kDataBlockBytes;
  const BlockRun run{{read.data.runs[0].block + first, static_cast<uint32_t>(last - first)},
                     read.data.crcs.data() + first};
  const uint64_t skip = begin - first * kDataBlockBytes;
  if (fits_directly(skip, bytes, read.into)) {
    return read_run(reactor, store, run, {read.into[0].data, read.into[0].bytes});
  }
  return read_part(reactor, store, run, skip, std::move(read.into));
}

}  // namespace

Task<Result<void>> read_data(Reactor& reactor, index::Store& store, DataRead read) {
  const uint64_t bytes = total_bytes(read.into);
  const uint64_t begin = read.data.skip + read.begin;
  const uint64_t end = begin + bytes;
  CHECK(read.data.crcs.size() == read.data.block_count());
  CHECK(end <= read.data.block_count() * kDataBlockBytes);
  if (read.data.runs.size() == 1 && bytes != 0 &&
      end / kDataBlockBytes - begin / kDataBlockBytes < kReadBlocksMax) {
    co_return co_await read_at_once(reactor, store, read, bytes);
  }
  IoVecCursor into(read.into);
  std::vector<Task<Result<void>>> tasks;
  uint64_t run_first = 0;  // index of the run's first block in the payload's blocks
  for (const media::Extent& run : read.data.runs) {
    const uint64_t run_end = run_first + run.count;
    uint64_t first = std::max(run_first, begin / kDataBlockBytes);
    const uint64_t last = std::min(run_end, (end + kDataBlockBytes - 1) / kDataBlockBytes);
    while (first < last) {
      const auto count = static_cast<uint32_t>(std::min(last - first, kReadBlocksMax));
      const uint64_t from = std::max(begin, first * kDataBlockBytes);
      const uint64_t to = std::min(end, (first + count) * kDataBlockBytes);
      std::vector<IoVec> parts;
      for (uint64_t left = to - from; left > 0;) {
        const ByteSpan piece = into.take(left);
        parts.push_back({piece.data(), piece.size()});
        left -= piece.size();
      }
      const BlockRun part{{run.block + (first - run_first), count}, read.data.crcs.data() + first};
      const uint64_t skip = from - first * kDataBlockBytes;
      if (fits_directly(skip, to - from, parts)) {
        tasks.push_back(read_run(reactor, store, part, {parts[0].data, parts[0].bytes}));
      } else {
        tasks.push_back(read_part(reactor, store, part, skip, std::move(parts)));
      }
      first += count;
    }
    run_first = run_end;
  }
  co_return co_await run_all(reactor, std::move(tasks), kReadsMax);
}

namespace {

/// Reads that may share a request, and a request of shared ones.
constexpr uint64_t kNeighbourBlocksMax = 16, kSharedBlocksMax = 256;

bool may_share(const DataRead& read) {
  return read.data.runs.size() == 1 && read.data.runs[0].count <= kNeighbourBlocksMax;
}

/// `reads` stand side by side, in their order.
Task<Result<void>> read_shared(Reactor& reactor, index::Store& store, std::span<DataRead> reads) {
  if (reads.size() == 1) co_return co_await read_data(reactor, store, std::move(reads[0]));
  media::Extent all{reads[0].data.runs[0].block, 0};
  std::vector<uint32_t> crcs;
  for (const DataRead& read : reads) {
    CHECK(read.data.crcs.size() == read.data.runs[0].count);
    all.count += read.data.runs[0].count;
    crcs.insert(crcs.end(), read.data.crcs.begin(), read.data.crcs.end());
  }
  auto bounce = media::AlignedBuffer::uninitialised(size_t{all.count} * kDataBlockBytes);
  CO_TRY(done, co_await read_run(reactor, store, {all, crcs.data()}, bounce.span()));
  const std::byte* blocks = bounce.data();
  for (const DataRead& read : reads) {
    const std::byte* from = blocks + read.data.skip + read.begin;
    for (const IoVec& v : read.into) {
      std::memcpy(v.data, from, v.bytes);
      from += v.bytes;
    }
    blocks += size_t{read.data.runs[0].count} * kDataBlockBytes;
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<void>> read_neighbours(Reactor& reactor, index::Store& store,
                                   std::vector<DataRead> reads) {
  std::ranges::sort(reads, {}, [](const DataRead& read) { return read.data.runs[0].block; });
  std::vector<Task<Result<void>>> tasks;
  for (size_t at = 0; at < reads.size();) {
    size_t end = at + 1;
    uint64_t blocks = reads[at].data.runs[0].count;
    while (end < reads.size() && may_share(reads[at]) && may_share(reads[end]) &&
           reads[end].data.runs[0].block == reads[at].data.runs[0].block + blocks &&
           blocks + reads[end].data.runs[0].count <= kSharedBlocksMax) {
      blocks += reads[end++].data.runs[0].count;
    }
    tasks.push_back(read_shared(reactor, store, std::span(reads).subspan(at, end - at)));
    at = end;
  }
  co_return co_await run_all(reactor, std::move(tasks), kReadsMax);
}

const Bytes* BlockCache::find(uint64_t block, uint32_t crc) {
  auto found = blocks.find(block);
  if (found != blocks.end()) return &found->second;
  wanted.push_back({block, crc});
  return nullptr;
}

std::shared_ptr<LaidValue> BlockCache::find_laid(const Key& key, uint32_t version) const {
  for (const std::shared_ptr<LaidValue>& value : laid) {
    // What a commit took belongs to the tree.
    if (!value->published && value->version == version &&
        as_chars(value->key.view()) == as_chars(key.view())) {
      return value;
    }
  }
  return nullptr;
}

Task<Result<void>> fill_cache(index::Store& store, BlockCache& cache) {
  const std::vector<BlockCache::Wanted> wanted = std::exchange(cache.wanted, {});
  for (const BlockCache::Wanted& w : wanted) {
    media::AlignedBuffer buffer(kDataBlockBytes);
    CO_TRY(done, co_await store.read_data({w.block, 1}, 0, buffer.span()));
    if (!is_sound(buffer.view(), {&w.crc, 1})) co_return damaged();
    cache.blocks[w.block] = Bytes(buffer.view().begin(), buffer.view().end());
  }
  co_return Result<void>{};
}

}  // namespace cairn::vos
