/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads on one mount: each makes small files, looks at them, reads them back and removes
 * half; some race for the same names. Prints the rates.
 * usage: dfs_threads [POOL [THREADS [FILES]]]
 * cc dfs_threads.c -ldfs -ldaos -luuid -lpthread
 */
#include <daos.h>
#include <daos_fs.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONT "compat_dfs_threads"
#define BYTES 4096
#define THREADS_MAX 256

#define OK(call)                                                                        \
  do {                                                                                  \
    const int got_ = (call);                                                            \
    if (got_ != 0) {                                                                    \
      fprintf(stderr, "%s:%d: %s = %d\n", __FILE__, __LINE__, #call, got_); \
      exit(1);                                                                          \
    }                                                                                   \
  } while (0)
#define TRUE(cond) OK(!(cond))

static dfs_t *dfs;
static dfs_obj_t *top;
static int files = 200;
static int races_won[THREADS_MAX];

static void name_of(char *to, long thread, int i) { sprintf(to, "t%03ld_f%06d", thread, i); }

static void *create(void *arg) {
  const long thread = (long)arg;
  char data[BYTES], name[64];
  d_iov_t iov;
  d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};

  for (int i = 0; i < files; i++) {
    dfs_obj_t *file;

    name_of(name, thread, i);
    memset(data, 'a' + (int)(thread + i) % 26, sizeof(data));
    OK(dfs_open(dfs, top, name, S_IFREG | 0644, O_CREAT | O_EXCL | O_RDWR, 0, 0, NULL, &file));
    d_iov_set(&iov, data, sizeof(data));
    OK(dfs_write(dfs, file, &sgl, 0, NULL));
    OK(dfs_release(file));
    if (i % 10 == 0) {
      sprintf(name, "race%d", i);
      const int rc = dfs_mkdir(dfs, top, name, 0755, 0);

      TRUE(rc == 0 || rc == EEXIST);
      races_won[thread] += rc == 0;
    }
  }
  return NULL;
}

static void *look(void *arg) {
  const long thread = (long)arg;
  char name[64];

  for (int i = 0; i < files; i++) {
    struct stat st;

    name_of(name, thread, i);
    OK(dfs_stat(dfs, top, name, &st));
    TRUE(S_ISREG(st.st_mode) && st.st_size == BYTES);
  }
  return NULL;
}

static void *read_back(void *arg) {
  const long thread = (long)arg;
  char data[BYTES], name[64];
  d_iov_t iov;
  d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};

  for (int i = 0; i < files; i++) {
    dfs_obj_t *file;
    daos_size_t got = 0;

    name_of(name, thread, i);
    OK(dfs_open(dfs, top, name, S_IFREG, O_RDONLY, 0, 0, NULL, &file));
    d_iov_set(&iov, data, sizeof(data));
    OK(dfs_read(dfs, file, &sgl, 0, &got, NULL));
    TRUE(got == BYTES && data[0] == 'a' + (int)(thread + i) % 26 && data[BYTES - 1] == data[0]);
    OK(dfs_release(file));
  }
  return NULL;
}

static void *remove_half(void *arg) {
  const long thread = (long)arg;
  char name[64], other[80];

  for (int i = 0; i < files; i += 2) {
    name_of(name, thread, i);
    if (i % 4 == 0) {
      snprintf(other, sizeof(other), "moved_%s", name);
      OK(dfs_move(dfs, top, name, top, other, NULL));
      OK(dfs_remove(dfs, top, other, false, NULL));
      continue;
    }
    OK(dfs_remove(dfs, top, name, false, NULL));
  }
  return NULL;
}

static void phase(const char *what, void *(*run)(void *), int threads, int count) {
  pthread_t ids[THREADS_MAX];
  struct timespec a, b;

  clock_gettime(CLOCK_MONOTONIC, &a);
  for (long t = 0; t < threads; t++) OK(pthread_create(&ids[t], NULL, run, (void *)t));
  for (int t = 0; t < threads; t++) OK(pthread_join(ids[t], NULL));
  clock_gettime(CLOCK_MONOTONIC, &b);
  const double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;

  printf("%-8s %9.0f /s\n", what, threads * (double)count / s);
}

static int entries(void) {
  daos_anchor_t anchor = {0};
  int count = 0;

  while (!daos_anchor_is_eof(&anchor)) {
    struct dirent names[64];
    uint32_t nr = 64;

    OK(dfs_readdir(dfs, top, &anchor, &nr, names));
    count += (int)nr;
  }
  return count;
}

int main(int argc, char **argv) {
  const char *pool = argc > 1 ? argv[1] : "tank";
  const int threads = argc > 2 ? atoi(argv[2]) : 16;
  int won = 0;

  if (threads < 1 || threads > THREADS_MAX) {
    fprintf(stderr, "usage: dfs_threads [POOL [THREADS [FILES]]]\n");
    return 2;
  }
  if (argc > 3) files = atoi(argv[3]);
  OK(dfs_init());
  OK(dfs_connect(pool, NULL, CONT, O_CREAT | O_RDWR, NULL, &dfs));
  OK(dfs_mkdir(dfs, NULL, "top", 0755, 0));
  OK(dfs_lookup(dfs, "/top", O_RDWR, &top, NULL, NULL));
  phase("create", create, threads, files);
  phase("stat", look, threads, files);
  phase("read", read_back, threads, files);
  for (int t = 0; t < threads; t++) won += races_won[t];
  TRUE(won == (files + 9) / 10);
  TRUE(entries() == threads * files + won);
  phase("remove", remove_half, threads, (files + 1) / 2);
  TRUE(entries() == threads * (files / 2) + won);
  OK(dfs_release(top));
  OK(dfs_remove(dfs, NULL, "top", true, NULL));
  OK(dfs_disconnect(dfs));
  OK(dfs_destroy(pool, NULL, CONT, 0, NULL));
  OK(dfs_fini());
  printf("dfs_threads: ok\n");
  return 0;
}
