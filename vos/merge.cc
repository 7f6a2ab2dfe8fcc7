#include "vos/merge.h"

#include <algorithm>

#include "base/hash.h"
#include "base/report.h"
#include "vos/flat_clean.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

/// Records that one step looks at before it lets others in.
constexpr size_t kStepRecordsMax = 1024;
/// Pieces of one run: what one log record and one step take.
constexpr size_t kPiecesMax = 256;
/// The shard is at rest when nothing was written for this long.
constexpr Duration kRest = 20 * kMillisecond;
/// Between two looks at what others hold.
constexpr Duration kRestTaken = 100 * kMillisecond;

Key key_of(ByteView bytes) {
  Key key;
  key.add(bytes);
  return key;
}

struct Piece {
  Key key;
  Bytes raw;  // the value as it was read: the same bytes later mean that nothing has changed
  uint64_t begin = 0, end = 0;
  uint64_t bytes = 0;
  model::Epoch epoch = 0;
};

/// Extents that may become one.
struct Run {
  std::vector<Piece> pieces;
  uint64_t record_bytes = 0;
  uint64_t bytes = 0;
  uint64_t largest = 0;
  model::Epoch newest = 0;
  bool joined = false;
  model::Epoch seen_by = 0;  // the newest snapshot that does not see them

  void clear() { *this = Run{}; }
  /// Merging what is large already, again and again for small additions, would not pay.
  bool pays(bool eager) const {
    return pieces.size() > 1 && (eager || bytes >= 2 * largest);
  }
};

/// One akey on its way.
struct Merge {
  Merge(Shard::State& s, const ParsedKey& parsed, bool e, model::Epoch u)
      : state(s),
        path(ObjectPath{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)}),
        container(parsed.container),
        akey(path.akey(path.dkey(parsed.dkey), parsed.akey)),
        dkey(path.dkey(parsed.dkey)),
        eager(e),
        until(u),
        next(record_key(akey, Kind::extent)) {}

  Shard::State& state;
  KeyPath path;
  ContNumber container;
  Key akey, dkey;
  bool eager;
  model::Epoch until;  // newer extents stay as they are
  Key next;
  Run run;
  Bytes buffer;
  std::vector<DataRead> reads;
  std::optional<Staged> staged;
  BlockCache cache;
  index::Batch batch;

  Result<bool> find();
  Result<bool> add(const FoundExtent& extent, ByteView raw);
  Result<void> gather();
  Result<bool> plan();
  Result<bool> plan_end(Plan& plan, const Piece& piece);
};

/// Adds an extent to the run. False: it does not fit to it.
Result<bool> Merge::add(const FoundExtent& extent, ByteView raw) {
  const ValueView& v = extent.value;
  const uint64_t bytes = v.payload_bytes;
  const model::Epoch seen_by = state.snapshots.newest_in(container, 0, v.epoch);
  if (bytes >= kMergedPieceBytesMax || v.epoch > until) return false;
  if (run.pieces.size() == kPiecesMax) return false;
  if (!run.pieces.empty() &&
      (run.pieces.back().end != extent.begin || run.record_bytes != v.record_bytes ||
       run.seen_by != seen_by || run.bytes + bytes > kMergedExtentBytesMax)) {
    return false;
  }
  if (run.pieces.empty()) {
    run.record_bytes = v.record_bytes;
    run.seen_by = seen_by;
    run.joined = v.joined;
  }
  run.pieces.push_back({extent_key(akey, extent.end), Bytes(raw.begin(), raw.end()), extent.begin,
                        extent.end, bytes, v.epoch});
  run.bytes += bytes;
  run.largest = std::max(run.largest, bytes);
  run.newest = std::max(run.newest, v.epoch);
  return true;
}

