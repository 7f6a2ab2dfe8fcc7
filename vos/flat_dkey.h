// The values of one dkey of a flattened object, straight from its buffer: most reads of such an
// object look at nothing else, and need no cursor over the tree beside it. Internal to vos/. Home:
// the shard's reactor. Plain calls.
#pragma once

#include <optional>

#include "vos/flat_view.h"
#include "vos/plan.h"

namespace cairn::vos {

/// A dkey whose values all stand in the buffer of its object.
class FlatDkey {
 public:
  /// @param lens  null: there is none
  /// @returns nothing  the dkey is not in a buffer, or values of its object stand outside: look
  /// through the lens   @error page_absent, checksum
  static Result<std::optional<FlatDkey>> find(FlatLens* lens, const Key& object_prefix,
                                              const Key& dkey_prefix);

  /// @param key  its component   @returns one without values  there is none   @error checksum
  Result<FlatBuffer::Key> akey(ByteView key) const;
  /// Of all that is in the buffer.
  model::Epoch epoch() const { return open_->record.epoch; }
  /// The first value of an array that ends behind `record`.
  uint32_t value_at(const FlatBuffer::Key& akey, uint64_t record) const;
  /// One of the akey's values as the tree would have it. Borrowed from the buffer. @error checksum
  Result<FoundExtent> value(const FlatBuffer::Key& akey, uint32_t index) const;

 private:
  FlatDkey(OpenFlatPtr open, const FlatBuffer::Key& dkey) : open_(std::move(open)), dkey_(dkey) {}
  OpenFlatPtr open_;
  FlatBuffer::Key dkey_;
};

}  // namespace cairn::vos
