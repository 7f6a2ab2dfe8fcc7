// Fetches: plan on the tree, copy what stands in it, read blocks, and answer nothing that is not
// durable.
#include <algorithm>
#include <array>

#include "base/crc32c.h"
#include "vos/epoch_view.h"
#include "vos/flat_dkey.h"
#include "vos/request.h"
#include "vos/validation.h"

namespace cairn::vos {

namespace {

/// A visible part of what was asked for.
struct Found {
  size_t iod = 0;
  uint64_t offset = 0;  // in the iod's buffer, bytes
  uint64_t bytes = 0;
  uint64_t from = 0;  // byte in the value's payload
  ValueView value;    // borrowed until the next step
  uint64_t end = 0;   // of the extent: for checksum records
};

struct Fetch {
  /// All three outlive it.
  Fetch(Shard::State& s, const FetchRequest& r, model::Fetched& out)
      : state(s), request(r), path(r.object), result(out) {}

  Shard::State& state;
  const FetchRequest& request;
  KeyPath path;
  CheckedRequest checked;
  model::Epoch tx_epoch = 0;  // of a transactional fetch
  model::Fetched& result;
  SmallVector<Found, 1> found;
  std::vector<DataRead> reads;
  model::Epoch newest_seen = 0;
  bool saw_absence = false;
  // What the tree holds under the first iod's single value, if somebody has looked; of this step.
  const index::Tree::Looked* looked = nullptr;

