/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Arrays of cells of one size, spread over the object in chunks of cells. Errors common to all
 * calls: -DER_NO_HDL, -DER_INVAL, -DER_NO_PERM.
 */
#ifndef DAOS_ARRAY_H
#define DAOS_ARRAY_H

#include <daos_obj.h>
#include <daos_obj_class.h>
#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** A list of more ranges than this, all of at most DAOS_ARRAY_RG_LEN_THD cells, is refused. */
#define DAOS_ARRAY_LIST_IO_LIMIT 16384
#define DAOS_ARRAY_RG_LEN_THD 16

/** Cells [rg_idx, rg_idx + rg_len). */
typedef struct {
  daos_off_t rg_idx;
  daos_size_t rg_len;
} daos_range_t;

typedef struct {
  daos_size_t arr_nr;
  daos_range_t *arr_rgs;
  /** Out, byte arrays only: cells asked for beyond the end, and cells up to it. */
  daos_size_t arr_nr_short_read;
  daos_size_t arr_nr_read;
} daos_array_iod_t;

typedef struct {
  daos_size_t st_size;
  daos_epoch_t st_max_epoch;
} daos_array_stbuf_t;

/** Generates an object id for an array; \a add_attr: cell and chunk size are stored with it. */
static inline int daos_array_generate_oid(daos_handle_t coh, daos_obj_id_t *oid, bool add_attr,
                                          daos_oclass_id_t cid, daos_oclass_hints_t hints,
                                          uint32_t args) {
  return daos_obj_generate_oid(coh, oid, add_attr ? DAOS_OT_ARRAY : DAOS_OT_ARRAY_ATTR, cid, hints,
                               args);
}

/** Creates an array with its sizes stored, and opens it. \return 0, -DER_EXIST. */
int daos_array_create(daos_handle_t coh, daos_obj_id_t oid, daos_handle_t th,
                      daos_size_t cell_size, daos_size_t chunk_size, daos_handle_t *oh,
                      daos_event_t *ev);

/** Opens an array with stored sizes and returns them. \return 0, -DER_NONEXIST (no array there). */
int daos_array_open(daos_handle_t coh, daos_obj_id_t oid, daos_handle_t th, unsigned int mode,
                    daos_size_t *cell_size, daos_size_t *chunk_size, daos_handle_t *oh,
                    daos_event_t *ev);

/** Opens an array whose sizes the caller knows; no I/O. */
int daos_array_open_with_attr(daos_handle_t coh, daos_obj_id_t oid, daos_handle_t th,
                              unsigned int mode, daos_size_t cell_size, daos_size_t chunk_size,
                              daos_handle_t *oh, daos_event_t *ev);

/**
 * Makes a handle portable to other processes. \a glob with iov_buf NULL asks for the size.
 * \return 0, -DER_TRUNC (buffer short).
 */
int daos_array_local2global(daos_handle_t oh, d_iov_t *glob);

/** Makes a handle from its portable form; \a mode 0 keeps the mode. */
int daos_array_global2local(daos_handle_t coh, d_iov_t glob, unsigned int mode,
                            daos_handle_t *oh);

int daos_array_close(daos_handle_t oh, daos_event_t *ev);

/**
 * Reads ranges. The lengths of the ranges and of \a sgl agree. Holes of byte arrays read as zeros,
 * those of others leave the buffer untouched.
 */
int daos_array_read(daos_handle_t oh, daos_handle_t th, daos_array_iod_t *iod, d_sg_list_t *sgl,
                    daos_event_t *ev);

/** Writes ranges; 0 means that the data is durable. */
int daos_array_write(daos_handle_t oh, daos_handle_t th, daos_array_iod_t *iod, d_sg_list_t *sgl,
                     daos_event_t *ev);

/** Index of the last cell plus 1. */
int daos_array_get_size(daos_handle_t oh, daos_handle_t th, daos_size_t *size, daos_event_t *ev);

int daos_array_stat(daos_handle_t oh, daos_handle_t th, daos_array_stbuf_t *stbuf,
                    daos_event_t *ev);

/** Truncates or extends. */
int daos_array_set_size(daos_handle_t oh, daos_handle_t th, daos_size_t size, daos_event_t *ev);

/** Punches the whole array; the handle stays open. */
int daos_array_destroy(daos_handle_t oh, daos_handle_t th, daos_event_t *ev);

/** Makes holes of the ranges. */
int daos_array_punch(daos_handle_t oh, daos_handle_t th, daos_array_iod_t *iod,
                     daos_event_t *ev);

/** Mind the order: chunk size first. */
int daos_array_get_attr(daos_handle_t oh, daos_size_t *chunk_size, daos_size_t *cell_size);

/** Changes the chunk size of this handle only. */
int daos_array_update_chunk_size(daos_handle_t oh, daos_size_t chunk_size);

#if defined(__cplusplus)
}
#endif
#endif
