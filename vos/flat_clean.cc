#include "vos/flat_clean.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "base/report.h"
#include "vos/data_io.h"
#include "vos/epoch_view.h"
#include "vos/flat_pack.h"
#include "vos/packed_format.h"
#include "vos/removal.h"

namespace cairn::vos {

namespace {

/// An extent that is looked at.
struct Source {
  uint64_t block = 0;
  PackRecord record;
  Bytes bytes;  // until its survivors are found
  uint64_t looked_to = 0;
};

/// Of a step, where nothing is short: each may take a path of pages of its own.
constexpr size_t kSurvivorsMax = 256;
/// Fewer bytes than this are not divided: their halves could leave most of a block empty.
constexpr uint64_t kDividedMin = 2 * kDataBlockBytes;

/// A buffer that counts, or a packed value.
struct Survivor {
  size_t source = 0;
  uint32_t offset = 0;  // there
  Key key;              // of its record: live, or a snapshot's
  Bytes raw;            // that record
  FlatPlace place;      // where it goes
  Bytes buffer;
  uint64_t payload_bytes = 0;  // of a packed value, at its end; 0: a buffer
};

struct Cleaning {
  Cleaning(Shard::State& s, ContNumber c) : state(s), container(c) {}

  Shard::State& state;
  ContNumber container;
  std::vector<Source> sources;
  std::vector<Survivor> survivors;
  uint64_t survivor_bytes = 0;
  std::span<Survivor> moving;  // into the extent that is written now
  Bytes bytes;                 // of it
  std::optional<Staged> staged;
  index::Batch batch;

