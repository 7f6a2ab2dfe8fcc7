// Replies to bytes and back.
#include <string_view>

#include "base/check.h"
#include "base/crc32c.h"
#include "wire/codec.h"
#include "wire/cursor.h"
#include "wire/framing.h"
#include "wire/limits.h"
#include "wire/payload.h"

namespace cairn::wire {

namespace {

void put_pair(Bytes& out, uint64_t a, uint64_t b) { put(out, RecxPart{.index = a, .count = b}); }

const model::Iods& iods_of(const Request& request) {
  static const model::Iods kNone;
  const auto* const fetch = std::get_if<ObjectFetch>(&request.body);
  return fetch == nullptr ? kNone : fetch->iods;
}

PagePart page_part(size_t count, const Bytes& position, bool eof) {
  PagePart part{};
  part.count = static_cast<uint32_t>(count);
  part.position_bytes = static_cast<uint32_t>(position.size());
  part.eof = eof ? 1 : 0;
  return part;
}

/// Appends the body of one kind of reply, and its bulk.
struct PutReply {
  Bytes& out;
  Framer& framer;
  const Request& request;
  Buffer* apart;

  void operator()(std::monostate) {}
  void operator()(const Bytes& bytes) { put(out, ByteView(bytes)); }
  void operator()(const model::Fetched& fetched) {
    const model::Iods& iods = iods_of(request);
    CHECK(iods.size() == fetched.iods.size());
    put(out, FetchedHead{.status = static_cast<uint32_t>(fetched.status),
                         .iod_count = static_cast<uint32_t>(fetched.iods.size())});
    for (const model::FetchedIod& iod : fetched.iods) {
      put(out, FetchedPart{.record_bytes = iod.record_bytes,
                           .piece_count = static_cast<uint32_t>(iod.pieces.size()),
                           .extent_count = static_cast<uint32_t>(iod.extents.size())});
    }
    for (const model::FetchedIod& iod : fetched.iods) {
      for (const auto& piece : iod.pieces) put_pair(out, piece.offset, piece.bytes);
      for (const auto& extent : iod.extents) put_pair(out, extent.index, extent.count);
    }
    framer.begin_bulk();
    uint64_t bytes = 0;
    for (const model::FetchedIod& iod : fetched.iods) {
      for (const auto& piece : iod.pieces) bytes += piece.bytes;
    }
    if (bytes >= kLargeBulkMin && apart != nullptr && is_front_of(*apart, fetched)) {
      apart->truncate(bytes);
      // What was verified as it was read need not be looked at again.
      const auto& known = fetched.payload_crc;
      DCHECK(!known || *known == crc32c(*apart));
      return framer.set_apart(*apart, known ? *known : crc32c(*apart));
    }
    const Buffer room = apart == nullptr ? Buffer{} : std::exchange(*apart, Buffer{});
    PayloadOut payload(out, apart, bytes);
    for (size_t i = 0; i < iods.size(); ++i) put_payload(payload, iods[i], fetched.iods[i].pieces);
    framer.set_apart(payload.apart(), payload.checksum());
  }
  /// All pieces stand one behind the other from the begin of the room.
  bool is_front_of(const Buffer& room, const model::Fetched& fetched) const {
    const model::Iods& iods = iods_of(request);
    const std::byte* at = room.data();
    for (size_t i = 0; i < iods.size(); ++i) {
      const IoVecs& buffer = iods[i].buffer;
      for (const auto& piece : fetched.iods[i].pieces) {
        if (buffer.size() != 1 || buffer[0].data + piece.offset != at) return false;
        at += piece.bytes;
      }
    }
    return true;
  }
  void operator()(const model::Listed& listed) {
    ListedPart part{};
    part.key_count = static_cast<uint32_t>(listed.lengths.size());
    part.recx_count = static_cast<uint32_t>(listed.recxs.size());
    part.record_bytes = listed.record_bytes;
    part.keys_bytes = static_cast<uint32_t>(listed.keys.size());
    part.position_bytes = static_cast<uint32_t>(listed.position.size());
    part.too_small = listed.too_small ? 1 : 0;
    part.eof = listed.eof ? 1 : 0;
    put(out, part);
    for (const uint64_t length : listed.lengths) put(out, U64le(length));
    for (const model::Recx& recx : listed.recxs) put_pair(out, recx.index, recx.count);
    for (size_t i = 0; i < listed.recxs.size(); ++i) {
      put(out, U64le(i < listed.epochs.size() ? listed.epochs[i] : 0));
    }
    put(out, ByteView(listed.position));
    put(out, ByteView(listed.keys));
  }
  void operator()(const ListedObjects& listed) {
    put(out, page_part(listed.oids.size(), listed.position, listed.eof));
    for (const model::ObjectId& oid : listed.oids) put(out, OidPart{.lo = oid.lo, .hi = oid.hi});
    put(out, ByteView(listed.position));
  }
  void operator()(const Differences& found) {
    put(out, page_part(found.differences.size(), found.position, found.eof));
    for (const Difference& difference : found.differences) {
      DifferencePart part{};
      part.oid_lo = difference.object.oid.lo;
      part.oid_hi = difference.object.oid.hi;
      part.shard = difference.object.shard;
      part.kind = static_cast<uint8_t>(difference.kind);
      part.dkey_bytes = static_cast<uint32_t>(difference.dkey.size());
      part.akey_bytes = static_cast<uint32_t>(difference.akey.size());
      put(out, part);
      put(out, ByteView(difference.dkey)), put(out, ByteView(difference.akey));
    }
    put(out, ByteView(found.position));
  }
  void operator()(const FlattenedObjects& flattened) {
    for (const model::Flattened& one : flattened.objects) {
      FlattenedPart part{};
      part.outcome = static_cast<uint8_t>(one.outcome);
      part.epoch = one.epoch;
      part.buffer_bytes = one.buffer_bytes;
      put(out, part);
    }
  }
  void operator()(const model::QueriedKey& queried) {
    QueriedPart part{};
    part.found = queried.found ? 1 : 0;
    part.dkey = queried.dkey;
    part.akey = queried.akey;
    part.recx_index = queried.recx.index;
    part.recx_count = queried.recx.count;
    part.record_bytes = queried.record_bytes;
    put(out, part);
  }
};

/// Pieces ascend and stay inside the room that was offered.
Pieces take_pieces(Cursor& in, uint32_t count, uint64_t room, uint64_t* sum) {
  Pieces pieces;
  if (!in.has(count, sizeof(RecxPart))) return pieces;
  pieces.reserve(count);
  uint64_t end = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const auto part = in.take<RecxPart>();
    const uint64_t offset = part.index.get(), bytes = part.count.get();
    in.expect(offset >= end && offset <= room && bytes <= room - offset);
    if (!in.ok()) return {};
    end = offset + bytes;
    *sum += bytes;
    pieces.push_back({offset, bytes});
  }
  return pieces;
}

model::Recxs take_recxs(Cursor& in, uint32_t count) {
  model::Recxs recxs;
  if (!in.has(count, sizeof(RecxPart))) return recxs;
  recxs.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    const auto part = in.take<RecxPart>();
    recxs.push_back({part.index.get(), part.count.get()});
  }
  return recxs;
}

