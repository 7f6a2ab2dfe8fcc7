#include "vos/flat_inflate.h"

#include <algorithm>

#include "vos/flat_pack.h"
#include "vos/flat_view.h"

namespace cairn::vos {

namespace {

/// Of a record beside its key and payload: epoch, form, counts; what Plan adds for each.
constexpr uint64_t kRecordOverhead = 48;
/// A single value's record: the largest that a record of the tree holds, with epoch and form.
constexpr uint64_t kLargestInTree = 9 + kFlatInlineMax;

/// An extent of the buffer that is too large for a record of the tree goes out in joined pieces.
Result<void> put_cut(Plan& plan, const Key& akey_prefix, uint64_t end, ByteView raw) {
  TRY(extent, parse_extent(end, raw));
  const uint64_t record = extent.value.record_bytes;
  const uint64_t each = std::max<uint64_t>(1, kInlineBytesMax / record);
  for (uint64_t at = extent.begin; at < extent.end;) {
    const uint64_t count = std::min(each, extent.end - at);
    put_extent_inlined(plan.scratch(), extent.value.epoch, {count, record, at != extent.begin},
                       extent.value.inlined.subspan((at - extent.begin) * record, count * record));
    plan.put(extent_key(akey_prefix, at + count), plan.scratch());
    at += count;
  }
  return {};
}

/// One object on its way out.
struct Inflation {
  Plan& plan;
  const View& under;
  const OpenFlat& open;
  BlockCache& cache;
  Flats& flats;
  FlatArena arena = {};

