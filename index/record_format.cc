#include "index/record_format.h"

#include <algorithm>
#include <limits>

#include "base/varint.h"

namespace cairn::index {
namespace {

void put_extent(Bytes& out, const media::Extent& extent) {
  put_varint(out, extent.block);
  put_varint(out, extent.count);
}

Result<media::Extent> take_extent(ByteView& in) {
  constexpr uint64_t kBlockEnd = uint64_t{1} << 63;
  uint64_t block = 0;
  uint64_t count = 0;
  if (!take_varint(in, &block) || !take_varint(in, &count)) {
    return fail(Errc::checksum, "log record: an extent is cut short");
  }
  if (count == 0 || count > std::numeric_limits<uint32_t>::max() || block >= kBlockEnd - count) {
    return fail(Errc::checksum, "log record: an extent is out of range");
  }
  return media::Extent{block, static_cast<uint32_t>(count)};
}

/// Takes one op; `key` holds the key of the op before and then its own.
Result<void> take_op(ByteView& in, Bytes& key, Batch& batch) {
  uint64_t shared = 0;
  uint64_t suffix_and_erase = 0;
  if (!take_varint(in, &shared) || !take_varint(in, &suffix_and_erase)) {
    return fail(Errc::checksum, "log record: a change is cut short");
  }
  const uint64_t suffix_bytes = suffix_and_erase / 2;
  if (shared > key.size() || suffix_bytes > kKeyBytesMax || shared + suffix_bytes > kKeyBytesMax ||
      shared + suffix_bytes == 0) {
    return fail(Errc::checksum, "log record: a key's length is out of range");
  }
  ByteView suffix;
  if (!take_bytes(in, suffix_bytes, &suffix)) {
    return fail(Errc::checksum, "log record: a key is cut short");
  }
  key.resize(shared);
  key.insert(key.end(), suffix.begin(), suffix.end());
  if ((suffix_and_erase & 1) != 0) {
    batch.erase(key);
    return {};
  }
  uint64_t value_bytes = 0;
  ByteView value;
  if (!take_varint(in, &value_bytes) || value_bytes < kStampBytes || value_bytes > kValueBytesMax) {
    return fail(Errc::checksum, "log record: a value's length is out of range");
  }
  if (!take_bytes(in, value_bytes, &value)) {
    return fail(Errc::checksum, "log record: a value is cut short");
  }
  batch.put(key, value);
  return {};
}

}  // namespace

void encode_record(const RecordHeader& header, const Batch& batch, Bytes& out) {
  RecordPrefix prefix{};
  prefix.version = kRecordVersion;
  prefix.kind = header.kind;
  prefix.minor_epoch = header.minor_epoch;
  prefix.session = header.session;
  prefix.sequence = header.sequence;
  prefix.epoch = header.epoch;
  const ByteView bytes = view_of(&prefix, sizeof prefix);
  out.insert(out.end(), bytes.begin(), bytes.end());
  put_varint(out, batch.op_count());
  put_varint(out, batch.data().size());
  put_varint(out, batch.freed().size());
  ByteView before;
  for (const Batch::Op& op : batch.ops()) {
    const ByteView key = batch.key(op);
    const auto differ = std::mismatch(key.begin(), key.end(), before.begin(), before.end());
    const auto shared = static_cast<size_t>(differ.first - key.begin());
    put_varint(out, shared);
    put_varint(out, (key.size() - shared) * 2 + (op.erase ? 1 : 0));
    out.insert(out.end(), differ.first, key.end());
    if (!op.erase) {
      const ByteView value = batch.value(op);
      put_varint(out, value.size());
      out.insert(out.end(), value.begin(), value.end());
    }
    before = key;
  }
  for (const BatchData& data : batch.data()) {
    put_extent(out, data.extent);
    const U32le digest = data.digest;
    const ByteView d = view_of(&digest, sizeof digest);
    out.insert(out.end(), d.begin(), d.end());
  }
  for (const media::Extent& extent : batch.freed()) put_extent(out, extent);
}

Result<RecordHeader> parse_record(ByteView record, Batch& batch) {
  batch.clear();
  RecordPrefix prefix;
  if (record.size() < sizeof prefix) return fail(Errc::checksum, "log record: no whole header");
  std::memcpy(&prefix, record.data(), sizeof prefix);
  if (prefix.version > kRecordVersion) {
    return fail(Errc::format_newer, "log record: written by a newer version; upgrade this program");
  }
  if (prefix.version != kRecordVersion || prefix.reserved != 0 || prefix.reserved2.get() != 0) {
    return fail(Errc::checksum, "log record: its header breaks the format");
  }
  ByteView in = record.subspan(sizeof prefix);
  uint64_t ops = 0;
  uint64_t data = 0;
  uint64_t freed = 0;
  if (!take_varint(in, &ops) || !take_varint(in, &data) || !take_varint(in, &freed)) {
    return fail(Errc::checksum, "log record: its counts are cut short");
  }
  Bytes key;
  size_t unfolded = 0;
  for (uint64_t i = 0; i < ops; ++i) {
    TRY(op, take_op(in, key, batch));
    unfolded += key.size() + batch.ops().back().value_bytes;
    if (unfolded > kRecordUnfoldedBytesMax) return fail(Errc::checksum, "log record: too large");
  }
  for (uint64_t i = 0; i < data; ++i) {
    TRY(extent, take_extent(in));
    ByteView digest;
    if (!take_bytes(in, sizeof(U32le), &digest)) {
      return fail(Errc::checksum, "log record: a digest is cut short");
    }
    batch.publish({extent, load_le32(digest.data())});
  }
  for (uint64_t i = 0; i < freed; ++i) {
    TRY(extent, take_extent(in));
    batch.free(extent);
  }
  if (!in.empty()) return fail(Errc::checksum, "log record: bytes behind its end");
  return RecordHeader{.session = prefix.session.get(),
                      .sequence = prefix.sequence.get(),
                      .epoch = prefix.epoch.get(),
                      .minor_epoch = prefix.minor_epoch.get(),
                      .kind = prefix.kind.get()};
}

}  // namespace cairn::index
