// Updates: stage the data, plan, commit in one plain step, write the data beside the log, wait.
#include "vos/update.h"

#include <algorithm>

#include "vos/aside.h"
#include "vos/epoch_view.h"
#include "vos/flat_inflate.h"
#include "vos/validation.h"

namespace cairn::vos {

namespace {

bool is_long_key(model::KeyKind kind, ByteView key) {
  return kind == model::KeyKind::hashed && key.size() > model::kKeyPrefixBytes;
}

/// The akey conditions of an iod.
uint64_t akey_flags(const UpdateRequest& request, const model::Iod& iod) {
  return (request.flags & model::cond::kPerAkey) != 0 ? iod.flags : request.flags;
}

}  // namespace

Result<void> Update::check() {
  using namespace model::cond;
  if ((request.flags & (kPunch | kDkeyFetch | kAkeyFetch)) != 0) {
    return fail(Errc::invalid, "update: a condition that only punch or fetch knows");
  }
  if ((request.flags & kPerAkey) != 0 && (request.flags & (kAkeyInsert | kAkeyUpdate)) != 0) {
    return fail(Errc::invalid, "update: akey conditions both per akey and for all");
  }
  TRY(done, check_request(path, request.dkey, request.iods, checked));
  for (const CheckedIod& c : checked.iods) {
    const model::Iod& iod = *c.iod;
    if (iod.record_bytes != 0 && total_bytes(iod.buffer) < c.record_count * iod.record_bytes) {
      return fail(Errc::record_too_big, "update: the buffer is shorter than the records");
    }
    // Both would have checksum records, and those of a name and of a single value have one key.
    constexpr uint64_t kChecksumsInlineBytes = kInlineChecksumsMax * kDataBlockBytes;
    if (iod.type == model::ValueType::single && iod.akey.size() > kChecksumsInlineBytes &&
        iod.record_bytes > kChecksumsInlineBytes) {
      return fail(Errc::not_supported,
                  "update: a single value above 64 KiB under an akey above 64 KiB");
    }
  }
  if (checked.iods.size() == 1) return {};
  std::vector<ByteView> keys;
  for (const CheckedIod& c : checked.iods) keys.push_back(c.akey_prefix.view());
  std::sort(keys.begin(), keys.end(),
            [](ByteView a, ByteView b) { return as_chars(a) < as_chars(b); });
  for (size_t i = 1; i < keys.size(); ++i) {
    if (as_chars(keys[i]) == as_chars(keys[i - 1])) {
      return fail(Errc::no_perm, "update: two iods name one akey");
    }
  }
  return {};
}

Result<void> Update::stage_name(ByteView key, model::KeyKind kind) {
  name_of.push_back(0);
  if (!is_long_key(kind, key) || key.size() <= kInlineBytesMax) return {};
  std::vector<IoVec> pieces{{const_cast<std::byte*>(key.data()), key.size()}};
  IoVecCursor from(pieces);
  TRY(staged, stage(*state.store, from, key.size()));
  names.push_back({{}, false, std::move(staged)});
  name_of.back() = names.size();
  return {};
}

Result<void> Update::stage_iod(const CheckedIod& c, StagedParts& out) {
  const model::Iod& iod = *c.iod;
  const uint64_t record = iod.record_bytes;
  if (record == 0) return {};
  if (iod.type == model::ValueType::single) {
    if (record <= kInlineBytesMax) return {};
    IoVecCursor from(iod.buffer);
    TRY(staged, stage(*state.store, from, record));
    out.push_back({{}, false, std::move(staged)});
    return {};
  }
  for (const KeptRecx& r : c.recxs) {
    if ((r.span.end - r.span.begin) * record <= kInlineBytesMax) continue;
    IoVecCursor from(iod.buffer);
    from.skip(r.offset);
    uint64_t each = std::max<uint64_t>(1, kExtentBytesMax / record);
    for (uint64_t at = r.span.begin; at < r.span.end;) {
      const uint64_t count = std::min(each, r.span.end - at);
      auto staged = stage(*state.store, from, count * record);
      // Free space in many small runs: shorter extents find room.
      if (!staged && staged.error().code() == Errc::no_space && count > 1 &&
          state.store->stats().data.available() >= (count * record) / kDataBlockBytes + 1) {
        each = count / 2;
        continue;
      }
      if (!staged) return fail(staged.error());
      out.push_back({{at, at + count}, at != r.span.begin, std::move(*staged)});
      at += count;
    }
  }
  return {};
}

Result<void> Update::stage_all() {
  parts.clear();
  names.clear();
  name_of.clear();
  TRY(dkey_name, stage_name(request.dkey, path.dkey_kind()));
  parts.resize(checked.iods.size());
  for (size_t i = 0; i < checked.iods.size(); ++i) {
    TRY(name, stage_name(checked.iods[i].iod->akey, path.akey_kind()));
    TRY(staged, stage_iod(checked.iods[i], parts[i]));
  }
  return {};
}

/// Bytes of all data but the names'.
uint64_t payload_bytes(const UpdateRequest& request) {
  uint64_t bytes = 0;
  for (const model::Iod& iod : request.iods) bytes += total_bytes(iod.buffer);
  return bytes;
}

uint64_t Update::data_bytes() const {
  uint64_t bytes = 0;
  for (const auto& list : parts) {
    for (const StagedPart& part : list) bytes += part.staged.bytes;
  }
  return bytes;
}

std::vector<index::Store::DataWrite> Update::data_writes() const {
  std::vector<index::Store::DataWrite> writes;
  for (const auto& list : parts) {
    for (const StagedPart& part : list) {
      writes.insert(writes.end(), part.staged.writes.begin(), part.staged.writes.end());
    }
  }
  return writes;
}

void Update::make_all_checksums() {
  for (size_t i = 0; i < parts.size(); ++i) {
    const model::Iod& iod = *checked.iods[i].iod;
    KnownCrcs known;
    if (!iod.buffer.empty()) known = {iod.buffer[0].data, iod.block_crcs};
    for (StagedPart& part : parts[i]) make_checksums(part.staged, known);
  }
  for (StagedPart& part : names) make_checksums(part.staged);
}

void Update::cancel_all(bool only_unused) {
  const auto cancel = [&](const StagedPart& part) {
    const bool is_used = std::find(used.begin(), used.end(), &part.staged) != used.end();
    if (!only_unused || !is_used) state.store->cancel_data(part.staged.data.runs);
  };
  for (const auto& list : parts) {
    if (!only_unused) std::for_each(list.begin(), list.end(), cancel);
  }
  std::for_each(names.begin(), names.end(), cancel);
}

std::vector<const Staged*> Update::staged() const {
  std::vector<const Staged*> all;
  for (const StagedPart& name : names) all.push_back(&name.staged);
  for (const auto& list : parts) {
    for (const StagedPart& part : list) all.push_back(&part.staged);
  }
  return all;
}

void Update::pend_name(PendingRecords& out, const Key& key, ByteView name, size_t which) const {
  Bytes value;
  if (name_of[which] == 0) {
    put_inlined(value, out.epoch(), name);
    out.add(key, value);
    return;
  }
  const Staged& staged = names[name_of[which] - 1].staged;
  put_data(value, out.epoch(), staged.bytes, staged.data);
  out.add(key, value, &staged);
  out.add_checksums(prefix_of_record(key), 0, staged.data);
}

void Update::pend_iod(PendingRecords& out, size_t index) const {
  const CheckedIod& c = checked.iods[index];
  const uint64_t record = c.iod->record_bytes;
  Bytes value;
  Bytes payload;
  if (record == 0) {
    // A single value has no spans.
    for (const Span& span : c.spans) {
      put_hole(value, out.epoch(), span.end - span.begin);
      out.add(hole_key(c.akey_prefix, span.end), value);
    }
    put_present(value, out.epoch(), c.iod->type, 0);
    out.add(record_key(c.akey_prefix, Kind::present), value);
    return;
  }
  if (c.iod->type == model::ValueType::single) {
    if (parts[index].empty()) {
      payload.resize(record);
      IoVecCursor(c.iod->buffer).copy_out(payload);
      put_inlined(value, out.epoch(), payload);
      out.add(record_key(c.akey_prefix, Kind::single), value);
      return;
    }
    const Staged& staged = parts[index][0].staged;
    put_data(value, out.epoch(), staged.bytes, staged.data);
    out.add(record_key(c.akey_prefix, Kind::single), value, &staged);
    out.add_checksums(c.akey_prefix, 0, staged.data);
    return;
  }
  for (const KeptRecx& r : c.recxs) {
    const uint64_t count = r.span.end - r.span.begin;
    if (count * record > kInlineBytesMax) continue;
    payload.resize(count * record);
    IoVecCursor from(c.iod->buffer);
    from.skip(r.offset);
    from.copy_out(payload);
    put_extent_inlined(value, out.epoch(), {count, record, false}, payload);
    out.add(extent_key(c.akey_prefix, r.span.end), value);
  }
  for (const StagedPart& part : parts[index]) {
    put_extent_data(value, out.epoch(), {part.span.end - part.span.begin, record, part.joined},
                    part.staged.data);
    out.add(extent_key(c.akey_prefix, part.span.end), value, &part.staged);
    out.add_checksums(c.akey_prefix, part.span.end, part.staged.data);
  }
}

void Update::pend(PendingRecords& out) const {
  // Names go along even where they are there: others may remove them meanwhile.
  if (is_long_key(path.dkey_kind(), request.dkey)) {
    pend_name(out, dkey_name_key(checked.dkey_prefix), request.dkey, 0);
  }
  for (size_t i = 0; i < checked.iods.size(); ++i) {
    const CheckedIod& c = checked.iods[i];
    if (is_long_key(path.akey_kind(), c.iod->akey)) {
      pend_name(out, record_key(c.akey_prefix, Kind::name), c.iod->akey, i + 1);
    }
    pend_iod(out, i);
  }
}

std::vector<KeyRange> Update::ranges() const {
  using namespace model::cond;
  std::vector<KeyRange> ranges;
  if ((request.flags & (kDkeyInsert | kDkeyUpdate)) != 0) {
    ranges.push_back({Level::dkey, path.object(), checked.dkey_prefix, {}});
    return ranges;
  }
  for (const CheckedIod& c : checked.iods) {
    ranges.push_back({Level::akey, path.object(), checked.dkey_prefix, c.akey_prefix});
  }
  return ranges;
}

Result<void> Update::plan_conditions(Plan& plan, Floor dkey_floor) {
  using namespace model::cond;
  const uint64_t wanted = request.flags & (kDkeyInsert | kDkeyUpdate);
  if (wanted == 0) return {};
  TRY(exists, plan.look().dkey_exists(checked.dkey_prefix, dkey_floor, {}, nullptr));
  if ((wanted & kDkeyUpdate) != 0) {
    if (!exists) return fail(Errc::nonexistent, "update: no such dkey");
    return {};
  }
  if (exists) return fail(Errc::exists, "update: the dkey exists");
  return {};
}

Result<void> Update::plan_name(Plan& plan, const Key& key, Floor floor, ByteView name,
                               size_t which) {
  TRY(found, plan.look().view().get(key));
  if (found) {
    if (epoch_of(*found) > floor) return {};
    TRY(ended, plan.end_value(prefix_of_record(key), 0, key, Kind::name, *found,
                              Ending::replaced));
  }
  if (name_of[which] == 0) {
    put_inlined(plan.scratch(), plan.epoch(), name);
    plan.put(key, plan.scratch());
    return {};
  }
  const Staged& staged = names[name_of[which] - 1].staged;
  put_data(plan.scratch(), plan.epoch(), staged.bytes, staged.data);
  plan.put(key, plan.scratch());
  const Key prefix = prefix_of_record(key);
  plan.put_checksum_records(prefix, 0, plan.epoch(), staged.data);
  used.push_back(&staged);
  return {};
}

Result<void> Update::plan_single(Plan& plan, size_t index, const AkeyState& akey, const Key& key,
                                 std::optional<ByteView> old) {
  const CheckedIod& c = checked.iods[index];
  if (akey.exists && akey.type == model::ValueType::array) {
    return fail(Errc::no_perm, "update: the akey holds an array");
  }
  const bool punches = c.iod->record_bytes == 0;
  if (old) {
    TRY(ended, plan.end_value(c.akey_prefix, 0, key, Kind::single, *old,
                              punches ? Ending::removed : Ending::replaced));
  }
  if (punches) {
    put_present(plan.scratch(), plan.epoch(), model::ValueType::single, 0);
    return plan.put_mark(record_key(c.akey_prefix, Kind::present), Kind::present, plan.scratch());
  }
  if (parts[index].empty()) {
    IoVecCursor from(c.iod->buffer);
    ByteView value = from.take(c.iod->record_bytes);
    Bytes gathered;
    if (value.size() != c.iod->record_bytes) {
      gathered.resize(c.iod->record_bytes);
      IoVecCursor(c.iod->buffer).copy_out(gathered);
      value = gathered;
    }
    put_inlined(plan.scratch(), plan.epoch(), value);
    plan.put(key, plan.scratch());
    return {};
  }
  const Staged& staged = parts[index][0].staged;
  put_data(plan.scratch(), plan.epoch(), staged.bytes, staged.data);
  plan.put(key, plan.scratch());
  plan.put_checksum_records(c.akey_prefix, 0, plan.epoch(), staged.data);
  used.push_back(&staged);
  return {};
}

void Update::put_array(Plan& plan, size_t index) {
  const CheckedIod& c = checked.iods[index];
  const uint64_t record = c.iod->record_bytes;
  Bytes payload;
  for (const KeptRecx& r : c.recxs) {
    const uint64_t count = r.span.end - r.span.begin;
    if (count * record > kInlineBytesMax) continue;
    IoVecCursor from(c.iod->buffer);
    from.skip(r.offset);
    ByteView whole = from.take(count * record);
    if (whole.size() != count * record) {
      payload.assign(whole.begin(), whole.end());
      payload.resize(count * record);
      from.copy_out(ByteSpan(payload).subspan(whole.size()));
      whole = payload;
    }
    put_extent_inlined(plan.scratch(), plan.epoch(), {count, record, false}, whole);
    plan.put(extent_key(c.akey_prefix, r.span.end), plan.scratch());
  }
  for (const StagedPart& part : parts[index]) {
    plan.put_extent(c.akey_prefix, part.span.begin,
                    {part.span.end - part.span.begin, record, part.joined}, plan.epoch(),
                    part.staged.data);
    used.push_back(&part.staged);
  }
}

/// A write into a DFS inode (88 records of one byte, written whole before) gives one new record,
/// not one more for each attribute that was ever set. False: it is not such a write.
Result<bool> Update::plan_inode(Plan& plan, size_t index, Floor floor) {
  const CheckedIod& c = checked.iods[index];
  if (c.iod->record_bytes != 1 || c.spans.back().end > kPackedBytes) return false;
  const Key key = extent_key(c.akey_prefix, kPackedBytes);
  TRY(found, plan.look().view().get(key));
  if (!found || epoch_of(*found) <= floor) return false;
  TRY(old, parse_extent(kPackedBytes, *found));
  if (old.begin != 0 || old.value.form == Form::data) return false;
  Bytes inode(kPackedBytes);
  copy_inlined(old.value, 0, inode);
  for (const KeptRecx& r : c.recxs) {
    IoVecCursor from(c.iod->buffer);
    from.skip(r.offset);
    from.copy_out(ByteSpan(inode).subspan(r.span.begin, r.span.end - r.span.begin));
  }
  TRY(ended, plan.end_value(c.akey_prefix, kPackedBytes, key, Kind::extent, *found,
                            Ending::replaced));
  put_extent_inlined(plan.scratch(), plan.epoch(), {kPackedBytes, 1, false}, inode);
  plan.put(key, plan.scratch());
  return true;
}

Result<void> Update::plan_array(Plan& plan, size_t index, const AkeyState& akey, Floor floor) {
  const CheckedIod& c = checked.iods[index];
  const uint64_t record = c.iod->record_bytes;
  if (akey.exists && akey.type == model::ValueType::single) {
    return fail(Errc::no_perm, "update: the akey holds a single value");
  }
  if (record != 0 && akey.record_bytes != 0 && record != akey.record_bytes) {
    return fail(Errc::invalid, "update: the akey's records have another size");
  }
  TRY(rewritten, plan_inode(plan, index, floor));
  if (rewritten) return {};
  TRY(cleared, plan.clear_spans(c.akey_prefix, floor, c.spans));
  if (record != 0) {
    put_array(plan, index);
    return {};
  }
  put_present(plan.scratch(), plan.epoch(), model::ValueType::array, akey.record_bytes);
  return plan.put_mark(record_key(c.akey_prefix, Kind::present), Kind::present, plan.scratch());
}

Result<void> Update::plan_iod(Plan& plan, size_t index, Floor dkey_floor) {
  using namespace model::cond;
  const CheckedIod& c = checked.iods[index];
  TRY(floor, plan.look().akey_floor(c.akey_prefix, dkey_floor));
  const bool is_single = c.iod->type == model::ValueType::single;
  const bool is_long = is_long_key(path.akey_kind(), c.iod->akey);
  Key single;
  std::optional<ByteView> old;
  if (is_single) {
    single = record_key(c.akey_prefix, Kind::single);
    TRY(found, plan.look().view().get(single));
    old = found;
  }
  // A visible single value says it all, but for the name.
  AkeyState akey{.exists = true, .type = model::ValueType::single};
  if (is_long || !old || epoch_of(*old) <= floor) {
    TRY(looked, plan.look().akey(c.akey_prefix, floor));
    akey = looked;
  }
  const uint64_t wanted = akey_flags(request, *c.iod);
  if ((wanted & kAkeyUpdate) != 0) {
    if (!akey.exists) return fail(Errc::nonexistent, "update: no such akey");
  } else if ((wanted & kAkeyInsert) != 0 && akey.exists) {
    return fail(Errc::exists, "update: the akey exists");
  }
  if (is_long && !akey.has_name) {
    TRY(named,
        plan_name(plan, record_key(c.akey_prefix, Kind::name), floor, c.iod->akey, index + 1));
  }
  if (is_single) return plan_single(plan, index, akey, single, old);
  return plan_array(plan, index, akey, floor);
}

Result<void> Update::plan_into(Plan& plan) {
  used.clear();
  TRY(dkey_floor, plan.look().dkey_floor(checked.dkey_prefix));
  TRY(conditions, plan_conditions(plan, dkey_floor));
  if (is_long_key(path.dkey_kind(), request.dkey)) {
    TRY(named, plan_name(plan, dkey_name_key(checked.dkey_prefix), dkey_floor, request.dkey, 0));
  }
  for (size_t i = 0; i < checked.iods.size(); ++i) {
    TRY(planned, plan_iod(plan, i, dkey_floor));
  }
  for (const Staged* staged : used) {
    for (const index::BatchData& data : staged->published) plan.publish(data);
  }
  return {};
}

bool Update::approach() {
  // An epoch that its caller has drawn must not be overtaken.
  if (request.epoch != 0 || !state.reactor.has_company()) return false;
  state.tree().approach(first_key(), way);
  state.approaching.push_back(this);
  state.store->expect(1);
  return true;
}

void Update::arrive() {
  // A few updates take as long as memory does.
  constexpr size_t kAhead = 4;
  auto& all = state.approaching;
  const auto own = std::find(all.begin(), all.end(), this);
  CHECK(own != all.end());
  all.erase(own);
  state.store->expect(-1);
  if (all.size() < kAhead) return;
  const Update& other = *all[kAhead - 1];
  state.tree().approach_entry(other.first_key(), other.way);
}

Result<void> Update::plan() {
  const index::Tree::Near near(state.tree(), way);
  too_large = false;
  TRY(open, state.worm.check_open(request.object.container));
  if (state.unresolved.count() != 0) {
    TRY(free, check_free(state, ranges(), Unresolved::Intent::change));
  }
  epoch = request.epoch;
  if (epoch == 0) {
    epoch = state.next_epoch();
  } else {
    TRY(sound, state.check_given_epoch(epoch));
    TRY(unread, check_unread(state, ranges(), epoch));
  }
  FlatPlanning flat;
  TRY(inflated, flat.begin(state, path, checked.dkey_prefix, cache));
  Plan plan(state, path, epoch, cache, flat.view(state));
  TRY(planned, plan_into(plan));
  if (flat.bytes(plan) <= state.record_bytes_max) {
    batch = flat.finish(plan);
    auto ready = state.tree().prepare(batch);
    if (ready || ready.error().code() != Errc::no_memory) return ready;
  }
  TRY(ahead, inflate_ahead(state, path, &checked.dkey_prefix, cache));
  if (ahead) return this->plan();
  too_large = true;
  return fail(Errc::no_space, "update: too many pieces for one log record, or for one step");
}

/// Small extents are worth merging once there are many.
void Update::note_small() {
  bool any = false;
  for (const CheckedIod& c : checked.iods) {
    size_t small = 0;
    for (const KeptRecx& r : c.recxs) {
      small += (r.span.end - r.span.begin) * c.iod->record_bytes < kMergedPieceBytesMax ? 1 : 0;
    }
    if (c.iod->record_bytes == 0 || small == 0) continue;
    state.merges.note(c.akey_prefix, small);
    any = true;
  }
  if (any && !state.merges.empty()) state.merges_moved.wake_all();
}

namespace {

/// Plans until nothing is missing. Holds a read pin, so that blocks in the cache stay what they
/// were.
Task<Result<void>> plan_loaded(Update& update) {
  index::Store& store = *update.state.store;
  const auto pin = store.pin_reads();
  Patience patience;
  index::Store::Attempt attempt(store);
  update.cache.wanted.clear();  // noted before the pin
  for (;;) {
    const ContNumber container = update.request.object.container;
    if (update.state.closures.of(container, kWrite) != nullptr) {
      CO_TRY(open, co_await wait_open(update.state, container, kWrite));
    }
    auto planned = update.plan();
    if (!planned && planned.error().code() == Errc::in_progress) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(update.state, patience));
      continue;
    }
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    if (update.cache.wanted.empty()) {
      CO_TRY(loaded, co_await load_absent(update.state, attempt));
    } else {
      // The block may be of an update whose data is still on its way to the medium.
      CO_TRY(settled, co_await update.state.settle());
      CO_TRY(loaded, co_await fill_cache(store, update.cache));
    }
  }
}

