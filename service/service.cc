#include "service/service.h"

#include "service/props.h"

namespace cairn::service {
namespace {

bool changes_something(wire::Op op) {
  switch (op) {
    case wire::Op::pool_create:
    case wire::Op::pool_destroy:
    case wire::Op::pool_set_props:
    case wire::Op::pool_extend:
    case wire::Op::machine_join:
    case wire::Op::pool_set_attrs:
    case wire::Op::pool_delete_attrs:
    case wire::Op::cont_create:
    case wire::Op::cont_destroy:
    case wire::Op::cont_set_props:
    case wire::Op::cont_set_attrs:
    case wire::Op::cont_delete_attrs:
    case wire::Op::cont_alloc_oids:
    case wire::Op::cont_aggregate:
    case wire::Op::cont_seal:
    case wire::Op::cont_unseal:
    case wire::Op::snap_create:
    case wire::Op::snap_destroy:
    case wire::Op::snap_set_table:
    case wire::Op::snap_rollback: return true;
    default: return false;
  }
}

}  // namespace

Service::Service(Reactor& reactor, ConfigStore& config, ShardHost& host, ServiceOptions options)
    : reactor_(reactor),
      config_(config),
      host_(host),
      options_(std::move(options)),
      gate_(reactor),
      snapped_(reactor),
      left_(reactor) {}

Service::~Service() = default;

Task<Result<void>> Service::start() {
  CO_TRY(machines, co_await start_machines());
  CO_TRY(entries, co_await config_.range("pools/"));
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<PoolRecord>(entry.value));
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(sizeof("pools/") - 1));
    if (!uuid) co_return fail(Errc::checksum, "config store: a key that names no pool");
    CO_TRY(started, co_await start_pool({*uuid, std::move(record), entry.modified}));
  }
  CO_TRY(handles, co_await start_handles());
  co_return co_await start_done();
}

Task<Result<std::vector<Uuid>>> Service::pools() {
  CO_TRY(entries, co_await config_.range("pools/"));
  std::vector<Uuid> out;
  for (const auto& entry : entries) {
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(sizeof("pools/") - 1));
    if (uuid) out.push_back(*uuid);
  }
  co_return out;
}

Task<Result<Service::Reply>> Service::dispatch_cont(const Request& request) {
  switch (request.op) {
    case wire::Op::cont_create: co_return co_await cont_create(request);
    case wire::Op::cont_list: co_return co_await cont_list(request);
    case wire::Op::cont_open: co_return co_await cont_open(request);
    case wire::Op::cont_attach: co_return co_await cont_attach(request);
    case wire::Op::cont_destroy: co_return co_await cont_destroy(request);
    case wire::Op::cont_close: co_return co_await cont_close(request);
    case wire::Op::cont_query: co_return co_await cont_query(request);
    case wire::Op::cont_set_props: co_return co_await cont_set_props(request);
    case wire::Op::cont_alloc_oids: co_return co_await alloc_oids(request);
    case wire::Op::cont_aggregate:
      co_return co_await cont_aggregate(request);
    case wire::Op::cont_seal:
    case wire::Op::cont_unseal:
    case wire::Op::cont_worm:
      co_return co_await dispatch_worm(request);
    case wire::Op::cont_attrs:
    case wire::Op::cont_set_attrs:
    case wire::Op::cont_delete_attrs: co_return co_await dispatch_attrs(request);
    case wire::Op::snap_create:
    case wire::Op::snap_list:
    case wire::Op::snap_destroy:
    case wire::Op::snap_set_table:
    case wire::Op::snap_rollback: co_return co_await dispatch_snapshots(request);
    default: co_return fail(Errc::no_sys, "service: an operation that this version does not know");
  }
}

Task<Result<Service::Reply>> Service::dispatch(const Request& request) {
  if (options_.read_only && changes_something(request.op)) {
    co_return fail(Errc::no_perm, "service: the home is opened read only");
  }
  switch (request.op) {
    case wire::Op::pool_create: co_return co_await pool_create(request);
    case wire::Op::pool_list: co_return co_await pool_list();
    case wire::Op::storage_query: co_return Reply{.devices = co_await host_.devices()};
    case wire::Op::system_query: co_return Reply{.engines = host_.engines()};
    case wire::Op::system_stop: co_return co_await set_running(request, false);
    case wire::Op::system_start: co_return co_await set_running(request, true);
    case wire::Op::machine_join:
      co_return co_await machine_join(request);
    case wire::Op::machine_report:
      co_return co_await machine_report(request);
    case wire::Op::storage_format:
      co_return fail(Errc::already, "service: the storage is formatted already");
    case wire::Op::pool_destroy: co_return co_await pool_destroy(request);
    case wire::Op::pool_set_props: co_return co_await pool_set_props(request);
    case wire::Op::pool_extend: co_return co_await pool_extend(request);
    case wire::Op::pool_connect: co_return co_await pool_connect(request);
    case wire::Op::pool_attach: co_return co_await pool_attach(request);
    case wire::Op::pool_disconnect: co_return co_await pool_disconnect(request);
    case wire::Op::pool_query: co_return co_await pool_query(request);
    case wire::Op::pool_attrs:
    case wire::Op::pool_set_attrs:
    case wire::Op::pool_delete_attrs: co_return co_await dispatch_attrs(request);
    default: co_return co_await dispatch_cont(request);
  }
}

Task<void> Service::stop() { co_await gate_.close(); }

}  // namespace cairn::service
