// The system as a whole: its description, versions, help for tests.
#include <daos_mgmt.h>
#include <daos_version.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "base/report.h"
#include "capi/daos/library.h"

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_mgmt_get_sys_info(const char* sys, struct daos_sys_info** info) try {
  if (const int rc = initialized(); rc != 0) return rc;
  if (info == nullptr) return -DER_INVAL;
  const char* const name = sys == nullptr ? DAOS_DEFAULT_SYS_NAME : sys;
  if (std::strlen(name) > DAOS_SYS_NAME_MAX) return -DER_INVAL;
  auto* const out = static_cast<daos_sys_info*>(std::calloc(1, sizeof(daos_sys_info)));
  auto* const ranks = static_cast<daos_rank_uri*>(std::calloc(1, sizeof(daos_rank_uri)));
  auto* const service = static_cast<uint32_t*>(std::calloc(1, sizeof(uint32_t)));
  char* const uri = strdup("local:");
  if (out == nullptr || ranks == nullptr || service == nullptr || uri == nullptr) {
    std::free(out);
    std::free(ranks);
    std::free(service);
    std::free(uri);
    return -DER_NOMEM;
  }
  std::strncpy(out->dsi_system_name, name, DAOS_SYS_INFO_STRING_MAX);
  std::strncpy(out->dsi_fabric_provider, "local", DAOS_SYS_INFO_STRING_MAX);
  ranks[0].dru_uri = uri;
  out->dsi_nr_ranks = 1;
  out->dsi_ranks = ranks;
  out->dsi_nr_ms_ranks = 1;
  out->dsi_ms_ranks = service;
  *info = out;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

void daos_mgmt_put_sys_info(struct daos_sys_info* info) {
  if (info == nullptr) return;
  for (uint32_t i = 0; i < info->dsi_nr_ranks; ++i) std::free(info->dsi_ranks[i].dru_uri);
  std::free(info->dsi_ranks);
  std::free(info->dsi_ms_ranks);
  std::free(info);
}

int daos_pool_stop_svc(daos_handle_t poh, daos_event_t* ev) try {
  const auto pool = pool_of(poh);
  return call(pool ? -DER_NOSYS : capi::der_of(pool), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_debug_set_params(const char* grp, d_rank_t rank, unsigned int key_id, uint64_t value,
                          uint64_t value_extra, daos_event_t* ev) try {
  (void)grp;
  (void)rank;
  (void)value;
  (void)value_extra;
  return call(key_id >= DMG_KEY_NUM ? -DER_INVAL : -DER_NOSYS, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_debug_add_mark(const char* mark) {
  if (mark == nullptr) return -DER_INVAL;
  report(Severity::info, mark);
  return 0;
}

int daos_mgmt_get_bs_state(const char* group, unsigned char* blobstore_uuid, int* blobstore_state,
                           daos_event_t* ev) try {
  (void)group;
  (void)blobstore_uuid;
  (void)blobstore_state;
  return call(-DER_NOSYS, ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int dc_mgmt_srv_version(uint32_t* major, uint32_t* minor, uint32_t* patch, char** tag) {
  if (major == nullptr || minor == nullptr || patch == nullptr || tag == nullptr) return -DER_INVAL;
  if (const int rc = initialized(); rc != 0) return rc;
  *tag = strdup("");
  if (*tag == nullptr) return -DER_NOMEM;
  *major = DAOS_VERSION_MAJOR;
  *minor = DAOS_VERSION_MINOR;
  *patch = DAOS_VERSION_FIX;
  return 0;
}

int daos_version_get(int* major, int* minor, int* fix);
int daos_version_get(int* major, int* minor, int* fix) {
  if (major == nullptr || minor == nullptr || fix == nullptr) return -DER_INVAL;
  *major = DAOS_API_VERSION_MAJOR;
  *minor = DAOS_API_VERSION_MINOR;
  *fix = DAOS_API_VERSION_FIX;
  return 0;
}

}  // extern "C"
