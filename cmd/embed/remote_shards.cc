#include "cmd/embed/remote_shards.h"

#include "wire/worm.h"

namespace cairn::embed {

using wire::AdminReply;
using wire::AdminRequest;
using wire::AdminVerb;

namespace {

/// Between two looks at whether an engine has come.
constexpr Duration kLookAgain = 10 * kMillisecond;

AdminRequest about_pool(AdminVerb verb, const Uuid& pool) {
  AdminRequest out;
  out.verb = verb;
  out.pool = pool;
  return out;
}

AdminRequest about_container(AdminVerb verb, const Uuid& pool, uint32_t container,
                             model::Epoch epoch = 0, uint64_t number = 0) {
  AdminRequest out = about_pool(verb, pool);
  out.container = container;
  out.epoch = epoch;
  out.number = number;
  return out;
}

AdminRequest about_targets(AdminVerb verb, const Uuid& pool, const service::Targets& targets) {
  AdminRequest out = about_pool(verb, pool);
  for (const model::TargetId& target : targets) {
    out.targets.push_back({.rank = target.rank, .index = target.index});
  }
  return out;
}

AdminRequest about_shards(AdminVerb verb, Uuid pool, const service::Targets& targets,
                          const service::ShardSizes& sizes) {
  AdminRequest request = about_targets(verb, pool, targets);
  request.wal_bytes = sizes.wal_bytes;
  request.meta_bytes = sizes.meta_bytes;
  request.data_bytes = sizes.data_bytes;
  request.memory_bytes = sizes.memory_bytes;
  return request;
}

wire::AdminHandle handle_of(const service::Grant& grant, wire::HandleRef handle) {
  return {.index = handle.index,
          .generation = handle.generation,
          .pool = grant.pool,
          .container = grant.container,
          .writable = grant.writable,
          .session = grant.session};
}

}  // namespace

void RemoteShards::come(const AdminReply& about) {
  info_ = {.rank = rank_,
           .incarnation = about.incarnation,
           .addresses = about.addresses,
           .state = wire::EngineState::starting,
           .process = about.process,
           .host = std::move(info_.host)};
}

void RemoteShards::serve() { info_.state = wire::EngineState::joined; }

void RemoteShards::leave() {
  info_.incarnation = 0;
  info_.process = 0;
  info_.state = wire::EngineState::away;
}

Task<Result<AdminReply>> RemoteShards::ask(AdminRequest request) {
  if (!is_there()) co_return fail(Errc::unreachable, "engine: it is away; try again later");
  request.incarnation = info_.incarnation;
  auto answer = co_await link_.ask(rank_, std::move(request));
  // Another incarnation has caught up with nothing yet, another server's engine is not ours.
  if (!answer && (answer.error().code() == Errc::stale_map)) {
    co_return fail(Errc::unreachable, "engine: it has restarted; try again later");
  }
  co_return answer;
}

Task<Result<void>> RemoteShards::command(AdminRequest request) {
  CO_TRY(answer, co_await ask(std::move(request)));
  co_return Result<void>{};
}

Task<Result<void>> RemoteShards::ready(Uuid, service::Targets) {
  const Instant give_up = reactor_.clock().now() + patience_ns_;
  while (!serves() && !stopped_ && reactor_.clock().now() < give_up) {
    co_await reactor_.sleep(kLookAgain);
  }
  if (!serves()) {
    co_return fail(Errc::unreachable, "engine: one of the home's engines is away; try again later");
  }
  co_return Result<void>{};
}

Task<Result<void>> RemoteShards::create_pool(Uuid pool, service::Targets targets,
                                             service::ShardSizes sizes) {
  return command(about_shards(AdminVerb::create_pool, pool, targets, sizes));
}

Task<Result<void>> RemoteShards::extend_pool(Uuid pool, service::Targets targets,
                                             service::ShardSizes sizes) {
  return command(about_shards(AdminVerb::extend_pool, pool, targets, sizes));
}

Task<Result<void>> RemoteShards::open_pool(Uuid pool, service::Targets targets,
                                           uint64_t memory_bytes) {
  AdminRequest request = about_targets(AdminVerb::open_pool, pool, targets);
  request.memory_bytes = memory_bytes;
  return command(std::move(request));
}

Task<Result<void>> RemoteShards::settle_pool(Uuid pool) {
  return command(about_pool(AdminVerb::settle_pool, pool));
}

Task<Result<void>> RemoteShards::set_scrub(Uuid pool, model::ScrubPolicy policy) {
  AdminRequest request = about_pool(AdminVerb::scrub, pool);
  request.scrub_mode = static_cast<uint32_t>(policy.mode);
  request.scrub_frequency = policy.frequency_s;
  request.scrub_threshold = policy.threshold;
  return command(std::move(request));
}

Task<Result<void>> RemoteShards::close_pool(Uuid pool) {
  return command(about_pool(AdminVerb::close_pool, pool));
}

Task<Result<void>> RemoteShards::remove_pool(Uuid pool) {
  return command(about_pool(AdminVerb::remove_pool, pool));
}

Task<Result<void>> RemoteShards::destroy_container(Uuid pool, uint32_t container) {
  return command(about_container(AdminVerb::destroy_container, pool, container));
}

Task<Result<model::Epoch>> RemoteShards::freeze_container(Uuid pool, uint32_t container) {
  CO_TRY(answer, co_await ask(about_container(AdminVerb::freeze, pool, container)));
  co_return answer.epoch;
}

Task<void> RemoteShards::unfreeze_container(Uuid pool, uint32_t container, uint64_t holds_over) {
  // Where it does not arrive, a freeze ends by itself, and a hold when the engine joins again.
  [[maybe_unused]] const auto done =
      co_await command(about_container(AdminVerb::unfreeze, pool, container, 0, holds_over));
}

Task<Result<void>> RemoteShards::add_snapshot(Uuid pool, uint32_t container, model::Epoch epoch) {
  return command(about_container(AdminVerb::add_snapshot, pool, container, epoch));
}

Task<Result<void>> RemoteShards::remove_snapshot(Uuid pool, uint32_t container,
                                                 model::Epoch epoch) {
  return command(about_container(AdminVerb::remove_snapshot, pool, container, epoch));
}

Task<Result<service::HeldSnapshots>> RemoteShards::snapshots(Uuid pool, uint32_t container,
                                                             uint64_t holds_over) {
  CO_TRY(answer,
         co_await ask(about_container(AdminVerb::snapshots, pool, container, 0, holds_over)));
  co_return service::HeldSnapshots{std::move(answer.any), std::move(answer.all), answer.held};
}

Task<Result<model::Epoch>> RemoteShards::hold_container(Uuid pool, uint32_t container,
                                                        model::Epoch epoch, uint64_t number) {
  CO_TRY(answer, co_await ask(about_container(AdminVerb::hold, pool, container, epoch, number)));
  co_return answer.epoch;
}

Task<Result<void>> RemoteShards::rollback(Uuid pool, uint32_t container, model::Epoch epoch,
                                          model::Epoch at) {
  return command(about_container(AdminVerb::rollback, pool, container, epoch, at));
}

Task<Result<void>> RemoteShards::aggregate_container(Uuid pool, uint32_t container,
                                                     model::Epoch until) {
  return command(about_container(AdminVerb::aggregate, pool, container, until));
}

Task<Result<void>> RemoteShards::set_worm(Uuid pool, uint32_t container, model::WormPolicy policy,
                                          uint64_t order) {
  AdminRequest request = about_container(AdminVerb::set_worm, pool, container, 0, order);
  request.worm = wire::worm_of(policy);
  return command(std::move(request));
}

Task<Result<service::ContProgress>> RemoteShards::flatten_progress(Uuid pool, uint32_t container) {
  CO_TRY(answer, co_await ask(about_container(AdminVerb::flattened, pool, container)));
  co_return service::ContProgress{.progress = wire::progress_of(answer.progress)};
}

Task<Result<service::ShardSpace>> RemoteShards::space(Uuid pool) {
  CO_TRY(answer, co_await ask(about_pool(AdminVerb::space, pool)));
  co_return service::ShardSpace{.data_total = answer.space.data_total,
                                .data_free = answer.space.data_free,
                                .meta_total = answer.space.meta_total,
                                .meta_free = answer.space.meta_free,
                                .meta_used = answer.space.meta_used};
}

Task<std::vector<wire::DeviceReply>> RemoteShards::devices() {
  AdminRequest request;
  request.verb = AdminVerb::devices;
  auto answer = co_await ask(std::move(request));
  if (!answer) co_return std::vector<wire::DeviceReply>{};
  co_return std::move(answer->devices);
}

Result<wire::HandleRef> RemoteShards::grant(const service::Grant&) {
  return fail(Errc::not_supported, "engine: another one grants");
}

Task<Result<void>> RemoteShards::share(service::Handles handles) {
  AdminRequest request;
  request.verb = AdminVerb::restore_handles;
  for (const auto& [grant, handle] : handles) request.handles.push_back(handle_of(grant, handle));
  return command(std::move(request));
}

Task<Result<void>> RemoteShards::restore(service::Grant grant, wire::HandleRef handle) {
  return share({{grant, handle}});
}

Task<Result<void>> RemoteShards::retain(service::Handles handles, uint64_t as_of_ns) {
  AdminRequest request;
  request.number = as_of_ns;
  request.verb = AdminVerb::retain_handles;
  for (const auto& [grant, handle] : handles) request.handles.push_back(handle_of(grant, handle));
  return command(std::move(request));
}

Task<void> RemoteShards::revoke(wire::HandleRef handle) {
  AdminRequest request;
  request.verb = AdminVerb::revoke_handle;
  request.handles.push_back(handle_of({}, handle));
  // An engine that did not hear of it hears what is left when it comes back.
  [[maybe_unused]] const auto done = co_await command(std::move(request));
}

Task<void> RemoteShards::end_session(uint64_t session) {
  AdminRequest request;
  request.verb = AdminVerb::end_session;
  request.session = session;
  [[maybe_unused]] const auto done = co_await command(std::move(request));
}

}  // namespace cairn::embed
