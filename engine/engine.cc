#include "engine/engine.h"

#include <algorithm>

#include "engine/engine_state.h"
#include "engine/transact.h"
#include "wire/codec.h"
#include "wire/limits.h"

namespace cairn::engine {

namespace {

using Use = HandleTable::Use;

vos::ObjectPath path_of(const Use& use, const wire::ObjectAddress& object) {
  return {.container = use.spec().container, .oid = object.oid, .shard = object.shard};
}

vos::Origin origin_of(const wire::Header& header) {
  return {.session = header.session,
          .sequence = header.sequence,
          .acknowledged_below = header.acknowledged_below};
}

bool in_transaction(const wire::Header& header) {
  return header.transaction_lo != 0 || header.transaction_hi != 0;
}
/// Of a plain read. 0 in the message: the newest.
model::Epoch read_epoch(const wire::Header& header) {
  return header.epoch == 0 ? model::kEpochMax : header.epoch;
}
/// Of any read. In a transaction 0 means that the shard picks what it has committed last. Where it
/// may go on to other shards, that could be old for them: then it is above what all have issued.
model::Epoch wanted_epoch(const Use& use, const wire::Header& header) {
  if (!in_transaction(header)) return read_epoch(header);
  const bool alone = use.shards().size() == 1 && !use.spec().spread;
  if (header.epoch != 0 || alone) return header.epoch;
  // What the client has seen of other engines, too.
  model::Epoch newest = use.spec().spread && header.hlc < model::kEpochMax ? header.hlc + 1 : 0;
  for (vos::Shard* const shard : use.shards()) {
    if (shard != nullptr) newest = std::max(newest, shard->draw_epoch());
  }
  return newest;
}

/// Takes the outcome of an operation that answers with an epoch.
void set_epoch(wire::Reply& reply, const Result<model::Epoch>& epoch) {
  if (epoch) {
    reply.header.epoch = *epoch;
  } else {
    reply.error = epoch.error();
  }
}
/// Takes the outcome of one that answers with a body, and, if it tells, the epoch it was read at.
template <class T>
void set_body(wire::Reply& reply, Result<T> body) {
  if (body) {
    if constexpr (requires { body->epoch; }) reply.header.epoch = body->epoch;
    reply.body = std::move(*body);
  } else {
    reply.error = body.error();
  }
}

/// How long an operation waits for a transaction over several targets that this engine decides: it
/// needs some writes to the media. Longer only if a shard has stopped.
constexpr int kPausesMax = 2000;
constexpr Duration kPause = 5 * kMillisecond;

template <class T>
bool is_blocked(const Result<T>& done) {
  return !done && done.error().code() == Errc::in_progress;
}
/// Runs `op` until nothing stands in its way. It has changed nothing when it is blocked.
template <class T, class Op>
Task<Result<T>> patiently(Reactor& reactor, Op op) {
  for (int pauses = 0;; ++pauses) {
    co_await reactor.sleep(kPause);
    Result<T> done = co_await op();
    if (!is_blocked(done) || pauses == kPausesMax) co_return done;
  }
}

// The handlers. `request` and `reply` are the caller's and outlive the task; `use` and `hold` leave
// with the frame.

/// @param finals  of the shard, if the update is the last one of its object
Task<Result<void>> run_update(Gate::Hold, Use use, Reactor& reactor, Flattener* finals,
                              wire::Request& request, wire::Reply& reply) {
  auto& body = std::get<wire::ObjectUpdate>(request.body);
  vos::UpdateRequest update{.object = path_of(use, body.object),
                            .dkey = body.dkey,
                            .iods = std::move(body.iods),
                            .flags = body.flags & ~model::cond::kFinal,
                            .epoch = request.header.epoch,
                            .origin = origin_of(request.header)};
  auto done = co_await use.shard().update(update);
  if (is_blocked(done)) {
    done = co_await patiently<model::Epoch>(reactor, [&] { return use.shard().update(update); });
  }
  set_epoch(reply, done);
  if (done && finals != nullptr) finals->note_final(update.object);
  body.iods = std::move(update.iods);
  co_return Result<void>{};
}

Task<Result<void>> run_punch(Gate::Hold, Use use, Reactor& reactor, wire::Request& request,
                             wire::Reply& reply) {
  auto& body = std::get<wire::ObjectPunch>(request.body);
  vos::PunchRequest punch{.object = path_of(use, body.object),
                          .level = static_cast<vos::PunchRequest::Level>(body.level),
                          .dkey = body.dkey,
                          .akeys = std::move(body.akeys),
                          .flags = body.flags,
                          .epoch = request.header.epoch,
                          .origin = origin_of(request.header)};
  auto done = co_await use.shard().punch(punch);
  if (is_blocked(done)) {
    done = co_await patiently<model::Epoch>(reactor, [&] { return use.shard().punch(punch); });
  }
  set_epoch(reply, done);
  body.akeys = std::move(punch.akeys);
  co_return Result<void>{};
}
static_assert(static_cast<int>(wire::PunchLevel::object) ==
              static_cast<int>(vos::PunchRequest::Level::object));
static_assert(static_cast<int>(wire::PunchLevel::dkey) ==
              static_cast<int>(vos::PunchRequest::Level::dkey));
static_assert(static_cast<int>(wire::PunchLevel::akeys) ==
              static_cast<int>(vos::PunchRequest::Level::akeys));

Task<Result<void>> run_fetch(Gate::Hold, Use use, Reactor& reactor, wire::Request& request,
                             wire::Reply& reply) {
  auto& body = std::get<wire::ObjectFetch>(request.body);
  vos::FetchRequest fetch{.object = path_of(use, body.object),
                          .dkey = body.dkey,
                          .iods = std::move(body.iods),
                          .flags = body.flags,
                          .epoch = wanted_epoch(use, request.header),
                          .transactional = in_transaction(request.header)};
  auto done = co_await use.shard().fetch(fetch);
  if (is_blocked(done)) {
    done = co_await patiently<model::Fetched>(reactor, [&] { return use.shard().fetch(fetch); });
  }
  set_body(reply, std::move(done));
  body.iods = std::move(fetch.iods);
  co_return Result<void>{};
}

Task<Result<void>> run_list(Gate::Hold, Use use, Reactor& reactor, wire::Request& request,
                            wire::Reply& reply) {
  auto& body = std::get<wire::ObjectList>(request.body);
  const vos::ObjectPath path = path_of(use, body.object);
  body.request.transactional = in_transaction(request.header);
  const model::Epoch epoch = wanted_epoch(use, request.header);
  auto done = co_await use.shard().list(path, body.request, epoch);
  if (is_blocked(done)) {
    done = co_await patiently<model::Listed>(
        reactor, [&] { return use.shard().list(path, body.request, epoch); });
  }
  set_body(reply, std::move(done));
  co_return Result<void>{};
}

Task<Result<void>> run_query_key(Gate::Hold, Use use, Reactor& reactor, wire::Request& request,
                                 wire::Reply& reply) {
  auto& body = std::get<wire::ObjectQueryKey>(request.body);
  const vos::ObjectPath path = path_of(use, body.object);
  body.request.transactional = in_transaction(request.header);
  const model::Epoch epoch = wanted_epoch(use, request.header);
  auto done = co_await use.shard().query_key(path, body.request, epoch);
  if (is_blocked(done)) {
    done = co_await patiently<model::QueriedKey>(
        reactor, [&] { return use.shard().query_key(path, body.request, epoch); });
  }
  set_body(reply, std::move(done));
  co_return Result<void>{};
}

Task<Result<void>> run_max_epoch(Gate::Hold, Use use, wire::Request& request, wire::Reply& reply) {
  const vos::ObjectPath path = path_of(use, std::get<wire::ObjectMaxEpoch>(request.body).object);
  set_epoch(reply, co_await use.shard().max_epoch(path, read_epoch(request.header)));
  co_return Result<void>{};
}

Task<Result<void>> run_position_of(Gate::Hold, Use use, wire::Request& request,
                                   wire::Reply& reply) {
  const auto& body = std::get<wire::ObjectPositionOf>(request.body);
  set_body(reply, use.shard().position_of(path_of(use, body.object), body.what, body.key));
  co_return Result<void>{};
}

Task<Result<void>> run_transact(Gate::Hold, Use use, Reactor& reactor, Decider& decider,
                                const Seat& here, wire::Request& request, wire::Reply& reply) {
  auto& body = std::get<wire::ObjectTransact>(request.body);
  auto cut = cut_transaction(body, here, use.shards(), use.spec().container);
  if (!cut) {
    reply.error = cut.error();
    co_return Result<void>{};
  }
  WideTransaction& tx = cut->tx;
  tx.pool = use.spec().pool;
  tx.origin = origin_of(request.header);
  Result<vos::Transacted> done{vos::Transacted{}};
  if (tx.parts.size() == 1 && tx.away.empty()) {
    WideTransaction::Part& only = tx.parts[0];
    only.request.origin = tx.origin;
    done = co_await only.shard->transact(only.request);
    if (is_blocked(done)) {
      done = co_await patiently<vos::Transacted>(
          reactor, [&] { return only.shard->transact(only.request); });
    }
  } else {
    done = co_await decider.decide(tx);
  }
  give_back(*cut, body);
  if (!done) {
    reply.error = done.error();
  } else if (done->status != Errc::ok) {
    reply.error = Error{done->status, done->what};
  } else {
    reply.header.epoch = done->epoch;
  }
  co_return Result<void>{};
}

Task<Result<void>> run_list_objects(Gate::Hold, Use use, wire::Request& request,
                                    wire::Reply& reply) {
  const auto& body = std::get<wire::ListObjects>(request.body);
  if (body.count_max == 0) {
    reply.error = Error{Errc::invalid, "engine: a list of nothing"};
    co_return Result<void>{};
  }
  auto listed = co_await use.shard().list_objects(
      use.spec().container, read_epoch(request.header),
      Bytes(body.position.begin(), body.position.end()), body.count_max);
  if (!listed) {
    reply.error = listed.error();
    co_return Result<void>{};
  }
  reply.body = wire::ListedObjects{
      .oids = std::move(listed->oids), .position = std::move(listed->position), .eof = listed->eof};
  co_return Result<void>{};
}

Task<Result<void>> run_diff(Gate::Hold, Use use, wire::Request& request, wire::Reply& reply) {
  const auto& body = std::get<wire::DiffSnapshots>(request.body);
  if (body.count_max == 0) {
    reply.error = Error{Errc::invalid, "engine: a list of nothing"};
    co_return Result<void>{};
  }
  auto found = co_await use.shard().diff_snapshots(
      use.spec().container, body.older, body.newer,
      Bytes(body.position.begin(), body.position.end()), body.count_max);
  if (!found) {
    reply.error = found.error();
    co_return Result<void>{};
  }
  wire::Differences out{.position = std::move(found->position), .eof = found->eof};
  for (vos::Difference& difference : found->differences) {
    out.differences.push_back({.object = {.oid = difference.oid, .shard = difference.shard},
                               .kind = static_cast<wire::Difference::Kind>(difference.change),
                               .dkey = std::move(difference.dkey),
                               .akey = std::move(difference.akey)});
  }
  reply.body = std::move(out);
  co_return Result<void>{};
}
static_assert(static_cast<int>(wire::Difference::Kind::removed) ==
              static_cast<int>(vos::Difference::Change::removed));
static_assert(static_cast<int>(wire::Difference::Kind::changed) ==
              static_cast<int>(vos::Difference::Change::changed));

Task<Result<void>> run_control(Gate::Hold, ControlHandler& handler, wire::Request& request,
                               wire::Reply& reply) {
  set_body(reply, co_await handler({.session = request.header.session,
                                    .sequence = request.header.sequence,
                                    .acknowledged_below = request.header.acknowledged_below,
                                    .resend = (request.header.flags & wire::kFlagResend) != 0,
                                    .body = std::get<wire::Control>(request.body).body}));
  co_return Result<void>{};
}

Task<Result<void>> refuse(wire::Reply& reply, Error error) {
  reply.error = error;
  co_return Result<void>{};
}

/// Behind `head_bytes` of room.
fabric::Message encoded(wire::DecodedRequest& decoded, const wire::Reply& reply,
                        size_t head_bytes) {
  fabric::Message out{.head = Bytes(head_bytes), .bulk = std::move(decoded.fetch_room)};
  wire::encode_reply(decoded.request, reply, out.head, &out.bulk);
  return out;
}

void open_session(const HandleSpec& spec, const PoolShards& shards) {
  if (spec.session == 0) return;
  for (vos::Shard* const shard : shards) {
    if (shard != nullptr) shard->open_session(spec.session);
  }
}

}  // namespace

Engine::Engine(Reactor& reactor, EngineOptions options)
    : state_(std::make_unique<State>(reactor, options)) {
  state_->decider.set_doubt_hook([s = state_.get()](const Uuid& pool) { s->watch_later(pool); });
}
Engine::~Engine() = default;

void Engine::set_control(ControlHandler handler) { state_->control = std::move(handler); }

void Engine::set_serving(bool serving) { state_->serving = serving; }

void Engine::add_shard(const Uuid& pool, uint32_t target, vos::Shard& shard) {
  CHECK(target < state_->options.target_count);
  CHECK(state_->seat.map.core_of(target) == state_->seat.core);
  CHECK(this->shard(pool, target) == nullptr);
  State& s = *state_;
  std::string name = "pool " + to_string(pool) + ", rank " + std::to_string(s.options.rank) +
                     ", target " + std::to_string(target);
  auto scrubber = std::make_unique<Scrubber>(s.reactor, shard, name, s.requests);
  if (const auto policy = s.scrubs.find(pool); policy != s.scrubs.end()) {
    scrubber->set_policy(policy->second);
  }
  auto flattener = std::make_unique<Flattener>(
      s.reactor, shard, std::move(name), s.requests,
      [&shard](vos::ContNumber container) { return shard.worm_policy(container); });
  s.shards.push_back({pool, target, &shard, std::move(scrubber), std::move(flattener)});
  s.watch_reads();
}

void Engine::set_scrub(const Uuid& pool, const model::ScrubPolicy& policy) {
  state_->scrubs[pool] = policy;
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool) entry.scrubber->set_policy(policy);
  }
}