/// Looks for the next run from `next` on. False: there is none; true with an empty run: not done.
Result<bool> Merge::find() {
  Look look(state, path);
  TRY(dkey_floor, look.dkey_floor(dkey));
  TRY(floor, look.akey_floor(akey, dkey_floor));
  const Key extents = record_key(akey, Kind::extent);
  run.clear();
  View::Cursor cursor(look.view(), akey);
  TRY(sought, cursor.seek(next));
  for (size_t looks = 0; cursor.valid() && starts_with(cursor.key(), extents); ++looks) {
    TRY(tail, parse_tail(cursor.key().subspan(akey.size())));
    TRY(extent, parse_extent(tail.position, cursor.value()));
    const bool alive = extent.value.epoch > floor;
    bool fits = false;
    if (alive) {
      TRY(added, add(extent, cursor.value()));
      fits = added;
    }
    if (!fits) {
      if (run.pays(eager)) return true;
      const bool again = !run.pieces.empty() && alive;
      run.clear();
      if (again) continue;  // it may begin the next run
    }
    if (looks >= kStepRecordsMax && run.pieces.empty()) {
      next = key_of(cursor.key());
      next.add(0);
      return true;
    }
    TRY(moved, cursor.next());
  }
  const bool pays = run.pays(eager);
  if (!pays) run.clear();
  return pays;
}

/// Copies what stands in the tree, and notes what must be read.
Result<void> Merge::gather() {
  buffer.resize(run.bytes);
  reads.clear();
  Look look(state, path);
  uint64_t at = 0;
  for (const Piece& p : run.pieces) {
    TRY(extent, parse_extent(p.end, p.raw));
    const ByteSpan into = ByteSpan(buffer).subspan(at, p.bytes);
    at += p.bytes;
    if (extent.value.form != Form::data) {
      copy_inlined(extent.value, 0, into);
      continue;
    }
    TRY(data, look.block_data(akey, p.end, extent.value));
    reads.push_back({std::move(data), 0, {{into.data(), into.size()}}});
  }
  return {};
}

/// False: the piece is not what it was.
Result<bool> Merge::plan_end(Plan& plan, const Piece& piece) {
  TRY(found, plan.look().view().get(piece.key));
  if (!found || as_chars(*found) != as_chars(piece.raw)) return false;
  TRY(value, parse_value(Kind::extent, piece.raw));
  if (piece.end != run.pieces.back().end) plan.erase(piece.key);
  if (value.form != Form::data) return true;
  TRY(data, parse_data(value));
  for (const media::Extent& blocks : data.runs) plan.free(blocks);
  const uint64_t blocks = data.block_count();
  for (uint64_t c = 0; value.checksums_apart && c * kChecksumsPerRecord < blocks; ++c) {
    plan.erase(checksums_key(akey, piece.end, c));
  }
  return true;
}

/// False: something has changed; nothing is to be done.
Result<bool> Merge::plan() {
  // A transaction that waits has an epoch; a piece that it covers must not become a newer one.
  if (state.unresolved.any(container)) return false;
  Plan plan(state, path, run.newest, cache);
  TRY(dkey_floor, plan.look().dkey_floor(dkey));
  TRY(floor, plan.look().akey_floor(akey, dkey_floor));
  for (const Piece& p : run.pieces) {
    if (p.epoch <= floor) return false;
    TRY(same, plan_end(plan, p));
    if (!same) return false;
  }
  const uint64_t begin = run.pieces.front().begin;
  const ExtentShape shape{run.pieces.back().end - begin, run.record_bytes, run.joined};
  if (staged) {
    plan.put_extent(akey, begin, shape, run.newest, staged->data);
    for (const index::BatchData& data : staged->published) plan.publish(data);
  } else {
    put_extent_inlined(plan.scratch(), run.newest, shape, buffer);
    plan.put(extent_key(akey, begin + shape.count), plan.scratch());
  }
  if (plan.bytes() > state.record_bytes_max) return false;
  TRY(prepared, state.tree().prepare(plan.batch()));
  // Whoever reads at an epoch between those of the pieces does not see them any more.
  plan.note_ended(path.object());
  plan.note_ended(dkey);
  batch = std::move(plan.batch());
  return true;
}

Task<Result<bool>> plan_loaded(Merge& merge) {
  Shard::State& state = merge.state;
  for (;;) {
    const auto closure = state.closures.of(merge.container, kWrite);
    // It may go back, and nobody waits for this.
    if (closure != nullptr && closure->kind == Closure::Kind::held) co_return false;
    if (closure != nullptr) {
      CO_TRY(open, co_await wait_open(state, merge.container, kWrite));
    }
    auto planned = merge.plan();
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    CO_TRY(loaded, co_await state.store->load_absent());
  }
}

