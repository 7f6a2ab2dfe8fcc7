/* Arrays. */
#include "check.h"

enum { kCells = 10000 };

int main(void) {
  const daos_handle_t poh = connect_pool();
  const daos_handle_t coh = open_cont(poh, "array-test");
  daos_handle_t oh = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 4}, plain = {.lo = 5};
  daos_size_t cell = 0, chunk = 0, size = 0;
  uint64_t *const out = malloc(kCells * sizeof(*out)), *const in = calloc(kCells, sizeof(*in));
  daos_range_t range = {123, kCells}, wraps = {~0ULL, 2};
  daos_array_iod_t iod = {1, &range, 0, 0};
  d_iov_t iov;
  d_sg_list_t sgl = {1, 0, &iov};
  daos_array_stbuf_t stat;
  size_t i;

  for (i = 0; i < kCells; i++) out[i] = i * 3;
  MUST(daos_array_generate_oid(coh, &oid, true, OC_SX, 0, 0));
  IS(daos_array_open(coh, oid, DAOS_TX_NONE, DAOS_OO_RW, &cell, &chunk, &oh, NULL), -DER_NONEXIST);
  IS(daos_array_create(coh, oid, DAOS_TX_NONE, 0, 10, &oh, NULL), -DER_INVAL);
  MUST(daos_array_create(coh, oid, DAOS_TX_NONE, sizeof(*out), 1000, &oh, NULL));
  IS(daos_array_create(coh, oid, DAOS_TX_NONE, sizeof(*out), 1000, &oh, NULL), -DER_EXIST);
  d_iov_set(&iov, out, kCells * sizeof(*out));
  OK(daos_array_write(oh, DAOS_TX_NONE, &iod, &sgl, NULL));
  OK(daos_array_close(oh, NULL));
  IS(daos_array_write(oh, DAOS_TX_NONE, &iod, &sgl, NULL), -DER_NO_HDL);

  MUST(daos_array_open(coh, oid, DAOS_TX_NONE, DAOS_OO_RW, &cell, &chunk, &oh, NULL));
  IS(cell, sizeof(*out));
  IS(chunk, 1000);
  OK(daos_array_get_size(oh, DAOS_TX_NONE, &size, NULL));
  IS(size, 123 + kCells);
  d_iov_set(&iov, in, kCells * sizeof(*in));
  OK(daos_array_read(oh, DAOS_TX_NONE, &iod, &sgl, NULL));
  OK(memcmp(in, out, kCells * sizeof(*in)));
  OK(daos_array_set_size(oh, DAOS_TX_NONE, 500, NULL));
  OK(daos_array_stat(oh, DAOS_TX_NONE, &stat, NULL));
  IS(stat.st_size, 500);
  range = (daos_range_t){0, 500};
  OK(daos_array_punch(oh, DAOS_TX_NONE, &iod, NULL));

  d_iov_set(&iov, in, 7); /* not the ranges' length */
  IS(daos_array_read(oh, DAOS_TX_NONE, &iod, &sgl, NULL), -DER_INVAL);
  IS(daos_array_read(oh, DAOS_TX_NONE, NULL, &sgl, NULL), -DER_INVAL);
  IS(daos_array_read(oh, DAOS_TX_NONE, &iod, NULL, NULL), -DER_INVAL);
  iod.arr_rgs = &wraps;
  IS(daos_array_write(oh, DAOS_TX_NONE, &iod, &sgl, NULL), -DER_INVAL);
  MUST(daos_obj_generate_oid(coh, &plain, DAOS_OT_MULTI_HASHED, OC_SX, 0, 0));
  IS(daos_array_create(coh, plain, DAOS_TX_NONE, 1, 1, &oh, NULL), -DER_INVAL);
  OK(daos_array_destroy(oh, DAOS_TX_NONE, NULL));
  OK(daos_array_close(oh, NULL));
  free(out);
  free(in);
  leave(poh, coh);
  return report("array");
}
