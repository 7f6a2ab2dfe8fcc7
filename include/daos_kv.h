/* SPDX-License-Identifier: Apache-2.0 */
/** Flat key-value objects: one value per key string. */
#ifndef DAOS_KV_H
#define DAOS_KV_H

#include <daos_obj.h>
#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define DAOS_COND_KEY_INSERT DAOS_COND_DKEY_INSERT
#define DAOS_COND_KEY_UPDATE DAOS_COND_DKEY_UPDATE
#define DAOS_COND_KEY_GET DAOS_COND_DKEY_FETCH
#define DAOS_COND_KEY_REMOVE DAOS_COND_PUNCH

/** Opens a key-value object. \return 0, -DER_NO_HDL, -DER_INVAL (not of a DAOS_OT_KV_ type). */
int daos_kv_open(daos_handle_t coh, daos_obj_id_t oid, unsigned int mode, daos_handle_t* oh,
                 daos_event_t* ev);

int daos_kv_close(daos_handle_t oh, daos_event_t* ev);

/** Punches the whole object; the handle stays open. */
int daos_kv_destroy(daos_handle_t oh, daos_handle_t th, daos_event_t* ev);

/**
 * Stores a value, durably. \a flags: DAOS_COND_KEY_INSERT, DAOS_COND_KEY_UPDATE.
 * \return 0, -DER_EXIST, -DER_NONEXIST (conditions), -DER_INVAL.
 */
int daos_kv_put(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* key,
                daos_size_t size, const void* buf, daos_event_t* ev);

/**
 * Reads a value. \a size: bytes at \a buf, then the length of the value (0: no such key). \a buf
 * NULL asks for the length. \return 0, -DER_REC2BIG (\a size tells what is needed), -DER_NONEXIST
 * (DAOS_COND_KEY_GET), -DER_INVAL.
 */
int daos_kv_get(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* key,
                daos_size_t* size, void* buf, daos_event_t* ev);

/** Removes a key. With DAOS_COND_KEY_REMOVE an absent key is -DER_NONEXIST. */
int daos_kv_remove(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* key,
                   daos_event_t* ev);

/** Lists keys, as daos_obj_list_dkey(). */
int daos_kv_list(daos_handle_t oh, daos_handle_t th, uint32_t* nr, daos_key_desc_t* kds,
                 d_sg_list_t* sgl, daos_anchor_t* anchor, daos_event_t* ev);

#if defined(__cplusplus)
}
#endif
#endif
