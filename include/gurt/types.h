/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Base types of every interface: I/O vectors, scatter/gather lists, rank lists. Programs rely on
 * the system headers below coming with this one.
 */
#ifndef GURT_TYPES_H
#define GURT_TYPES_H

#include <byteswap.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#if defined(__cplusplus)
extern "C" {
#endif

struct d_uuid {
  uuid_t uuid;
};

/** One piece of memory. \a iov_buf_len is its capacity, \a iov_len the valid bytes in it. */
typedef struct {
  void *iov_buf;
  size_t iov_buf_len;
  size_t iov_len;
} d_iov_t;

typedef uint32_t d_rank_t;

typedef struct {
  d_rank_t *rl_ranks;
  uint32_t rl_nr;
} d_rank_list_t;

typedef d_rank_list_t *d_rank_list_ptr_t;

/** Ranks lo to hi, both included. */
typedef struct {
  d_rank_t lo;
  d_rank_t hi;
} d_rank_range_t;

typedef struct {
  d_rank_range_t *rrl_ranges;
  uint32_t rrl_nr;
} d_rank_range_list_t;

typedef char *d_string_t;
typedef const char *d_const_string_t;

/** \a sg_nr pieces are offered; \a sg_nr_out of them hold data after a fetch. */
typedef struct {
  uint32_t sg_nr;
  uint32_t sg_nr_out;
  d_iov_t *sg_iovs;
} d_sg_list_t;

/** Points \a iov at \a size bytes at \a buf, all of them valid. */
static inline void d_iov_set(d_iov_t *iov, void *buf, size_t size) {
  iov->iov_buf = buf;
  iov->iov_len = iov->iov_buf_len = size;
}

#if defined(__cplusplus)
}
#endif
#endif
