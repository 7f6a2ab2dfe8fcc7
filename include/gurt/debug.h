/* SPDX-License-Identifier: Apache-2.0 */
/** Messages of programs: errors and warnings go to the standard error, others nowhere. */
#ifndef GURT_DEBUG_H
#define GURT_DEBUG_H

#include <assert.h>
#include <daos_errno.h>
#include <stdio.h>

/** Formats of an error code: name, number, description. */
#define DF_RC "%s(%d): '%s'"
#define DP_RC(rc) d_errstr(rc), (int)(rc), d_errdesc(rc)
#define DF_U64 "%" PRIu64
#define DF_X64 "%" PRIx64

#define D_ERROR(...) ((void)fprintf(stderr, "ERROR: " __VA_ARGS__))
#define D_WARN(...) ((void)fprintf(stderr, "WARNING: " __VA_ARGS__))
#define D_INFO(...) ((void)sizeof(printf(__VA_ARGS__)))
#define D_PRINT(...) ((void)printf(__VA_ARGS__))
#define D_DEBUG(mask, ...) ((void)sizeof(printf(__VA_ARGS__)))

#define D_ASSERT(cond) assert(cond)
#define D_ASSERTF(cond, ...) \
  do {                       \
    if (!(cond)) {           \
      D_ERROR(__VA_ARGS__);  \
      assert(cond);          \
    }                        \
  } while (0)

#endif
