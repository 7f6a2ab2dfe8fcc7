#include "vos/flat_pack.h"

namespace cairn::vos {

namespace {

Result<PackRecord> without(const std::optional<ByteView>& found, const FlatPlace& place) {
  if (!found) return fail(Errc::checksum, "flat: the record of its extent is missing");
  TRY(pack, parse_pack(*found));
  if (pack.bytes < place.room() || (pack.objects == 1) != (pack.bytes == place.room())) {
    return fail(Errc::checksum, "flat: the record of its extent counts less than lives there");
  }
  --pack.objects;
  pack.bytes -= place.room();
  return pack;
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
  const Key key = pack_key(container, flat.place.block);
  TRY(found, plan.look().view().get(key));
  TRY(pack, without(found, flat.place));
  if (pack.objects == 0) {
    plan.erase(key);
    plan.free({flat.place.block, pack.blocks});
    return {};
  }
  put_pack(plan.scratch(), plan.epoch(), pack);
  plan.put(key, plan.scratch());
  return {};
}

Result<void> PackLedger::release(ContNumber container, ByteView flat_record) {
  TRY(flat, parse_flat(flat_record));
  const auto id = std::pair(container, flat.place.block);
  auto known = packs_.find(id);
  if (known == packs_.end()) {
    TRY(found, tree_.get(pack_key(container, flat.place.block)));
    TRY(pack, without(found, flat.place));
    packs_.emplace(id, pack);
    return {};
  }
  Bytes value;
  if (known->second.objects != 0) put_pack(value, 0, known->second);
  TRY(pack, without(value.empty() ? std::nullopt : std::optional(ByteView(value)), flat.place));
  known->second = pack;
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
