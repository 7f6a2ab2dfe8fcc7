/* Objects that are said to be final are flattened in the background; whatever becomes of the hint,
 * everything reads as before. */
#include <cairn_dfs.h>
#include <cairn_worm.h>
#include <unistd.h>

#include "check.h"

enum { kTriesMax = 40, kPauseUs = 400 * 1000, kBytes = 5000 };

static char bytes[kBytes];

static daos_obj_id_t oid_of(daos_handle_t coh, uint64_t lo, enum daos_otype_t type,
                            daos_oclass_id_t oclass) {
  daos_obj_id_t oid = {.lo = lo};

  MUST(daos_obj_generate_oid(coh, &oid, type, oclass, 0, 0));
  return oid;
}

static int put(daos_handle_t oh, daos_handle_t th, uint64_t flags, const char* dkey, int value) {
  daos_key_t key = {(void*)dkey, strlen(dkey), strlen(dkey)};
  d_iov_t iov = {&value, sizeof(value), sizeof(value)};
  d_sg_list_t sgl = {1, 0, &iov};
  daos_iod_t iod = {.iod_type = DAOS_IOD_SINGLE, .iod_size = sizeof(value), .iod_nr = 1};

  d_iov_set(&iod.iod_name, "a", 1);
  return daos_obj_update(oh, th, flags, &key, 1, &iod, &sgl, NULL);
}

static int get(daos_handle_t oh, const char* dkey) {
  int value = 0;
  daos_key_t key = {(void*)dkey, strlen(dkey), strlen(dkey)};
  d_iov_t iov = {&value, sizeof(value), sizeof(value)};
  d_sg_list_t sgl = {1, 0, &iov};
  daos_iod_t iod = {.iod_type = DAOS_IOD_SINGLE, .iod_size = sizeof(value), .iod_nr = 1};

  d_iov_set(&iod.iod_name, "a", 1);
  OK(daos_obj_fetch(oh, DAOS_TX_NONE, 0, &key, 1, &iod, &sgl, NULL, NULL));
  return value;
}

/* Waits a moment; whether the object was flat before somebody asked for it. */
static int was_flat(daos_handle_t coh, daos_obj_id_t oid) {
  cairn_flat_t flat = {0};

  usleep(kPauseUs);
  OK(cairn_cont_flatten_some(coh, 1, &oid, &flat));
  return flat.cf_outcome == CAIRN_FLAT_ALREADY;
}

/* Writes an object anew and says in one way that this was the last time. */
typedef daos_obj_id_t writer(daos_handle_t coh, daos_oclass_id_t oclass, int turn);

/* A server that is killed forgets hints: one of many tries must come through. */
static void test_way(const char* what, writer* write, daos_handle_t coh, daos_oclass_id_t oclass) {
  int turn;

  for (turn = 1; turn <= kTriesMax; turn++) {
    if (was_flat(coh, write(coh, oclass, turn))) return;
  }
  fprintf(stderr, "worm_final: %s: never flattened in the background\n", what);
  failures++;
}

static daos_obj_id_t write_by_update(daos_handle_t coh, daos_oclass_id_t oclass, int turn) {
  const daos_obj_id_t oid = oid_of(coh, 100 + oclass % 100, DAOS_OT_MULTI_HASHED, oclass);
  daos_handle_t oh = DAOS_HDL_INVAL;
  char name[16];
  int i;

  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  for (i = 0; i < 20; i++) {
    snprintf(name, sizeof(name), "dkey%d", i);
    OK(put(oh, DAOS_TX_NONE, i == 19 ? CAIRN_COND_FINAL : 0, name, turn + i));
  }
  for (i = 0; i < 20; i++) {
    snprintf(name, sizeof(name), "dkey%d", i);
    IS(get(oh, name), turn + i);
  }
  /* A condition beside it counts as ever. */
  IS(put(oh, DAOS_TX_NONE, CAIRN_COND_FINAL | DAOS_COND_DKEY_INSERT, "dkey3", 0), -DER_EXIST);
  OK(daos_obj_close(oh, NULL));
  return oid;
}

static daos_obj_id_t write_in_transaction(daos_handle_t coh, daos_oclass_id_t oclass, int turn) {
  const daos_obj_id_t oid = oid_of(coh, 300 + oclass % 100, DAOS_OT_MULTI_HASHED, oclass);
  daos_handle_t oh = DAOS_HDL_INVAL, th = DAOS_HDL_INVAL;

  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  MUST(daos_tx_open(coh, &th, 0, NULL));
  OK(put(oh, th, 0, "one", turn));
  OK(put(oh, th, CAIRN_COND_FINAL, "two", turn));
  OK(put(oh, th, 0, "three", turn));
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));
  IS(get(oh, "one"), turn);
  IS(get(oh, "three"), turn);
  OK(daos_obj_close(oh, NULL));
  return oid;
}

