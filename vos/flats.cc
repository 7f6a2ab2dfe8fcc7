#include "vos/flats.h"

#include <algorithm>

#include "media/device.h"

namespace cairn::vos {

namespace {

/// So many stay whatever they take: what one step may look at.
constexpr size_t kHeldMin = 4;
constexpr size_t kDirtyMax = 1024;

}  // namespace

Result<FlatObjectPtr> FlatObject::make(ByteView buffer, model::Epoch epoch) {
  TRY(parsed, FlatBuffer::parse(buffer));
  return FlatObjectPtr(new FlatObject(parsed, epoch));
}

FlatObject::FlatObject(const FlatBuffer& buffer, model::Epoch epoch)
    : buffer_(buffer), epoch_(epoch) {
  bytes_.reserve(buffer.bytes().size() + 16 * size_t{buffer.value_count()});
  const ByteView keys = buffer.bytes().first(buffer.keys_end());
  bytes_.assign(keys.begin(), keys.end());
  add_records(buffer);
  buffer_.moved_to(ByteView(bytes_).first(keys.size()));
}

void FlatObject::add_records(const FlatBuffer& b) {
  ends_.reserve(size_t{b.dkey_count()} + 2 * b.akey_count() + b.value_count() + 1);
  const auto end = [this] { ends_.push_back(static_cast<uint32_t>(bytes_.size())); };
  const auto add_name = [&](ByteView name) {
    if (!name.empty()) add_inlined(bytes_, epoch_, name);
    end();
  };
  end();
  for (uint32_t i = 0; i < b.dkey_count(); ++i) add_name(b.dkey(i).name);
  for (uint32_t i = 0; i < b.akey_count(); ++i) add_name(b.akey(i).name);
  Bytes mark;
  for (uint32_t i = 0; i < b.akey_count(); ++i) {
    const FlatBuffer::Key akey = b.akey(i);
    if (akey.count == 0) {
      put_present(mark, epoch_, akey.type, akey.record_bytes);
      bytes_.insert(bytes_.end(), mark.begin(), mark.end());
    }
    end();
  }
  for (uint32_t i = 0; i < b.akey_count(); ++i) {
    const FlatBuffer::Key akey = b.akey(i);
    for (uint32_t n = akey.first; n < akey.first + akey.count; ++n) {
      const FlatBuffer::Value value = b.value(n, akey);
      if (!value.outside && akey.type == model::ValueType::single) {
        add_inlined(bytes_, epoch_, b.payload(value));
      } else if (!value.outside) {
        add_extent_inlined(bytes_, epoch_, {value.count, akey.record_bytes, false},
                           b.payload(value));
      }
      end();
    }
  }
}

size_t FlatObject::memory_bytes() const {
  return sizeof(FlatObject) + 64 + bytes_.capacity() + 4 * ends_.size();
}

void Flats::note(const index::Batch& batch) {
  for (const index::Batch::Op& op : batch.ops()) {
    const ByteView key = batch.key(op);
    if (!in_range(key, Range::pack)) continue;
    const ContNumber container = load_be32(key.data());
    if (op.kind == index::Batch::Op::Kind::erase) {
      const auto found = packs_.find(container);
      if (found != packs_.end() && --found->second == 0) packs_.erase(container);
      continue;
    }
    const auto block = parse_pack_key(key);
    const auto record = parse_pack(batch.value(op));
    CHECK(block && record);  // made by us
    note_pack({container, *block}, *record);
  }
}

void Flats::note_pack(PackId pack, const PackRecord& record) {
  if (is_sparse(record)) keep_dirty({pack, true});
}

void Flats::keep_dirty(const DirtyPack& pack) {
  const bool hopeless = std::find(given_up_.begin(), given_up_.end(), pack.id) != given_up_.end();
  if (hopeless) return;
  const auto known = std::find_if(dirty_.begin(), dirty_.end(),
                                  [&](const DirtyPack& other) { return other.id == pack.id; });
  if (known != dirty_.end()) {
    known->fresh = known->fresh || pack.fresh;
  } else if (dirty_.size() < kDirtyMax) {
    dirty_.push_back(pack);
  } else {
    return;
  }
  is_fresh_ = is_fresh_ || pack.fresh;
}

bool Flats::give_up(PackId pack) {
  if (std::find(given_up_.begin(), given_up_.end(), pack) != given_up_.end()) return false;
  if (given_up_.size() < kDirtyMax) given_up_.push_back(pack);
  return true;
}

std::vector<DirtyPack> Flats::take_dirty() {
  is_fresh_ = false;
  return std::exchange(dirty_, {});
}

Result<FlatObjectPtr> Flats::find(const ObjectPath& object, const FlatRecord& record) {
  const auto found = by_address_.find(address_of(record.place));
  if (found != by_address_.end()) {
    Slot& slot = slots_[found->second];
    const FlatBuffer& buffer = slot.object->buffer();
    // Its place may have been given to another buffer since.
    const bool same = slot.object->epoch() == record.epoch &&
                      slot.checksum == record.place.checksum && buffer.object().oid == object.oid &&
                      buffer.object().container == object.container &&
                      buffer.object().shard == object.shard;
    if (same) {
      slot.used = true;
      return slot.object;
    }
    drop(found->second);
  }
  wanted_ = Wanted{object, record.epoch, record.place};
  return fail(Errc::page_absent, "a flattened object's buffer must be read first");
}

void Flats::postpone_miss(media::Lsn now) {
  postponed_ = std::exchange(wanted_, std::nullopt);
  postponed_at_ = now;
  wanted_laid_.reset();
}

bool Flats::resume_miss(const ObjectPath& object, media::Lsn now) {
  if (!postponed_ || postponed_at_ != now) return false;
  const ObjectPath& missed = postponed_->object;
  if (missed.oid != object.oid || missed.container != object.container ||
      missed.shard != object.shard) {
    return false;
  }
  const Wanted wanted = *std::exchange(postponed_, std::nullopt);
  if (by_address_.find(address_of(wanted.place)) != by_address_.end()) return false;
  wanted_ = wanted;
  return true;
}

void Flats::drop(uint32_t slot) {
  Slot& s = slots_[slot];
  bytes_ -= s.object->memory_bytes();
  by_address_.erase(s.address);
  s.object.reset();
  free_.push_back(slot);
  --held_;
}

void Flats::clear() {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].object) drop(i);
  }
}

