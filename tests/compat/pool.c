/* Pools: connect, query, attributes, portable handles, and what goes wrong with them; fork(). */
#include "check.h"

#include <sys/wait.h>

static void queries(daos_handle_t poh) {
  daos_pool_info_t info = {.pi_bits = DPI_ALL};
  d_rank_list_t* ranks = NULL;
  daos_prop_t* prop = daos_prop_alloc(0);
  daos_target_info_t target;

  OK(daos_pool_query(poh, &ranks, &info, prop, NULL));
  IS(info.pi_ntargets > 0, 1);
  IS(info.pi_space.ps_space.s_total[DAOS_MEDIA_NVME] > 0, 1);
  IS(ranks != NULL && ranks->rl_nr == info.pi_nnodes, 1);
  IS(prop->dpp_nr > 0 && !strcmp(daos_prop_entry_get(prop, DAOS_PROP_PO_LABEL)->dpe_str, kPool), 1);
  daos_prop_free(prop);
  free(ranks->rl_ranks);
  free(ranks);
  OK(daos_pool_query_target(poh, 0, 0, &target, NULL));
  IS(daos_pool_query_target(poh, 99, 0, &target, NULL), -DER_NONEXIST);
  OK(daos_pool_query(poh, NULL, NULL, NULL, NULL));
}

static void attributes(daos_handle_t poh) {
  const char* const names[] = {"colour", "size"};
  const void* const values[] = {"blue", "12"};
  const size_t sizes[] = {4, 2};
  char colour[8] = "", list[64];
  void* buffers[] = {colour};
  size_t room = sizeof(colour), length = sizeof(list);
  const char* empty = "";

  OK(daos_pool_set_attr(poh, 2, names, values, sizes, NULL));
  OK(daos_pool_get_attr(poh, 1, names, buffers, &room, NULL));
  IS(room, 4);
  OK(strcmp(colour, "blue"));
  OK(daos_pool_list_attr(poh, list, &length, NULL));
  IS(length, 12);
  IS(daos_pool_get_attr(poh, 1, names, buffers, NULL, NULL), -DER_INVAL);
  IS(daos_pool_set_attr(poh, 1, &empty, values, sizes, NULL), -DER_INVAL);
  OK(daos_pool_del_attr(poh, 2, names, NULL));
  IS(daos_pool_get_attr(poh, 1, names, buffers, &room, NULL), -DER_NONEXIST);
}

static void bad_input(void) {
  daos_handle_t poh = DAOS_HDL_INVAL;
  char long_label[200];

  memset(long_label, 'x', sizeof(long_label));
  long_label[150] = '\0';
  IS(daos_pool_connect(NULL, NULL, DAOS_PC_RW, &poh, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect(kPool, NULL, DAOS_PC_RW, NULL, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect(kPool, NULL, 0, &poh, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect(kPool, NULL, DAOS_PC_RO | DAOS_PC_RW, &poh, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect("", NULL, DAOS_PC_RW, &poh, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect("no/such pool", NULL, DAOS_PC_RW, &poh, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect(long_label, NULL, DAOS_PC_RW, &poh, NULL, NULL), -DER_INVAL);
  IS(daos_pool_connect("nowhere", NULL, DAOS_PC_RW, &poh, NULL, NULL), -DER_NONEXIST);
  IS(daos_pool_disconnect(DAOS_HDL_INVAL, NULL), -DER_NO_HDL);
  IS(daos_pool_query(kNoHandle, NULL, NULL, NULL, NULL), -DER_NO_HDL);
}

static void portable(daos_handle_t poh) {
  d_iov_t glob = {NULL, 0, 0};
  daos_handle_t again = DAOS_HDL_INVAL;

  OK(daos_pool_local2global(poh, &glob));
  glob.iov_buf = calloc(1, glob.iov_buf_len);
  OK(daos_pool_local2global(poh, &glob));
  OK(daos_pool_global2local(glob, &again));
  OK(daos_pool_disconnect(again, NULL));
  IS(daos_pool_disconnect(again, NULL), -DER_NO_HDL);
  memset(glob.iov_buf, 'x', glob.iov_len);
  IS(daos_pool_global2local(glob, &again), -DER_INVAL);
  free(glob.iov_buf);
}

/* The child may not use what it inherited; the parent goes on. */
static void forked(daos_handle_t poh) {
  int status = 0;
  const pid_t child = fork();

  if (child == 0) {
    daos_handle_t mine;
    const int query = daos_pool_query(poh, NULL, NULL, NULL, NULL);
    const int connect = daos_pool_connect(kPool, NULL, DAOS_PC_RW, &mine, NULL, NULL);

    _exit(query == -DER_UNINIT && connect == -DER_UNINIT && daos_init() == -DER_UNINIT &&
                  daos_fini() == -DER_UNINIT
              ? 0
              : 1);
  }
  IS(waitpid(child, &status, 0), child);
  OK(status);
  OK(daos_pool_query(poh, NULL, NULL, NULL, NULL));
}

int main(void) {
  daos_handle_t poh = DAOS_HDL_INVAL;

  IS(daos_pool_connect(kPool, NULL, DAOS_PC_RW, &poh, NULL, NULL), -DER_UNINIT);
  IS(daos_fini(), -DER_UNINIT);
  poh = connect_pool();
  queries(poh);
  attributes(poh);
  bad_input();
  portable(poh);
  forked(poh);
  leave(poh, DAOS_HDL_INVAL);
  IS(daos_pool_query(poh, NULL, NULL, NULL, NULL), -DER_UNINIT);
  return report("pool");
}
