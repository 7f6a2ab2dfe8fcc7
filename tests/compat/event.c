/* Events and event queues: many operations in flight, children, callbacks, bad input. */
#include "check.h"

enum { kEvents = 64 };

struct op {
  daos_event_t ev;
  daos_key_t dkey;
  daos_iod_t iod;
  d_sg_list_t sgl;
  d_iov_t iov;
  char name[16];
  uint64_t value;
};

static void launch(struct op* op, daos_handle_t oh, int i) {
  memset(&op->iod, 0, sizeof(op->iod));
  snprintf(op->name, sizeof(op->name), "dkey.%d", i);
  op->value = (uint64_t)i;
  d_iov_set(&op->dkey, op->name, strlen(op->name));
  d_iov_set(&op->iod.iod_name, op->name, 4);
  op->iod.iod_type = DAOS_IOD_SINGLE;
  op->iod.iod_size = sizeof(op->value);
  op->iod.iod_nr = 1;
  d_iov_set(&op->iov, &op->value, sizeof(op->value));
  op->sgl = (d_sg_list_t){1, 0, &op->iov};
  OK(daos_obj_update(oh, DAOS_TX_NONE, 0, &op->dkey, 1, &op->iod, &op->sgl, &op->ev));
}

static int on_end(void* arg, daos_event_t* ev, int rc) {
  (void)ev;
  *(int*)arg += rc == 0 ? 1 : 100;
  return 0;
}

static void many(daos_handle_t eq, daos_handle_t oh) {
  struct op* const ops = calloc(kEvents, sizeof(*ops));
  daos_event_t* done[8];
  int i, n, left = kEvents, calls = 0;

  for (i = 0; i < kEvents; i++) {
    OK(daos_event_init(&ops[i].ev, eq, NULL));
    OK(daos_event_register_comp_cb(&ops[i].ev, on_end, &calls));
    launch(&ops[i], oh, i);
  }
  IS(daos_eq_query(eq, DAOS_EQR_ALL, 0, NULL), kEvents);
  IS(daos_eq_destroy(eq, 0), -DER_BUSY);
  IS(daos_obj_punch(oh, DAOS_TX_NONE, 0, &ops[0].ev), -DER_NO_PERM);
  while (left > 0) {
    n = daos_eq_poll(eq, 1, DAOS_EQ_WAIT, 8, done);
    if (n <= 0) break;
    for (i = 0; i < n; i++) OK(done[i]->ev_error);
    left -= n;
  }
  OK(left);
  IS(calls, kEvents);
  IS(daos_eq_poll(eq, 1, DAOS_EQ_WAIT, 8, done), 0);
  for (i = 0; i < kEvents; i++) OK(daos_event_fini(&ops[i].ev));
  free(ops);
}

static void family(daos_handle_t eq, daos_handle_t oh) {
  daos_event_t parent, *done = NULL;
  struct op ops[3];
  int i;

  OK(daos_event_init(&parent, eq, NULL));
  IS(daos_event_parent_barrier(&parent), -DER_INVAL);
  for (i = 0; i < 3; i++) {
    OK(daos_event_init(&ops[i].ev, DAOS_HDL_INVAL, &parent));
    launch(&ops[i], oh, i);
  }
  IS(daos_event_next(&parent, NULL) != NULL, 1);
  OK(daos_event_parent_barrier(&parent));
  IS(daos_eq_poll(eq, 1, DAOS_EQ_WAIT, 1, &done), 1);
  IS(done == &parent, 1);
  OK(parent.ev_error);
  for (i = 0; i < 3; i++) OK(daos_event_fini(&ops[i].ev));
  OK(daos_event_fini(&parent));
}

static void alone(daos_handle_t oh) {
  struct op op;
  bool flag = false;

  OK(daos_event_init(&op.ev, DAOS_HDL_INVAL, NULL));
  launch(&op, oh, 1);
  IS(daos_event_fini(&op.ev), -DER_BUSY);
  OK(daos_event_test(&op.ev, DAOS_EQ_WAIT, &flag));
  IS(flag, true);
  OK(op.ev.ev_error);
  /* an error arrives in the event */
  OK(daos_obj_punch(kNoHandle, DAOS_TX_NONE, 0, &op.ev));
  OK(daos_event_test(&op.ev, DAOS_EQ_WAIT, &flag));
  IS(op.ev.ev_error, -DER_NO_HDL);
  OK(daos_event_fini(&op.ev));
}

int main(void) {
  daos_handle_t poh, coh, eq = DAOS_HDL_INVAL, oh = DAOS_HDL_INVAL;
  daos_obj_id_t oid = {.lo = 6};
  daos_event_t ev, *done = NULL;

  IS(daos_eq_create(&eq), -DER_UNINIT);
  poh = connect_pool();
  coh = open_cont(poh, "event-test");
  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_MULTI_HASHED, OC_SX, 0, 0));
  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  MUST(daos_eq_create(&eq));
  many(eq, oh);
  family(eq, oh);
  alone(oh);
  IS(daos_eq_create(NULL), -DER_INVAL);
  IS(daos_event_init(&ev, kNoHandle, NULL), -DER_NONEXIST);
  IS(daos_event_init(NULL, eq, NULL), -DER_INVAL);
  IS(daos_eq_poll(eq, 1, DAOS_EQ_NOWAIT, 0, &done), -DER_INVAL);
  IS(daos_eq_poll(eq, 1, DAOS_EQ_NOWAIT, 1, NULL), -DER_INVAL);
  IS(daos_eq_poll(kNoHandle, 1, DAOS_EQ_NOWAIT, 1, &done), -DER_NONEXIST);
  IS(daos_eq_poll(eq, 0, 1000, 1, &done), 0);
  OK(daos_eq_destroy(eq, 0));
  IS(daos_eq_destroy(eq, 0), -DER_NONEXIST);
  OK(daos_obj_close(oh, NULL));
  leave(poh, coh);
  return report("event");
}
