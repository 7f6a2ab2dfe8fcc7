// Changes of a container's properties, its ACL and owner.
#include <daos_cont.h>
#include <grp.h>
#include <pwd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "capi/daos/library.h"
#include "capi/daos/prop_table.h"

namespace cairn::capi {
namespace {

struct PropDeleter {
  void operator()(daos_prop_t* prop) const { daos_prop_free(prop); }
};
struct AclDeleter {
  void operator()(daos_acl* acl) const { daos_acl_free(acl); }
};
using AclPtr = std::unique_ptr<daos_acl, AclDeleter>;

bool read_only(const client::ContainerPtr& container) {
  return container->access() == client::Access::read_only;
}

Task<int> set_props_task(client::ContainerPtr container, client::Props props) {
  if (props.empty()) co_return container->is_open() ? 0 : -DER_NO_HDL;
  co_return der_of(co_await container->set_props(std::move(props)));
}

/// ACL, OWNER, OWNER_GROUP of a container, in a list that the caller frees.
Task<Result<daos_prop_t*>> rights_of(client::ContainerPtr container) {
  CO_TRY(info, co_await container->query());
  std::unique_ptr<daos_prop_t, PropDeleter> prop(daos_prop_alloc(3));
  if (!prop) co_return fail(Errc::no_memory, "properties: no memory");
  prop->dpp_entries[0].dpe_type = DAOS_PROP_CO_ACL;
  prop->dpp_entries[1].dpe_type = DAOS_PROP_CO_OWNER;
  prop->dpp_entries[2].dpe_type = DAOS_PROP_CO_OWNER_GROUP;
  CO_TRY(filled, answer_cont(prop.get(), info));
  co_return prop.release();
}

Task<int> get_acl_task(client::ContainerPtr container, daos_prop_t** out) {
  auto prop = co_await rights_of(std::move(container));
  if (prop) *out = *prop;
  co_return der_of(prop);
}

client::Props acl_props(daos_acl* acl) {
  const ByteView bytes = view_of(acl, static_cast<size_t>(daos_acl_get_size(acl)));
  return {{DAOS_PROP_CO_ACL, Bytes(bytes.begin(), bytes.end())}};
}

/// Adds the entries of `added` (may be null), then takes out the one of `removed`.
struct AclChange {
  AclPtr added;
  daos_acl_principal_type type{};
  std::string name;
};

Task<int> change_acl_task(client::ContainerPtr container, std::shared_ptr<AclChange> change) {
  auto prop = co_await rights_of(container);
  if (!prop) co_return der_of(prop);
  const std::unique_ptr<daos_prop_t, PropDeleter> owned(*prop);
  auto* acl = static_cast<daos_acl*>(owned->dpp_entries[0].dpe_val_ptr);
  int rc = 0;
  if (change->added) {
    daos_ace* ace = nullptr;
    while (rc == 0 && (ace = daos_acl_get_next_ace(change->added.get(), ace)) != nullptr) {
      rc = daos_acl_add_ace(&acl, ace);
    }
  } else {
    rc = daos_acl_remove_ace(&acl, change->type, change->name.c_str());
  }
  owned->dpp_entries[0].dpe_val_ptr = acl;
  if (rc != 0) co_return rc;
  co_return der_of(co_await container->set_props(acl_props(acl)));
}

int set_owner(daos_handle_t coh, const char* user, const char* group, bool look_up,
              daos_event_t* ev) {
  auto container = container_of(coh);
  if (!container) return call(der_of(container), ev);
  if (user == nullptr && group == nullptr) return call(-DER_INVAL, ev);
  client::Props props;
  if (user != nullptr) {
    if (!daos_acl_principal_is_valid(user)) return call(-DER_INVAL, ev);
    uid_t uid = 0;
    if (look_up && daos_acl_principal_to_uid(user, &uid) != 0) return call(-DER_NONEXIST, ev);
    props.emplace(DAOS_PROP_CO_OWNER, user);
  }
  if (group != nullptr) {
    if (!daos_acl_principal_is_valid(group)) return call(-DER_INVAL, ev);
    gid_t gid = 0;
    if (look_up && daos_acl_principal_to_gid(group, &gid) != 0) return call(-DER_NONEXIST, ev);
    props.emplace(DAOS_PROP_CO_OWNER_GROUP, group);
  }
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  return call(set_props_task(std::move(*container), std::move(props)), ev);
}

Task<int> aggregate_task(client::ContainerPtr container, model::Epoch until) {
  co_return der_of(co_await container->aggregate(until));
}

/// For calls that need a container and are not built yet.
int not_yet(daos_handle_t coh, daos_event_t* ev) {
  const auto container = container_of(coh);
  return call(container ? -DER_NOSYS : der_of(container), ev);
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_cont_set_prop(daos_handle_t coh, daos_prop_t* prop, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (prop == nullptr) return call(-DER_INVAL, ev);
  auto props = change_of(prop);
  if (!props) return call(refuse("daos_cont_set_prop", props.error()), ev);
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  return call(set_props_task(std::move(*container), std::move(*props)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_status_clear(daos_handle_t coh, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  return call(set_props_task(std::move(*container), {}), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_get_acl(daos_handle_t coh, daos_prop_t** acl_prop, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (acl_prop == nullptr) return call(-DER_INVAL, ev);
  return call(get_acl_task(std::move(*container), acl_prop), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_overwrite_acl(daos_handle_t coh, struct daos_acl* acl, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (daos_acl_validate(acl) != 0) return call(-DER_INVAL, ev);
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  return call(set_props_task(std::move(*container), acl_props(acl)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_update_acl(daos_handle_t coh, struct daos_acl* acl, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (daos_acl_validate(acl) != 0) return call(-DER_INVAL, ev);
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  auto change = std::make_shared<AclChange>();
  change->added.reset(daos_acl_dup(acl));
  return call(change_acl_task(std::move(*container), std::move(change)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_delete_acl(daos_handle_t coh, enum daos_acl_principal_type type, d_string_t name,
                         daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (static_cast<unsigned>(type) >= NUM_DAOS_ACL_TYPES) return call(-DER_INVAL, ev);
  const bool named = type == DAOS_ACL_USER || type == DAOS_ACL_GROUP;
  if (named && !daos_acl_principal_is_valid(name)) return call(-DER_INVAL, ev);
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  auto change = std::make_shared<AclChange>();
  change->type = type;
  if (named) change->name = name;
  return call(change_acl_task(std::move(*container), std::move(change)), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_set_owner(daos_handle_t coh, d_string_t user, d_string_t group, daos_event_t* ev) {
  return set_owner(coh, user, group, true, ev);
}

int daos_cont_set_owner_no_check(daos_handle_t coh, d_string_t user, d_string_t group,
                                 daos_event_t* ev) {
  return set_owner(coh, user, group, false, ev);
}

int daos_cont_aggregate(daos_handle_t coh, daos_epoch_t epoch, daos_event_t* ev) try {
  auto container = container_of(coh);
  if (!container) return call(capi::der_of(container), ev);
  if (epoch == DAOS_EPOCH_MAX) return call(-DER_INVAL, ev);
  if (read_only(*container)) return call(-DER_NO_PERM, ev);
  return call(aggregate_task(std::move(*container), epoch), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_cont_rollback(daos_handle_t coh, daos_epoch_t epoch, daos_event_t* ev) {
  (void)epoch;
  return not_yet(coh, ev);
}

int daos_cont_subscribe(daos_handle_t coh, daos_epoch_t* epoch, daos_event_t* ev) {
  (void)epoch;
  return not_yet(coh, ev);
}

}  // extern "C"
