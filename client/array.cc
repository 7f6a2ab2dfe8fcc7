#include "client/array.h"

#include <algorithm>
#include <cstring>

#include "client/array_chunks.h"
#include "runtime/parallel.h"

namespace cairn::client {

namespace {

/// Chunks of one call under way at once: keeps an SSD busy without holding every buffer of a huge
/// call.
constexpr size_t kChunksAtOnceMax = 32;
/// Chunks that have a task at a time: a call over a million tiny chunks must not make a million
/// frames.
constexpr size_t kTasksMax = 1024;
static_assert(kTasksMax % kChunksAtOnceMax == 0);
/// dkeys of one listing step.
constexpr uint32_t kListedMax = 1024;

constexpr std::byte kAkeyByte{'0'};
ByteView array_akey() { return {&kAkeyByte, 1}; }

Reactor& reactor_of(Container& container) { return container.pool().system().context().reactor(); }

model::Iods one_iod(const ArrayShape& shape, model::Recxs recxs,
                                IoVecs buffer) {
  model::Iods iods(1);
  iods[0].akey = array_akey();
  iods[0].type = model::ValueType::array;
  iods[0].record_bytes = shape.cell_bytes;
  iods[0].recxs = std::move(recxs);
  iods[0].buffer = std::move(buffer);
  return iods;
}

// In what follows `container` and `chunk` outlive the task: the public functions hold both. A dkey
// is a parameter, so that its bytes live in the frame.

Task<Result<void>> write_chunk(Container& container, model::ObjectId oid, ArrayShape shape,
                               Chunk& chunk) {
  const ObjectArgs args{.oid = oid, .dkey = view_of(&chunk.dkey, sizeof(chunk.dkey))};
  CO_TRY(epoch, co_await container.update(
                    args, one_iod(shape, std::move(chunk.recxs), std::move(chunk.buffer))));
  co_return Result<void>{};
}

Task<Result<void>> read_chunk(Container& container, model::ObjectId oid, ArrayShape shape,
                              const Chunk& chunk, Pieces& filled) {
  const ObjectArgs args{.oid = oid, .dkey = view_of(&chunk.dkey, sizeof(chunk.dkey))};
  CO_TRY(fetched, co_await container.fetch(args, one_iod(shape, chunk.recxs, chunk.buffer)));
  if (fetched.status != Errc::ok) {
    co_return fail(fetched.status, "array: the stored cells are larger than the array's");
  }
  if (fetched.iods.size() != 1) co_return fail(Errc::protocol, "array: a malformed answer");
  filled = std::move(fetched.iods[0].pieces);
  co_return Result<void>{};
}

Task<Result<void>> punch_extents(Container& container, model::ObjectId oid, uint64_t dkey,
                                 model::Recxs recxs) {
  const ObjectArgs args{.oid = oid, .dkey = view_of(&dkey, sizeof(dkey))};
  CO_TRY(epoch, co_await container.update(args, one_iod({.cell_bytes = 0}, std::move(recxs), {})));
  co_return Result<void>{};
}

Task<Result<void>> punch_chunk(Container& container, model::ObjectId oid, uint64_t dkey) {
  CO_TRY(epoch, co_await container.punch_dkey(
                    {.oid = oid, .dkey = view_of(&dkey, sizeof(dkey)), .flags = 0}));
  co_return Result<void>{};
}

/// Walks the dkeys in [first, last], a page at a time, shard after shard.
class DkeyWalk {
 public:
  DkeyWalk(Container& container, model::ObjectId oid, uint64_t first, uint64_t last)
      : container_(container), oid_(oid), first_(first), last_(last) {}

  /// The next page, ascending; empty at the end.
  Task<Result<std::vector<uint64_t>>> next() {
    std::vector<uint64_t> dkeys;
    if (!positioned_) {
      CO_TRY(parts, co_await container_.parts_of(oid_, view_of(&first_, sizeof(first_))));
      parts_ = std::move(parts);
      positioned_ = true;
    }
    while (dkeys.empty() && part_ < parts_.size()) {
      CO_TRY(listed, co_await container_.list(oid_, {.what = model::ListRequest::What::dkeys,
                                                     .count_max = kListedMax,
                                                     .bytes_max = kListedMax * sizeof(uint64_t),
                                                     .position = parts_[part_]}));
      if (!take(listed, dkeys)) co_return fail(Errc::invalid, "array: the object is no array");
      parts_[part_] = std::move(listed.position);
      if (listed.eof || passed_) ++part_;
    }
    co_return dkeys;
  }

