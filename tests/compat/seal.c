/* Sealed containers: properties, who is refused, writers that are sealed off, the way back. */
#include <cairn_cont.h>
#include <cairn_worm.h>
#include <pthread.h>
#include <time.h>

#include "check.h"

enum { kWriters = 4, kKeysMax = 20000 };

static const char* const kLabel = "seal-test";

static daos_handle_t kv_of(daos_handle_t coh, uint64_t lo, unsigned mode) {
  daos_handle_t kv = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = lo};

  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_KV_HASHED, OC_SX, 0, 0));
  MUST(daos_kv_open(coh, oid, mode, &kv, NULL));
  return kv;
}

static int put(daos_handle_t kv, daos_handle_t th, const char* key, int value) {
  return daos_kv_put(kv, th, 0, key, sizeof(value), &value, NULL);
}

/* The value, -1 if there is none, or the error. */
static int look(daos_handle_t kv, const char* key) {
  int value = -1;
  daos_size_t size = sizeof(value);
  const int rc = daos_kv_get(kv, DAOS_TX_NONE, 0, key, &size, &value, NULL);

  return rc != 0 ? rc : size == 0 ? -1 : value;
}

static int commit_one(daos_handle_t coh, daos_handle_t kv, const char* key) {
  daos_handle_t th = DAOS_HDL_INVAL;
  int rc;

  MUST(daos_tx_open(coh, &th, 0, NULL));
  OK(put(kv, th, key, 1));
  rc = daos_tx_commit(th, NULL);
  OK(daos_tx_close(th, NULL));
  return rc;
}

static void test_properties(daos_handle_t poh) {
  daos_prop_t* prop = daos_prop_alloc(2);
  daos_handle_t coh = DAOS_HDL_INVAL;
  cairn_cont_worm_t worm;

  prop->dpp_entries[0].dpe_type = CAIRN_PROP_CO_WORM_INLINE_MAX;
  prop->dpp_entries[0].dpe_val = 5000;
  prop->dpp_entries[1].dpe_type = CAIRN_PROP_CO_WORM_COMPRESS;
  prop->dpp_entries[1].dpe_val = 1;
  MUST(daos_cont_create_with_label(poh, "seal-props", prop, NULL, NULL));
  MUST(daos_cont_open(poh, "seal-props", DAOS_COO_RW, &coh, NULL, NULL));
  OK(cairn_cont_worm_query(coh, &worm));
  IS(worm.cw_inline_max, 5000);
  IS(worm.cw_object_max, 1 << 20);
  IS(worm.cw_compress, 1);
  IS(worm.cw_seal, CAIRN_SEAL_NONE);
  prop->dpp_entries[0].dpe_val = 1 << 20;
  IS(daos_cont_set_prop(coh, prop, NULL), -DER_INVAL);
  prop->dpp_entries[0].dpe_val = 6000;
  prop->dpp_entries[1].dpe_val = 0;
  OK(daos_cont_set_prop(coh, prop, NULL));
  prop->dpp_entries[0].dpe_val = prop->dpp_entries[1].dpe_val = 99;
  OK(daos_cont_query(coh, NULL, prop, NULL));
  IS(prop->dpp_entries[0].dpe_val, 6000);
  IS(prop->dpp_entries[1].dpe_val, 0);
  prop->dpp_entries[1].dpe_type = CAIRN_PROP_CO_WORM_SEALED;
  prop->dpp_entries[1].dpe_str = strdup("me");
  IS(daos_cont_set_prop(coh, prop, NULL), -DER_INVAL);
  daos_prop_free(prop);
  /* Programs know how many there are. */
  prop = daos_prop_alloc(0);
  OK(daos_cont_query(coh, NULL, prop, NULL));
  IS(prop->dpp_nr, DAOS_PROP_CO_NUM);
  daos_prop_free(prop);
  MUST(daos_cont_close(coh, NULL));
  MUST(daos_cont_destroy(poh, "seal-props", 0, NULL));
}

