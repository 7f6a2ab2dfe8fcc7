// Opening an object, for the object, array and key-value calls alike. No I/O.
#pragma once

#include "capi/daos/library.h"

namespace cairn::capi {

/// @error no_handle  the container   @error invalid  nil id, unknown type, a class the pool cannot
/// hold
/// @error not_supported  a class that keeps copies or parity
Result<std::shared_ptr<ObjectHandle>> open_object(daos_handle_t coh, daos_obj_id_t oid,
                                                  unsigned mode);

}  // namespace cairn::capi