  Result<void> check();
  Result<void> plan();
  Result<void> check_transaction();
  Result<bool> conditions_hold(Look& look, Floor dkey_floor);
  Result<void> plan_single(Look& look, size_t index, Floor floor);
  Result<void> plan_array(Look& look, size_t index, Floor floor);
  Result<void> plan_flat(const FlatDkey& dkey, size_t index, Floor floor);
  void add_single(size_t index, const ValueView& value);
  void add_extent(size_t index, Span wanted, uint64_t records_before, const FoundExtent& extent,
                  uint64_t& at);
  void add_piece(size_t index, uint64_t offset, uint64_t bytes);
  void add_crc(const Found& piece, const BlockData* data);
  bool fits(size_t index) const;
  Result<void> deliver(Look& look);
  bool must_wait() const { return saw_absence || !state.is_durable(newest_seen); }
  Result<bool> done_at_once();
};

Result<void> Fetch::check() {
  using namespace model::cond;
  if ((request.flags & (kPunch | kDkeyInsert | kDkeyUpdate | kAkeyInsert | kAkeyUpdate)) != 0) {
    return fail(Errc::invalid, "fetch: a condition that only updates know");
  }
  if ((request.flags & kPerAkey) != 0 && (request.flags & kAkeyFetch) != 0) {
    return fail(Errc::invalid, "fetch: akey conditions both per akey and for all");
  }
  return check_request(path, request.dkey, request.iods, checked);
}

Result<bool> Fetch::conditions_hold(Look& look, Floor dkey_floor) {
  using namespace model::cond;
  if ((request.flags & kDkeyFetch) != 0) {
    model::Epoch proof = 0;
    TRY(exists, look.dkey_exists(checked.dkey_prefix, dkey_floor, {}, &proof));
    newest_seen = std::max(newest_seen, proof);
    if (!exists) return false;
  }
  for (const CheckedIod& c : checked.iods) {
    const uint64_t flags = (request.flags & kPerAkey) != 0 ? c.iod->flags : request.flags;
    if ((flags & kAkeyFetch) == 0) continue;
    TRY(floor, look.akey_floor(c.akey_prefix, dkey_floor));
    TRY(akey, look.akey(c.akey_prefix, floor));
    // Which record proved it is not told: wait for all.
    saw_absence = true;
    if (!akey.exists) return false;
  }
  return true;
}

void Fetch::add_piece(size_t index, uint64_t offset, uint64_t bytes) {
  auto& pieces = result.iods[index].pieces;
  if (!pieces.empty() && pieces.back().offset + pieces.back().bytes == offset) {
    pieces.back().bytes += bytes;
  } else {
    pieces.push_back({offset, bytes});
  }
}

Result<void> Fetch::plan_single(Look& look, size_t index, Floor floor) {
  const CheckedIod& c = checked.iods[index];
  const bool known = index == 0 && looked != nullptr && looked->known && look.view().is_live();
  TRY(record, known ? Result<std::optional<ByteView>>(looked->value)
                    : look.view().get(record_key(c.akey_prefix, Kind::single)));
  if (!record || epoch_of(*record) <= floor) {
    saw_absence = true;
    return {};
  }
  TRY(value, parse_value(Kind::single, *record));
  add_single(index, value);
  return {};
}

void Fetch::add_single(size_t index, const ValueView& value) {
  newest_seen = std::max(newest_seen, value.epoch);
  result.iods[index].record_bytes = value.payload_bytes;
  if (checked.iods[index].iod->size_only) return;
  found.push_back({index, 0, value.payload_bytes, 0, value, 0});
  add_piece(index, 0, value.payload_bytes);
}

/// @param wanted  of an iod, with so many records before it
/// @param at      behind what was found of it; afterwards behind this, too
void Fetch::add_extent(size_t index, Span wanted, uint64_t records_before,
                       const FoundExtent& extent, uint64_t& at) {
  const uint64_t from = std::max(extent.begin, wanted.begin);
  const uint64_t to = std::min(extent.end, wanted.end);
  const uint64_t record = extent.value.record_bytes;
  model::FetchedIod& out = result.iods[index];
  newest_seen = std::max(newest_seen, extent.value.epoch);
  saw_absence = saw_absence || from != at;
  at = to;
  out.record_bytes = record;
  out.extents.push_back({from, to - from});
  if (checked.iods[index].iod->size_only) return;
  const uint64_t offset = (records_before + (from - wanted.begin)) * record;
  found.push_back({index, offset, (to - from) * record, (from - extent.begin) * record,
                   extent.value, extent.end});
  add_piece(index, offset, (to - from) * record);
}

Result<void> Fetch::plan_array(Look& look, size_t index, Floor floor) {
  const CheckedIod& c = checked.iods[index];
  const Key extents = record_key(c.akey_prefix, Kind::extent);
  uint64_t records_before = 0;
  for (const KeptRecx& r : c.recxs) {
    View::Cursor cursor(look.view(), c.akey_prefix);
    TRY(sought, cursor.seek(extent_key(c.akey_prefix, r.span.begin + 1)));
    uint64_t at = r.span.begin;
    while (cursor.valid() && starts_with(cursor.key(), extents)) {
      TRY(tail, parse_tail(cursor.key().subspan(c.akey_prefix.size())));
      TRY(extent, parse_extent(tail.position, cursor.value()));
      if (extent.begin >= r.span.end) break;
      if (extent.value.epoch > floor) add_extent(index, r.span, records_before, extent, at);
      if (extent.end >= r.span.end) break;  // the next record may be on a page that is not here
      TRY(moved, cursor.next());
    }
    saw_absence = saw_absence || at != r.span.end;
    records_before += r.span.end - r.span.begin;
  }
  return {};
}

/// From the buffer of a flattened object.
Result<void> Fetch::plan_flat(const FlatDkey& dkey, size_t index, Floor floor) {
  const CheckedIod& c = checked.iods[index];
  TRY(akey, dkey.akey(c.akey_prefix.view().subspan(checked.dkey_prefix.size())));
  const model::Epoch epoch = dkey.epoch();
  if (akey.type != c.iod->type || akey.count == 0 || epoch <= floor) {
    saw_absence = true;
    return {};
  }
  if (akey.type == model::ValueType::single) {
    TRY(single, dkey.value(akey, akey.first));
    add_single(index, single.value);
    return {};
  }
  uint64_t records_before = 0;
  for (const KeptRecx& r : c.recxs) {
    uint64_t at = r.span.begin;
    for (uint32_t n = dkey.value_at(akey, at); n != akey.first + akey.count; ++n) {
      TRY(extent, dkey.value(akey, n));
      if (extent.begin >= r.span.end) break;
      add_extent(index, r.span, records_before, extent, at);
    }
    saw_absence = saw_absence || at != r.span.end;
    records_before += r.span.end - r.span.begin;
  }
  return {};
}

bool Fetch::fits(size_t index) const {
  const CheckedIod& c = checked.iods[index];
  if (c.iod->size_only || result.iods[index].record_bytes == 0) return true;
  uint64_t needed = 0;
  if (__builtin_mul_overflow(c.record_count, result.iods[index].record_bytes, &needed))
    return false;
  return needed <= total_bytes(c.iod->buffer);
}

/// Joins the CRCs of a piece's blocks to those of the pieces before it. Only whole blocks have one.
/// @param data  null: it is not in blocks
void Fetch::add_crc(const Found& piece, const BlockData* data) {
  std::optional<uint32_t>& crc = result.payload_crc;
  if (!crc) return;
  if (data == nullptr || (data->skip + piece.from) % kDataBlockBytes != 0 ||
      piece.bytes % kDataBlockBytes != 0) {
    crc.reset();
    return;
  }
  const uint64_t first = (data->skip + piece.from) / kDataBlockBytes;
  for (uint64_t i = 0; i < piece.bytes / kDataBlockBytes; ++i) {
    crc = crc32c_join(*crc, data->crcs[first + i], kDataBlockBytes);
  }
}

Result<void> Fetch::deliver(Look& look) {
  // Of nothing.
  if (!found.empty()) result.payload_crc = 0;
  for (const Found& f : found) {
    IoVecCursor into(checked.iods[f.iod].iod->buffer);
    into.skip(f.offset);
    if (f.value.form == Form::data) {
      TRY(data, look.block_data(checked.iods[f.iod].akey_prefix, f.end, f.value));
      add_crc(f, &data);
      DataRead read{std::move(data), f.from, {}};
      for (uint64_t left = f.bytes; left > 0;) {
        const ByteSpan piece = into.take(left);
        read.into.push_back({piece.data(), piece.size()});
        left -= piece.size();
      }
      reads.push_back(std::move(read));
      continue;
    }
    add_crc(f, nullptr);
    if (f.value.form == Form::inlined) {
      into.copy_in(f.value.inlined.subspan(f.from, f.bytes));
    } else {
      std::byte whole[kPackedBytes];
      copy_inlined(f.value, 0, whole);
      into.copy_in(ByteView(whole).subspan(f.from, f.bytes));
    }
  }
  return {};
}

/// Is everything that the fetch looks at as it was at the transaction's epoch?
Result<void> Fetch::check_transaction() {
  KeyRange range{Level::dkey, path.object(), checked.dkey_prefix, {}};
  if ((request.flags & model::cond::kDkeyFetch) != 0) {
    return check_unchanged(state, range, tx_epoch);
  }
  range.level = Level::akey;
  for (const CheckedIod& c : checked.iods) {
    range.akey = c.akey_prefix;
    TRY(unchanged, check_unchanged(state, range, tx_epoch));
  }
  return {};
}

Result<void> Fetch::plan() {
  // Each time: others may have written while a page was loaded.
  const ContNumber container = request.object.container;
  if (request.transactional) {
    TRY(unchanged, check_transaction());
  } else if (state.unresolved.count() != 0) {
    const KeyRange range{Level::dkey, path.object(), checked.dkey_prefix, {}};
    TRY(free, check_free_to_read(state, range, request.epoch));
  }
  if (!request.transactional && request.epoch != model::kEpochMax) {
    TRY(kept,
        state.check_read_epoch(container, request.epoch, state.ended.at(checked.dkey_prefix)));
  }
  result.status = Errc::ok;
  result.epoch = tx_epoch;
  result.iods.clear();
  result.iods.resize(checked.iods.size());
  result.payload_crc.reset();
  found.clear();
  reads.clear();
  newest_seen = 0;
  saw_absence = request.transactional;  // it saw that nothing is newer
  ReadView at(state, container, request.transactional ? model::kEpochMax : request.epoch);
  Look look(state, path, at.view());
  TRY(dkey_floor, look.dkey_floor(checked.dkey_prefix));
  TRY(holds, conditions_hold(look, dkey_floor));
  if (!holds) {
    result.status = Errc::nonexistent;
    saw_absence = true;
    return {};
  }
  TRY(flat, FlatDkey::find(at.flat(), path.object(), checked.dkey_prefix));
  for (size_t i = 0; i < checked.iods.size(); ++i) {
    TRY(floor, look.akey_floor(checked.iods[i].akey_prefix, dkey_floor));
    if (flat) {
      TRY(planned, plan_flat(*flat, i, floor));
    } else if (checked.iods[i].iod->type == model::ValueType::single) {
      TRY(planned, plan_single(look, i, floor));
    } else {
      TRY(planned, plan_array(look, i, floor));
    }
  }
  for (size_t i = 0; i < checked.iods.size(); ++i) {
    if (fits(i)) continue;
    result.status = Errc::record_too_big;
    for (auto& iod : result.iods) iod.pieces.clear();
    return {};
  }
  return deliver(look);
}

/// The common case in one plain step: everything is in memory, whole and durable. False: go the
/// long way, from the start.
Result<bool> Fetch::done_at_once() {
  if (request.transactional) return false;
  const Access access = Access::read(request.epoch);
  if (state.closures.of(request.object.container, access) != nullptr) return false;
  const auto planned = plan();
  if (!planned) {
    const Errc code = planned.error().code();
    state.flats.postpone_miss(state.store->appended());
    if (code == Errc::page_absent || code == Errc::in_progress) return false;
    return fail(planned.error());
  }
  return reads.empty() && !must_wait() && !state.evicting;
}

/// Of one value under way at once.
constexpr uint64_t kReadBytesMax = kReadsMax << 20;
/// Of one fetch: the values of a portion.
constexpr uint64_t kPortionBytes = 16u << 20;

/// In portions, so that a large one leaves others room. The caller holds a read pin.
Task<Result<void>> read_all(Shard::State& state, std::vector<DataRead>& reads) {
  for (size_t at = 0; at < reads.size();) {
    std::vector<Task<Result<void>>> tasks;
    uint64_t bytes = 0;
    do {
      bytes += total_bytes(reads[at].into);
      tasks.push_back(read_data(state.reactor, *state.store, std::move(reads[at])));
      ++at;
    } while (at < reads.size() && bytes + total_bytes(reads[at].into) <= kPortionBytes);
    bytes = std::min(bytes, kReadBytesMax);
    auto now = state.read_room.take_now(bytes);
    const IoRoom::Hold room = now ? std::move(*now) : co_await state.read_room.take(bytes);
    CO_TRY(done, co_await run_all(state.reactor, std::move(tasks), kReadsMax));
  }
  co_return Result<void>{};
}

/// The long way.
Task<Result<void>> run_fetch(Fetch& fetch) {
  Shard::State& state = fetch.state;
  index::Store::Attempt attempt(*state.store);
  if (fetch.request.transactional) {
    CO_TRY(epoch, co_await read_epoch(state, fetch.request.epoch));
    fetch.tx_epoch = epoch;
  }
  const ContNumber container = fetch.request.object.container;
  const Access access =
      Access::read(fetch.request.transactional ? fetch.tx_epoch : fetch.request.epoch);
  Patience patience;
  if (state.flats.resume_miss(fetch.request.object, state.store->appended())) {
    // What it comes to is told by the plan, if that looks there.
    (void)co_await load_absent(state, attempt);
  }
  for (;;) {
    if (state.closures.of(container, access) != nullptr) {
      CO_TRY(open, co_await wait_open(state, container, access));
    }
    auto planned = fetch.plan();
    if (planned) break;
    if (planned.error().code() == Errc::in_progress) {
      attempt.release();
      CO_TRY(waited, co_await wait_for_others(state, patience));
      continue;
    }
    if (planned.error().code() != Errc::page_absent) co_return planned;
    CO_TRY(loaded, co_await load_absent(state, attempt));
  }
  attempt.release();
  const media::Lsn seen = state.store->appended();
  const bool wait = fetch.must_wait();
  if (!fetch.reads.empty()) {
    const auto pin = state.store->pin_reads();
    // Data of an update that is not durable yet may not be on the medium: wait first.
    if (wait) {
      CO_TRY(durable, co_await state.store->durable(seen));
    }
    CO_TRY(done, co_await read_all(state, fetch.reads));
  } else if (wait) {
    CO_TRY(durable, co_await state.store->durable(seen));
  }
  if (state.evicting) {
    CO_TRY(ended, co_await state.store->end_step());
  }
  co_return Result<void>{};
}

/// Fetches that fetch_many() has under way in one plain step.
constexpr size_t kFetchesAtOnce = 32;

/// What the first iods of some fetches look at, found side by side. Of arrays only the
/// neighbourhood is known then, but it is in the CPU's cache.
struct LookedAhead {
  std::array<Key, kFetchesAtOnce> keys;
  std::array<ByteView, kFetchesAtOnce> views;
  std::array<index::Tree::Looked, kFetchesAtOnce> found;

