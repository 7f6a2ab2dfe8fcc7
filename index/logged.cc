#include "index/logged.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "index/record_format.h"
#include "runtime/parallel.h"

namespace cairn::index {
namespace {

constexpr size_t kRunBlocksMax = 256;
constexpr size_t kWritesMax = 16;

/// One block to be written; borrows its bytes.
struct Piece {
  uint64_t block = 0;
  ByteView bytes;
};

Result<void> take_pieces(const media::WalBatch& from, const LoggedBlocks& blocks, Batch& scratch,
                         std::vector<Piece>& pieces) {
  for (size_t i = 0; i < from.records.size(); ++i) {
    TRY(header, parse_record(from.records[i], scratch));
    for (const BatchData& data : scratch.data()) {
      for (uint64_t b = 0; b < data.payload.size() / media::kBlockBytes; ++b) {
        const uint64_t block = data.extent.block + b;
        if (!blocks.is_of(block, from.lsns[i])) continue;
        pieces.push_back({block, data.payload.subspan(b * media::kBlockBytes, media::kBlockBytes)});
      }
    }
  }
  return {};
}

/// Can the run be written from where it stands?
bool lies_ready(std::span<const Piece> run) {
  const std::byte* const first = run[0].bytes.data();
  if (reinterpret_cast<uintptr_t>(first) % media::kBlockBytes != 0) return false;
  for (size_t i = 1; i < run.size(); ++i) {
    if (run[i].bytes.data() != first + i * media::kBlockBytes) return false;
  }
  return true;
}

/// Adjacent blocks.
Task<Result<void>> write_run(CorePtr core, std::span<const Piece> run) {
  media::Device& device = *core->devices.data;
  const uint64_t offset = run[0].block * media::kBlockBytes;
  if (lies_ready(run)) {
    co_return co_await device.write(offset, {run[0].bytes.data(), run.size() * media::kBlockBytes});
  }
  media::AlignedBuffer buffer(run.size() * media::kBlockBytes);
  for (size_t i = 0; i < run.size(); ++i) {
    std::memcpy(buffer.data() + i * media::kBlockBytes, run[i].bytes.data(), media::kBlockBytes);
  }
  co_return co_await device.write(offset, buffer.view());
}

Task<Result<void>> write_pieces(CorePtr core, std::vector<Piece>& pieces) {
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.block < b.block; });
  std::vector<Task<Result<void>>> writes;
  for (size_t first = 0; first < pieces.size();) {
    size_t end = first + 1;
    while (end < pieces.size() && end - first < kRunBlocksMax &&
           pieces[end].block == pieces[first].block + (end - first)) {
      ++end;
    }
    writes.push_back(write_run(core, std::span(pieces).subspan(first, end - first)));
    first = end;
  }
  co_return co_await run_all(core->reactor, std::move(writes), kWritesMax);
}

bool is_whole(const Store::DataWrite& write) {
  return write.pieces.size() == 1 &&
         write.pieces[0].bytes == write.extent.count * uint64_t{media::kBlockBytes};
}

}  // namespace

namespace {

uint64_t blocks_of(std::span<const Store::DataWrite> writes) {
  uint64_t blocks = 0;
  for (const Store::DataWrite& write : writes) blocks += write.extent.count;
  return blocks;
}

void begin_write(CorePtr core);

/// Writes one bufferful.
Task<void> write_behind(CorePtr core, WriteBehind::Buffer& buffer) {
  std::vector<Piece> pieces;
  pieces.reserve(buffer.blocks.size());
  for (size_t i = 0; i < buffer.blocks.size(); ++i) {
    if (!core->behind.is_newest(buffer, i)) continue;
    pieces.push_back({buffer.blocks[i], {buffer.at(i), media::kBlockBytes}});
  }
  const auto written = co_await write_pieces(core, pieces);
  if (!written) core->stop();
  core->behind.end(written.has_value());
  if (written && core->behind.full()) begin_write(core);
  core->progress.wake_all();
}

void begin_write(CorePtr core) {
  WriteBehind::Buffer& buffer = core->behind.begin();
  core->reactor.spawn(write_behind(core, buffer));
}

/// Waits for a change; has whatever stands in the way written.
Task<Result<void>> move_on(CorePtr core) {
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  if (!core->behind.writing()) begin_write(core);
  co_await core->behind.moved().wait();
  co_return Result<void>{};
}

}  // namespace

bool take_logged_extents(CorePtr core, std::span<const Store::DataWrite> writes) {
  if (!core->behind.has_room(blocks_of(writes))) return false;
  for (const Store::DataWrite& write : writes) {
    CHECK(is_whole(write));
    for (uint32_t i = 0; i < write.extent.count; ++i) {
      core->behind.put(write.extent.block + i,
                       write.pieces[0].data + size_t{i} * media::kBlockBytes);
    }
  }
  if (core->behind.full() && !core->behind.writing()) begin_write(std::move(core));
  return true;
}

Task<Result<void>> write_logged_extents(CorePtr core, std::vector<Store::DataWrite> writes) {
  while (!take_logged_extents(core, writes)) {
    CO_TRY(moved, co_await move_on(core));
  }
  co_return Result<void>{};
}

Task<Result<void>> write_behind_all(CorePtr core) {
  // Others may bring more meanwhile: a buffer that is being written, and the one behind it.
  for (int buffers = 0; buffers < 2 && !core->behind.empty(); ++buffers) {
    CO_TRY(moved, co_await move_on(core));
  }
  if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
  co_return Result<void>{};
}

Task<Result<void>> read_beside_waiting(CorePtr core, uint64_t block, ByteSpan into) {
  const uint64_t count = into.size() / media::kBlockBytes;
  uint64_t waiting = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (core->behind.find(block + i) != nullptr) ++waiting;
  }
  if (waiting == count) {
    for (uint64_t i = 0; i < count; ++i) {
      std::memcpy(into.data() + i * media::kBlockBytes, core->behind.find(block + i),
                  media::kBlockBytes);
    }
    co_return Result<void>{};
  }
  if (waiting != 0) {
    CO_TRY(written, co_await write_behind_all(core));
  }
  ++core->data_reads;
  co_return co_await core->devices.data->read(block * media::kBlockBytes, into);
}

Task<void> pass_waiting(CorePtr core, media::Extent extent) {
  core->behind.forget(extent);
  while (core->behind.writes(extent)) co_await core->behind.moved().wait();
}

void LoggedBlocks::add(media::Extent extent, media::Lsn lsn) {
  for (uint32_t i = 0; i < extent.count; ++i) newest_[extent.block + i] = lsn;
}

void LoggedBlocks::forget(media::Extent extent) {
  if (newest_.empty()) return;
  for (uint32_t i = 0; i < extent.count; ++i) newest_.erase(extent.block + i);
}

bool LoggedBlocks::is_of(uint64_t block, media::Lsn lsn) const {
  const auto found = newest_.find(block);
  return found != newest_.end() && found->second == lsn;
}

Task<Result<void>> write_logged(CorePtr core, media::WalStart start, const LoggedBlocks& blocks) {
  media::WalReader reader(core->reactor, *core->devices.wal, start);
  CO_TRY(summary, co_await reader.scan());
  Batch scratch;
  std::vector<Piece> pieces;
  for (;;) {
    CO_TRY(batch, co_await reader.next());
    if (!batch) co_return Result<void>{};
    pieces.clear();
    CO_TRY(taken, take_pieces(*batch, blocks, scratch, pieces));
    CO_TRY(written, co_await write_pieces(core, pieces));
  }
}

}  // namespace cairn::index
