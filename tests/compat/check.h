/* For the programs of this folder: one line per wrong answer, exit status 1 if there was any. */
#pragma once

#include <daos.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

#define IS(what, wanted)                                                                          \
  do {                                                                                            \
    const long long got_ = (long long)(what), wanted_ = (long long)(wanted);                      \
    if (got_ != wanted_) {                                                                        \
      fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #what, got_, wanted_); \
      failures++;                                                                                 \
    }                                                                                             \
  } while (0)
#define OK(call) IS(call, 0)
#define MUST(call)                                                             \
  do {                                                                         \
    const int rc_ = (call);                                                    \
    if (rc_ != 0) {                                                            \
      fprintf(stderr, "%s:%d: %s gives %d\n", __FILE__, __LINE__, #call, rc_); \
      exit(1);                                                                 \
    }                                                                          \
  } while (0)

static const char* const kPool = "tank";
/* Never given out. */
static const daos_handle_t kNoHandle = {0x7ffffff1};

__attribute__((unused)) static daos_handle_t connect_pool(void) {
  daos_handle_t poh = DAOS_HDL_INVAL;

  MUST(daos_init());
  MUST(daos_pool_connect(kPool, NULL, DAOS_PC_RW, &poh, NULL, NULL));
  return poh;
}

/* A container of that label, made if it is not there. */
__attribute__((unused)) static daos_handle_t open_cont(daos_handle_t poh, const char* label) {
  daos_handle_t coh = DAOS_HDL_INVAL;
  const int rc = daos_cont_create_with_label(poh, label, NULL, NULL, NULL);

  if (rc != -DER_EXIST) MUST(rc);
  MUST(daos_cont_open(poh, label, DAOS_COO_RW, &coh, NULL, NULL));
  return coh;
}

__attribute__((unused)) static void leave(daos_handle_t poh, daos_handle_t coh) {
  if (daos_handle_is_valid(coh)) OK(daos_cont_close(coh, NULL));
  OK(daos_pool_disconnect(poh, NULL));
  OK(daos_fini());
}

static int report(const char* name) {
  printf("%s: %s\n", name, failures == 0 ? "ok" : "FAILED");
  return failures == 0 ? 0 : 1;
}
