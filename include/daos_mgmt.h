/* SPDX-License-Identifier: Apache-2.0 */
/** The system as a whole: its pools, its description, help for tests. */
#ifndef DAOS_MGMT_H
#define DAOS_MGMT_H

#include <daos_cont.h>
#include <uuid/uuid.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Keys of daos_debug_set_params(). */
enum { DMG_KEY_FAIL_LOC = 0, DMG_KEY_FAIL_VALUE = 1, DMG_KEY_FAIL_NUM = 2, DMG_KEY_NUM = 3 };

typedef struct {
  uuid_t mgpi_uuid;
  /** Allocated; the caller frees it. */
  d_string_t mgpi_label;
  /** Allocated; for d_rank_list_free(). */
  d_rank_list_t *mgpi_svc;
  d_rank_t mgpi_ldr;
} daos_mgmt_pool_info_t;

/** Describes the system \a sys (NULL: the default). Give it back with daos_mgmt_put_sys_info(). */
int daos_mgmt_get_sys_info(const char *sys, struct daos_sys_info **info);

void daos_mgmt_put_sys_info(struct daos_sys_info *info);

/** Stops the pool's service; help for tests. */
int daos_pool_stop_svc(daos_handle_t poh, daos_event_t *ev);

/**
 * Lists pools. \a npools: room in \a pools, then their number; \a pools NULL only counts.
 * \return 0, -DER_TRUNC (room short), -DER_INVAL.
 */
int daos_mgmt_list_pools(const char *group, daos_size_t *npools, daos_mgmt_pool_info_t *pools,
                         daos_event_t *ev);

/** Sets a fault-injection parameter (DMG_KEY_) on \a rank, or on all if it is -1. */
int daos_debug_set_params(const char *grp, d_rank_t rank, unsigned int key_id, uint64_t value,
                          uint64_t value_extra, daos_event_t *ev);

/** Writes a line to the logs. */
int daos_debug_add_mark(const char *mark);

/** State of the block store of a device. */
int daos_mgmt_get_bs_state(const char *group, unsigned char *blobstore_uuid,
                           int *blobstore_state, daos_event_t *ev);

/** Version of the server; \a tag is allocated for the caller. \return 0, -DER_INVAL (NULL). */
int dc_mgmt_srv_version(uint32_t *major, uint32_t *minor, uint32_t *patch, char **tag);

#if defined(__cplusplus)
}
#endif
#endif