  Task<Result<void>> add(uint64_t block);
  /// After add() has failed: what it had found so far does not count.
  void drop_last(size_t sources_before, size_t survivors_before);
  Result<std::optional<Survivor>> who_lives_at(size_t source, uint32_t offset);
  Result<std::optional<Survivor>> value_at(size_t source, uint32_t offset);
  std::vector<Key> keys_of(const Key& live) const;
  Result<void> find_survivors(size_t source);
  bool pays() const;
  Result<void> stage_all();
  Result<bool> plan();
  Task<Result<bool>> plan_loaded();
  Task<Result<bool>> run();
  Task<Result<bool>> run_all();
};

/// Where the record may be.
std::vector<Key> Cleaning::keys_of(const Key& live) const {
  std::vector<Key> keys{live};
  for (const Snapshot& snapshot : state.snapshots.of(container)) {
    keys.push_back(history_key(live, snapshot.epoch));
  }
  return keys;
}

/// The record that names the value there, if one does and the value is whole.
Result<std::optional<Survivor>> Cleaning::value_at(size_t source, uint32_t offset) {
  const Source& s = sources[source];
  const auto packed = parse_packed_value(ByteView(s.bytes).subspan(offset));
  if (!packed || packed->parsed.container != container) return std::nullopt;
  for (const Key& key : keys_of(Key(packed->key))) {
    TRY(found, state.tree().get(key));
    if (!found) continue;
    TRY(value, parse_value(Kind::single, *found));
    if (!value.shared || value.payload_bytes != packed->payload.size()) continue;
    TRY(place, packed_place(key, value));
    if (place.block != s.block || place.offset != offset) continue;
    const auto length = packed_bytes(packed->key.size(), packed->payload.size());
    const ByteView bytes_there = ByteView(s.bytes).subspan(offset, length);
    return Survivor{source,
                    offset,
                    key,
                    Bytes(found->begin(), found->end()),
                    {s.block, offset, static_cast<uint32_t>(length), 0},
                    Bytes(bytes_there.begin(), bytes_there.end()),
                    packed->payload.size()};
  }
  return std::nullopt;
}

/// The record that names the buffer there, if one does and the buffer is whole.
Result<std::optional<Survivor>> Cleaning::who_lives_at(size_t source, uint32_t offset) {
  const Source& s = sources[source];
  if (load_le32(s.bytes.data() + offset) == kPackedMagic) return value_at(source, offset);
  const auto identity = identify_flat(ByteView(s.bytes).subspan(offset));
  if (!identity || identity->object.container != container ||
      identity->length > s.bytes.size() - offset) {
    return std::nullopt;
  }
  for (const Key& key : keys_of(flat_key(object_prefix(identity->object, Range::live)))) {
    TRY(found, state.tree().get(key));
    if (!found) continue;
    TRY(record, parse_flat(*found));
    if (record.place.block != s.block || record.place.offset != offset) continue;
    const ByteView buffer = ByteView(s.bytes).subspan(offset, identity->length);
    // A damaged one stays where it is, for the scrub to tell.
    if (record.place.length != identity->length || !check_stored_flat(buffer)) return std::nullopt;
    return Survivor{source,
                    offset,
                    key,
                    Bytes(found->begin(), found->end()),
                    record.place,
                    Bytes(buffer.begin(), buffer.end()),
                    0};
  }
  return std::nullopt;
}

/// Goes on where a page was missing.
Result<void> Cleaning::find_survivors(size_t source) {
  const uint64_t size = sources[source].bytes.size();
  for (uint64_t& at = sources[source].looked_to; at + sizeof(FlatHeader) <= size;) {
    TRY(survivor, who_lives_at(source, static_cast<uint32_t>(at)));
    if (!survivor) {
      at += kFlatAlign;
      continue;
    }
    at += survivor->place.room();
    survivors.push_back(std::move(*survivor));
  }
  return {};
}

/// Reads an extent and finds who lives there.
Task<Result<void>> Cleaning::add(uint64_t block) {
  index::Store::Attempt attempt(*state.store);
  const Key key = pack_key(container, block);
  const auto pin = state.store->pin_reads();
  Source source{block, {}, {}};
  for (;;) {
    const auto found = state.tree().get(key);
    if (found && !*found) co_return Result<void>{};  // it is gone
    if (found) {
      CO_TRY(record, parse_pack(**found));
      source.record = record;
      break;
    }
    if (found.error().code() != Errc::page_absent) co_return fail(found.error());
    CO_TRY(loaded, co_await state.store->load_absent(attempt));
  }
  // None was ever made that is larger than a few of these.
  if (uint64_t{source.record.blocks} * kDataBlockBytes > 4 * kPackBytesMax) {
    co_return Result<void>{};
  }
  auto blocks =
      media::AlignedBuffer::uninitialised(uint64_t{source.record.blocks} * kDataBlockBytes);
  // One that cannot be read is left alone: the scrub tells what is lost.
  const auto done =
      co_await state.store->read_data({block, source.record.blocks}, 0, blocks.span());
  if (!done && !state.store->stopped()) co_return Result<void>{};
  if (!done) co_return done;
  source.bytes.assign(blocks.view().begin(), blocks.view().end());
  sources.push_back(std::move(source));
  for (uint64_t looked_to = 0;;) {
    const auto found = find_survivors(sources.size() - 1);
    if (found) break;
    if (found.error().code() != Errc::page_absent) co_return found;
    // Pages of those before are not needed any more: there may be many.
    if (std::exchange(looked_to, sources.back().looked_to) != looked_to) attempt.release();
    CO_TRY(loaded, co_await state.store->load_absent(attempt));
  }
  attempt.release();
  sources.back().bytes = {};
  survivor_bytes = 0;
  for (const Survivor& s : survivors) survivor_bytes += s.place.room();
  co_return Result<void>{};
}

void Cleaning::drop_last(size_t sources_before, size_t survivors_before) {
  sources.resize(sources_before);
  survivors.erase(survivors.begin() + static_cast<ptrdiff_t>(survivors_before), survivors.end());
}

bool Cleaning::pays() const {
  uint64_t blocks = 0;
  for (const Source& s : sources) blocks += s.record.blocks;
  return !survivors.empty() && (survivor_bytes + kDataBlockBytes - 1) / kDataBlockBytes < blocks;
}

Result<void> Cleaning::stage_all() {
  bytes.clear();
  for (Survivor& s : moving) {
    s.place.offset = static_cast<uint32_t>(bytes.size());
    bytes.insert(bytes.end(), s.buffer.begin(), s.buffer.end());
    bytes.resize(round_up(bytes.size(), kFlatAlign));
  }
  bytes.resize(round_up(bytes.size(), kDataBlockBytes));
  TRY(made, stage_flat(*state.store, bytes));
  staged.emplace(std::move(made));
  for (Survivor& s : moving) s.place.block = staged->data.runs[0].block;
  return {};
}

/// One step. False: nobody is left to move.
Result<bool> Cleaning::plan() {
  batch.clear();
  PackLedger packs(state.tree());
  PackRecord made{staged->data.runs[0].count, 0, 0};
  Bytes value;
  for (const Survivor& s : moving) {
    TRY(found, state.tree().get(s.key));
    if (!found || as_chars(*found) != as_chars(s.raw)) continue;
    if (s.payload_bytes == 0) {
      TRY(record, parse_flat(s.raw));
      TRY(released, packs.release(container, s.raw));
      FlatRecord moved = record;
      moved.place = s.place;
      put_flat(value, moved);
    } else {
      TRY(record, parse_value(Kind::single, s.raw));
      TRY(released, packs.release_value(container, s.key, record));
      put_packed_data(value, record.epoch, s.payload_bytes, staged->data,
                      s.place.offset + s.place.length - s.payload_bytes);
    }
    batch.put(s.key, value);
    ++made.objects;
    made.bytes += s.place.room();
  }
  if (made.objects == 0) return false;
  packs.emit(batch, state.newest);
  put_pack(value, state.newest, made);
  batch.put(pack_key(container, staged->data.runs[0].block), value);
  for (const index::BatchData& data : staged->published) batch.publish(data);
  if (batch.record_bytes() > state.record_bytes_max) {
    return fail(Errc::no_space, "flat: too many buffers to be moved by one log record");
  }
  TRY(prepared, state.tree().prepare(batch));
  return true;
}

Task<Result<bool>> Cleaning::plan_loaded() {
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    const auto closure = state.closures.of(container, kWrite);
    // It may go back, and nobody waits for this.
    if (closure != nullptr && closure->kind == Closure::Kind::held) co_return false;
    if (closure != nullptr) {
      CO_TRY(open, co_await wait_open(state, container, kWrite));
      continue;
    }
    auto planned = plan();
    if (planned || planned.error().code() != Errc::page_absent) co_return planned;
    CO_TRY(loaded, co_await state.store->load_absent(attempt));
  }
}

Task<Result<bool>> Cleaning::run() {
  index::Store& store = *state.store;
  CO_TRY(admitted, co_await store.admit());
  CO_TRY(made, stage_all());
  const auto job = co_await store.start_data({staged->writes.begin(), staged->writes.end()});
  auto ready = co_await store.finish_data(job);
  Result<bool> planned = false;
  if (ready) planned = co_await plan_loaded();
  if (!ready || !planned || !*planned) {
    store.cancel_data(staged->data.runs);
    if (!ready) co_return fail(ready.error());
    co_return planned;
  }
  state.flats.add_pack(container);
  const media::Lsn at = state.commit({0, 0, state.next_epoch(), 0, 0}, batch);
  store.data_written(at);
  CO_TRY(durable, co_await store.durable(at));
  if (state.evicting) {
    CO_TRY(ended, co_await store.end_step());
  }
  co_return true;
}

/// Fewer at once where memory, pages, free runs of blocks or a log record are short.
/// @returns some have moved
Task<Result<bool>> Cleaning::run_all() {
  bool gained = false;
  size_t at_once = survivors.size();
  for (size_t first = 0; first < survivors.size();) {
    const size_t count = std::min(at_once, survivors.size() - first);
    moving = std::span(survivors).subspan(first, count);
    uint64_t moving_bytes = 0;
    for (const Survivor& s : moving) moving_bytes += s.place.room();
    const auto done = co_await run();
    if (!done && is_short(done.error()) && count > 1 && moving_bytes >= kDividedMin) {
      at_once = (count + 1) / 2;
      continue;
    }
    // No room for the copy: not an error of a cleaning.
    if (!done && is_short(done.error())) co_return gained;
    if (!done) co_return done;
    gained = gained || *done;
    first += count;
  }
  co_return gained;
}

/// Others can be cleaned all the same.
bool is_of_one_extent(const Error& error) {
  const Errc code = error.code();
  return code == Errc::io || code == Errc::checksum || code == Errc::no_memory;
}

void leave_alone(Shard::State& state, PackId pack, const Error& error) {
  // Memory may do another time.
  if (error.code() == Errc::no_memory || !state.flats.give_up(pack)) return;
  report(Severity::error, "shard: the extent of flattened objects at block " +
                              std::to_string(pack.block) + " is not cleaned: " + error.what());
}

}  // namespace

