/* Snapshots, reads at them, object id tables, rollback and differences. */
#include <cairn_cont.h>

#include "check.h"

enum { kKeys = 20 };

static daos_handle_t kv_of(daos_handle_t coh, uint64_t lo) {
  daos_handle_t kv = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = lo};

  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_KV_HASHED, OC_S1, 0, 0));
  MUST(daos_kv_open(coh, oid, DAOS_OO_RW, &kv, NULL));
  return kv;
}

static void fill(daos_handle_t kv, int value) {
  char name[16];
  int i;

  for (i = 0; i < kKeys; i++) {
    snprintf(name, sizeof(name), "key.%02d", i);
    MUST(daos_kv_put(kv, DAOS_TX_NONE, 0, name, sizeof(value), &value, NULL));
  }
}

static int look(daos_handle_t kv, daos_handle_t th, const char* key) {
  int value = -1;
  daos_size_t size = sizeof(value);

  OK(daos_kv_get(kv, th, 0, key, &size, &value, NULL));
  return size == 0 ? -1 : value;
}

static int count(daos_handle_t kv, daos_handle_t th) {
  daos_anchor_t anchor = DAOS_ANCHOR_INIT;
  daos_key_desc_t kds[8];
  char list[256];
  int total = 0;

  while (!daos_anchor_is_eof(&anchor)) {
    d_iov_t iov = {list, sizeof(list), 0};
    d_sg_list_t sgl = {1, 0, &iov};
    uint32_t nr = 8;

    MUST(daos_kv_list(kv, th, &nr, kds, &sgl, &anchor, NULL));
    total += (int)nr;
  }
  return total;
}

static int snapshots(daos_handle_t coh) {
  daos_anchor_t anchor = DAOS_ANCHOR_INIT;
  int nr = 0;

  MUST(daos_cont_list_snap(coh, &nr, NULL, NULL, &anchor, NULL));
  return nr;
}

/* Two versions of every key, and the older one is still there. */
static void reads(daos_handle_t coh) {
  const daos_handle_t kv = kv_of(coh, 1);
  daos_handle_t th = DAOS_HDL_INVAL;
  daos_epoch_t first = 0, again = 0;
  const daos_epoch_range_t none = {7, 7};
  daos_cont_info_t info;

  fill(kv, 1);
  MUST(daos_cont_create_snap(coh, &first, NULL, NULL));
  fill(kv, 2);
  OK(daos_kv_remove(kv, DAOS_TX_NONE, 0, "key.03", NULL));
  OK(daos_kv_put(kv, DAOS_TX_NONE, 0, "new", 4, "abcd", NULL));
  MUST(daos_tx_open_snap(coh, first, &th, NULL));
  IS(look(kv, th, "key.03"), 1);
  IS(look(kv, th, "key.04"), 1);
  IS(look(kv, th, "new"), -1);
  IS(count(kv, th), kKeys);
  IS(count(kv, DAOS_TX_NONE), kKeys);
  IS(look(kv, DAOS_TX_NONE, "key.04"), 2);
  IS(daos_kv_put(kv, th, 0, "key.04", 4, "xxxx", NULL), -DER_NO_PERM);
  IS(daos_kv_remove(kv, th, 0, "key.04", NULL), -DER_NO_PERM);
  OK(daos_tx_hdl2epoch(th, &again));
  IS(again, first);
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));
  OK(daos_kv_destroy(kv, DAOS_TX_NONE, NULL));
  MUST(daos_tx_open_snap(coh, first, &th, NULL));
  IS(look(kv, th, "key.03"), 1);
  OK(daos_tx_close(th, NULL));
  OK(daos_cont_query(coh, &info, NULL, NULL));
  IS(info.ci_nsnapshots, 1);
  IS(info.ci_lsnapshot, first);
  IS(daos_cont_destroy_snap(coh, none, NULL), -DER_NONEXIST);
  OK(daos_cont_destroy_snap(coh, (daos_epoch_range_t){first, first}, NULL));
  IS(snapshots(coh), 0);
  OK(daos_kv_close(kv, NULL));
}

