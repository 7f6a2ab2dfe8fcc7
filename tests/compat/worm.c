/* Flattened objects: everything reads as before, and changes go on. */
#include <cairn_worm.h>

#include "check.h"

enum { kKeys = 50, kBytes = 20000 };

static daos_handle_t object_of(daos_handle_t coh, uint64_t lo, enum daos_otype_t type,
                               daos_oclass_id_t oclass) {
  daos_handle_t oh = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = lo};

  MUST(daos_obj_generate_oid(coh, &oid, type, oclass, 0, 0));
  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  return oh;
}

static void put(daos_handle_t oh, const char* dkey, const char* akey, const void* data,
                size_t bytes) {
  daos_key_t key = {(void*)dkey, strlen(dkey), strlen(dkey)};
  d_iov_t iov = {(void*)data, bytes, bytes};
  d_sg_list_t sgl = {1, 0, &iov};
  daos_recx_t recx = {0, bytes};
  daos_iod_t iod = {.iod_type = bytes > 100 ? DAOS_IOD_ARRAY : DAOS_IOD_SINGLE,
                    .iod_size = bytes > 100 ? 1 : bytes,
                    .iod_nr = 1,
                    .iod_recxs = bytes > 100 ? &recx : NULL};

  d_iov_set(&iod.iod_name, (void*)akey, strlen(akey));
  MUST(daos_obj_update(oh, DAOS_TX_NONE, 0, &key, 1, &iod, &sgl, NULL));
}

/* Bytes that are there; the first ones are those wanted. */
static size_t get(daos_handle_t oh, const char* dkey, const char* akey, const void* wanted,
                  size_t bytes) {
  static char got[kBytes];
  daos_key_t key = {(void*)dkey, strlen(dkey), strlen(dkey)};
  d_iov_t iov = {got, bytes, bytes};
  d_sg_list_t sgl = {1, 0, &iov};
  daos_recx_t recx = {0, bytes};
  daos_iod_t iod = {.iod_type = bytes > 100 ? DAOS_IOD_ARRAY : DAOS_IOD_SINGLE,
                    .iod_size = bytes > 100 ? 1 : bytes,
                    .iod_nr = 1,
                    .iod_recxs = bytes > 100 ? &recx : NULL};

  memset(got, 0, sizeof(got));
  d_iov_set(&iod.iod_name, (void*)akey, strlen(akey));
  OK(daos_obj_fetch(oh, DAOS_TX_NONE, 0, &key, 1, &iod, &sgl, NULL, NULL));
  if (iod.iod_size != 0) IS(memcmp(got, wanted, bytes), 0);
  return iod.iod_size;
}

static int dkeys(daos_handle_t oh) {
  daos_anchor_t anchor = DAOS_ANCHOR_INIT;
  int total = 0;

  while (!daos_anchor_is_eof(&anchor)) {
    daos_key_desc_t kds[7];
    char names[256];
    d_iov_t iov = {names, sizeof(names), sizeof(names)};
    d_sg_list_t sgl = {1, 0, &iov};
    uint32_t nr = 7;

    MUST(daos_obj_list_dkey(oh, DAOS_TX_NONE, &nr, kds, &sgl, &anchor, NULL));
    total += (int)nr;
  }
  return total;
}

static char large[kBytes];

static void fill(daos_handle_t oh, int value) {
  int i;

  for (i = 0; i < kKeys; i++) {
    char name[16];

    snprintf(name, sizeof(name), "dkey.%02d", i);
    put(oh, name, "small", &value, sizeof(value));
    put(oh, name, "also", &i, sizeof(i));
  }
  put(oh, "dkey.00", "large", large, sizeof(large));
}

static void look(daos_handle_t oh, int value) {
  int i;

  for (i = 0; i < kKeys; i++) {
    char name[16];

    snprintf(name, sizeof(name), "dkey.%02d", i);
    IS(get(oh, name, "small", &value, sizeof(value)), sizeof(value));
    IS(get(oh, name, "also", &i, sizeof(i)), sizeof(i));
  }
  IS(get(oh, "dkey.00", "large", large, sizeof(large)), 1);
  IS(get(oh, "dkey.00", "none", large, 4), 0);
  IS(get(oh, "none", "small", large, 4), 0);
  IS(dkeys(oh), kKeys);
}

