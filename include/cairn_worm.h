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

/** Objects of one call of cairn_cont_flatten_some(). */
#define CAIRN_FLATTEN_SOME_MAX 65536

/**
 * Flattens \a nr objects of a container at once; different ones. They share blocks, so this takes
 * less space and time than one call for each. Blocks. Durable on success.
 * \param[in] nr      1 to CAIRN_FLATTEN_SOME_MAX
 * \param[out] flats  what became of each, in their order; may be NULL
 * \return 0 (whatever became of each), -DER_INVAL (\a nr, \a oids NULL, or an object named twice:
 *         nothing was done), -DER_NO_PERM (opened read only), -DER_NO_HDL; after other errors some
 *         may have been flattened: again is fine.
 */
int cairn_cont_flatten_some(daos_handle_t coh, uint32_t nr, const daos_obj_id_t* oids,
                            cairn_flat_t* flats);

/**
 * For the \a flags of daos_obj_update() and daos_kv_put(), with any condition: this is the last
 * write of this object. When it is durable, and with a transaction when that is committed, the
 * object is flattened soon, in the background, together with others. It is a hint: an object that
 * cannot be flattened then stays as it is, and a restart forgets hints. Writing on is allowed.
 */
#define CAIRN_COND_FINAL (1ULL << 48)

/**
 * Says the same of an object without an update; \a oh is of an object, an array or a KV. With a
 * transaction it counts once that is committed. Does not wait for the flattening.
 * \return 0, -DER_NO_PERM (opened read only), -DER_NO_HDL, -DER_INVAL (a transaction of another
 *         container).
 */
int cairn_obj_final(daos_handle_t oh, daos_handle_t th, daos_event_t* ev);

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

/**
 * Properties of containers beside DAOS_PROP_CO_*, for daos_prop_t. Given at creation or at any time
 * after it, but for the last one, which cairn_cont_seal() and cairn_cont_unseal() change. A query
 * for all properties leaves them out.
 */
enum cairn_cont_props {
  CAIRN_PROP_CO_WORM_INLINE_MAX = 0x43410001, /**< bytes of array data in an object's buffer */
  CAIRN_PROP_CO_WORM_OBJECT_MAX = 0x43410002, /**< bytes of a buffer; larger objects stay */
  CAIRN_PROP_CO_WORM_COMPRESS = 0x43410003,   /**< 1: buffers that get smaller by it */
  CAIRN_PROP_CO_WORM_COLD_AFTER = 0x43410004, /**< seconds without a change; 0: off */
  CAIRN_PROP_CO_WORM_SEALED = 0x43410005      /**< string: when and by whom; unset: it is not */
};

enum cairn_seal_state {
  CAIRN_SEAL_NONE = 0,
  CAIRN_SEALING = 1, /**< decided; some shard may still take changes */
  CAIRN_SEALED = 2,
  CAIRN_UNSEALING = 3 /**< decided; some shard may still refuse changes */
};

/**
 * Seals a container: every change of its objects, by anybody, fails with -DER_NO_PERM from now on,
 * and they are flattened in the background. What was acknowledged before is there; transactions
 * that were being committed end first. The library reports on stderr when and by whom it was
 * sealed, once for each handle that has a change refused. Snapshots may be made and removed; the
 * container cannot be rolled back, but destroyed. Blocks. Durable on success.
 * \return 0, -DER_ALREADY (it is sealed), -DER_UNREACH (an engine is away: nothing has happened; or
 *         it went away meanwhile, then CAIRN_SEALING: it ends by itself), -DER_BUSY (CAIRN_SEALING,
 *         too: a transaction waits for its outcome), -DER_NO_PERM (opened read only), -DER_NO_HDL.
 */
int cairn_cont_seal(daos_handle_t coh);

/**
 * Lets a container be changed again. Flattened objects stay flat until they are changed. Blocks.
 * Durable on success.
 * \return 0, -DER_ALREADY (it is not sealed), -DER_NO_PERM (opened read only), -DER_NO_HDL.
 */
int cairn_cont_unseal(daos_handle_t coh);

typedef struct {
  uint32_t cw_seal;       /**< cairn_seal_state */
  uint32_t cw_compress;   /**< 0 or 1 */
  uint64_t cw_sealed_at;  /**< an epoch (daos_hlc2timespec()); 0: it is not sealed */
  char cw_sealed_by[256]; /**< USER@HOST, as that program said */
  uint64_t cw_inline_max; /**< the properties */
  uint64_t cw_object_max;
  uint64_t cw_cold_after;
  uint32_t cw_running;      /**< 1: a pass over its objects is under way, or will begin */
  uint32_t cw_targets_away; /**< of engines that could not be asked: not in what follows */
  uint64_t cw_flat;         /**< objects that are flat, as far as passes have seen; counted on each
                                 target that has a part of them */
  uint64_t cw_left;         /**< that a pass has yet to look at */
  uint64_t cw_damaged;      /**< that the medium has lost some of: they stay as they are */
  uint64_t cw_skipped[CAIRN_FLAT_OUTCOMES]; /**< that stay as they are, and why */
} cairn_cont_worm_t;

/**
 * What is known of a container's flattening. Blocks.
 * \return 0, -DER_INVAL, -DER_NO_HDL.
 */
int cairn_cont_worm_query(daos_handle_t coh, cairn_cont_worm_t* worm);

#if defined(__cplusplus)
}
#endif

#endif /* CAIRN_WORM_H */
