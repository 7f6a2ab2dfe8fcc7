// Containers: create, open, close, destroy, query, attributes, portable handles.
#include <daos_cont.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "capi/daos/attr.h"
#include "capi/daos/global.h"
#include "capi/daos/library.h"
#include "capi/daos/prop_table.h"
#include "model/label.h"

namespace cairn::capi {
namespace {

void fill_info(const client::ContInfo& from, daos_cont_info_t* to) {
  std::memset(to, 0, sizeof *to);
  std::memcpy(to->ci_uuid, from.uuid.bytes.data(), sizeof to->ci_uuid);
  to->ci_lsnapshot = from.last_snapshot;
  to->ci_nhandles = from.handle_count;
  to->ci_nsnapshots = from.snapshot_count;
  to->ci_md_otime = from.open_time;
  to->ci_md_mtime = from.modify_time;
}

uint64_t number_of(const client::Props& props, uint32_t type) {
  const auto found = props.find(type);
  const auto* const number = found == props.end() ? nullptr : std::get_if<uint64_t>(&found->second);
  return number == nullptr ? 0 : *number;
}

Task<int> create_task(client::PoolPtr pool, ContCreation creation, uuid_t* uuid) {
  if (creation.props.contains(DAOS_PROP_CO_REDUN_FAC) &&
      number_of(creation.props, DAOS_PROP_CO_REDUN_FAC) != 0) {
    auto info = co_await pool->query();
    if (!info) co_return der_of(info);
    if (number_of(creation.props, DAOS_PROP_CO_REDUN_FAC) >= info->engine_count) {
      co_return refuse("daos_cont_create",
                       {Errc::invalid, "rd_fac: the pool has too few fault domains; use 0"});
    }
  }
  auto made = co_await pool->cont_create(std::move(creation.label), std::move(creation.props));
  if (!made) co_return der_of(made);
  if (uuid != nullptr) std::memcpy(*uuid, made->bytes.data(), sizeof *uuid);
  co_return 0;
}

/// Closes what other handles of the same pool connection hold of the container (DAOS_COO_EVICT).
Task<Result<void>> evict_older(client::PoolPtr pool, Uuid container) {
  for (const auto& older : library().handles.all<ContHandle>()) {
    client::ContainerPtr held = older->container();
    if (&held->pool() != pool.get() || held->uuid() != container || !held->is_open()) continue;
    CO_TRY(closed, co_await held->close());
  }
  co_return Result<void>{};
}

/// Makes a handle of what was opened or attached.
Task<int> adopt_task(client::ContainerPtr container, daos_handle_t* coh, daos_cont_info_t* info) {
  auto about = co_await container->query();
  auto around = co_await container->pool().query();
  if (!about || !around) {
    (void)co_await container->close();
    co_return about ? der_of(around) : der_of(about);
  }
  auto handle = std::make_shared<ContHandle>();
  handle->opening = std::make_shared<ContOpening>();
  const model::PoolShape whole = container->shape();
  handle->opening->container = std::move(container);
  handle->opening->shape = {
      .domains = whole.domains,
      .targets = std::max(1u, whole.targets - std::min(whole.targets, around->disabled_count)),
      .redundancy_factor = static_cast<uint32_t>(number_of(about->props, DAOS_PROP_CO_REDUN_FAC))};
  if (info != nullptr) fill_info(*about, info);
  *coh = library().handles.insert(std::move(handle));
  co_return 0;
}

Task<int> attach_task(client::PoolPtr pool, uint64_t id, Uuid owner, daos_handle_t* coh) {
  auto attached = co_await pool->cont_attach(id);
  if (!attached) co_return der_of(attached);
  if ((*attached)->uuid() != owner) {
    (void)co_await (*attached)->close();
    co_return -DER_INVAL;
  }
  co_return co_await adopt_task(std::move(*attached), coh, nullptr);
}

Task<int> open_task(client::PoolPtr pool, std::string name, unsigned flags, daos_handle_t* coh,
                    daos_cont_info_t* info) {
  auto opened = co_await pool->cont_open(
      std::move(name), static_cast<client::Access>(flags & DAOS_COO_IO_BASE_MASK));
  if (!opened) co_return der_of(opened);
  client::ContainerPtr container = std::move(*opened);
  if ((flags & DAOS_COO_EVICT) != 0) {
    const auto evicted = co_await evict_older(pool, container->uuid());
    if (!evicted) co_return der_of(evicted);
  }
  co_return co_await adopt_task(std::move(container), coh, info);
}

Task<int> close_task(daos_handle_t coh, std::shared_ptr<ContHandle> handle) {
  if (handle->opening->handles.load() == 1 && handle->container()->is_open()) {
    const auto done = co_await handle->container()->close();
    // Evicted by a forced destroy: the handle is closed all the same.
    if (!done && done.error().code() != Errc::no_handle) co_return der_of(done);
  }
  if (library().handles.remove<ContHandle>(coh)) handle->opening->handles.fetch_sub(1);
  co_return 0;
}

Task<int> destroy_task(client::PoolPtr pool, std::string name, bool force) {
  co_return der_of(co_await pool->cont_destroy(std::move(name), force));
}

Task<int> query_task(client::ContainerPtr container, daos_cont_info_t* info, daos_prop_t* prop) {
  auto answer = co_await container->query();
  if (!answer) {
    // The handle is known, so it was evicted: the container is gone.
    co_return answer.error().code() == Errc::no_handle ? -DER_NONEXIST : der_of(answer);
  }
  const auto filled = answer_cont(prop, *answer);
  if (!filled) co_return der_of(filled);
  if (info != nullptr) fill_info(*answer, info);
  co_return 0;
}

Task<int> list_attr_task(client::ContainerPtr container, char* buffer, size_t* size) {
  auto attrs = co_await container->attrs();
  if (!attrs) co_return der_of(attrs);
  answer_names(*attrs, buffer, size);
  co_return 0;
}

Task<int> get_attr_task(client::ContainerPtr container, std::vector<std::string> names,
                        void* const* buffers, size_t* sizes) {
  auto attrs = co_await container->attrs();
  if (!attrs) co_return der_of(attrs);
  co_return der_of(answer_values(*attrs, names, buffers, sizes));
}

Task<int> set_attr_task(client::ContainerPtr container, client::Attrs attrs) {
  co_return der_of(co_await container->set_attrs(std::move(attrs)));
}

Task<int> del_attr_task(client::ContainerPtr container, std::vector<std::string> names) {
  co_return der_of(co_await container->delete_attrs(std::move(names)));
}

Task<int> alloc_oids_task(client::ContainerPtr container, uint64_t count, uint64_t* first) {
  auto got = co_await container->alloc_oids(count);
  if (got) *first = *got;
  co_return der_of(got);
}

bool open_flags_valid(unsigned flags) {
  const unsigned base = flags & DAOS_COO_IO_BASE_MASK;
  if ((flags & ~DAOS_COO_MASK) != 0) return false;
  if (base != DAOS_COO_RO && base != DAOS_COO_RW && base != DAOS_COO_EX) return false;
  if ((flags & DAOS_COO_EVICT) != 0 && base == DAOS_COO_EX) return false;
  return (flags & DAOS_COO_EVICT_ALL) == 0 || base == DAOS_COO_EX;
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_cont_create2(daos_handle_t poh, uuid_t* uuid, daos_prop_t* cont_prop,
                      daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  auto creation = creation_of(cont_prop, DAOS_RF_MAX);
  if (!creation) return call(refuse("daos_cont_create", creation.error()), ev);
  return call(create_task(std::move(*pool), std::move(*creation), uuid), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_create_with_label(daos_handle_t poh, const char* label, daos_prop_t* cont_prop,
                                uuid_t* uuid, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  if (label == nullptr) return call(-DER_INVAL, ev);
  const auto label_ok = model::check_label(label);
  if (!label_ok) return call(refuse("daos_cont_create_with_label", label_ok.error()), ev);
  auto creation = creation_of(cont_prop, DAOS_RF_MAX);
  if (!creation) return call(refuse("daos_cont_create_with_label", creation.error()), ev);
  creation->label = label;
  return call(create_task(std::move(*pool), std::move(*creation), uuid), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_open2(daos_handle_t poh, const char* cont, unsigned int flags, daos_handle_t* coh,
                    daos_cont_info_t* info, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  if (cont == nullptr || coh == nullptr || !open_flags_valid(flags) || !model::parse_name(cont)) {
    return call(-DER_INVAL, ev);
  }
  return call(open_task(std::move(*pool), cont, flags, coh, info), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_close(daos_handle_t coh, daos_event_t* ev) try {
  auto handle = find<ContHandle>(coh);
  if (!handle) return call(no_handle(), ev);
  return call(close_task(coh, std::move(handle)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_destroy2(daos_handle_t poh, const char* cont, int force, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  if (cont == nullptr || !model::parse_name(cont)) return call(-DER_INVAL, ev);
  return call(destroy_task(std::move(*pool), cont, force != 0), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_query(daos_handle_t coh, daos_cont_info_t* info, daos_prop_t* cont_prop,
                    daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  return call(query_task(std::move(*container), info, cont_prop), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_list_attr(daos_handle_t coh, char* buffer, size_t* size, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (size == nullptr) return call(-DER_INVAL, ev);
  return call(list_attr_task(std::move(*container), buffer, size), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_get_attr(daos_handle_t coh, int n, const char* const* names, void* const* buffers,
                       size_t* sizes, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  auto wanted = attr_names({n, names});
  if (!wanted || sizes == nullptr) return call(-DER_INVAL, ev);
  return call(get_attr_task(std::move(*container), std::move(*wanted), buffers, sizes), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_set_attr(daos_handle_t coh, int n, const char* const* names,
                       const void* const* values, const size_t* sizes, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  auto attrs = attrs_to_set({n, names}, values, sizes);
  if (!attrs) return call(capi::der_of(attrs), ev);
  return call(set_attr_task(std::move(*container), std::move(*attrs)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_del_attr(daos_handle_t coh, int n, const char* const* names, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  auto wanted = attr_names({n, names});
  if (!wanted) return call(capi::der_of(wanted), ev);
  return call(del_attr_task(std::move(*container), std::move(*wanted)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_alloc_oids(daos_handle_t coh, daos_size_t num_oids, uint64_t* oid,
                         daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (num_oids == 0 || oid == nullptr) return call(-DER_INVAL, ev);
  return call(alloc_oids_task(std::move(*container), num_oids, oid), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_local2global(daos_handle_t coh, d_iov_t* glob) {
  const auto handle = find<ContHandle>(coh);
  if (!handle) return no_handle();
  GlobalBlob blob;
  blob.kind = GlobalKind::container;
  blob.process = this_process();
  blob.cookie = coh.cookie;
  blob.extra = handle->container()->handle_id();
  set_system(blob, handle->container()->pool().system().uuid());
  blob.owner = handle->container()->uuid();
  const auto done = export_blob(blob, glob);
  if (done && glob->iov_buf == nullptr) glob->iov_len = glob->iov_buf_len;
  return capi::der_of(done);
}

int daos_cont_global2local(daos_handle_t poh, d_iov_t glob, daos_handle_t* coh) try {
  const auto pool = pool_of(poh);
  if (!pool) return capi::der_of(pool);
  if (coh == nullptr) return -DER_INVAL;
  const auto blob = import_blob(glob, GlobalKind::container);
  if (!blob) return capi::der_of(blob);
  if (const auto ours = check_system(*blob, (*pool)->system().uuid()); !ours) {
    return refuse("daos_cont_global2local", ours.error());
  }
  if (blob->process != this_process()) {
    return call(attach_task(*pool, blob->extra, blob->owner, coh), nullptr);
  }
  const auto original = find<ContHandle>({blob->cookie});
  if (!original) return -DER_NO_HDL;
  if (original->container()->pool().uuid() != (*pool)->uuid()) return -DER_INVAL;
  auto handle = std::make_shared<ContHandle>();
  handle->opening = original->opening;
  handle->opening->handles.fetch_add(1);
  *coh = library().handles.insert(std::move(handle));
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
