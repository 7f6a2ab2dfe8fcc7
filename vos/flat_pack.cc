#include "vos/flat_pack.h"

#include "vos/packed_format.h"

namespace cairn::vos {

namespace {

/// One of so much room less.
Result<PackRecord> without(PackRecord pack, uint64_t room) {
  if (pack.bytes < room || (pack.objects == 1) != (pack.bytes == room)) {
    return fail(Errc::checksum, "flat: the record of its extent counts less than lives there");
  }
  --pack.objects;
  pack.bytes -= room;
  return pack;
}

/// None: it is missing or damaged. Then what lives in the extent ends without being counted, so
/// that it can be changed all the same, and the blocks are never free again: a check lists them.
Result<std::optional<PackRecord>> parse_found(const std::optional<ByteView>& found) {
  if (!found) return std::nullopt;
  const auto record = parse_pack(*found);
  if (record) return *record;
  if (record.error().code() != Errc::checksum) return fail(record.error());
  return std::nullopt;
}

Result<void> release(Plan& plan, ContNumber container, uint64_t block, uint64_t room) {
  const Key key = pack_key(container, block);
  const auto known = plan.packs().find(block);
  PackRecord pack;
  if (known != plan.packs().end()) {
    pack = known->second;
  } else {
    TRY(found, plan.look().view().get(key));
    TRY(parsed, parse_found(found));
    if (!parsed) return {};
    pack = *parsed;
  }
  TRY(left, without(pack, room));
  plan.packs()[block] = left;
  if (left.objects == 0) {
    plan.erase(key);
    plan.free({block, left.blocks});
    return {};
  }
  put_pack(plan.scratch(), plan.epoch(), left);
  plan.put(key, plan.scratch());
  return {};
}

}  // namespace

Result<Staged> stage_flat(index::Store& store, Bytes& bytes) {
  std::vector<IoVec> pieces{{bytes.data(), bytes.size()}};
  IoVecCursor from(pieces);
  TRY(made, stage(store, from, bytes.size()));
  if (made.data.runs.size() != 1) {
    store.cancel_data(made.data.runs);
    return fail(Errc::no_space, "flatten: free space is in pieces that are too small");
  }
  make_checksums(made);
  for (index::BatchData& data : made.published) data.payload = {};  // durable by itself
  return made;
}

Result<void> release_flat(Plan& plan, ContNumber container, ByteView flat_record) {
  TRY(flat, parse_flat(flat_record));
  return release(plan, container, flat.place.block, flat.place.room());
}

Result<PackedPlace> packed_place(ByteView key, const ValueView& value) {
  TRY(data, parse_data(value));
  constexpr size_t kSlotBytes = kHistoryPrefixBytes - kRangePrefixBytes;
  const uint64_t key_bytes = key.size() - (in_range(key, Range::history) ? kSlotBytes : 0);
  const uint64_t end = data.blocks_before * kDataBlockBytes + data.skip + value.payload_bytes;
  const uint64_t bytes = packed_bytes(key_bytes, value.payload_bytes);
  if (bytes > end || (end - bytes) % kFlatAlign != 0) {
    return fail(Errc::checksum, "packed value: its record names a place where none can be");
  }
  return PackedPlace{data.runs[0].block - data.blocks_before, end - bytes,
                     round_up(bytes, kFlatAlign)};
}

void put_packed_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes,
                     const BlockData& extent, uint64_t at) {
  const uint64_t first = at / kDataBlockBytes;
  const uint64_t last = (at + payload_bytes - 1) / kDataBlockBytes;
  BlockData own = slice_blocks(extent, first, last, static_cast<uint32_t>(at % kDataBlockBytes));
  own.blocks_before = first;
  put_shared_data(out, epoch, payload_bytes, own);
}

Result<void> release_value(Plan& plan, ContNumber container, ByteView key, const ValueView& value) {
  TRY(place, packed_place(key, value));
  return release(plan, container, place.block, place.room);
}

Result<void> PackLedger::release(ContNumber container, ByteView flat_record) {
  TRY(flat, parse_flat(flat_record));
  return release(container, flat.place.block, flat.place.room());
}

Result<void> PackLedger::release_value(ContNumber container, ByteView key, const ValueView& value) {
  TRY(place, packed_place(key, value));
  return release(container, place.block, place.room);
}

Result<void> PackLedger::release(ContNumber container, uint64_t block, uint64_t room) {
  const auto id = std::pair(container, block);
  auto known = packs_.find(id);
  if (known == packs_.end()) {
    TRY(found, tree_.get(pack_key(container, block)));
    TRY(pack, parse_found(found));
    if (!pack) return {};
    TRY(left, without(*pack, room));
    packs_.emplace(id, left);
    return {};
  }
  TRY(left, without(known->second, room));
  known->second = left;
  return {};
}

void PackLedger::emit(index::Batch& batch, model::Epoch epoch) const {
  Bytes value;
  for (const auto& [id, pack] : packs_) {
    const Key key = pack_key(id.first, id.second);
    if (pack.objects == 0) {
      batch.erase(key);
      batch.free({id.second, pack.blocks});
    } else {
      put_pack(value, epoch, pack);
      batch.put(key, value);
    }
  }
}

Result<void> PackWalk::step(std::vector<Pack>& out) {
  constexpr size_t kStepRecordsMax = 1024;
  index::Cursor cursor(state_.tree());
  TRY(sought, cursor.seek(next_));
  while (out.size() < kStepRecordsMax && cursor.valid() && starts_with(cursor.key(), prefix_)) {
    TRY(record, parse_pack(cursor.value()));
    TRY(block, parse_pack_key(cursor.key()));
    out.push_back({block, record});
    next_ = {};
    next_.add(cursor.key());
    next_.add(0);
    TRY(moved, cursor.next());
  }
  return {};
}

Task<Result<std::vector<PackWalk::Pack>>> PackWalk::next() {
  index::Store::Attempt attempt(*state_.store);
  std::vector<Pack> found;
  for (;;) {
    const auto stepped = step(found);
    if (stepped) co_return std::move(found);
    if (stepped.error().code() != Errc::page_absent) co_return fail(stepped.error());
    CO_TRY(loaded, co_await state_.store->load_absent(attempt));
  }
}

}  // namespace cairn::vos
