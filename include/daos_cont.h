/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Containers. A call with an event blocks if it is NULL. Errors common to all calls: -DER_NO_HDL,
 * -DER_INVAL, -DER_NO_PERM, -DER_UNINIT before daos_init().
 */
#ifndef DAOS_CONT_H
#define DAOS_CONT_H

#include <daos_security.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Open flags; exactly one of RO, RW, EX. */
#define DAOS_COO_RO (1U << 0)
#define DAOS_COO_RW (1U << 1)
#define DAOS_COO_EX (1U << 2)
/** Open although data may have been lost. */
#define DAOS_COO_FORCE (1U << 3)
/** Leave the times of the container alone. */
#define DAOS_COO_RO_MDSTATS (1U << 4)
#define DAOS_COO_EVICT (1U << 5)
#define DAOS_COO_EVICT_ALL (1U << 6)
/** Set by the library. */
#define DAOS_COO_NEW_LAYOUT (1U << 7)
#define DAOS_COO_NBITS 8
#define DAOS_COO_MASK ((1U << DAOS_COO_NBITS) - 1)
#define DAOS_COO_IO_BASE_MASK (DAOS_COO_RO | DAOS_COO_RW | DAOS_COO_EX)

#define DAOS_CONT_HINT_MAX_LEN 128
#define DAOS_SNAPSHOT_MAX_LEN 128

enum daos_snapshot_opts {
  /** Make a snapshot. */
  DAOS_SNAP_OPT_CR = 1 << 0,
  /** Make its table of object ids, too. */
  DAOS_SNAP_OPT_OIT = 1 << 1
};

/** Ranks of a text such as "0:1:2"; free it with d_rank_list_free(). NULL if it is malformed. */
d_rank_list_t* daos_rank_list_parse(const char* str, const char* sep);

/** Portable form of a handle; iov_buf NULL asks for the size. \return 0, -DER_TRUNC. */
int daos_cont_local2global(daos_handle_t coh, d_iov_t* glob);

/** Handle from its portable form. \return 0, -DER_INVAL (not of this pool, malformed). */
int daos_cont_global2local(daos_handle_t poh, d_iov_t glob, daos_handle_t* coh);

/**
 * Creates a container; \a uuid (may be NULL) receives its identifier, \a cont_prop (may be NULL)
 * its properties. \return 0, -DER_EXIST (label in use), -DER_INVAL.
 */
int daos_cont_create2(daos_handle_t poh, uuid_t* uuid, daos_prop_t* cont_prop, daos_event_t* ev);
#define daos_cont_create daos_cont_create2

/** Creates a container with a label, which replaces one in \a cont_prop. */
int daos_cont_create_with_label(daos_handle_t poh, const char* label, daos_prop_t* cont_prop,
                                uuid_t* uuid, daos_event_t* ev);

/**
 * Opens a container by label or UUID. \a info may be NULL. \return 0, -DER_NONEXIST, -DER_BUSY
 * (exclusively open), -DER_RF (data lost and no DAOS_COO_FORCE).
 */
int daos_cont_open2(daos_handle_t poh, const char* cont, unsigned int flags, daos_handle_t* coh,
                    daos_cont_info_t* info, daos_event_t* ev);
#define daos_cont_open daos_cont_open2

/** Closes a container handle; object handles below it become stale. */
int daos_cont_close(daos_handle_t coh, daos_event_t* ev);

/** Destroys a container. \return 0, -DER_NONEXIST, -DER_BUSY (open handles and \a force 0). */
int daos_cont_destroy2(daos_handle_t poh, const char* cont, int force, daos_event_t* ev);
#define daos_cont_destroy daos_cont_destroy2

/**
 * Queries a container. \a cont_prop: NULL, or no entries for all properties, or the wanted ones;
 * release the values with daos_prop_free().
 */
int daos_cont_query(daos_handle_t coh, daos_cont_info_t* info, daos_prop_t* cont_prop,
                    daos_event_t* ev);

/** ACL and owners, in a new property list for daos_prop_free(). */
int daos_cont_get_acl(daos_handle_t coh, daos_prop_t** acl_prop, daos_event_t* ev);

int daos_cont_set_prop(daos_handle_t coh, daos_prop_t* prop, daos_event_t* ev);

/** Marks the container as healthy again. */
int daos_cont_status_clear(daos_handle_t coh, daos_event_t* ev);

