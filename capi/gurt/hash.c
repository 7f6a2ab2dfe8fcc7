/*
 * Hash tables of the program's records. Without D_HASH_FT_EPHEMERAL the table holds a reference of
 * each record; with it a record leaves the table with its last reference. One lock for the whole
 * table, or none (D_HASH_FT_NOLOCK); records are freed after it is released.
 */
#include <daos_errno.h>
#include <gurt/hash.h>
#include <string.h>

enum { kBitsMax = 31 };

static bool flag(const struct d_hash_table* t, uint32_t feature) {
  return (t->ht_feats & feature) != 0;
}
static void lock(struct d_hash_table* t) {
  if (!flag(t, D_HASH_FT_NOLOCK)) pthread_mutex_lock(&t->ht_lock.mutex);
}
static void unlock(struct d_hash_table* t) {
  if (!flag(t, D_HASH_FT_NOLOCK)) pthread_mutex_unlock(&t->ht_lock.mutex);
}

static uint32_t bucket_index(const struct d_hash_table* t, uint32_t hash) {
  return hash & ((1U << t->ht_bits) - 1);
}
static d_list_t* bucket_of_key(struct d_hash_table* t, const void* key, unsigned int ksize) {
  uint32_t hash;

  if (t->ht_ops->hop_key_hash != NULL) {
    hash = t->ht_ops->hop_key_hash(t, key, ksize);
  } else if (ksize == 0) {
    hash = d_hash_string_u32(key, (unsigned int)strlen(key));
  } else {
    hash = (uint32_t)d_hash_murmur64(key, ksize, 0);
  }
  return &t->ht_buckets[bucket_index(t, hash)].hb_head;
}
/* With the lock. */
static d_list_t* find_in(struct d_hash_table* t, d_list_t* bucket, const void* key,
                         unsigned int ksize) {
  d_list_t* link;

  d_list_for_each(link, bucket) {
    if (!t->ht_ops->hop_key_cmp(t, link, key, ksize)) continue;
    if (flag(t, D_HASH_FT_LRU)) d_list_move(link, bucket);
    return link;
  }
  return NULL;
}

static void addref(struct d_hash_table* t, d_list_t* link) {
  if (t->ht_ops->hop_rec_addref != NULL) t->ht_ops->hop_rec_addref(t, link);
}
static bool decref(struct d_hash_table* t, d_list_t* link) {
  return t->ht_ops->hop_rec_decref != NULL ? t->ht_ops->hop_rec_decref(t, link) : false;
}
static void free_record(struct d_hash_table* t, d_list_t* link) {
  if (t->ht_ops->hop_rec_free != NULL) t->ht_ops->hop_rec_free(t, link);
}

static void put_in(struct d_hash_table* t, d_list_t* bucket, d_list_t* link) {
  if (!flag(t, D_HASH_FT_EPHEMERAL)) addref(t, link);
  d_list_add(link, bucket);
}
/* With the lock. Returns true if the record is to be freed. */
static bool take_out(struct d_hash_table* t, d_list_t* link) {
  d_list_del_init(link);
  return !flag(t, D_HASH_FT_EPHEMERAL) && decref(t, link);
}

int d_hash_table_create_inplace(uint32_t feats, uint32_t bits, void* priv, d_hash_table_ops_t* hops,
                                struct d_hash_table* htable) {
  uint32_t i;

  if (hops == NULL || hops->hop_key_cmp == NULL || htable == NULL || bits > kBitsMax) {
    return -DER_INVAL;
  }
  memset(htable, 0, sizeof(*htable));
  htable->ht_feats = feats;
  htable->ht_bits = bits;
  htable->ht_ops = hops;
  htable->ht_priv = priv;
  htable->ht_buckets = malloc(sizeof(d_hash_bucket_t) << bits);
  if (htable->ht_buckets == NULL) return -DER_NOMEM;
  for (i = 0; i < 1U << bits; i++) D_INIT_LIST_HEAD(&htable->ht_buckets[i].hb_head);
  if (!flag(htable, D_HASH_FT_NOLOCK)) pthread_mutex_init(&htable->ht_lock.mutex, NULL);
  return 0;
}