Task<Result<bool>> clean_some(Shard::State& state, ContNumber container,
                              std::vector<uint64_t>& packs) {
  Cleaning cleaning(state, container);
  size_t looked_at = 0;
  uint64_t change_bytes = 0;
  while (looked_at < packs.size() && cleaning.survivor_bytes < kPackBytesMax &&
         cleaning.survivors.size() < kSurvivorsMax && change_bytes < state.record_bytes_max / 2) {
    const size_t before = cleaning.survivors.size();
    const size_t sources = cleaning.sources.size();
    const uint64_t block = packs[looked_at++];
    const auto added = co_await cleaning.add(block);
    if (!added) {
      if (state.store->stopped() || !is_of_one_extent(added.error())) {
        co_return fail(added.error());
      }
      cleaning.drop_last(sources, before);
      leave_alone(state, {container, block}, added.error());
    }
    for (size_t i = before; i < cleaning.survivors.size(); ++i) {
      change_bytes += cleaning.survivors[i].key.size() + cleaning.survivors[i].raw.size() + 96;
    }
    co_await state.reactor.yield();
  }
  packs.erase(packs.begin(), packs.begin() + static_cast<ptrdiff_t>(looked_at));
  if (!cleaning.pays()) co_return false;
  co_return co_await cleaning.run_all();
}

