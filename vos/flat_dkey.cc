#include "vos/flat_dkey.h"

namespace cairn::vos {

Result<std::optional<FlatDkey>> FlatDkey::find(FlatLens* lens, const Key& object_prefix,
                                               const Key& dkey_prefix) {
  std::optional<FlatDkey> none;
  if (lens == nullptr) return none;
  TRY(open, lens->open(object_prefix));
  if (open == nullptr || open->buffer().outside_bytes() != 0) return none;
  const FlatBuffer& flat = open->buffer();
  ByteView rest = dkey_prefix.view().subspan(object_prefix.size());
  TRY(key, take_component(rest, flat.dkey_kind()));
  const uint32_t index = flat.dkey_at(key);
  if (index == flat.dkey_count() || open->record.is_taken(index)) return none;
  const FlatBuffer::Key dkey = flat.dkey(index);
  if (compare_components(flat.dkey_kind(), dkey.key, key) != 0) return none;
  return std::optional(FlatDkey(std::move(open), dkey));
}

Result<FlatBuffer::Key> FlatDkey::akey(ByteView key) const {
  const FlatBuffer& flat = open_->buffer();
  TRY(component, take_component(key, flat.akey_kind()));
  const uint32_t index = flat.akey_at(dkey_, component);
  if (index == dkey_.first + dkey_.count) return FlatBuffer::Key{};
  const FlatBuffer::Key found = flat.akey(index);
  if (compare_components(flat.akey_kind(), found.key, component) != 0) return FlatBuffer::Key{};
  return found;
}

uint32_t FlatDkey::value_at(const FlatBuffer::Key& akey, uint64_t record) const {
  uint32_t low = akey.first, high = akey.first + akey.count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const FlatBuffer::Value value = open_->buffer().value(middle, akey);
    if (value.begin + value.count <= record) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

Result<FoundExtent> FlatDkey::value(const FlatBuffer::Key& akey, uint32_t index) const {
  const FlatBuffer::Value value = open_->buffer().value(index, akey);
  const Kind kind = akey.type == model::ValueType::single ? Kind::single : Kind::extent;
  TRY(parsed, parse_value(kind, open_->content->value(index)));
  return FoundExtent{value.begin, value.begin + value.count, parsed};
}

}  // namespace cairn::vos