Task<void> Engine::remove_shards(Uuid pool) {
  State& s = *state_;
  s.scrubs.erase(pool);
  std::vector<State::PoolShard> gone;
  for (auto& entry : s.shards) {
    if (entry.pool == pool) gone.push_back(std::move(entry));
  }
  std::erase_if(s.shards, [](const auto& entry) { return entry.scrubber == nullptr; });
  s.watch_reads();
  for (const State::PoolShard& entry : gone) {
    co_await entry.scrubber->stop();
    co_await entry.flattener->stop();
  }
  co_await s.handles.remove_if([pool](const HandleSpec& spec) { return spec.pool == pool; });
  while (s.pools.contains(pool) && s.pools[pool].inside != 0) co_await s.peers_left.wait();
  s.pools.erase(pool);
}

std::optional<Scrubber::Facts> Engine::scrub_facts(const Uuid& pool, uint32_t target) const {
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool && entry.target == target) return entry.scrubber->facts();
  }
  return std::nullopt;
}

vos::Shard* Engine::shard(const Uuid& pool, uint32_t target) const {
  for (const auto& entry : state_->shards) {
    if (entry.pool == pool && entry.target == target) return entry.shard;
  }
  return nullptr;
}

/// By target; empty where the pool has none here.
PoolShards Engine::State::shards_of(const Uuid& pool) const {
  PoolShards found;
  for (const PoolShard& entry : shards) {
    if (entry.pool != pool) continue;
    if (found.size() <= entry.target) found.resize(entry.target + 1);
    found[entry.target] = entry.shard;
  }
  return found;
}

