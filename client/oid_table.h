// Object id tables: the objects of a snapshot, written into an object of the same container, each
// with room for a marker. The snapshot notes when its table is whole. Layout: object of type 14,
// class S1, `lo` the epoch; per object a dkey of 16 bytes (hi, lo, big-endian) whose akey "m" is a
// single value: the marker, empty for none. Home: the container's reactor.
#pragma once

#include "client/client.h"

namespace cairn::client {

inline constexpr size_t kMarkerBytesMax = 32;

/// Builds the table of a snapshot, or builds it anew. Tables do not stand in tables.
/// @error nonexistent  no snapshot of that epoch
Task<Result<void>> table_create(ContainerPtr container, model::Epoch epoch);
/// @error nonexistent  no snapshot of that epoch, or it has no table
Task<Result<void>> table_destroy(ContainerPtr container, model::Epoch epoch);
/// @error nonexistent  no snapshot of that epoch, or it has no whole table
Task<Result<void>> table_check(ContainerPtr container, model::Epoch epoch);

struct TablePage {
  std::vector<model::ObjectId> oids;
  std::vector<Bytes> markers;  // of each, if asked for
  Bytes position;
  bool eof = false;
};
struct TableRequest {
  Bytes position;              // of the page before; empty: from the start
  uint32_t count_max = 0;
  bool with_markers = false;
};
Task<Result<TablePage>> table_list(ContainerPtr container, model::Epoch epoch,
                                   TableRequest request);
/// @param marker  1 to kMarkerBytesMax bytes; empty: none any more
/// @error nonexistent  the table has no such object   @error invalid  too long
Task<Result<void>> table_mark(ContainerPtr container, model::Epoch epoch, model::ObjectId oid,
                              Bytes marker);

}  // namespace cairn::client
