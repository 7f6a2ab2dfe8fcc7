#include "cmd/embed/admin_link.h"

#include "cmd/embed/connect_any.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/server_start.h"
#include "fabric/stream_client.h"
#include "wire/codec.h"

namespace cairn::embed {

namespace {

constexpr Duration kConnectPatience = 2 * kSecond;
/// Longer than any step of an engine that works; a freeze of a slow disk is the longest.
constexpr Duration kAttempt = 120 * kSecond;
constexpr Duration kTotal = 600 * kSecond;

wire::AdminVerb admin_verb(engine::PeerVerb verb) {
  switch (verb) {
    case engine::PeerVerb::draw: return wire::AdminVerb::peer_draw;
    case engine::PeerVerb::prepare: return wire::AdminVerb::peer_prepare;
    case engine::PeerVerb::commit: return wire::AdminVerb::peer_commit;
    case engine::PeerVerb::abort: return wire::AdminVerb::peer_abort;
    case engine::PeerVerb::outcome: return wire::AdminVerb::peer_outcome;
    case engine::PeerVerb::none: break;
  }
  return wire::AdminVerb::none;
}

/// Over TCP.
Task<Result<Socket>> connect_afar(Reactor& reactor, WhereIs where, uint32_t rank) {
  if (!where) co_return fail(Errc::unreachable, "engine: no engine of that rank is known");
  CO_TRY(addresses, co_await where(rank));
  std::erase_if(addresses, [](const Address& at) { return at.kind != Address::Kind::tcp; });
  co_return co_await connect_to_any<Socket>(reactor, std::move(addresses), connect_to,
                                            kConnectPatience);
}

Task<Result<Socket>> connect_engine(Reactor& reactor, AdminLinkOptions options, uint32_t rank) {
  if (rank < options.first_rank || rank >= options.end_rank) {
    return connect_afar(reactor, std::move(options.where), rank);
  }
  return connect_to(reactor, {.host = engine_socket(options.home, rank)}, kConnectPatience);
}

}  // namespace

std::string engine_socket(const std::string& home, uint32_t rank) {
  return socket_path(engine_directory(home, rank));
}

AdminLink::AdminLink(Reactor& reactor, AdminLinkOptions options)
    : AdminLink(reactor, options, [&reactor, &options](uint64_t session) {
        return std::make_unique<fabric::StreamTransport>(
            reactor,
            fabric::StreamClientOptions{.session = session,
                                        .purpose = fabric::Purpose::admin,
                                        .system = options.system,
                                        .token = options.secret},
            [&reactor, options](fabric::Endpoint to) {
              return connect_engine(reactor, options, to.rank);
            });
      }) {}

AdminLink::AdminLink(Reactor& reactor, AdminLinkOptions options, const MakeTransport& make)
    : options_(std::move(options)) {
  const uint64_t session = client::random_session(reactor.random());
  transport_ = make(session);
  client::RpcOptions rpc{.system = options_.system,
                         .session = session,
                         .attempt_ns = kAttempt,
                         .attempt_ns_max = kAttempt,
                         .total_ns = kTotal,
                         .reconnect_grace_ns = options_.grace_ns};
  rpc_ = std::make_unique<client::Rpc>(reactor, *transport_, rpc);
  watch_rpc_ = std::make_unique<client::Rpc>(
      reactor, *transport_,
      client::RpcOptions{.system = options_.system, .session = watch_session(session)});
}

AdminLink::~AdminLink() = default;

Task<Result<wire::AdminReply>> AdminLink::ask(uint32_t rank, wire::AdminRequest request) {
  const auto answer =
      co_await rpc_->control({.rank = rank}, wire::proto_encode(request));
  if (answer) co_return wire::proto_decode<wire::AdminReply>(*answer);
  switch (answer.error().code()) {
    case Errc::timed_out:
    case Errc::shutdown:
    case Errc::unknown:
      co_return fail(Errc::unreachable, "engine: it went away in the middle of a request");
    default: co_return fail(answer.error());
  }
}

Task<Result<void>> AdminLink::meet(uint32_t rank) { return transport_->reach({.rank = rank}); }

Task<void> AdminLink::watch(uint32_t rank) {
  wire::AdminRequest request;
  request.verb = wire::AdminVerb::watch;
  // Whatever it says: there is nothing to watch any more.
  [[maybe_unused]] const auto ended =
      co_await watch_rpc_->control({.rank = rank}, wire::proto_encode(request));
}

Task<Result<std::vector<Address>>> locate(AdminLink& link, uint32_t rank) {
  wire::AdminRequest request;
  request.verb = wire::AdminVerb::locate;
  request.rank = rank;
  CO_TRY(answer, co_await link.ask(0, std::move(request)));
  std::vector<Address> out;
  for (const std::string& text : answer.addresses) {
    const auto address = parse_address(text);
    if (address && is_numeric(*address)) out.push_back(*address);
  }
  co_return out;
}

Task<void> AdminLink::close() { return transport_->close(); }

Task<Result<engine::PeerReply>> RemotePeers::ask(uint32_t rank, engine::PeerRequest request) {
  wire::AdminRequest out;
  out.verb = admin_verb(request.verb);
  out.pool = request.pool;
  out.container = request.container;
  out.epoch = request.epoch;
  out.tx_high = request.id.high;
  out.tx_low = request.id.low;
  if (request.body != nullptr) {
    wire::Request message;
    message.body = std::move(*request.body);
    const auto encoded = wire::encode_request(message, out.body);
    *request.body = std::get<wire::ObjectTransact>(std::move(message.body));
    if (!encoded) co_return fail(encoded.error());
  }
  CO_TRY(answer, co_await link_.ask(rank, std::move(out)));
  co_return engine::PeerReply{.epoch = answer.epoch, .open = answer.open};
}

}  // namespace cairn::embed