int d_hash_table_create(uint32_t feats, uint32_t bits, void* priv, d_hash_table_ops_t* hops,
                        struct d_hash_table** htable_pp) {
  struct d_hash_table* htable;
  int rc;

  if (htable_pp == NULL) return -DER_INVAL;
  htable = malloc(sizeof(*htable));
  if (htable == NULL) return -DER_NOMEM;
  rc = d_hash_table_create_inplace(feats, bits, priv, hops, htable);
  if (rc != 0) {
    free(htable);
    return rc;
  }
  *htable_pp = htable;
  return 0;
}

int d_hash_table_destroy_inplace(struct d_hash_table* htable, bool force) {
  d_list_t* link;

  while ((link = d_hash_rec_first(htable)) != NULL) {
    if (!force) return -DER_BUSY;
    d_hash_rec_delete_at(htable, link);
  }
  if (!flag(htable, D_HASH_FT_NOLOCK)) pthread_mutex_destroy(&htable->ht_lock.mutex);
  free(htable->ht_buckets);
  memset(htable, 0, sizeof(*htable));
  return 0;
}

int d_hash_table_destroy(struct d_hash_table* htable, bool force) {
  const int rc = d_hash_table_destroy_inplace(htable, force);

  if (rc == 0) free(htable);
  return rc;
}

int d_hash_table_traverse(struct d_hash_table* htable, d_hash_traverse_cb_t cb, void* arg) {
  d_list_t* link;
  d_list_t* next;
  uint32_t i;
  int rc = 0;

  if (htable->ht_buckets == NULL) return -DER_UNINIT;
  lock(htable);
  for (i = 0; rc == 0 && i < 1U << htable->ht_bits; i++) {
    d_list_for_each_safe(link, next, &htable->ht_buckets[i].hb_head) {
      rc = cb(link, arg);
      if (rc != 0) break;
    }
  }
  unlock(htable);
  return rc;
}

d_list_t* d_hash_rec_find(struct d_hash_table* htable, const void* key, unsigned int ksize) {
  d_list_t* link;

  lock(htable);
  link = find_in(htable, bucket_of_key(htable, key, ksize), key, ksize);
  if (link != NULL) addref(htable, link);
  unlock(htable);
  return link;
}

d_list_t* d_hash_rec_find_insert(struct d_hash_table* htable, const void* key, unsigned int ksize,
                                 d_list_t* link) {
  d_list_t* const bucket = bucket_of_key(htable, key, ksize);
  d_list_t* found;

  lock(htable);
  found = find_in(htable, bucket, key, ksize);
  if (found == NULL) {
    found = link;
    put_in(htable, bucket, link);
  }
  addref(htable, found);
  unlock(htable);
  return found;
}

int d_hash_rec_insert(struct d_hash_table* htable, const void* key, unsigned int ksize,
                      d_list_t* link, bool exclusive) {
  d_list_t* const bucket = bucket_of_key(htable, key, ksize);
  int rc = 0;

  lock(htable);
  if (exclusive && find_in(htable, bucket, key, ksize) != NULL) {
    rc = -DER_EXIST;
  } else {
    put_in(htable, bucket, link);
  }
  unlock(htable);
  return rc;
}

int d_hash_rec_insert_anonym(struct d_hash_table* htable, d_list_t* link, void* arg) {
  uint32_t hash;

  if (htable->ht_ops->hop_key_init == NULL || htable->ht_ops->hop_rec_hash == NULL) {
    return -DER_INVAL;
  }
  lock(htable);
  htable->ht_ops->hop_key_init(htable, link, arg);
  hash = htable->ht_ops->hop_rec_hash(htable, link);
  put_in(htable, &htable->ht_buckets[bucket_index(htable, hash)].hb_head, link);
  unlock(htable);
  return 0;
}

bool d_hash_rec_delete(struct d_hash_table* htable, const void* key, unsigned int ksize) {
  d_list_t* link;
  bool last = false;

  lock(htable);
  link = find_in(htable, bucket_of_key(htable, key, ksize), key, ksize);
  if (link != NULL) last = take_out(htable, link);
  unlock(htable);
  if (last) free_record(htable, link);
  return link != NULL;
}