static void arrays(daos_handle_t coh) {
  daos_handle_t oh = DAOS_HDL_INVAL, th = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 9};
  char data[100], back[100];
  daos_range_t range = {0, sizeof(data)};
  daos_array_iod_t iod = {.arr_nr = 1, .arr_rgs = &range};
  d_iov_t iov = {data, sizeof(data), sizeof(data)};
  d_sg_list_t sgl = {1, 0, &iov};
  daos_size_t size = 0;
  daos_epoch_t epoch = 0;

  MUST(daos_array_generate_oid(coh, &oid, true, OC_S1, 0, 0));
  MUST(daos_array_create(coh, oid, DAOS_TX_NONE, 1, 16, &oh, NULL));
  memset(data, 'a', sizeof(data));
  MUST(daos_array_write(oh, DAOS_TX_NONE, &iod, &sgl, NULL));
  MUST(daos_cont_create_snap(coh, &epoch, NULL, NULL));
  OK(daos_array_set_size(oh, DAOS_TX_NONE, 10, NULL));
  MUST(daos_tx_open_snap(coh, epoch, &th, NULL));
  OK(daos_array_get_size(oh, th, &size, NULL));
  IS(size, sizeof(data));
  OK(daos_array_get_size(oh, DAOS_TX_NONE, &size, NULL));
  IS(size, 10);
  iov.iov_buf = back;
  OK(daos_array_read(oh, th, &iod, &sgl, NULL));
  IS(memcmp(data, back, sizeof(data)), 0);
  OK(daos_tx_close(th, NULL));
  OK(daos_array_close(oh, NULL));
  OK(daos_cont_destroy_snap(coh, (daos_epoch_range_t){epoch, epoch}, NULL));
}

static int drop_marked(daos_obj_id_t oid, d_iov_t* marker) {
  (void)oid;
  return marker->iov_len == 0;
}
static int stop(daos_obj_id_t oid, d_iov_t* marker) {
  (void)oid;
  (void)marker;
  return -DER_CANCELED;
}

static uint32_t listed(daos_handle_t table, int how) {
  daos_anchor_t anchor = DAOS_ANCHOR_INIT;
  daos_obj_id_t oids[4];
  uint32_t total = 0;

  while (!daos_anchor_is_eof(&anchor)) {
    uint32_t nr = 4;

    if (how == 0) MUST(daos_oit_list(table, oids, &nr, &anchor, NULL));
    if (how == 1) MUST(daos_oit_list_unmarked(table, oids, &nr, &anchor, NULL));
    if (how == 2) MUST(daos_oit_list_filter(table, oids, &nr, &anchor, drop_marked, NULL));
    total += nr;
  }
  return total;
}

