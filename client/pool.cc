#include <algorithm>

#include "client/system_impl.h"

namespace cairn::client {
namespace {

constexpr uint32_t kRedundancyFactor = 0x1007;   // DAOS_PROP_CO_REDUN_FAC

/// The targets of the generation that the container was made in. A service of before there were
/// several says nothing: then there is one. @error protocol  none, or one twice
Result<layout::PoolMap> map_of(const wire::ControlReply& reply) {
  layout::PoolMap map;
  if (reply.map.targets.empty()) return map;
  const uint32_t own = reply.conts.empty() ? 0 : reply.conts.front().generation;
  map.version = reply.map.version;
  map.generation = own != 0 ? own : reply.map.generation;
  map.targets.clear();
  for (const wire::Target& target : reply.map.targets) {
    if (target.generation > map.generation) continue;
    map.targets.push_back({.id = {target.rank, target.index}, .weight = target.weight});
  }
  std::ranges::sort(map.targets, {}, &layout::PlacementTarget::id);
  const auto twice = std::ranges::adjacent_find(map.targets, {}, &layout::PlacementTarget::id);
  if (map.targets.empty() || twice != map.targets.end()) {
    return fail(Errc::protocol, "container: opened with a pool map that cannot be");
  }
  layout::set_shape(map);
  return map;
}

}  // namespace

Task<Result<PoolInfo>> PoolImpl::query() {
  CO_TRY(reply, co_await system_.control(request(wire::Op::pool_query)));
  if (reply.pools.size() != 1) co_return fail(Errc::protocol, "pool query: not one answer");
  co_return from_wire(reply.pools.front());
}

Task<Result<void>> PoolImpl::disconnect() {
  return system_.command(request(wire::Op::pool_disconnect));
}

Task<Result<Attrs>> PoolImpl::attrs() {
  CO_TRY(reply, co_await system_.control(request(wire::Op::pool_attrs)));
  co_return from_wire(std::move(reply.attrs));
}

Task<Result<void>> PoolImpl::set_attrs(Attrs attrs) {
  auto wanted = request(wire::Op::pool_set_attrs);
  wanted.attrs = to_wire(attrs);
  return system_.command(std::move(wanted));
}

Task<Result<void>> PoolImpl::delete_attrs(std::vector<std::string> names) {
  auto wanted = request(wire::Op::pool_delete_attrs);
  wanted.names = std::move(names);
  return system_.command(std::move(wanted));
}

Task<Result<Uuid>> PoolImpl::cont_create(std::string label, Props props) {
  auto wanted = request(wire::Op::cont_create);
  wanted.label = std::move(label);
  wanted.props = to_wire(props);
  CO_TRY(reply, co_await system_.control(std::move(wanted)));
  co_return reply.uuid;
}

Task<Result<std::vector<ContInfo>>> PoolImpl::cont_list() {
  CO_TRY(reply, co_await system_.control(request(wire::Op::cont_list)));
  std::vector<ContInfo> out;
  for (const auto& cont : reply.conts) out.push_back(from_wire(cont));
  co_return out;
}

Task<Result<ContainerPtr>> PoolImpl::cont_open(std::string cont, Access access) {
  auto wanted = request(wire::Op::cont_open);
  wanted.name = std::move(cont);
  wanted.access = static_cast<uint32_t>(access);
  return open(std::move(wanted));
}

Task<Result<ContainerPtr>> PoolImpl::cont_attach(uint64_t handle_id) {
  auto wanted = request(wire::Op::cont_attach);
  wanted.cont_handle = handle_id;
  return open(std::move(wanted));
}

Task<Result<ContainerPtr>> PoolImpl::open(wire::ControlRequest wanted) {
  // The pool object must live as long as this task, also if its user lets go of it meanwhile.
  const auto self = shared_from_this();
  CO_TRY(reply, co_await system_.control(std::move(wanted)));
  CO_TRY(access, access_of(reply));
  CO_TRY(map, map_of(reply));
  ContainerImpl::Opened opened{.uuid = reply.uuid,
                               .handle = reply.handle,
                               .io = {reply.io_index, reply.io_generation},
                               .access = access,
                               .map = std::move(map)};
  if (!reply.conts.empty()) {
    const Props props = from_wire(reply.conts.front().props);
    const auto factor = props.find(kRedundancyFactor);
    if (factor != props.end() && std::holds_alternative<uint64_t>(factor->second)) {
      opened.map.shape.redundancy_factor =
          static_cast<uint32_t>(std::get<uint64_t>(factor->second));
    }
  }
  co_return ContainerPtr(std::make_shared<ContainerImpl>(self, std::move(opened)));
}

Task<Result<void>> PoolImpl::cont_destroy(std::string cont, bool force) {
  auto wanted = request(wire::Op::cont_destroy);
  wanted.name = std::move(cont);
  wanted.force = force;
  return system_.command(std::move(wanted));
}

}  // namespace cairn::client
