#include "vos/removal.h"

namespace cairn::vos {

Result<bool> end_flat(Plan& plan, model::Epoch until) {
  const Key key = flat_key(plan.look().path().object());
  TRY(raw, plan.look().view().get(key));
  if (!raw || epoch_of(*raw) > until) return false;
  TRY(ended, plan.end_record(key, Kind::flat, *raw, until, Ending::removed));
  return true;
}

Result<Removal> remove_below(Plan& plan, ByteView prefix, ByteView from, model::Epoch until,
                             size_t max) {
  Removal removal;
  // A slice ends also in what stays, so that a long run of that is not walked again and again; and
  // where its record would get large for the log.
  const size_t looks_max = 8 * max;
  const uint64_t bytes_max = plan.bytes() + plan.look().state().record_bytes_max / 2;
  size_t looks = 0;
  const Key& object = plan.look().path().object();
  if (as_chars(prefix) == as_chars(object.view()) && max > 0) {
    TRY(was_flat, end_flat(plan, until));
    removal.records += was_flat ? 1 : 0;
  }
  View::Cursor cursor(plan.look().view(), prefix);
  TRY(sought, cursor.seek(from));
  for (; cursor.valid() && starts_with(cursor.key(), prefix); ++looks) {
    if (removal.records == max || looks == looks_max || plan.bytes() > bytes_max) {
      removal.next.add(cursor.key());
      return removal;
    }
    if (epoch_of(cursor.value()) <= until) {
      TRY(parsed, parse_key(cursor.key()));
      if (parsed.kind != Kind::flat) {
        TRY(ended,
            plan.end_record(cursor.key(), parsed.kind, cursor.value(), until, Ending::removed));
        ++removal.records;
      }
    }
    TRY(moved, cursor.next());
  }
  removal.complete = true;
  return removal;
}

}  // namespace cairn::vos
