// The providers of libfabric that are used, and whether they can do here what is needed. Pure
// look-ups, which may take the library some tens of milliseconds the first time.
#pragma once

#include "fabric/ofi_library.h"
#include "runtime/address.h"

namespace cairn::fabric {

/// What a provider's endpoint is made from, and what its memory regions want.
struct OfiChoice {
  OfiLibrary library;
  OfiInfo info;
  bool shm = false;           // of one machine, by shared memory
  bool local_memory = false;  // buffers of our own are registered, too
  bool virtual_addresses = false;
  bool provider_keys = false;
  bool endpoint_regions = false;
};

/// Reliable datagrams with messages and remote memory access, for an endpoint of this process.
/// @param node  the local host, numeric; with shared memory a name that no other process has
/// @error not_supported  libfabric, the provider or its device is missing, or cannot do it; the
///                       text names what, and the way out
Result<OfiChoice> choose_provider(const Address& address, const std::string& node);

}  // namespace cairn::fabric