static void tables(daos_handle_t poh) {
  const daos_handle_t coh = open_cont(poh, "table-test");
  daos_handle_t table = DAOS_HDL_INVAL, kv;
  daos_anchor_t anchor = DAOS_ANCHOR_INIT;
  daos_obj_id_t oids[16], absent = {.lo = 999};
  daos_epoch_t epoch = 0, plain = 0;
  char mark[40] = "seen";
  d_iov_t marker = {mark, sizeof(mark), 4};
  uint32_t nr = 16;
  uint64_t i;

  for (i = 0; i < 10; i++) {
    kv = kv_of(coh, 100 + i);
    fill(kv, 1);
    OK(daos_kv_close(kv, NULL));
  }
  MUST(daos_cont_create_snap_opt(coh, &epoch, NULL, DAOS_SNAP_OPT_CR | DAOS_SNAP_OPT_OIT, NULL));
  kv = kv_of(coh, 200);
  fill(kv, 1);
  OK(daos_kv_close(kv, NULL));
  MUST(daos_cont_create_snap(coh, &plain, NULL, NULL));
  IS(daos_oit_open(coh, plain, &table, NULL), -DER_NONEXIST);
  IS(daos_oit_open(coh, 5, &table, NULL), -DER_NONEXIST);
  IS(daos_oit_close(table, NULL), -DER_NO_HDL);
  MUST(daos_oit_open(coh, epoch, &table, NULL));
  IS(listed(table, 0), 10);
  OK(daos_oit_list(table, oids, &nr, &anchor, NULL));
  IS(nr, 10);
  OK(daos_oit_mark(table, oids[3], &marker, NULL));
  OK(daos_oit_mark(table, oids[4], &marker, NULL));
  IS(listed(table, 1), 8);
  OK(daos_oit_mark(table, oids[4], NULL, NULL));
  IS(listed(table, 2), 9);
  IS(daos_oit_mark(table, absent, &marker, NULL), -DER_NONEXIST);
  marker.iov_len = 33;
  IS(daos_oit_mark(table, oids[3], &marker, NULL), -DER_INVAL);
  memset(&anchor, 0, sizeof(anchor));
  IS(daos_oit_list_filter(table, oids, &nr, &anchor, stop, NULL), -DER_CANCELED);
  OK(daos_cont_snap_oit_destroy(coh, table, NULL));
  OK(daos_oit_close(table, NULL));
  IS(daos_oit_open(coh, epoch, &table, NULL), -DER_NONEXIST);
  /* A table made later knows the snapshot, not the present, and no other table. */
  OK(daos_cont_snap_oit_create(coh, plain, NULL, NULL));
  OK(daos_cont_snap_oit_create(coh, epoch, NULL, NULL));
  MUST(daos_oit_open(coh, epoch, &table, NULL));
  IS(listed(table, 1), 10);
  OK(daos_oit_close(table, NULL));
  MUST(daos_oit_open(coh, plain, &table, NULL));
  IS(listed(table, 0), 11);
  OK(daos_oit_close(table, NULL));
  OK(daos_cont_close(coh, NULL));
}

static int note(const cairn_snap_difference_t* difference, void* arg) {
  int* const kinds = arg;

  kinds[difference->kind]++;
  return 0;
}
static int stop_diff(const cairn_snap_difference_t* difference, void* arg) {
  (void)difference;
  (void)arg;
  return 17;
}

static void back_in_time(daos_handle_t coh) {
  const daos_handle_t kv = kv_of(coh, 50);
  daos_epoch_t older = 0, newer = 0;
  int kinds[3] = {0, 0, 0};

  fill(kv, 1);
  MUST(daos_cont_create_snap(coh, &older, NULL, NULL));
  OK(daos_kv_put(kv, DAOS_TX_NONE, 0, "key.00", 1, "x", NULL));
  OK(daos_kv_put(kv, DAOS_TX_NONE, 0, "more", 1, "x", NULL));
  OK(daos_kv_remove(kv, DAOS_TX_NONE, 0, "key.01", NULL));
  MUST(daos_cont_create_snap(coh, &newer, NULL, NULL));
  OK(cairn_cont_snap_diff(coh, older, newer, note, kinds));
  IS(kinds[CAIRN_SNAP_ADDED], 1);
  IS(kinds[CAIRN_SNAP_REMOVED], 1);
  IS(kinds[CAIRN_SNAP_CHANGED], 1);
  IS(cairn_cont_snap_diff(coh, older, newer, stop_diff, NULL), 17);
  IS(cairn_cont_snap_diff(coh, newer, older, note, kinds), -DER_INVAL);
  IS(cairn_cont_snap_diff(coh, older, newer + 1, note, kinds), -DER_NONEXIST);
  IS(cairn_cont_snap_diff(coh, older, newer, NULL, NULL), -DER_INVAL);
  IS(cairn_cont_rollback(coh, older, NULL), -DER_BUSY);
  IS(cairn_cont_rollback(coh, newer + 1, NULL), -DER_NONEXIST);
  IS(cairn_cont_rollback(coh, 0, NULL), -DER_INVAL);
  OK(daos_cont_destroy_snap(coh, (daos_epoch_range_t){newer, newer}, NULL));
  OK(cairn_cont_rollback(coh, older, NULL));
  IS(look(kv, DAOS_TX_NONE, "key.00"), 1);
  IS(look(kv, DAOS_TX_NONE, "key.01"), 1);
  IS(look(kv, DAOS_TX_NONE, "more"), -1);
  OK(daos_kv_put(kv, DAOS_TX_NONE, 0, "more", 1, "x", NULL));
  OK(cairn_cont_rollback(coh, older, NULL));
  IS(look(kv, DAOS_TX_NONE, "more"), -1);
  OK(daos_kv_close(kv, NULL));
}