/// What large values in buffers need may have been freed just before.
Task<Result<void>> plan_patiently(Update& update) {
  index::Store& store = *update.state.store;
  auto ready = co_await plan_loaded(update);
  for (int tries = 0;
       tries < kStageTriesMax && !ready && !update.too_large && update.cache.lays() &&
       ready.error().code() == Errc::no_space && store.waits_for_blocks();
       ++tries) {
    CO_TRY(admitted, co_await store.admit());
    ready = co_await plan_loaded(update);
  }
  co_return ready;
}

/// What is usual goes by plain calls: a coroutine costs as much as a look-up.
/// @returns true  planned   false: go the long way
Result<bool> planned_at_once(Update& update) {
  const ContNumber container = update.request.object.container;
  if (update.state.closures.of(container, kWrite) != nullptr) return false;
  const auto planned = update.plan();
  if (planned) return true;
  const Errc code = planned.error().code();
  update.state.flats.forget_miss();
  if (code == Errc::page_absent || code == Errc::in_progress) return false;
  return fail(planned.error());
}

/// Reserves blocks for all data once more after there were too few: admit() waits for those that
/// were freed last.
Task<Result<void>> stage_patiently(Update& update, Result<void> staged) {
  index::Store& store = *update.state.store;
  for (int tries = 0; tries < kStageTriesMax && !staged &&
                      staged.error().code() == Errc::no_space && store.waits_for_blocks();
       ++tries) {
    update.cancel_all(false);
    CO_TRY(again, co_await store.admit());
    staged = update.stage_all();
  }
  co_return staged;
}

