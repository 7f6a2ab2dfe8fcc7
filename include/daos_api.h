/* SPDX-License-Identifier: Apache-2.0 */
/** Transactions, anchors, conversion of epochs to time. */
#ifndef DAOS_API_H
#define DAOS_API_H

#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

enum {
  /** Reads only. */
  DAOS_TF_RDONLY = 1 << 0,
  /** Buffers of updates stay valid until the commit. */
  DAOS_TF_ZERO_COPY = 1 << 1
};

/** Starts a transaction; close it with daos_tx_close(). \return 0, -DER_NO_HDL, -DER_INVAL. */
int daos_tx_open(daos_handle_t coh, daos_handle_t* th, uint64_t flags, daos_event_t* ev);

/**
 * Commits: all changes or none, durable on success. \return 0, -DER_TX_RESTART (conflict: call
 * daos_tx_restart() and repeat the operations), -DER_ALREADY (second commit), -DER_NO_PERM (failed,
 * aborted or not writable), -DER_INPROGRESS.
 */
int daos_tx_commit(daos_handle_t th, daos_event_t* ev);

/** Opens a transaction that reads the container as of \a epoch. \return 0, -DER_INVAL (0, MAX). */
int daos_tx_open_snap(daos_handle_t coh, daos_epoch_t epoch, daos_handle_t* th, daos_event_t* ev);

/** Drops the changes. \return 0, -DER_ALREADY (aborted), -DER_NO_PERM (any other state but open).
 */
int daos_tx_abort(daos_handle_t th, daos_event_t* ev);

/** Frees the handle; an open transaction is aborted. \return 0, -DER_NO_HDL, -DER_BUSY. */
int daos_tx_close(daos_handle_t th, daos_event_t* ev);

/** Starts a failed transaction again, with a new epoch. \return 0, -DER_NO_PERM (not failed). */
int daos_tx_restart(daos_handle_t th, daos_event_t* ev);

/** Epoch of a transaction. \return 0, -DER_NO_HDL, -DER_UNINIT (none chosen so far). */
int daos_tx_hdl2epoch(daos_handle_t th, daos_epoch_t* epoch);

/** \return -DER_NOSYS. */
int daos_tx_local2global(daos_handle_t th, d_iov_t* glob);

/** \return -DER_NOSYS. */
int daos_tx_global2local(daos_handle_t coh, d_iov_t glob, daos_handle_t* th);

/** Prepares an anchor for a new listing. \a opts is 0. */
static inline int daos_anchor_init(daos_anchor_t* anchor, unsigned int opts) {
  (void)opts;
  memset(anchor, 0, sizeof(*anchor));
  return 0;
}

static inline void daos_anchor_fini(daos_anchor_t* anchor) { (void)anchor; }

/** Whether a listing is at its end. */
static inline bool daos_anchor_is_eof(daos_anchor_t* anchor) {
  return anchor->da_type == DAOS_ANCHOR_TYPE_EOF;
}

/** Time of an epoch. \return 0, -DER_INVAL (NULL). */
int daos_hlc2timespec(uint64_t hlc, struct timespec* ts);

/** Time of an epoch in seconds. \return 0, -DER_INVAL (NULL). */
int daos_hlc2timestamp(uint64_t hlc, time_t* ts);

#if defined(__cplusplus)
}
#endif
#endif