Task<Result<void>> clean_dirty(Shard::State& state) {
  const std::vector<DirtyPack> dirty = state.flats.take_dirty();
  const auto first =
      std::find_if(dirty.begin(), dirty.end(), [](const DirtyPack& pack) { return pack.fresh; });
  if (first == dirty.end()) co_return Result<void>{};
  // One container at a time; the others wait for their turn.
  const ContNumber container = first->id.container;
  std::vector<uint64_t> packs;
  for (const DirtyPack& pack : dirty) {
    const bool own = pack.id.container == container;
    const bool known = std::find(packs.begin(), packs.end(), pack.id.block) != packs.end();
    if (!own) state.flats.keep_dirty(pack);
    if (own && !known) packs.push_back(pack.id.block);
  }
  while (!packs.empty() && !state.gate.closed()) {
    const std::vector<uint64_t> tried = packs;
    CO_TRY(gained, co_await clean_some(state, container, packs));
    if (gained) continue;
    // With more of their like, later, they may be worth it.
    for (size_t i = 0; i < tried.size() - packs.size(); ++i) {
      state.flats.keep_dirty({{container, tried[i]}, false});
    }
  }
  co_return Result<void>{};
}

Task<Result<void>> Shard::clean_flat(ContNumber container) {
  CO_TRY(hold, state_->gate.enter());
  if (container == 0) co_return fail(Errc::invalid, "container 0 is the shard's own");
  State& state = *state_;
  PackWalk walk(state, container);
  std::vector<uint64_t> sparse;
  for (bool more = true; more;) {
    CO_TRY(packs, co_await walk.next());
    more = !packs.empty();
    for (const auto& [block, record] : packs) {
      if (is_sparse(record)) sparse.push_back(block);
    }
    while (sparse.size() > 256 || (!more && !sparse.empty())) {
      CO_TRY(gained, co_await clean_some(state, container, sparse));
    }
  }
  co_return co_await state.settle();
}

}  // namespace cairn::vos