/// Large data that is under way before its record is built. Waited for exactly once, whatever
/// becomes of the update: blocks under a write must not be given to others.
struct EarlyData {
  index::Store& store;
  index::Store::DataJobPtr job;

  Task<Result<void>> finish() {
    if (!job) co_return Result<void>{};
    co_return co_await store.finish_data(std::exchange(job, {}));
  }
};

/// Has large data under way and makes the checksums beside it. Where others use the log, a very
/// large update comes to it only when its data is done, so that nobody's answer waits for it.
Task<Result<void>> begin_large(Update& update, EarlyData& early) {
  early.job = co_await early.store.start_data(update.data_writes());
  update.make_all_checksums();
  if (update.data_bytes() > kBesideBytesMax && !early.store.log_idle()) {
    co_return co_await early.finish();
  }
  co_return Result<void>{};
}

/// Small data that the log carries needs a copy, and no wait.
bool kept_at_once(Update& update, media::Lsn at) {
  const bool single = update.used.size() == 1 && update.data_bytes() == update.used[0]->bytes;
  return single && update.state.store->keep_logged(at, update.used[0]->writes);
}

/// Writes what is not under way yet beside the log, and waits for all data of the record `at`.
Task<Result<void>> write_rest(Update& update, media::Lsn at, EarlyData& early) {
  std::vector<index::Store::DataWrite> rest;
  if (update.data_bytes() < kEarlyBytesMin) rest = update.data_writes();
  for (const StagedPart& part : update.names) {
    const auto& used = update.used;
    if (std::find(used.begin(), used.end(), &part.staged) == used.end()) continue;
    rest.insert(rest.end(), part.staged.writes.begin(), part.staged.writes.end());
  }
  if (rest.empty()) {
    CO_TRY(done, co_await early.finish());
    early.store.data_written(at);
    co_return Result<void>{};
  }
  auto done = co_await early.finish();
  auto written = co_await early.store.write_data(at, std::move(rest));
  co_return done ? written : done;
}

