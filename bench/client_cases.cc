// client.*: through the C API.
#include "bench/harness.h"

namespace cairn::bench {

void add_client_cases(std::vector<Case>&) {}
void add_file_cases(std::vector<Case>&) {}

}  // namespace cairn::bench
