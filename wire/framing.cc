#include "wire/framing.h"

#include <algorithm>

#include "base/crc32c.h"
#include "wire/cursor.h"
#include "wire/limits.h"

namespace cairn::wire {

namespace {

HeaderFormat format_of(const Header& header) {
  HeaderFormat f{};
  f.version = kVersion;
  f.flags = header.flags;
  f.features = header.features;
  std::ranges::copy(header.system.bytes, f.system);
  f.sender_rank = header.sender_rank;
  f.target = header.target;
  f.sender_incarnation = header.sender_incarnation;
  f.target_incarnation = header.target_incarnation;
  f.map_version = header.map_version;
  f.placement_generation = header.placement_generation;
  f.handle_index = header.handle.index;
  f.handle_generation = header.handle.generation;
  f.session = header.session;
  f.sequence = header.sequence;
  f.acknowledged_below = header.acknowledged_below;
  f.remaining_ns = header.remaining_ns;
  f.hlc = header.hlc;
  f.epoch = header.epoch;
  f.transaction_lo = header.transaction_lo;
  f.transaction_hi = header.transaction_hi;
  f.minor_epoch = header.minor_epoch;
  return f;
}

Header header_of(const HeaderFormat& f) {
  Header h;
  h.flags = f.flags.get();
  h.features = f.features.get();
  std::ranges::copy(f.system, h.system.bytes.begin());
  h.sender_rank = f.sender_rank.get();
  h.sender_incarnation = f.sender_incarnation.get();
  h.target = f.target.get();
  h.target_incarnation = f.target_incarnation.get();
  h.map_version = f.map_version.get();
  h.placement_generation = f.placement_generation.get();
  h.handle = {.index = f.handle_index.get(), .generation = f.handle_generation.get()};
  h.session = f.session.get();
  h.sequence = f.sequence.get();
  h.acknowledged_below = f.acknowledged_below.get();
  h.remaining_ns = f.remaining_ns.get();
  h.hlc = f.hlc.get();
  h.epoch = f.epoch.get();
  h.minor_epoch = f.minor_epoch.get();
  h.transaction_lo = f.transaction_lo.get();
  h.transaction_hi = f.transaction_hi.get();
  return h;
}

uint32_t bulk_checksum(ByteView bulk, std::vector<uint32_t>* block_crcs) {
  if (block_crcs == nullptr || bulk.size() < kLargeBulkMin) return crc32c(bulk);
  const size_t blocks = bulk.size() / kBulkAlignment;
  block_crcs->resize(blocks);
  crc32c_blocks(bulk.first(blocks * kBulkAlignment), kBulkAlignment, *block_crcs);
  uint32_t crc = 0;
  for (const uint32_t block : *block_crcs) crc = crc32c_join(crc, block, kBulkAlignment);
  return crc32c(bulk.subspan(blocks * kBulkAlignment), crc);
}

std::unexpected<Error> damaged() {
  return fail(Errc::checksum, "wire: a message was damaged on the way");
}

bool all_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

Result<void> Framer::finish(MessageKind kind, Opcode opcode, const Header& header, Errc status) {
  const size_t end = out_.size();
  const size_t bulk = bulk_ == 0 ? end : bulk_;
  const ByteView payload = apart_.empty() ? ByteView(out_).subspan(bulk) : apart_;
  const size_t body_bytes = bulk - begin_ - sizeof(HeaderFormat);
  if (body_bytes > kBodyBytesMax || payload.size() > kBulkBytesMax) {
    abandon();
    return fail(Errc::record_too_big, "wire: too large for one message; split the I/O");
  }
  HeaderFormat f = format_of(header);
  f.magic = kind == MessageKind::request ? kRequestMagic : kReplyMagic;
  f.opcode = static_cast<uint16_t>(opcode);
  f.status = static_cast<uint32_t>(status);
  f.bulk_offset = static_cast<uint32_t>(bulk - begin_);
  f.message_bytes = bulk - begin_ + payload.size();
  f.padding_bytes = static_cast<uint32_t>(padding_);
  f.bulk_checksum = apart_.empty() ? crc32c(payload) : apart_checksum_;
  std::byte* const at = out_.data() + begin_;
  std::memcpy(at, &f, sizeof(f));
  f.checksum = crc32c({at + kChecksumFrom, bulk - begin_ - kChecksumFrom});
  std::memcpy(at, &f, sizeof(f));
  return {};
}

Result<Frame> open_head(ByteView message, MessageKind kind) {
  HeaderFormat f;
  if (message.size() < sizeof(f)) return fail(Errc::format_invalid, "wire: a cut message");
  std::memcpy(&f, message.data(), sizeof(f));
  if (f.magic.get() != (kind == MessageKind::request ? kRequestMagic : kReplyMagic)) {
    return fail(Errc::format_invalid, "wire: not a message of ours");
  }
  if (f.version.get() != kVersion) {
    return fail(Errc::protocol, "wire: a peer of another version; run the same version everywhere");
  }
  const uint64_t bulk = f.bulk_offset.get();
  if (f.message_bytes.get() != message.size() || bulk < sizeof(f) || bulk > message.size() ||
      bulk - sizeof(f) > kBodyBytesMax || message.size() - bulk > kBulkBytesMax) {
    return fail(Errc::format_invalid, "wire: the lengths of a message contradict each other");
  }
  if (crc32c(message.subspan(kChecksumFrom, bulk - kChecksumFrom)) != f.checksum.get()) {
    return damaged();
  }
  const uint64_t padding = f.padding_bytes.get();
  if (f.reserved_a.get() != 0 || padding >= kBulkAlignment || padding > bulk - sizeof(f) ||
      (padding != 0 && bulk % kBulkAlignment != 0) ||
      !all_zero(message.subspan(bulk - padding, padding)) || f.members_offset.get() != 0 ||
      (f.flags.get() & kFlagsBinding & ~kFlagResend) != 0 ||
      (kind == MessageKind::request && f.status.get() != 0)) {
    return fail(Errc::protocol, "wire: a message uses what this version does not know; upgrade it");
  }
  return Frame{.header = header_of(f),
               .opcode = f.opcode.get(),
               .status = f.status.get(),
               .body = message.subspan(sizeof(f), bulk - padding - sizeof(f)),
               .bulk = message.subspan(bulk),
               .bulk_checksum = f.bulk_checksum.get()};
}

Result<void> check_bulk(const Frame& frame, uint32_t crc) {
  if (crc != frame.bulk_checksum) return damaged();
  return {};
}

Result<Frame> open_frame(ByteView message, MessageKind kind, std::vector<uint32_t>* block_crcs) {
  TRY(frame, open_head(message, kind));
  TRY(checked, check_bulk(frame, bulk_checksum(frame.bulk, block_crcs)));
  return frame;
}

}  // namespace cairn::wire
