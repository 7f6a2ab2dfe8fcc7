#include "vos/value_format.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "base/varint.h"
#include "vos/packed_format.h"

namespace cairn::vos {

namespace {

constexpr uint8_t kFormMask = 0x0F;
constexpr uint8_t kMinorBit = 0x10;
constexpr uint8_t kJoinedBit = 0x20;
constexpr uint8_t kApartBit = 0x40;
constexpr uint8_t kSharedBit = 0x80;
constexpr uint8_t kChecksumCrc32c = 1;
constexpr size_t kBitmapBytes = kPackedBytes / 8;

std::unexpected<Error> malformed() { return fail(Errc::checksum, "value: malformed record"); }

void append(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void add_header(Bytes& out, model::Epoch epoch, Form form, uint8_t bits = 0) {
  std::byte header[9];
  store_le64(header, epoch);
  header[8] = static_cast<std::byte>(static_cast<uint8_t>(form) | bits);
  append(out, header);
}

void put_header(Bytes& out, model::Epoch epoch, Form form, uint8_t bits = 0) {
  out.clear();
  add_header(out, epoch, form, bits);
}

void put_block_data(Bytes& out, const BlockData& data) {
  CHECK(data.runs.size() <= kRunsMax);
  out.push_back(std::byte{kChecksumCrc32c});
  put_varint(out, data.skip);
  put_varint(out, data.runs.size());
  for (const media::Extent& run : data.runs) {
    put_varint(out, run.block);
    put_varint(out, run.count);
  }
  if (data.crcs.size() > kInlineChecksumsMax) return;
  for (const uint32_t crc : data.crcs) {
    std::byte le[4];
    store_le32(le, crc);
    append(out, le);
  }
}

uint8_t apart_bit(const BlockData& data) {
  CHECK(data.crcs.size() == data.block_count());
  return data.crcs.size() > kInlineChecksumsMax ? kApartBit : 0;
}

uint64_t nonzero_count(ByteView bytes) {
  return static_cast<uint64_t>(
      std::count_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{0}; }));
}

/// How an inline payload is stored.
Form form_of(ByteView payload) {
  const bool packs =
      payload.size() == kPackedBytes && nonzero_count(payload) + kBitmapBytes < kPackedBytes;
  return packs ? Form::packed : Form::inlined;
}

/// The payload of a record, read once if its form depends on its bytes: it may be memory of a
/// program that writes to it meanwhile, and form, bitmap and bytes have to agree. Valid as long as
/// `room`.
ByteView taken(ByteView payload, std::byte (&room)[kPackedBytes]) {
  if (payload.size() != kPackedBytes) return payload;
  std::memcpy(room, payload.data(), kPackedBytes);
  return room;
}

void append_payload(Bytes& out, ByteView payload) {
  if (form_of(payload) == Form::inlined) return append(out, payload);
  std::byte bitmap[kBitmapBytes] = {};
  for (size_t i = 0; i < kPackedBytes; ++i) {
    if (payload[i] != std::byte{0}) bitmap[i / 8] |= static_cast<std::byte>(1u << (i % 8));
  }
  append(out, bitmap);
  for (const std::byte b : payload) {
    if (b != std::byte{0}) out.push_back(b);
  }
}

Result<void> check_packed(ByteView in) {
  if (in.size() < kBitmapBytes) return malformed();
  size_t bits = 0;
  for (size_t i = 0; i < kBitmapBytes; ++i) {
    bits += static_cast<size_t>(std::popcount(static_cast<uint8_t>(in[i])));
  }
  if (in.size() != kBitmapBytes + bits) return malformed();
  return {};
}

Result<void> parse_payload(ByteView in, uint64_t length_if_data, ValueView& v) {
  switch (v.form) {
    case Form::inlined:
      v.inlined = in;
      v.payload_bytes = in.size();
      return {};
    case Form::packed: {
      TRY(checked, check_packed(in));
      v.inlined = in;
      v.payload_bytes = kPackedBytes;
      return {};
    }
    case Form::data:
      if (length_if_data == 0) return malformed();
      v.payload_bytes = length_if_data;
      v.data = in;
      return {};
    case Form::mark:
      break;
  }
  return malformed();
}

Result<void> parse_blob(ByteView in, ValueView& v) {
  uint64_t length = 0;
  if (v.form == Form::data && !take_varint(in, &length)) return malformed();
  return parse_payload(in, length, v);
}

Result<void> parse_extent(ByteView in, ValueView& v) {
  if (!take_varint(in, &v.count) || !take_varint(in, &v.record_bytes)) return malformed();
  uint64_t bytes = 0;
  if (v.count == 0 || v.record_bytes == 0 ||
      __builtin_mul_overflow(v.count, v.record_bytes, &bytes)) {
    return malformed();
  }
  TRY(done, parse_payload(in, bytes, v));
  if (v.payload_bytes != bytes) return malformed();
  return {};
}

Result<void> parse_mark(Kind kind, ByteView in, ValueView& v) {
  if (v.form != Form::mark) return malformed();
  if (kind == Kind::touched || kind == Kind::punch) {
    if (!in.empty()) return malformed();
    return {};
  }
  if (kind == Kind::hole) {
    if (!take_varint(in, &v.count) || v.count == 0 || !in.empty()) return malformed();
    return {};
  }
  if (kind == Kind::checksums) {
    if (in.empty() || in.size() % 4 != 0 || in.size() > 4 * kChecksumsPerRecord) return malformed();
    v.inlined = in;
    return {};
  }
  if (kind == Kind::flat) {
    v.inlined = in;  // parse_flat()
    return {};
  }
  if (in.empty() || static_cast<uint8_t>(in[0]) > 2) return malformed();
  v.present_type = static_cast<model::ValueType>(in[0]);
  in = in.subspan(1);
  if (!take_varint(in, &v.record_bytes) || !in.empty()) return malformed();
  return {};
}

}  // namespace