bool d_hash_rec_delete_at(struct d_hash_table* htable, d_list_t* link) {
  bool linked;
  bool last = false;

  lock(htable);
  linked = !d_hash_rec_unlinked(link);
  if (linked) last = take_out(htable, link);
  unlock(htable);
  if (last) free_record(htable, link);
  return linked;
}

/* With the lock. */
static void make_oldest(struct d_hash_table* t, d_list_t* link) {
  const uint32_t hash = t->ht_ops->hop_rec_hash == NULL ? 0 : t->ht_ops->hop_rec_hash(t, link);

  d_list_move_tail(link, &t->ht_buckets[bucket_index(t, hash)].hb_head);
}

bool d_hash_rec_evict(struct d_hash_table* htable, const void* key, unsigned int ksize) {
  d_list_t* bucket;
  d_list_t* link;

  if (!flag(htable, D_HASH_FT_LRU)) return false;
  lock(htable);
  bucket = bucket_of_key(htable, key, ksize);
  link = find_in(htable, bucket, key, ksize);
  if (link != NULL) d_list_move_tail(link, bucket);
  unlock(htable);
  return link != NULL;
}

bool d_hash_rec_evict_at(struct d_hash_table* htable, d_list_t* link) {
  bool linked;

  if (!flag(htable, D_HASH_FT_LRU)) return false;
  lock(htable);
  linked = !d_hash_rec_unlinked(link);
  if (linked) make_oldest(htable, link);
  unlock(htable);
  return linked;
}

void d_hash_rec_addref(struct d_hash_table* htable, d_list_t* link) {
  lock(htable);
  addref(htable, link);
  unlock(htable);
}

void d_hash_rec_decref(struct d_hash_table* htable, d_list_t* link) {
  bool last;

  lock(htable);
  last = decref(htable, link);
  if (last && flag(htable, D_HASH_FT_EPHEMERAL) && !d_hash_rec_unlinked(link)) {
    d_list_del_init(link);
  }
  unlock(htable);
  if (last) free_record(htable, link);
}

int d_hash_rec_ndecref(struct d_hash_table* htable, int count, d_list_t* link) {
  int rc = 0;

  lock(htable);
  if (htable->ht_ops->hop_rec_ndecref != NULL) {
    rc = htable->ht_ops->hop_rec_ndecref(htable, link, count);
  } else {
    while (rc == 0 && count-- > 0) rc = decref(htable, link) ? 1 : 0;
    if (rc == 1 && count > 0) rc = -DER_INVAL;
  }
  if (rc == 1 && flag(htable, D_HASH_FT_EPHEMERAL) && !d_hash_rec_unlinked(link)) {
    d_list_del_init(link);
  }
  unlock(htable);
  if (rc == 1) free_record(htable, link);
  return rc < 0 ? rc : 0;
}

bool d_hash_rec_unlinked(d_list_t* link) { return d_list_empty(link); }

d_list_t* d_hash_rec_first(struct d_hash_table* htable) {
  uint32_t i;

  if (htable->ht_buckets == NULL) return NULL;
  for (i = 0; i < 1U << htable->ht_bits; i++) {
    d_list_t* const bucket = &htable->ht_buckets[i].hb_head;

    if (!d_list_empty(bucket)) return bucket->next;
  }
  return NULL;
}

/* FNV-1a. Not kept anywhere, so it may change. */
uint32_t d_hash_string_u32(const char* string, unsigned int len) {
  uint32_t hash = 2166136261U;
  unsigned int i;

  for (i = 0; i < len && string[i] != '\0'; i++) {
    hash = (hash ^ (unsigned char)string[i]) * 16777619U;
  }
  return hash;
}

uint64_t d_hash_murmur64(const unsigned char* key, unsigned int key_len, unsigned int seed) {
  uint64_t hash = 14695981039346656037ULL ^ seed;
  unsigned int i;

  for (i = 0; i < key_len; i++) hash = (hash ^ key[i]) * 1099511628211ULL;
  hash ^= hash >> 33; /* the low bits choose buckets */
  return hash * 0xff51afd7ed558ccdULL;
}
