#include "vos/value_pack.h"

#include "vos/data_io.h"
#include "vos/epoch_view.h"
#include "vos/flat_clean.h"
#include "vos/flat_pack.h"
#include "vos/packed_format.h"
#include "vos/removal.h"

namespace cairn::vos {

namespace {

/// Of an extent, and fewer where memory, pages or runs of blocks are short: each may take a path of
/// pages of its own.
constexpr size_t kValuesMax = 128;
constexpr size_t kValuesMin = 8;

struct Packing {
  Packing(Shard::State& s, const ObjectPath& o)
      : state(s), object(o), path(o), next(path.object()) {}

  /// One that moves.
  struct Value {
    Key key;
    Bytes raw;                // its record as it is
    uint64_t payload_at = 0;  // in the extent
    uint64_t payload_bytes = 0;
  };

  Shard::State& state;
  ObjectPath object;
  KeyPath path;
  Key next;
  bool seen_all = false;
  size_t values_max = kValuesMax;
  std::vector<Value> values;
  Bytes bytes;  // of the extent
  uint64_t change_bytes = 0;
  std::optional<Staged> staged;
  index::Batch batch;

  bool is_full() const {
    return values.size() >= values_max || bytes.size() >= kPackBytesMax ||
           change_bytes > state.record_bytes_max / 2;
  }
  /// At most an eighth of the blocks' bytes is lost.
  bool fills_its_blocks() const {
    return 8 * bytes.size() >= 7 * round_up(bytes.size(), kDataBlockBytes);
  }
  /// A transaction or a punch of the object is not over: nothing of it moves.
  bool is_held() const {
    const KeyRange range{Level::object, path.object(), {}, {}};
    return state.unresolved.meets(range, Unresolved::Intent::change) != nullptr ||
           state.markers.any(path.object());
  }
  Result<void> add(ByteView key, ByteView raw);
  Result<void> collect();
  Task<Result<void>> collect_loaded();
  void trim();
  Result<bool> plan();
  Task<Result<bool>> plan_loaded();
  Task<Result<void>> run();
};

Result<void> Packing::add(ByteView key, ByteView raw) {
  TRY(parsed, parse_key(key));
  if (parsed.kind != Kind::single) return {};
  TRY(value, parse_value(parsed.kind, raw));
  if (value.form != Form::inlined || value.payload_bytes < kPackedValueMin ||
      value.payload_bytes > kPackedValueMax) {
    return {};
  }
  bytes.resize(round_up(bytes.size(), kFlatAlign));
  put_packed_value(bytes, key, value.inlined);
  values.push_back({Key(key), Bytes(raw.begin(), raw.end()), bytes.size() - value.payload_bytes,
                    value.payload_bytes});
  change_bytes += 2 * key.size() + 128;
  return {};
}

/// One step; goes on where a page was missing.
Result<void> Packing::collect() {
  constexpr int kLooksMax = 4096;
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(next));
  for (int looks = 0; looks < kLooksMax && !is_full(); ++looks) {
    if (!cursor.valid() || !starts_with(cursor.key(), path.object())) {
      seen_all = true;
      return {};
    }
    TRY(added, add(cursor.key(), cursor.value()));
    next = Key(cursor.key());
    next.add(0);
    TRY(moved, cursor.next());
  }
  return {};
}

Task<Result<void>> Packing::collect_loaded() {
  index::Store::Attempt attempt(*state.store);
  while (!is_full() && !seen_all) {
    if (state.closures.of(object.container, kWrite) != nullptr) {
      attempt.release();
      CO_TRY(open, co_await wait_open(state, object.container, kWrite));
    }
    const auto collected = collect();
    if (!collected && collected.error().code() != Errc::page_absent) co_return collected;
    if (!collected) {
      CO_TRY(loaded, co_await state.store->load_absent(attempt));
      continue;
    }
    // It has got further, and others may need the memory.
    attempt.release();
    co_await state.reactor.yield();
  }
  co_return Result<void>{};
}

/// The last ones may leave most of a block empty: they stay in their pages.
void Packing::trim() {
  while (!values.empty() && !fills_its_blocks()) {
    values.pop_back();
    bytes.resize(values.empty() ? 0 : values.back().payload_at + values.back().payload_bytes);
  }
  bytes.resize(round_up(bytes.size(), kDataBlockBytes));
}

/// One step. False: nothing moves.
Result<bool> Packing::plan() {
  batch.clear();
  if (is_held()) {
    seen_all = true;  // so would the next ones be
    return false;
  }
  PackRecord made{staged->data.runs[0].count, 0, 0};
  Bytes record;
  for (const Value& value : values) {
    TRY(found, state.tree().get(value.key));
    if (!found || as_chars(*found) != as_chars(value.raw)) continue;
    put_packed_data(record, epoch_of(value.raw), value.payload_bytes, staged->data,
                    value.payload_at);
    // So that pages that are nearly empty now are merged.
    batch.erase(value.key);
    batch.put(value.key, record);
    ++made.objects;
    made.bytes += round_up(packed_bytes(value.key.size(), value.payload_bytes), kFlatAlign);
  }
  if (made.objects == 0) return false;
  put_pack(record, state.newest, made);
  batch.put(pack_key(object.container, staged->data.runs[0].block), record);
  for (const index::BatchData& data : staged->published) batch.publish(data);
  if (batch.record_bytes() > state.record_bytes_max) {
    return fail(Errc::no_space, "flatten: too many values to be moved by one log record");
  }
  TRY(prepared, state.tree().prepare(batch));
  return true;
}

Task<Result<bool>> Packing::plan_loaded() {
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    if (state.closures.of(object.container, kWrite) != nullptr) {
      attempt.release();
      CO_TRY(open, co_await wait_open(state, object.container, kWrite));
      continue;
    }
    auto planned = plan();
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    CO_TRY(loaded, co_await state.store->load_absent(attempt));
  }
}