uint64_t BlockData::block_count() const {
  uint64_t count = 0;
  for (const media::Extent& run : runs) count += run.count;
  return count;
}

uint64_t BlockData::block_at(uint64_t index) const {
  for (const media::Extent& run : runs) {
    if (index < run.count) return run.block + index;
    index -= run.count;
  }
  CHECK(false);
}

Result<ValueView> parse_value(Kind kind, ByteView value) {
  ValueView v;
  if (value.size() < 9) return malformed();
  v.epoch = load_le64(value.data());
  const auto form = static_cast<uint8_t>(value[8]);
  if ((form & kFormMask) > 3) return malformed();
  v.form = static_cast<Form>(form & kFormMask);
  v.joined = (form & kJoinedBit) != 0;
  v.checksums_apart = (form & kApartBit) != 0;
  v.shared = (form & kSharedBit) != 0;
  if (v.shared && (kind != Kind::single || v.form != Form::data || v.checksums_apart)) {
    return malformed();
  }
  ByteView in = value.subspan(9);
  uint64_t minor = 0;
  if ((form & kMinorBit) != 0 && (!take_varint(in, &minor) || minor > 0xFFFF)) return malformed();
  v.minor_epoch = static_cast<uint16_t>(minor);
  Result<void> parsed;
  switch (kind) {
    case Kind::name:
    case Kind::single: parsed = parse_blob(in, v); break;
    case Kind::extent: parsed = parse_extent(in, v); break;
    default: parsed = parse_mark(kind, in, v); break;
  }
  if (!parsed) return fail(parsed.error());
  const bool may_be_packed =
      v.payload_bytes >= kPackedValueMin && v.payload_bytes <= kPackedValueMax;
  if (v.shared && !may_be_packed) return malformed();
  return v;
}