Result<void> take_fetched(const Frame& frame, const ObjectFetch& fetch, Reply& reply) {
  Cursor in(frame.body);
  model::Fetched fetched;
  uint32_t crc = 0;
  const auto head = in.take<FetchedHead>();
  fetched.status = static_cast<Errc>(head.status.get());
  in.expect(fetched.status == Errc::ok || fetched.status == Errc::record_too_big ||
            fetched.status == Errc::nonexistent);
  const size_t count = head.iod_count.get();
  in.expect(count == fetch.iods.size());
  if (in.has(count, sizeof(FetchedPart))) {
    std::vector<FetchedPart> parts(count);
    for (FetchedPart& part : parts) part = in.take<FetchedPart>();
    fetched.iods.resize(count);
    ByteView bulk = frame.bulk;
    for (size_t i = 0; i < count && in.ok(); ++i) {
      model::FetchedIod& iod = fetched.iods[i];
      iod.record_bytes = parts[i].record_bytes.get();
      uint64_t bytes = 0;
      const uint64_t room = buffer_bytes(fetch.iods[i]);
      iod.pieces = take_pieces(in, parts[i].piece_count.get(), room, &bytes);
      iod.extents = take_recxs(in, parts[i].extent_count.get());
      in.expect(bytes <= bulk.size());
      if (!in.ok()) break;
      crc = spread_payload(bulk.first(bytes), fetch.iods[i], iod.pieces, crc);
      bulk = bulk.subspan(bytes);
    }
    in.expect(bulk.empty());
  }
  TRY(done, in.finish());
  TRY(whole, check_bulk(frame, crc));
  reply.body = std::move(fetched);
  return {};
}

