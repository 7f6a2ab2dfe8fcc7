/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Objects: dkey -> akey -> one single value or one array of equal records. Calls with a transaction
 * handle take DAOS_TX_NONE for an operation of its own; calls with an event block if it is NULL.
 * Common errors: -DER_NO_HDL (stale handle), -DER_INVAL (malformed argument), -DER_NO_PERM (change
 * through a handle or container that is not writable), -DER_TX_RESTART (inside transactions).
 */
#ifndef DAOS_OBJ_H
#define DAOS_OBJ_H

#include <daos_event.h>
#include <daos_obj_class.h>
#include <daos_prop.h>
#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

#if defined(__cplusplus)
#define DAOS_OBJ_NIL (daos_obj_id_t{0, 0})
#else
#define DAOS_OBJ_NIL ((daos_obj_id_t){0, 0})
#endif

/** The upper half of an object id's \a hi belongs to the system: type, ordinal, groups. */
#define OID_FMT_INTR_BITS 32
#define OID_FMT_TYPE_BITS 8
#define OID_FMT_CLASS_BITS 8
#define OID_FMT_META_BITS 16
#define OID_FMT_TYPE_SHIFT (64 - OID_FMT_TYPE_BITS)
#define OID_FMT_CLASS_SHIFT (OID_FMT_TYPE_SHIFT - OID_FMT_CLASS_BITS)
#define OID_FMT_META_SHIFT (OID_FMT_CLASS_SHIFT - OID_FMT_META_BITS)
#define OID_FMT_TYPE_MAX ((1ULL << OID_FMT_TYPE_BITS) - 1)
#define OID_FMT_CLASS_MAX ((1ULL << OID_FMT_CLASS_BITS) - 1)
#define OID_FMT_META_MAX ((1ULL << OID_FMT_META_BITS) - 1)
#define OID_FMT_TYPE_MASK (OID_FMT_TYPE_MAX << OID_FMT_TYPE_SHIFT)
#define OID_FMT_CLASS_MASK (OID_FMT_CLASS_MAX << OID_FMT_CLASS_SHIFT)
#define OID_FMT_META_MASK (OID_FMT_META_MAX << OID_FMT_META_SHIFT)

/** Kind of an object: how its dkeys and akeys are ordered, and what it is used for. */
typedef enum daos_otype_t {
  /** Keys are byte strings in no order. */
  DAOS_OT_MULTI_HASHED = 0,
  DAOS_OT_OIT = 1,
  /** dkeys, akeys or both are 8-byte integers in numeric order. */
  DAOS_OT_DKEY_UINT64 = 2,
  DAOS_OT_AKEY_UINT64 = 3,
  DAOS_OT_MULTI_UINT64 = 4,
  /** dkeys, akeys or both are byte strings in byte order. */
  DAOS_OT_DKEY_LEXICAL = 5,
  DAOS_OT_AKEY_LEXICAL = 6,
  DAOS_OT_MULTI_LEXICAL = 7,
  /** One value per key (daos_kv.h). */
  DAOS_OT_KV_HASHED = 8,
  DAOS_OT_KV_UINT64 = 9,
  DAOS_OT_KV_LEXICAL = 10,
  /** Arrays (daos_array.h): sizes stored, sizes kept by the user, byte arrays of files. */
  DAOS_OT_ARRAY = 11,
  DAOS_OT_ARRAY_ATTR = 12,
  DAOS_OT_ARRAY_BYTE = 13,
  DAOS_OT_OIT_V2 = 14,
  DAOS_OT_MAX = 14
} daos_otype_t;

static inline bool daos_otype_t_is_valid(enum daos_otype_t type) {
  return (unsigned int)type <= DAOS_OT_MAX;
}

static inline bool daos_pa_domain_is_valid(uint32_t pa_domain) {
  return pa_domain == DAOS_PROP_CO_REDUN_RANK || pa_domain == DAOS_PROP_CO_REDUN_NODE;
}

#define DAOS_OO_RO (1 << 1)
#define DAOS_OO_RW (1 << 2)
#define DAOS_OO_EXCL (1 << 3)
#define DAOS_OO_IO_RAND (1 << 4)
#define DAOS_OO_IO_SEQ (1 << 5)

/** Record size "whatever is stored". */
#define DAOS_REC_ANY 0

/** Conditions of updates, fetches and punches, in \a flags or (PER_AKEY) in iod_flags. */
enum {
  DAOS_COND_PUNCH = 1 << 0,
  DAOS_COND_DKEY_INSERT = 1 << 1,
  DAOS_COND_DKEY_UPDATE = 1 << 2,
  DAOS_COND_DKEY_FETCH = 1 << 3,
  DAOS_COND_AKEY_INSERT = 1 << 4,
  DAOS_COND_AKEY_UPDATE = 1 << 5,
  DAOS_COND_AKEY_FETCH = 1 << 6,
  DAOS_COND_PER_AKEY = 1 << 7,
  DAOS_COND_MASK = (1 << 8) - 1
};
#define IO_FLAGS_COND_BITS 8

