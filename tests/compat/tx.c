/* Transactions: all or nothing, conflicts, states, every kind of call. */
#include "check.h"

static daos_handle_t coh;

static daos_handle_t begin(void) {
  daos_handle_t th = DAOS_HDL_INVAL;

  MUST(daos_tx_open(coh, &th, 0, NULL));
  return th;
}

static daos_handle_t kv_of(uint64_t lo) {
  daos_handle_t kv = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = lo};

  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_KV_HASHED, OC_S1, 0, 0));
  MUST(daos_kv_open(coh, oid, DAOS_OO_RW, &kv, NULL));
  return kv;
}

static int put(daos_handle_t kv, daos_handle_t th, const char* key, int value) {
  return daos_kv_put(kv, th, 0, key, sizeof(value), &value, NULL);
}

/* The value, -1 if there is none, or the error. */
static int look(daos_handle_t kv, daos_handle_t th, const char* key) {
  int value = -1;
  daos_size_t size = sizeof(value);
  const int rc = daos_kv_get(kv, th, 0, key, &size, &value, NULL);

  return rc != 0 ? rc : size == 0 ? -1 : value;
}

/* Moves an amount between two accounts until nobody interferes. */
static void transfer(daos_handle_t from, daos_handle_t to, int amount) {
  const daos_handle_t th = begin();
  int rc;

  do {
    const int a = look(from, th, "account"), b = look(to, th, "account");

    rc = a < -1 || b < -1 ? -DER_TX_RESTART : 0;
    if (rc == 0) rc = put(from, th, "account", a - amount);
    if (rc == 0) rc = put(to, th, "account", b + amount);
    if (rc == 0) rc = daos_tx_commit(th, NULL);
    if (rc == -DER_TX_RESTART) OK(daos_tx_restart(th, NULL));
  } while (rc == -DER_TX_RESTART);
  OK(rc);
  OK(daos_tx_close(th, NULL));
}

static void two_objects(void) {
  const daos_handle_t a = kv_of(1), b = kv_of(2);
  daos_handle_t th;
  int i;

  OK(put(a, DAOS_TX_NONE, "account", 100));
  OK(put(b, DAOS_TX_NONE, "account", 0));
  for (i = 0; i < 10; i++) transfer(a, b, 7);
  IS(look(a, DAOS_TX_NONE, "account"), 30);
  IS(look(b, DAOS_TX_NONE, "account"), 70);

  /* Dropped as a whole. */
  th = begin();
  OK(put(a, th, "account", 1));
  OK(put(b, th, "account", 1));
  IS(look(a, th, "account"), 30);
  OK(daos_tx_abort(th, NULL));
  OK(daos_tx_close(th, NULL));
  IS(look(a, DAOS_TX_NONE, "account"), 30);

  /* A write between read and commit. */
  th = begin();
  IS(look(a, th, "account"), 30);
  OK(put(a, DAOS_TX_NONE, "account", 31));
  OK(put(b, th, "account", 1));
  IS(daos_tx_commit(th, NULL), -DER_TX_RESTART);
  IS(look(b, DAOS_TX_NONE, "account"), 70);
  IS(put(b, th, "account", 1), -DER_NO_PERM);
  OK(daos_tx_restart(th, NULL));
  IS(look(a, th, "account"), 31);
  OK(put(b, th, "account", 69));
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));
  IS(look(b, DAOS_TX_NONE, "account"), 69);
  OK(daos_kv_close(a, NULL));
  OK(daos_kv_close(b, NULL));
}

static void conditions(void) {
  const daos_handle_t kv = kv_of(3);
  const daos_handle_t th = begin();

  OK(put(kv, DAOS_TX_NONE, "there", 1));
  IS(daos_kv_put(kv, th, DAOS_COND_KEY_INSERT, "there", 1, "x", NULL), -DER_EXIST);
  IS(daos_kv_put(kv, th, DAOS_COND_KEY_UPDATE, "absent", 1, "x", NULL), -DER_NONEXIST);
  IS(daos_kv_remove(kv, th, DAOS_COND_KEY_REMOVE, "absent", NULL), -DER_NONEXIST);
  OK(daos_kv_put(kv, th, DAOS_COND_KEY_INSERT, "absent", 1, "x", NULL));
  OK(daos_kv_remove(kv, th, DAOS_COND_KEY_REMOVE, "there", NULL));
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));
  IS(look(kv, DAOS_TX_NONE, "there"), -1);
  OK(daos_kv_close(kv, NULL));
}