static void test_object(daos_handle_t coh, daos_oclass_id_t oclass, uint64_t lo) {
  daos_handle_t oh = object_of(coh, lo, DAOS_OT_MULTI_HASHED, oclass);
  cairn_flat_t flat = {0};
  int other = 77;

  OK(cairn_obj_flatten(oh, &flat, NULL));
  IS(flat.cf_outcome, CAIRN_FLAT_ABSENT);
  fill(oh, 5);
  OK(cairn_obj_flatten(oh, &flat, NULL));
  IS(flat.cf_outcome, CAIRN_FLAT_DONE);
  IS(flat.cf_buffer_bytes > kBytes, 1);
  look(oh, 5);
  OK(cairn_obj_flatten(oh, &flat, NULL));
  IS(flat.cf_outcome, CAIRN_FLAT_ALREADY);
  /* Changes go on, and the rest stays. */
  put(oh, "dkey.03", "small", &other, sizeof(other));
  IS(get(oh, "dkey.03", "small", &other, sizeof(other)), sizeof(other));
  IS(dkeys(oh), kKeys);
  fill(oh, 6);
  look(oh, 6);
  OK(cairn_obj_flatten(oh, NULL, NULL));
  look(oh, 6);
  OK(daos_obj_punch(oh, DAOS_TX_NONE, 0, NULL));
  IS(dkeys(oh), 0);
  IS(get(oh, "dkey.03", "small", &other, sizeof(other)), 0);
  fill(oh, 7);
  look(oh, 7);
  OK(daos_obj_close(oh, NULL));
}

static void test_event(daos_handle_t coh) {
  daos_handle_t oh = object_of(coh, 30, DAOS_OT_MULTI_HASHED, OC_S1);
  daos_handle_t eq = DAOS_HDL_INVAL;
  daos_event_t ev;
  daos_event_t* done = NULL;
  cairn_flat_t flat = {0};

  fill(oh, 1);
  MUST(daos_eq_create(&eq));
  MUST(daos_event_init(&ev, eq, NULL));
  OK(cairn_obj_flatten(oh, &flat, &ev));
  IS(daos_eq_poll(eq, 0, DAOS_EQ_WAIT, 1, &done), 1);
  IS(ev.ev_error, 0);
  IS(flat.cf_outcome, CAIRN_FLAT_DONE);
  MUST(daos_event_fini(&ev));
  MUST(daos_eq_destroy(eq, 0));
  look(oh, 1);
  OK(daos_obj_close(oh, NULL));
}

static int stop(const cairn_flat_stats_t* so_far, void* arg) {
  *(uint64_t*)arg = so_far->cs_objects;
  return 9;
}

static void test_container(daos_handle_t coh) {
  cairn_flat_stats_t stats;
  uint64_t seen = 0;
  int i;

  for (i = 0; i < 100; i++) {
    daos_handle_t oh = object_of(coh, 1000 + (uint64_t)i, DAOS_OT_MULTI_HASHED, OC_S1);

    put(oh, "d", "a", &i, sizeof(i));
    OK(daos_obj_close(oh, NULL));
  }
  OK(cairn_cont_flatten(coh, &stats, NULL, NULL));
  IS(stats.cs_objects >= 100, 1);
  // Some are flat already where an engine was killed before it could say so.
  IS(stats.cs_outcomes[CAIRN_FLAT_DONE] + stats.cs_outcomes[CAIRN_FLAT_ALREADY] >= 100, 1);
  IS(cairn_cont_flatten(coh, NULL, stop, &seen), 9);
  IS(seen > 0, 1);
  for (i = 0; i < 100; i++) {
    daos_handle_t oh = object_of(coh, 1000 + (uint64_t)i, DAOS_OT_MULTI_HASHED, OC_S1);

    IS(get(oh, "d", "a", &i, sizeof(i)), sizeof(i));
    OK(daos_obj_close(oh, NULL));
  }
}

/* A snapshot sees what it saw. */
static void test_snapshot(daos_handle_t coh) {
  daos_handle_t oh = object_of(coh, 31, DAOS_OT_MULTI_HASHED, OC_S1);
  daos_handle_t th = DAOS_HDL_INVAL;
  daos_epoch_t epoch = 0;
  cairn_flat_t flat = {0};
  daos_key_t key = {"dkey.01", 7, 7};
  int value = 0;
  d_iov_t iov = {&value, sizeof(value), sizeof(value)};
  d_sg_list_t sgl = {1, 0, &iov};
  daos_iod_t iod = {.iod_type = DAOS_IOD_SINGLE, .iod_size = sizeof(value), .iod_nr = 1};

  fill(oh, 1);
  MUST(daos_cont_create_snap(coh, &epoch, NULL, NULL));
  fill(oh, 2);
  /* It straddles the snapshot: it stays as it is, or keeps what the snapshot needs. */
  {
    int rc = cairn_obj_flatten(oh, &flat, NULL);

    IS(rc == 0 || (rc == -DER_NOTAPPLICABLE && flat.cf_outcome == CAIRN_FLAT_SNAPSHOT), 1);
  }
  look(oh, 2);
  MUST(daos_tx_open_snap(coh, epoch, &th, NULL));
  d_iov_set(&iod.iod_name, "small", 5);
  OK(daos_obj_fetch(oh, th, 0, &key, 1, &iod, &sgl, NULL, NULL));
  IS(value, 1);
  MUST(daos_tx_close(th, NULL));
  MUST(daos_cont_destroy_snap(coh, (daos_epoch_range_t){epoch, epoch}, NULL));
  OK(daos_obj_close(oh, NULL));
}