int daos_cont_overwrite_acl(daos_handle_t coh, struct daos_acl* acl, daos_event_t* ev);

/** Adds entries; those of a principal that is there are replaced. */
int daos_cont_update_acl(daos_handle_t coh, struct daos_acl* acl, daos_event_t* ev);

/** Removes the entry of a principal. \return 0, -DER_NONEXIST. */
int daos_cont_delete_acl(daos_handle_t coh, enum daos_acl_principal_type type, d_string_t name,
                         daos_event_t* ev);

/** Changes user, group ("name@") or both; NULL leaves one. \return 0, -DER_NONEXIST (no account).
 */
int daos_cont_set_owner(daos_handle_t coh, d_string_t user, d_string_t group, daos_event_t* ev);

/** As daos_cont_set_owner() without looking the accounts up. */
int daos_cont_set_owner_no_check(daos_handle_t coh, d_string_t user, d_string_t group,
                                 daos_event_t* ev);

/**
 * Names of the user attributes, NUL-terminated back to back. \a size: bytes at \a buffer, then
 * bytes of all names. Names that do not fit are left out.
 */
int daos_cont_list_attr(daos_handle_t coh, char* buffer, size_t* size, daos_event_t* ev);

/**
 * Reads \a n attributes. \a sizes: bytes at each buffer, then the lengths of the values (0:
 * absent).
 * \return 0, -DER_NONEXIST if all are absent.
 */
int daos_cont_get_attr(daos_handle_t coh, int n, const char* const* names, void* const* buffers,
                       size_t* sizes, daos_event_t* ev);

/** Sets \a n attributes together. */
int daos_cont_set_attr(daos_handle_t coh, int n, const char* const* names,
                       const void* const* values, const size_t* sizes, daos_event_t* ev);

/** Removes attributes; absent ones are no error. */
int daos_cont_del_attr(daos_handle_t coh, int n, const char* const* names, daos_event_t* ev);

/** Reserves \a num_oids numbers that are unique in the container; \a oid receives the first. */
int daos_cont_alloc_oids(daos_handle_t coh, daos_size_t num_oids, uint64_t* oid, daos_event_t* ev);

/** Allows to reclaim versions up to \a epoch (0: now) that nothing needs. */
int daos_cont_aggregate(daos_handle_t coh, daos_epoch_t epoch, daos_event_t* ev);

/** \return -DER_NOSYS. */
int daos_cont_rollback(daos_handle_t coh, daos_epoch_t epoch, daos_event_t* ev);

/** \return -DER_NOSYS. */
int daos_cont_subscribe(daos_handle_t coh, daos_epoch_t* epoch, daos_event_t* ev);

/** Makes a snapshot; \a name is NULL. \a epoch receives its epoch. */
int daos_cont_create_snap(daos_handle_t coh, daos_epoch_t* epoch, char* name, daos_event_t* ev);

/** Makes a snapshot with \a opts; without DAOS_SNAP_OPT_CR it is -DER_NOSYS. */
int daos_cont_create_snap_opt(daos_handle_t coh, daos_epoch_t* epoch, char* name,
                              enum daos_snapshot_opts opts, daos_event_t* ev);

/** Lists snapshots, oldest first. \a nr: room in \a epochs, then the number of snapshots. */
int daos_cont_list_snap(daos_handle_t coh, int* nr, daos_epoch_t* epochs, char** names,
                        daos_anchor_t* anchor, daos_event_t* ev);

/** Removes the snapshot at epr_lo == epr_hi. \return 0, -DER_NONEXIST. */
int daos_cont_destroy_snap(daos_handle_t coh, daos_epoch_range_t epr, daos_event_t* ev);

/** Rights (DAOS_ACL_PERM_) of a user by the ACL and owner entries of \a cont_prop. */
int daos_cont_get_perms(daos_prop_t* cont_prop, uid_t uid, gid_t* gids, size_t nr_gids,
                        uint64_t* perms);

/** Makes the table of object ids of the snapshot at \a epoch; \a name is NULL. */
int daos_cont_snap_oit_create(daos_handle_t coh, daos_epoch_t epoch, char* name, daos_event_t* ev);

int daos_cont_snap_oit_destroy(daos_handle_t coh, daos_handle_t oh, daos_event_t* ev);

#if defined(__cplusplus)
}
#endif
#endif