  Result<void> take_entry(const FlatEntry& entry);
  Result<void> take_large(const FlatEntry& entry, const Key& akey_prefix);
  Result<void> take_dkey(uint32_t dkey);
};

/// A single value that no record of the tree holds gets blocks of its own.
Result<void> Inflation::take_large(const FlatEntry& entry, const Key& akey_prefix) {
  TRY(value, parse_value(Kind::single, entry.value));
  auto laid = cache.find_laid(entry.key, open.record.place.checksum);
  if (laid == nullptr) {
    laid = std::make_shared<LaidValue>();
    laid->key = entry.key;
    laid->version = open.record.place.checksum;
    laid->payload.assign(value.inlined.begin(), value.inlined.end());
    cache.laid.push_back(laid);
  }
  if (!laid->staged) {
    flats.want(laid);
    return fail(Errc::page_absent, "a flattened object's large value needs blocks first");
  }
  put_data(plan.scratch(), open.record.epoch, laid->staged->bytes, laid->staged->data);
  plan.put(entry.key, plan.scratch());
  plan.put_checksum_records(akey_prefix, 0, open.record.epoch, laid->staged->data);
  for (const index::BatchData& data : laid->staged->published) plan.publish(data);
  return {};
}

Result<void> Inflation::take_entry(const FlatEntry& entry) {
  TRY(levels, level_bytes(entry.key));
  const bool checksums = entry.outside.size() != 0 && levels.akey != 0 &&
                         static_cast<Kind>(entry.key.view()[levels.akey]) == Kind::checksums;
  if (checksums) {
    plan.move(entry.outside, entry.key);
    return {};
  }
  if (entry.outside.size() != 0) plan.erase(entry.outside);
  if (entry.value.size() <= kInlineBytesMax) {
    plan.put(entry.key, entry.value);
    return {};
  }
  TRY(tail, parse_tail(entry.key.view().subspan(levels.akey)));
  Key akey_prefix;
  akey_prefix.add(entry.key.view().first(levels.akey));
  if (tail.kind == Kind::single && entry.outside.size() == 0 &&
      entry.value.size() > kLargestInTree) {
    return take_large(entry, akey_prefix);
  }
  if (tail.kind != Kind::extent || entry.outside.size() != 0) {
    plan.put(entry.key, entry.value);
    return {};
  }
  return put_cut(plan, akey_prefix, tail.position, entry.value);
}

Result<void> Inflation::take_dkey(uint32_t dkey) {
  std::vector<FlatEntry> entries;
  const FlatBuffer::Key own = open.buffer().dkey(dkey);
  const Key dkey_prefix = open.dkey_prefix(dkey);
  open.dkey_entries(dkey, entries);
  for (uint32_t a = own.first; a < own.first + own.count; ++a) {
    TRY(made, open.akey_entries(dkey_prefix, a, under, arena, entries));
  }
  for (const FlatEntry& entry : entries) {
    TRY(taken, take_entry(entry));
  }
  return {};
}

size_t record_count(const OpenFlat& open) {
  InflatedSize size;
  const FlatBuffer& flat = open.buffer();
  for (uint32_t a = 0; a < flat.akey_count(); ++a) {
    const FlatBuffer::Key akey = flat.akey(a);
    if (akey.count == 0) size.add(0, 0);
    const bool single = akey.type == model::ValueType::single;
    for (uint32_t n = akey.first; n < akey.first + akey.count; ++n) {
      const FlatBuffer::Value value = flat.value(n, akey);
      size.add(0, value.outside || single ? 0 : value.bytes);
    }
  }
  return size.records;
}

}  // namespace

void InflatedSize::add(uint64_t key_bytes, uint64_t payload_bytes) {
  const uint64_t pieces =
      std::max<uint64_t>(1, (payload_bytes + kInlineBytesMax - 1) / kInlineBytesMax);
  records += pieces;
  bytes += payload_bytes + pieces * (key_bytes + kRecordOverhead);
}

void InflatedSize::add_single(uint64_t key_bytes, uint64_t payload_bytes) {
  if (payload_bytes <= kFlatInlineMax) return add(key_bytes, payload_bytes);
  add(key_bytes, 0);
  const uint64_t blocks = (payload_bytes + kDataBlockBytes - 1) / kDataBlockBytes;
  // Runs and checksums: in the worst case each block is a run.
  bytes += key_bytes + kRecordOverhead + 64 + blocks * (18 + 4 + 15);
}

Result<void> inflate(Shard::State& state, const KeyPath& path, const Key* dkey_prefix,
                     Overlay& overlay, BlockCache& cache) {
  const ContNumber container = load_be32(path.object().view().data());
  if (!state.flats.any(container)) return {};
  static_assert(kInlineBytesMax + kRecordOverhead <= index::kValueBytesMax);
  const View view(state.tree(), &overlay, model::kEpochMax);
  TRY(open, open_flat(state.flats, view, path.object()));
  if (open == nullptr) return {};
  const FlatBuffer& flat = open->buffer();
  Bytes taken = open->taken;
  taken.resize((flat.dkey_count() + 7) / 8);
  Plan plan(state, path, open->record.epoch, cache, view);
  Inflation inflation{plan, view, *open, cache, state.flats};
  std::vector<uint32_t> dkeys;
  if (dkey_prefix == nullptr || record_count(*open) <= kInflatedWholeMax) {
    for (uint32_t i = 0; i < flat.dkey_count(); ++i) dkeys.push_back(i);
  } else {
    ByteView rest = dkey_prefix->view().subspan(path.object().size());
    TRY(dkey, take_component(rest, flat.dkey_kind()));
    const uint32_t i = flat.dkey_at(dkey);
    const bool there =
        i < flat.dkey_count() && compare_components(flat.dkey_kind(), flat.dkey(i).key, dkey) == 0;
    if (there) dkeys.push_back(i);
  }
  std::erase_if(dkeys, [&](uint32_t i) { return open->record.is_taken(i); });
  if (dkeys.empty()) return {};
  for (const uint32_t i : dkeys) {
    TRY(out, inflation.take_dkey(i));
    taken[i / 8] |= static_cast<std::byte>(1u << i % 8);
  }
  uint32_t left = 0;
  FlatRecord record = open->record;
  record.taken = taken;
  for (uint32_t i = 0; i < flat.dkey_count(); ++i) left += record.is_taken(i) ? 0 : 1;
  const Key key = flat_key(path.object());
  if (left == 0) {
    TRY(raw, view.get(key));
    CHECK(raw.has_value());  // it was opened
    TRY(released, release_flat(plan, container, *raw));
    plan.erase(key);
  } else {
    while (taken.back() == std::byte{0}) taken.pop_back();
    record.taken = taken;
    put_flat(plan.scratch(), record);
    plan.put(key, plan.scratch());
  }
  overlay.absorb(plan.batch());
  return {};
}

Result<bool> inflate_ahead(Shard::State& state, const KeyPath& path, const Key* dkey_prefix,
                           BlockCache& cache) {
  if (!cache.lays()) return false;
  Overlay overlay(state.tree());
  TRY(done, inflate(state, path, dkey_prefix, overlay, cache));
  index::Batch batch;
  overlay.emit(batch);
  if (batch.data().empty()) return false;  // only others have large values
  TRY(prepared, state.tree().prepare(batch));
  state.commit({0, 0, state.next_epoch(), 0, 0}, batch);
  return true;
}

Result<void> FlatPlanning::begin(Shard::State& state, const KeyPath& path, const Key& dkey_prefix,
                                 BlockCache& cache) {
  overlay_.reset();
  inflated_bytes_ = 0;
  if (!state.flats.any(load_be32(path.object().view().data()))) return {};
  overlay_.emplace(state.tree());
  TRY(done, inflate(state, path, &dkey_prefix, *overlay_, cache));
  if (overlay_->changes().empty()) {
    overlay_.reset();
    return {};
  }
  inflated_bytes_ = overlay_->bytes();
  return {};
}

index::Batch FlatPlanning::finish(Plan& plan) {
  if (!overlay_) return std::move(plan.batch());
  overlay_->absorb(plan.batch());
  index::Batch batch;
  overlay_->emit(batch);
  return batch;
}

}  // namespace cairn::vos