Result<wire::HandleRef> Engine::add_handle(const HandleSpec& spec) {
  const PoolShards found = state_->shards_of(spec.pool);
  // A pool may be on other engines only; then this one still gives out its references.
  const bool served = !found.empty() || state_->pools.contains(spec.pool);
  if (!served) return fail(Errc::nonexistent, "engine: no shard of that pool here");
  TRY(handle, state_->handles.add(spec, found));
  open_session(spec, found);
  return handle;
}

Task<Result<void>> Engine::restore_handle(HandleSpec spec, wire::HandleRef handle) {
  co_await state_->handles.make_room(handle);
  const PoolShards found = state_->shards_of(spec.pool);
  CO_TRY(restored, state_->handles.restore(spec, found, handle));
  // What the shards know of the session from their logs stays.
  open_session(spec, found);
  co_return Result<void>{};
}

Task<Result<void>> Engine::retain_handles(
    std::vector<std::pair<HandleSpec, wire::HandleRef>> handles, uint64_t as_of_ns) {
  std::vector<wire::HandleRef> refs;
  for (const auto& [spec, handle] : handles) refs.push_back(handle);
  const auto closing = state_->handles.close_others(std::move(refs), as_of_ns);
  Result<void> first;
  for (const auto& [spec, handle] : handles) {
    const auto restored = co_await restore_handle(spec, handle);
    if (first && !restored) first = restored;
  }
  state_->handles.note_all_heard();
  co_await state_->handles.wait_until_left(closing);
  co_return first;
}