static void expect_sealed(daos_handle_t coh, int before) {
  daos_handle_t kv = kv_of(coh, 1, DAOS_OO_RW);
  daos_handle_t oh = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 1};
  cairn_cont_worm_t worm;
  daos_epoch_t epoch = 0;
  daos_prop_t* prop = daos_prop_alloc(1);

  IS(put(kv, DAOS_TX_NONE, "key", 2), -DER_NO_PERM);
  IS(put(kv, DAOS_TX_NONE, "another", 2), -DER_NO_PERM);
  IS(daos_kv_remove(kv, DAOS_TX_NONE, 0, "key", NULL), -DER_NO_PERM);
  IS(commit_one(coh, kv, "key"), -DER_NO_PERM);
  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_KV_HASHED, OC_SX, 0, 0));
  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  IS(daos_obj_punch(oh, DAOS_TX_NONE, 0, NULL), -DER_NO_PERM);
  MUST(daos_obj_close(oh, NULL));
  IS(look(kv, "key"), before);
  IS(look(kv, "another"), -1);
  OK(daos_kv_close(kv, NULL));

  OK(cairn_cont_worm_query(coh, &worm));
  IS(worm.cw_seal, CAIRN_SEALED);
  IS(worm.cw_sealed_at != 0, 1);
  IS(strchr(worm.cw_sealed_by, '@') != NULL, 1);
  prop->dpp_entries[0].dpe_type = CAIRN_PROP_CO_WORM_SEALED;
  OK(daos_cont_query(coh, NULL, prop, NULL));
  IS(prop->dpp_entries[0].dpe_str != NULL &&
         strstr(prop->dpp_entries[0].dpe_str, worm.cw_sealed_by) != NULL,
     1);
  daos_prop_free(prop);

  OK(daos_cont_create_snap(coh, &epoch, NULL, NULL));
  IS(cairn_cont_rollback(coh, epoch, NULL), -DER_NO_PERM);
  OK(daos_cont_destroy_snap(coh, (daos_epoch_range_t){epoch, epoch}, NULL));
  IS(cairn_cont_seal(coh), -DER_ALREADY);
}

struct writer {
  pthread_t thread;
  daos_handle_t coh;
  int number, acknowledged, last;
};

static void* write_until_refused(void* arg) {
  struct writer* w = arg;
  daos_handle_t kv = kv_of(w->coh, 100 + (uint64_t)w->number, DAOS_OO_RW);

  for (w->acknowledged = 0; w->acknowledged < kKeysMax; w->acknowledged++) {
    char key[16];

    snprintf(key, sizeof(key), "key.%d", w->acknowledged);
    /* Every third one as a transaction, which may have to be decided over several shards. */
    if (w->acknowledged % 3 == 0) {
      daos_handle_t th = DAOS_HDL_INVAL;

      MUST(daos_tx_open(w->coh, &th, 0, NULL));
      for (;;) {
        OK(put(kv, th, key, w->acknowledged));
        OK(put(kv, th, "count", w->acknowledged));
        w->last = daos_tx_commit(th, NULL);
        if (w->last != -DER_TX_RESTART) break;
        OK(daos_tx_restart(th, NULL));
      }
      OK(daos_tx_close(th, NULL));
    } else {
      w->last = put(kv, DAOS_TX_NONE, key, w->acknowledged);
    }
    if (w->last != 0) break;
  }
  OK(daos_kv_close(kv, NULL));
  return NULL;
}

static int count_keys(daos_handle_t kv) {
  daos_anchor_t anchor = DAOS_ANCHOR_INIT;
  int total = 0;

  while (!daos_anchor_is_eof(&anchor)) {
    daos_key_desc_t kds[64];
    char names[2048];
    d_iov_t iov = {names, sizeof(names), sizeof(names)};
    d_sg_list_t sgl = {1, 0, &iov};
    uint32_t nr = 64;

    MUST(daos_kv_list(kv, DAOS_TX_NONE, &nr, kds, &sgl, &anchor, NULL));
    total += (int)nr;
  }
  return total;
}

