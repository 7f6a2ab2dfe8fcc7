// The one error vocabulary. Numbers equal the public DER_* values, so the C edge is a sign flip.
// A code stands here only if some caller reacts to it differently from the others.
#pragma once

#include <cstdint>

namespace cairn {

enum class Errc : int32_t {
  ok = 0,
  no_perm = 1001,         // not allowed, or the handle was not opened for this
  no_handle = 1002,       // unknown or closed handle
  invalid = 1003,         // the caller's argument is wrong; repeating it will not help
  exists = 1004,          // a conditional insert met an existing key, a label is taken
  nonexistent = 1005,     // what was asked for is not there
  unreachable = 1006,     // the peer cannot be contacted
  no_space = 1007,        // the medium or the budget is full; remove data or enlarge the pool
  already = 1008,         // was done before
  no_memory = 1009,       // an allocation or the memory budget failed
  no_sys = 1010,          // not implemented; the message says what to use instead
  timed_out = 1011,       // outcome unknown: ask before retrying
  busy = 1012,            // in use: close the other handles or stop the other process
  again = 1013,           // transient: retry
  protocol = 1014,        // versions do not fit
  uninitialized = 1015,   // the library was not initialised in this process
  truncated = 1016,       // the caller's buffer is too small
  overflow = 1017,        // a value does not fit its type
  canceled = 1018,        // the operation was cancelled before it changed anything
  misc = 1025,
  bad_path = 1026,
  not_dir = 1027,
  io = 2001,              // the medium failed; the shard has stopped if it was a write
  stale_map = 2007,       // refresh the pool map, then resend
  key_too_big = 2012,     // a key over the limit, or an enumeration buffer too small for one key
  record_too_big = 2013,  // a value does not fit the buffer
  io_invalid = 2014,
  shutdown = 2017,        // the engine is stopping
  in_progress = 2018,     // another transaction's outcome is awaited: retry
  checksum = 2021,        // bytes on the medium or the wire are damaged
  format_invalid = 2022,  // not a file of ours, or damaged beyond recognition
  format_newer = 2023,    // written by a newer version: upgrade this program
  record_size = 2024,
  tx_restart = 2025,      // conflicts with something newer: retry with a newer epoch
  data_loss = 2026,
  not_supported = 2037,   // well-formed, but this configuration cannot do it
  overload = 2048,        // resend later
  unknown = 501000,

  // Never leaves the store: a look-up met a page that is not in memory (index/pager.h).
  page_absent = 900001,
};

/// The symbolic name of a code, such as "no_space"; never null.
const char* errc_name(Errc code) noexcept;

}  // namespace cairn