Task<Result<void>> Engine::remove_handle(wire::HandleRef handle) {
  return state_->handles.remove(handle);
}

Task<void> Engine::evict_container(Uuid pool, vos::ContNumber container) {
  return state_->handles.remove_if([pool, container](const HandleSpec& spec) {
    return spec.pool == pool && spec.container == container;
  });
}

size_t Engine::handle_count() const { return state_->handles.count(); }

void Engine::end_session(uint64_t session) { state_->resends.forget(session); }

Task<void> Engine::stop() {
  State& s = *state_;
  co_await s.gate.close();
  // By index: one may go while another one is waited for.
  for (size_t i = 0; i < s.shards.size(); ++i) {
    co_await s.shards[i].scrubber->stop();
    if (i < s.shards.size()) co_await s.shards[i].flattener->stop();
  }
}

Task<Result<void>> Engine::serve(void* request, void* reply) {
  return state_->serve(*static_cast<wire::Request*>(request), *static_cast<wire::Reply*>(reply));
}

bool Engine::serve_at_once(void* request, void* reply) {
  return state_->fetch_at_once(*static_cast<wire::Request*>(request),
                               *static_cast<wire::Reply*>(reply));
}

Task<Bytes> Engine::serve_bytes(Bytes message) {
  fabric::Message out = co_await serve_message(std::move(message), 0);
  co_return std::move(out).joined();
}

