// Flattening: what objects show is gathered, read and encoded; buffers of many are written side by
// side; then one log record exchanges the objects' records for theirs, of those that still are what
// they were. Until that record is durable an object is what it was, from then on it is flat.
#include "vos/flatten.h"

#include <algorithm>
#include <memory>

#include "runtime/parallel.h"
#include "vos/epoch_view.h"
#include "vos/flat_clean.h"
#include "vos/flat_codec.h"
#include "vos/flat_gather.h"
#include "vos/flat_pack.h"
#include "vos/removal.h"
#include "vos/value_pack.h"

namespace cairn::vos {

namespace {

constexpr size_t kPackObjectsMax = 1024;
/// Objects that are looked at and read side by side: few until it is known how large they are.
constexpr size_t kGathersFirst = 4, kGathersMax = 256;

using Gathers = std::vector<std::unique_ptr<FlatGather>>;

/// Until the container may be written. False: that may take long, and the caller does not wait.
Task<Result<bool>> open_or_shut(Shard::State& state, ContNumber container, bool waits) {
  while (const auto closure = state.closures.of(container, kWrite)) {
    if (waits) {
      CO_TRY(open, co_await wait_open(state, container, kWrite));
    } else if (closure->kind == Closure::Kind::frozen) {
      co_await closure->moved.wait();
    } else {
      co_return false;
    }
  }
  co_return true;
}

/// Looks at an object. One for which memory is short, or blocks for what is taken out of its
/// buffer, stays as it is, and the others go on.
Task<Result<void>> look_at(Shard::State& state, FlatGather& object, bool waits) {
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    CO_TRY(open, co_await open_or_shut(state, object.object().container, waits));
    if (!open) {
      object.result.outcome = FlattenOutcome::pending;
      co_return Result<void>{};
    }
    auto looked = object.look();
    if (!looked && looked.error().code() == Errc::page_absent) {
      looked = co_await load_absent(state, attempt);
      if (looked) continue;
    }
    if (!looked && is_short(looked.error())) {
      object.result = {.outcome = FlattenOutcome::too_large};
      object.was_short = true;
      co_return Result<void>{};
    }
    co_return looked;
  }
}

/// Looks at objects, and reads what their buffers get.
Task<Result<void>> gather(Shard::State& state, const Gathers& objects, bool waits) {
  const auto pin = state.store->pin_reads();
  std::vector<Task<Result<void>>> looks;
  for (const auto& object : objects) looks.push_back(look_at(state, *object, waits));
  CO_TRY(looked, co_await run_all(state.reactor, std::move(looks), kReadsMax));
  for (const auto& object : objects) {
    if (!object->was_short || objects.size() == 1) continue;
    // The others may have taken what it needed.
    CO_TRY(again, co_await look_at(state, *object, waits));
  }
  std::vector<DataRead> reads;
  for (const auto& object : objects) {
    if (object->result.outcome != FlattenOutcome::flattened) continue;
    std::ranges::move(object->reads, std::back_inserter(reads));
  }
  if (!reads.empty()) {
    // Data of an update that is not durable yet may not be on the medium.
    CO_TRY(settled, co_await state.settle());
    CO_TRY(done, co_await read_neighbours(state.reactor, *state.store, std::move(reads)));
  }
  for (const auto& object : objects) {
    if (object->result.outcome == FlattenOutcome::flattened) object->encode();
  }
  co_return Result<void>{};
}

/// Objects of one container whose buffers share an extent.
struct Pack {
  Pack(Shard::State& s, std::span<std::unique_ptr<FlatGather>> o, bool w)
      : state(s), objects(o), waits(w) {}

  Shard::State& state;
  std::span<std::unique_ptr<FlatGather>> objects;
  const bool waits;  // FlattenOptions
  std::vector<FlatPlace> places;
  Bytes bytes;
  std::optional<Staged> staged;
  index::Batch batch;
  size_t exchanged = 0;
  bool too_large = false;  // for one log record

