#include "dfs/testing/fake_container.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"

namespace cairn::dfs::testing {
namespace {

using model::ValueType;
using Akeys = std::map<std::string, FakeValue>;
using Piece = model::FetchedIod::Piece;

/// Keys in the order of their kind: integers with the most significant byte first.
std::string ordered(model::KeyKind kind, ByteView key) {
  std::string out{as_chars(key)};
  if (kind == model::KeyKind::integer) std::reverse(out.begin(), out.end());
  return out;
}

/// Takes [first, end) out of the extents.
void cut(FakeValue& value, uint64_t first, uint64_t end) {
  const uint64_t size = value.record_bytes;
  const auto distance = [size](uint64_t n) { return static_cast<ptrdiff_t>(n * size); };
  auto at = value.extents.lower_bound(first);
  if (at != value.extents.begin()) --at;
  while (at != value.extents.end() && at->first < end) {
    const uint64_t begin = at->first;
    Bytes bytes = std::move(at->second);
    const uint64_t stop = begin + bytes.size() / size;
    if (stop <= first) {
      at->second = std::move(bytes);
      ++at;
      continue;
    }
    at = value.extents.erase(at);
    if (begin < first) {
      value.extents[begin] = Bytes(bytes.begin(), bytes.begin() + distance(first - begin));
    }
    if (stop > end) {
      value.extents[end] = Bytes(bytes.begin() + distance(end - begin), bytes.end());
    }
  }
}

/// Walks scattered memory.
class Cursor {
 public:
  explicit Cursor(const IoVecs& buffer) : buffer_(buffer) {}
  void take(std::byte* to, uint64_t bytes) { move(bytes, to, nullptr); }
  void put(const std::byte* from, uint64_t bytes) { move(bytes, nullptr, from); }
  void skip(uint64_t bytes) { move(bytes, nullptr, nullptr); }

