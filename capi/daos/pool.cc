// Pool connections: daos_pool_connect() and what a connection can be asked.
#include <daos_pool.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "capi/daos/attr.h"
#include "capi/daos/global.h"
#include "capi/daos/library.h"
#include "capi/daos/prop_table.h"
#include "model/label.h"

namespace cairn::capi {
namespace {

uint64_t used_part(uint64_t total, uint64_t targets) { return targets == 0 ? 0 : total / targets; }

daos_space space_of(const client::PoolInfo& info, uint64_t parts) {
  daos_space space{};
  space.s_total[DAOS_MEDIA_SCM] = used_part(info.meta_total, parts);
  space.s_free[DAOS_MEDIA_SCM] = used_part(info.meta_free, parts);
  space.s_total[DAOS_MEDIA_NVME] = used_part(info.data_total, parts);
  space.s_free[DAOS_MEDIA_NVME] = used_part(info.data_free, parts);
  return space;
}

void fill_info(const client::PoolInfo& from, daos_pool_info_t* to) {
  const uint64_t bits = to->pi_bits;
  std::memset(to, 0, sizeof *to);
  std::memcpy(to->pi_uuid, from.uuid.bytes.data(), sizeof to->pi_uuid);
  to->pi_ntargets = from.target_count;
  to->pi_nnodes = from.engine_count;
  to->pi_ndisabled = from.disabled_count;
  to->pi_map_ver = from.map_version;
  to->pi_leader = from.leader;
  to->pi_bits = bits;
  if ((bits & DPI_SPACE) != 0) {
    daos_pool_space& space = to->pi_space;
    space.ps_space = space_of(from, 1);
    space.ps_ntargets = from.target_count;
    for (int tier = 0; tier < DAOS_MEDIA_MAX; ++tier) {
      const uint64_t part = used_part(space.ps_space.s_free[tier], from.target_count);
      space.ps_free_min[tier] = space.ps_free_max[tier] = space.ps_free_mean[tier] = part;
    }
  }
  if ((bits & DPI_REBUILD_STATUS) != 0) to->pi_rebuild_st.rs_state = DRS_NOT_STARTED;
}

/// The ranks that a query returns; for d_rank_list_free().
d_rank_list_t* ranks_of(const client::PoolInfo& info, bool enabled) {
  auto* const list = static_cast<d_rank_list_t*>(std::calloc(1, sizeof(d_rank_list_t)));
  if (list == nullptr || !enabled || info.ranks.empty()) return list;
  list->rl_ranks = static_cast<d_rank_t*>(std::calloc(info.ranks.size(), sizeof(d_rank_t)));
  if (list->rl_ranks == nullptr) {
    std::free(list);
    return nullptr;
  }
  list->rl_nr = static_cast<uint32_t>(info.ranks.size());
  std::copy_n(info.ranks.begin(), list->rl_nr, list->rl_ranks);
  return list;
}

daos_handle_t insert_connection(client::PoolPtr pool) {
  auto handle = std::make_shared<PoolHandle>();
  handle->connection = std::make_shared<PoolConnection>();
  handle->connection->pool = std::move(pool);
  return library().handles.insert(std::move(handle));
}

Task<int> connect_task(client::System* sys, std::string name, client::Access access,
                       daos_handle_t* poh, daos_pool_info_t* info) {
  auto connected = co_await sys->pool_connect(std::move(name), access);
  if (!connected) co_return der_of(connected);
  if (info != nullptr) {
    auto answer = co_await (*connected)->query();
    if (!answer) {
      (void)co_await (*connected)->disconnect();
      co_return der_of(answer);
    }
    fill_info(*answer, info);
  }
  *poh = insert_connection(std::move(*connected));
  co_return 0;
}

Task<int> attach_task(client::System* sys, uint64_t id, Uuid owner, daos_handle_t* poh) {
  auto attached = co_await sys->pool_attach(id);
  if (!attached) co_return der_of(attached);
  if ((*attached)->uuid() != owner) {
    (void)co_await (*attached)->disconnect();
    co_return -DER_INVAL;
  }
  *poh = insert_connection(std::move(*attached));
  co_return 0;
}

Task<int> disconnect_task(daos_handle_t poh, std::shared_ptr<PoolHandle> handle) {
  if (handle->connection->handles.load() == 1) {
    const auto done = co_await handle->pool()->disconnect();
    // Ended with the connection that it was attached to: the handle is closed all the same.
    if (!done && done.error().code() != Errc::no_handle) co_return der_of(done);
  }
  if (library().handles.remove<PoolHandle>(poh)) handle->connection->handles.fetch_sub(1);
  co_return 0;
}

Task<int> query_task(client::PoolPtr pool, d_rank_list_t** ranks, daos_pool_info_t* info,
                     daos_prop_t* prop) {
  auto answer = co_await pool->query();
  if (!answer) co_return der_of(answer);
  const auto filled = answer_pool(prop, *answer);
  if (!filled) co_return der_of(filled);
  if (info != nullptr) fill_info(*answer, info);
  if (ranks != nullptr) {
    const bool enabled = info != nullptr && (info->pi_bits & DPI_ENGINES_ENABLED) != 0;
    *ranks = ranks_of(*answer, enabled);
    if (*ranks == nullptr) co_return -DER_NOMEM;
  }
  co_return 0;
}

Task<int> query_target_task(client::PoolPtr pool, uint32_t target, d_rank_t rank,
                            daos_target_info_t* info) {
  auto answer = co_await pool->query();
  if (!answer) co_return der_of(answer);
  const uint32_t engines = std::max(answer->engine_count, 1u);
  const bool known = std::ranges::find(answer->ranks, rank) != answer->ranks.end();
  if (!known || target >= answer->target_count / engines) co_return -DER_NONEXIST;
  std::memset(info, 0, sizeof *info);
  info->ta_state = DAOS_TS_UP_IN;
  info->ta_space = space_of(*answer, answer->target_count);
  co_return 0;
}

Task<int> list_attr_task(client::PoolPtr pool, char* buffer, size_t* size) {
  auto attrs = co_await pool->attrs();
  if (!attrs) co_return der_of(attrs);
  answer_names(*attrs, buffer, size);
  co_return 0;
}

Task<int> get_attr_task(client::PoolPtr pool, std::vector<std::string> names, void* const* buffers,
                        size_t* sizes) {
  auto attrs = co_await pool->attrs();
  if (!attrs) co_return der_of(attrs);
  co_return der_of(answer_values(*attrs, names, buffers, sizes));
}

Task<int> set_attr_task(client::PoolPtr pool, client::Attrs attrs) {
  co_return der_of(co_await pool->set_attrs(std::move(attrs)));
}

Task<int> del_attr_task(client::PoolPtr pool, std::vector<std::string> names) {
  co_return der_of(co_await pool->delete_attrs(std::move(names)));
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_pool_connect2(const char* pool, const char* sys, unsigned int flags, daos_handle_t* poh,
                       daos_pool_info_t* info, daos_event_t* ev) try {
  (void)sys;  // a home holds one system, whatever it is called
  const auto running = capi::system();
  if (!running) return capi::der_of(running.error().code());
  if (pool == nullptr || poh == nullptr) return call(-DER_INVAL, ev);
  if (flags != DAOS_PC_RO && flags != DAOS_PC_RW && flags != DAOS_PC_EX)
    return call(-DER_INVAL, ev);
  if (!model::parse_name(pool)) return call(-DER_INVAL, ev);
  return call(connect_task(*running, pool, static_cast<client::Access>(flags), poh, info), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_disconnect(daos_handle_t poh, daos_event_t* ev) try {
  auto handle = find<PoolHandle>(poh);
  if (!handle) return call(no_handle(), ev);
  return call(disconnect_task(poh, std::move(handle)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_local2global(daos_handle_t poh, d_iov_t* glob) {
  const auto handle = find<PoolHandle>(poh);
  if (!handle) return no_handle();
  GlobalBlob blob;
  blob.kind = GlobalKind::pool;
  blob.process = this_process();
  blob.cookie = poh.cookie;
  blob.extra = handle->pool()->handle_id();
  set_system(blob, handle->pool()->system().uuid());
  blob.owner = handle->pool()->uuid();
  const auto done = export_blob(blob, glob);
  if (done && glob->iov_buf == nullptr) glob->iov_len = glob->iov_buf_len;
  return capi::der_of(done);
}

int daos_pool_global2local(d_iov_t glob, daos_handle_t* poh) try {
  const auto running = capi::system();
  if (!running) return capi::der_of(running.error().code());
  if (poh == nullptr) return -DER_INVAL;
  const auto blob = import_blob(glob, GlobalKind::pool);
  if (!blob) return capi::der_of(blob);
  if (const auto ours = check_system(*blob, (*running)->uuid()); !ours) {
    return refuse("daos_pool_global2local", ours.error());
  }
  if (blob->process != this_process()) {
    return call(attach_task(*running, blob->extra, blob->owner, poh), nullptr);
  }
  const auto original = find<PoolHandle>({blob->cookie});
  if (!original) return -DER_NO_HDL;
  auto handle = std::make_shared<PoolHandle>();
  handle->connection = original->connection;
  handle->connection->handles.fetch_add(1);
  *poh = library().handles.insert(std::move(handle));
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_query(daos_handle_t poh, d_rank_list_t** ranks, daos_pool_info_t* info,
                    daos_prop_t* pool_prop, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  return call(query_task(std::move(*pool), ranks, info, pool_prop), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_query_target(daos_handle_t poh, uint32_t tgt, d_rank_t rank, daos_target_info_t* info,
                           daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  if (info == nullptr) return call(-DER_INVAL, ev);
  return call(query_target_task(std::move(*pool), tgt, rank, info), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_list_attr(daos_handle_t poh, char* buffer, size_t* size, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  if (size == nullptr) return call(-DER_INVAL, ev);
  return call(list_attr_task(std::move(*pool), buffer, size), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_get_attr(daos_handle_t poh, int n, const char* const* names, void* const* buffers,
                       size_t* sizes, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  auto wanted = attr_names({n, names});
  if (!wanted || sizes == nullptr) return call(-DER_INVAL, ev);
  return call(get_attr_task(std::move(*pool), std::move(*wanted), buffers, sizes), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_set_attr(daos_handle_t poh, int n, const char* const* names,
                       const void* const* values, const size_t* sizes, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  auto attrs = attrs_to_set({n, names}, values, sizes);
  if (!attrs) return call(capi::der_of(attrs), ev);
  return call(set_attr_task(std::move(*pool), std::move(*attrs)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_del_attr(daos_handle_t poh, int n, const char* const* names, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  auto wanted = attr_names({n, names});
  if (!wanted) return call(capi::der_of(wanted), ev);
  return call(del_attr_task(std::move(*pool), std::move(*wanted)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
