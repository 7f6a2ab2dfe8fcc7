// Updates: stage the data, plan, commit in one plain step, write the data beside the log, wait.
#include <algorithm>

#include "vos/plan.h"
#include "vos/request.h"

namespace cairn::vos {

namespace {

/// Staged data of one extent of one iod, of a single value, or of a long key's name.
struct StagedPart {
  Span span;  // records; single values and names: [0, 0)
  bool joined = false;
  Staged staged;
};

/// How often an update that found no free blocks waits for those that were just freed.
constexpr int kStageTriesMax = 4;

/// An update on its way. Lives in the frame of Shard::update.
struct Update {
  Update(Shard::State& s, const UpdateRequest& r) : state(s), request(r), path(r.object) {}

  Shard::State& state;
  const UpdateRequest& request;
  KeyPath path;
  CheckedRequest checked;
  std::vector<std::vector<StagedPart>> parts;  // of each iod
  std::vector<StagedPart> names;  // of the dkey, then of each iod, where they need blocks
  std::vector<size_t> name_of;    // index + 1 into names; [0] the dkey's, [i + 1] iod i's
  BlockCache cache;
  index::Batch batch;
  model::Epoch epoch = 0;
  std::vector<const Staged*> used;  // what the last plan published

  Result<void> check();
  Result<void> stage_all();
  Result<void> stage_iod(const CheckedIod& iod, std::vector<StagedPart>& out);
  Result<void> stage_name(ByteView key, model::KeyKind kind);
  uint64_t data_bytes() const;
  std::vector<index::Store::DataWrite> data_writes() const;
  void make_all_checksums();
  void cancel_all(bool only_unused);
  Result<void> plan();
  Result<void> plan_conditions(Plan& plan, Floor dkey_floor);
  Result<void> plan_name(Plan& plan, const Key& key, Floor floor, ByteView name, size_t which);
  Result<void> plan_iod(Plan& plan, size_t index, Floor dkey_floor);
  Result<void> plan_single(Plan& plan, size_t index, const AkeyState& akey);
  Result<void> plan_array(Plan& plan, size_t index, const AkeyState& akey, Floor floor);
  Result<bool> plan_inode(Plan& plan, size_t index, Floor floor);
  void put_array(Plan& plan, size_t index);
};

bool is_long_key(model::KeyKind kind, ByteView key) {
  return kind == model::KeyKind::hashed && key.size() > model::kKeyPrefixBytes;
}

/// The akey conditions of an iod.
uint64_t akey_flags(const UpdateRequest& request, const model::Iod& iod) {
  return (request.flags & model::cond::kPerAkey) != 0 ? iod.flags : request.flags;
}

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

Result<void> Update::stage_iod(const CheckedIod& c, std::vector<StagedPart>& out) {
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
  for (auto& list : parts) {
    for (StagedPart& part : list) make_checksums(part.staged);
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
    TRY(dead, parse_value(Kind::name, *found));
    const Key prefix = prefix_of_record(key);
    TRY(released, plan.release_data(prefix, 0, dead));
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

Result<void> Update::plan_single(Plan& plan, size_t index, const AkeyState& akey) {
  const CheckedIod& c = checked.iods[index];
  if (akey.exists && akey.type == model::ValueType::array) {
    return fail(Errc::no_perm, "update: the akey holds an array");
  }
  const Key key = record_key(c.akey_prefix, Kind::single);
  TRY(old, plan.look().view().get(key));
  if (old) {
    TRY(value, parse_value(Kind::single, *old));
    TRY(released, plan.release_data(c.akey_prefix, 0, value));
  }
  if (c.iod->record_bytes == 0) {
    if (old) plan.erase(key);
    put_present(plan.scratch(), plan.epoch(), model::ValueType::single, 0);
    plan.put(record_key(c.akey_prefix, Kind::present), plan.scratch());
    return {};
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
    payload.resize(count * record);
    IoVecCursor from(c.iod->buffer);
    from.skip(r.offset);
    from.copy_out(payload);
    put_extent_inlined(plan.scratch(), plan.epoch(), {count, record, false}, payload);
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
  plan.put(record_key(c.akey_prefix, Kind::present), plan.scratch());
  return {};
}

Result<void> Update::plan_iod(Plan& plan, size_t index, Floor dkey_floor) {
  using namespace model::cond;
  const CheckedIod& c = checked.iods[index];
  TRY(floor, plan.look().akey_floor(c.akey_prefix, dkey_floor));
  TRY(akey, plan.look().akey(c.akey_prefix, floor));
  const uint64_t wanted = akey_flags(request, *c.iod);
  if ((wanted & kAkeyUpdate) != 0) {
    if (!akey.exists) return fail(Errc::nonexistent, "update: no such akey");
  } else if ((wanted & kAkeyInsert) != 0 && akey.exists) {
    return fail(Errc::exists, "update: the akey exists");
  }
  if (is_long_key(path.akey_kind(), c.iod->akey) && !akey.has_name) {
    TRY(named,
        plan_name(plan, record_key(c.akey_prefix, Kind::name), floor, c.iod->akey, index + 1));
  }
  if (c.iod->type == model::ValueType::single) return plan_single(plan, index, akey);
  return plan_array(plan, index, akey, floor);
}

Result<void> Update::plan() {
  used.clear();
  epoch = request.epoch;
  if (epoch == 0) {
    epoch = state.next_epoch();
  } else {
    TRY(sound, state.check_given_epoch(epoch));
  }
  Plan plan(state, path, epoch, cache);
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
  if (plan.bytes() > state.record_bytes_max) {
    return fail(Errc::no_space, "update: too many pieces for one log record; split the call");
  }
  TRY(prepared, state.tree().prepare(plan.batch()));
  batch = std::move(plan.batch());
  return {};
}

/// Plans until nothing is missing. Holds a read pin, so that blocks in the cache stay what they
/// were.
Task<Result<void>> plan_loaded(Update& update) {
  index::Store& store = *update.state.store;
  const auto pin = store.pin_reads();
  index::Store::Attempt attempt(store);
  update.cache.wanted.clear();  // noted before the pin
  for (;;) {
    auto planned = update.plan();
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    if (update.cache.wanted.empty()) {
      CO_TRY(loaded, co_await store.load_absent(attempt));
    } else {
      // The block may be of an update whose data is still on its way to the medium.
      CO_TRY(settled, co_await update.state.settle());
      CO_TRY(loaded, co_await fill_cache(store, update.cache));
    }
  }
}

/// Reserves blocks for all data once more after there were too few: admit() waits for those that
/// were freed last.
Task<Result<void>> stage_patiently(Update& update, Result<void> staged) {
  index::Store& store = *update.state.store;
  for (int tries = 0; tries < kStageTriesMax && !staged &&
                      staged.error().code() == Errc::no_space && store.stats().data.deferred != 0;
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

/// What is usual goes by plain calls: a coroutine costs as much as a look-up.
Task<Result<model::Epoch>> run_update(Update& update) {
  Shard::State& state = update.state;
  index::Store& store = *state.store;
  CO_TRY(checked, update.check());
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
  if (ready) ready = update.plan();
  if (!ready && ready.error().code() == Errc::page_absent) ready = co_await plan_loaded(update);
  if (!ready) {
    const auto ended = co_await early.finish();
    update.cancel_all(false);
    CO_TRY(settled, co_await state.settle());
    co_return fail(ended ? ready.error() : ended.error());
  }
  const Origin& origin = update.request.origin;
  const media::Lsn at =
      state.commit({origin.session, origin.sequence, update.epoch, 0, 0}, update.batch);
  update.cancel_all(true);
  if (!update.used.empty()) {
    CO_TRY(written, co_await write_rest(update, at, early));
  }
  CO_TRY(durable, co_await store.durable(at));
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