Result<BlockData> parse_data(const ValueView& value) {
  if (value.form != Form::data) return malformed();
  ByteView in = value.data;
  BlockData data;
  ByteView type;
  uint64_t skip = 0;
  uint64_t run_count = 0;
  if (!take_bytes(in, 1, &type) || type[0] != std::byte{kChecksumCrc32c}) return malformed();
  if (!take_varint(in, &skip) || skip >= kDataBlockBytes) return malformed();
  if (!take_varint(in, &run_count) || run_count == 0 || run_count > kRunsMax) return malformed();
  data.skip = static_cast<uint32_t>(skip);
  uint64_t blocks = 0;
  for (uint64_t i = 0; i < run_count; ++i) {
    uint64_t block = 0;
    uint64_t count = 0;
    if (!take_varint(in, &block) || !take_varint(in, &count)) return malformed();
    if (count == 0 || count > UINT32_MAX || block > UINT64_MAX - count) return malformed();
    data.runs.push_back({block, static_cast<uint32_t>(count)});
    blocks += count;
  }
  if (value.payload_bytes > UINT64_MAX - 2 * kDataBlockBytes) return malformed();
  if (blocks != (skip + value.payload_bytes + kDataBlockBytes - 1) / kDataBlockBytes) {
    return malformed();
  }
  if (value.checksums_apart) {
    if (!in.empty()) return malformed();
    return data;
  }
  ByteView crcs;
  if (blocks > in.size() / 4 || !take_bytes(in, 4 * blocks, &crcs)) return malformed();
  for (size_t i = 0; i < blocks; ++i) data.crcs.push_back(load_le32(crcs.data() + 4 * i));
  if (value.shared && (!take_varint(in, &data.blocks_before) || data.runs.size() != 1 ||
                       data.blocks_before > std::min<uint64_t>(data.runs[0].block, UINT32_MAX))) {
    return malformed();
  }
  if (!in.empty()) return malformed();
  return data;
}

void copy_inlined(const ValueView& value, uint64_t begin, ByteSpan into) {
  CHECK(begin + into.size() <= value.payload_bytes);
  if (into.empty()) return;
  if (value.form == Form::inlined) {
    std::memcpy(into.data(), value.inlined.data() + begin, into.size());
    return;
  }
  std::byte whole[kPackedBytes] = {};
  const std::byte* next = value.inlined.data() + kBitmapBytes;
  for (size_t i = 0; i < kPackedBytes; ++i) {
    const auto bits = static_cast<uint8_t>(value.inlined[i / 8]);
    if ((bits >> (i % 8) & 1) != 0) whole[i] = *next++;
  }
  std::memcpy(into.data(), whole + begin, into.size());
}

void put_touched(Bytes& out, model::Epoch epoch) { put_header(out, epoch, Form::mark); }

void put_snapshot(Bytes& out, model::Epoch stamp, SnapshotState state) {
  put_header(out, stamp, Form::mark);
  out.push_back(static_cast<std::byte>(state));
}

Result<SnapshotState> parse_snapshot(ByteView value) {
  if (value.size() != 10 || value[8] != static_cast<std::byte>(Form::mark) ||
      static_cast<uint8_t>(value[9]) > static_cast<uint8_t>(SnapshotState::restoring)) {
    return malformed();
  }
  return static_cast<SnapshotState>(value[9]);
}

void put_present(Bytes& out, model::Epoch epoch, model::ValueType type, uint64_t record_bytes) {
  put_header(out, epoch, Form::mark);
  out.push_back(static_cast<std::byte>(type));
  put_varint(out, record_bytes);
}

void put_inlined(Bytes& out, model::Epoch epoch, ByteView payload) {
  out.clear();
  add_inlined(out, epoch, payload);
}

void add_inlined(Bytes& out, model::Epoch epoch, ByteView shown) {
  std::byte room[kPackedBytes];
  const ByteView payload = taken(shown, room);
  add_header(out, epoch, form_of(payload));
  append_payload(out, payload);
}

