// How many descriptors this process may have.
#pragma once

#include <sys/resource.h>

namespace cairn {

/// As many as the system lets it, also in processes that it starts: the usual 1,024 are for
/// programs that use select(). @returns how many
inline rlim_t raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  rlimit most = limit;
  most.rlim_cur = most.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &most) == 0 ? most.rlim_cur : limit.rlim_cur;
}

}  // namespace cairn