Task<fabric::Message> Engine::serve_message(Buffer message, size_t head_bytes) {
  Begun begun = begin_message(std::move(message), head_bytes);
  if (begun.rest.valid()) co_return co_await std::move(begun.rest);
  co_return std::move(begun.message);
}

fabric::Service::Begun Engine::begin_message(Buffer message, size_t head_bytes) {
  auto decoded = wire::decode_request(std::move(message));
  if (!decoded) return {};  // nobody to answer to
  wire::DecodedRequest& d = **decoded;
  Begun out;
  wire::Reply reply;
  if (d.error.code() != Errc::ok) {
    out.message.head.resize(head_bytes);
    state_->start_reply(d.request, reply);
    wire::encode_error(reply.header, d.opcode, d.error.code(), out.message.head);
  } else if (state_->fetch_at_once(d.request, reply)) {
    out.message = encoded(d, reply, head_bytes);
  } else {
    out.rest = state_->serve_decoded(std::move(*decoded), head_bytes);
  }
  return out;
}

Task<fabric::Message> Engine::State::serve_decoded(std::unique_ptr<wire::DecodedRequest> decoded,
                                                   size_t head_bytes) {
  wire::Reply reply;
  co_await serve_once(decoded->request, reply);
  co_return encoded(*decoded, reply, head_bytes);
}

void Engine::State::start_reply(const wire::Request& request, wire::Reply& reply) const {
  reply.header = wire::Header{};
  reply.header.system = options.system;
  reply.header.sender_rank = options.rank;
  reply.header.sender_incarnation = options.incarnation;
  reply.header.target = request.header.target;
  reply.header.map_version = request.header.map_version;
  reply.header.session = request.header.session;
  reply.header.sequence = request.header.sequence;
}

Result<void> Engine::State::admit(const wire::Header& header) const {
  if (!header.system.is_nil() && !options.system.is_nil() && header.system != options.system) {
    return fail(Errc::protocol, "engine: the client means another system; check its configuration");
  }
  if (header.target >= options.target_count) {
    return fail(Errc::nonexistent, "engine: no such target here");
  }
  if (header.target_incarnation != 0 && header.target_incarnation != options.incarnation) {
    return fail(Errc::stale_map, "engine: restarted since the client's map");
  }
  return {};
}

/// A plain function: the handler's task is the whole call.
Task<Result<void>> Engine::State::serve(wire::Request& request, wire::Reply& reply) {
  start_reply(request, reply);
  auto hold = gate.enter();
  if (!hold) return refuse(reply, hold.error());
  if (const auto admitted = admit(request.header); !admitted) {
    return refuse(reply, admitted.error());
  }
  if (request.opcode() != wire::Opcode::control) {
    return serve_object(std::move(*hold), request, reply);
  }
  if (!control) return refuse(reply, {Errc::not_supported, "engine: no services here"});
  return run_control(std::move(*hold), control, request, reply);
}

