/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Hash tables of records whose links are members of the records. The table calls the program for
 * everything that depends on a record: comparing keys, hashing, counting references, freeing.
 */
#ifndef GURT_HASH_H
#define GURT_HASH_H

#include <gurt/list.h>
#include <gurt/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

struct d_hash_table;

typedef struct {
  /** Whether the record of \a link has that key. The only one that must be there. */
  bool (*hop_key_cmp)(struct d_hash_table* table, d_list_t* link, const void* key,
                      unsigned int ksize);
  /** Gives the record a key (d_hash_rec_insert_anonym()). */
  void (*hop_key_init)(struct d_hash_table* table, d_list_t* link, void* arg);
  /** Hash of a key; NULL: of its bytes, or of its characters if \a ksize is 0. */
  uint32_t (*hop_key_hash)(struct d_hash_table* table, const void* key, unsigned int ksize);
  /** Hash of the key of a record; needed to delete or insert by link in tables with many buckets.
   */
  uint32_t (*hop_rec_hash)(struct d_hash_table* table, d_list_t* link);
  void (*hop_rec_addref)(struct d_hash_table* table, d_list_t* link);
  /** Drops a reference. \return true if it was the last one. */
  bool (*hop_rec_decref)(struct d_hash_table* table, d_list_t* link);
  /** Drops \a count references. \return 0, 1 if none is left, negative error code. */
  int (*hop_rec_ndecref)(struct d_hash_table* table, d_list_t* link, int count);
  void (*hop_rec_free)(struct d_hash_table* table, d_list_t* link);
} d_hash_table_ops_t;

enum d_hash_feats {
  /** The program locks. */
  D_HASH_FT_NOLOCK = 1 << 0,
  D_HASH_FT_MUTEX = 1 << 1,
  D_HASH_FT_RWLOCK = 1 << 2,
  /** A record leaves the table when its last reference is dropped; the table itself holds none. */
  D_HASH_FT_EPHEMERAL = 1 << 3,
  /** A record that was found moves to the front of its bucket. */
  D_HASH_FT_LRU = 1 << 4,
  D_HASH_FT_NO_KEYINIT_LOCK = 1 << 5,
  /** One lock for the whole table. */
  D_HASH_FT_GLOCK = 1 << 15
};

typedef struct d_hash_bucket {
  d_list_t hb_head;
} d_hash_bucket_t;

union d_hash_lock {
  pthread_mutex_t mutex;
  uint64_t space[7];
};

struct d_hash_table {
  union d_hash_lock ht_lock;
  /** Logarithm of the number of buckets. */
  uint32_t ht_bits;
  uint32_t ht_feats;
  /** For the program. */
  void* ht_priv;
  d_hash_table_ops_t* ht_ops;
  d_hash_bucket_t* ht_buckets;
  union d_hash_lock* ht_locks;
};

/** Makes a table of 2^\a bits buckets. \return 0, -DER_INVAL, -DER_NOMEM. */
int d_hash_table_create(uint32_t feats, uint32_t bits, void* priv, d_hash_table_ops_t* hops,
                        struct d_hash_table** htable_pp);
int d_hash_table_create_inplace(uint32_t feats, uint32_t bits, void* priv, d_hash_table_ops_t* hops,
                                struct d_hash_table* htable);

/** Ends a table. \return 0, or -DER_BUSY if it holds records and \a force is false. */
int d_hash_table_destroy(struct d_hash_table* htable, bool force);
int d_hash_table_destroy_inplace(struct d_hash_table* htable, bool force);

typedef int (*d_hash_traverse_cb_t)(d_list_t* link, void* arg);
/** Calls \a cb for every record until it returns something else than 0, which is returned. */
int d_hash_table_traverse(struct d_hash_table* htable, d_hash_traverse_cb_t cb, void* arg);

/** The record with a key, with one more reference; NULL if there is none. */
d_list_t* d_hash_rec_find(struct d_hash_table* htable, const void* key, unsigned int ksize);
/** The record with a key, or \a link, which is inserted then; with one more reference. */
d_list_t* d_hash_rec_find_insert(struct d_hash_table* htable, const void* key, unsigned int ksize,
                                 d_list_t* link);
/** Inserts a record. \a exclusive: -DER_EXIST if the key is there. */
int d_hash_rec_insert(struct d_hash_table* htable, const void* key, unsigned int ksize,
                      d_list_t* link, bool exclusive);
int d_hash_rec_insert_anonym(struct d_hash_table* htable, d_list_t* link, void* arg);

/** Takes a record out. \return whether there was one. */
bool d_hash_rec_delete(struct d_hash_table* htable, const void* key, unsigned int ksize);
bool d_hash_rec_delete_at(struct d_hash_table* htable, d_list_t* link);
/** As delete, for tables with D_HASH_FT_LRU: the record moves to the end of its bucket. */
bool d_hash_rec_evict(struct d_hash_table* htable, const void* key, unsigned int ksize);
bool d_hash_rec_evict_at(struct d_hash_table* htable, d_list_t* link);

void d_hash_rec_addref(struct d_hash_table* htable, d_list_t* link);
void d_hash_rec_decref(struct d_hash_table* htable, d_list_t* link);
int d_hash_rec_ndecref(struct d_hash_table* htable, int count, d_list_t* link);
/** Whether a record is in no table. */
bool d_hash_rec_unlinked(d_list_t* link);
/** Some record, without a reference; NULL if the table is empty. */
d_list_t* d_hash_rec_first(struct d_hash_table* htable);

/** Hash of \a len characters (strings end earlier). */
uint32_t d_hash_string_u32(const char* string, unsigned int len);
uint64_t d_hash_murmur64(const unsigned char* key, unsigned int key_len, unsigned int seed);

/** Spreads an integer over \a bits bits. */
static inline uint32_t d_u32_hash(uint64_t key, unsigned int bits) {
  const uint32_t spread = (uint32_t)key * 2654435761U;

  return bits == 0 || bits >= 32 ? spread : spread >> (32 - bits);
}

#if defined(__cplusplus)
}
#endif
#endif
