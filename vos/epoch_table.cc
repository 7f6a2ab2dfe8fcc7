#include "vos/epoch_table.h"

#include <algorithm>

#include "base/hash.h"

namespace cairn::vos {

EpochTable::Slot& EpochTable::slot(const Key& prefix) {
  return slots_[xxh3_64(prefix.view(), 0) % kSlots];
}

const EpochTable::Slot& EpochTable::slot(const Key& prefix) const {
  return slots_[xxh3_64(prefix.view(), 0) % kSlots];
}

void EpochTable::raise(const KeyRange& range, model::Epoch epoch) {
  Slot& own = slot(range.prefix());
  own.whole = std::max(own.whole, epoch);
  if (range.level == Level::object) return;
  Slot& object = slot(range.object);
  object.inside = std::max(object.inside, epoch);
  if (range.level == Level::dkey) return;
  Slot& dkey = slot(range.dkey);
  dkey.inside = std::max(dkey.inside, epoch);
}

model::Epoch EpochTable::newest(const KeyRange& range) const {
  const Slot& own = slot(range.prefix());
  model::Epoch newest = std::max({base_, own.whole, own.inside});
  if (range.level == Level::object) return newest;
  newest = std::max(newest, slot(range.object).whole);
  if (range.level == Level::dkey) return newest;
  return std::max(newest, slot(range.dkey).whole);
}

}  // namespace cairn::vos
