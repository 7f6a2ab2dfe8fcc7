#include "fabric/ofi_provider.h"

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>

#include <cstring>

namespace cairn::fabric {

namespace {

/// What is said where a provider is not in this libfabric, or has nothing to work on.
struct ProviderTexts {
  std::string_view name;
  std::string_view core;  // as the library lists it
  const char* absent;
  const char* no_device;
};

constexpr ProviderTexts kTexts[] = {
    {"tcp;ofi_rxm", "tcp",
     "ofi: this libfabric has no provider tcp or ofi_rxm: install the distribution's libfabric1, "
     "or use tcp:HOST:PORT",
     "ofi: the provider tcp;ofi_rxm finds no interface with this address: give one of this host, "
     "and look at FI_TCP_IFACE and FI_PROVIDER"},
    {"shm", "shm",
     "ofi: this libfabric has no provider shm: install the distribution's libfabric1, or use the "
     "home's Unix socket",
     "ofi: the provider shm cannot work here: look at /dev/shm and FI_PROVIDER"},
    {"verbs;ofi_rxm", "verbs",
     "ofi: this libfabric has no provider verbs: install one that was built with it (and "
     "ibverbs-providers), or use ofi+tcp;ofi_rxm",
     "ofi: the provider verbs finds no RDMA device with this address: look at ibv_devinfo and "
     "the interface's IP address, or use ofi+tcp;ofi_rxm"},
    {"cxi", "cxi",
     "ofi: this libfabric has no provider cxi: install the one of the Slingshot host software, or "
     "use ofi+tcp;ofi_rxm",
     "ofi: the provider cxi finds no Slingshot device (/dev/cxi0): look at cxi_stat, or use "
     "ofi+tcp;ofi_rxm"},
    {"efa", "efa",
     "ofi: this libfabric has no provider efa: install the one of the EFA installer, or use "
     "ofi+tcp;ofi_rxm",
     "ofi: the provider efa finds no EFA device: the instance needs one, see fi_info -p efa, or "
     "use ofi+tcp;ofi_rxm"},
};
static_assert(std::size(kTexts) == std::size(kOfiProviders));

constexpr uint64_t kCapabilities = FI_MSG | FI_RMA;
constexpr uint32_t kApi = FI_VERSION(1, 11);

const ProviderTexts& texts_of(std::string_view provider) {
  for (const ProviderTexts& each : kTexts) {
    if (each.name == provider) return each;
  }
  return kTexts[0];  // parse_address() admits no other
}

struct Wanted {
  uint64_t capabilities = kCapabilities;
  bool local_memory = false;
  bool everything = true;  // false: only to see whether there is anything
};

OfiInfo hints_of(const OfiLibrary& library, std::string_view provider, const Wanted& wanted) {
  OfiInfo hints(library.dupinfo(nullptr), {library.freeinfo});
  hints->fabric_attr->prov_name = strndup(provider.data(), provider.size());
  hints->ep_attr->type = FI_EP_RDM;
  if (!wanted.everything) {
    hints->caps = 0;
    hints->mode = ~uint64_t{0};
    hints->domain_attr->mr_mode = ~(FI_MR_BASIC | FI_MR_SCALABLE);
    return hints;
  }
  hints->caps = wanted.capabilities;
  hints->mode = FI_CONTEXT | FI_CONTEXT2;
  hints->domain_attr->mr_mode = FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY |
                                FI_MR_ENDPOINT | (wanted.local_memory ? FI_MR_LOCAL : 0);
  // One thread at a time, which also asks for progress: no thread of the library's own.
  hints->domain_attr->threading = FI_THREAD_DOMAIN;
  hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
  hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
  hints->domain_attr->resource_mgmt = FI_RM_ENABLED;
  return hints;
}

OfiInfo ask(const OfiLibrary& library, const std::string& node, const fi_info* hints) {
  fi_info* found = nullptr;
  const bool local = !node.empty();
  // Shared memory knows names only.
  const bool port = local && std::string_view(hints->fabric_attr->prov_name) != kShmProvider;
  const int rc = library.getinfo(kApi, local ? node.c_str() : nullptr, port ? "0" : nullptr,
                                 local ? FI_SOURCE : 0, hints, &found);
  return {rc == 0 ? found : nullptr, {library.freeinfo}};
}

bool is_built_in(const OfiLibrary& library, std::string_view core) {
  fi_info* found = nullptr;
  if (library.getinfo(kApi, nullptr, nullptr, FI_PROV_ATTR_ONLY, nullptr, &found) != 0) {
    return false;
  }
  const OfiInfo all(found, {library.freeinfo});
  for (const fi_info* at = found; at != nullptr; at = at->next) {
    const char* const name = at->fabric_attr != nullptr ? at->fabric_attr->prov_name : nullptr;
    if (name != nullptr && std::string_view(name).starts_with(core)) return true;
  }
  return false;
}

/// Why nothing was found.
Error missing(const OfiLibrary& library, std::string_view provider, const std::string& node) {
  const ProviderTexts& texts = texts_of(provider);
  if (!is_built_in(library, texts.core)) return {Errc::not_supported, texts.absent};
  const OfiInfo some = ask(library, node, hints_of(library, provider, {.everything = false}).get());
  if (!some) return {Errc::not_supported, texts.no_device};
  Wanted wanted{.capabilities = FI_MSG, .local_memory = true};
  if (ask(library, node, hints_of(library, provider, wanted).get())) {
    return {Errc::not_supported,
            "ofi: the provider of this address has no remote memory access (FI_RMA) here: use "
            "ofi+tcp;ofi_rxm"};
  }
  return {Errc::not_supported,
          "ofi: the provider of this address has no reliable datagrams that one thread drives "
          "(FI_EP_RDM, FI_MSG, FI_PROGRESS_MANUAL) here: use ofi+tcp;ofi_rxm"};
}

}  // namespace

Result<OfiChoice> choose_provider(const Address& address, const std::string& node) {
  TRY(library, OfiLibrary::open());
  const bool shm = address.provider == kShmProvider;
  // cxi and efa have addresses of their own kind, which they choose.
  const bool by_ip = address.provider == "tcp;ofi_rxm" || address.provider == "verbs;ofi_rxm";
  const std::string at = shm || by_ip ? node : std::string();
  OfiChoice out{.library = library, .shm = shm};
  for (const bool local_memory : {false, true}) {
    const Wanted wanted{.local_memory = local_memory};
    out.info = ask(library, at, hints_of(library, address.provider, wanted).get());
    if (out.info) break;
  }
  if (!out.info) return fail(missing(library, address.provider, at));
  const auto mode = static_cast<uint64_t>(out.info->domain_attr->mr_mode);
  // FI_MR_BASIC is the older word for three of them.
  const bool basic = mode == FI_MR_BASIC;
  out.local_memory = (mode & FI_MR_LOCAL) != 0;
  out.virtual_addresses = basic || (mode & FI_MR_VIRT_ADDR) != 0;
  out.provider_keys = basic || (mode & FI_MR_PROV_KEY) != 0;
  out.endpoint_regions = (mode & FI_MR_ENDPOINT) != 0;
  return out;
}

}  // namespace cairn::fabric
