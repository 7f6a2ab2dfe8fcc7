// Pending records: what the operations of a transaction bring, standing aside until its outcome is
// known. Each is keyed like the live record that it becomes, in the pending range, with epoch and
// number of its operation. Internal to vos/. Home: the shard's reactor.
#pragma once

#include <string>
#include <vector>

#include "vos/data_io.h"
#include "vos/key_format.h"
#include "vos/value_format.h"

namespace cairn::vos {

struct PendingRecord {
  std::string key;
  Bytes value;
  const Staged* staged = nullptr;  // its data, published with it
};

/// Collects the records of one transaction in the order of its operations.
class PendingRecords {
 public:
  explicit PendingRecords(model::Epoch epoch) : epoch_(epoch) {}

  model::Epoch epoch() const { return epoch_; }
  /// What is added from now on is of the next operation.
  void next_op() { ++minor_; }
  /// @param live  the key in the live range
  void add(ByteView live, ByteView value, const Staged* staged = nullptr) {
    const Key key = pending_key(live, epoch_, minor_);
    records_.push_back(
        {std::string(as_chars(key.view())), Bytes(value.begin(), value.end()), staged});
  }
  /// A data value's checksums, where they stand apart.
  void add_checksums(const Key& record_prefix, uint64_t end, const BlockData& data) {
    if (data.crcs.size() <= kInlineChecksumsMax) return;
    const std::span<const uint32_t> crcs(data.crcs);
    Bytes value;
    for (size_t i = 0; i < crcs.size(); i += kChecksumsPerRecord) {
      put_checksums(value, epoch_, crcs.subspan(i, std::min(kChecksumsPerRecord, crcs.size() - i)));
      add(checksums_key(record_prefix, end, i / kChecksumsPerRecord), value);
    }
  }
  const std::vector<PendingRecord>& records() const { return records_; }

 private:
  model::Epoch epoch_;
  uint16_t minor_ = 0;
  std::vector<PendingRecord> records_;
};

}  // namespace cairn::vos
