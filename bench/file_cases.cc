// file.*: through libdfs.
#include "bench/harness.h"

namespace cairn::bench {

void add_file_cases(std::vector<Case>&) {}

}  // namespace cairn::bench