  Result<void> stage_all();
  void cancel_all();
  std::vector<index::Store::DataWrite> writes() const;
  Result<void> plan();
  Task<Result<void>> plan_loaded();
  Task<Result<void>> run();
};

Result<void> Pack::stage_all() {
  bytes.clear();
  places.clear();
  for (const auto& object : objects) {
    bytes.resize(round_up(bytes.size(), kFlatAlign));
    places.push_back({0, static_cast<uint32_t>(bytes.size()),
                      static_cast<uint32_t>(object->buffer.size()), object->checksum});
    bytes.insert(bytes.end(), object->buffer.begin(), object->buffer.end());
  }
  bytes.resize(round_up(bytes.size(), kDataBlockBytes));
  TRY(made, stage_flat(*state.store, bytes));
  staged.emplace(std::move(made));
  for (const auto& object : objects) {
    auto outside = object->stage_outside();
    if (outside) continue;
    cancel_all();
    return outside;
  }
  for (FlatPlace& place : places) place.block = staged->data.runs[0].block;
  return {};
}

void Pack::cancel_all() {
  state.store->cancel_data(staged->data.runs);
  for (const auto& object : objects) object->cancel_outside();
}

std::vector<index::Store::DataWrite> Pack::writes() const {
  std::vector<index::Store::DataWrite> all(staged->writes.begin(), staged->writes.end());
  for (const auto& object : objects) object->add_writes(all);
  return all;
}

/// One step. @error page_absent; no_space (also where `too_large`), no_memory: fewer objects may
/// fit
Result<void> Pack::plan() {
  Overlay changes(state.tree());
  PackRecord record{staged->data.runs[0].count, 0, 0};
  exchanged = 0;
  batch.clear();
  for (size_t i = 0; i < objects.size(); ++i) {
    FlatGather& object = *objects[i];
    object.result.outcome = FlattenOutcome::flattened;
    TRY(done, object.exchange(changes, batch, places[i]));
    if (!done) continue;
    ++exchanged;
    ++record.objects;
    record.bytes += places[i].room();
  }
  if (exchanged == 0) return {};
  batch.fill_leaves();
  changes.emit(batch);
  Bytes value;
  put_pack(value, state.newest, record);
  batch.put(pack_key(objects[0]->object().container, places[0].block), value);
  for (const index::BatchData& data : staged->published) batch.publish(data);
  if (batch.record_bytes() > state.record_bytes_max) {
    too_large = true;
    return fail(Errc::no_space, "flatten: too many changes for one log record");
  }
  return state.tree().prepare(batch);
}

/// Nothing is exchanged where the container is shut.
Task<Result<void>> Pack::plan_loaded() {
  index::Store::Attempt attempt(*state.store);
  Flats::Hold flats;
  const ContNumber container = objects[0]->object().container;
  for (;;) {
    CO_TRY(open, co_await open_or_shut(state, container, waits));
    if (!open) {
      exchanged = 0;
      for (const auto& object : objects) object->result.outcome = FlattenOutcome::pending;
      co_return Result<void>{};
    }
    auto planned = plan();
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    CO_TRY(loaded, co_await load_absent(state, attempt, flats));
  }
}

Task<Result<void>> Pack::run() {
  index::Store& store = *state.store;
  CO_TRY(admitted, co_await store.admit());
  auto ready = stage_all();
  for (int tries = 0; tries < kStageTriesMax && !ready && store.waits_for_blocks(); ++tries) {
    CO_TRY(again, co_await store.admit());
    ready = stage_all();
  }
  if (!ready) co_return ready;
  // Before anybody can see it: its objects' epochs are old ones, so no reader would wait for it.
  const auto job = co_await store.start_data(writes());
  ready = co_await store.finish_data(job);
  if (ready) ready = co_await plan_loaded();
  if (!ready || exchanged == 0) {
    cancel_all();
    co_return ready;
  }
  state.flats.add_pack(objects[0]->object().container);
  const model::Epoch epoch = state.next_epoch();
  const media::Lsn at = state.commit({0, 0, epoch, 0, 0}, batch);
  store.data_written(at);
  for (const auto& object : objects) {
    if (object->result.outcome == FlattenOutcome::flattened) {
      object->committed(epoch);
    } else {
      object->cancel_outside();
    }
  }
  CO_TRY(durable, co_await store.durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await store.end_step());
  }
  co_return Result<void>{};
}

/// Fewer at once where memory, pages, free runs of blocks or a log record are short.
Task<Result<void>> write_packs(Shard::State& state, Gathers& gathers, bool waits) {
  size_t at_once = gathers.size();
  for (size_t first = 0; first < gathers.size();) {
    const size_t count = std::min(at_once, gathers.size() - first);
    Pack pack(state, std::span(gathers).subspan(first, count), waits);
    auto done = co_await pack.run();
    if (!done && is_short(done.error()) && count > 1) {
      at_once = (count + 1) / 2;
      continue;
    }
    if (!done && (pack.too_large || done.error().code() == Errc::no_memory)) {
      // One log record cannot hold it, or one step: larger than the log, or the shard's memory, is
      // made for.
      gathers[first]->result = {.outcome = FlattenOutcome::too_large};
      done = {};
    }
    if (!done) co_return done;
    first += count;
  }
  co_return Result<void>{};
}

