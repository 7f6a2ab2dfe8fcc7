// What a side of a case did besides taking time: memory allocations of this process (counted by
// replacing operator new), sleeps of its threads, and bytes that it read from and wrote to disks.
#pragma once

#include <cstdint>

namespace cairn::bench {

struct Counters {
  uint64_t allocations = 0;
  uint64_t disk_read_bytes = 0;
  uint64_t disk_write_bytes = 0;  // page cache included, when it is made dirty
  uint64_t switches = 0;          // times that a thread went to sleep
  double cpu_seconds = 0;

  static Counters now();
  Counters& operator+=(const Counters& more);
};
Counters operator-(const Counters& after, const Counters& before);

}  // namespace cairn::bench
