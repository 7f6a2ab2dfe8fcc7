// Objects of a container, at any epoch; and what differs between two snapshots.
#include <algorithm>

#include "vos/epoch_view.h"
#include "vos/plan.h"
#include "vos/validation.h"

namespace cairn::vos {

namespace {

/// Records that one step looks at before it lets others in.
constexpr size_t kStepRecordsMax = 4096;
constexpr std::byte kAfterObject{1};
constexpr std::byte kAfterAkey{2};
/// Container, range and object id.
constexpr size_t kIdEnd = kRangePrefixBytes + 16;

Key key_of(ByteView bytes) {
  Key key;
  key.add(bytes);
  return key;
}

/// Waits for pages, and lets others in between steps.
/// @param step  Result<bool>(): false at the end
template <class Step>
Task<Result<void>> run_steps(Shard::State& state, ContNumber container, model::Epoch epoch,
                             Step step) {
  Patience patience;
  index::Store::Attempt attempt(*state.store);
  for (;;) {
    if (state.closures.of(container, Access::read(epoch)) != nullptr) {
      CO_TRY(open, co_await wait_open(state, container, Access::read(epoch)));
    }
    if (!check_free_to_read(state, container, epoch)) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(state, patience));
      continue;
    }
    Result<bool> more = step();
    if (!more && more.error().code() == Errc::page_absent) {
      CO_TRY(loaded, co_await load_absent(state, attempt));
      continue;
    }
    attempt.release();
    if (!more) co_return fail(more.error());
    if (!*more) break;
    co_await state.reactor.yield();
  }
  CO_TRY(settled, co_await state.settle());
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return Result<void>{};
}

struct ObjectListing {
  Shard::State& state;
  ContNumber container;
  model::Epoch epoch;
  uint32_t count_max;
  Key next;
  ListedObjects out;

  Result<bool> step();
  Result<bool> look_at(const View& view, ByteView key, model::Epoch epoch_of_it);
  void emit(ByteView key, const model::ObjectId& oid);
};

void ObjectListing::emit(ByteView key, const model::ObjectId& oid) {
  next = after_prefix(key.first(kIdEnd));
  out.oids.push_back(oid);
  out.position.assign(1, kAfterObject);
  out.position.insert(out.position.end(), key.begin() + kRangePrefixBytes, key.begin() + kIdEnd);
}

