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

struct LoggedTurn {
  explicit LoggedTurn(Reactor& reactor) : ended(reactor) {}
  std::vector<Piece> pieces;
  WaitList ended;
  bool over = false;
  Result<void> result;
};

namespace {

/// Starts in the turn after the one that it is named for.
Task<void> end_turn(CorePtr core, std::shared_ptr<LoggedTurn> turn) {
  core->logged_turn.reset();
  turn->result = co_await write_pieces(core, turn->pieces);
  turn->over = true;
  turn->ended.wake_all();
}

}  // namespace

Task<Result<void>> write_logged_extents(CorePtr core, std::vector<Store::DataWrite> writes) {
  if (!core->logged_turn) {
    core->logged_turn = std::make_shared<LoggedTurn>(core->reactor);
    core->reactor.spawn(end_turn(core, core->logged_turn));
  }
  const std::shared_ptr<LoggedTurn> turn = core->logged_turn;
  for (const Store::DataWrite& write : writes) {
    CHECK(is_whole(write));
    for (uint32_t i = 0; i < write.extent.count; ++i) {
      turn->pieces.push_back(
          {write.extent.block + i,
           {write.pieces[0].data + size_t{i} * media::kBlockBytes, media::kBlockBytes}});
    }
  }
  while (!turn->over) co_await turn->ended.wait();
  co_return turn->result;
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
