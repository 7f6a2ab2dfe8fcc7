// Replay: the log's records once more through the tree code (store.md rules 9, 10).
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "index/record_format.h"
#include "index/store_core.h"

namespace cairn::index {
namespace {

constexpr uint64_t kVerifyBytes = 1u << 20;

/// True if the blocks of `data` hold what its record says.
Task<Result<bool>> holds(CorePtr core, BatchData data) {
  const uint64_t bytes = uint64_t{data.extent.count} * media::kBlockBytes;
  const uint64_t offset = data.extent.block * media::kBlockBytes;
  if (offset + bytes > core->devices.data->size_bytes()) {
    co_return fail(Errc::checksum, "log: a record's data lies outside of the blob");
  }
  media::AlignedBuffer buffer(std::min(bytes, kVerifyBytes));
  uint32_t digest = 0;
  for (uint64_t at = 0; at < bytes; at += buffer.size()) {
    const ByteSpan part = buffer.span().first(std::min<uint64_t>(buffer.size(), bytes - at));
    CO_TRY(read, co_await core->devices.data->read(offset + at, part));
    for (size_t block = 0; block < part.size(); block += media::kBlockBytes) {
      std::byte crc[4];
      store_le32(crc, crc32c(part.subspan(block, media::kBlockBytes)));
      digest = crc32c(crc, digest);
    }
  }
  co_return digest == data.digest;
}

Task<Result<bool>> holds_all(CorePtr core, const std::vector<BatchData>& all) {
  for (const BatchData& data : all) {
    CO_TRY(here, co_await holds(core, data));
    if (!here) co_return false;
  }
  co_return true;
}

Task<Result<void>> prepare(CorePtr core, const Batch& batch) {
  for (;;) {
    const auto prepared = core->tree.prepare(batch);
    if (prepared) co_return Result<void>{};
    if (prepared.error().code() != Errc::page_absent) co_return prepared;
    Pager::State& s = core->pages();
    const Want want = std::exchange(s.want, Want::nothing);
    CO_TRY(waited, co_await wait_for_want(core, want, s.absent, s.wanted_pages));
  }
}

/// The plain half: tree and blocks.
Result<void> apply(StoreCore& core, const Batch& batch, media::Lsn lsn) {
  core.tree.apply(batch);
  for (const BatchData& data : batch.data()) {
    TRY(adopted, core.data.adopt(data.extent));
  }
  for (const media::Extent& extent : batch.freed()) {
    TRY(freed, core.data.free(extent, lsn));
    core.freed_at = lsn;
  }
  // A later record may own the blocks again: when it was made, this one was durable.
  if (!batch.freed().empty()) core.data.release(lsn);
  ++core.records_since;
  return {};
}

/// One record. False: it and all behind it are given up, because its data is missing.
Task<Result<bool>> replay_record(CorePtr core, const RecordHeader& header, const Batch& batch,
                                 media::Lsn lsn, bool prove, ReplayHook& hook) {
  if (prove && !batch.data().empty()) {
    CO_TRY(here, co_await holds_all(core, batch.data()));
    if (!here) co_return false;
  }
  if (hook) hook(header);
  CO_TRY(prepared, co_await prepare(core, batch));
  CO_TRY(applied, apply(*core, batch, lsn));
  if (core->pages().frames_used > core->pages().frames_max) {
    core->pages().evict(core->pages().frames_max);
  }
  co_return true;
}

}  // namespace

Task<Result<ReplayResult>> replay(CorePtr core, media::WalReader& reader,
                                  media::WalReader::Summary summary, ReplayHook hook) {
  const Instant begin = core->reactor.clock().now();
  ReplayResult result{summary, false};
  Batch changes;
  while (!result.dropped) {
    CO_TRY(batch, co_await reader.next());
    if (!batch) break;
    for (size_t i = 0; i < batch->records.size(); ++i) {
      CO_TRY(header, parse_record(batch->records[i], changes));
      const bool prove = batch->lsns[i] > summary.complete;
      CO_TRY(kept, co_await replay_record(core, header, changes, batch->lsns[i], prove, hook));
      if (!kept) {
        result.dropped = true;
        break;
      }
      ++core->replayed_records;
      core->replayed_bytes += batch->records[i].size();
    }
  }
  core->replay_ns = core->reactor.clock().now() - begin;
  co_return result;
}

}  // namespace cairn::index