 private:
  bool take(const model::Listed& listed, std::vector<uint64_t>& dkeys) {
    passed_ = false;
    if (listed.too_small || listed.keys.size() != listed.lengths.size() * sizeof(uint64_t)) {
      return false;
    }
    for (size_t i = 0; i < listed.lengths.size(); ++i) {
      uint64_t dkey = 0;
      if (listed.lengths[i] != sizeof(dkey)) return false;
      std::memcpy(&dkey, listed.keys.data() + i * sizeof(dkey), sizeof(dkey));
      passed_ = passed_ || dkey > last_;
      if (dkey >= first_ && dkey <= last_) dkeys.push_back(dkey);
    }
    return true;
  }

  Container& container_;
  model::ObjectId oid_;
  uint64_t first_, last_;
  std::vector<Bytes> parts_;  // where the listing of each goes on
  size_t part_ = 0;
  bool positioned_ = false;
  bool passed_ = false;  // a part has come to dkeys above `last_`
};

/// Does it hold data in this one cell?
Task<Result<bool>> cell_exists(Container& container, model::ObjectId oid, ArrayShape shape,
                               uint64_t cell) {
  Bytes room(shape.cell_bytes);
  const Chunk chunk{.dkey = dkey_of(shape, cell),
                    .recxs = {{cell % shape.chunk_cells, 1}},
                    .buffer = {{room.data(), room.size()}},
                    .bytes = room.size()};
  Pieces filled;
  CO_TRY(read, co_await read_chunk(container, oid, shape, chunk, filled));
  co_return !filled.empty();
}

Task<Result<void>> write_zero_cell(Container& container, model::ObjectId oid, ArrayShape shape,
                                   uint64_t cell) {
  Bytes zeros(shape.cell_bytes);
  Chunk chunk{.dkey = dkey_of(shape, cell),
              .recxs = {{cell % shape.chunk_cells, 1}},
              .buffer = {{zeros.data(), zeros.size()}},
              .bytes = zeros.size()};
  co_return co_await write_chunk(container, oid, shape, chunk);
}

/// Removes all cells from `cells` on.
Task<Result<void>> cut_tail(Container& container, model::ObjectId oid, ArrayShape shape,
                            uint64_t cells) {
  const uint64_t last = cells == 0 ? 1 : dkey_of(shape, cells - 1);
  const uint64_t kept = cells - first_cell(shape, last);
  DkeyWalk walk(container, oid, last, ~uint64_t{0});
  for (;;) {
    CO_TRY(dkeys, co_await walk.next());
    if (dkeys.empty()) co_return Result<void>{};
    std::vector<Task<Result<void>>> punches;
    for (const uint64_t dkey : dkeys) {
      if (dkey > last) {
        punches.push_back(punch_chunk(container, oid, dkey));
      } else if (kept < shape.chunk_cells) {
        punches.push_back(
            punch_extents(container, oid, dkey, {model::Recx{kept, shape.chunk_cells - kept}}));
      }
    }
    CO_TRY(punched, co_await run_all(reactor_of(container), std::move(punches), kChunksAtOnceMax));
  }
}

/// Punches a range in the chunks that exist: one that was never written stays so.
Task<Result<void>> punch_range(Container& container, model::ObjectId oid, ArrayShape shape,
                               CellRange range) {
  const uint64_t end = range.index + range.count;
  const uint64_t last = dkey_of(shape, end - 1);
  DkeyWalk walk(container, oid, dkey_of(shape, range.index), last);
  for (;;) {
    CO_TRY(dkeys, co_await walk.next());
    if (dkeys.empty()) co_return Result<void>{};
    std::vector<Task<Result<void>>> punches;
    for (const uint64_t dkey : dkeys) {
      const uint64_t first = first_cell(shape, dkey);
      const uint64_t from = std::max(first, range.index) - first;
      const uint64_t to = std::min(end - first, shape.chunk_cells);
      punches.push_back(punch_extents(container, oid, dkey, {model::Recx{from, to - from}}));
    }
    CO_TRY(punched, co_await run_all(reactor_of(container), std::move(punches), kChunksAtOnceMax));
  }
}

}  // namespace

Task<Result<void>> array_write(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                               CellRanges ranges, IoVecs buffer) {
  CO_TRY(checked, check_ranges(shape, ranges));
  CO_TRY(chunks, cut_into_chunks(shape, ranges, buffer));
  if (chunks.size() == 1) co_return co_await write_chunk(*container, oid, shape, chunks[0]);
  for (size_t begin = 0; begin < chunks.size(); begin += kTasksMax) {
    std::vector<Task<Result<void>>> writes;
    for (size_t i = begin; i < std::min(chunks.size(), begin + kTasksMax); ++i) {
      writes.push_back(write_chunk(*container, oid, shape, chunks[i]));
    }
    CO_TRY(done, co_await run_all(reactor_of(*container), std::move(writes), kChunksAtOnceMax));
  }
  co_return Result<void>{};
}

Task<Result<ArrayRead>> array_read(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                                   CellRanges ranges, IoVecs buffer,
                                   bool zero_holes) {
  CO_TRY(checked, check_ranges(shape, ranges));
  CO_TRY(chunks, cut_into_chunks(shape, ranges, buffer));
  SmallVector<Pieces, 1> filled(chunks.size());
  for (size_t begin = 0; begin < chunks.size(); begin += kTasksMax) {
    std::vector<Task<Result<void>>> reads;
    for (size_t i = begin; i < std::min(chunks.size(), begin + kTasksMax); ++i) {
      reads.push_back(read_chunk(*container, oid, shape, chunks[i], filled[i]));
    }
    CO_TRY(done, co_await run_all(reactor_of(*container), std::move(reads), kChunksAtOnceMax));
  }
  ArrayRead result;
  if (!zero_holes) co_return result;

  // The end of the array matters, and is asked for, only where something is missing.
  bool whole = true;
  for (size_t i = 0; i < chunks.size(); ++i) {
    uint64_t bytes = 0;
    for (const auto& piece : filled[i]) bytes += piece.bytes;
    whole &= bytes == chunks[i].bytes;
  }
  uint64_t cells_end = ~uint64_t{0};
  if (!whole) {
    CO_TRY(size, co_await array_size(container, oid, shape));
    cells_end = size;
    for (size_t i = 0; i < chunks.size(); ++i) {
      client::zero_holes(shape, chunks[i], filled[i], cells_end);
    }
  }
  for (const CellRange& range : ranges) {
    const uint64_t before = std::min(range.count, cells_end - std::min(cells_end, range.index));
    result.cells_read += before;
    result.cells_short += range.count - before;
  }
  co_return result;
}

Task<Result<uint64_t>> array_size(ContainerPtr container, model::ObjectId oid, ArrayShape shape) {
  if (shape.chunk_cells == 0) co_return fail(Errc::invalid, "array: a chunk size of zero");
  CO_TRY(queried,
         co_await container->query_key(
             oid, {.max = true, .want_dkey = true, .want_recx = true, .akey_bytes = array_akey()}));
  // dkey 0 holds the attributes only.
  if (!queried.found || queried.dkey == 0) co_return 0;
  co_return first_cell(shape, queried.dkey) + queried.recx.index + queried.recx.count;
}

Task<Result<void>> array_set_size(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                                  uint64_t cells) {
  if (shape.cell_bytes == 0) co_return fail(Errc::invalid, "array: a cell size of zero");
  CO_TRY(now, co_await array_size(container, oid, shape));
  if (cells < now) {
    CO_TRY(cut, co_await cut_tail(*container, oid, shape, cells));
    if (cells == 0) co_return Result<void>{};
    // The size is where the last cell is, so there must be one.
    CO_TRY(there, co_await cell_exists(*container, oid, shape, cells - 1));
    if (there) co_return Result<void>{};
  }
  if (cells == now) co_return Result<void>{};
  co_return co_await write_zero_cell(*container, oid, shape, cells - 1);
}

Task<Result<void>> array_punch(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                               CellRanges ranges) {
  CO_TRY(checked, check_ranges(shape, ranges));
  for (const CellRange& range : ranges) {
    if (range.count == 0) continue;
    CO_TRY(punched, co_await punch_range(*container, oid, shape, range));
  }
  co_return Result<void>{};
}

}  // namespace cairn::client