/// Writes the run as one extent. True: done.
Task<Result<bool>> replace_run(Merge& merge) {
  Shard::State& state = merge.state;
  CO_TRY(admitted, co_await state.store->admit());
  merge.staged.reset();
  std::vector<IoVec> pieces{{merge.buffer.data(), merge.buffer.size()}};
  if (merge.run.bytes > kInlineBytesMax) {
    IoVecCursor from(pieces);
    CO_TRY(staged, stage(*state.store, from, merge.run.bytes));
    merge.staged.emplace(std::move(staged));
    make_checksums(*merge.staged);
    for (index::BatchData& data : merge.staged->published) data.payload = {};  // durable by itself
    // Before anybody can see it: its epoch is an old one, so no reader would wait for it.
    const auto job = co_await state.store->start_data(
        {merge.staged->writes.begin(), merge.staged->writes.end()});
    const auto written = co_await state.store->finish_data(job);
    if (!written) {
      state.store->cancel_data(merge.staged->data.runs);
      co_return fail(written.error());
    }
  }
  auto planned = co_await plan_loaded(merge);
  if (!planned || !*planned) {
    if (merge.staged) state.store->cancel_data(merge.staged->data.runs);
    co_return planned;
  }
  const media::Lsn at = state.commit({0, 0, state.next_epoch(), 0, 0}, merge.batch);
  if (merge.staged) state.store->data_written(at);
  CO_TRY(durable, co_await state.store->durable(at));
  co_return true;
}

/// Loads pages until `step` succeeds.
template <class Step>
auto retried(Shard::State& state, Step step) -> Task<decltype(step())> {
  for (;;) {
    auto done = step();
    if (done || done.error().code() != Errc::page_absent) co_return done;
    CO_TRY(loaded, co_await state.store->load_absent());
  }
}

/// No room: not an error of a merge.
bool is_short(const Error& error) {
  return error.code() == Errc::no_space || error.code() == Errc::no_memory;
}

/// Nobody waits for a merge, so it waits for nobody. A transaction that stands aside has an epoch:
/// a piece that it covers must not become a newer one. A container that is held may go back.
bool is_taken(Shard::State& state, ContNumber container) {
  const auto closure = state.closures.of(container, kWrite);
  return state.unresolved.any(container) ||
         (closure != nullptr && closure->kind == Closure::Kind::held);
}

/// False: others come first; it is to be looked at again.
Task<Result<bool>> merge_one_akey(Merge& merge) {
  Shard::State& state = merge.state;
  while (!state.gate.closed()) {
    if (state.checks != 0) co_return false;
    const auto pin = state.store->pin_reads();
    CO_TRY(more, co_await retried(state, [&] { return merge.find(); }));
    if (!more) break;
    if (!merge.run.pieces.empty()) {
      // Before anything is read or written for it.
      if (is_taken(state, merge.container)) co_return false;
      CO_TRY(gathered, co_await retried(state, [&] { return merge.gather(); }));
      CO_TRY(settled, co_await state.settle());
      std::vector<Task<Result<void>>> tasks;
      for (DataRead& read : merge.reads) {
        tasks.push_back(read_data(state.reactor, *state.store, std::move(read)));
      }
      CO_TRY(read, co_await run_all(state.reactor, std::move(tasks), kReadsMax));
      auto done = co_await replace_run(merge);
      if (!done && is_short(done.error())) break;
      if (!done) co_return fail(done.error());
      if (!*done && is_taken(state, merge.container)) co_return false;
      merge.next = key_of(merge.run.pieces.back().key);
      merge.next.add(0);
    }
    if (state.evicting) {
      CO_TRY(ended, co_await state.store->end_step());
    }
    co_await state.reactor.yield();
  }
  co_return true;
}

/// Nothing is merged any more.
bool is_at_end(const Shard::State& state) { return state.gate.closed() || state.store->stopped(); }

/// What one akey met is an error of merging only if it concerns all of them. Else the akey stays as
/// it is: reads and scrubs tell of what is damaged.
Result<bool> without_own_errors(Shard::State& state, Result<bool> merged) {
  if (merged || is_at_end(state)) return merged;
  if (merged.error().code() == Errc::unreachable) return false;  // held meanwhile
  if (is_short(merged.error())) return true;
  if (state.merges_failed++ == 0) {
    report(Severity::warning,
           "shard: small extents of an akey stay as they are (this is not told again): " +
               std::string(merged.error().what()));
  }
  return true;
}

