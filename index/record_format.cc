#include "index/record_format.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/short_bytes.h"
#include "base/varint.h"
#include "media/device.h"

namespace cairn::index {
namespace {

/// @param logged  takes what stands in the count's lowest bit; null: no such bit
Result<media::Extent> take_extent(ByteView& in, bool* logged = nullptr) {
  constexpr uint64_t kBlockEnd = uint64_t{1} << 63;
  uint64_t block = 0;
  uint64_t count = 0;
  if (!take_varint(in, &block) || !take_varint(in, &count)) {
    return fail(Errc::checksum, "log record: an extent is cut short");
  }
  if (logged != nullptr) {
    *logged = (count & 1) != 0;
    count /= 2;
  }
  if (count == 0 || count > std::numeric_limits<uint32_t>::max() || block >= kBlockEnd - count) {
    return fail(Errc::checksum, "log record: an extent is out of range");
  }
  return media::Extent{block, static_cast<uint32_t>(count)};
}

/// A key in place.
class LastKey {
 public:
  LastKey() {}  // NOLINT: not "= default", which would zero its bytes
  size_t size() const { return size_; }
  ByteView view() const { return {bytes_, size_}; }
  /// Its first `shared` bytes stay. Precondition: there is room for the rest.
  void replace_end(size_t shared, ByteView suffix) {
    DCHECK(shared <= size_);
    DCHECK(shared + suffix.size() <= sizeof bytes_);
    if (!suffix.empty()) std::memcpy(bytes_ + shared, suffix.data(), suffix.size());
    size_ = shared + suffix.size();
  }

 private:
  size_t size_ = 0;
  std::byte bytes_[kKeyBytesMax];
};

/// Takes `suffix_bytes` more of a key of which the first `shared` are those of `key`.
Result<void> take_key(ByteView& in, uint64_t shared, uint64_t suffix_bytes, LastKey& key) {
  if (shared > key.size() || suffix_bytes > kKeyBytesMax || shared + suffix_bytes > kKeyBytesMax ||
      shared + suffix_bytes == 0) {
    return fail(Errc::checksum, "log record: a key's length is out of range");
  }
  ByteView suffix;
  if (!take_bytes(in, suffix_bytes, &suffix)) {
    return fail(Errc::checksum, "log record: a key is cut short");
  }
  key.replace_end(shared, suffix);
  return {};
}

/// Keys of the op before, and then of the one that was taken.
struct LastKeys {
  LastKey key;
  LastKey target;  // of the last move
};

Result<void> take_put(ByteView& in, ByteView key, Batch& batch) {
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

Result<void> take_move(ByteView& in, LastKeys& last, Batch& batch) {
  uint64_t shared = 0;
  uint64_t suffix_bytes = 0;
  if (!take_varint(in, &shared) || !take_varint(in, &suffix_bytes)) {
    return fail(Errc::checksum, "log record: a change is cut short");
  }
  TRY(taken, take_key(in, shared, suffix_bytes, last.target));
  if (as_chars(last.target.view()) == as_chars(last.key.view())) {
    return fail(Errc::checksum, "log record: a move to its own source");
  }
  batch.move(last.key.view(), last.target.view());
  return {};
}

Result<void> take_op(ByteView& in, uint8_t version, LastKeys& last, Batch& batch) {
  uint64_t shared = 0;
  uint64_t suffix_and_kind = 0;
  if (!take_varint(in, &shared) || !take_varint(in, &suffix_and_kind)) {
    return fail(Errc::checksum, "log record: a change is cut short");
  }
  const unsigned kind_bits = version == 1 ? 1 : 2;
  const uint64_t kind = suffix_and_kind & ((1u << kind_bits) - 1);
  TRY(taken, take_key(in, shared, suffix_and_kind >> kind_bits, last.key));
  switch (static_cast<Batch::Op::Kind>(kind)) {
    case Batch::Op::Kind::put:
      return take_put(in, last.key.view(), batch);
    case Batch::Op::Kind::erase:
      batch.erase(last.key.view());
      return {};
    case Batch::Op::Kind::move:
      return take_move(in, last, batch);
  }
  return fail(Errc::checksum, "log record: a change of an unknown kind");
}

/// The payloads of those of the batch's data that have them.
Result<void> take_payloads(ByteView& in, const std::vector<bool>& logged, Batch& batch) {
  for (size_t i = 0; i < logged.size(); ++i) {
    if (!logged[i]) continue;
    ByteView payload;
    if (!take_bytes(in, batch.data()[i].extent.count * uint64_t{media::kBlockBytes}, &payload)) {
      return fail(Errc::checksum, "log record: data is cut short");
    }
    batch.set_payload(i, payload);
  }
  return {};
}

size_t shared_bytes(ByteView key, ByteView before) {
  const auto differ = std::mismatch(key.begin(), key.end(), before.begin(), before.end());
  return static_cast<size_t>(differ.first - key.begin());
}

}  // namespace

namespace {

/// Writes into room that is known to be enough.
class Writer {
 public:
  explicit Writer(std::byte* at) : at_(at) {}
  const std::byte* at() const { return at_; }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at_++ = static_cast<std::byte>(value | 0x80);
    *at_++ = static_cast<std::byte>(value);
  }
  void bytes(ByteView from) {
    copy_short(at_, from.data(), from.size());
    at_ += from.size();
  }

