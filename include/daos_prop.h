/* SPDX-License-Identifier: Apache-2.0 */
/** Properties of pools and containers: typed lists of numbers, strings and structures. */
#ifndef DAOS_PROP_H
#define DAOS_PROP_H

#include <ctype.h>
#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Properties of pools. The value is a number (dpe_val) where nothing else is said. */
enum daos_pool_props {
  DAOS_PROP_PO_MIN = 0,
  DAOS_PROP_PO_LABEL,       /**< str */
  DAOS_PROP_PO_ACL,         /**< struct daos_acl * */
  DAOS_PROP_PO_SPACE_RB,    /**< percent of the space kept for rebuild */
  DAOS_PROP_PO_SELF_HEAL,   /**< bits DAOS_SELF_HEAL_ */
  DAOS_PROP_PO_RECLAIM,     /**< DAOS_RECLAIM_ */
  DAOS_PROP_PO_OWNER,       /**< str "user@" */
  DAOS_PROP_PO_OWNER_GROUP, /**< str "group@" */
  DAOS_PROP_PO_SVC_LIST,    /**< d_rank_list_t *, read only */
  DAOS_PROP_PO_EC_CELL_SZ,  /**< bytes */
  DAOS_PROP_PO_DATA_THRESH, /**< bytes */
  DAOS_PROP_PO_REDUN_FAC,   /**< failures that containers tolerate by default */
  DAOS_PROP_PO_EC_PDA,
  DAOS_PROP_PO_RP_PDA,
  DAOS_PROP_PO_GLOBAL_VERSION, /**< read only */
  DAOS_PROP_PO_UPGRADE_STATUS, /**< DAOS_UPGRADE_STATUS_, read only */
  DAOS_PROP_PO_SCRUB_MODE,     /**< DAOS_SCRUB_MODE_ */
  DAOS_PROP_PO_SCRUB_FREQ,     /**< seconds */
  DAOS_PROP_PO_SCRUB_THRESH,
  DAOS_PROP_PO_SVC_REDUN_FAC,
  DAOS_PROP_PO_OBJ_VERSION,       /**< read only */
  DAOS_PROP_PO_PERF_DOMAIN,       /**< DAOS_PROP_PERF_DOMAIN_ */
  DAOS_PROP_PO_CHECKPOINT_MODE,   /**< DAOS_CHECKPOINT_ */
  DAOS_PROP_PO_CHECKPOINT_FREQ,   /**< seconds */
  DAOS_PROP_PO_CHECKPOINT_THRESH, /**< percent */
  DAOS_PROP_PO_REINT_MODE,        /**< DAOS_REINT_MODE_ */
  DAOS_PROP_PO_SVC_OPS_ENABLED,
  DAOS_PROP_PO_SVC_OPS_ENTRY_AGE, /**< seconds */
  DAOS_PROP_PO_MAX
};
#define DAOS_PROP_PO_NUM (DAOS_PROP_PO_MAX - DAOS_PROP_PO_MIN - 1)

#define DAOS_PROP_PO_EC_CELL_SZ_MIN (1UL << 10)
#define DAOS_PROP_PO_EC_CELL_SZ_MAX (1UL << 30)
#define DAOS_PROP_PO_EC_CELL_SZ_DEFAULT (128UL << 10)
#define DAOS_PROP_PO_DATA_THRESH_DEFAULT (4UL << 10)
#define DAOS_PROP_PO_REDUN_FAC_MAX 4
#define DAOS_PROP_PO_REDUN_FAC_DEFAULT 3
#define DAOS_PROP_PO_SVC_REDUN_FAC_MAX 4
#define DAOS_PROP_PO_SVC_REDUN_FAC_DEFAULT 2
#define DAOS_PROP_PO_SPACE_RB_DEFAULT 5
#define DAOS_PROP_PDA_MAX 0xffffffffU
#define DAOS_PROP_PO_EC_PDA_DEFAULT 1U
#define DAOS_PROP_PO_RP_PDA_DEFAULT DAOS_PROP_PDA_MAX
#define DAOS_PROP_PO_SCRUB_FREQ_DEFAULT 604800
#define DAOS_PROP_PO_SCRUB_THRESH_DEFAULT 0
#define DAOS_PROP_PO_CHECKPOINT_FREQ_DEFAULT 5
#define DAOS_PROP_PO_CHECKPOINT_FREQ_MIN 1
#define DAOS_PROP_PO_CHECKPOINT_FREQ_MAX (1 << 20)
#define DAOS_PROP_PO_CHECKPOINT_THRESH_DEFAULT 50
#define DAOS_PROP_PO_CHECKPOINT_THRESH_MIN 10
#define DAOS_PROP_PO_CHECKPOINT_THRESH_MAX 75
#define DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_MIN 60ULL
#define DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_MAX 600ULL
#define DAOS_PROP_PO_SVC_OPS_ENTRY_AGE_DEFAULT 300ULL