/** What daos_obj_query_key() looks for. */
enum {
  DAOS_GET_MAX = 1 << 0,
  DAOS_GET_MIN = 1 << 1,
  DAOS_GET_DKEY = 1 << 2,
  DAOS_GET_AKEY = 1 << 3,
  DAOS_GET_RECX = 1 << 4
};

struct daos_obj_attr {
  d_rank_t oa_rank;
  struct daos_oclass_attr* oa_oa;
};

/** Records [rx_idx, rx_idx + rx_nr) of an array value. */
typedef struct {
  uint64_t rx_idx;
  uint64_t rx_nr;
} daos_recx_t;

typedef enum { DAOS_IOD_NONE = 0, DAOS_IOD_SINGLE = 1, DAOS_IOD_ARRAY = 2 } daos_iod_type_t;

/** What to read or write below one akey. */
typedef struct {
  daos_key_t iod_name;
  daos_iod_type_t iod_type;
  /** Length of a single value, or bytes per record. */
  daos_size_t iod_size;
  /** Conditions of this akey, with DAOS_COND_PER_AKEY. */
  uint64_t iod_flags;
  uint32_t iod_nr;
  daos_recx_t* iod_recxs;
} daos_iod_t;

enum { DAOS_IOMF_DETAIL = 1 << 0 };

/** What of a fetched array exists. */
typedef struct {
  daos_iod_type_t iom_type;
  uint32_t iom_nr;
  uint32_t iom_nr_out;
  uint32_t iom_flags;
  daos_size_t iom_size;
  daos_recx_t iom_recx_lo;
  daos_recx_t iom_recx_hi;
  daos_recx_t* iom_recxs;
} daos_iom_t;

/** One listed key. */
typedef struct {
  daos_size_t kd_key_len;
  uint32_t kd_val_type;
} daos_key_desc_t;

static inline bool daos_is_dkey_lexical_type(enum daos_otype_t type) {
  return type == DAOS_OT_MULTI_LEXICAL || type == DAOS_OT_DKEY_LEXICAL ||
         type == DAOS_OT_KV_LEXICAL;
}

static inline bool daos_is_akey_lexical_type(enum daos_otype_t type) {
  return type == DAOS_OT_MULTI_LEXICAL || type == DAOS_OT_AKEY_LEXICAL;
}

static inline bool daos_is_dkey_uint64_type(enum daos_otype_t type) {
  return type == DAOS_OT_MULTI_UINT64 || type == DAOS_OT_DKEY_UINT64 || type == DAOS_OT_KV_UINT64 ||
         type == DAOS_OT_ARRAY || type == DAOS_OT_ARRAY_ATTR || type == DAOS_OT_ARRAY_BYTE;
}

static inline bool daos_is_akey_uint64_type(enum daos_otype_t type) {
  return type == DAOS_OT_MULTI_UINT64 || type == DAOS_OT_AKEY_UINT64;
}

static inline bool daos_is_array_type(enum daos_otype_t type) {
  return type == DAOS_OT_ARRAY || type == DAOS_OT_ARRAY_ATTR || type == DAOS_OT_ARRAY_BYTE;
}

static inline bool daos_is_kv_type(enum daos_otype_t type) {
  return type == DAOS_OT_KV_HASHED || type == DAOS_OT_KV_UINT64 || type == DAOS_OT_KV_LEXICAL;
}

static inline enum daos_otype_t daos_obj_id2type(daos_obj_id_t oid) {
  return (enum daos_otype_t)((oid.hi & OID_FMT_TYPE_MASK) >> OID_FMT_TYPE_SHIFT);
}

static inline bool daos_is_dkey_lexical(daos_obj_id_t oid) {
  return daos_is_dkey_lexical_type(daos_obj_id2type(oid));
}

static inline bool daos_is_akey_lexical(daos_obj_id_t oid) {
  return daos_is_akey_lexical_type(daos_obj_id2type(oid));
}

static inline bool daos_is_dkey_uint64(daos_obj_id_t oid) {
  return daos_is_dkey_uint64_type(daos_obj_id2type(oid));
}

static inline bool daos_is_akey_uint64(daos_obj_id_t oid) {
  return daos_is_akey_uint64_type(daos_obj_id2type(oid));
}

static inline bool daos_is_array(daos_obj_id_t oid) {
  return daos_is_array_type(daos_obj_id2type(oid));
}

static inline bool daos_is_kv(daos_obj_id_t oid) { return daos_is_kv_type(daos_obj_id2type(oid)); }

