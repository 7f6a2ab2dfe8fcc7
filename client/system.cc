#include "client/system.h"

#include <set>

#include "client/system_impl.h"

namespace cairn::client {

std::vector<wire::Prop> to_wire(const Props& props) {
  std::vector<wire::Prop> out;
  for (const auto& [number, value] : props) {
    wire::Prop& prop = out.emplace_back();
    prop.number = number;
    if (const auto* integer = std::get_if<uint64_t>(&value)) {
      prop.integer = *integer;
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      prop.text = *text;
    } else {
      prop.raw = std::get<Bytes>(value);
    }
  }
  return out;
}

Props from_wire(const std::vector<wire::Prop>& props) {
  Props out;
  for (const auto& prop : props) {
    if (prop.integer) {
      out[prop.number] = *prop.integer;
    } else if (prop.text) {
      out[prop.number] = *prop.text;
    } else if (prop.raw) {
      out[prop.number] = *prop.raw;
    }
  }
  return out;
}

std::vector<wire::Attr> to_wire(const Attrs& attrs) {
  std::vector<wire::Attr> out;
  for (const auto& [name, value] : attrs) out.push_back({name, value});
  return out;
}

Attrs from_wire(std::vector<wire::Attr> attrs) {
  Attrs out;
  for (auto& attr : attrs) out[std::move(attr.name)] = std::move(attr.value);
  return out;
}

std::vector<wire::Target> to_wire(const std::vector<uint32_t>& ranks) {
  std::vector<wire::Target> out;
  for (const uint32_t rank : ranks) out.push_back({.rank = rank});
  return out;
}

PoolInfo from_wire(const wire::PoolReply& reply) {
  PoolInfo out;
  out.uuid = reply.uuid;
  out.label = reply.label;
  out.target_count = reply.target_count;
  out.engine_count = reply.engine_count;
  out.disabled_count = reply.disabled_count;
  out.map_version = reply.map_version;
  out.leader = reply.leader;
  out.data_total = reply.data_total;
  out.data_free = reply.data_free;
  out.meta_total = reply.meta_total;
  out.meta_free = reply.meta_free;
  out.meta_used = reply.meta_used;
  out.memory_bytes = reply.memory_bytes;
  out.props = from_wire(reply.props);
  std::set<uint32_t> ranks;
  for (const wire::Target& target : reply.map.targets) ranks.insert(target.rank);
  out.ranks.assign(ranks.begin(), ranks.end());
  return out;
}

ContInfo from_wire(const wire::ContReply& reply) {
  ContInfo out;
  out.uuid = reply.uuid;
  out.label = reply.label;
  out.handle_count = reply.handle_count;
  out.snapshot_count = reply.snapshot_count;
  out.last_snapshot = reply.last_snapshot;
  out.open_time = reply.open_time;
  out.modify_time = reply.modify_time;
  out.props = from_wire(reply.props);
  return out;
}

Result<Access> access_of(const wire::ControlReply& reply) {
  switch (static_cast<Access>(reply.access)) {
    case Access::read_only:
    case Access::read_write:
    case Access::exclusive:
      return static_cast<Access>(reply.access);
  }
  return fail(Errc::protocol, "attach: an answer without a known access mode");
}

std::unique_ptr<System> make_system(SystemParts parts) {
  return std::make_unique<SystemImpl>(std::move(parts));
}

SystemImpl::~SystemImpl() {
  // Acknowledged data is in the log already: a failed checkpoint here loses nothing.
  [[maybe_unused]] const auto done = shutdown();
}

Result<void> SystemImpl::shutdown() {
  if (!parts_.shutdown) return {};
  return std::exchange(parts_.shutdown, {})();
}

Task<Result<wire::ControlReply>> SystemImpl::control(wire::ControlRequest request) {
  CO_TRY(bytes, co_await rpc().control(service(), wire::proto_encode(request)));
  co_return wire::proto_decode<wire::ControlReply>(bytes);
}

Task<Result<void>> SystemImpl::command(wire::ControlRequest request) {
  CO_TRY(reply, co_await control(std::move(request)));
  co_return Result<void>{};
}

Task<Result<Uuid>> SystemImpl::pool_create(PoolCreateOptions options) {
  wire::ControlRequest request;
  request.op = wire::Op::pool_create;
  request.label = std::move(options.label);
  request.bytes = options.bytes;
  request.meta_bytes = options.meta_bytes;
  request.memory_bytes = options.memory_bytes;
  request.memory_ratio = options.memory_ratio;
  request.props = to_wire(options.props);
  request.targets = to_wire(options.ranks);
  CO_TRY(reply, co_await control(std::move(request)));
  co_return reply.uuid;
}

Task<Result<std::vector<PoolInfo>>> SystemImpl::pool_list() {
  wire::ControlRequest request;
  request.op = wire::Op::pool_list;
  CO_TRY(reply, co_await control(std::move(request)));
  std::vector<PoolInfo> out;
  for (const auto& pool : reply.pools) out.push_back(from_wire(pool));
  co_return out;
}

Task<Result<std::vector<DeviceSpace>>> SystemImpl::devices() {
  wire::ControlRequest request;
  request.op = wire::Op::storage_query;
  CO_TRY(reply, co_await control(std::move(request)));
  std::vector<DeviceSpace> out;
  for (wire::DeviceReply& device : reply.devices) {
    out.push_back({.path = std::move(device.path),
                   .roles = std::move(device.roles),
                   .total_bytes = device.total_bytes,
                   .free_bytes = device.free_bytes,
                   .rank = device.rank,
                   .uuid = device.uuid,
                   .directory = device.directory});
  }
  co_return out;
}

Task<Result<std::vector<EngineInfo>>> SystemImpl::engines() {
  wire::ControlRequest request;
  request.op = wire::Op::system_query;
  CO_TRY(reply, co_await control(std::move(request)));
  std::vector<EngineInfo> out;
  for (wire::EngineInfo& engine : reply.engines) {
    EngineInfo info{.rank = engine.rank,
                    .incarnation = engine.incarnation,
                    .process = engine.process,
                    .addresses = std::move(engine.addresses),
                    .host = std::move(engine.host)};
    if (engine.state == wire::EngineState::joined) info.state = EngineInfo::State::joined;
    if (engine.state == wire::EngineState::starting) info.state = EngineInfo::State::starting;
    if (engine.state == wire::EngineState::await_format) {
      info.state = EngineInfo::State::await_format;
    }
    out.push_back(std::move(info));
  }
  co_return out;
}

Task<Result<void>> SystemImpl::pool_destroy(std::string pool, bool force) {
  wire::ControlRequest request;
  request.op = wire::Op::pool_destroy;
  request.name = std::move(pool);
  request.force = force;
  return command(std::move(request));
}

Task<Result<void>> SystemImpl::pool_set_props(std::string pool, Props props) {
  wire::ControlRequest request;
  request.op = wire::Op::pool_set_props;
  request.name = std::move(pool);
  request.props = to_wire(props);
  return command(std::move(request));
}

Task<Result<void>> SystemImpl::pool_extend(std::string pool, std::vector<uint32_t> ranks) {
  wire::ControlRequest request;
  request.op = wire::Op::pool_extend;
  request.name = std::move(pool);
  request.targets = to_wire(ranks);
  return command(std::move(request));
}

Task<Result<std::vector<RankResult>>> SystemImpl::set_running(std::vector<uint32_t> ranks,
                                                              bool run) {
  wire::ControlRequest request;
  request.op = run ? wire::Op::system_start : wire::Op::system_stop;
  request.targets = to_wire(ranks);
  CO_TRY(reply, co_await control(std::move(request)));
  std::vector<RankResult> out;
  for (wire::RankResult& result : reply.results) {
    out.push_back({.rank = result.rank,
                   .error = static_cast<Errc>(result.status),
                   .text = std::move(result.text)});
  }
  co_return out;
}

Task<Result<void>> SystemImpl::storage_format(bool wipe) {
  wire::ControlRequest request;
  request.op = wire::Op::storage_format;
  request.force = wipe;
  return command(std::move(request));
}

Task<Result<PoolPtr>> SystemImpl::pool_connect(std::string pool, Access access) {
  wire::ControlRequest request;
  request.op = wire::Op::pool_connect;
  request.name = std::move(pool);
  request.access = static_cast<uint32_t>(access);
  CO_TRY(reply, co_await control(std::move(request)));
  co_return PoolPtr(std::make_shared<PoolImpl>(*this, reply.uuid, reply.handle, access));
}

Task<Result<PoolPtr>> SystemImpl::pool_attach(uint64_t handle_id) {
  wire::ControlRequest request;
  request.op = wire::Op::pool_attach;
  request.pool_handle = handle_id;
  CO_TRY(reply, co_await control(std::move(request)));
  CO_TRY(access, access_of(reply));
  co_return PoolPtr(std::make_shared<PoolImpl>(*this, reply.uuid, reply.handle, access));
}

}  // namespace cairn::client
