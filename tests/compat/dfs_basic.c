/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libdfs as a program uses it: connect, directories, files, links, attributes, listing, ranges,
 * sharing handles, events, and the errors of bad arguments.
 * usage: dfs_basic [POOL]
 * cc dfs_basic.c -ldfs -ldaos -luuid
 */
#include <daos.h>
#include <daos_fs.h>
#include <daos_fs_sys.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define CONT "compat_dfs_basic"

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

static d_sg_list_t sgl_of(d_iov_t *iov, void *buf, size_t len) {
  d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = iov};

  d_iov_set(iov, buf, len);
  return sgl;
}

static void write_text(dfs_t *dfs, dfs_obj_t *obj, const char *text, daos_off_t off) {
  d_iov_t iov;
  d_sg_list_t sgl = sgl_of(&iov, (void *)text, strlen(text));

  OK(dfs_write(dfs, obj, &sgl, off, NULL));
}

static void files(dfs_t *dfs) {
  dfs_obj_t *dir, *file, *again;
  struct stat st;
  char buf[1024];
  d_iov_t iov;
  d_sg_list_t sgl = sgl_of(&iov, buf, sizeof(buf));
  daos_size_t size = 0;
  mode_t mode = 0;

  OK(dfs_open(dfs, NULL, "dir", S_IFDIR | 0755, O_CREAT | O_EXCL | O_RDWR, 0, 0, NULL, &dir));
  OK(dfs_open(dfs, dir, "file", S_IFREG | 0644, O_CREAT | O_EXCL | O_RDWR, 0, 0, NULL, &file));
  write_text(dfs, file, "hello, world!", 0);
  OK(dfs_read(dfs, file, &sgl, 0, &size, NULL));
  TRUE(size == 13 && memcmp(buf, "hello, world!", 13) == 0);
  OK(dfs_lookup(dfs, "/dir/file", O_RDONLY, &again, &mode, &st));
  TRUE(S_ISREG(mode) && st.st_size == 13);
  EXPECT(dfs_write(dfs, again, &sgl, 0, NULL), EPERM);
  OK(dfs_release(again));
  OK(dfs_punch(dfs, file, 5, DFS_MAX_FSIZE));
  OK(dfs_get_size(dfs, file, &size));
  TRUE(size == 5);
  OK(dfs_move(dfs, dir, "file", NULL, "moved", NULL));
  EXPECT(dfs_stat(dfs, dir, "file", &st), ENOENT);
  OK(dfs_stat(dfs, NULL, "moved", &st));
  OK(dfs_mkdir(dfs, dir, "sub", 0700, 0));
  EXPECT(dfs_remove(dfs, NULL, "dir", false, NULL), ENOTEMPTY);
  OK(dfs_remove(dfs, NULL, "dir", true, NULL));
  OK(dfs_remove(dfs, NULL, "moved", false, NULL));
  OK(dfs_release(file));
  OK(dfs_release(dir));
}

static void bad_input(dfs_t *dfs) {
  dfs_obj_t *obj;
  char name[300];

  memset(name, 'n', sizeof(name));
  name[256] = 0;
  EXPECT(dfs_mkdir(dfs, NULL, name, 0755, 0), EINVAL);
  EXPECT(dfs_mkdir(dfs, NULL, "a/b", 0755, 0), EINVAL);
  EXPECT(dfs_mkdir(dfs, NULL, NULL, 0755, 0), EINVAL);
  EXPECT(dfs_mkdir(NULL, NULL, "a", 0755, 0), EINVAL);
  EXPECT(dfs_lookup(dfs, "/..", O_RDONLY, &obj, NULL, NULL), ENOENT);
  EXPECT(dfs_lookup(dfs, "relative", O_RDONLY, &obj, NULL, NULL), EINVAL);
  EXPECT(dfs_lookup(dfs, "/absent", O_RDONLY, NULL, NULL, NULL), EINVAL);
  EXPECT(dfs_open(dfs, NULL, "x", 0644, O_CREAT | O_RDWR, 0, 0, NULL, &obj), EINVAL);
  EXPECT(dfs_open(dfs, NULL, "x", S_IFREG | 0644, O_CREAT | O_RDWR, 0x7fffffff, 0, NULL, &obj),
         EINVAL);
  EXPECT(dfs_release(NULL), EINVAL);
  EXPECT(dfs_umount(dfs), EINVAL); /* it was connected */
  EXPECT(dfs_readdir(dfs, NULL, NULL, NULL, NULL), ENOTDIR);
}

static void shared_handles(dfs_t *dfs) {
  dfs_obj_t *file, *copy;
  dfs_t *second;
  d_iov_t glob = {0};
  char *blob;

  OK(dfs_open(dfs, NULL, "shared", S_IFREG | 0644, O_CREAT | O_RDWR, 0, 0, NULL, &file));
  OK(dfs_obj_local2global(dfs, file, &glob));
  blob = malloc(glob.iov_buf_len);
  d_iov_set(&glob, blob, glob.iov_buf_len);
  OK(dfs_obj_local2global(dfs, file, &glob));
  OK(dfs_obj_global2local(dfs, 0, glob, &copy));
  write_text(dfs, copy, "through the copy", 0);
  OK(dfs_release(copy));
  free(blob);
  memset(&glob, 0, sizeof(glob));
  OK(dfs_local2global_all(dfs, &glob));
  blob = malloc(glob.iov_buf_len);
  d_iov_set(&glob, blob, glob.iov_buf_len);
  OK(dfs_local2global_all(dfs, &glob));
  OK(dfs_global2local_all(0, glob, &second));
  OK(dfs_lookup(second, "/shared", O_RDONLY, &copy, NULL, NULL));
  OK(dfs_release(copy));
  OK(dfs_disconnect(second));
  free(blob);
  OK(dfs_release(file));
  OK(dfs_remove(dfs, NULL, "shared", false, NULL));
}