/* An array, its size and a plain object in one transaction; caller's memory stays until commit. */
static void every_kind(void) {
  daos_handle_t oh = DAOS_HDL_INVAL, array = DAOS_HDL_INVAL, th = DAOS_HDL_INVAL;
  daos_obj_id_t plain = {.lo = 4}, oid = {.lo = 5};
  char data[64], back[64];
  daos_range_t range = {0, sizeof(data)};
  daos_array_iod_t iod = {.arr_nr = 1, .arr_rgs = &range};
  d_iov_t iov = {data, sizeof(data), sizeof(data)}, dkey, one = {"v", 1, 1};
  d_sg_list_t sgl = {1, 0, &iov}, value = {1, 0, &one};
  daos_iod_t sv = {.iod_type = DAOS_IOD_SINGLE, .iod_size = 1, .iod_nr = 1};
  daos_size_t size = 1;

  d_iov_set(&dkey, "d", 1);
  d_iov_set(&sv.iod_name, "a", 1);
  MUST(daos_obj_generate_oid(coh, &plain, DAOS_OT_MULTI_HASHED, OC_S1, 0, 0));
  MUST(daos_array_generate_oid(coh, &oid, true, OC_S1, 0, 0));
  MUST(daos_obj_open(coh, plain, DAOS_OO_RW, &oh, NULL));
  MUST(daos_tx_open(coh, &th, DAOS_TF_ZERO_COPY, NULL));
  OK(daos_array_create(coh, oid, th, 1, 16, &array, NULL));
  memset(data, 'z', sizeof(data));
  OK(daos_array_write(array, th, &iod, &sgl, NULL));
  OK(daos_obj_update(oh, th, 0, &dkey, 1, &sv, &value, NULL));
  OK(daos_array_get_size(array, DAOS_TX_NONE, &size, NULL));
  IS(size, 0);
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));
  OK(daos_array_close(array, NULL));
  MUST(daos_array_open(coh, oid, DAOS_TX_NONE, DAOS_OO_RW, &size, &size, &array, NULL));
  OK(daos_array_get_size(array, DAOS_TX_NONE, &size, NULL));
  IS(size, sizeof(data));
  iov.iov_buf = back;
  OK(daos_array_read(array, DAOS_TX_NONE, &iod, &sgl, NULL));
  IS(memcmp(data, back, sizeof(data)), 0);

  th = begin();
  OK(daos_array_set_size(array, th, 20, NULL));
  OK(daos_obj_punch(oh, th, 0, NULL));
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));
  OK(daos_array_get_size(array, DAOS_TX_NONE, &size, NULL));
  IS(size, 20);
  IS(daos_obj_fetch(oh, DAOS_TX_NONE, DAOS_COND_DKEY_FETCH, &dkey, 1, &sv, &value, NULL, NULL),
     -DER_NONEXIST);
  OK(daos_array_close(array, NULL));
  OK(daos_obj_close(oh, NULL));
}

static void states(daos_handle_t poh) {
  const daos_handle_t kv = kv_of(6), other = open_cont(poh, "tx-other");
  daos_handle_t th = begin(), foreign = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 1};
  daos_epoch_t epoch = 0;

  IS(daos_tx_hdl2epoch(th, &epoch), -DER_UNINIT);
  IS(daos_tx_restart(th, NULL), -DER_NO_PERM);
  OK(daos_tx_commit(th, NULL));
  IS(daos_tx_commit(th, NULL), -DER_ALREADY);
  IS(daos_tx_abort(th, NULL), -DER_NO_PERM);
  IS(put(kv, th, "k", 1), -DER_NO_PERM);
  OK(daos_tx_close(th, NULL));
  IS(daos_tx_close(th, NULL), -DER_NO_HDL);
  IS(daos_tx_commit(th, NULL), -DER_NO_HDL);
  IS(put(kv, th, "k", 1), -DER_NO_HDL);
  IS(daos_tx_open(coh, NULL, 0, NULL), -DER_INVAL);
  IS(daos_tx_open(kNoHandle, &th, 0, NULL), -DER_NO_HDL);
  MUST(daos_tx_open(coh, &th, DAOS_TF_RDONLY, NULL));
  IS(put(kv, th, "k", 1), -DER_NO_PERM);
  IS(look(kv, th, "k"), -1);
  OK(daos_tx_hdl2epoch(th, &epoch));
  OK(daos_tx_commit(th, NULL));
  OK(daos_tx_close(th, NULL));

  /* Closed while open: dropped. */
  th = begin();
  OK(put(kv, th, "k", 1));
  OK(daos_tx_close(th, NULL));
  IS(look(kv, DAOS_TX_NONE, "k"), -1);

  /* Of another container. */
  MUST(daos_obj_generate_oid(other, &oid, DAOS_OT_KV_HASHED, OC_S1, 0, 0));
  MUST(daos_kv_open(other, oid, DAOS_OO_RW, &foreign, NULL));
  th = begin();
  IS(put(foreign, th, "k", 1), -DER_INVAL);
  OK(daos_tx_close(th, NULL));
  OK(daos_kv_close(foreign, NULL));
  OK(daos_cont_close(other, NULL));
  OK(daos_kv_close(kv, NULL));
}

int main(void) {
  const daos_handle_t poh = connect_pool();

  coh = open_cont(poh, "tx-test");
  two_objects();
  conditions();
  every_kind();
  states(poh);
  leave(poh, coh);
  return report("tx");
}