enum { DAOS_PROP_PERF_DOMAIN_ROOT = 255, DAOS_PROP_PERF_DOMAIN_GROUP = 200 };
#define DAOS_PROP_PO_PERF_DOMAIN_DEFAULT DAOS_PROP_PERF_DOMAIN_ROOT
#define DAOS_PROP_CO_PERF_DOMAIN_DEFAULT DAOS_PROP_PERF_DOMAIN_ROOT

enum {
  DAOS_RECLAIM_DISABLED = 0,
  DAOS_RECLAIM_LAZY = 1,
  DAOS_RECLAIM_SNAPSHOT = 2,
  DAOS_RECLAIM_BATCH = 3,
  DAOS_RECLAIM_TIME = 4
};

#define DAOS_SELF_HEAL_AUTO_EXCLUDE (1U << 0)
#define DAOS_SELF_HEAL_AUTO_REBUILD (1U << 1)
#define DAOS_SELF_HEAL_DELAY_REBUILD (1U << 2)

enum {
  DAOS_UPGRADE_STATUS_NOT_STARTED = 0,
  DAOS_UPGRADE_STATUS_IN_PROGRESS = 1,
  DAOS_UPGRADE_STATUS_COMPLETED = 2,
  DAOS_UPGRADE_STATUS_FAILED = 3
};

enum {
  DAOS_SCRUB_MODE_OFF = 0,
  DAOS_SCRUB_MODE_LAZY = 1,
  DAOS_SCRUB_MODE_TIMED = 2,
  DAOS_SCRUB_MODE_INVALID = 3
};

enum { DAOS_CHECKPOINT_DISABLED = 0, DAOS_CHECKPOINT_TIMED = 1, DAOS_CHECKPOINT_LAZY = 2 };

enum {
  DAOS_REINT_MODE_DATA_SYNC = 0,
  DAOS_REINT_MODE_NO_DATA_SYNC = 1,
  DAOS_REINT_MODE_INCREMENTAL = 2
};

/** Properties of containers. The value is a number (dpe_val) where nothing else is said. */
enum daos_cont_props {
  DAOS_PROP_CO_MIN = 0x1000,
  DAOS_PROP_CO_LABEL,       /**< str */
  DAOS_PROP_CO_LAYOUT_TYPE, /**< DAOS_PROP_CO_LAYOUT_ */
  DAOS_PROP_CO_LAYOUT_VER,
  DAOS_PROP_CO_CSUM,               /**< DAOS_PROP_CO_CSUM_ */
  DAOS_PROP_CO_CSUM_CHUNK_SIZE,    /**< bytes */
  DAOS_PROP_CO_CSUM_SERVER_VERIFY, /**< DAOS_PROP_CO_CSUM_SV_ */
  DAOS_PROP_CO_REDUN_FAC,          /**< DAOS_PROP_CO_REDUN_RF */
  DAOS_PROP_CO_REDUN_LVL,          /**< DAOS_PROP_CO_REDUN_RANK ... */
  DAOS_PROP_CO_SNAPSHOT_MAX,       /**< 0: no limit */
  DAOS_PROP_CO_ACL,                /**< struct daos_acl * */
  DAOS_PROP_CO_COMPRESS,           /**< DAOS_PROP_CO_COMPRESS_ */
  DAOS_PROP_CO_ENCRYPT,            /**< DAOS_PROP_CO_ENCRYPT_ */
  DAOS_PROP_CO_OWNER,              /**< str "user@" */
  DAOS_PROP_CO_OWNER_GROUP,        /**< str "group@" */
  DAOS_PROP_CO_DEDUP,              /**< DAOS_PROP_CO_DEDUP_ */
  DAOS_PROP_CO_DEDUP_THRESHOLD,    /**< bytes */
  DAOS_PROP_CO_ROOTS,              /**< struct daos_prop_co_roots * */
  DAOS_PROP_CO_STATUS,             /**< DAOS_PROP_CO_STATUS_VAL() */
  DAOS_PROP_CO_ALLOCED_OID,        /**< highest number reserved */
  DAOS_PROP_CO_EC_CELL_SZ,         /**< bytes */
  DAOS_PROP_CO_EC_PDA,
  DAOS_PROP_CO_RP_PDA,
  DAOS_PROP_CO_GLOBAL_VERSION, /**< read only */
  DAOS_PROP_CO_SCRUBBER_DISABLED,
  DAOS_PROP_CO_OBJ_VERSION, /**< read only */
  DAOS_PROP_CO_PERF_DOMAIN, /**< DAOS_PROP_PERF_DOMAIN_ */
  DAOS_PROP_CO_MAX
};
#define DAOS_PROP_CO_NUM (DAOS_PROP_CO_MAX - DAOS_PROP_CO_MIN - 1)