/// Compresses some of the buffers that share an extent.
/// @param step  every so many, from the first on; those that have been compressed stay
Task<FlatSaving> compress(Shard::State& state, FlatCodec& codec, const Gathers& gathers,
                          size_t step, std::vector<std::optional<Bytes>>& compressed) {
  constexpr uint64_t kBytesAtOnce = 64u << 10;
  FlatSaving saving;
  uint64_t since = 0;
  for (size_t i = 0; i < gathers.size(); i += step) {
    const Bytes& buffer = gathers[i]->buffer;
    if (!compressed[i]) {
      compressed[i] = codec.compress(buffer);
      since += buffer.size();
    }
    saving.add(buffer, *compressed[i]);
    if (since < kBytesAtOnce) continue;
    since = 0;
    co_await state.reactor.yield();
  }
  co_return saving;
}

/// Buffers that share an extent are compressed if that makes all of them together enough smaller: a
/// few of them say if it is worth trying. One that does not shrink stays as it is.
Task<void> compress_worthwhile(Shard::State& state, FlatCodec& codec, Gathers& gathers) {
  constexpr size_t kTriedFirst = 8;
  std::vector<std::optional<Bytes>> compressed(gathers.size());
  const size_t step = (gathers.size() + kTriedFirst - 1) / kTriedFirst;
  const FlatSaving tried = co_await compress(state, codec, gathers, step, compressed);
  if (!tried.pays()) co_return;
  const FlatSaving all = co_await compress(state, codec, gathers, 1, compressed);
  if (!all.pays()) co_return;
  for (size_t i = 0; i < gathers.size(); ++i) {
    if (!compressed[i]->empty()) gathers[i]->compressed_to(std::move(*compressed[i]));
  }
}

/// A call on its way.
struct Flattening {
  Shard::State& state;
  const std::vector<ObjectPath>& objects;
  const FlattenOptions& options;
  std::vector<Flattened> results;
  FlatCodec codec = {};
  size_t next = 0;                 // to be gathered
  size_t at_once = kGathersFirst;  // so many
  Gathers ahead = {};              // gathered, up to `next`; those that stay as they are among them

  bool is_over() const { return next == objects.size() && ahead.empty(); }
  Task<Result<void>> gather_some();
  Task<Result<void>> write_some();
};

/// The next ones.
Task<Result<void>> Flattening::gather_some() {
  for (; next < objects.size() && ahead.size() < at_once; ++next) {
    ahead.push_back(std::make_unique<FlatGather>(state, objects[next], options));
  }
  CO_TRY(gathered, co_await gather(state, ahead, options.waits));
  uint64_t bytes = 1;
  for (const auto& object : ahead) bytes += object->buffer.size() + object->fresh_bytes();
  at_once = std::clamp<size_t>(kPackBytesMax * ahead.size() / bytes, 1, kGathersMax);
  co_return Result<void>{};
}

/// As many objects as share an extent.
Task<Result<void>> Flattening::write_some() {
  Gathers gathers;
  std::vector<size_t> which;
  uint64_t bytes = 0;
  uint64_t change_bytes = 0;
  while (!is_over() && gathers.size() < kPackObjectsMax && bytes < kPackBytesMax &&
         change_bytes <= state.record_bytes_max / 2) {
    if (ahead.empty()) {
      CO_TRY(gathered, co_await gather_some());
    }
    const size_t index = next - ahead.size();
    if (!gathers.empty() && objects[index].container != gathers[0]->object().container) break;
    auto object = std::move(ahead.front());
    ahead.erase(ahead.begin());
    if (object->result.outcome != FlattenOutcome::flattened) {
      results[index] = object->result;
      continue;
    }
    bytes += round_up(object->buffer.size(), kFlatAlign) + object->fresh_bytes();
    change_bytes += object->change_bytes();
    which.push_back(index);
    gathers.push_back(std::move(object));
  }
  if (gathers.empty()) co_return Result<void>{};
  if (options.compress) co_await compress_worthwhile(state, codec, gathers);
  CO_TRY(written, co_await write_packs(state, gathers, options.waits));
  for (size_t i = 0; i < gathers.size(); ++i) results[which[i]] = gathers[i]->result;
  co_return Result<void>{};
}

/// An object that is named twice would be gathered twice before it is exchanged.
bool names_twice(std::vector<ObjectPath> objects) {
  const auto order = [](const ObjectPath& a, const ObjectPath& b) {
    return std::tie(a.container, a.oid.hi, a.oid.lo, a.shard) <
           std::tie(b.container, b.oid.hi, b.oid.lo, b.shard);
  };
  std::sort(objects.begin(), objects.end(), order);
  return std::adjacent_find(objects.begin(), objects.end(),
                            [&](const ObjectPath& a, const ObjectPath& b) {
                              return !order(a, b) && !order(b, a);
                            }) != objects.end();
}

