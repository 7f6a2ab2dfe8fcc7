/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Objects that are written once and read many times. A flattened object is one buffer on the
 * medium, packed with others: it takes a fraction of the metadata, and a small one is read with one
 * access. Everything reads as before; a change takes what it concerns out of the buffer again.
 */
#ifndef CAIRN_WORM_H
#define CAIRN_WORM_H

#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

enum cairn_flat_outcome {
  CAIRN_FLAT_DONE = 0,        /**< flat now */
  CAIRN_FLAT_ALREADY = 1,     /**< it was flat */
  CAIRN_FLAT_ABSENT = 2,      /**< nothing of it is there */
  CAIRN_FLAT_TOO_LARGE = 3,   /**< its buffer would be over 1 MiB */
  CAIRN_FLAT_TOO_MANY = 4,    /**< over 1,024 keys at a level */
  CAIRN_FLAT_LONG_KEY = 5,    /**< a key of 4 KiB or more */
  CAIRN_FLAT_SNAPSHOT = 6,    /**< a snapshot lies between its changes */
  CAIRN_FLAT_PENDING = 7,     /**< a transaction that changes it is under way: later */
  CAIRN_FLAT_RECLAIMING = 8,  /**< what was punched is still being removed: later */
  CAIRN_FLAT_CHANGED = 9,     /**< it was written meanwhile: later */
  CAIRN_FLAT_FRAGMENTED = 10, /**< large data in small pieces: aggregate the container first */
  CAIRN_FLAT_OUTCOMES = 11
};

typedef struct {
  uint32_t cf_outcome; /**< cairn_flat_outcome */
  uint32_t cf_reserved;
  uint64_t cf_buffer_bytes; /**< if it is flat: of its buffers */
} cairn_flat_t;

/**
 * Flattens an object. Durable on success. Again is fine.
 * \param[out] flat  what became of it; may be NULL. Lives until the event is completed.
 * \return 0 (flat now or before, or nothing there), -DER_BUSY (CAIRN_FLAT_PENDING, _RECLAIMING,
 *         _CHANGED: again later), -DER_NOTAPPLICABLE (it stays as it is: \a flat says why),
 *         -DER_NO_PERM (container opened read only), -DER_NO_HDL.
 */
int cairn_obj_flatten(daos_handle_t oh, cairn_flat_t* flat, daos_event_t* ev);

/** Counts of a walk over a container so far. */
typedef struct {
  uint64_t cs_objects;                      /**< looked at */
  uint64_t cs_outcomes[CAIRN_FLAT_OUTCOMES]; /**< how many of each */
  uint64_t cs_buffer_bytes;
} cairn_flat_stats_t;

/** \return 0 to go on; anything else ends the walk with that value. */
typedef int(cairn_flat_cb_t)(const cairn_flat_stats_t* so_far, void* arg);

/**
 * Flattens all objects of a container, as far as they can be. Blocks; \a progress (may be NULL) is
 * called after every some hundred objects. What was flattened stays so whatever ends the walk.
 * \param[out] stats  may be NULL
 * \return 0, what \a progress returned, -DER_NO_PERM (opened read only), -DER_NO_HDL.
 */
int cairn_cont_flatten(daos_handle_t coh, cairn_flat_stats_t* stats, cairn_flat_cb_t* progress,
                       void* arg);

#if defined(__cplusplus)
}
#endif

#endif /* CAIRN_WORM_H */
