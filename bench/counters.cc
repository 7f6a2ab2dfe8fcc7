#include "bench/counters.h"

#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "bench/harness.h"

// The sanitizers have operators of their own.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAIRN_BENCH_COUNTS_MEMORY 0
#endif
#endif
#ifndef CAIRN_BENCH_COUNTS_MEMORY
#define CAIRN_BENCH_COUNTS_MEMORY 1
#endif

namespace cairn::bench {

namespace {

// A locked addition for each allocation would be a tenth of a cached fetch, so each thread adds up
// kBatch of them first; what a thread has left at its end is lost.
constexpr uint32_t kBatch = 256;
std::atomic<uint64_t> allocation_batches{0};
thread_local uint32_t allocations_here = 0;

/// /proc/self/io; zeros where the kernel does not keep it.
void read_disk_counters(Counters& into) {
  std::FILE* const file = std::fopen("/proc/self/io", "r");
  if (file == nullptr) return;
  char line[100];
  unsigned long long value = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "read_bytes: %llu", &value) == 1) into.disk_read_bytes = value;
    if (std::sscanf(line, "write_bytes: %llu", &value) == 1) into.disk_write_bytes = value;
  }
  std::fclose(file);
}

}  // namespace

Counters Counters::now() {
  Counters c;
  c.allocations = allocation_batches.load(std::memory_order_relaxed) * kBatch + allocations_here;
  c.cpu_seconds = bench::cpu_seconds();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  c.switches = static_cast<uint64_t>(usage.ru_nvcsw);
  read_disk_counters(c);
  return c;
}

Counters& Counters::operator+=(const Counters& more) {
  allocations += more.allocations;
  disk_read_bytes += more.disk_read_bytes;
  disk_write_bytes += more.disk_write_bytes;
  switches += more.switches;
  cpu_seconds += more.cpu_seconds;
  return *this;
}

Counters operator-(const Counters& after, const Counters& before) {
  return {after.allocations - before.allocations, after.disk_read_bytes - before.disk_read_bytes,
          after.disk_write_bytes - before.disk_write_bytes, after.switches - before.switches,
          after.cpu_seconds - before.cpu_seconds};
}

void count_allocation();
void count_allocation() {
  if (++allocations_here < kBatch) return;
  allocations_here = 0;
  allocation_batches.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace cairn::bench

#if CAIRN_BENCH_COUNTS_MEMORY
// The arrays and the no-throw forms of the library end here. The shared libraries find these, too.
void* operator new(size_t bytes) {
  cairn::bench::count_allocation();
  if (void* const memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  std::abort();  // a benchmark without memory has nothing to say
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif
