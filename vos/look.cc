#include "vos/plan.h"

namespace cairn::vos {

bool starts_with(ByteView key, ByteView prefix) {
  return key.size() >= prefix.size() && std::memcmp(key.data(), prefix.data(), prefix.size()) == 0;
}

Result<FoundExtent> parse_extent(uint64_t end, ByteView value) {
  TRY(parsed, parse_value(Kind::extent, value));
  if (parsed.count > end) return fail(Errc::checksum, "extent: begins before record 0");
  return FoundExtent{end - parsed.count, end, parsed};
}

Result<Floor> Look::object_floor() {
  if (!marked_) return 0;
  return state_.markers.at(view_, path_.object(), path_.object(), Level::object);
}

Result<Floor> Look::dkey_floor(const Key& dkey_prefix) {
  if (!marked_) return 0;
  TRY(above, object_floor());
  TRY(own, state_.markers.at(view_, path_.object(), dkey_prefix, Level::dkey));
  return std::max(above, own);
}

Result<Floor> Look::akey_floor(const Key& akey_prefix, Floor dkey_floor) {
  if (!marked_) return 0;
  TRY(own, state_.markers.at(view_, path_.object(), akey_prefix, Level::akey));
  return std::max(dkey_floor, own);
}

Result<model::Epoch> Look::ended_at(ByteView live_key, model::Epoch epoch,
                                    model::Epoch otherwise) {
  if (!marked_) return otherwise;
  TRY(levels, level_bytes(live_key));
  model::Epoch ended = otherwise;
  const auto look_at = [&](size_t bytes, Level level) -> Result<void> {
    if (bytes == 0) return {};
    TRY(marker, state_.markers.after(view_, live_key.first(bytes), level, epoch));
    if (marker != 0) ended = std::min(ended, marker);
    return {};
  };
  TRY(object, look_at(levels.object, Level::object));
  TRY(dkey, look_at(levels.dkey, Level::dkey));
  TRY(akey, look_at(levels.akey, Level::akey));
  return ended;
}

Result<AkeyState> Look::akey(const Key& akey_prefix, Floor floor) {
  AkeyState found;
  View::Cursor cursor(view_, akey_prefix);
  TRY(sought, cursor.seek(akey_prefix));
  while (cursor.valid() && starts_with(cursor.key(), akey_prefix)) {
    TRY(tail, parse_tail(cursor.key().subspan(akey_prefix.size())));
    if (tail.kind == Kind::checksums) break;
    if (epoch_of(cursor.value()) > floor) {
      TRY(value, parse_value(tail.kind, cursor.value()));
      if (tail.kind == Kind::name) {
        found.has_name = true;
      } else {
        found.exists = true;
        found.has_present = found.has_present || tail.kind == Kind::present;
        found.type = tail.kind == Kind::present  ? value.present_type
                     : tail.kind == Kind::single ? model::ValueType::single
                                                 : model::ValueType::array;
        if (value.record_bytes != 0) found.record_bytes = value.record_bytes;
        if (tail.kind != Kind::present || found.record_bytes != 0) break;
      }
    }
    TRY(moved, cursor.next());
  }
  return found;
}

Result<bool> Look::dkey_exists(const Key& dkey_prefix, Floor floor, std::span<const Key> except,
                               model::Epoch* newest) {
  View::Cursor cursor(view_, dkey_prefix);
  TRY(sought, cursor.seek(dkey_prefix));
  while (cursor.valid() && starts_with(cursor.key(), dkey_prefix)) {
    ByteView rest = cursor.key().subspan(dkey_prefix.size());
    TRY(component, take_component(rest, path_.akey_kind()));
    if (component.none) {
      TRY(moved, cursor.next());
      continue;
    }
    const Key akey_prefix = path_.akey(dkey_prefix, component);
    const bool counts = std::none_of(except.begin(), except.end(), [&](const Key& k) {
      return k.size() == akey_prefix.size() && starts_with(k, akey_prefix);
    });
    if (counts) {
      TRY(akey_floor_epoch, akey_floor(akey_prefix, floor));
      TRY(tail, parse_tail(rest));
      if (tail.kind != Kind::name && epoch_of(cursor.value()) > akey_floor_epoch) {
        if (newest != nullptr) *newest = epoch_of(cursor.value());
        return true;
      }
      TRY(moved, cursor.next());
    } else {
      TRY(moved, cursor.seek(after_prefix(akey_prefix)));
    }
  }
  return false;
}

Result<BlockData> Look::block_data(const Key& record_prefix, uint64_t end, const ValueView& value) {
  TRY(data, parse_data(value));
  if (!value.checksums_apart) return data;
  const uint64_t blocks = data.block_count();
  for (uint64_t chunk = 0; chunk * kChecksumsPerRecord < blocks; ++chunk) {
    TRY(found, view_.get(checksums_key(record_prefix, end, chunk)));
    if (!found) return fail(Errc::checksum, "extent: its checksum record is missing");
    TRY(record, parse_value(Kind::checksums, *found));
    for (size_t i = 0; i < record.inlined.size(); i += 4) {
      data.crcs.push_back(load_le32(record.inlined.data() + i));
    }
  }
  if (data.crcs.size() != blocks) {
    return fail(Errc::checksum, "extent: its checksum records do not fit it");
  }
  return data;
}

}  // namespace cairn::vos
