// Byte and record arrays on objects: the layout of the DAOS array API (cell i lives in dkey
// i / chunk_cells + 1 under akey "0" at index i % chunk_cells). For libdaos arrays and dfs files.
#pragma once

#include "client/client.h"

namespace cairn::client {

struct ArrayShape {
  uint64_t cell_bytes = 1;
  uint64_t chunk_cells = 1u << 20;
};
/// A run of cells.
struct CellRange {
  uint64_t index = 0;
  uint64_t count = 0;
};
using CellRanges = SmallVector<CellRange, 1>;
struct ArrayRead {
  uint64_t cells_read = 0;        // requested cells before the end of the array
  uint64_t cells_short = 0;       // requested cells beyond it
};

/// Writes ranges from `buffer` in order; chunks go in parallel, each chunk atomic by itself.
/// @error invalid  the buffer's length is not the ranges' or ranges overlap
Task<Result<void>> array_write(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                               CellRanges ranges, IoVecs buffer);
/// Reads; `zero_holes` (byte arrays): holes before the end become zeros and ArrayRead is filled,
/// bytes past the end stay untouched. Otherwise holes stay untouched and ArrayRead stays zero.
Task<Result<ArrayRead>> array_read(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                                   CellRanges ranges, IoVecs buffer, bool zero_holes);
/// Highest written cell + 1.
Task<Result<uint64_t>> array_size(ContainerPtr container, model::ObjectId oid, ArrayShape shape);
/// Shrinks or grows as daos_array_set_size does (see reference object.md section 3).
Task<Result<void>> array_set_size(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                                  uint64_t cells);
/// Makes the ranges holes.
Task<Result<void>> array_punch(ContainerPtr container, model::ObjectId oid, ArrayShape shape,
                               CellRanges ranges);

}  // namespace cairn::client
