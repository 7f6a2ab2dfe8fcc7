// Error codes as errnos. Apart from the other files, because the header for programs has macros.
#include <daos/common.h>

namespace cairn::capi {

int errno_of_der(int der);
int errno_of_der(int der) { return daos_der2errno(der); }

}  // namespace cairn::capi