/// Is anything of the object shard visible from this key on? Moves `next`.
/// @param view  of records: a flattened object's own one says enough, its buffer is not read
Result<bool> ObjectListing::look_at(const View& view, ByteView key, model::Epoch epoch_of_it) {
  TRY(parsed, parse_key(key));
  const KeyPath path(ObjectPath{container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
  Look look(state, path, view);
  if (parsed.dkey.none) {
    next = key_of(key);
    next.add(0);
    if (parsed.kind != Kind::flat) return false;
    TRY(floor, look.object_floor());
    if (epoch_of_it <= floor) return false;
    emit(key, parsed.oid);
    return true;
  }
  const Key dkey = path.dkey(parsed.dkey);
  TRY(floor, look.dkey_floor(dkey));
  TRY(exists, look.dkey_exists(dkey, floor, {}, nullptr));
  if (!exists) {
    next = after_prefix(dkey);
    return false;
  }
  emit(key, parsed.oid);
  return true;
}

Result<bool> ObjectListing::step() {
  if (epoch != model::kEpochMax) {
    TRY(kept, state.check_read_epoch(container, epoch, state.ended.newest()));
  }
  const ReadView at(state, container, epoch);
  const Key prefix = range_prefix(container, Range::live);
  View::Cursor cursor(at.records(), prefix);
  for (size_t looks = 0; looks < kStepRecordsMax; ++looks) {
    if (out.oids.size() == count_max) return false;
    TRY(sought, cursor.seek(next));
    if (!cursor.valid() || !starts_with(cursor.key(), prefix)) {
      out.eof = true;
      return false;
    }
    const Key key = key_of(cursor.key());
    TRY(looked, look_at(at.records(), key, epoch_of(cursor.value())));
  }
  return true;
}

// ---- differences ----

/// One side of a comparison: visible records of the container, in key order.
struct Side {
  Shard::State& state;
  ReadView at;
  View::Cursor cursor;

  Side(Shard::State& s, ContNumber container, model::Epoch epoch)
      : state(s),
        at(s, container, epoch),
        cursor(at.view(), range_prefix(container, Range::live)) {}
  /// Skips what a punch covers, and what belongs to no akey.
  Result<void> settle();
};

Result<void> Side::settle() {
  for (; cursor.valid(); ) {
    TRY(levels, level_bytes(cursor.key()));
    if (levels.akey != 0) {
      TRY(parsed, parse_key(cursor.key()));
      const KeyPath path(
          ObjectPath{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
      Look look(state, path, at.view());
      const Key dkey = path.dkey(parsed.dkey);
      TRY(dkey_floor, look.dkey_floor(dkey));
      TRY(floor, look.akey_floor(path.akey(dkey, parsed.akey), dkey_floor));
      if (epoch_of(cursor.value()) > floor) return {};
    }
    TRY(moved, cursor.next());
  }
  return {};
}

struct Comparison {
  Shard::State& state;
  ContNumber container;
  model::Epoch older, newer;
  uint32_t count_max;
  Key next;
  Differences out;
  /// Names that stand in blocks.
  struct LongName {
    size_t difference = 0;
    bool of_akey = false;
    uint64_t bytes = 0;
    DataRead read;
  };
  std::vector<LongName> long_names;

  Result<bool> step();
  Result<void> emit(ByteView key);
  Result<Bytes> name_of(Look& look, const Key& name_key, const Component& component, bool of_akey);
};

/// A key as the caller gave it.
Result<Bytes> Comparison::name_of(Look& look, const Key& name_key, const Component& component,
                                  bool of_akey) {
  const KeyPath& path = look.path();
  if (!component.is_long(of_akey ? path.akey_kind() : path.dkey_kind())) {
    return Bytes(component.view().begin(), component.view().end());
  }
  TRY(record, look.view().get(name_key));
  if (!record) return fail(Errc::checksum, "diff: a long key's name is missing");
  TRY(value, parse_value(Kind::name, *record));
  if (value.form != Form::data) return Bytes(value.inlined.begin(), value.inlined.end());
  TRY(data, look.block_data(prefix_of_record(name_key), 0, value));
  std::erase_if(long_names, [&](const LongName& n) {
    return n.difference == out.differences.size() && n.of_akey == of_akey;
  });
  long_names.push_back(
      {out.differences.size(), of_akey, value.payload_bytes, {std::move(data), 0, {}}});
  return Bytes{};
}

Result<void> Comparison::emit(ByteView key) {
  TRY(parsed, parse_key(key));
  const KeyPath path(ObjectPath{container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
  const Key dkey = path.dkey(parsed.dkey);
  const Key akey = path.akey(dkey, parsed.akey);
  bool there[2] = {false, false};
  Difference d{parsed.oid, static_cast<uint32_t>(parsed.shard), {}, {}, {}};
  for (const bool second : {false, true}) {
    const ReadView at(state, container, second ? newer : older);
    Look look(state, path, at.view());
    TRY(dkey_floor, look.dkey_floor(dkey));
    TRY(floor, look.akey_floor(akey, dkey_floor));
    TRY(found, look.akey(akey, floor));
    there[second ? 1 : 0] = found.exists;
    if (!found.exists) continue;
    TRY(dkey_name, name_of(look, dkey_name_key(dkey), parsed.dkey, false));
    TRY(akey_name, name_of(look, record_key(akey, Kind::name), parsed.akey, true));
    d.dkey = std::move(dkey_name);
    d.akey = std::move(akey_name);
  }
  next = after_prefix(akey);
  if (!there[0] && !there[1]) return {};
  using Change = Difference::Change;
  d.change = there[0] && there[1] ? Change::changed : there[0] ? Change::removed : Change::added;
  out.differences.push_back(std::move(d));
  out.position.assign(1, kAfterAkey);
  const ByteView tail = akey.view().subspan(kRangePrefixBytes);
  out.position.insert(out.position.end(), tail.begin(), tail.end());
  return {};
}

Result<bool> Comparison::step() {
  if (!state.snapshots.is_alive(container, older) || !state.snapshots.is_alive(container, newer)) {
    return fail(Errc::nonexistent, "diff: no such snapshot");
  }
  if (out.differences.size() == count_max) return false;
  Side a(state, container, older);
  Side b(state, container, newer);
  for (Side* side : {&a, &b}) {
    TRY(sought, side->cursor.seek(next));
    TRY(settled, side->settle());
  }
  for (size_t looks = 0; looks < kStepRecordsMax; ++looks) {
    if (!a.cursor.valid() && !b.cursor.valid()) {
      out.eof = true;
      return false;
    }
    const int order = !a.cursor.valid()   ? 1
                      : !b.cursor.valid() ? -1
                                          : as_chars(a.cursor.key()).compare(
                                                as_chars(b.cursor.key()));
    const Key key = key_of(order <= 0 ? a.cursor.key() : b.cursor.key());
    // One version of one key is one record, whoever sees it.
    if (order != 0 || epoch_of(a.cursor.value()) != epoch_of(b.cursor.value())) {
      TRY(emitted, emit(key));
      return true;
    }
    next = key;
    next.add(0);
    for (Side* side : {&a, &b}) {
      TRY(moved, side->cursor.next());
      TRY(settled, side->settle());
    }
  }
  return true;
}

Task<Result<void>> read_names(Comparison& comparison) {
  Shard::State& state = comparison.state;
  for (Comparison::LongName& name : comparison.long_names) {
    Difference& d = comparison.out.differences[name.difference];
    Bytes& into = name.of_akey ? d.akey : d.dkey;
    into.resize(name.bytes);
    name.read.into = {{into.data(), into.size()}};
    CO_TRY(read, co_await read_data(state.reactor, *state.store, std::move(name.read)));
  }
  co_return Result<void>{};
}

/// @error invalid  not a position of this kind
Result<Key> start_of(ContNumber container, const Bytes& position, std::byte tag) {
  Key key = range_prefix(container, Range::live);
  if (position.empty()) return key;
  if (position[0] != tag || position.size() > Key::kRoom - kHistoryPrefixBytes ||
      (tag == kAfterObject && position.size() != 17)) {
    return fail(Errc::invalid, "list: not a position of this listing");
  }
  key.add(ByteView(position).subspan(1));
  return after_prefix(key);
}

}  // namespace

Task<Result<ListedObjects>> Shard::list_objects(ContNumber container, model::Epoch epoch,
                                                Bytes position, uint32_t count_max) {
  CO_TRY(hold, state_->gate.enter());
  if (count_max == 0) co_return fail(Errc::invalid, "list: room for no object");
  CO_TRY(start, start_of(container, position, kAfterObject));
  ObjectListing listing{*state_, container, epoch, count_max, start, {}};
  listing.out.position = position;
  CO_TRY(done, co_await run_steps(*state_, container, epoch, [&] { return listing.step(); }));
  co_return std::move(listing.out);
}

Task<Result<Differences>> Shard::diff_snapshots(ContNumber container, model::Epoch older,
                                                model::Epoch newer, Bytes position,
                                                uint32_t count_max) {
  CO_TRY(hold, state_->gate.enter());
  if (count_max == 0) co_return fail(Errc::invalid, "diff: room for nothing");
  if (older >= newer) co_return fail(Errc::invalid, "diff: the first snapshot is not the older");
  CO_TRY(start, start_of(container, position, kAfterAkey));
  Comparison comparison{*state_, container, older, newer, count_max, start, {}, {}};
  comparison.out.position = position;
  const auto pin = state_->store->pin_reads();
  CO_TRY(done, co_await run_steps(*state_, container, newer, [&] { return comparison.step(); }));
  CO_TRY(named, co_await read_names(comparison));
  co_return std::move(comparison.out);
}

}  // namespace cairn::vos
