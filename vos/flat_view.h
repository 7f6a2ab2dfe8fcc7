// A container with flattened objects as its readers know it: what stands in their buffers comes out
// as the tree's records, in their order, beside those that the tree has. Under it may be the newest
// state or that of an older epoch. Internal to vos/. Home: the shard's reactor. Plain calls.
#pragma once

#include <list>
#include <optional>
#include <vector>

#include "vos/flats.h"
#include "vos/view.h"

namespace cairn::vos {

/// A record of a flattened object as the tree would have it. Its value is borrowed from the object,
/// from the tree, or from an arena.
struct FlatEntry {
  Key key;
  ByteView value;
  /// Of what stands outside: where the tree has it. Empty: it stands in the buffer.
  Key outside;
};
/// Values that are made while an object is looked at.
using FlatArena = std::list<Bytes>;  // takes nothing until there is one

/// A flattened object, opened. `record.taken` is a copy.
struct OpenFlat {
  ObjectPath object;
  KeyPath path;
  FlatObjectPtr content;
  FlatRecord record;
  Bytes taken;

  explicit OpenFlat(const ObjectPath& o) : object(o), path(o) {}
  const FlatBuffer& buffer() const { return content->buffer(); }
  Key dkey_prefix(uint32_t dkey) const { return path.dkey(buffer().dkey(dkey).key); }
  /// Adds the records of the dkey itself, and those of one of its akeys, in key order.
  void dkey_entries(uint32_t dkey, std::vector<FlatEntry>& out) const;
  /// @param under  the view in which what stands outside is found
  /// @error page_absent, checksum
  Result<void> akey_entries(const Key& dkey_prefix, uint32_t akey, const View& under,
                            FlatArena& arena, std::vector<FlatEntry>& out) const;
};
using OpenFlatPtr = std::shared_ptr<const OpenFlat>;

/// Opens the object of which `object_prefix` is the live prefix, if the view has it flattened.
/// @returns null  it is not   @error page_absent, checksum
Result<OpenFlatPtr> open_flat(Flats& flats, const View& under, ByteView object_prefix);

class FlatLens final : public Lens {
 public:
  FlatLens(Flats& flats, const View& under) : flats_(flats), under_(under) {}
  Result<std::optional<ByteView>> get(ByteView key) override;
  std::unique_ptr<LensCursor> cursor(ByteView within) override;

  /// As open_flat(); the last one stays open. @param object_prefix  of the live range
  Result<OpenFlatPtr> open(ByteView object_prefix);
  const View& under() const { return under_; }
  FlatArena& arena() { return arena_; }

 private:
  Flats& flats_;
  View under_;
  Key last_prefix_;
  OpenFlatPtr last_;
  FlatArena arena_;
};

}  // namespace cairn::vos
