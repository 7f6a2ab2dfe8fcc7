// Removing many records: what punches and the work in the background share. Internal to vos/.
// Home: the shard's reactor. Plain calls.
#pragma once

#include "vos/plan.h"

namespace cairn::vos {

/// Records that one slice in the background takes.
inline constexpr size_t kRemovalSlice = 512;

/// What was found below a prefix.
struct Removal {
  size_t records = 0;     // visible or not, names included
  bool complete = false;  // all of them are in the plan
  Key next;               // unless complete: where to go on
};

/// Plans the end of the object's flat record, if it has one whose epoch is at or below `until`.
/// What its buffer left outside says nothing by itself, and the record without it is damage: it
/// goes before the rest, or with all of it. @returns is there one?
Result<bool> end_flat(Plan& plan, model::Epoch until);

/// Plans the end of every record below `prefix` whose epoch is at or below `until`, at that epoch,
/// at most `max` of them, from `from` on; of a whole object the flat record first.
Result<Removal> remove_below(Plan& plan, ByteView prefix, ByteView from, model::Epoch until,
                             size_t max);

/// Too much for one step: less of it may fit.
inline bool is_short(const Error& error) {
  return error.code() == Errc::no_space || error.code() == Errc::no_memory;
}

}  // namespace cairn::vos