enum {
  DAOS_PROP_CO_LAYOUT_UNKNOWN = 0,
  DAOS_PROP_CO_LAYOUT_UNKOWN = 0, /**< an old spelling that programs use */
  DAOS_PROP_CO_LAYOUT_POSIX = 1,
  DAOS_PROP_CO_LAYOUT_HDF5 = 2,
  DAOS_PROP_CO_LAYOUT_PYTHON = 3,
  DAOS_PROP_CO_LAYOUT_SPARK = 4,
  DAOS_PROP_CO_LAYOUT_DATABASE = 5,
  DAOS_PROP_CO_LAYOUT_ROOT = 6,
  DAOS_PROP_CO_LAYOUT_SEISMIC = 7,
  DAOS_PROP_CO_LAYOUT_METEO = 8,
  DAOS_PROP_CO_LAYOUT_MAX = 9
};

enum {
  DAOS_PROP_CO_CSUM_OFF = 0,
  DAOS_PROP_CO_CSUM_CRC16 = 1,
  DAOS_PROP_CO_CSUM_CRC32 = 2,
  DAOS_PROP_CO_CSUM_CRC64 = 3,
  DAOS_PROP_CO_CSUM_SHA1 = 4,
  DAOS_PROP_CO_CSUM_SHA256 = 5,
  DAOS_PROP_CO_CSUM_SHA512 = 6,
  DAOS_PROP_CO_CSUM_ADLER32 = 7
};
#define DAOS_PROP_CO_CSUM_DEFAULT DAOS_PROP_CO_CSUM_OFF
#define DAOS_PROP_CO_CSUM_CHUNK_SIZE_DEFAULT (32UL << 10)

enum { DAOS_PROP_CO_CSUM_SV_OFF = 0, DAOS_PROP_CO_CSUM_SV_ON = 1 };

enum { DAOS_PROP_CO_DEDUP_OFF = 0, DAOS_PROP_CO_DEDUP_MEMCMP = 1, DAOS_PROP_CO_DEDUP_HASH = 2 };
#define DAOS_PROP_CO_DEDUP_THRESHOLD_DEFAULT 4096
#define DAOS_PROP_CO_DEDUP_THRESHOLD_MIN 4096

enum {
  DAOS_PROP_CO_COMPRESS_OFF = 0,
  DAOS_PROP_CO_COMPRESS_LZ4 = 1,
  DAOS_PROP_CO_COMPRESS_DEFLATE = 2,
  DAOS_PROP_CO_COMPRESS_DEFLATE1 = 3,
  DAOS_PROP_CO_COMPRESS_DEFLATE2 = 4,
  DAOS_PROP_CO_COMPRESS_DEFLATE3 = 5,
  DAOS_PROP_CO_COMPRESS_DEFLATE4 = 6
};

enum {
  DAOS_PROP_CO_ENCRYPT_OFF = 0,
  DAOS_PROP_CO_ENCRYPT_AES_XTS128 = 1,
  DAOS_PROP_CO_ENCRYPT_AES_XTS256 = 2,
  DAOS_PROP_CO_ENCRYPT_AES_CBC128 = 3,
  DAOS_PROP_CO_ENCRYPT_AES_CBC192 = 4,
  DAOS_PROP_CO_ENCRYPT_AES_CBC256 = 5,
  DAOS_PROP_CO_ENCRYPT_AES_GCM128 = 6,
  DAOS_PROP_CO_ENCRYPT_AES_GCM256 = 7
};