static void test_refused(daos_handle_t poh, const char* label) {
  daos_handle_t coh = DAOS_HDL_INVAL;
  daos_handle_t oh = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 30};

  MUST(daos_cont_open(poh, label, DAOS_COO_RO, &coh, NULL, NULL));
  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_MULTI_HASHED, OC_S1, 0, 0));
  MUST(daos_obj_open(coh, oid, DAOS_OO_RO, &oh, NULL));
  IS(cairn_obj_flatten(oh, NULL, NULL), -DER_NO_PERM);
  IS(cairn_cont_flatten(coh, NULL, NULL, NULL), -DER_NO_PERM);
  MUST(daos_obj_close(oh, NULL));
  MUST(daos_cont_close(coh, NULL));
  IS(cairn_obj_flatten(DAOS_HDL_INVAL, NULL, NULL), -DER_NO_HDL);
  IS(cairn_cont_flatten(DAOS_HDL_INVAL, NULL, NULL, NULL), -DER_NO_HDL);
}

static void test_some(daos_handle_t coh) {
  static daos_obj_id_t many[CAIRN_FLATTEN_SOME_MAX + 1];
  daos_handle_t oh[3];
  daos_obj_id_t oids[3];
  cairn_flat_t flats[3];
  uint32_t i;

  for (i = 0; i < 3; i++) {
    oids[i] = (daos_obj_id_t){.lo = 60 + i};
    MUST(daos_obj_generate_oid(coh, &oids[i], DAOS_OT_MULTI_HASHED, OC_S1, 0, 0));
    oh[i] = object_of(coh, 60 + i, DAOS_OT_MULTI_HASHED, OC_S1);
    put(oh[i], "d", "a", &i, sizeof(i));
  }
  for (i = 0; i <= CAIRN_FLATTEN_SOME_MAX; i++) {
    many[i] = (daos_obj_id_t){.lo = i, .hi = oids[0].hi};
  }
  IS(cairn_cont_flatten_some(coh, 0, oids, flats), -DER_INVAL);
  IS(cairn_cont_flatten_some(coh, 3, NULL, flats), -DER_INVAL);
  IS(cairn_cont_flatten_some(coh, CAIRN_FLATTEN_SOME_MAX + 1, many, NULL), -DER_INVAL);
  /* An object that is named twice: nothing is done of the others. */
  many[0] = oids[1];
  many[1] = oids[0];
  many[2] = oids[1];
  IS(cairn_cont_flatten_some(coh, 3, many, flats), -DER_INVAL);
  OK(cairn_cont_flatten_some(coh, 3, oids, flats));
  for (i = 0; i < 3; i++) {
    IS(flats[i].cf_outcome, CAIRN_FLAT_DONE);
    IS(get(oh[i], "d", "a", &i, sizeof(i)), sizeof(i));
    OK(daos_obj_close(oh[i], NULL));
  }
}

int main(void) {
  const daos_handle_t poh = connect_pool();
  daos_handle_t coh = open_cont(poh, "worm-test");

  memset(large, 'w', sizeof(large));
  test_object(coh, OC_S1, 1);
  test_object(coh, OC_SX, 2);
  test_event(coh);
  test_container(coh);
  test_some(coh);
  test_snapshot(coh);
  test_refused(poh, "worm-test");
  /* All of it survives the end of the library. */
  leave(poh, coh);
  {
    const daos_handle_t again = connect_pool();
    daos_handle_t oh = DAOS_HDL_INVAL;

    coh = open_cont(again, "worm-test");
    oh = object_of(coh, 30, DAOS_OT_MULTI_HASHED, OC_S1);
    look(oh, 1);
    OK(daos_obj_close(oh, NULL));
    OK(daos_cont_close(coh, NULL));
    OK(daos_cont_destroy(again, "worm-test", 0, NULL));
    leave(again, DAOS_HDL_INVAL);
  }
  return report("worm");
}
