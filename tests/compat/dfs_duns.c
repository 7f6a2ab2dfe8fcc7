/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libduns: a directory that stands for a container, found again from below it; direct paths; and
 * paths that stand for nothing.
 * usage: dfs_duns [POOL]
 * cc dfs_duns.c -lduns -ldaos -luuid
 */
#include <daos.h>
#include <daos_uns.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPECT(call, wanted)                                                                    \
  do {                                                                                          \
    const int got_ = (call);                                                                    \
    if (got_ != (wanted)) {                                                                     \
      fprintf(stderr, "%s:%d: %s = %d, not %d\n", __FILE__, __LINE__, #call, got_, (wanted)); \
      exit(1);                                                                                  \
    }                                                                                           \
  } while (0)
#define OK(call) EXPECT(call, 0)
#define TRUE(cond) EXPECT(!(cond), 0)

static void direct(void) {
  struct duns_attr_t attr;

  memset(&attr, 0, sizeof(attr));
  OK(duns_resolve_path("daos://pool/cont/a/b", &attr));
  TRUE(strcmp(attr.da_pool, "pool") == 0 && strcmp(attr.da_cont, "cont") == 0);
  TRUE(strcmp(attr.da_rel_path, "/a/b") == 0);
  duns_destroy_attr(&attr);
  EXPECT(duns_resolve_path("daos://pool//cont", &attr), ENOENT);
  EXPECT(duns_resolve_path(NULL, &attr), EINVAL);
}

static void linked(daos_handle_t poh, const char *dir) {
  struct duns_attr_t attr, found;
  char path[300], below[320];
  daos_handle_t coh;

  snprintf(path, sizeof(path), "%s/cont", dir);
  snprintf(below, sizeof(below), "%s/sub", path);
  memset(&attr, 0, sizeof(attr));
  attr.da_type = DAOS_PROP_CO_LAYOUT_POSIX;
  const int rc = duns_create_path(poh, path, &attr);
  if (rc == ENOTSUP) {
    printf("dfs_duns: no extended attributes in %s, links left out\n", dir);
    return;
  }
  OK(rc);
  OK(daos_cont_open(poh, attr.da_cont, DAOS_COO_RO, &coh, NULL, NULL));
  OK(daos_cont_close(coh, NULL));
  EXPECT(duns_create_path(poh, path, &attr), EEXIST);
  OK(mkdir(below, 0755));
  memset(&found, 0, sizeof(found));
  OK(duns_resolve_path(below, &found));
  TRUE(strcmp(found.da_cont, attr.da_cont) == 0 && strcmp(found.da_rel_path, "/sub") == 0);
  duns_destroy_attr(&found);
  OK(rmdir(below));
  OK(duns_destroy_path(poh, path));
  EXPECT(duns_destroy_path(poh, path), ENOENT);
  EXPECT(duns_destroy_path(poh, dir), ENODATA);
  EXPECT(daos_cont_open(poh, attr.da_cont, DAOS_COO_RO, &coh, NULL, NULL), -DER_NONEXIST);
}

int main(int argc, char **argv) {
  const char *pool = argc > 1 ? argv[1] : "tank";
  char dir[] = "/tmp/dfs_duns_XXXXXX";
  daos_handle_t poh;

  OK(daos_init());
  OK(daos_pool_connect(pool, NULL, DAOS_PC_RW, &poh, NULL, NULL));
  TRUE(mkdtemp(dir) != NULL);
  direct();
  linked(poh, dir);
  OK(rmdir(dir));
  OK(daos_pool_disconnect(poh, NULL));
  OK(daos_fini());
  printf("dfs_duns: ok\n");
  return 0;
}
