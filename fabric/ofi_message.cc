#include "fabric/ofi_message.h"

#include <cstring>

#include "base/crc32c.h"

namespace cairn::fabric {

namespace {

bool has_body(OfiKind kind) { return kind == OfiKind::call || kind == OfiKind::answer; }
bool may_have_room(OfiKind kind) {
  return kind == OfiKind::call || kind == OfiKind::far_call || kind == OfiKind::take;
}
/// Its length is told, but it is not in the message.
bool has_far_body(OfiKind kind) {
  return kind == OfiKind::far_call || kind == OfiKind::written || kind == OfiKind::waits;
}

/// What the kind has no use for is zero.
bool fits_kind(const OfiHead& h, size_t follows) {
  if (h.kind != OfiKind::far_call && (h.body_address != 0 || h.body_key != 0)) return false;
  if (!may_have_room(h.kind) && h.room_bytes != 0) return false;
  if (h.room_bytes == 0 && (h.room_address != 0 || h.room_key != 0)) return false;
  if (h.kind != OfiKind::busy && h.wait_ms != 0) return false;
  if (has_far_body(h.kind)) return h.body_bytes != 0 && follows == 0;
  if (has_body(h.kind)) return h.body_bytes == follows;
  return h.body_bytes == 0 && follows == 0;
}

}  // namespace

void put_ofi_head(Bytes& message, const OfiHead& head) {
  OfiHeadFormat f{};
  f.magic = kOfiMagic;
  f.kind = static_cast<uint16_t>(head.kind);
  f.connection = head.connection;
  f.id = head.id;
  f.body_bytes = head.body_bytes;
  f.room_bytes = head.room_bytes;
  f.body_address = head.body_address;
  f.body_key = head.body_key;
  f.room_address = head.room_address;
  f.room_key = head.room_key;
  f.wait_ms = head.wait_ms;
  f.checksum = crc32c(view_of(&f, offsetof(OfiHeadFormat, checksum)));
  std::memcpy(message.data(), &f, sizeof(f));
}

Bytes encode_ofi_head(const OfiHead& head) {
  Bytes out(kOfiHeadBytes);
  put_ofi_head(out, head);
  return out;
}

Result<OfiHead> decode_ofi_head(ByteView message) {
  OfiHeadFormat f;
  if (message.size() < sizeof(f) || message.size() > kOfiMessageBytesMax) {
    return fail(Errc::format_invalid, "ofi: a message of no length");
  }
  std::memcpy(&f, message.data(), sizeof(f));
  if (f.magic.get() != kOfiMagic) {
    return fail(Errc::format_invalid, "ofi: the peer does not speak our protocol");
  }
  if (crc32c(message.first(offsetof(OfiHeadFormat, checksum))) != f.checksum.get()) {
    return fail(Errc::checksum, "ofi: a message was damaged on the way");
  }
  const uint16_t kind = f.kind.get();
  if (kind < static_cast<uint16_t>(OfiKind::call) || kind > static_cast<uint16_t>(OfiKind::busy) ||
      f.flags.get() != 0) {
    return fail(Errc::format_invalid, "ofi: a message uses what this version does not know");
  }
  OfiHead out{.kind = static_cast<OfiKind>(kind),
              .connection = f.connection.get(),
              .id = f.id.get(),
              .body_bytes = f.body_bytes.get(),
              .room_bytes = f.room_bytes.get(),
              .body_address = f.body_address.get(),
              .body_key = f.body_key.get(),
              .room_address = f.room_address.get(),
              .room_key = f.room_key.get(),
              .wait_ms = f.wait_ms.get()};
  if (!fits_kind(out, message.size() - sizeof(f))) {
    return fail(Errc::format_invalid, "ofi: a message that does not fit its kind");
  }
  return out;
}

Bytes encode_ofi_open(const OfiOpen& open, size_t front_bytes) {
  OfiOpenFormat f{};
  f.version = kOfiVersion;
  f.flags = open.ring ? kOfiRing : 0;
  f.status = static_cast<uint32_t>(open.status);
  f.connection = open.connection;
  f.name_bytes = static_cast<uint16_t>(open.name.size());
  f.provider = open.provider;
  Bytes out(front_bytes);
  const ByteView bytes = view_of(&f, sizeof(f));
  out.insert(out.end(), bytes.begin(), bytes.end());
  out.insert(out.end(), open.name.begin(), open.name.end());
  return out;
}

Result<OfiOpen> decode_ofi_open(ByteView bytes) {
  OfiOpenFormat f;
  if (bytes.size() < sizeof(f)) return fail(Errc::format_invalid, "ofi: an opening of no length");
  std::memcpy(&f, bytes.data(), sizeof(f));
  if (f.version.get() != kOfiVersion) {
    return fail(Errc::protocol,
                "ofi: the peer has another version; run the same version everywhere");
  }
  const ByteView name = bytes.subspan(sizeof(f));
  const bool refused = f.status.get() != 0;
  if (f.flags.get() > kOfiRing || f.reserved.get() != 0 || name.size() != f.name_bytes.get() ||
      name.size() > kOfiNameBytesMax || name.empty() != refused ||
      (f.connection.get() == 0) != refused) {
    return fail(Errc::format_invalid, "ofi: an opening says what this version does not know");
  }
  return OfiOpen{.status = static_cast<Errc>(f.status.get()),
                 .ring = f.flags.get() == kOfiRing,
                 .provider = f.provider.get(),
                 .connection = f.connection.get(),
                 .name = Bytes(name.begin(), name.end())};
}

}  // namespace cairn::fabric
