// The arithmetic of arrays: ranges of cells and a scattered buffer, cut into chunks. Pure; internal
// to client/.
#pragma once

#include "client/array.h"

namespace cairn::client {

using Pieces = model::FetchedIod::Pieces;

/// What one call moves: extents of one dkey and the parts of the caller's buffer that belong to
/// them.
struct Chunk {
  uint64_t dkey = 0;
  model::Recxs recxs;
  IoVecs buffer;
  uint64_t bytes = 0;
};
using Chunks = SmallVector<Chunk, 1>;

/// Cell index 0 of the chunk with this dkey (> 0).
inline uint64_t first_cell(const ArrayShape& shape, uint64_t dkey) {
  return (dkey - 1) * shape.chunk_cells;
}
inline uint64_t dkey_of(const ArrayShape& shape, uint64_t cell) {
  return cell / shape.chunk_cells + 1;
}

/// @error invalid  a shape of zero, ranges that overlap or pass the end of what can be addressed
Result<void> check_ranges(const ArrayShape& shape, const CellRanges& ranges);
/// Cuts checked ranges, one Chunk per dkey, ascending; empty ranges vanish.
/// @error invalid  the buffer's length is not the ranges'
Result<Chunks> cut_into_chunks(const ArrayShape& shape,
                                           const CellRanges& ranges,
                                           const IoVecs& buffer);
/// Zeroes what a read left out (`filled`: the parts that it did fill) of the cells before
/// `cells_end`.
void zero_holes(const ArrayShape& shape, const Chunk& chunk, const Pieces& filled,
                uint64_t cells_end);

}  // namespace cairn::client