void put_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes, const BlockData& data) {
  put_header(out, epoch, Form::data, apart_bit(data));
  put_varint(out, payload_bytes);
  put_block_data(out, data);
}

void put_extent_inlined(Bytes& out, model::Epoch epoch, ExtentShape shape, ByteView payload) {
  out.clear();
  add_extent_inlined(out, epoch, shape, payload);
}

void add_extent_inlined(Bytes& out, model::Epoch epoch, ExtentShape shape, ByteView shown) {
  CHECK(shown.size() == shape.count * shape.record_bytes);
  std::byte room[kPackedBytes];
  const ByteView payload = taken(shown, room);
  add_header(out, epoch, form_of(payload), shape.joined ? kJoinedBit : 0);
  put_varint(out, shape.count);
  put_varint(out, shape.record_bytes);
  append_payload(out, payload);
}

void put_extent_data(Bytes& out, model::Epoch epoch, ExtentShape shape, const BlockData& data) {
  put_header(out, epoch, Form::data,
             static_cast<uint8_t>((shape.joined ? kJoinedBit : 0) | apart_bit(data)));
  put_varint(out, shape.count);
  put_varint(out, shape.record_bytes);
  put_block_data(out, data);
}

void put_extent_data(Bytes& out, model::Epoch epoch, ExtentShape shape, const ValueView& from) {
  CHECK(!from.shared);
  put_header(out, epoch, Form::data,
             static_cast<uint8_t>((shape.joined ? kJoinedBit : 0) |
                                  (from.checksums_apart ? kApartBit : 0)));
  put_varint(out, shape.count);
  put_varint(out, shape.record_bytes);
  append(out, from.data);
}

void put_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes, const ValueView& from) {
  CHECK(!from.shared);
  put_header(out, epoch, Form::data, from.checksums_apart ? kApartBit : 0);
  put_varint(out, payload_bytes);
  append(out, from.data);
}

void put_shared_data(Bytes& out, model::Epoch epoch, uint64_t payload_bytes,
                     const BlockData& data) {
  CHECK(data.runs.size() == 1 && data.crcs.size() <= kInlineChecksumsMax);
  put_header(out, epoch, Form::data, kSharedBit);
  put_varint(out, payload_bytes);
  put_block_data(out, data);
  put_varint(out, data.blocks_before);
}

void put_hole(Bytes& out, model::Epoch epoch, uint64_t count) {
  put_header(out, epoch, Form::mark);
  put_varint(out, count);
}

void put_marker_count(Bytes& out, model::Epoch epoch, uint64_t count) {
  std::byte le[8];
  store_le64(le, epoch);
  out.assign(le, le + 8);
  put_varint(out, count);
}

Result<uint64_t> parse_marker_count(ByteView value) {
  uint64_t count = 0;
  if (value.size() < 8) return malformed();
  ByteView in = value.subspan(8);
  if (!take_varint(in, &count) || count == 0 || !in.empty()) return malformed();
  return count;
}

void put_checksums(Bytes& out, model::Epoch epoch, std::span<const uint32_t> crcs) {
  CHECK(!crcs.empty() && crcs.size() <= kChecksumsPerRecord);
  put_header(out, epoch, Form::mark);
  for (const uint32_t crc : crcs) {
    std::byte le[4];
    store_le32(le, crc);
    append(out, le);
  }
}

void put_flat(Bytes& out, const FlatRecord& record) {
  put_header(out, record.epoch, Form::mark);
  std::byte le[4];
  store_le32(le, record.place.checksum);
  append(out, le);
  put_varint(out, record.place.block);
  put_varint(out, record.place.offset / 8);
  put_varint(out, record.place.length);
  append(out, record.taken);
}

