#include "client/array_chunks.h"

#include <algorithm>
#include <cstring>

namespace cairn::client {

namespace {

/// Deals out a scattered buffer from its front.
class BufferCursor {
 public:
  explicit BufferCursor(const IoVecs& buffer) : buffer_(buffer) {}
  /// There are at least `bytes` left.
  void move_to(IoVecs& out, uint64_t bytes) {
    while (bytes > 0) {
      const IoVec& vec = buffer_[index_];
      const uint64_t part = std::min<uint64_t>(bytes, vec.bytes - used_);
      if (part > 0) out.push_back({vec.data + used_, part});
      bytes -= part;
      used_ += part;
      if (used_ == vec.bytes) {
        ++index_;
        used_ = 0;
      }
    }
  }

 private:
  const IoVecs& buffer_;
  size_t index_ = 0;
  size_t used_ = 0;
};

/// Makes neighbours with one dkey into one.
void sort_and_join(Chunks& chunks) {
  const auto by_dkey = [](const Chunk& a, const Chunk& b) { return a.dkey < b.dkey; };
  std::ranges::sort(chunks, by_dkey);
  size_t last = 0;
  for (size_t i = 1; i < chunks.size(); ++i) {
    Chunk& into = chunks[last];
    if (into.dkey != chunks[i].dkey) {
      if (++last != i) chunks[last] = std::move(chunks[i]);
      continue;
    }
    into.recxs.append(chunks[i].recxs.begin(), chunks[i].recxs.end());
    into.buffer.append(chunks[i].buffer.begin(), chunks[i].buffer.end());
    into.bytes += chunks[i].bytes;
  }
  chunks.resize(std::min(chunks.size(), last + 1));
}

void zero_part(const IoVecs& buffer, uint64_t offset, uint64_t bytes) {
  for (const IoVec& vec : buffer) {
    if (bytes == 0) return;
    if (offset >= vec.bytes) {
      offset -= vec.bytes;
      continue;
    }
    const uint64_t part = std::min<uint64_t>(bytes, vec.bytes - offset);
    std::memset(vec.data + offset, 0, part);
    bytes -= part;
    offset = 0;
  }
}

}  // namespace

Result<void> check_ranges(const ArrayShape& shape, const CellRanges& ranges) {
  if (shape.cell_bytes == 0 || shape.chunk_cells == 0) {
    return fail(Errc::invalid, "array: a cell or chunk size of zero");
  }
  bool ascending = true;
  for (size_t i = 0; i < ranges.size(); ++i) {
    uint64_t end = 0;
    if (__builtin_add_overflow(ranges[i].index, ranges[i].count, &end)) {
      return fail(Errc::invalid, "array: a range passes the last cell that can be addressed");
    }
    if (i > 0 && ranges[i].index < ranges[i - 1].index + ranges[i - 1].count) ascending = false;
  }
  if (ascending) return {};
  CellRanges sorted(ranges);
  erase_if(sorted, [](const CellRange& range) { return range.count == 0; });
  std::ranges::sort(sorted, {}, &CellRange::index);
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].index < sorted[i - 1].index + sorted[i - 1].count) {
      return fail(Errc::invalid, "array: ranges of one call overlap");
    }
  }
  return {};
}

Result<Chunks> cut_into_chunks(const ArrayShape& shape,
                                           const CellRanges& ranges,
                                           const IoVecs& buffer) {
  uint64_t cells = 0, wanted = 0, room = 0;
  bool fits = true;
  for (const CellRange& range : ranges) fits &= !__builtin_add_overflow(cells, range.count, &cells);
  for (const IoVec& vec : buffer) fits &= !__builtin_add_overflow(room, vec.bytes, &room);
  fits &= !__builtin_mul_overflow(cells, shape.cell_bytes, &wanted);
  if (!fits || wanted != room) {
    return fail(Errc::invalid, "array: the buffer is not as long as the ranges");
  }
  BufferCursor cursor(buffer);
  Chunks chunks;
  bool ascending = true;
  for (const CellRange& range : ranges) {
    for (uint64_t at = range.index, left = range.count; left > 0;) {
      const uint64_t dkey = dkey_of(shape, at), index = at % shape.chunk_cells;
      const uint64_t count = std::min(left, shape.chunk_cells - index);
      if (chunks.empty() || chunks.back().dkey != dkey) {
        ascending &= chunks.empty() || chunks.back().dkey < dkey;
        chunks.push_back({.dkey = dkey});
      }
      Chunk& chunk = chunks.back();
      chunk.recxs.push_back({index, count});
      cursor.move_to(chunk.buffer, count * shape.cell_bytes);
      chunk.bytes += count * shape.cell_bytes;
      at += count;
      left -= count;
    }
  }
  if (!ascending) sort_and_join(chunks);
  return chunks;
}

void zero_holes(const ArrayShape& shape, const Chunk& chunk, const Pieces& filled,
                uint64_t cells_end) {
  uint64_t begin = 0;  // of the extent, in the chunk's buffer
  auto piece = filled.begin();
  for (const model::Recx& recx : chunk.recxs) {
    const uint64_t first = first_cell(shape, chunk.dkey) + recx.index;
    const uint64_t cells = std::min(recx.count, cells_end - std::min(cells_end, first));
    const uint64_t end = begin + cells * shape.cell_bytes;
    for (uint64_t at = begin; at < end;) {
      while (piece != filled.end() && piece->offset + piece->bytes <= at) ++piece;
      const uint64_t hole_end = piece == filled.end() ? end : std::clamp(piece->offset, at, end);
      zero_part(chunk.buffer, at, hole_end - at);
      at = piece == filled.end() ? end : std::max(hole_end, piece->offset + piece->bytes);
    }
    begin += recx.count * shape.cell_bytes;
  }
}

}  // namespace cairn::client