void Flats::insert(const Wanted& wanted, FlatObjectPtr object) {
  const uint64_t address = address_of(wanted.place);
  if (const auto old = by_address_.find(address); old != by_address_.end()) drop(old->second);
  const size_t bytes = object->memory_bytes();
  // Twice around: then all that is left is held by somebody.
  for (size_t looks = 2 * slots_.size();
       looks > 0 && held_ >= kHeldMin && bytes_ + bytes > bytes_max_; --looks) {
    hand_ = (hand_ + 1) % static_cast<uint32_t>(slots_.size());
    Slot& s = slots_[hand_];
    if (s.object == nullptr || std::exchange(s.used, false) || s.object.use_count() > 1) continue;
    drop(hand_);
  }
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  slots_[slot] = {address, wanted.place.checksum, std::move(object), true};
  by_address_[address] = slot;
  bytes_ += bytes;
  ++held_;
}

Task<Result<Bytes>> read_flat(index::Store& store, FlatPlace place) {
  const uint64_t first = place.offset / kDataBlockBytes;
  const uint64_t end =
      (uint64_t{place.offset} + place.length + kDataBlockBytes - 1) / kDataBlockBytes;
  auto blocks = media::AlignedBuffer::uninitialised((end - first) * kDataBlockBytes);
  const media::Extent extent{place.block + first, static_cast<uint32_t>(end - first)};
  CO_TRY(done, co_await store.read_data(extent, 0, blocks.span()));
  const ByteView found =
      blocks.view().subspan(place.offset - first * kDataBlockBytes, place.length);
  Bytes bytes(found.begin(), found.end());
  const auto identity = identify_flat(bytes);
  if (!identity || identity->checksum != place.checksum || identity->length != place.length) {
    co_return fail(Errc::checksum, "flat: the medium gave other bytes than were written");
  }
  co_return std::move(bytes);
}

bool Flats::note_laid(const index::Batch& batch) {
  if (laid_.empty() || batch.data().empty()) return false;
  size_t laid_runs = 0;
  const auto is_over = [&](const std::weak_ptr<LaidValue>& weak) {
    const auto value = weak.lock();
    if (value == nullptr) return true;
    const uint64_t first = value->staged->data.runs[0].block;
    for (const index::BatchData& data : batch.data()) {
      value->published = value->published || data.extent.block == first;
    }
    if (value->published) laid_runs += value->staged->data.runs.size();
    return value->published;
  };
  std::erase_if(laid_, is_over);
  return laid_runs == batch.data().size();
}

/// Durable before the plan that asked for it goes on, or with the record that publishes it.
Task<Result<void>> Flats::lay_out(index::Store& store) {
  const std::shared_ptr<LaidValue> value = std::exchange(wanted_laid_, nullptr);
  std::vector<IoVec> pieces{{value->payload.data(), value->payload.size()}};
  IoVecCursor from(pieces);
  // Blocks that others freed are not waited for: our read pin may hold them back.
  CO_TRY(staged, stage(store, from, value->payload.size()));
  make_checksums(staged);
  for (index::BatchData& data : staged.published) data.payload = {};  // not the log's to carry
  const auto job = co_await store.start_data({staged.writes.begin(), staged.writes.end()});
  const auto done = co_await store.finish_data(job);
  if (!done) {
    store.cancel_data(staged.data.runs);
    co_return done;
  }
  value->store = &store;
  value->staged.emplace(std::move(staged));
  laid_.push_back(value);
  co_return Result<void>{};
}

Task<Result<void>> Flats::load(index::Store& store, Hold* hold) {
  if (wanted_laid_ != nullptr) co_return co_await lay_out(store);
  const Wanted wanted = *std::exchange(wanted_, std::nullopt);
  const auto pin = store.pin_reads();
  CO_TRY(stored, co_await read_flat(store, wanted.place));
  CO_TRY(bytes, codec_.restore(std::move(stored)));
  CO_TRY(object, FlatObject::make(bytes, wanted.epoch));
  const ObjectPath& found = object->buffer().object();
  if (found.oid != wanted.object.oid || found.container != wanted.object.container ||
      found.shard != wanted.object.shard) {
    co_return fail(Errc::checksum, "flat: another object's buffer stands here");
  }
  if (hold != nullptr) {
    hold->bytes += object->memory_bytes();
    if (hold->bytes > kHoldBytesMax) {
      co_return fail(Errc::no_memory, "flat: one step looks at too many flattened objects");
    }
    hold->objects.push_back(object);
  }
  insert(wanted, std::move(object));
  co_return Result<void>{};
}

}  // namespace cairn::vos