/// The record of the object, as far as it is flat.
Result<std::optional<FlatRecord>> flat_record(Shard::State& state, const Key& object) {
  TRY(found, state.tree().get(flat_key(object)));
  if (!found) return std::nullopt;
  TRY(record, parse_flat(*found));
  return record;
}

}  // namespace

const char* flatten_outcome_text(FlattenOutcome outcome) {
  switch (outcome) {
    case FlattenOutcome::flattened:
      return "flattened";
    case FlattenOutcome::already:
      return "flat already";
    case FlattenOutcome::absent:
      return "nothing of it is visible";
    case FlattenOutcome::too_large:
      return "its buffer, its index changes or what they take meanwhile would be too large";
    case FlattenOutcome::too_many:
      return "too many keys at one level";
    case FlattenOutcome::long_key:
      return "a key of 4 KiB or more";
    case FlattenOutcome::snapshot:
      return "a snapshot lies between its changes";
    case FlattenOutcome::pending:
      return "a transaction waits for its outcome";
    case FlattenOutcome::reclaiming:
      return "what a punch left is still being removed";
    case FlattenOutcome::changed:
      return "it was changed meanwhile";
    case FlattenOutcome::fragmented:
      return "its data stands in too many pieces";
  }
  return "not known";
}

Task<Result<std::vector<Flattened>>> Shard::flatten(std::vector<ObjectPath> objects,
                                                    FlattenOptions options) {
  CO_TRY(hold, state_->gate.enter());
  if (objects.size() > kFlattenObjectsMax || options.inline_bytes_max > kFlatInlineBytesMax ||
      options.object_bytes_max > kFlatObjectBytesMax || options.keys_max > kFlatKeysMax) {
    co_return fail(Errc::invalid, "flatten: too many objects, or limits beyond what is possible");
  }
  const bool own = std::any_of(objects.begin(), objects.end(),
                               [](const ObjectPath& object) { return object.container == 0; });
  if (own) co_return fail(Errc::invalid, "container 0 is the shard's own");
  if (names_twice(objects)) co_return fail(Errc::invalid, "flatten: an object is named twice");
  Flattening flattening{*state_, objects, options, std::vector<Flattened>(objects.size())};
  while (!flattening.is_over()) {
    CO_TRY(done, co_await flattening.write_some());
    co_await state_->reactor.yield();
  }
  for (size_t i = 0; i < objects.size(); ++i) {
    const FlattenOutcome outcome = flattening.results[i].outcome;
    const bool stays_large =
        outcome == FlattenOutcome::too_large || outcome == FlattenOutcome::too_many;
    if (!stays_large) continue;
    CO_TRY(open, co_await open_or_shut(*state_, objects[i].container, options.waits));
    if (!open) {
      flattening.results[i].outcome = FlattenOutcome::pending;
      continue;
    }
    const auto packed = co_await pack_values(*state_, objects[i]);
    // No room for the copies: the values stay in their pages.
    if (!packed && !is_short(packed.error())) co_return fail(packed.error());
  }
  CO_TRY(settled, co_await state_->settle());
  co_return std::move(flattening.results);
}

Task<Result<bool>> Shard::is_flat(const ObjectPath& object) {
  CO_TRY(hold, state_->gate.enter());
  const Key prefix = object_prefix(object, Range::live);
  index::Store::Attempt attempt(*state_->store);
  for (;;) {
    CO_TRY(open, co_await wait_open(*state_, object.container, Access::read(model::kEpochMax)));
    const auto record = flat_record(*state_, prefix);
    if (record) co_return record->has_value();
    if (record.error().code() != Errc::page_absent) co_return fail(record.error());
    CO_TRY(loaded, co_await state_->store->load_absent(attempt));
  }
}

Task<Result<FlatUsage>> Shard::flat_usage(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  FlatUsage usage;
  PackWalk walk(*state_, container);
  for (;;) {
    CO_TRY(packs, co_await walk.next());
    if (packs.empty()) co_return usage;
    for (const auto& [block, record] : packs) {
      usage.objects += record.objects;
      usage.buffer_bytes += record.bytes;
      usage.extents += 1;
      usage.extent_bytes += uint64_t{record.blocks} * kDataBlockBytes;
    }
    co_await state_->reactor.yield();
  }
}

}  // namespace cairn::vos