/* A hint that small pieces may become larger ones: what is read stays what it was. */
static void aggregates(daos_handle_t coh, daos_handle_t ro) {
  const daos_handle_t kv = kv_of(coh, 60);
  daos_epoch_t epoch = 0;
  daos_event_t event, *ready = NULL;
  daos_handle_t queue = DAOS_HDL_INVAL;

  fill(kv, 1);
  MUST(daos_cont_create_snap(coh, &epoch, NULL, NULL));
  fill(kv, 2);
  OK(daos_cont_aggregate(coh, 0, NULL));
  OK(daos_cont_aggregate(coh, epoch, NULL));
  IS(daos_cont_aggregate(coh, DAOS_EPOCH_MAX, NULL), -DER_INVAL);
  IS(daos_cont_aggregate(kNoHandle, 0, NULL), -DER_NO_HDL);
  IS(daos_cont_aggregate(ro, 0, NULL), -DER_NO_PERM);
  MUST(daos_eq_create(&queue));
  MUST(daos_event_init(&event, queue, NULL));
  OK(daos_cont_aggregate(coh, 0, &event));
  IS(daos_eq_poll(queue, 1, DAOS_EQ_WAIT, 1, &ready), 1);
  IS(event.ev_error, 0);
  OK(daos_event_fini(&event));
  OK(daos_eq_destroy(queue, 0));
  IS(look(kv, DAOS_TX_NONE, "key.04"), 2);
  OK(daos_cont_destroy_snap(coh, (daos_epoch_range_t){epoch, epoch}, NULL));
  OK(daos_kv_close(kv, NULL));
}

int main(void) {
  const daos_handle_t poh = connect_pool();
  daos_handle_t coh = open_cont(poh, "snapshot-test"), ro = DAOS_HDL_INVAL;
  daos_epoch_t epoch = 0, kept = 0;
  char name[] = "named";

  reads(coh);
  arrays(coh);
  tables(poh);
  IS(daos_cont_create_snap(coh, &epoch, name, NULL), -DER_NOSYS);
  IS(daos_cont_create_snap(coh, NULL, NULL, NULL), -DER_INVAL);
  IS(daos_cont_create_snap(kNoHandle, &epoch, NULL, NULL), -DER_NO_HDL);
  IS(daos_cont_create_snap_opt(coh, &epoch, NULL, DAOS_SNAP_OPT_OIT, NULL), -DER_NOSYS);
  MUST(daos_cont_create_snap(coh, &kept, NULL, NULL));
  MUST(daos_cont_open(poh, "snapshot-test", DAOS_COO_RO, &ro, NULL, NULL));
  IS(daos_cont_create_snap(ro, &epoch, NULL, NULL), -DER_NO_PERM);
  IS(daos_cont_destroy_snap(ro, (daos_epoch_range_t){kept, kept}, NULL), -DER_NO_PERM);
  IS(snapshots(ro), 1);
  aggregates(coh, ro);
  OK(daos_cont_close(ro, NULL));
  /* It survives the end of the library. */
  leave(poh, coh);
  {
    const daos_handle_t again = connect_pool();

    coh = open_cont(again, "snapshot-test");
    IS(snapshots(coh), 1);
    OK(daos_cont_destroy_snap(coh, (daos_epoch_range_t){kept, kept}, NULL));
    back_in_time(coh);
    /* Destroyed with its snapshots. */
    OK(daos_cont_close(coh, NULL));
    OK(daos_cont_destroy(again, "snapshot-test", 0, NULL));
    leave(again, DAOS_HDL_INVAL);
  }
  return report("snapshot");
}