Result<void> take_listed(const Frame& frame, const ObjectList& list, Reply& reply) {
  Cursor in(frame.body);
  model::Listed listed;
  const auto part = in.take<ListedPart>();
  const uint32_t keys = part.key_count.get(), recxs = part.recx_count.get();
  in.expect(part.too_small <= 1 && part.eof <= 1);
  in.expect_zero(bytes_of(part.reserved));
  in.expect(keys <= list.request.count_max && recxs <= list.request.count_max);
  in.expect(part.keys_bytes.get() <= list.request.bytes_max);
  in.expect(part.position_bytes.get() <= model::kAnchorBytes);
  listed.too_small = part.too_small != 0;
  listed.eof = part.eof != 0;
  listed.record_bytes = part.record_bytes.get();
  uint64_t sum = 0;
  if (in.has(keys, sizeof(U64le))) {
    listed.lengths.reserve(keys);
    for (uint32_t i = 0; i < keys; ++i) {
      const uint64_t length = in.take<U64le>().get();
      in.expect(length <= model::kKeyBytesMax);
      listed.lengths.push_back(length);
      sum += length;
    }
  }
  in.expect(listed.too_small ? keys == 1 && part.keys_bytes.get() == 0
                             : sum == part.keys_bytes.get());
  listed.recxs = take_recxs(in, recxs);
  if (in.has(recxs, sizeof(U64le))) {
    for (uint32_t i = 0; i < recxs; ++i) listed.epochs.push_back(in.take<U64le>().get());
  }
  const ByteView position = in.take_bytes(part.position_bytes.get());
  const ByteView key_bytes = in.take_bytes(part.keys_bytes.get());
  TRY(done, in.finish());
  listed.position.assign(position.begin(), position.end());
  listed.keys.assign(key_bytes.begin(), key_bytes.end());
  reply.body = std::move(listed);
  return {};
}

Result<void> take_queried(const Frame& frame, Reply& reply) {
  Cursor in(frame.body);
  const auto part = in.take<QueriedPart>();
  in.expect(part.found <= 1);
  in.expect_zero(bytes_of(part.reserved));
  TRY(done, in.finish());
  reply.body = model::QueriedKey{.found = part.found != 0,
                                 .dkey = part.dkey.get(),
                                 .akey = part.akey.get(),
                                 .recx = {part.recx_index.get(), part.recx_count.get()},
                                 .record_bytes = part.record_bytes.get()};
  return {};
}

PagePart take_page(Cursor& in, uint32_t count_max) {
  const auto part = in.take<PagePart>();
  in.expect(part.count.get() <= count_max && part.eof <= 1);
  in.expect(part.position_bytes.get() <= kWalkPositionBytesMax);
  in.expect_zero(bytes_of(part.reserved));
  return part;
}

Result<void> take_listed_objects(const Frame& frame, uint32_t count_max, Reply& reply) {
  Cursor in(frame.body);
  ListedObjects listed;
  const PagePart page = take_page(in, count_max);
  if (in.has(page.count.get(), sizeof(OidPart))) {
    listed.oids.reserve(page.count.get());
    for (uint32_t i = 0; i < page.count.get(); ++i) {
      const auto oid = in.take<OidPart>();
      listed.oids.push_back({.lo = oid.lo.get(), .hi = oid.hi.get()});
    }
  }
  const ByteView position = in.take_bytes(page.position_bytes.get());
  TRY(done, in.finish());
  listed.position.assign(position.begin(), position.end());
  listed.eof = page.eof != 0;
  reply.body = std::move(listed);
  return {};
}

Difference take_difference(Cursor& in) {
  const auto part = in.take<DifferencePart>();
  in.expect(part.kind <= static_cast<uint8_t>(Difference::Kind::changed));
  in.expect_zero(bytes_of(part.reserved));
  Difference out;
  out.object = {.oid = {.lo = part.oid_lo.get(), .hi = part.oid_hi.get()},
                .shard = part.shard.get()};
  out.kind = static_cast<Difference::Kind>(part.kind);
  const ByteView dkey = in.take_bytes(part.dkey_bytes.get());
  const ByteView akey = in.take_bytes(part.akey_bytes.get());
  out.dkey.assign(dkey.begin(), dkey.end());
  out.akey.assign(akey.begin(), akey.end());
  return out;
}

Result<void> take_differences(const Frame& frame, uint32_t count_max, Reply& reply) {
  Cursor in(frame.body);
  Differences found;
  const PagePart page = take_page(in, count_max);
  if (in.has(page.count.get(), sizeof(DifferencePart))) {
    for (uint32_t i = 0; i < page.count.get() && in.ok(); ++i) {
      found.differences.push_back(take_difference(in));
    }
  }
  const ByteView position = in.take_bytes(page.position_bytes.get());
  TRY(done, in.finish());
  found.position.assign(position.begin(), position.end());
  found.eof = page.eof != 0;
  reply.body = std::move(found);
  return {};
}