/// In the step of a plan that was too large for one record: the update stands aside in pieces, the
/// last of which decides that all of it has happened.
Task<Result<model::Epoch>> run_in_pieces(Update& update, EarlyData& early) {
  Shard::State& state = update.state;
  const TxId id{kOwnTxIds, update.epoch};
  PendingRecords pending(update.epoch);
  pending.next_op();
  update.pend(pending);
  const auto stands = stand_aside(state, id, pending);
  // Where that failed, the store has stopped: write_aside() says so.
  [[maybe_unused]] const auto ended = co_await early.finish();
  if (!stands) {
    update.cancel_all(false);
    co_return fail(stands.error());
  }
  CO_TRY(written,
         co_await write_aside(state, id, pending, TxState::committed, update.request.origin));
  start_folding(state, id);
  co_return update.epoch;
}

Task<Result<model::Epoch>> run_update(Update& update) {
  Shard::State& state = update.state;
  index::Store& store = *state.store;
  CO_TRY(checked, update.check());
  if (update.approach()) {
    co_await state.reactor.yield_behind();
    update.arrive();
  }
  IoRoom::Hold room;
  if (const uint64_t bytes = payload_bytes(update.request); bytes > kInlineBytesMax) {
    auto now = state.write_room.take_now(bytes);
    room = now ? std::move(*now) : co_await state.write_room.take(bytes);
  }
  if (!store.admits()) {
    CO_TRY(admitted, co_await store.admit());
  }
  auto ready = update.stage_all();
  if (!ready) ready = co_await stage_patiently(update, ready);
  EarlyData early{store, {}};
  if (ready) {
    if (update.data_bytes() >= kEarlyBytesMin) {
      ready = co_await begin_large(update, early);
    } else {
      update.make_all_checksums();
    }
  }
  if (ready) {
    const auto at_once = planned_at_once(update);
    if (!at_once) ready = fail(at_once.error());
    if (at_once && !*at_once) ready = co_await plan_patiently(update);
  }
  if (!ready && update.too_large) co_return co_await run_in_pieces(update, early);
  if (!ready) {
    // That it is sealed counts more than that there was no room.
    if (auto open = state.worm.check_open(update.request.object.container); !open) ready = open;
    const auto ended = co_await early.finish();
    update.cancel_all(false);
    CO_TRY(settled, co_await state.settle());
    co_return fail(ended ? ready.error() : ended.error());
  }
  const Origin& origin = update.request.origin;
  media::Lsn at = 0;
  {
    const index::Tree::Near near(state.tree(), update.way);
    at = state.commit({origin.session, origin.sequence, update.epoch, 0, 0}, update.batch);
  }
  state.keep_batch(std::move(update.batch));
  update.cancel_all(true);
  update.note_small();
  if (!update.used.empty() && !kept_at_once(update, at)) {
    CO_TRY(written, co_await write_rest(update, at, early));
  }
  CO_TRY(durable, co_await store.reached(at));
  if (state.evicting) {
    CO_TRY(ended, co_await store.end_step());
  }
  co_return update.epoch;
}

}  // namespace

Task<Result<model::Epoch>> Shard::update(const UpdateRequest& request) {
  CO_TRY(hold, state_->gate.enter());
  if (request.origin.session != 0) {
    CO_TRY(first, co_await begin_once(*state_, request.origin));
    if (first) co_return *first;
  }
  Update update(*state_, request);
  auto done = co_await run_update(update);
  end_once(*state_, request.origin, done);
  co_return done;
}

}  // namespace cairn::vos