  void look(index::Tree& tree, std::span<Fetch> fetches);
};

void LookedAhead::look(index::Tree& tree, std::span<Fetch> fetches) {
  size_t count = 0;
  for (Fetch& fetch : fetches) {
    const CheckedIod& c = fetch.checked.iods.front();
    const bool single = c.iod->type == model::ValueType::single;
    keys[count] = single ? record_key(c.akey_prefix, Kind::single)
                         : extent_key(c.akey_prefix, c.recxs.front().span.begin + 1);
    views[count] = keys[count];
    if (single) fetch.looked = &found[count];
    ++count;
  }
  tree.get_many(std::span(views).first(count), std::span(found).first(count));
}

}  // namespace

Task<Result<model::Fetched>> Shard::fetch(const FetchRequest& request) {
  CO_TRY(hold, state_->gate.enter());
  model::Fetched result;
  Fetch fetch(*state_, request, result);
  CO_TRY(checked, fetch.check());
  CO_TRY(ran, co_await run_fetch(fetch));
  co_return std::move(result);
}

Result<bool> Shard::fetch_at_once(const FetchRequest& request, model::Fetched& out) {
  TRY(hold, state_->gate.enter());
  Fetch fetch(*state_, request, out);
  TRY(checked, fetch.check());
  return fetch.done_at_once();
}

Task<Result<std::vector<model::Fetched>>> Shard::fetch_many(
    std::span<const FetchRequest> requests) {
  CO_TRY(hold, state_->gate.enter());
  std::vector<model::Fetched> results;
  results.reserve(requests.size());
  std::vector<Fetch> fetches;
  fetches.reserve(std::min(requests.size(), kFetchesAtOnce));
  LookedAhead ahead;
  while (!requests.empty()) {
    const auto group = requests.first(std::min(requests.size(), kFetchesAtOnce));
    requests = requests.subspan(group.size());
    fetches.clear();
    for (const FetchRequest& request : group) {
      model::Fetched& result = results.emplace_back();
      CO_TRY(checked, fetches.emplace_back(*state_, request, result).check());
    }
    ahead.look(state_->tree(), fetches);
    for (Fetch& fetch : fetches) {
      CO_TRY(done, fetch.done_at_once());
      if (!done) {
        // The step ends here, and what was seen in it with it.
        for (Fetch& any : fetches) any.looked = nullptr;
        CO_TRY(ran, co_await run_fetch(fetch));
      }
    }
  }
  co_return std::move(results);
}

}  // namespace cairn::vos