Result<void> take_flattened(const Frame& frame, size_t count, Reply& reply) {
  Cursor in(frame.body);
  FlattenedObjects flattened;
  if (in.has(count, sizeof(FlattenedPart))) {
    flattened.objects.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      const auto part = in.take<FlattenedPart>();
      in.expect(part.outcome < model::kFlattenOutcomes);
      in.expect_zero(bytes_of(part.reserved));
      flattened.objects.push_back({.outcome = static_cast<model::FlattenOutcome>(part.outcome),
                                   .epoch = part.epoch.get(),
                                   .buffer_bytes = part.buffer_bytes.get()});
    }
  }
  TRY(done, in.finish());
  reply.body = std::move(flattened);
  return {};
}

Result<void> take_bytes_body(const Frame& frame, size_t bytes_max, Reply& reply) {
  if (frame.body.size() > bytes_max) {
    return fail(Errc::format_invalid, "wire: the body of a message is malformed");
  }
  reply.body = Bytes(frame.body.begin(), frame.body.end());
  return {};
}

Result<void> take_reply_body(const Frame& frame, const Request& request, Reply& reply) {
  if (!frame.bulk.empty() && request.opcode() != Opcode::fetch) {
    return fail(Errc::format_invalid, "wire: a reply carries payload that it cannot have");
  }
  switch (request.opcode()) {
    case Opcode::control:
      return take_bytes_body(frame, kBodyBytesMax, reply);
    case Opcode::position_of:
      return take_bytes_body(frame, model::kAnchorBytes, reply);
    case Opcode::fetch:
      return take_fetched(frame, std::get<ObjectFetch>(request.body), reply);
    case Opcode::list:
      return take_listed(frame, std::get<ObjectList>(request.body), reply);
    case Opcode::query_key:
      return take_queried(frame, reply);
    case Opcode::list_objects:
      return take_listed_objects(frame, std::get<ListObjects>(request.body).count_max, reply);
    case Opcode::diff:
      return take_differences(frame, std::get<DiffSnapshots>(request.body).count_max, reply);
    case Opcode::flatten:
      return take_flattened(frame, std::get<FlattenObjects>(request.body).objects.size(), reply);
    case Opcode::update:
    case Opcode::punch:
    case Opcode::max_epoch:
    case Opcode::transact:
      break;
  }
  reply.body = std::monostate{};
  return Cursor(frame.body).finish();
}

}  // namespace

void encode_reply(const Request& request, const Reply& reply, Bytes& out, Buffer* apart) {
  // The room of a fetch; who has no use for it gets nothing of it.
  Buffer bulk = apart == nullptr ? Buffer{} : std::exchange(*apart, Buffer{});
  if (reply.error.code() != Errc::ok) {
    return encode_error(reply.header, request.opcode(), reply.error.code(), out);
  }
  Framer framer(out);
  std::visit(PutReply{out, framer, request, apart == nullptr ? nullptr : &bulk}, reply.body);
  if (framer.finish(MessageKind::reply, request.opcode(), reply.header, Errc::ok)) {
    if (framer.has_apart()) *apart = std::move(bulk);
  } else {
    encode_error(reply.header, request.opcode(), Errc::record_too_big, out);
  }
}

void encode_error(const Header& header, Opcode opcode, Errc code, Bytes& out) {
  const Result<void> framed = Framer(out).finish(MessageKind::reply, opcode, header, code);
  CHECK(framed.has_value());
}

Result<void> decode_reply(ByteView message, const Request& request, Reply& reply) {
  TRY(frame, open_head(message, MessageKind::reply));
  if (frame.opcode != static_cast<uint16_t>(request.opcode()) ||
      frame.header.session != request.header.session ||
      frame.header.sequence != request.header.sequence) {
    return fail(Errc::protocol, "wire: the answer to another request");
  }
  reply.header = frame.header;
  reply.error = Error{Errc::ok, ""};
  // The payload of a fetch is summed as it is copied.
  const bool fetched = frame.status == 0 && request.opcode() == Opcode::fetch;
  if (!fetched) {
    TRY(checked, check_bulk(frame, crc32c(frame.bulk)));
  }
  if (frame.status == 0) return take_reply_body(frame, request, reply);
  const auto code = static_cast<Errc>(frame.status);
  if (errc_name(code) == std::string_view("unlisted") || !frame.body.empty() ||
      !frame.bulk.empty()) {
    return fail(Errc::protocol, "wire: a refusal that this version does not know");
  }
  reply.error = Error{code, errc_name(code)};
  reply.body = std::monostate{};
  return {};
}

}  // namespace cairn::wire
