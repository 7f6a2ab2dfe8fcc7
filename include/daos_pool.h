/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Pools. A call with an event blocks if it is NULL. Errors common to all calls: -DER_NO_HDL,
 * -DER_INVAL, -DER_NO_PERM, -DER_UNINIT before daos_init().
 */
#ifndef DAOS_POOL_H
#define DAOS_POOL_H

#include <daos_prop.h>
#include <uuid/uuid.h>

#if defined(__cplusplus)
extern "C" {
#endif

typedef enum {
  DAOS_TS_UNKNOWN = 0,
  DAOS_TS_DOWN_OUT = 1,
  DAOS_TS_DOWN = 2,
  DAOS_TS_UP = 3,
  DAOS_TS_UP_IN = 4,
  DAOS_TS_NEW = 5,
  DAOS_TS_DRAIN = 6
} daos_target_state_t;

typedef struct {
  int foo;
} daos_target_perf_t;

typedef enum { DAOS_MEDIA_SCM = 0, DAOS_MEDIA_NVME = 1, DAOS_MEDIA_MAX = 2 } daos_media_type_t;

/** Bytes per tier. */
struct daos_space {
  uint64_t s_total[DAOS_MEDIA_MAX];
  uint64_t s_free[DAOS_MEDIA_MAX];
};

typedef struct {
  uint32_t ta_padding;
  daos_target_state_t ta_state;
  daos_target_perf_t ta_perf;
  struct daos_space ta_space;
} daos_target_info_t;

struct daos_pool_space {
  struct daos_space ps_space;
  uint64_t ps_free_min[DAOS_MEDIA_MAX];
  uint64_t ps_free_max[DAOS_MEDIA_MAX];
  uint64_t ps_free_mean[DAOS_MEDIA_MAX];
  uint32_t ps_ntargets;
  uint32_t ps_padding;
};

typedef enum { DRS_IN_PROGRESS = 0, DRS_NOT_STARTED = 1, DRS_COMPLETED = 2 } daos_rebuild_state_t;

enum daos_rebuild_status_flag { DAOS_RSF_DEGRADED = 1 << 0 };

struct daos_rebuild_status {
  /** Pool map version of the rebuild, 0 if there never was one. */
  uint32_t rs_version;
  uint32_t rs_seconds;
  int32_t rs_errno;
  union {
    int32_t rs_state;
    int32_t rs_done;
  };
  uint16_t rs_max_supported_layout_ver;
  uint8_t rs_flags;
  uint8_t rs_reserved_;
  int32_t rs_fail_rank;
  uint64_t rs_toberb_obj_nr;
  uint64_t rs_obj_nr;
  uint64_t rs_rec_nr;
  uint64_t rs_size;
};

/** Which optional parts of daos_pool_info_t a query fills: input in pi_bits. */
enum daos_pool_info_bit {
  DPI_SPACE = 1 << 0,
  DPI_REBUILD_STATUS = 1 << 1,
  DPI_ENGINES_ENABLED = 1 << 2,
  DPI_ENGINES_DISABLED = 1 << 3,
  DPI_ENGINES_DEAD = 1 << 4,
  DPI_REBUILD_MAX_LAYOUT_VER = 1 << 5,
  DPI_SELF_HEAL_POLICY = 1 << 6,
  DPI_ALL = -1
};

typedef struct {
  uuid_t pi_uuid;
  uint32_t pi_ntargets;
  uint32_t pi_nnodes;
  uint32_t pi_ndisabled;
  uint32_t pi_map_ver;
  uint32_t pi_leader;
  uint64_t pi_bits;
  struct daos_pool_space pi_space;
  struct daos_rebuild_status pi_rebuild_st;
} daos_pool_info_t;

struct daos_pool_cont_info {
  uuid_t pci_uuid;
  char pci_label[DAOS_PROP_MAX_LABEL_BUF_LEN];
};

struct daos_pool_cont_info2 {
  struct daos_pool_cont_info pci_id;
  daos_cont_info_t pci_cinfo;
  void *pci_reserved[2];
};

enum daos_pool_cont_filter_func {
  PCF_FUNC_EQ = 0,
  PCF_FUNC_NE = 1,
  PCF_FUNC_LT = 2,
  PCF_FUNC_LE = 3,
  PCF_FUNC_GT = 4,
  PCF_FUNC_GE = 5,
  PCF_FUNC_MAX = 6
};

enum daos_pool_cont_filter_key {
  PCF_KEY_MD_OTIME = 0,
  PCF_KEY_MD_MTIME = 1,
  PCF_KEY_NUM_SNAPSHOTS = 2,
  PCF_KEY_NUM_HANDLES = 3,
  PCF_KEY_MAX = 4
};

enum daos_pool_cont_filter_combine {
  PCF_COMBINE_LOGICAL_AND = 0,
  PCF_COMBINE_LOGICAL_OR = 1
};

#define DAOS_POOL_CONT_FILTER_MAX_NPARTS 8

/** One comparison: key, operator, value. */
typedef struct daos_pool_cont_filter_part {
  uint32_t pcfp_func;
  uint32_t pcfp_key;
  union {
    uint64_t pcfp_val64;
    d_string_t pcfp_valstr;
  };
} daos_pool_cont_filter_part_t;

typedef struct daos_pool_cont_filter {
  uint32_t pcf_combine_func;
  uint32_t pcf_nparts;
  struct daos_pool_cont_filter_part **pcf_parts;
} daos_pool_cont_filter_t;

static inline const char *daos_pool_cont_filter_func_str(enum daos_pool_cont_filter_func f) {
  switch (f) {
    case PCF_FUNC_EQ:
      return "==";
    case PCF_FUNC_NE:
      return "!=";
    case PCF_FUNC_LT:
      return "<";
    case PCF_FUNC_LE:
      return "<=";
    case PCF_FUNC_GT:
      return ">";
    case PCF_FUNC_GE:
      return ">=";
    default:
      return "UNKNOWN";
  }
}

static inline const char *daos_pool_cont_filter_key_str(enum daos_pool_cont_filter_key k) {
  switch (k) {
    case PCF_KEY_MD_OTIME:
      return "md_open_time";
    case PCF_KEY_MD_MTIME:
      return "md_modify_time";
    case PCF_KEY_NUM_SNAPSHOTS:
      return "num_snapshots";
    case PCF_KEY_NUM_HANDLES:
      return "num_handles";
    default:
      return "UNKNOWN";
  }
}

/**
 * Connects to a pool by label or UUID. \a sys: name of the system, NULL for the default. \a flags:
 * one of DAOS_PC_RO, DAOS_PC_RW, DAOS_PC_EX. \a info may be NULL; its pi_bits select as in a query.
 * \return 0, -DER_NONEXIST, -DER_BUSY (exclusive), -DER_NO_PERM, -DER_INVAL.
 */
int daos_pool_connect2(const char *pool, const char *sys, unsigned int flags, daos_handle_t *poh,
                       daos_pool_info_t *info, daos_event_t *ev);
#define daos_pool_connect daos_pool_connect2

/** Ends a connection. \return 0, -DER_NO_HDL, -DER_BUSY (containers are open). */
int daos_pool_disconnect(daos_handle_t poh, daos_event_t *ev);

/** Portable form of a handle; iov_buf NULL asks for the size. \return 0, -DER_TRUNC. */
int daos_pool_local2global(daos_handle_t poh, d_iov_t *glob);

/** Handle from its portable form. \return 0, -DER_INVAL (malformed). */
int daos_pool_global2local(d_iov_t glob, daos_handle_t *poh);

/**
 * Queries a pool; every output may be NULL. \a ranks receives a list for d_rank_list_free(): the
 * ranks in use with DPI_ENGINES_ENABLED, else those that are not. \a pool_prop: no entries for all
 * properties, or the wanted ones.
 */
int daos_pool_query(daos_handle_t poh, d_rank_list_t **ranks, daos_pool_info_t *info,
                    daos_prop_t *pool_prop, daos_event_t *ev);

/** State and space of one target. \return 0, -DER_NONEXIST. */
int daos_pool_query_target(daos_handle_t poh, uint32_t tgt, d_rank_t rank,
                           daos_target_info_t *info, daos_event_t *ev);

/** User attributes: as those of containers, see daos_cont_list_attr() and the following. */
int daos_pool_list_attr(daos_handle_t poh, char *buffer, size_t *size, daos_event_t *ev);

int daos_pool_get_attr(daos_handle_t poh, int n, const char *const *names, void *const *buffers,
                       size_t *sizes, daos_event_t *ev);

int daos_pool_set_attr(daos_handle_t poh, int n, const char *const *names,
                       const void *const *values, const size_t *sizes, daos_event_t *ev);

int daos_pool_del_attr(daos_handle_t poh, int n, const char *const *names, daos_event_t *ev);

/**
 * Lists containers. \a ncont: room in \a cbuf, then their number; \a cbuf NULL only counts.
 * \return 0, -DER_TRUNC (room short), -DER_INVAL.
 */
int daos_pool_list_cont(daos_handle_t poh, daos_size_t *ncont, struct daos_pool_cont_info *cbuf,
                        daos_event_t *ev);

/** Starts a filter whose parts are combined by \a combine_func (PCF_COMBINE_LOGICAL_). */
int daos_pool_cont_filter_init(daos_pool_cont_filter_t *filt, uint32_t combine_func);

/** Adds a part, which must outlive the filter. */
int daos_pool_cont_filter_add(daos_pool_cont_filter_t *filt, daos_pool_cont_filter_part_t *part);

/** Frees what the filter itself holds. */
void daos_pool_cont_filter_fini(daos_pool_cont_filter_t *filt);

/** Lists containers that pass \a filter (NULL: all). At most 8 parts. */
int daos_pool_filter_cont(daos_handle_t poh, daos_pool_cont_filter_t *filter, daos_size_t *ncont,
                          struct daos_pool_cont_info2 *cbuf, daos_event_t *ev);

/** Rights (DAOS_ACL_PERM_) of a user by the ACL and owner entries of \a pool_prop. */
int daos_pool_get_perms(daos_prop_t *pool_prop, uid_t uid, gid_t *gids, size_t nr_gids,
                        uint64_t *perms);

#if defined(__cplusplus)
}
#endif
#endif
