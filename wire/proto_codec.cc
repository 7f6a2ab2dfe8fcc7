#include "wire/proto_codec.h"

#include "base/endian.h"

namespace cairn::wire {

void proto_put_varint(Bytes& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::byte>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::byte>(value));
}

void proto_put_tag(Bytes& out, uint32_t number, ProtoType type) {
  proto_put_varint(out, uint64_t{number} << 3 | static_cast<uint8_t>(type));
}

void proto_put_bytes(Bytes& out, uint32_t number, ByteView value) {
  proto_put_tag(out, number, ProtoType::length);
  proto_put_varint(out, value.size());
  out.insert(out.end(), value.begin(), value.end());
}

Result<uint64_t> ProtoReader::varint() {
  uint64_t value = 0;
  for (unsigned i = 0; i < 10 && i < rest_.size(); ++i) {
    const auto byte = static_cast<uint8_t>(rest_[i]);
    if (i == 9 && byte > 1) break;
    value |= uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) {
      rest_ = rest_.subspan(i + 1);
      return value;
    }
  }
  return fail(Errc::protocol, "control message: malformed number");
}

Result<ProtoReader::Field> ProtoReader::next() {
  TRY(tag, varint());
  if (tag >> 3 == 0 || tag >> 32 != 0) {
    return fail(Errc::protocol, "control message: bad field number");
  }
  Field field{.number = static_cast<uint32_t>(tag >> 3), .type = static_cast<ProtoType>(tag & 7),
              .integer = 0, .bytes = {}};
  size_t fixed = 0;
  switch (field.type) {
    case ProtoType::varint: {
      TRY(value, varint());
      field.integer = value;
      return field;
    }
    case ProtoType::length: {
      TRY(length, varint());
      if (length > rest_.size()) return fail(Errc::protocol, "control message: cut short");
      field.bytes = rest_.first(length);
      rest_ = rest_.subspan(length);
      return field;
    }
    case ProtoType::fixed64: fixed = 8; break;
    case ProtoType::fixed32: fixed = 4; break;
    default: return fail(Errc::protocol, "control message: unknown field type");
  }
  if (rest_.size() < fixed) return fail(Errc::protocol, "control message: cut short");
  field.integer = fixed == 8 ? load_le64(rest_.data()) : load_le32(rest_.data());
  rest_ = rest_.subspan(fixed);
  return field;
}

}  // namespace cairn::wire
