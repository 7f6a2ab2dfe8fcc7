#include "fabric/hello.h"

#include <algorithm>
#include <cstring>

#include "fabric/stream.h"

namespace cairn::fabric {

namespace {

template <class Format>
Bytes bytes_of(const Format& format) {
  const ByteView view = view_of(&format, sizeof(format));
  return {view.begin(), view.end()};
}

template <class Format>
Result<Format> read_format(ByteView bytes) {
  Format f;
  if (bytes.size() != sizeof(f)) return fail(Errc::format_invalid, "stream: a hello of no length");
  std::memcpy(&f, bytes.data(), sizeof(f));
  if (f.version.get() != kStreamVersion) {
    return fail(Errc::protocol,
                "stream: the peer has another version; run the same version everywhere");
  }
  return f;
}

Uuid uuid_of(const U8 (&bytes)[16]) {
  Uuid out;
  std::ranges::copy(bytes, out.bytes.begin());
  return out;
}

}  // namespace

Bytes encode_hello(const Hello& hello) {
  HelloFormat f{};
  f.version = kStreamVersion;
  f.lane = static_cast<uint16_t>(hello.lane);
  f.purpose = static_cast<uint32_t>(hello.purpose);
  f.features = hello.takes_busy ? kFeatureBusy : 0;
  std::ranges::copy(hello.system.bytes, f.system);
  f.rank = hello.rank;
  f.process = hello.process;
  f.session = hello.session;
  std::ranges::copy(hello.token, f.token);
  return bytes_of(f);
}

Result<Hello> decode_hello(ByteView bytes) {
  TRY(f, read_format<HelloFormat>(bytes));
  if (f.lane.get() >= kLanes || f.purpose.get() > static_cast<uint32_t>(Purpose::admin)) {
    return fail(Errc::protocol, "stream: a hello asks for what this version does not know");
  }
  Hello out{.lane = static_cast<Lane>(f.lane.get()),
            .purpose = static_cast<Purpose>(f.purpose.get()),
            .system = uuid_of(f.system),
            .rank = f.rank.get(),
            .process = f.process.get(),
            .session = f.session.get(),
            .token = {},
            .takes_busy = (f.features.get() & kFeatureBusy) != 0};
  std::ranges::copy(f.token, out.token.begin());
  return out;
}

Bytes encode_hello_reply(const HelloReply& reply) {
  HelloReplyFormat f{};
  f.version = kStreamVersion;
  f.status = static_cast<uint32_t>(reply.status);
  std::ranges::copy(reply.system.bytes, f.system);
  f.rank = reply.rank;
  f.process = reply.process;
  f.incarnation = reply.incarnation;
  f.calls_max = reply.calls_max;
  f.message_bytes_max = reply.message_bytes_max;
  f.clients = reply.clients;
  f.flags = reply.stays ? 1 : 0;
  return bytes_of(f);
}

Result<HelloReply> decode_hello_reply(ByteView bytes) {
  TRY(f, read_format<HelloReplyFormat>(bytes));
  // A status that this version does not know stays one that is not ok.
  const auto status = static_cast<Errc>(f.status.get());
  if (f.reserved_a.get() != 0 || f.flags.get() > 1) {
    return fail(Errc::protocol, "stream: a hello says what this version does not know");
  }
  return HelloReply{.status = status,
                    .system = uuid_of(f.system),
                    .rank = f.rank.get(),
                    .process = f.process.get(),
                    .incarnation = f.incarnation.get(),
                    .calls_max = f.calls_max.get(),
                    .message_bytes_max = f.message_bytes_max.get(),
                    .clients = f.clients.get(),
                    .stays = f.flags.get() == 1};
}

Task<Result<HelloReply>> greet(Stream& stream, Hello hello) {
  Bytes frame(kFrameHeadBytes);
  const Bytes encoded = encode_hello(hello);
  frame.insert(frame.end(), encoded.begin(), encoded.end());
  stream.post(FrameKind::hello, 0, std::move(frame));
  const auto head = co_await stream.read_head();
  if (!head) co_return fail(Errc::unreachable, "stream: the engine closed the connection");
  if (head->kind != FrameKind::hello || head->bytes != sizeof(HelloReplyFormat)) {
    co_return fail(Errc::protocol, "stream: the peer is no engine of ours");
  }
  CO_TRY(payload, co_await stream.read_payload(head->bytes));
  co_return decode_hello_reply(payload);
}

Task<Result<HelloReply>> enter(Stream& stream, Hello hello) {
  CO_TRY(reply, co_await greet(stream, hello));
  if (reply.status != Errc::ok) {
    co_return fail(reply.status, "fabric: the engine refuses the connection");
  }
  co_return reply;
}

Task<Result<HelloReply>> greet_once(Reactor& reactor, Socket socket, Hello hello) {
  const auto stream =
      std::make_shared<Stream>(reactor, std::move(socket), uint32_t{sizeof(HelloReplyFormat)});
  auto reply = co_await greet(*stream, hello);
  co_await stream->close();
  co_return reply;
}

}  // namespace cairn::fabric