Result<FlatRecord> parse_flat(ByteView value) {
  FlatRecord record;
  if (value.size() < 13 || value[8] != static_cast<std::byte>(Form::mark)) return malformed();
  record.epoch = load_le64(value.data());
  record.place.checksum = load_le32(value.data() + 9);
  ByteView in = value.subspan(13);
  uint64_t offset = 0, length = 0;
  if (!take_varint(in, &record.place.block) || !take_varint(in, &offset) ||
      !take_varint(in, &length)) {
    return malformed();
  }
  if (length == 0 || length > kFlatObjectBytesMax || offset > UINT32_MAX / 8) return malformed();
  record.place.offset = static_cast<uint32_t>(8 * offset);
  record.place.length = static_cast<uint32_t>(length);
  if (!in.empty() && in.back() == std::byte{0}) return malformed();
  record.taken = in;
  return record;
}

void put_pack(Bytes& out, model::Epoch epoch, const PackRecord& record) {
  put_header(out, epoch, Form::mark);
  put_varint(out, record.blocks);
  put_varint(out, record.objects);
  put_varint(out, record.bytes);
}

Result<PackRecord> parse_pack(ByteView value) {
  PackRecord record;
  if (value.size() < 9 || value[8] != static_cast<std::byte>(Form::mark)) return malformed();
  ByteView in = value.subspan(9);
  uint64_t blocks = 0;
  if (!take_varint(in, &blocks) || !take_varint(in, &record.objects) ||
      !take_varint(in, &record.bytes) || !in.empty()) {
    return malformed();
  }
  if (blocks == 0 || blocks > UINT32_MAX || record.objects == 0 ||
      record.bytes > blocks * kDataBlockBytes || record.objects > record.bytes) {
    return malformed();
  }
  record.blocks = static_cast<uint32_t>(blocks);
  return record;
}

namespace {
constexpr uint8_t kPolicyCompress = 1, kPolicySealed = 2;
static_assert(model::kSealedByBytesMax == UINT8_MAX);
}  // namespace

void put_policy(Bytes& out, model::Epoch epoch, const model::WormPolicy& policy) {
  put_header(out, epoch, Form::mark);
  put_varint(out, policy.inline_bytes_max);
  put_varint(out, policy.object_bytes_max);
  put_varint(out, policy.cold_after_s);
  const model::Seal& seal = policy.seal;
  out.push_back(
      std::byte((policy.compress ? kPolicyCompress : 0) | (seal.is_set() ? kPolicySealed : 0)));
  if (!seal.is_set()) return;
  std::byte le[8];
  store_le64(le, seal.epoch);
  append(out, le);
  out.push_back(static_cast<std::byte>(seal.by.size()));
  append(out, as_bytes(seal.by));
}

Result<model::WormPolicy> parse_policy(ByteView value) {
  model::WormPolicy policy;
  if (value.size() < 9 || value[8] != static_cast<std::byte>(Form::mark)) return malformed();
  ByteView in = value.subspan(9);
  ByteView bits;
  if (!take_varint(in, &policy.inline_bytes_max) || !take_varint(in, &policy.object_bytes_max) ||
      !take_varint(in, &policy.cold_after_s) || !take_bytes(in, 1, &bits)) {
    return malformed();
  }
  const auto set = static_cast<uint8_t>(bits[0]);
  if ((set & ~(kPolicyCompress | kPolicySealed)) != 0) return malformed();
  policy.compress = (set & kPolicyCompress) != 0;
  if ((set & kPolicySealed) != 0) {
    ByteView epoch, length, name;
    if (!take_bytes(in, 8, &epoch) || !take_bytes(in, 1, &length) ||
        !take_bytes(in, static_cast<uint8_t>(length[0]), &name)) {
      return malformed();
    }
    policy.seal.epoch = load_le64(epoch.data());
    policy.seal.by = as_chars(name);
    if (!policy.seal.is_set()) return malformed();
  }
  if (!in.empty() || !check_worm_policy(policy)) return malformed();
  return policy;
}

}  // namespace cairn::vos
