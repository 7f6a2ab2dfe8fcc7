#include "cmd/embed/admin_server.h"

#include "cmd/embed/admin_link.h"
#include "wire/codec.h"
#include "wire/worm.h"

namespace cairn::embed {

using wire::AdminReply;
using wire::AdminRequest;
using wire::AdminVerb;

namespace {

bool is_peer(AdminVerb verb) {
  return verb >= AdminVerb::peer_draw && verb <= AdminVerb::peer_outcome;
}

engine::PeerVerb peer_verb(AdminVerb verb) {
  switch (verb) {
    case AdminVerb::peer_draw: return engine::PeerVerb::draw;
    case AdminVerb::peer_prepare: return engine::PeerVerb::prepare;
    case AdminVerb::peer_commit: return engine::PeerVerb::commit;
    case AdminVerb::peer_abort: return engine::PeerVerb::abort;
    case AdminVerb::peer_outcome: return engine::PeerVerb::outcome;
    default: return engine::PeerVerb::none;
  }
}

service::Targets targets_of(const AdminRequest& request) {
  service::Targets out;
  for (const wire::Target& target : request.targets) out.push_back({target.rank, target.index});
  return out;
}

service::ShardSizes sizes_of(const AdminRequest& request) {
  return {.wal_bytes = request.wal_bytes,
          .meta_bytes = request.meta_bytes,
          .data_bytes = request.data_bytes,
          .memory_bytes = request.memory_bytes};
}

service::Grant grant_of(const wire::AdminHandle& handle) {
  return {.pool = handle.pool,
          .container = handle.container,
          .writable = handle.writable,
          .session = handle.session};
}

wire::HandleRef ref_of(const wire::AdminHandle& handle) {
  return {handle.index, handle.generation};
}

service::Handles handles_of(const AdminRequest& request) {
  service::Handles out;
  for (const wire::AdminHandle& handle : request.handles) {
    out.emplace_back(grant_of(handle), ref_of(handle));
  }
  return out;
}

/// What is answered where only success or failure counts.
Task<Result<AdminReply>> plain(Task<Result<void>> task) {
  CO_TRY(done, co_await std::move(task));
  co_return AdminReply{};
}

Task<Result<AdminReply>> space_of(service::ShardHost& shards, Uuid pool) {
  CO_TRY(space, co_await shards.space(pool));
  AdminReply reply;
  reply.space = {.data_total = space.data_total,
                 .data_free = space.data_free,
                 .meta_total = space.meta_total,
                 .meta_free = space.meta_free,
                 .meta_used = space.meta_used};
  co_return reply;
}

/// A mode of a later version is off here.
Task<Result<AdminReply>> set_scrub(service::ShardHost& shards, const AdminRequest& request) {
  const auto mode = static_cast<model::ScrubMode>(request.scrub_mode);
  const bool known = mode == model::ScrubMode::lazy || mode == model::ScrubMode::timed;
  return plain(shards.set_scrub(request.pool, {.mode = known ? mode : model::ScrubMode::off,
                                               .frequency_s = request.scrub_frequency,
                                               .threshold = request.scrub_threshold}));
}

/// @error invalid  properties of a later version, perhaps
Task<Result<AdminReply>> set_worm(service::ShardHost& shards, const AdminRequest& request) {
  CO_TRY(policy, wire::policy_of(request.worm));
  co_return co_await plain(
      shards.set_worm(request.pool, request.container, std::move(policy), request.number));
}

Task<Result<AdminReply>> progress_of(service::ShardHost& shards, Uuid pool, uint32_t container) {
  CO_TRY(found, co_await shards.flatten_progress(pool, container));
  AdminReply reply;
  reply.progress = wire::progress_of(found.progress);
  co_return reply;
}

}  // namespace

/// A request of a service, as long as it runs.
class AdminServer::Inside {
 public:
  Inside(AdminServer& server, uint64_t session) : server_(server), session_(session) {
    ++server_.inside_[session_];
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() {
    if (--server_.inside_[session_] != 0) return;
    server_.inside_.erase(session_);
    server_.left_.wake_all();
  }

 private:
  AdminServer& server_;
  const uint64_t session_;
};

AdminServer::AdminServer(Reactor& reactor, const Uuid& system, uint32_t rank, LocalEngine& engine,
                         bool is_member, Hooks hooks)
    : rank_(rank),
      engine_(engine),
      is_member_(is_member),
      hooks_(std::move(hooks)),
      door_(reactor, {.system = system, .rank = rank, .incarnation = engine.incarnation()}),
      left_(reactor) {
  door_.set_control([this](engine::ControlCall call) { return handle(std::move(call)); });
}

void AdminServer::release() {
  released_ = true;
  left_.wake_all();
}

Task<void> AdminServer::stop() {
  release();
  return door_.stop();
}

AdminReply AdminServer::about() const {
  return {.rank = rank_,
          .incarnation = engine_.incarnation(),
          .addresses = addresses_,
          .serving = serving_,
          .process = engine_.process()};
}

Task<Result<Bytes>> AdminServer::handle(engine::ControlCall call) {
  CO_TRY(request, wire::proto_decode<AdminRequest>(call.body));
  if (request.version != wire::kAdminVersion) {
    co_return fail(Errc::protocol, "admin: a request of another version");
  }
  if (request.incarnation != 0 && request.incarnation != engine_.incarnation()) {
    co_return fail(Errc::stale_map, "admin: the engine has restarted since");
  }
  if (is_peer(request.verb)) {
    CO_TRY(reply, co_await run_peer(std::move(request)));
    co_return wire::proto_encode(reply);
  }
  if (request.verb == AdminVerb::locate) {
    CO_TRY(reply, locate(request.rank));
    co_return wire::proto_encode(reply);
  }
  if (!is_member_) co_return fail(Errc::no_perm, "admin: this engine is the services' own");
  if (request.verb == AdminVerb::watch) {
    CO_TRY(reply, co_await watch(call.session));
    co_return wire::proto_encode(reply);
  }
  if (request.verb == AdminVerb::join) {
    CO_TRY(reply, co_await join(call.session));
    co_return wire::proto_encode(reply);
  }
  if (call.session == 0 || call.session != service_) {
    co_return fail(Errc::no_perm, "admin: another server has joined since");
  }
  const Inside inside(*this, call.session);
  CO_TRY(reply, co_await run(std::move(request)));
  co_return wire::proto_encode(reply);
}

/// What an earlier service asked for has ended before the new one learns what is there.
Task<Result<AdminReply>> AdminServer::join(uint64_t session) {
  if (session == 0) co_return fail(Errc::invalid, "admin: nobody's session joins");
  if (service_ != 0 && service_ != session) door_.end_session(service_);
  service_ = session;
  const auto others_inside = [this, session] {
    return !inside_.empty() && !(inside_.size() == 1 && inside_.contains(session));
  };
  while (others_inside() && !released_) co_await left_.wait();
  if (service_ != session) co_return fail(Errc::no_perm, "admin: another server has joined since");
  if (hooks_.joined) hooks_.joined(session);
  co_return about();
}

void AdminServer::end_session(uint64_t session) {
  if (session != service_) door_.end_session(session);
  const uint64_t watcher = watch_session(session);
  door_.end_session(watcher);
  watching_.erase(watcher);
  left_.wake_all();
}

Task<Result<AdminReply>> AdminServer::watch(uint64_t session) {
  watching_.insert(session);
  while (!released_ && watching_.contains(session)) co_await left_.wait();
  co_return fail(Errc::shutdown, "admin: the engine ends");
}

Result<AdminReply> AdminServer::locate(uint32_t rank) const {
  if (!hooks_.locate) return fail(Errc::not_supported, "admin: the services are elsewhere");
  AdminReply reply;
  reply.rank = rank;
  reply.addresses = hooks_.locate(rank);
  if (reply.addresses.empty()) return fail(Errc::unreachable, "admin: that engine is away");
  return reply;
}

Task<Result<AdminReply>> AdminServer::run(AdminRequest request) {
  switch (request.verb) {
    case AdminVerb::serve:
      engine_.cores().set_serving(true);
      serving_ = true;
      co_return about();
    case AdminVerb::leave:
      if (hooks_.leave) hooks_.leave();
      co_return AdminReply{};
    case AdminVerb::devices: {
      AdminReply reply;
      reply.devices = co_await engine_.host().devices();
      co_return reply;
    }
    case AdminVerb::create_pool:
    case AdminVerb::extend_pool:
    case AdminVerb::open_pool:
    case AdminVerb::settle_pool:
    case AdminVerb::close_pool:
    case AdminVerb::remove_pool:
    case AdminVerb::scrub:
    case AdminVerb::space: co_return co_await run_pool(std::move(request));
    case AdminVerb::restore_handles:
    case AdminVerb::revoke_handle:
    case AdminVerb::retain_handles:
    case AdminVerb::end_session: co_return co_await run_handles(std::move(request));
    default: co_return co_await run_container(std::move(request));
  }
}

Task<Result<AdminReply>> AdminServer::run_pool(AdminRequest request) {
  service::ShardHost& shards = engine_.host();
  const Uuid pool = request.pool;
  switch (request.verb) {
    case AdminVerb::create_pool:
      return plain(shards.create_pool(pool, targets_of(request), sizes_of(request)));
    case AdminVerb::extend_pool:
      return plain(shards.extend_pool(pool, targets_of(request), sizes_of(request)));
    case AdminVerb::open_pool:
      return plain(shards.open_pool(pool, targets_of(request), request.memory_bytes));
    case AdminVerb::settle_pool: return plain(shards.settle_pool(pool));
    case AdminVerb::close_pool: return plain(shards.close_pool(pool));
    case AdminVerb::remove_pool: return plain(shards.remove_pool(pool));
    case AdminVerb::scrub:
      return set_scrub(shards, request);
    default: break;
  }
  return space_of(shards, pool);
}

Task<Result<AdminReply>> AdminServer::run_container(AdminRequest request) {
  service::ShardHost& shards = engine_.host();
  const Uuid pool = request.pool;
  const uint32_t container = request.container;
  AdminReply reply;
  switch (request.verb) {
    case AdminVerb::destroy_container:
      co_return co_await plain(shards.destroy_container(pool, container));
    case AdminVerb::freeze: {
      CO_TRY(epoch, co_await shards.freeze_container(pool, container));
      reply.epoch = epoch;
      co_return reply;
    }
    case AdminVerb::unfreeze:
      co_await shards.unfreeze_container(pool, container, request.number);
      co_return reply;
    case AdminVerb::hold: {
      CO_TRY(epoch, co_await shards.hold_container(pool, container, request.epoch, request.number));
      reply.epoch = epoch;
      co_return reply;
    }
    case AdminVerb::add_snapshot:
      co_return co_await plain(shards.add_snapshot(pool, container, request.epoch));
    case AdminVerb::remove_snapshot:
      co_return co_await plain(shards.remove_snapshot(pool, container, request.epoch));
    case AdminVerb::snapshots: {
      CO_TRY(held, co_await shards.snapshots(pool, container, request.number));
      reply.any = std::move(held.any);
      reply.all = std::move(held.all);
      reply.held = held.held;
      co_return reply;
    }
    case AdminVerb::aggregate:
      co_return co_await plain(shards.aggregate_container(pool, container, request.epoch));
    case AdminVerb::set_worm:
      co_return co_await set_worm(shards, request);
    case AdminVerb::flattened:
      co_return co_await progress_of(shards, pool, container);
    case AdminVerb::rollback:
      co_return co_await plain(shards.rollback(pool, container, request.epoch, request.number));
    default: co_return fail(Errc::no_sys, "admin: a request that this version does not know");
  }
}

Task<Result<AdminReply>> AdminServer::run_handles(AdminRequest request) {
  service::ShardHost& shards = engine_.host();
  if (request.verb == AdminVerb::end_session) {
    co_await shards.end_session(request.session);
    co_return AdminReply{};
  }
  if (request.verb == AdminVerb::retain_handles) {
    co_return co_await plain(shards.retain(handles_of(request), request.number));
  }
  if (request.handles.empty()) co_return fail(Errc::invalid, "admin: no handle");
  if (request.verb == AdminVerb::restore_handles) {
    co_return co_await plain(shards.share(handles_of(request)));
  }
  if (request.handles.size() != 1) co_return fail(Errc::invalid, "admin: not one handle");
  co_await shards.revoke(ref_of(request.handles.front()));
  co_return AdminReply{};
}

/// A prepared part comes as an object message: parsed as one of a client's.
Task<Result<AdminReply>> AdminServer::run_peer(AdminRequest request) {
  engine::PeerRequest asked{.verb = peer_verb(request.verb),
                            .pool = request.pool,
                            .id = {.high = request.tx_high, .low = request.tx_low},
                            .epoch = request.epoch,
                            .container = request.container};
  std::unique_ptr<wire::DecodedRequest> decoded;
  if (asked.verb == engine::PeerVerb::prepare) {
    CO_TRY(parsed, wire::decode_request(std::move(request.body)));
    decoded = std::move(parsed);
    if (decoded->error.code() != Errc::ok) co_return fail(decoded->error);
    asked.body = std::get_if<wire::ObjectTransact>(&decoded->request.body);
    if (asked.body == nullptr) co_return fail(Errc::protocol, "admin: not a transaction");
  }
  CO_TRY(answer, co_await engine_.cores().serve_peer(asked));
  AdminReply reply;
  reply.epoch = answer.epoch;
  reply.open = answer.open;
  co_return reply;
}

}  // namespace cairn::embed
