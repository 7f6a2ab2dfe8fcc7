// Assertions for our own bugs. Bytes from a disk, a peer or a caller are parsed into a Result
// instead.
//   CHECK(cond)   stays on in release builds
//   DCHECK(cond)  debug, test and simulation builds (CAIRN_DEBUG_CHECKS)
//   VERIFY(expr)  whole-structure walks; like DCHECK, but `expr` may be slow
#pragma once

namespace cairn {
[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;
}

#define CHECK(cond)                                     \
  do {                                                  \
    if (!(cond)) [[unlikely]]                           \
      ::cairn::check_failed(#cond, __FILE__, __LINE__); \
  } while (false)

#if defined(CAIRN_DEBUG_CHECKS)
#define DCHECK(cond) CHECK(cond)
#define VERIFY(expr) CHECK(expr)
#else
#define DCHECK(cond)         \
  do {                       \
    if (false) (void)(cond); \
  } while (false)
#define VERIFY(expr) DCHECK(expr)
#endif