enum {
  DAOS_PROP_CO_REDUN_RF0 = 0,
  DAOS_PROP_CO_REDUN_RF1 = 1,
  DAOS_PROP_CO_REDUN_RF2 = 2,
  DAOS_PROP_CO_REDUN_RF3 = 3,
  DAOS_PROP_CO_REDUN_RF4 = 4,
  DAOS_RF_MAX = 4
};

enum {
  DAOS_PROP_CO_REDUN_MIN = 1,
  DAOS_PROP_CO_REDUN_RANK = 1,
  DAOS_PROP_CO_REDUN_NODE = 2,
  DAOS_PROP_CO_REDUN_FAULT = 3,
  DAOS_PROP_CO_REDUN_MAX = 254
};
#define DAOS_PROP_CO_REDUN_DEFAULT DAOS_PROP_CO_REDUN_NODE

enum { DAOS_PROP_CO_HEALTHY = 0, DAOS_PROP_CO_UNCLEAN = 1 };

/** Flag of a status: clear "unclean". */
enum { DAOS_PROP_CO_CLEAR = 1 };

#define DAOS_PROP_CO_STATUS_VAL(status, flag, pm_ver) \
  ((((uint64_t)(flag)) << 48) | (((uint64_t)(status) & 0xffff) << 32) | ((uint64_t)(pm_ver)))

/** Most entries of a list. */
#define DAOS_PROP_ENTRIES_MAX_NR 128
/** Longest label, without and with the terminating NUL. */
#define DAOS_PROP_LABEL_MAX_LEN 127
#define DAOS_PROP_MAX_LABEL_BUF_LEN (DAOS_PROP_LABEL_MAX_LEN + 1)
/** Labels that mean "none". */
#define DAOS_PROP_CO_LABEL_DEFAULT "container_label_not_set"
#define DEFAULT_CONT_LABEL DAOS_PROP_CO_LABEL_DEFAULT
#define DAOS_PROP_NO_CO_LABEL DAOS_PROP_CO_LABEL_DEFAULT
#define DAOS_PROP_PO_LABEL_DEFAULT "pool_label_not_set"
#define DAOS_PROP_NO_PO_LABEL DAOS_PROP_PO_LABEL_DEFAULT

/** Set by a query on an entry that has no value. */
#define DAOS_PROP_ENTRY_NOT_SET (1U << 0)

struct daos_prop_byteval {
  void* dpb_data;
  size_t dpb_len;
};

/** Root objects of a container, for middleware. */
struct daos_prop_co_roots {
  daos_obj_id_t cr_oids[4];
};

struct daos_co_status {
  uint16_t dcs_status;
  uint16_t dcs_flags;
  uint32_t dcs_pm_ver;
};

struct daos_prop_entry {
  uint32_t dpe_type;
  uint16_t dpe_flags;
  uint16_t dpe_reserv;
  union {
    uint64_t dpe_val;
    d_string_t dpe_str;
    void* dpe_val_ptr;
  };
};

typedef struct {
  uint32_t dpp_nr;
  uint32_t dpp_reserv;
  struct daos_prop_entry* dpp_entries;
} daos_prop_t;

static inline bool daos_rf_is_valid(unsigned long long rf) { return rf <= DAOS_RF_MAX; }

static inline bool daos_svc_rf_is_valid(uint64_t svc_rf) {
  return svc_rf <= DAOS_PROP_PO_SVC_REDUN_FAC_MAX;
}

/** Packs a container status into a property value. */
static inline uint64_t daos_prop_co_status_2_val(struct daos_co_status* co_status) {
  return DAOS_PROP_CO_STATUS_VAL(co_status->dcs_status, co_status->dcs_flags,
                                 co_status->dcs_pm_ver);
}

/** Unpacks a container status from a property value. */
static inline void daos_prop_val_2_co_status(uint64_t val, struct daos_co_status* co_status) {
  co_status->dcs_flags = (uint16_t)(val >> 48);
  co_status->dcs_status = (uint16_t)((val >> 32) & 0xffff);
  co_status->dcs_pm_ver = (uint32_t)(val & 0xffffffffU);
}

