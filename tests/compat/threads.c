/* Many threads: blocking calls, queues of their own, and one queue that all of them poll. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

enum { kThreads = 6, kRounds = 200, kInFlight = 8 };

struct op {
  daos_event_t ev;
  daos_key_t dkey;
  daos_iod_t iod;
  d_sg_list_t sgl;
  d_iov_t iov;
  char name[24];
  uint64_t value;
};

static daos_handle_t oh, shared_eq;
static atomic_int shared_left, wrong;

static void prepare(struct op* op, int thread, int i) {
  memset(&op->iod, 0, sizeof(op->iod));
  snprintf(op->name, sizeof(op->name), "t%d.%d", thread, i);
  op->value = (uint64_t)i;
  d_iov_set(&op->dkey, op->name, strlen(op->name));
  d_iov_set(&op->iod.iod_name, (void*)(uintptr_t)"v", 1);
  op->iod.iod_type = DAOS_IOD_SINGLE;
  op->iod.iod_size = sizeof(op->value);
  op->iod.iod_nr = 1;
  d_iov_set(&op->iov, &op->value, sizeof(op->value));
  op->sgl = (d_sg_list_t){1, 0, &op->iov};
}

static int update(struct op* op, daos_event_t* ev) {
  return daos_obj_update(oh, DAOS_TX_NONE, 0, &op->dkey, 1, &op->iod, &op->sgl, ev);
}

static void own_queue(int thread) {
  struct op ops[kInFlight];
  daos_event_t* done[kInFlight];
  daos_handle_t eq;
  int round, i, n, left;

  if (daos_eq_create(&eq) != 0) wrong++;
  for (i = 0; i < kInFlight; i++) wrong += daos_event_init(&ops[i].ev, eq, NULL) != 0;
  for (round = 0; round < kRounds / kInFlight; round++) {
    for (i = 0; i < kInFlight; i++) {
      prepare(&ops[i], thread, round * kInFlight + i);
      wrong += update(&ops[i], &ops[i].ev) != 0;
    }
    for (left = kInFlight; left > 0; left -= n) {
      n = daos_eq_poll(eq, 1, DAOS_EQ_WAIT, kInFlight, done);
      if (n <= 0) {
        wrong++;
        break;
      }
      for (i = 0; i < n; i++) wrong += done[i]->ev_error != 0;
    }
  }
  for (i = 0; i < kInFlight; i++) wrong += daos_event_fini(&ops[i].ev) != 0;
  wrong += daos_eq_destroy(eq, 0) != 0;
}

static void* work(void* arg) {
  const int thread = (int)(intptr_t)arg;
  struct op op, shared[kInFlight];
  daos_event_t* done[4];
  int i, n;

  for (i = 0; i < kRounds; i++) {
    prepare(&op, thread + 100, i);
    wrong += update(&op, NULL) != 0;
    op.value = 0;
    wrong += daos_obj_fetch(oh, DAOS_TX_NONE, 0, &op.dkey, 1, &op.iod, &op.sgl, NULL, NULL) != 0;
    wrong += op.value != (uint64_t)i;
  }
  own_queue(thread);
  for (i = 0; i < kInFlight; i++) {
    wrong += daos_event_init(&shared[i].ev, shared_eq, NULL) != 0;
    prepare(&shared[i], thread + 200, i);
    wrong += update(&shared[i], &shared[i].ev) != 0;
  }
  /* Whoever polls gets whatever is complete; all stay until nothing is left. */
  while (shared_left > 0) {
    n = daos_eq_poll(shared_eq, 0, 1000, 4, done);
    if (n < 0) {
      wrong++;
      break;
    }
    for (i = 0; i < n; i++) wrong += done[i]->ev_error != 0;
    shared_left -= n;
  }
  return NULL;
}

int main(void) {
  const daos_handle_t poh = connect_pool();
  const daos_handle_t coh = open_cont(poh, "threads-test");
  daos_obj_id_t oid = {.lo = 9};
  pthread_t threads[kThreads];
  int i;

  MUST(daos_obj_generate_oid(coh, &oid, DAOS_OT_MULTI_HASHED, OC_SX, 0, 0));
  MUST(daos_obj_open(coh, oid, DAOS_OO_RW, &oh, NULL));
  MUST(daos_eq_create(&shared_eq));
  shared_left = kThreads * kInFlight;
  for (i = 0; i < kThreads; i++) pthread_create(&threads[i], NULL, work, (void*)(intptr_t)i);
  for (i = 0; i < kThreads; i++) pthread_join(threads[i], NULL);
  OK(wrong);
  OK(shared_left);
  OK(daos_eq_destroy(shared_eq, 0));
  OK(daos_obj_close(oh, NULL));
  leave(poh, coh);
  return report("threads");
}