 private:
  void move(uint64_t bytes, std::byte* to, const std::byte* from) {
    while (bytes != 0 && index_ < buffer_.size()) {
      const uint64_t some = std::min<uint64_t>(bytes, buffer_[index_].bytes - offset_);
      std::byte* const here = buffer_[index_].data + offset_;
      if (to != nullptr) std::memcpy(std::exchange(to, to + some), here, some);
      if (from != nullptr) std::memcpy(here, std::exchange(from, from + some), some);
      bytes -= some;
      offset_ += some;
      if (offset_ == buffer_[index_].bytes) offset_ = 0, ++index_;
    }
  }
  const IoVecs& buffer_;
  size_t index_ = 0;
  uint64_t offset_ = 0;
};

uint64_t room_of(const IoVecs& buffer) {
  uint64_t room = 0;
  for (const IoVec& piece : buffer) room += piece.bytes;
  return room;
}

Result<void> check_iod(const model::Iod& iod, const Akeys* akeys, uint64_t flags) {
  const std::string key{as_chars(iod.akey)};
  const FakeValue* value = nullptr;
  if (akeys != nullptr) {
    const auto found = akeys->find(key);
    if (found != akeys->end()) value = &found->second;
  }
  const uint64_t cond = (flags & model::cond::kPerAkey) != 0 ? iod.flags : flags;
  if ((cond & model::cond::kAkeyInsert) != 0 && value != nullptr) {
    return fail(Errc::exists, "fake: the akey exists");
  }
  if ((cond & model::cond::kAkeyUpdate) != 0 && value == nullptr) {
    return fail(Errc::nonexistent, "fake: no such akey");
  }
  uint64_t bytes = iod.record_bytes;
  if (iod.type == ValueType::array) {
    uint64_t count = 0;
    for (const model::Recx& recx : iod.recxs) count += recx.count;
    bytes *= count;
  }
  if (room_of(iod.buffer) < bytes) return fail(Errc::record_too_big, "fake: a short buffer");
  if (value == nullptr) return {};
  if (value->type != iod.type) return fail(Errc::no_perm, "fake: the akey has the other type");
  if (iod.type == ValueType::array && iod.record_bytes != 0 && value->record_bytes != 0 &&
      iod.record_bytes != value->record_bytes) {
    return fail(Errc::invalid, "fake: another record size");
  }
  return {};
}

void apply(const model::Iod& iod, FakeValue& value) {
  Cursor cursor{iod.buffer};
  value.type = iod.type;
  if (iod.type == ValueType::single) {
    value.single.resize(iod.record_bytes);
    cursor.take(value.single.data(), iod.record_bytes);
    return;
  }
  if (iod.record_bytes != 0) value.record_bytes = iod.record_bytes;
  for (const model::Recx& recx : iod.recxs) {
    if (value.record_bytes == 0) continue;
    cut(value, recx.index, recx.index + recx.count);
    if (iod.record_bytes == 0) continue;
    Bytes bytes(recx.count * iod.record_bytes);
    cursor.take(bytes.data(), bytes.size());
    value.extents[recx.index] = std::move(bytes);
  }
}

/// Array records of a fetch. Nothing is copied where the buffer is too small.
model::FetchedIod read_array(const model::Iod& iod, const FakeValue& value) {
  model::FetchedIod out;
  const uint64_t size = value.record_bytes;
  Cursor cursor{iod.buffer};
  uint64_t base = 0;  // of the recx in the buffer
  uint64_t at = 0;    // of the cursor
  for (const model::Recx& recx : iod.recxs) {
    const uint64_t end = recx.index + recx.count;
    auto extent = value.extents.upper_bound(recx.index);
    if (extent != value.extents.begin()) --extent;
    for (; extent != value.extents.end() && extent->first < end; ++extent) {
      const uint64_t stop = extent->first + extent->second.size() / size;
      const uint64_t from = std::max(extent->first, recx.index);
      const uint64_t to = std::min(stop, end);
      if (from >= to) continue;
      const uint64_t offset = base + (from - recx.index) * size;
      const uint64_t bytes = (to - from) * size;
      cursor.skip(offset - at);
      cursor.put(extent->second.data() + (from - extent->first) * size, bytes);
      at = offset + bytes;
      out.extents.push_back({from, to - from});
      if (!out.pieces.empty() && out.pieces.back().offset + out.pieces.back().bytes == offset) {
        out.pieces.back().bytes += bytes;
      } else {
        out.pieces.push_back({offset, bytes});
      }
    }
    base += recx.count * size;
  }
  if (!out.pieces.empty()) out.record_bytes = size;
  return out;
}

}  // namespace

FakeContainer::FakeContainer(FakeSystem& system, std::shared_ptr<client::Pool> pool,
                             std::shared_ptr<FakeData> data, client::Access access)
    : system_(system), pool_(std::move(pool)), data_(std::move(data)), access_(access) {}

Result<void> FakeContainer::check_open() const {
  if (!open_) return fail(Errc::no_handle, "fake: the container is closed");
  return {};
}

Result<void> FakeContainer::begin_write() {
  TRY(opened, check_open());
  if (access_ == client::Access::read_only) return fail(Errc::no_perm, "fake: opened read-only");
  return system_.begin_write();
}

Akeys* FakeContainer::find(FakeObjects& objects, model::ObjectId oid, ByteView dkey) {
  const auto object = objects.find(oid);
  if (object == objects.end()) return nullptr;
  const auto found = object->second.dkeys.find(ordered(model::dkey_kind(oid.type()), dkey));
  return found == object->second.dkeys.end() ? nullptr : &found->second;
}

/// An empty dkey: the object as a whole.
model::Epoch FakeContainer::touch(model::ObjectId oid, ByteView dkey) {
  FakeObject& object = data_->objects[oid];
  object.epoch = system_.next_epoch();
  if (dkey.empty()) {
    object.punched = object.epoch;
  } else {
    object.changed[std::string{as_chars(dkey)}] = object.epoch;
  }
  return object.epoch;
}

model::Epoch FakeContainer::newest(model::ObjectId oid, ByteView dkey) const {
  const auto object = data_->objects.find(oid);
  if (object == data_->objects.end()) return 0;
  if (dkey.empty()) return object->second.epoch;
  const auto changed = object->second.changed.find(std::string{as_chars(dkey)});
  return std::max(object->second.punched,
                  changed == object->second.changed.end() ? 0 : changed->second);
}

Task<Result<void>> FakeContainer::close() {
  CO_TRY(opened, check_open());
  open_ = false;
  --data_->handles;
  co_return Result<void>{};
}

Task<Result<client::ContInfo>> FakeContainer::query() {
  CO_TRY(opened, check_open());
  co_return client::ContInfo{.uuid = data_->uuid, .label = data_->label,
                             .handle_count = data_->handles, .props = data_->props};
}

Task<Result<void>> FakeContainer::set_props(client::Props props) {
  for (auto& [number, value] : props) data_->props[number] = std::move(value);
  co_return Result<void>{};
}

Task<Result<client::Attrs>> FakeContainer::attrs() { co_return data_->attrs; }

Task<Result<void>> FakeContainer::set_attrs(client::Attrs attrs) {
  for (auto& [name, value] : attrs) data_->attrs[name] = std::move(value);
  co_return Result<void>{};
}

Task<Result<void>> FakeContainer::delete_attrs(std::vector<std::string> names) {
  for (const std::string& name : names) data_->attrs.erase(name);
  co_return Result<void>{};
}

Task<Result<uint64_t>> FakeContainer::alloc_oids(uint64_t count) {
  co_await system_.reactor().yield();
  CO_TRY(begun, begin_write());
  co_return std::exchange(data_->next_oid, data_->next_oid + count);
}

Task<Result<model::Epoch>> FakeContainer::update(client::ObjectArgs args,
                                                 model::Iods iods) {
  co_await system_.reactor().yield();
  CO_TRY(begun, begin_write());
  Akeys* akeys = find(args.oid, args.dkey);
  if ((args.flags & model::cond::kDkeyInsert) != 0 && akeys != nullptr) {
    co_return fail(Errc::exists, "fake: the dkey exists");
  }
  if ((args.flags & model::cond::kDkeyUpdate) != 0 && akeys == nullptr) {
    co_return fail(Errc::nonexistent, "fake: no such dkey");
  }
  for (const model::Iod& iod : iods) {
    CO_TRY(checked, check_iod(iod, akeys, args.flags));
  }
  const model::Epoch epoch = touch(args.oid, args.dkey);
  akeys = &data_->objects[args.oid].dkeys[ordered(model::dkey_kind(args.oid.type()), args.dkey)];
  for (const model::Iod& iod : iods) apply(iod, (*akeys)[std::string{as_chars(iod.akey)}]);
  co_return epoch;
}

Result<FakeSnapshot*> FakeContainer::snapshot(model::Epoch epoch) {
  const auto found = data_->snapshots.find(epoch);
  if (found == data_->snapshots.end()) return fail(Errc::nonexistent, "fake: no such snapshot");
  return &found->second;
}

Result<FakeObjects*> FakeContainer::begin_read(client::ReadAt at, model::ObjectId oid,
                                               ByteView dkey) {
  TRY(opened, check_open());
  system_.begin_read();
  if (!at.in_transaction) {
    if (at.epoch == model::kEpochMax) return &data_->objects;
    const auto old = snapshot(at.epoch);
    if (!old) return fail(Errc::tx_restart, "fake: no snapshot of that epoch");
    return &(*old)->objects;
  }
  if (newest(oid, dkey) > at.epoch) return fail(Errc::tx_restart, "fake: it has changed");
  if (at.chosen != nullptr) {
    *at.chosen = at.epoch == model::kEpochMax ? system_.next_epoch() : at.epoch;
  }
  return &data_->objects;
}

Task<Result<model::Fetched>> FakeContainer::fetch_at(client::ReadAt at, client::ObjectArgs args,
                                                     model::Iods iods) {
  co_await system_.reactor().yield();
  CO_TRY(objects, begin_read(at, args.oid, args.dkey));
  model::Fetched out;
  out.iods.resize(iods.size());
  const Akeys* akeys = find(*objects, args.oid, args.dkey);
  if ((args.flags & model::cond::kDkeyFetch) != 0 && akeys == nullptr) {
    out.status = Errc::nonexistent;
  }
  for (size_t i = 0; i < iods.size(); ++i) {
    const model::Iod& iod = iods[i];
    const uint64_t cond = (args.flags & model::cond::kPerAkey) != 0 ? iod.flags : args.flags;
    const auto found = akeys == nullptr ? Akeys::const_iterator{}
                                        : akeys->find(std::string{as_chars(iod.akey)});
    if (akeys == nullptr || found == akeys->end()) {
      if ((cond & model::cond::kAkeyFetch) != 0) out.status = Errc::nonexistent;
      continue;
    }
    const FakeValue& value = found->second;
    if (value.type != iod.type) continue;
    if (iod.type == ValueType::array) {
      out.iods[i] = read_array(iod, value);
      continue;
    }
    out.iods[i].record_bytes = value.single.size();
    if (iod.size_only) continue;
    if (room_of(iod.buffer) < value.single.size()) {
      out.status = Errc::record_too_big;
    } else if (!value.single.empty()) {
      Cursor{iod.buffer}.put(value.single.data(), value.single.size());
      out.iods[i].pieces.push_back({0, value.single.size()});
    }
  }
  co_return out;
}

Task<Result<model::Epoch>> FakeContainer::punch_object(model::ObjectId oid, uint64_t) {
  co_await system_.reactor().yield();
  CO_TRY(begun, begin_write());
  data_->objects[oid].dkeys.clear();
  co_return touch(oid, {});
}

Task<Result<model::Epoch>> FakeContainer::punch_dkey(client::ObjectArgs args) {
  co_await system_.reactor().yield();
  CO_TRY(begun, begin_write());
  if (find(args.oid, args.dkey) == nullptr && (args.flags & model::cond::kPunch) != 0) {
    co_return fail(Errc::nonexistent, "fake: no such dkey");
  }
  data_->objects[args.oid].dkeys.erase(ordered(model::dkey_kind(args.oid.type()), args.dkey));
  co_return touch(args.oid, args.dkey);
}

Task<Result<model::Epoch>> FakeContainer::punch_akeys(client::ObjectArgs args,
                                                      std::vector<ByteView> keys) {
  co_await system_.reactor().yield();
  CO_TRY(begun, begin_write());
  Akeys* const akeys = find(args.oid, args.dkey);
  for (const ByteView key : keys) {
    const bool there = akeys != nullptr && akeys->contains(std::string{as_chars(key)});
    if (!there && (args.flags & model::cond::kPunch) != 0) {
      co_return fail(Errc::nonexistent, "fake: no such akey");
    }
  }
  for (const ByteView key : keys) {
    if (akeys != nullptr) akeys->erase(std::string{as_chars(key)});
  }
  if (akeys != nullptr && akeys->empty()) {
    data_->objects[args.oid].dkeys.erase(ordered(model::dkey_kind(args.oid.type()), args.dkey));
  }
  co_return touch(args.oid, args.dkey);
}

Task<Result<model::Listed>> FakeContainer::list_at(client::ReadAt at, model::ObjectId oid,
                                                   model::ListRequest request) {
  using What = model::ListRequest::What;
  co_await system_.reactor().yield();
  CO_TRY(objects, begin_read(at, oid, request.what == What::dkeys ? ByteView{} : request.dkey));
  std::string from;
  if (!request.position.empty()) {
    CO_TRY(place, system_.recall(request.position));
    from = std::move(place);
  }
  std::vector<std::string> keys;  // those at or behind `from`
  model::Listed out;
  if (request.what == What::recxs) {
    const Akeys* const akeys = find(*objects, oid, request.dkey);
    const auto found = akeys == nullptr ? Akeys::const_iterator{}
                                        : akeys->find(std::string{as_chars(request.akey)});
    out.eof = true;
    if (akeys == nullptr || found == akeys->end()) co_return out;
    for (const auto& [first, bytes] : found->second.extents) {
      out.record_bytes = found->second.record_bytes;
      out.recxs.push_back({first, bytes.size() / out.record_bytes});
      out.epochs.push_back(1);
    }
    co_return out;
  }
  if (request.what == What::dkeys) {
    const auto object = objects->find(oid);
    if (object != objects->end()) {
      const auto& dkeys = object->second.dkeys;
      for (auto at = dkeys.lower_bound(from); at != dkeys.end(); ++at) keys.push_back(at->first);
    }
  } else if (const Akeys* const akeys = find(*objects, oid, request.dkey)) {
    for (auto at = akeys->lower_bound(from); at != akeys->end(); ++at) keys.push_back(at->first);
  }
  for (std::string& key : keys) {
    const bool fits = out.keys.size() + key.size() <= request.bytes_max;
    if (!fits && out.lengths.empty()) {
      out.lengths.push_back(key.size());
      out.too_small = true;
      out.position = std::move(request.position);
      co_return out;
    }
    if (!fits || out.lengths.size() == request.count_max) {
      out.position = system_.remember(key);
      co_return out;
    }
    const bool integer =
        request.what == What::dkeys && model::dkey_kind(oid.type()) == model::KeyKind::integer;
    if (integer) std::reverse(key.begin(), key.end());
    const ByteView bytes = as_bytes(key);
    out.keys.insert(out.keys.end(), bytes.begin(), bytes.end());
    out.lengths.push_back(key.size());
  }
  out.eof = true;
  co_return out;
}

Task<Result<Bytes>> FakeContainer::position_of(model::ObjectId oid, model::ListRequest::What what,
                                               ByteView key) {
  const auto kind = what == model::ListRequest::What::dkeys ? model::dkey_kind(oid.type())
                                                            : model::akey_kind(oid.type());
  co_return system_.remember(ordered(kind, key));
}

Task<Result<std::vector<Bytes>>> FakeContainer::parts_of(model::ObjectId oid, ByteView first) {
  std::vector<Bytes> one(1);
  if (!first.empty()) {
    CO_TRY(position, co_await position_of(oid, model::ListRequest::What::dkeys, first));
    one[0] = std::move(position);
  }
  co_return one;
}

Task<Result<model::QueriedKey>> FakeContainer::query_key_at(client::ReadAt at,
                                                            model::ObjectId oid,
                                                            model::QueryKeyRequest request) {
  co_await system_.reactor().yield();
  CO_TRY(objects, begin_read(at, oid));
  model::QueriedKey out;
  const auto object = objects->find(oid);
  if (object == objects->end() || !request.max || request.want_akey) co_return out;
  const auto& dkeys = object->second.dkeys;
  const std::string akey{as_chars(request.akey_bytes)};
  for (auto at = dkeys.rbegin(); at != dkeys.rend(); ++at) {
    const uint64_t dkey = load_be64(at->first.data());
    if (!request.want_dkey && dkey != request.dkey) continue;
    const auto value = at->second.find(akey);
    if (request.want_recx && (value == at->second.end() || value->second.extents.empty())) {
      continue;
    }
    out.found = true;
    out.dkey = dkey;
    if (request.want_recx) {
      const auto& [first, bytes] = *value->second.extents.rbegin();
      out.record_bytes = value->second.record_bytes;
      out.recx = {first, bytes.size() / out.record_bytes};
    }
    break;
  }
  co_return out;
}

Task<Result<model::Epoch>> FakeContainer::max_epoch_at(client::ReadAt at, model::ObjectId oid) {
  co_await system_.reactor().yield();
  CO_TRY(objects, begin_read(at, oid));
  const auto object = objects->find(oid);
  co_return object == objects->end() ? 0 : object->second.epoch;
}

void FakeContainer::apply_change(const client::Change& change) {
  using Kind = client::Change::Kind;
  auto& dkeys = data_->objects[change.oid].dkeys;
  const std::string dkey = ordered(model::dkey_kind(change.oid.type()), change.dkey);
  switch (change.kind) {
    case Kind::update:
      for (const model::Iod& iod : change.iods) {
        apply(iod, dkeys[dkey][std::string{as_chars(iod.akey)}]);
      }
      return;
    case Kind::punch_object:
      dkeys.clear();
      return;
    case Kind::punch_dkey:
      dkeys.erase(dkey);
      return;
    case Kind::punch_akeys:
      break;
  }
  const auto found = dkeys.find(dkey);
  if (found == dkeys.end()) return;
  for (const ByteView akey : change.akeys) found->second.erase(std::string{as_chars(akey)});
  if (found->second.empty()) dkeys.erase(found);
}

Task<Result<model::Epoch>> FakeContainer::transact(client::Changes changes) {
  co_await system_.reactor().yield();
  CO_TRY(opened, check_open());
  for (const client::ReadRange& read : changes.reads) {
    if (newest(read.oid, read.dkey) > changes.read_epoch) {
      co_return fail(Errc::tx_restart, "fake: something that was read has changed");
    }
  }
  CO_TRY(begun, begin_write());
  model::Epoch epoch = 0;
  for (const client::Change& change : changes.changes) {
    apply_change(change);
    epoch = touch(change.oid, change.dkey);
  }
  co_return epoch;
}

Task<Result<model::Epoch>> FakeContainer::snap_create() {
  co_await system_.reactor().yield();
  CO_TRY(begun, begin_write());
  const model::Epoch epoch = system_.next_epoch();
  data_->snapshots[epoch].objects = data_->objects;
  co_return epoch;
}

Task<Result<std::vector<client::Snapshot>>> FakeContainer::snap_list() {
  CO_TRY(opened, check_open());
  std::vector<client::Snapshot> out;
  for (const auto& [epoch, kept] : data_->snapshots) out.push_back({epoch, kept.has_table});
  co_return out;
}

Task<Result<void>> FakeContainer::snap_destroy(model::Epoch epoch) {
  CO_TRY(begun, begin_write());
  CO_TRY(kept, snapshot(epoch));
  data_->snapshots.erase(epoch);
  co_return Result<void>{};
}

Task<Result<void>> FakeContainer::snap_set_table(model::Epoch epoch, bool whole) {
  CO_TRY(begun, begin_write());
  CO_TRY(kept, snapshot(epoch));
  kept->has_table = whole;
  co_return Result<void>{};
}

Task<Result<void>> FakeContainer::rollback(model::Epoch epoch) {
  CO_TRY(begun, begin_write());
  CO_TRY(kept, snapshot(epoch));
  data_->objects = kept->objects;
  co_return Result<void>{};
}

Task<Result<void>> FakeContainer::aggregate(model::Epoch) {
  CO_TRY(begun, begin_write());
  co_return Result<void>{};
}

/// One page.
Task<Result<client::ObjectPage>> FakeContainer::list_objects(model::Epoch epoch, Bytes, uint32_t) {
  CO_TRY(objects, begin_read({.epoch = epoch}, {}));
  client::ObjectPage page{.eof = true};
  for (const auto& [oid, object] : *objects) {
    if (!object.dkeys.empty()) page.oids.push_back(oid);
  }
  co_return page;
}

Task<Result<client::DifferencePage>> FakeContainer::snap_diff(model::Epoch, model::Epoch, Bytes,
                                                              uint32_t) {
  co_return fail(Errc::no_sys, "fake: compares no snapshots");
}

}  // namespace cairn::dfs::testing