#define IN_FLIGHT 32

static void events(dfs_t *dfs) {
  static char data[IN_FLIGHT][4096], back[IN_FLIGHT][4096];
  d_iov_t iov[IN_FLIGHT];
  d_sg_list_t sgl[IN_FLIGHT];
  daos_event_t ev[IN_FLIGHT], *done[IN_FLIGHT];
  daos_size_t got[IN_FLIGHT];
  daos_handle_t eq;
  dfs_obj_t *file;
  int round, i, left;

  OK(dfs_open(dfs, NULL, "events", S_IFREG | 0644, O_CREAT | O_RDWR, 0, 8192, NULL, &file));
  OK(daos_eq_create(&eq));
  for (round = 0; round < 2; round++) {
    for (i = 0; i < IN_FLIGHT; i++) {
      OK(daos_event_init(&ev[i], eq, NULL));
      if (round == 0) memset(data[i], 'a' + i % 26, sizeof(data[i]));
      sgl[i] = sgl_of(&iov[i], round == 0 ? data[i] : back[i], sizeof(data[i]));
      if (round == 0)
        OK(dfs_write(dfs, file, &sgl[i], (daos_off_t)i * 4096, &ev[i]));
      else
        OK(dfs_read(dfs, file, &sgl[i], (daos_off_t)i * 4096, &got[i], &ev[i]));
    }
    for (left = IN_FLIGHT; left > 0;) {
      const int n = daos_eq_poll(eq, 1, DAOS_EQ_WAIT, IN_FLIGHT, done);

      TRUE(n > 0);
      left -= n;
    }
    for (i = 0; i < IN_FLIGHT; i++) {
      OK(ev[i].ev_error);
      OK(daos_event_fini(&ev[i]));
    }
  }
  for (i = 0; i < IN_FLIGHT; i++) {
    TRUE(got[i] == 4096);
    TRUE(memcmp(data[i], back[i], 4096) == 0);
  }
  OK(daos_eq_destroy(eq, 0));
  OK(dfs_release(file));
  OK(dfs_remove(dfs, NULL, "events", false, NULL));
}

static void by_path(const char *pool) {
  dfs_sys_t *sys;
  struct dirent *entry;
  struct stat st;
  DIR *dir;
  int count = 0, i;

  OK(dfs_sys_connect(pool, NULL, CONT, O_RDWR, 0, NULL, &sys));
  OK(dfs_sys_mkdir_p(sys, "/deep/down/here", 0755, 0));
  for (i = 0; i < 60; i++) {
    char path[64];

    snprintf(path, sizeof(path), "/deep/down/here/f%d", i);
    OK(dfs_sys_mknod(sys, path, S_IFREG | 0644, 0, 0));
  }
  OK(dfs_sys_setxattr(sys, "/deep/down", "user.k", "v", 1, XATTR_CREATE, 0));
  OK(dfs_sys_symlink(sys, "down/here/f7", "/deep/link"));
  OK(dfs_sys_chmod(sys, "/deep/link", 0600));
  OK(dfs_sys_stat(sys, "/deep/down/here/f7", 0, &st));
  TRUE((st.st_mode & 07777) == 0600);
  OK(dfs_sys_opendir(sys, "/deep/down/here", 0, &dir));
  for (;;) {
    OK(dfs_sys_readdir(sys, dir, &entry));
    if (entry == NULL) break;
    count++;
  }
  OK(dfs_sys_closedir(dir));
  TRUE(count == 60);
  EXPECT(dfs_sys_stat(sys, "/deep/../x", 0, &st), ENOTSUP);
  OK(dfs_sys_disconnect(sys));
}

int main(int argc, char **argv) {
  dfs_t *dfs = NULL;
  dfs_attr_t attr;

  const char *pool = argc > 1 ? argv[1] : "tank";

  EXPECT(dfs_connect(pool, NULL, CONT, O_RDWR, NULL, &dfs), EACCES);
  OK(dfs_init());
  EXPECT(dfs_connect(pool, NULL, CONT, O_RDWR, NULL, &dfs), ENOENT);
  EXPECT(dfs_connect("no_such_pool", NULL, CONT, O_RDWR, NULL, &dfs), ENOENT);
  OK(dfs_connect(pool, NULL, CONT, O_CREAT | O_RDWR, NULL, &dfs));
  OK(dfs_query(dfs, &attr));
  TRUE(attr.da_chunk_size == DFS_DEFAULT_CHUNK_SIZE);
  files(dfs);
  bad_input(dfs);
  shared_handles(dfs);
  events(dfs);
  by_path(pool);
  EXPECT(dfs_destroy(pool, NULL, CONT, 0, NULL), EBUSY);
  OK(dfs_disconnect(dfs));
  OK(dfs_destroy(pool, NULL, CONT, 0, NULL));
  OK(dfs_fini());
  printf("dfs_basic: ok\n");
  return 0;
}