/// The first akey of the container at or after `next` that holds an extent.
Result<std::optional<ParsedKey>> next_array(Shard::State& state, ContNumber container, Key& next) {
  const Key prefix = range_prefix(container, Range::live);
  index::Cursor cursor(state.tree());
  for (;;) {
    TRY(sought, cursor.seek(next));
    if (!cursor.valid() || !starts_with(cursor.key(), prefix)) return std::nullopt;
    TRY(levels, level_bytes(cursor.key()));
    TRY(parsed, parse_key(cursor.key()));
    if (levels.akey == 0) {
      next = key_of(cursor.key());
      next.add(0);
    } else if (parsed.kind == Kind::extent) {
      next = after_prefix(cursor.key().first(levels.akey));
      return parsed;
    } else {
      const Key akey = key_of(cursor.key().first(levels.akey));
      const Key extents = record_key(akey, Kind::extent);
      const bool before = as_chars(cursor.key()) < as_chars(extents);
      next = before ? extents : after_prefix(akey);
    }
  }
}

/// False: others come first; it waits in the queue again.
Task<Result<bool>> merge_akey(Shard::State& state, Key akey) {
  Key any = record_key(akey, Kind::single);
  CO_TRY(parsed, parse_key(any));
  Merge merge(state, parsed, false, model::kEpochMax);
  auto merged = co_await merge_one_akey(merge);
  CO_TRY(done, without_own_errors(state, std::move(merged)));
  if (!done) state.merges.put_back(akey);
  co_return done;
}

/// Akeys that one step of a pass looks at.
constexpr size_t kPassAkeysMax = 256;

enum class Step : uint8_t {
  goes_on,
  over,
  taken,  // by others: it goes on where it stands, later
};

Task<Result<Step>> step_pass(Shard::State& state, MergePass& pass) {
  if (pass.next.size() == 0) pass.next = range_prefix(pass.container, Range::live);
  for (size_t i = 0; i < kPassAkeysMax && !state.gate.closed(); ++i) {
    if (state.checks != 0) co_return Step::taken;
    const Key place = pass.next;
    const auto found =
        co_await retried(state, [&] { return next_array(state, pass.container, pass.next); });
    if (!found && is_short(found.error()) && !pass.at_once) co_return Step::taken;
    if (!found) co_return fail(found.error());
    if (!*found) co_return Step::over;
    Merge merge(state, **found, true, pass.until);
    auto merged = co_await merge_one_akey(merge);
    const bool unreadable = !merged && merged.error().code() == Errc::checksum;
    if (!merged && !unreadable && pass.at_once) co_return fail(merged.error());
    CO_TRY(done, without_own_errors(state, std::move(merged)));
    if (!done && (!pass.at_once || state.checks != 0)) {
      pass.next = place;
      co_return Step::taken;
    }
    // One that has nothing to merge costs time, too.
    co_await state.reactor.yield();
  }
  co_return Step::goes_on;
}

/// One step of the pass whose turn it is. False: others come first.
Task<Result<bool>> merge_pass(Shard::State& state) {
  MergePass pass = state.merges.take_pass();
  const auto step = co_await step_pass(state, pass);
  if (!step && is_at_end(state)) co_return fail(step.error());
  if (!step) {
    // Which akey comes next is not known.
    report(Severity::warning, "shard: a pass over container " + std::to_string(pass.container) +
                                  " ends at what cannot be read: " + step.error().what());
  }
  const bool taken = step && *step == Step::taken;
  if (!step || *step == Step::over) {
    state.merges.end(pass);
  } else {
    state.merges.go_on(std::move(pass));
  }
  co_return !taken;
}

}  // namespace

void MergeQueue::note(const Key& akey_prefix, size_t extents) {
  uint32_t& count = counters_[xxh3_64(akey_prefix) % counters_.size()];
  count += static_cast<uint32_t>(extents);
  if (count < kWorthALook || akeys_.size() == kAkeysMax) return;
  count = 0;
  akeys_.emplace_back(akey_prefix.view().begin(), akey_prefix.view().end());
}

Key MergeQueue::take() {
  const Key akey = key_of(akeys_.front());
  akeys_.pop_front();
  return akey;
}

