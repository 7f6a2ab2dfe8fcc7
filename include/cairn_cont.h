/* SPDX-License-Identifier: Apache-2.0 */
/** Cairn's own calls on containers, beside those of DAOS. */
#ifndef CAIRN_CONT_H
#define CAIRN_CONT_H

#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * Makes the container what it was at its newest snapshot, which stays. Others who use the container
 * wait meanwhile. Durable on success; begun ones are ended after a crash.
 * \return 0, -DER_NONEXIST (no such snapshot), -DER_BUSY (a newer one exists: destroy it first),
 *         -DER_NO_PERM (opened read only), -DER_INVAL (0, DAOS_EPOCH_MAX).
 */
int cairn_cont_rollback(daos_handle_t coh, daos_epoch_t epoch, daos_event_t* ev);

enum cairn_snap_difference_kind {
  CAIRN_SNAP_ADDED = 0,   /**< only in the newer snapshot */
  CAIRN_SNAP_REMOVED = 1, /**< only in the older one */
  CAIRN_SNAP_CHANGED = 2
};

/** One akey that differs. Keys are valid during the callback. */
typedef struct {
  daos_obj_id_t oid;
  uint32_t kind; /**< cairn_snap_difference_kind */
  uint32_t reserved;
  const void* dkey;
  size_t dkey_bytes;
  const void* akey;
  size_t akey_bytes;
} cairn_snap_difference_t;

/** \return 0 to go on; anything else ends the walk with that value. */
typedef int(cairn_snap_diff_cb_t)(const cairn_snap_difference_t* difference, void* arg);

/**
 * Calls \a found for everything that differs between two snapshots, in key order. Blocks.
 * \return 0, what \a found returned, -DER_NONEXIST (not both are there), -DER_INVAL (order).
 */
int cairn_cont_snap_diff(daos_handle_t coh, daos_epoch_t older, daos_epoch_t newer,
                         cairn_snap_diff_cb_t* found, void* arg);

#if defined(__cplusplus)
}
#endif

#endif /* CAIRN_CONT_H */