Task<Result<void>> Packing::run() {
  index::Store& store = *state.store;
  CO_TRY(admitted, co_await store.admit());
  CO_TRY(made, stage_flat(store, bytes));
  staged.emplace(std::move(made));
  // Before anybody can see it: epochs are old ones, so no reader would wait for it.
  const auto job = co_await store.start_data({staged->writes.begin(), staged->writes.end()});
  const auto written = co_await store.finish_data(job);
  Result<bool> planned = false;
  if (written) planned = co_await plan_loaded();
  if (!written || !planned || !*planned) {
    store.cancel_data(staged->data.runs);
    if (!written) co_return written;
    if (!planned) co_return fail(planned.error());
    co_return Result<void>{};
  }
  state.flats.add_pack(object.container);
  const media::Lsn at = state.commit({0, 0, state.next_epoch(), 0, 0}, batch);
  store.data_written(at);
  CO_TRY(durable, co_await store.durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await store.end_step());
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<void>> pack_values(Shard::State& state, const ObjectPath& object) {
  Packing packing(state, object);
  while (!packing.seen_all && !packing.is_held() && !state.gate.closed()) {
    const Key begin = packing.next;
    packing.values.clear();
    packing.bytes.clear();
    packing.change_bytes = 0;
    CO_TRY(collected, co_await packing.collect_loaded());
    packing.trim();
    if (packing.values.empty()) continue;
    // Before blocks are reserved and written for nothing.
    if (packing.is_held() || state.gate.closed()) break;
    const auto done = co_await packing.run();
    if (!done && is_short(done.error()) && packing.values_max > kValuesMin) {
      packing.values_max /= 4;
      packing.next = begin;
      packing.seen_all = false;
      continue;
    }
    if (!done) co_return done;
  }
  co_return Result<void>{};
}

}  // namespace cairn::vos
