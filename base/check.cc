#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace cairn {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr,
               "cairn: internal error: CHECK(%s) failed at %s:%d; please report this line\n",
               condition, file, line);
  std::abort();
}

}  // namespace cairn