/** Number of redundancy groups of an object. */
static inline uint32_t daos_obj_id2grp_nr(daos_obj_id_t oid) {
  return (uint32_t)((oid.hi & OID_FMT_META_MASK) >> OID_FMT_META_SHIFT);
}

/** Redundancy ordinal of an object. */
static inline enum daos_obj_redun daos_obj_id2ord(daos_obj_id_t oid) {
  return (enum daos_obj_redun)((oid.hi & OID_FMT_CLASS_MASK) >> OID_FMT_CLASS_SHIFT);
}

/** Class id of an object; ordinal 0 holds a class id without an ordinal in the group field. */
static inline daos_oclass_id_t daos_obj_id2class(daos_obj_id_t oid) {
  const uint32_t ordinal = (uint32_t)daos_obj_id2ord(oid);
  const uint32_t groups = daos_obj_id2grp_nr(oid);

  return ordinal == 0 ? groups : (ordinal << OC_REDUN_SHIFT) | groups;
}

static inline bool daos_obj_id_is_nil(daos_obj_id_t oid) { return oid.hi == 0 && oid.lo == 0; }

/** Spreads sequential user bits in \a hi; call it before the id is generated. */
static inline void daos_obj_oid_cycle(daos_obj_id_t* oid) {
  oid->hi = (oid->hi + 999999937ULL) & 0xffffffffULL;
}

/**
 * Completes an object id: the caller has set its 96 user bits, the call sets type and class.
 * \a cid OC_UNKNOWN chooses a class from the container's redundancy factor, \a hints (DAOS_OCH_),
 * the type and the size of the pool. \a args is 0. No I/O takes place, ids are not reserved.
 * \return 0, -DER_NO_HDL, -DER_INVAL (type, class, or a class larger than the pool).
 */
int daos_obj_generate_oid2(daos_handle_t coh, daos_obj_id_t* oid, enum daos_otype_t type,
                           daos_oclass_id_t cid, daos_oclass_hints_t hints, uint32_t args);
#define daos_obj_generate_oid daos_obj_generate_oid2

/**
 * Opens an object; it need not exist. \a mode: DAOS_OO_RO or DAOS_OO_RW, with hints.
 * \return 0, -DER_NO_HDL, -DER_INVAL (nil id, class unknown or weaker than the container demands).
 */
int daos_obj_open(daos_handle_t coh, daos_obj_id_t oid, unsigned int mode, daos_handle_t* oh,
                  daos_event_t* ev);

/** Closes an object handle. \return 0 or -DER_NO_HDL. */
int daos_obj_close(daos_handle_t oh, daos_event_t* ev);

/** Punches everything in the object as of now. \a flags is not used. */
int daos_obj_punch(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_event_t* ev);

/** Punches a dkey; \a nr is 1. With DAOS_COND_PUNCH an absent dkey is -DER_NONEXIST. */
int daos_obj_punch_dkeys(daos_handle_t oh, daos_handle_t th, uint64_t flags, unsigned int nr,
                         daos_key_t* dkeys, daos_event_t* ev);

/** Punches \a nr akeys of a dkey, all or none. With DAOS_COND_PUNCH an absent one is -DER_NONEXIST.
 */
int daos_obj_punch_akeys(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                         unsigned int nr, daos_key_t* akeys, daos_event_t* ev);

/** \return -DER_NOSYS. */
int daos_obj_query(daos_handle_t oh, struct daos_obj_attr* oa, d_rank_list_t* ranks,
                   daos_event_t* ev);

/**
 * Reads \a nr akeys of one dkey. iod_size comes back as the stored size; 0 means absent. NULL
 * \a sgls with iod_size 0 asks for sizes only. Holes leave the buffer untouched. \a ioms, if given,
 * tells which extents exist.
 * \return 0, -DER_REC2BIG (buffer too small, iod_size tells what is needed), -DER_NONEXIST
 * (condition), -DER_INVAL.
 */
int daos_obj_fetch(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                   unsigned int nr, daos_iod_t* iods, d_sg_list_t* sgls, daos_iom_t* ioms,
                   daos_event_t* ev);

/**
 * Writes \a nr akeys of one dkey, all or none. iod_size 0 punches the value or the extents. 0 means
 * that the data is durable.
 * \return 0, -DER_REC2BIG (buffer shorter than the extents), -DER_EXIST or -DER_NONEXIST
 * (condition), -DER_NO_PERM (read-only, the other kind of value, one akey twice), -DER_INVAL (also
 * another record size than stored), -DER_NOSPACE.
 */
int daos_obj_update(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                    unsigned int nr, daos_iod_t* iods, d_sg_list_t* sgls, daos_event_t* ev);