void MergeQueue::put_back(const Key& akey_prefix) {
  if (akeys_.size() == kAkeysMax) return;
  akeys_.emplace_back(akey_prefix.view().begin(), akey_prefix.view().end());
}

void MergePass::ask_again(model::Epoch epoch) {
  until = std::max(until, epoch);
  if (next.size() != 0) again = std::max(again, epoch);
}

Result<void> MergeQueue::ask_for_pass(ContNumber container, model::Epoch until) {
  const auto known = std::ranges::find(passes_, container, &MergePass::container);
  if (known != passes_.end()) {
    known->ask_again(until);
    return {};
  }
  if (passes_.size() == kPassesMax) {
    return fail(Errc::overload, "merge: too many containers wait for a pass");
  }
  passes_.push_back({.container = container, .until = until, .next = {}});
  return {};
}

MergePass MergeQueue::take_pass() {
  MergePass pass = std::move(passes_.front());
  passes_.pop_front();
  return pass;
}

void MergeQueue::go_on(MergePass pass) {
  const auto anew = std::ranges::find(passes_, pass.container, &MergePass::container);
  if (anew == passes_.end()) {
    passes_.push_back(std::move(pass));
    return;
  }
  pass.ask_again(anew->until);
  *anew = std::move(pass);
}

void MergeQueue::end(const MergePass& pass) {
  if (pass.again == 0) return;
  const auto anew = std::ranges::find(passes_, pass.container, &MergePass::container);
  if (anew == passes_.end()) {
    passes_.push_back({.container = pass.container, .until = pass.again, .next = {}});
  } else {
    anew->ask_again(pass.again);
  }
}

Task<void> run_merges(Shard::State& state) {
  Duration rest = kRest;
  bool akeys_taken = false;  // what others hold does not keep passes waiting
  while (!state.gate.closed()) {
    if (state.merges.empty() && !state.flats.any_dirty()) {
      co_await state.merges_moved.wait();
      continue;
    }
    const model::Epoch before = state.newest;
    co_await state.reactor.sleep(rest);
    const media::SpaceUsage data = state.store->stats().data;
    const bool at_rest = state.newest == before || data.available() <= data.total / 8;
    if (state.gate.closed() || state.checks != 0) continue;
    // While others are at work, only what somebody has asked for.
    if (!at_rest && !state.merges.has_pass()) continue;
    const bool akey =
        at_rest && state.merges.has_akey() && !(akeys_taken && state.merges.has_pass());
    state.merging = true;
    Result<bool> done{true};
    if (akey) {
      done = co_await merge_akey(state, state.merges.take());
    } else if (state.merges.has_pass()) {
      done = co_await merge_pass(state);
    } else if (at_rest) {
      const auto cleaned = co_await clean_dirty(state);
      if (!cleaned) done = fail(cleaned.error());
    }
    state.merging = false;
    state.merges_moved.wake_all();
    if (!done && done.error().code() != Errc::shutdown) {
      report(Severity::error,
             "shard: tidying up in the background ends until the pool is opened again; " +
                 std::string(done.error().what()));
    }
    if (!done) break;
    akeys_taken = akey && !*done;
    rest = *done ? kRest : kRestTaken;
  }
  state.merges_over = true;
  state.merges_moved.wake_all();
}

Task<Result<void>> Shard::aggregate_container(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  State& state = *state_;
  MergePass pass{.container = container, .until = model::kEpochMax, .next = {}, .at_once = true};
  for (Step step = Step::goes_on; step != Step::over && !state.gate.closed();) {
    CO_TRY(stepped, co_await step_pass(state, pass));
    step = stepped;
    if (step == Step::taken) co_await state.reactor.sleep(kRest);
  }
  co_return co_await state.settle();
}

Result<void> Shard::aggregate_later(ContNumber container, model::Epoch until) {
  TRY(hold, state_->gate.enter());
  State& state = *state_;
  if (container == 0) return fail(Errc::invalid, "container 0 is the shard's own");
  if (state.store->stopped()) return fail(Errc::io, "shard: it has stopped");
  if (state.merges_over)
    return fail(Errc::not_supported, "merge: it is switched off, or has failed");
  TRY(asked, state.merges.ask_for_pass(container, until == 0 ? state.newest : until));
  state.merges_moved.wake_all();
  return {};
}

}  // namespace cairn::vos
