#include "fabric/ofi_library.h"

#include <dlfcn.h>
#include <rdma/fabric.h>

namespace cairn::fabric {

namespace {

constexpr uint32_t kOldest = FI_VERSION(1, 11);  // efa and cxi with what is used here

template <class Function>
bool find(void* library, const char* name, const char* version, Function& into) {
  // As a program that is linked with the library of the headers would be bound.
  void* found = dlvsym(library, name, version);
  if (found == nullptr) found = dlsym(library, name);
  into = reinterpret_cast<Function>(found);
  return found != nullptr;
}

}  // namespace

Result<OfiLibrary> OfiLibrary::open() {
  void* const library = dlopen("libfabric.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    return fail(Errc::not_supported,
                "ofi: libfabric is not installed: apt install libfabric1, or use tcp:HOST:PORT");
  }
  OfiLibrary out;
  const bool whole = find(library, "fi_getinfo", "FABRIC_1.3", out.getinfo) &&
                     find(library, "fi_freeinfo", "FABRIC_1.3", out.freeinfo) &&
                     find(library, "fi_dupinfo", "FABRIC_1.3", out.dupinfo) &&
                     find(library, "fi_fabric", "FABRIC_1.1", out.fabric) &&
                     find(library, "fi_strerror", "FABRIC_1.0", out.strerror) &&
                     find(library, "fi_version", "FABRIC_1.0", out.version);
  if (!whole || out.version() < kOldest) {
    return fail(Errc::not_supported,
                "ofi: this libfabric is older than 1.11: install a newer libfabric1, or use "
                "tcp:HOST:PORT");
  }
  return out;
}

}  // namespace cairn::fabric
