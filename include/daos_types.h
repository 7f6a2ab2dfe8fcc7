/* SPDX-License-Identifier: Apache-2.0 */
/** Types that all of the interface shares: handles, epochs, keys, anchors, events. */
#ifndef DAOS_TYPES_H
#define DAOS_TYPES_H

#include <cart/types.h>
#include <ctype.h>
#include <daos_errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <uuid/uuid.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Longest name of a system. */
#define DAOS_SYS_NAME_MAX 15
#define DAOS_SYS_INFO_STRING_MAX 63
/** Longest name of a user attribute, without the terminating NUL. */
#define DAOS_ATTR_NAME_MAX 511
/** Bytes of a UUID as text, with the terminating NUL. */
#define DAOS_UUID_STR_SIZE 37
/** Name that a NULL system name stands for. */
#define DAOS_DEFAULT_SYS_NAME "daos_server"

#define UUID_SST_UPPER 1
#define UUID_SST_NONE 0
#define UUID_SST_LOWER (-1)

/**
 * Whether \a str is 36 characters of hexadecimal digits with hyphens at 8, 13, 18 and 23.
 * \a sensitive: UUID_SST_UPPER upper case only, UUID_SST_LOWER lower case only, else either.
 */
static inline bool daos_is_valid_uuid_string(const char *str, int sensitive) {
  int i;

  if (str == NULL || strlen(str) != DAOS_UUID_STR_SIZE - 1) return false;
  for (i = 0; i < DAOS_UUID_STR_SIZE - 1; i++) {
    const unsigned char c = (unsigned char)str[i];

    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return false;
    } else if (!isxdigit(c) || (sensitive == UUID_SST_UPPER && islower(c)) ||
               (sensitive == UUID_SST_LOWER && isupper(c))) {
      return false;
    }
  }
  return true;
}

typedef uint64_t daos_size_t;
typedef uint64_t daos_off_t;

typedef d_iov_t daos_key_t;

/** Whether \a key has no buffer or an empty one. */
static inline bool daos_key_is_null(daos_key_t key) {
  return key.iov_buf == NULL || key.iov_buf_len == 0;
}

/** Type tags in the low bits of handle cookies. */
enum {
  DAOS_HTYPE_EQ = 1,
  DAOS_HTYPE_POOL = 3,
  DAOS_HTYPE_CO = 5,
  DAOS_HTYPE_OBJ = 7,
  DAOS_HTYPE_ARRAY = 9,
  DAOS_HTYPE_TX = 11,
  DAOS_HTYPE_KV = 13
};

/** Handle of an open thing. Cookie 0 is no handle. */
typedef struct {
  uint64_t cookie;
} daos_handle_t;

#if defined(__cplusplus)
#define DAOS_HDL_INVAL (daos_handle_t{0})
#else
#define DAOS_HDL_INVAL ((daos_handle_t){0})
#endif
/** In place of a transaction handle: the operation stands for itself. */
#define DAOS_TX_NONE DAOS_HDL_INVAL

static inline bool daos_handle_is_inval(daos_handle_t hdl) { return hdl.cookie == 0; }

static inline bool daos_handle_is_valid(daos_handle_t hdl) { return !daos_handle_is_inval(hdl); }

/** Modes of a pool connection; exactly one is given. */
#define DAOS_PC_RO (1U << 0)
#define DAOS_PC_RW (1U << 1)
#define DAOS_PC_EX (1U << 2)
#define DAOS_PC_NBITS 3
#define DAOS_PC_MASK ((1U << DAOS_PC_NBITS) - 1)

/** Timeouts of polling calls, in microseconds. */
#define DAOS_EQ_WAIT (-1)
#define DAOS_EQ_NOWAIT 0

/** Flag of daos_eq_destroy(): wait for or drop what still runs. */
#define DAOS_EQ_DESTROY_FORCE 1

/**
 * Time of a version: a hybrid logical clock in units of 1/16 ns since 2021-01-01T00:00:00Z, the low
 * 18 bits a counter.
 */
typedef uint64_t daos_epoch_t;
#define DAOS_EPOCH_MAX (~0ULL)

/** Epochs lo to hi, both included. */
typedef struct {
  daos_epoch_t epr_lo;
  daos_epoch_t epr_hi;
} daos_epoch_range_t;

typedef enum {
  DAOS_ANCHOR_TYPE_ZERO = 0,
  DAOS_ANCHOR_TYPE_HKEY = 1,
  DAOS_ANCHOR_TYPE_KEY = 2,
  DAOS_ANCHOR_TYPE_EOF = 3
} daos_anchor_type_t;

#define DAOS_ANCHOR_BUF_MAX 104
#define DAOS_HKEY_MAX 32

/** Position of a listing. Zeroed at the start, then handed back unchanged until its end. */
typedef struct {
  uint16_t da_type;
  uint16_t da_shard;
  uint32_t da_flags;
  uint64_t da_sub_anchors;
  uint8_t da_buf[DAOS_ANCHOR_BUF_MAX];
} daos_anchor_t;

#if defined(__cplusplus)
#define DAOS_ANCHOR_INIT (daos_anchor_t{})
#else
#define DAOS_ANCHOR_INIT ((daos_anchor_t){DAOS_ANCHOR_TYPE_ZERO, 0, 0, 0, {0}})
#endif

typedef struct {
  uuid_t ci_uuid;
  /** Newest snapshot, 0 if there is none. */
  daos_epoch_t ci_lsnapshot;
  uint32_t ci_nhandles;
  uint32_t ci_nsnapshots;
  /** Last open and last change of metadata, as epochs. */
  uint64_t ci_md_otime;
  uint64_t ci_md_mtime;
} daos_cont_info_t;

typedef enum {
  DAOS_EQR_COMPLETED = 1,
  DAOS_EQR_WAITING = 2,
  DAOS_EQR_ALL = 3
} daos_eq_query_t;

typedef enum {
  DAOS_EVS_READY = 0,
  DAOS_EVS_RUNNING = 1,
  DAOS_EVS_COMPLETED = 2,
  DAOS_EVS_ABORTED = 3
} daos_ev_status_t;

/** One asynchronous operation. Users read \a ev_error after completion, nothing else. */
typedef struct daos_event {
  int ev_error;
  struct {
    uint64_t space[20];
  } ev_private;
  uint64_t ev_debug;
} daos_event_t;

/** Targets as pairs of rank and index on the rank; index -1 is every target of the rank. */
struct d_tgt_list {
  d_rank_t *tl_ranks;
  int32_t *tl_tgts;
  uint32_t tl_nr;
};

/** Object identifier: 96 bits of the user, the upper 32 bits of \a hi of the system. */
typedef struct {
  uint64_t lo;
  uint64_t hi;
} daos_obj_id_t;

struct daos_rank_uri {
  uint32_t dru_rank;
  char *dru_uri;
};

struct daos_sys_info {
  char dsi_system_name[DAOS_SYS_INFO_STRING_MAX + 1];
  char dsi_fabric_provider[DAOS_SYS_INFO_STRING_MAX + 1];
  char dsi_agent_path[4096];
  uint32_t dsi_nr_ranks;
  struct daos_rank_uri *dsi_ranks;
  uint32_t dsi_nr_ms_ranks;
  uint32_t *dsi_ms_ranks;
};

/** Layout of a container (DAOS_PROP_CO_LAYOUT_...). */
typedef uint16_t daos_cont_layout_t;

typedef uint32_t daos_oclass_id_t;
typedef uint16_t daos_oclass_hints_t;

#if defined(__cplusplus)
}
#endif
#endif
