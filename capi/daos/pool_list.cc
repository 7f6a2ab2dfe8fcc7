// Containers of a pool: listing, filters; pools of the system.
#include <daos_mgmt.h>
#include <daos_pool.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "capi/daos/library.h"

namespace cairn::capi {
namespace {

daos_pool_cont_info name_of(const client::ContInfo& from) {
  daos_pool_cont_info to{};
  std::memcpy(to.pci_uuid, from.uuid.bytes.data(), sizeof to.pci_uuid);
  const std::string label = from.label.empty() ? DAOS_PROP_NO_CO_LABEL : from.label;
  label.copy(to.pci_label, sizeof to.pci_label - 1);
  return to;
}

daos_pool_cont_info2 details_of(const client::ContInfo& from) {
  daos_pool_cont_info2 to{};
  to.pci_id = name_of(from);
  std::memcpy(to.pci_cinfo.ci_uuid, from.uuid.bytes.data(), sizeof to.pci_cinfo.ci_uuid);
  to.pci_cinfo.ci_lsnapshot = from.last_snapshot;
  to.pci_cinfo.ci_nhandles = from.handle_count;
  to.pci_cinfo.ci_nsnapshots = from.snapshot_count;
  to.pci_cinfo.ci_md_otime = from.open_time;
  to.pci_cinfo.ci_md_mtime = from.modify_time;
  return to;
}

uint64_t key_value(uint32_t key, const client::ContInfo& info) {
  switch (key) {
    case PCF_KEY_MD_OTIME:
      return info.open_time;
    case PCF_KEY_MD_MTIME:
      return info.modify_time;
    case PCF_KEY_NUM_SNAPSHOTS:
      return info.snapshot_count;
    default:
      return info.handle_count;
  }
}

bool part_passes(const daos_pool_cont_filter_part_t& part, const client::ContInfo& info) {
  const uint64_t value = key_value(part.pcfp_key, info);
  switch (part.pcfp_func) {
    case PCF_FUNC_EQ:
      return value == part.pcfp_val64;
    case PCF_FUNC_NE:
      return value != part.pcfp_val64;
    case PCF_FUNC_LT:
      return value < part.pcfp_val64;
    case PCF_FUNC_LE:
      return value <= part.pcfp_val64;
    case PCF_FUNC_GT:
      return value > part.pcfp_val64;
    default:
      return value >= part.pcfp_val64;
  }
}

struct Filter {
  bool any = false;  // else all parts must pass
  std::vector<daos_pool_cont_filter_part_t> parts;
  bool passes(const client::ContInfo& info) const {
    if (parts.empty()) return true;
    for (const auto& part : parts) {
      if (part_passes(part, info) == any) return any;
    }
    return !any;
  }
};

Result<Filter> filter_of(const daos_pool_cont_filter_t* from) {
  Filter out;
  if (from == nullptr) return out;
  if (from->pcf_combine_func > PCF_COMBINE_LOGICAL_OR ||
      from->pcf_nparts > DAOS_POOL_CONT_FILTER_MAX_NPARTS ||
      (from->pcf_nparts != 0 && from->pcf_parts == nullptr)) {
    return fail(Errc::invalid, "container filter: malformed, or more than 8 parts");
  }
  out.any = from->pcf_combine_func == PCF_COMBINE_LOGICAL_OR;
  for (uint32_t i = 0; i < from->pcf_nparts; ++i) {
    const auto* const part = from->pcf_parts[i];
    if (part == nullptr || part->pcfp_func >= PCF_FUNC_MAX || part->pcfp_key >= PCF_KEY_MAX) {
      return fail(Errc::invalid, "container filter: unknown operator or key");
    }
    out.parts.push_back(*part);
  }
  return out;
}

/// Copies what fits and says how many there are.
template <class T, class Make>
int answer_list(const std::vector<client::ContInfo>& found, daos_size_t* count, T* buffer,
                Make make) {
  const daos_size_t room = buffer == nullptr ? 0 : *count;
  *count = found.size();
  if (room == 0) return 0;
  if (room < found.size()) return -DER_TRUNC;
  for (size_t i = 0; i < found.size(); ++i) buffer[i] = make(found[i]);
  return 0;
}

Task<int> list_task(client::PoolPtr pool, daos_size_t* count, daos_pool_cont_info* buffer) {
  auto found = co_await pool->cont_list();
  if (!found) co_return der_of(found);
  co_return answer_list(*found, count, buffer, name_of);
}

Task<int> filter_task(client::PoolPtr pool, Filter filter, daos_size_t* count,
                      daos_pool_cont_info2* buffer) {
  auto found = co_await pool->cont_list();
  if (!found) co_return der_of(found);
  std::erase_if(*found, [&](const client::ContInfo& info) { return !filter.passes(info); });
  co_return answer_list(*found, count, buffer, details_of);
}

bool fill_pool(const client::PoolInfo& from, daos_mgmt_pool_info_t& to) {
  std::memcpy(to.mgpi_uuid, from.uuid.bytes.data(), sizeof to.mgpi_uuid);
  to.mgpi_label = strdup(from.label.empty() ? DAOS_PROP_NO_PO_LABEL : from.label.c_str());
  to.mgpi_ldr = from.leader;
  to.mgpi_svc = static_cast<d_rank_list_t*>(std::calloc(1, sizeof(d_rank_list_t)));
  if (to.mgpi_svc == nullptr) return false;
  to.mgpi_svc->rl_ranks = static_cast<d_rank_t*>(std::calloc(1, sizeof(d_rank_t)));
  if (to.mgpi_svc->rl_ranks == nullptr) return false;
  to.mgpi_svc->rl_ranks[0] = from.leader;
  to.mgpi_svc->rl_nr = 1;
  return to.mgpi_label != nullptr;
}

Task<int> list_pools_task(client::System* sys, daos_size_t* count, daos_mgmt_pool_info_t* pools) {
  auto found = co_await sys->pool_list();
  if (!found) co_return der_of(found);
  const daos_size_t room = pools == nullptr ? 0 : *count;
  *count = found->size();
  if (pools == nullptr) co_return 0;
  if (room < found->size()) co_return -DER_TRUNC;
  for (size_t i = 0; i < found->size(); ++i) {
    if (!fill_pool((*found)[i], pools[i])) co_return -DER_NOMEM;
  }
  co_return 0;
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_pool_list_cont(daos_handle_t poh, daos_size_t* ncont, struct daos_pool_cont_info* cbuf,
                        daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  if (ncont == nullptr) return call(-DER_INVAL, ev);
  return call(list_task(std::move(*pool), ncont, cbuf), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_pool_cont_filter_init(daos_pool_cont_filter_t* filt, uint32_t combine_func) {
  if (filt == nullptr || combine_func > PCF_COMBINE_LOGICAL_OR) return -DER_INVAL;
  filt->pcf_combine_func = combine_func;
  filt->pcf_nparts = 0;
  filt->pcf_parts = nullptr;
  return 0;
}

int daos_pool_cont_filter_add(daos_pool_cont_filter_t* filt,
                              daos_pool_cont_filter_part_t* part) try {
  if (filt == nullptr || part == nullptr) return -DER_INVAL;
  void* const grown =
      std::realloc(filt->pcf_parts, (filt->pcf_nparts + size_t{1}) * sizeof *filt->pcf_parts);
  if (grown == nullptr) return -DER_NOMEM;
  filt->pcf_parts = static_cast<daos_pool_cont_filter_part_t**>(grown);
  filt->pcf_parts[filt->pcf_nparts++] = part;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

void daos_pool_cont_filter_fini(daos_pool_cont_filter_t* filt) {
  if (filt == nullptr) return;
  std::free(filt->pcf_parts);
  filt->pcf_parts = nullptr;
  filt->pcf_nparts = 0;
}

int daos_pool_filter_cont(daos_handle_t poh, daos_pool_cont_filter_t* filter, daos_size_t* ncont,
                          struct daos_pool_cont_info2* cbuf, daos_event_t* ev) try {
  auto pool = pool_of(poh);
  if (!pool) return call(capi::der_of(pool), ev);
  auto parsed = filter_of(filter);
  if (!parsed || ncont == nullptr) return call(-DER_INVAL, ev);
  return call(filter_task(std::move(*pool), std::move(*parsed), ncont, cbuf), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_mgmt_list_pools(const char* group, daos_size_t* npools, daos_mgmt_pool_info_t* pools,
                         daos_event_t* ev) try {
  (void)group;
  const auto running = capi::system();
  if (!running) return capi::der_of(running.error().code());
  if (npools == nullptr) return call(-DER_INVAL, ev);
  return call(list_pools_task(*running, npools, pools), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