 private:
  std::byte* at_;
};

void write_ops(Writer& out, const Batch& batch) {
  ByteView before;
  ByteView target_before;
  for (const Batch::Op& op : batch.ops()) {
    const ByteView key = batch.key(op);
    const ByteView value = batch.value(op);
    const size_t shared = shared_bytes(key, before);
    out.varint(shared);
    out.varint((key.size() - shared) * 4 + static_cast<uint64_t>(op.kind));
    out.bytes(key.subspan(shared));
    if (op.kind == Batch::Op::Kind::put) {
      out.varint(value.size());
      out.bytes(value);
    } else if (op.kind == Batch::Op::Kind::move) {
      const size_t target_shared = shared_bytes(value, target_before);
      out.varint(target_shared);
      out.varint(value.size() - target_shared);
      out.bytes(value.subspan(target_shared));
      target_before = value;
    }
    before = key;
  }
}

}  // namespace

void encode_record(const RecordHeader& header, const Batch& batch, Bytes& out, bool logged) {
  RecordPrefix prefix{};
  prefix.version = logged ? kRecordVersionLogged : kRecordVersion;
  prefix.kind = header.kind;
  prefix.minor_epoch = header.minor_epoch;
  prefix.session = header.session;
  prefix.sequence = header.sequence;
  prefix.epoch = header.epoch;
  size_t room = batch.record_bytes();
  if (logged) {
    for (const BatchData& data : batch.data()) room += data.payload.size();
  }
  const size_t begin = out.size();
  out.resize(begin + room);
  Writer writer(out.data() + begin);
  writer.bytes(view_of(&prefix, sizeof prefix));
  writer.varint(batch.op_count());
  writer.varint(batch.data().size());
  writer.varint(batch.freed().size());
  write_ops(writer, batch);
  for (const BatchData& data : batch.data()) {
    writer.varint(data.extent.block);
    const uint64_t here = data.payload.empty() ? 0 : 1;
    writer.varint(logged ? data.extent.count * uint64_t{2} + here : data.extent.count);
    const U32le digest = data.digest;
    writer.bytes(view_of(&digest, sizeof digest));
  }
  for (const media::Extent& extent : batch.freed()) {
    writer.varint(extent.block);
    writer.varint(extent.count);
  }
  if (logged) {
    for (const BatchData& data : batch.data()) writer.bytes(data.payload);
  }
  const auto used = static_cast<size_t>(writer.at() - out.data());
  CHECK(used <= begin + room);
  out.resize(used);
}

Result<RecordHeader> parse_record(ByteView record, Batch& batch) {
  batch.clear();
  RecordPrefix prefix;
  if (record.size() < sizeof prefix) return fail(Errc::checksum, "log record: no whole header");
  std::memcpy(&prefix, record.data(), sizeof prefix);
  if (prefix.version > kRecordVersionLogged) {
    return fail(Errc::format_newer, "log record: written by a newer version; upgrade this program");
  }
  if (prefix.version == 0 || prefix.reserved != 0 || prefix.reserved2.get() != 0) {
    return fail(Errc::checksum, "log record: its header breaks the format");
  }
  ByteView in = record.subspan(sizeof prefix);
  uint64_t ops = 0;
  uint64_t data = 0;
  uint64_t freed = 0;
  if (!take_varint(in, &ops) || !take_varint(in, &data) || !take_varint(in, &freed)) {
    return fail(Errc::checksum, "log record: its counts are cut short");
  }
  LastKeys last;
  size_t unfolded = 0;
  for (uint64_t i = 0; i < ops; ++i) {
    TRY(op, take_op(in, prefix.version, last, batch));
    unfolded += last.key.size() + batch.ops().back().value_bytes;
    if (unfolded > kRecordUnfoldedBytesMax) return fail(Errc::checksum, "log record: too large");
  }
  std::vector<bool> logged;
  for (uint64_t i = 0; i < data; ++i) {
    bool here = false;
    TRY(extent, take_extent(in, prefix.version >= kRecordVersionLogged ? &here : nullptr));
    logged.push_back(here);
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
  TRY(carried, take_payloads(in, logged, batch));
  if (!in.empty()) return fail(Errc::checksum, "log record: bytes behind its end");
  return RecordHeader{.session = prefix.session.get(),
                      .sequence = prefix.sequence.get(),
                      .epoch = prefix.epoch.get(),
                      .minor_epoch = prefix.minor_epoch.get(),
                      .kind = prefix.kind.get()};
}

}  // namespace cairn::index
