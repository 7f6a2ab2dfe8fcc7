#include "vos/packed_format.h"

#include "base/check.h"
#include "base/crc32c.h"

namespace cairn::vos {

namespace {

constexpr size_t kChecked = offsetof(PackedHeader, payload_bytes);

std::unexpected<Error> malformed() {
  return fail(Errc::checksum, "packed value: malformed, or its checksum does not hold");
}

}  // namespace

void put_packed_value(Bytes& out, ByteView key, ByteView payload) {
  CHECK(payload.size() >= kPackedValueMin && payload.size() <= kPackedValueMax);
  CHECK(!key.empty() && key.size() <= Key::kRoom);
  const size_t begin = out.size();
  PackedHeader header;
  header.magic = kPackedMagic;
  header.payload_bytes = static_cast<uint32_t>(payload.size());
  header.key_bytes = static_cast<uint16_t>(key.size());
  header.version = kPackedVersion;
  out.resize(begin + packed_bytes(key.size(), payload.size()));
  std::memcpy(out.data() + begin, &header, sizeof(header));
  std::memcpy(out.data() + begin + sizeof(header), key.data(), key.size());
  std::memcpy(out.data() + begin + sizeof(header) + key.size(), payload.data(), payload.size());
  header.checksum = crc32c(ByteView(out).subspan(begin + kChecked));
  std::memcpy(out.data() + begin, &header, sizeof(header));
}

Result<PackedValue> parse_packed_value(ByteView bytes) {
  PackedHeader header;
  if (bytes.size() < sizeof(header)) return malformed();
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic.get() != kPackedMagic) return malformed();
  if (header.version > kPackedVersion) {
    return fail(Errc::format_newer, "packed value: of a newer version; upgrade this program");
  }
  const uint64_t key_bytes = header.key_bytes.get();
  const uint64_t payload_bytes = header.payload_bytes.get();
  if (header.version != kPackedVersion || header.reserved != 0 || key_bytes == 0 ||
      key_bytes > Key::kRoom || payload_bytes < kPackedValueMin ||
      payload_bytes > kPackedValueMax || packed_bytes(key_bytes, payload_bytes) > bytes.size()) {
    return malformed();
  }
  const ByteView whole = bytes.first(packed_bytes(key_bytes, payload_bytes));
  if (header.checksum.get() != crc32c(whole.subspan(kChecked))) return malformed();
  PackedValue value;
  value.key = whole.subspan(sizeof(header), key_bytes);
  value.payload = whole.subspan(sizeof(header) + key_bytes);
  if (!in_range(value.key, Range::live)) return malformed();
  TRY(parsed, parse_key(value.key));
  if (parsed.kind != Kind::single) return malformed();
  value.parsed = parsed;
  return value;
}

}  // namespace cairn::vos
