/* SPDX-License-Identifier: Apache-2.0 */
/** Names of the transport layer that appear in other interfaces. */
#ifndef CART_TYPES_H
#define CART_TYPES_H

#include <gurt/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

typedef void *crt_context_t;

#define CRT_GROUP_ID_MAX 64
#define CRT_NO_RANK 0xFFFFFFFFU

typedef char *crt_group_id_t;

typedef struct crt_group {
  crt_group_id_t cg_grpid;
} crt_group_t;

typedef struct {
  crt_group_t *ep_grp;
  d_rank_t ep_rank;
  uint32_t ep_tag;
} crt_endpoint_t;

#if defined(__cplusplus)
}
#endif
#endif