Task<Result<void>> Engine::State::serve_object(Gate::Hold hold, wire::Request& request,
                                               wire::Reply& reply) {
  const wire::Opcode opcode = request.opcode();
  if (!serving) return refuse(reply, {Errc::unreachable, "engine: it does not serve yet"});
  ++requests;
  auto use = handles.use(request.header.handle, request.header.session, request.header.target);
  if (!use) return refuse(reply, use.error());
  const bool writes = opcode == wire::Opcode::update || opcode == wire::Opcode::punch ||
                      opcode == wire::Opcode::transact || opcode == wire::Opcode::flatten;
  if (writes && !use->spec().writable) {
    return refuse(reply, {Errc::no_perm, "engine: the container was opened for reading only"});
  }
  const bool reads = opcode == wire::Opcode::fetch || opcode == wire::Opcode::list ||
                     opcode == wire::Opcode::query_key;
  if (in_transaction(request.header) && !reads) {
    return refuse(reply, {Errc::not_supported, "engine: no transaction over several shards yet"});
  }
  if (watches_reads && reads) note_read(use->shard(), request);
  switch (opcode) {
    case wire::Opcode::update: {
      const bool last =
          (std::get<wire::ObjectUpdate>(request.body).flags & model::cond::kFinal) != 0;
      Flattener* const finals = last ? flattener_of(use->shard()) : nullptr;
      return run_update(std::move(hold), std::move(*use), reactor, finals, request, reply);
    }
    case wire::Opcode::punch:
      return run_punch(std::move(hold), std::move(*use), reactor, request, reply);
    case wire::Opcode::fetch:
      return run_fetch(std::move(hold), std::move(*use), reactor, request, reply);
    case wire::Opcode::list:
      return run_list(std::move(hold), std::move(*use), reactor, request, reply);
    case wire::Opcode::query_key:
      return run_query_key(std::move(hold), std::move(*use), reactor, request, reply);
    case wire::Opcode::max_epoch:
      return run_max_epoch(std::move(hold), std::move(*use), request, reply);
    case wire::Opcode::position_of:
      return run_position_of(std::move(hold), std::move(*use), request, reply);
    case wire::Opcode::transact:
      return run_transact(std::move(hold), std::move(*use), reactor, decider, seat, request, reply);
    case wire::Opcode::list_objects:
      return run_list_objects(std::move(hold), std::move(*use), request, reply);
    case wire::Opcode::diff:
      return run_diff(std::move(hold), std::move(*use), request, reply);
    case wire::Opcode::flatten:
      return flatten(std::move(hold), std::move(*use), request, reply);
    case wire::Opcode::control:
      break;
  }
  return refuse(reply, {Errc::protocol, "engine: an operation that this version does not know"});
}

/// Whatever is not the common case, errors included, is serve()'s.
bool Engine::State::fetch_at_once(wire::Request& request, wire::Reply& reply) {
  auto* const body = std::get_if<wire::ObjectFetch>(&request.body);
  const wire::Header& header = request.header;
  if (body == nullptr || in_transaction(header) || !serving || gate.closed()) return false;
  if (header.sequence != 0) return false;
  if (!admit(header)) return false;
  const auto use = handles.use(header.handle, header.session, header.target);
  if (!use) return false;
  start_reply(request, reply);
  vos::FetchRequest fetch{.object = path_of(*use, body->object),
                          .dkey = body->dkey,
                          .iods = std::move(body->iods),
                          .flags = body->flags,
                          .epoch = read_epoch(header)};
  auto& found = reply.body.emplace<model::Fetched>();
  const auto done = use->shard().fetch_at_once(fetch, found);
  body->iods = std::move(fetch.iods);
  if (done && *done) {
    ++requests;
    if (watches_reads) note_read(use->shard(), request);
    return true;
  }
  reply.body = {};
  return false;
}

Task<void> Engine::State::serve_once(wire::Request& request, wire::Reply& reply) {
  const wire::Header& header = request.header;
  const bool once = header.session != 0 && header.sequence != 0;
  if (once) {
    start_reply(request, reply);
    const auto earlier =
        co_await resends.begin(header.session, header.sequence, header.acknowledged_below);
    if (!earlier) {
      reply.error = earlier.error();
      co_return;
    }
    if (*earlier != nullptr) {
      reply.error = (*earlier)->error;
      if (reply.error.code() == Errc::ok) reply.body = (*earlier)->answer;
      co_return;
    }
  }
  const Result<void> served = co_await serve(request, reply);
  if (!served) reply.error = served.error();
  if (once) resends.end(request, reply);
}

}  // namespace cairn::engine