/**
 * Lists dkeys. \a nr: room in \a kds, then keys returned (maybe 0 before the end). Keys are packed
 * in \a sgl. Repeat with the same \a anchor until daos_anchor_is_eof().
 * \return 0, -DER_KEY2BIG (first key does not fit, kds[0].kd_key_len tells its size), -DER_INVAL.
 */
int daos_obj_list_dkey(daos_handle_t oh, daos_handle_t th, uint32_t* nr, daos_key_desc_t* kds,
                       d_sg_list_t* sgl, daos_anchor_t* anchor, daos_event_t* ev);

/** Lists the akeys of a dkey, as daos_obj_list_dkey(). */
int daos_obj_list_akey(daos_handle_t oh, daos_handle_t th, daos_key_t* dkey, uint32_t* nr,
                       daos_key_desc_t* kds, d_sg_list_t* sgl, daos_anchor_t* anchor,
                       daos_event_t* ev);

/**
 * Lists the visible extents of an array value. \a size: bytes per record; \a nr: room in \a recxs,
 * then extents returned. \a eprs and \a size may be NULL. \a incr_order: ascending.
 */
int daos_obj_list_recx(daos_handle_t oh, daos_handle_t th, daos_key_t* dkey, daos_key_t* akey,
                       daos_size_t* size, uint32_t* nr, daos_recx_t* recxs,
                       daos_epoch_range_t* eprs, daos_anchor_t* anchor, bool incr_order,
                       daos_event_t* ev);

/**
 * Finds the largest (DAOS_GET_MAX) or smallest (DAOS_GET_MIN) dkey, akey and extent, as \a flags
 * ask; what is not asked for is input. Keys are 8-byte integers. Nothing found: the key's iov_len
 * is 0. \return 0, -DER_INVAL (flags, key type, buffers).
 */
int daos_obj_query_key(daos_handle_t oh, daos_handle_t th, uint64_t flags, daos_key_t* dkey,
                       daos_key_t* akey, daos_recx_t* recx, daos_event_t* ev);

/** Newest epoch at which the object was changed, 0 if never. */
int daos_obj_query_max_epoch(daos_handle_t oh, daos_handle_t th, daos_epoch_t* epoch,
                             daos_event_t* ev);

/** Compares the copies of an object. \return 0, -DER_MISMATCH, -DER_NOSYS without copies. */
int daos_obj_verify(daos_handle_t coh, daos_obj_id_t oid, daos_epoch_t epoch);

/**
 * Makes anchors to list parts of an object in parallel. \a nr: 0 or the number of groups, then the
 * number. \a anchors may be NULL to ask for it. \return 0 or -DER_INVAL.
 */
int daos_obj_anchor_split(daos_handle_t oh, uint32_t* nr, daos_anchor_t* anchors);

/** Sets \a anchor to list part \a index only. */
int daos_obj_anchor_set(daos_handle_t oh, uint32_t index, daos_anchor_t* anchor);

/** Sets \a anchor so that a listing starts at that dkey, or at that akey. */
int daos_obj_key2anchor(daos_handle_t oh, daos_handle_t th, daos_key_t* dkey, daos_key_t* akey,
                        daos_anchor_t* anchor, daos_event_t* ev);

/** Object id tables: the objects of a snapshot that was made with DAOS_SNAP_OPT_OIT. */
#define DAOS_OIT_MARKER_MAX_LEN 32

/** Decides on one entry: positive keeps it, 0 skips it, negative ends the listing with that code.
 */
typedef int(daos_oit_filter_cb)(daos_obj_id_t oid, d_iov_t* marker);

/** Opens the table of the snapshot at \a epoch. */
int daos_oit_open(daos_handle_t coh, daos_epoch_t epoch, daos_handle_t* oh, daos_event_t* ev);

int daos_oit_close(daos_handle_t oh, daos_event_t* ev);

/** Lists object ids until the end of \a anchor. \return 0, -DER_INVAL (NULL, \a oids_nr 0). */
int daos_oit_list(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr, daos_anchor_t* anchor,
                  daos_event_t* ev);

/** Lists object ids without a marker. */
int daos_oit_list_unmarked(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr,
                           daos_anchor_t* anchor, daos_event_t* ev);

/** Lists object ids that \a filter keeps. */
int daos_oit_list_filter(daos_handle_t oh, daos_obj_id_t* oids, uint32_t* oids_nr,
                         daos_anchor_t* anchor, daos_oit_filter_cb filter, daos_event_t* ev);

/**
 * Attaches a marker of 1 to DAOS_OIT_MARKER_MAX_LEN bytes to an entry; NULL clears it.
 * \return 0, -DER_NONEXIST (no such entry), -DER_INVAL (length).
 */
int daos_oit_mark(daos_handle_t oh, daos_obj_id_t oid, d_iov_t* marker, daos_event_t* ev);

#if defined(__cplusplus)
}
#endif
#endif
