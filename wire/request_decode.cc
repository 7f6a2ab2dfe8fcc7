// Requests from bytes.
#include <memory>

#include "wire/codec.h"
#include "wire/cursor.h"
#include "wire/framing.h"
#include "wire/limits.h"

namespace cairn::wire {

namespace {

/// Where the header says which engine and target are meant.
bool names_nobody(const ObjectAddress& object) { return object.target == 0 && object.rank == 0; }

struct TakenObject {
  ObjectAddress address;
  uint64_t flags = 0;
};
TakenObject take_object(Cursor& in) {
  const auto part = in.take<ObjectPart>();
  return {.address = {.oid = {.lo = part.oid_lo.get(), .hi = part.oid_hi.get()},
                      .shard = part.shard.get(),
                      .target = part.target.get(),
                      .rank = part.rank.get()},
          .flags = part.flags.get()};
}
ObjectAddress take_address(Cursor& in) {
  const TakenObject object = take_object(in);
  in.expect(object.flags == 0 && names_nobody(object.address));
  return object.address;
}

model::ListRequest::What take_what(Cursor& in, uint8_t what) {
  in.expect(what <= static_cast<uint8_t>(model::ListRequest::What::recxs));
  return static_cast<model::ListRequest::What>(what);
}

model::Iod iod_of(Cursor& in, const IodPart& part) {
  in.expect(part.type <= static_cast<uint8_t>(model::ValueType::array) && part.size_only <= 1);
  in.expect_zero(bytes_of(part.reserved));
  model::Iod iod;
  iod.type = static_cast<model::ValueType>(part.type);
  iod.record_bytes = part.record_bytes.get();
  iod.flags = part.flags.get();
  iod.size_only = part.size_only != 0;
  return iod;
}

struct TakenIo {
  ByteView dkey;
  model::Iods iods;
  std::vector<size_t> buffers;  // bytes of each iod's
  size_t buffer_bytes = 0;      // their sum, within kBulkBytesMax
};
/// @param bytes_max  of all buffers together
TakenIo take_io(Cursor& in, size_t bytes_max) {
  TakenIo io;
  const auto head = in.take<IoPart>();
  const size_t count = head.iod_count.get();
  in.expect(count <= model::kIodsMax);
  if (!in.has(count, sizeof(IodPart))) return io;
  std::vector<IodPart> parts(count);
  io.iods.reserve(count);
  for (IodPart& part : parts) {
    part = in.take<IodPart>();
    io.iods.push_back(iod_of(in, part));
    const uint64_t bytes = part.buffer_bytes.get();
    in.expect(bytes <= bytes_max - io.buffer_bytes);
    if (!in.ok()) return io;
    io.buffers.push_back(bytes);
    io.buffer_bytes += bytes;
  }
  io.dkey = in.take_bytes(head.dkey_bytes.get());
  for (size_t i = 0; i < count; ++i) {
    io.iods[i].akey = in.take_bytes(parts[i].akey_bytes.get());
  }
  for (size_t i = 0; i < count; ++i) {
    const size_t recx_count = parts[i].recx_count.get();
    in.expect(recx_count <= model::kRecxsMax);
    if (!in.has(recx_count, sizeof(RecxPart))) return io;
    io.iods[i].recxs.reserve(recx_count);
    for (size_t r = 0; r < recx_count; ++r) {
      const auto recx = in.take<RecxPart>();
      io.iods[i].recxs.push_back({recx.index.get(), recx.count.get()});
    }
  }
  return io;
}

/// Gives each iod its part of `room`.
void share_out(TakenIo& io, std::byte* room) {
  for (size_t i = 0; i < io.iods.size(); ++i) {
    if (io.buffers[i] != 0) io.iods[i].buffer = {{room, io.buffers[i]}};
    room += io.buffers[i];
  }
}

/// Tells each iod what is known of its part, which begins at `at` of the bulk.
void share_out_crcs(TakenIo& io, size_t at, std::span<const uint32_t> crcs) {
  for (size_t i = 0; i < io.iods.size() && !crcs.empty(); ++i) {
    const size_t blocks = io.buffers[i] / kBulkAlignment;
    if (at % kBulkAlignment == 0) io.iods[i].block_crcs = crcs.subspan(at / kBulkAlignment, blocks);
    at += io.buffers[i];
  }
}

/// Takes an update's body, and its payload from the front of `bulk`, which ends the message.
ObjectUpdate take_update_body(Cursor& in, ByteView& bulk, size_t bulk_bytes,
                              DecodedRequest& decoded) {
  ObjectUpdate update;
  const TakenObject object = take_object(in);
  update.object = object.address;
  update.flags = object.flags;
  TakenIo io = take_io(in, bulk.size());
  if (!in.ok()) return update;
  // The message is the decoder's own; iods name writable memory because fetches need it.
  share_out(io, decoded.message.data() + (bulk.data() - decoded.message.data()));
  share_out_crcs(io, bulk_bytes - bulk.size(), decoded.bulk_crcs);
  bulk = bulk.subspan(io.buffer_bytes);
  update.dkey = io.dkey;
  update.iods = std::move(io.iods);
  return update;
}

Result<void> take_update(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ByteView bulk = frame.bulk;
  ObjectUpdate update = take_update_body(in, bulk, frame.bulk.size(), decoded);
  in.expect(bulk.empty() && names_nobody(update.object));
  TRY(done, in.finish());
  decoded.request.body = std::move(update);
  return {};
}

Result<Buffer> make_room(uint64_t bytes) {
  Buffer room = Buffer::uninitialised(bytes);
  if (room.size() != bytes) return fail(Errc::no_memory, "fetch: no memory for what it asks for");
  return room;
}

Result<void> take_fetch(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ObjectFetch fetch;
  const TakenObject object = take_object(in);
  in.expect(names_nobody(object.address));
  fetch.object = object.address;
  fetch.flags = object.flags;
  TakenIo io = take_io(in, kBulkBytesMax);
  TRY(done, in.finish());
  TRY(room, make_room(io.buffer_bytes));
  decoded.fetch_room = std::move(room);
  share_out(io, decoded.fetch_room.data());
  fetch.dkey = io.dkey;
  fetch.iods = std::move(io.iods);
  decoded.request.body = std::move(fetch);
  return {};
}

ObjectPunch take_punch_body(Cursor& in) {
  ObjectPunch punch;
  const TakenObject object = take_object(in);
  punch.object = object.address;
  punch.flags = object.flags;
  const auto part = in.take<PunchPart>();
  in.expect(part.level <= static_cast<uint8_t>(PunchLevel::akeys));
  in.expect_zero(bytes_of(part.reserved));
  punch.level = static_cast<PunchLevel>(part.level);
  const size_t count = part.akey_count.get();
  in.expect(count <= model::kIodsMax);
  if (in.has(count, sizeof(U32le))) {
    Cursor lengths(in.take_bytes(count * sizeof(U32le)));
    punch.dkey = in.take_bytes(part.dkey_bytes.get());
    punch.akeys.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      punch.akeys.push_back(in.take_bytes(lengths.take<U32le>().get()));
    }
  }
  return punch;
}

Result<void> take_punch(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ObjectPunch punch = take_punch_body(in);
  in.expect(names_nobody(punch.object));
  TRY(done, in.finish());
  decoded.request.body = std::move(punch);
  return {};
}

TransactRead take_read(Cursor& in) {
  const auto part = in.take<ReadPart>();
  in.expect(part.object.flags.get() == 0);
  in.expect(part.level <= static_cast<uint8_t>(ReadLevel::akey));
  in.expect_zero(bytes_of(part.reserved));
  TransactRead read;
  read.object = {.oid = {.lo = part.object.oid_lo.get(), .hi = part.object.oid_hi.get()},
                 .shard = part.object.shard.get(),
                 .target = part.object.target.get(),
                 .rank = part.object.rank.get()};
  read.level = static_cast<ReadLevel>(part.level);
  read.dkey = in.take_bytes(part.dkey_bytes.get());
  read.akey = in.take_bytes(part.akey_bytes.get());
  in.expect(read.level != ReadLevel::object || read.dkey.empty());
  in.expect(read.level == ReadLevel::akey || read.akey.empty());
  return read;
}

Result<void> take_transact(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ByteView bulk = frame.bulk;
  ObjectTransact transact;
  const auto part = in.take<TransactPart>();
  transact.read_epoch = part.read_epoch.get();
  const size_t op_count = part.op_count.get(), read_count = part.read_count.get();
  in.expect(op_count <= kTransactOpsMax && read_count <= kTransactReadsMax);
  in.expect(read_count == 0 || transact.read_epoch != 0);
  if (in.has(op_count, sizeof(OpPart) + sizeof(ObjectPart))) transact.ops.reserve(op_count);
  for (size_t i = 0; i < op_count && in.ok(); ++i) {
    const auto op = in.take<OpPart>();
    in.expect_zero(bytes_of(op.reserved));
    const auto opcode = static_cast<Opcode>(op.opcode.get());
    in.expect(opcode == Opcode::update || opcode == Opcode::punch);
    if (opcode == Opcode::update) {
      transact.ops.emplace_back(take_update_body(in, bulk, frame.bulk.size(), decoded));
    } else {
      transact.ops.emplace_back(take_punch_body(in));
    }
  }
  in.expect(bulk.empty());
  if (in.has(read_count, sizeof(ReadPart))) transact.reads.reserve(read_count);
  for (size_t i = 0; i < read_count && in.ok(); ++i) transact.reads.push_back(take_read(in));
  TRY(done, in.finish());
  decoded.request.body = std::move(transact);
  return {};
}

Result<void> take_list(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ObjectList list;
  list.object = take_address(in);
  const auto part = in.take<ListPart>();
  in.expect(part.descending <= 1 && part.reserved_a.get() == 0 && part.reserved_b.get() == 0);
  in.expect(part.position_bytes.get() <= model::kAnchorBytes);
  model::ListRequest& r = list.request;
  r.what = take_what(in, part.what);
  r.descending = part.descending != 0;
  // A reply must fit a message; who asks for more gets less and asks again.
  r.count_max = std::min(part.count_max.get(), kListCountMax);
  r.bytes_max = std::min(part.bytes_max.get(), kListBytesMax);
  r.dkey = in.take_bytes(part.dkey_bytes.get());
  r.akey = in.take_bytes(part.akey_bytes.get());
  const ByteView position = in.take_bytes(part.position_bytes.get());
  r.position.assign(position.begin(), position.end());
  TRY(done, in.finish());
  decoded.request.body = std::move(list);
  return {};
}

Result<void> take_query_key(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ObjectQueryKey query;
  query.object = take_address(in);
  const auto part = in.take<QueryPart>();
  in.expect((part.what & ~kQueryMask) == 0);
  in.expect_zero(bytes_of(part.reserved));
  query.request = {.max = (part.what & kQueryMax) != 0,
                   .want_dkey = (part.what & kQueryDkey) != 0,
                   .want_akey = (part.what & kQueryAkey) != 0,
                   .want_recx = (part.what & kQueryRecx) != 0,
                   .dkey = part.dkey.get(),
                   .akey = part.akey.get()};
  query.request.dkey_bytes = in.take_bytes(part.dkey_bytes.get());
  query.request.akey_bytes = in.take_bytes(part.akey_bytes.get());
  TRY(done, in.finish());
  decoded.request.body = query;
  return {};
}

Result<void> take_position_of(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  ObjectPositionOf position;
  position.object = take_address(in);
  const auto part = in.take<PositionPart>();
  in.expect_zero(bytes_of(part.reserved));
  position.what = take_what(in, part.what);
  position.key = in.take_bytes(part.key_bytes.get());
  TRY(done, in.finish());
  decoded.request.body = position;
  return {};
}

ByteView take_walk_position(Cursor& in, uint32_t bytes) {
  in.expect(bytes <= kWalkPositionBytesMax);
  return in.take_bytes(bytes);
}

Result<void> take_list_objects(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  const auto part = in.take<ObjectsPart>();
  ListObjects list{.count_max = std::min(part.count_max.get(), kListCountMax)};
  list.position = take_walk_position(in, part.position_bytes.get());
  TRY(done, in.finish());
  decoded.request.body = list;
  return {};
}

Result<void> take_diff(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  const auto part = in.take<DiffPart>();
  DiffSnapshots diff{.older = part.older.get(),
                     .newer = part.newer.get(),
                     .count_max = std::min(part.count_max.get(), kDiffCountMax)};
  diff.position = take_walk_position(in, part.position_bytes.get());
  TRY(done, in.finish());
  decoded.request.body = diff;
  return {};
}

Result<void> take_flatten(const Frame& frame, DecodedRequest& decoded) {
  Cursor in(frame.body);
  const auto part = in.take<FlattenPart>();
  const uint32_t count = part.object_count.get();
  in.expect(count <= kFlattenCountMax);
  FlattenObjects flatten{.limits = {.inline_bytes_max = part.inline_bytes_max.get(),
                                    .object_bytes_max = part.object_bytes_max.get(),
                                    .keys_max = part.keys_max.get()},
                         .objects = {}};
  if (in.has(count, sizeof(FlattenObjectPart))) {
    flatten.objects.reserve(count);
    for (uint32_t i = 0; i < count; ++i) {
      const auto one = in.take<FlattenObjectPart>();
      in.expect(one.reserved.get() == 0);
      flatten.objects.push_back(
          {.oid = {.lo = one.oid_lo.get(), .hi = one.oid_hi.get()}, .shard = one.shard.get()});
    }
  }
  TRY(done, in.finish());
  decoded.request.body = std::move(flatten);
  return {};
}

Result<void> take_body(const Frame& frame, DecodedRequest& decoded) {
  const bool has_bulk = decoded.opcode == Opcode::update || decoded.opcode == Opcode::transact;
  if (!has_bulk && !frame.bulk.empty()) {
    return fail(Errc::format_invalid, "wire: a request carries payload that it cannot have");
  }
  switch (decoded.opcode) {
    case Opcode::control:
      decoded.request.body = Control{.body = Bytes(frame.body.begin(), frame.body.end())};
      return {};
    case Opcode::update:
      return take_update(frame, decoded);
    case Opcode::punch:
      return take_punch(frame, decoded);
    case Opcode::fetch:
      return take_fetch(frame, decoded);
    case Opcode::list:
      return take_list(frame, decoded);
    case Opcode::query_key:
      return take_query_key(frame, decoded);
    case Opcode::max_epoch: {
      Cursor in(frame.body);
      decoded.request.body = ObjectMaxEpoch{.object = take_address(in)};
      return in.finish();
    }
    case Opcode::position_of:
      return take_position_of(frame, decoded);
    case Opcode::transact:
      return take_transact(frame, decoded);
    case Opcode::list_objects:
      return take_list_objects(frame, decoded);
    case Opcode::diff:
      return take_diff(frame, decoded);
    case Opcode::flatten:
      return take_flatten(frame, decoded);
  }
  return fail(Errc::protocol, "wire: an operation that this version does not know; upgrade it");
}

}  // namespace

Result<std::unique_ptr<DecodedRequest>> decode_request(Buffer message) {
  auto decoded = std::make_unique<DecodedRequest>();
  decoded->message = std::move(message);
  TRY(frame, open_frame(decoded->message, MessageKind::request, &decoded->bulk_crcs));
  decoded->opcode = static_cast<Opcode>(frame.opcode);
  decoded->request.header = frame.header;
  if (const auto body = take_body(frame, *decoded); !body) decoded->error = body.error();
  return decoded;
}

}  // namespace cairn::wire
