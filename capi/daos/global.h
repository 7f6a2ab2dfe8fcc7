// Handles in portable form (daos_*_local2global): small checksummed blobs. In the process that made
// it a blob gives one more handle on the same connection or container; in another process of the
// same system a handle attached to the maker's, which ends with it.
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
  uint64_t cookie = 0;            // pool, container: its handle in the maker; array: bytes per cell
  uint64_t extra = 0;             // pool, container: its id in the system; array: cells per chunk
  std::array<uint64_t, 2> oid{};  // pool, container: UUID of the system; array: the object
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
/// Writes and checks whose blob it is: of a pool or container.
void set_system(GlobalBlob& blob, const Uuid& system);
/// @error invalid  another system's
Result<void> check_system(const GlobalBlob& blob, const Uuid& system);
/// @error invalid  not a blob of that kind, or damaged
Result<GlobalBlob> import_blob(const d_iov_t& in, GlobalKind kind);

}  // namespace cairn::capi