/** Whether \a label is 1 to 127 characters of [A-Za-z0-9._:-] and does not look like a UUID. */
static inline bool daos_label_is_valid(const char* label) {
  size_t len;

  if (label == NULL) return false;
  for (len = 0; label[len] != '\0'; len++) {
    const unsigned char c = (unsigned char)label[len];

    if (len >= DAOS_PROP_LABEL_MAX_LEN) return false;
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
          c == '_' || c == ':' || c == '-'))
      return false;
  }
  return len > 0 && !daos_is_valid_uuid_string(label, UUID_SST_NONE);
}

/** Whether \a perf_domain is "root" or "group". */
static inline bool daos_perf_domain_is_valid(const char* perf_domain) {
  return perf_domain != NULL && (!strcmp(perf_domain, "root") || !strcmp(perf_domain, "group"));
}

/** Whether a queried entry has a value. */
static inline bool daos_prop_is_set(struct daos_prop_entry* entry) {
  return (entry->dpe_flags & DAOS_PROP_ENTRY_NOT_SET) == 0;
}

/** A list of zeroed entries; NULL beyond DAOS_PROP_ENTRIES_MAX_NR. Free it with daos_prop_free().
 */
daos_prop_t* daos_prop_alloc(uint32_t entries_nr);

/** Frees the values and the entries, not the list itself. */
void daos_prop_fini(daos_prop_t* prop);

/** Frees a list with its values; NULL is fine. */
void daos_prop_free(daos_prop_t* prop);

/**
 * Makes a list of container properties from "name:value;name:value".
 * \return 0, -DER_INVAL (unknown or read-only name, bad value), -DER_NOMEM.
 */
int daos_prop_from_str(const char* str, daos_size_t len, daos_prop_t** prop);

/** New list: the old one with the entries of the new one over it. Both are copied. */
int daos_prop_merge2(daos_prop_t* old_prop, daos_prop_t* new_prop, daos_prop_t** out_prop);

/** As daos_prop_merge2(); NULL on an error. */
daos_prop_t* daos_prop_merge(daos_prop_t* old_prop, daos_prop_t* new_prop);

/** First entry of a type, or NULL. */
struct daos_prop_entry* daos_prop_entry_get(daos_prop_t* prop, uint32_t type);

/** Copies a string into the entry of a type. \return 0, -DER_NONEXIST (no such entry), -DER_INVAL.
 */
int daos_prop_set_str(daos_prop_t* prop, uint32_t type, const char* str, daos_size_t len);

int daos_prop_entry_set_str(struct daos_prop_entry* entry, const char* str, daos_size_t len);

/** Copies a structure into the entry of a type; errors as daos_prop_set_str(). */
int daos_prop_set_ptr(daos_prop_t* prop, uint32_t type, const void* ptr, daos_size_t size);

int daos_prop_entry_set_ptr(struct daos_prop_entry* entry, const void* ptr, daos_size_t size);

/** Copies \a len bytes that the source entry points to. */
int daos_prop_entry_dup_ptr(struct daos_prop_entry* entry_dst, struct daos_prop_entry* entry_src,
                            size_t len);

/** Copies bytes into the entry of a type; errors as daos_prop_set_str(). */
int daos_prop_set_byteval(daos_prop_t* prop, uint32_t type, const void* data, size_t len);

int daos_prop_entry_set_byteval(struct daos_prop_entry* entry, const void* data, size_t len);

int daos_prop_entry_dup_byteval(struct daos_prop_entry* entry_dst,
                                struct daos_prop_entry* entry_src);

/** 0 if both entries hold equal ACLs. */
int daos_prop_entry_cmp_acl(struct daos_prop_entry* entry1, struct daos_prop_entry* entry2);

int daos_prop_entry_dup_co_roots(struct daos_prop_entry* dst, struct daos_prop_entry* src);

/** Kind of an entry's value, by its type. */
bool daos_prop_has_str(struct daos_prop_entry* entry);

bool daos_prop_has_ptr(struct daos_prop_entry* entry);

bool daos_prop_has_byteval(struct daos_prop_entry* entry);

#if defined(__cplusplus)
}
#endif
#endif