/* What was acknowledged is there, what was refused is not, and nothing else. */
static void test_writers(daos_handle_t coh) {
  struct writer writers[kWriters];
  int i, n;

  for (i = 0; i < kWriters; i++) {
    writers[i] = (struct writer){.coh = coh, .number = i};
    if (pthread_create(&writers[i].thread, NULL, write_until_refused, &writers[i]) != 0) exit(1);
  }
  {
    struct timespec pause = {0, 300 * 1000 * 1000};

    nanosleep(&pause, NULL);
  }
  OK(cairn_cont_seal(coh));
  for (i = 0; i < kWriters; i++) pthread_join(writers[i].thread, NULL);
  for (i = 0; i < kWriters; i++) {
    daos_handle_t kv = kv_of(coh, 100 + (uint64_t)i, DAOS_OO_RO);
    const int done = writers[i].acknowledged;

    if (done == kKeysMax) continue; /* a very fast machine */
    IS(writers[i].last, -DER_NO_PERM);
    IS(done > 0, 1);
    for (n = 0; n < done; n++) {
      char key[16];

      snprintf(key, sizeof(key), "key.%d", n);
      IS(look(kv, key), n);
    }
    IS(count_keys(kv), done + 1);
    IS(look(kv, "count"), (done - 1) / 3 * 3);
    OK(daos_kv_close(kv, NULL));
  }
}

/* In the background, as far as they can be; everything reads as before. */
static void wait_until_flat(daos_handle_t coh) {
  const struct timespec pause = {0, 50 * 1000 * 1000};
  cairn_cont_worm_t worm;
  int tries;

  for (tries = 0; tries < 1200; tries++) {
    OK(cairn_cont_worm_query(coh, &worm));
    if (worm.cw_running == 0 && worm.cw_left == 0 && worm.cw_targets_away == 0) break;
    nanosleep(&pause, NULL);
  }
  IS(tries < 1200, 1);
  IS(worm.cw_flat > 0, 1);
}

static void test_refused(daos_handle_t poh) {
  daos_handle_t coh = DAOS_HDL_INVAL;
  cairn_cont_worm_t worm;

  MUST(daos_cont_open(poh, kLabel, DAOS_COO_RO, &coh, NULL, NULL));
  IS(cairn_cont_seal(coh), -DER_NO_PERM);
  IS(cairn_cont_unseal(coh), -DER_NO_PERM);
  OK(cairn_cont_worm_query(coh, &worm));
  IS(cairn_cont_worm_query(coh, NULL), -DER_INVAL);
  MUST(daos_cont_close(coh, NULL));
  IS(cairn_cont_seal(coh), -DER_NO_HDL);
  IS(cairn_cont_unseal(kNoHandle), -DER_NO_HDL);
  IS(cairn_cont_worm_query(kNoHandle, &worm), -DER_NO_HDL);
}

int main(void) {
  daos_handle_t poh = connect_pool();
  daos_handle_t coh, other, kv;

  test_properties(poh);
  coh = open_cont(poh, kLabel);
  kv = kv_of(coh, 1, DAOS_OO_RW);
  OK(put(kv, DAOS_TX_NONE, "key", 1));
  OK(daos_kv_close(kv, NULL));
  test_refused(poh);
  IS(cairn_cont_unseal(coh), -DER_ALREADY);
  test_writers(coh);
  expect_sealed(coh, 1);
  wait_until_flat(coh);
  expect_sealed(coh, 1);
  /* Whoever opens it, also after the end of the library. */
  MUST(daos_cont_open(poh, kLabel, DAOS_COO_RW, &other, NULL, NULL));
  expect_sealed(other, 1);
  MUST(daos_cont_close(other, NULL));
  leave(poh, coh);
  poh = connect_pool();
  coh = open_cont(poh, kLabel);
  expect_sealed(coh, 1);

  OK(cairn_cont_unseal(coh));
  kv = kv_of(coh, 1, DAOS_OO_RW);
  OK(put(kv, DAOS_TX_NONE, "key", 3));
  IS(look(kv, "key"), 3);
  OK(commit_one(coh, kv, "another"));
  OK(daos_kv_remove(kv, DAOS_TX_NONE, 0, "another", NULL));
  OK(daos_kv_close(kv, NULL));
  OK(cairn_cont_seal(coh));
  expect_sealed(coh, 3);
  OK(daos_cont_close(coh, NULL));
  OK(daos_cont_destroy(poh, kLabel, 0, NULL));
  leave(poh, DAOS_HDL_INVAL);
  return report("seal");
}
