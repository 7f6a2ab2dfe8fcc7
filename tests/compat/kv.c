/* Flat key-value objects. */
#include "check.h"

int main(void) {
  const daos_handle_t poh = connect_pool();
  const daos_handle_t coh = open_cont(poh, "kv-test");
  daos_handle_t kv = DAOS_HDL_INVAL, other = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 2}, plain = {.lo = 3};
  char back[16] = "", name[16], list[4096];
  daos_size_t size;
  int i;

  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_KV_HASHED, OC_SX, 0, 0));
  MUST(daos_kv_open(coh, oid, DAOS_OO_RW, &kv, NULL));
  for (i = 0; i < 50; i++) {
    snprintf(name, sizeof(name), "key.%02d", i);
    MUST(daos_kv_put(kv, DAOS_TX_NONE, 0, name, sizeof(i), &i, NULL));
  }
  IS(daos_kv_put(kv, DAOS_TX_NONE, DAOS_COND_KEY_INSERT, "key.07", 1, "x", NULL), -DER_EXIST);
  IS(daos_kv_put(kv, DAOS_TX_NONE, DAOS_COND_KEY_UPDATE, "new", 1, "x", NULL), -DER_NONEXIST);
  size = 0;
  OK(daos_kv_get(kv, DAOS_TX_NONE, 0, "key.07", &size, NULL, NULL));
  IS(size, sizeof(i));
  OK(daos_kv_get(kv, DAOS_TX_NONE, 0, "key.07", &size, &i, NULL));
  IS(i, 7);
  size = 2;
  IS(daos_kv_get(kv, DAOS_TX_NONE, 0, "key.07", &size, back, NULL), -DER_REC2BIG);
  IS(size, sizeof(i));
  size = sizeof(back);
  OK(daos_kv_get(kv, DAOS_TX_NONE, 0, "absent", &size, back, NULL));
  IS(size, 0);
  IS(daos_kv_get(kv, DAOS_TX_NONE, DAOS_COND_KEY_GET, "absent", &size, back, NULL), -DER_NONEXIST);
  OK(daos_kv_remove(kv, DAOS_TX_NONE, DAOS_COND_KEY_REMOVE, "key.07", NULL));
  IS(daos_kv_remove(kv, DAOS_TX_NONE, DAOS_COND_KEY_REMOVE, "key.07", NULL), -DER_NONEXIST);
  {
    daos_anchor_t anchor = DAOS_ANCHOR_INIT;
    daos_key_desc_t kds[16];
    uint32_t total = 0;

    while (!daos_anchor_is_eof(&anchor)) {
      d_iov_t iov = {list, sizeof(list), 0};
      d_sg_list_t sgl = {1, 0, &iov};
      uint32_t nr = 16;

      MUST(daos_kv_list(kv, DAOS_TX_NONE, &nr, kds, &sgl, &anchor, NULL));
      total += nr;
    }
    IS(total, 49);
  }

  IS(daos_kv_put(kv, DAOS_TX_NONE, 0, NULL, 1, "x", NULL), -DER_INVAL);
  IS(daos_kv_put(kv, DAOS_TX_NONE, 0, "", 1, "x", NULL), -DER_INVAL);
  IS(daos_kv_put(kv, DAOS_TX_NONE, 0, "k", 1, NULL, NULL), -DER_INVAL);
  IS(daos_kv_get(kv, DAOS_TX_NONE, 0, "k", NULL, back, NULL), -DER_INVAL);
  IS(daos_kv_put(coh, DAOS_TX_NONE, 0, "k", 1, "x", NULL), -DER_NO_HDL);
  MUST(daos_obj_generate_oid(coh, &plain, DAOS_OT_MULTI_HASHED, OC_SX, 0, 0));
  IS(daos_kv_open(coh, plain, DAOS_OO_RW, &other, NULL), -DER_INVAL);
  OK(daos_kv_destroy(kv, DAOS_TX_NONE, NULL));
  OK(daos_kv_close(kv, NULL));
  IS(daos_kv_close(kv, NULL), -DER_NO_HDL);
  leave(poh, coh);
  return report("kv");
}