static daos_obj_id_t write_kv(daos_handle_t coh, daos_oclass_id_t oclass, int turn) {
  const daos_obj_id_t oid = oid_of(coh, 500 + oclass % 100, DAOS_OT_KV_HASHED, oclass);
  daos_handle_t oh = DAOS_HDL_INVAL;
  daos_size_t size = sizeof(turn);
  int got = 0;

  MUST(daos_kv_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  OK(daos_kv_put(oh, DAOS_TX_NONE, 0, "first", sizeof(turn), &turn, NULL));
  OK(daos_kv_put(oh, DAOS_TX_NONE, CAIRN_COND_FINAL, "last", sizeof(turn), &turn, NULL));
  OK(daos_kv_get(oh, DAOS_TX_NONE, 0, "first", &size, &got, NULL));
  IS(got, turn);
  OK(daos_kv_close(oh, NULL));
  return oid;
}

/* Arrays, whose writes have no flags, by the call of its own. */
static daos_obj_id_t write_array(daos_handle_t coh, daos_oclass_id_t oclass, int turn) {
  const daos_obj_id_t oid = oid_of(coh, 1000 + (uint64_t)turn + oclass % 100 * 1000,
                                   DAOS_OT_ARRAY, oclass);
  daos_handle_t oh = DAOS_HDL_INVAL;
  daos_range_t range = {0, kBytes};
  daos_array_iod_t iod = {.arr_nr = 1, .arr_rgs = &range};
  d_iov_t iov = {bytes, kBytes, kBytes};
  d_sg_list_t sgl = {1, 0, &iov};

  MUST(daos_array_create(coh, oid, DAOS_TX_NONE, 1, 4096, &oh, NULL));
  OK(daos_array_write(oh, DAOS_TX_NONE, &iod, &sgl, NULL));
  OK(cairn_obj_final(oh, DAOS_TX_NONE, NULL));
  OK(daos_array_close(oh, NULL));
  return oid;
}

static dfs_t* mounted;

static daos_obj_id_t write_file(daos_handle_t coh, daos_oclass_id_t oclass, int turn) {
  dfs_obj_t* file = NULL;
  daos_obj_id_t oid = {0};
  d_iov_t iov = {bytes, kBytes, kBytes};
  d_sg_list_t sgl = {1, 0, &iov};
  static char got[kBytes];
  char name[16];
  daos_size_t size = 0;

  (void)coh;
  snprintf(name, sizeof(name), "f%u.%d", oclass % 100, turn);
  MUST(dfs_open(mounted, NULL, name, S_IFREG | 0644, O_RDWR | O_CREAT | O_TRUNC, oclass, 0, NULL,
                &file));
  OK(dfs_write(mounted, file, &sgl, 0, NULL));
  OK(dfs_obj2id(file, &oid));
  OK(cairn_dfs_release_final(file));
  MUST(dfs_lookup_rel(mounted, NULL, name, O_RDONLY, &file, NULL, NULL));
  iov.iov_buf = got;
  OK(dfs_read(mounted, file, &sgl, 0, &size, NULL));
  IS(size, kBytes);
  IS(memcmp(got, bytes, kBytes), 0);
  /* Who may only read says nothing about writing, but the file is closed. */
  IS(cairn_dfs_release_final(file), EPERM);
  return oid;
}

static void test_files(daos_handle_t poh) {
  daos_handle_t coh = DAOS_HDL_INVAL;
  dfs_obj_t* obj = NULL;

  OK(dfs_cont_create_with_label(poh, "worm-files", NULL, NULL, &coh, &mounted));
  test_way("a file", write_file, coh, OC_S1);
  test_way("a wide file", write_file, coh, OC_SX);
  MUST(dfs_open(mounted, NULL, "link", S_IFLNK | 0777, O_RDWR | O_CREAT, 0, 0, "f", &obj));
  OK(cairn_dfs_release_final(obj));
  MUST(dfs_lookup(mounted, "/", O_RDWR, &obj, NULL, NULL));
  OK(cairn_dfs_release_final(obj));
  IS(cairn_dfs_release_final(NULL), EINVAL);
  OK(dfs_umount(mounted));
  OK(daos_cont_close(coh, NULL));
}

static void test_event(daos_handle_t coh) {
  const daos_obj_id_t oid = oid_of(coh, 40, DAOS_OT_MULTI_HASHED, OC_S1);
  daos_handle_t oh = DAOS_HDL_INVAL, eq = DAOS_HDL_INVAL;
  daos_event_t ev;
  daos_event_t* done = NULL;

  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  OK(put(oh, DAOS_TX_NONE, 0, "d", 1));
  MUST(daos_eq_create(&eq));
  MUST(daos_event_init(&ev, eq, NULL));
  OK(cairn_obj_final(oh, DAOS_TX_NONE, &ev));
  IS(daos_eq_poll(eq, 0, DAOS_EQ_WAIT, 1, &done), 1);
  IS(ev.ev_error, 0);
  MUST(daos_event_fini(&ev));
  MUST(daos_eq_destroy(eq, 0));
  OK(daos_obj_close(oh, NULL));
}

static void test_some(daos_handle_t coh) {
  daos_obj_id_t oids[300];
  cairn_flat_t flats[300];
  daos_handle_t oh = DAOS_HDL_INVAL;
  int i;

  for (i = 0; i < 300; i++) {
    oids[i] = oid_of(coh, 90000 + (uint64_t)i, DAOS_OT_MULTI_HASHED, i % 10 == 0 ? OC_SX : OC_S1);
    if (i % 3 == 0) continue;
    MUST(daos_obj_open(coh, oids[i], DAOS_OO_RW, &oh, NULL));
    OK(put(oh, DAOS_TX_NONE, 0, "d", i));
    OK(daos_obj_close(oh, NULL));
  }
  OK(cairn_cont_flatten_some(coh, 300, oids, flats));
  for (i = 0; i < 300; i++) {
    IS(flats[i].cf_outcome, i % 3 == 0 ? CAIRN_FLAT_ABSENT : CAIRN_FLAT_DONE);
    IS(flats[i].cf_buffer_bytes > 0, i % 3 != 0);
  }
  OK(cairn_cont_flatten_some(coh, 300, oids, NULL));
  IS(cairn_cont_flatten_some(coh, 0, oids, NULL), -DER_INVAL);
  IS(cairn_cont_flatten_some(coh, 1, NULL, NULL), -DER_INVAL);
  IS(cairn_cont_flatten_some(kNoHandle, 1, oids, NULL), -DER_NO_HDL);
}

static void test_refused(daos_handle_t poh, daos_handle_t coh) {
  const daos_obj_id_t oid = oid_of(coh, 40, DAOS_OT_MULTI_HASHED, OC_S1);
  daos_handle_t reader = DAOS_HDL_INVAL, oh = DAOS_HDL_INVAL, th = DAOS_HDL_INVAL;

  IS(cairn_obj_final(kNoHandle, DAOS_TX_NONE, NULL), -DER_NO_HDL);
  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  IS(cairn_obj_final(oh, kNoHandle, NULL), -DER_NO_HDL);
  MUST(daos_tx_open(coh, &th, 0, NULL));
  OK(cairn_obj_final(oh, th, NULL));
  OK(daos_tx_abort(th, NULL));
  IS(cairn_obj_final(oh, th, NULL), -DER_NO_PERM);
  OK(daos_tx_close(th, NULL));
  /* A fetch has nothing to say about writing; as any bit that DAOS does not know it is ignored. */
  {
    int value = 0;
    daos_key_t key = {"d", 1, 1};
    d_iov_t iov = {&value, sizeof(value), sizeof(value)};
    d_sg_list_t sgl = {1, 0, &iov};
    daos_iod_t iod = {.iod_type = DAOS_IOD_SINGLE, .iod_size = sizeof(value), .iod_nr = 1};

    d_iov_set(&iod.iod_name, "a", 1);
    OK(daos_obj_fetch(oh, DAOS_TX_NONE, CAIRN_COND_FINAL, &key, 1, &iod, &sgl, NULL, NULL));
  }
  OK(daos_obj_close(oh, NULL));
  MUST(daos_cont_open(poh, "worm-final", DAOS_COO_RO, &reader, NULL, NULL));
  MUST(daos_obj_open(reader, oid, DAOS_OO_RO, &oh, NULL));
  IS(cairn_obj_final(oh, DAOS_TX_NONE, NULL), -DER_NO_PERM);
  IS(cairn_cont_flatten_some(reader, 1, &oid, NULL), -DER_NO_PERM);
  OK(daos_obj_close(oh, NULL));
  OK(daos_cont_close(reader, NULL));
}

int main(void) {
  const daos_handle_t poh = connect_pool();
  const daos_handle_t coh = open_cont(poh, "worm-final");

  memset(bytes, 'b', sizeof(bytes));
  test_way("an update", write_by_update, coh, OC_S1);
  test_way("an update of a wide object", write_by_update, coh, OC_SX);
  test_way("a transaction", write_in_transaction, coh, OC_S1);
  test_way("a transaction on a wide object", write_in_transaction, coh, OC_SX);
  test_way("a KV", write_kv, coh, OC_S1);
  test_way("an array", write_array, coh, OC_S1);
  test_way("a wide array", write_array, coh, OC_SX);
  test_event(coh);
  test_some(coh);
  test_refused(poh, coh);
  test_files(poh);
  leave(poh, coh);
  return report("worm_final");
}
