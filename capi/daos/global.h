// Handles in portable form (daos_*_local2global): small checksummed blobs. For now those of pools
// and containers can be used only in the process that made them.
#pragma once

#include <daos_types.h>

#include <array>

#include "base/result.h"
#include "base/uuid.h"

namespace cairn::capi {

enum class GlobalKind : uint32_t { pool = 1, container = 2, array = 3 };

/// 72 bytes for every kind.
struct GlobalBlob {
  uint64_t magic = 0;
  uint64_t process = 0;           // of the maker
  uint64_t cookie = 0;            // pool, container: its handle; array: bytes per cell
  uint64_t extra = 0;             // array: cells per chunk
  std::array<uint64_t, 2> oid{};  // array
  Uuid owner;                     // pool: itself; container: itself; array: its container
  GlobalKind kind = GlobalKind::pool;
  uint32_t checksum = 0;  // of everything before; the mode of an array stands in `process`
};
static_assert(sizeof(GlobalBlob) == 72);

/// Names this process; other processes have other numbers.
uint64_t this_process();

/// Answers a local2global call: the size for a NULL buffer, else the blob.
/// @error invalid  NULL iov   @error truncated  the buffer is short; iov_buf_len is what is needed
Result<void> export_blob(GlobalBlob blob, d_iov_t* out);
/// @error invalid  not a blob of that kind, or damaged
Result<GlobalBlob> import_blob(const d_iov_t& in, GlobalKind kind);

}  // namespace cairn::capi
