/*
 * A process that writes files is killed at some moment; every file that it was told is written must
 * be there whole, every other one whole, empty or absent. Several rounds on one home.
 * usage: kill POOL ROUNDS [SEED]
 */
#include <daos.h>
#include <daos_fs.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONT "kill"
#define BYTES_MAX 20000
#define FILES_MAX 100000

#define OK(call)                                                            \
  do {                                                                      \
    const int got_ = (call);                                                \
    if (got_ != 0) {                                                        \
      fprintf(stderr, "%s:%d: %s = %d\n", __FILE__, __LINE__, #call, got_); \
      exit(1);                                                              \
    }                                                                       \
  } while (0)
#define TRUE(cond) OK(!(cond))

/* What a report says of a file; each is one byte of the pipe's record. */
enum { WRITTEN = 'w', MOVED = 'm', REMOVED = 'r' };
struct report {
  int number;
  char what;
};

static size_t bytes_of(int number) { return 1 + (size_t)number * 7919 % BYTES_MAX; }
static void fill(char *buf, int number) {
  for (size_t i = 0; i < bytes_of(number); i++) buf[i] = (char)(number * 31 + (int)i * 7 + 1);
}
static void name_of(char *to, int round, int number, int moved) {
  sprintf(to, "%s_%d_%d", moved ? "moved" : "file", round, number);
}

static void tell(int fd, int number, char what) {
  const struct report r = {number, what};

  if (write(fd, &r, sizeof(r)) != sizeof(r)) exit(1);
}

static void write_files(const char *pool, int round, int fd) {
  static char buf[BYTES_MAX];
  char name[64], other[64];
  dfs_t *dfs;

  OK(dfs_init());
  OK(dfs_connect(pool, NULL, CONT, O_CREAT | O_RDWR, NULL, &dfs));
  for (int i = 0; i < FILES_MAX; i++) {
    dfs_obj_t *file;
    d_iov_t iov;
    d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};

    name_of(name, round, i, 0);
    OK(dfs_open(dfs, NULL, name, S_IFREG | 0644, O_CREAT | O_EXCL | O_RDWR, 0, 8192, NULL, &file));
    fill(buf, i);
    d_iov_set(&iov, buf, bytes_of(i));
    OK(dfs_write(dfs, file, &sgl, 0, NULL));
    OK(dfs_release(file));
    tell(fd, i, WRITTEN);
    name_of(other, round, i, 1);
    if (i % 4 == 1) {
      OK(dfs_move(dfs, NULL, name, NULL, other, NULL));
      tell(fd, i, MOVED);
    } else if (i % 4 == 2) {
      OK(dfs_remove(dfs, NULL, name, false, NULL));
      tell(fd, i, REMOVED);
    }
  }
}

/* 1: whole, 0: absent, -1: something else */
static int look(dfs_t *dfs, const char *name, int number) {
  static char want[BYTES_MAX], got[BYTES_MAX];
  dfs_obj_t *file;
  daos_size_t size = 0;
  d_iov_t iov;
  d_sg_list_t sgl = {.sg_nr = 1, .sg_nr_out = 0, .sg_iovs = &iov};
  const int rc = dfs_open(dfs, NULL, name, S_IFREG, O_RDONLY, 0, 0, NULL, &file);

  if (rc == ENOENT) return 0;
  OK(rc);
  d_iov_set(&iov, got, sizeof(got));
  OK(dfs_read(dfs, file, &sgl, 0, &size, NULL));
  OK(dfs_release(file));
  fill(want, number);
  return size == bytes_of(number) && memcmp(want, got, size) == 0 ? 1 : -1;
}

static void check(const char *pool, int round, const char *state, int count) {
  char name[64], moved[64];
  dfs_t *dfs;
  int there = 0;
  const int rc = dfs_connect(pool, NULL, CONT, O_RDONLY, NULL, &dfs);

  if (rc == ENOENT && count == 0) return;
  OK(rc);
  for (int i = 0; i < count; i++) {
    name_of(name, round, i, 0);
    name_of(moved, round, i, 1);
    const int first = look(dfs, name, i);
    const int second = look(dfs, moved, i);
    const int busy = i == count - 1; /* its next step may have been under way */

    there += first == 1 || second == 1;
    if (state[i] == WRITTEN && !busy) TRUE(first == 1 && second == 0);
    if (state[i] == MOVED) TRUE(first == 0 && second == 1);
    if (state[i] == REMOVED) TRUE(first == 0 && second == 0);
    if (state[i] == WRITTEN && busy) {
      if (i % 4 == 1) TRUE(first == 1 || second == 1);
      if (i % 4 == 2) TRUE(second == 0);
      if (i % 4 == 0 || i % 4 == 3) TRUE(first == 1);
    }
  }
  OK(dfs_disconnect(dfs));
  printf("round %d: %d files told, %d there\n", round, count, there);
  fflush(stdout);
}

static void run_round(const char *pool, int round, unsigned seed) {
  static char state[FILES_MAX];
  struct report r;
  int fds[2], count = 0;
  pid_t writer, checker;
  int status = 0;

  OK(pipe(fds));
  writer = fork();
  TRUE(writer >= 0);
  if (writer == 0) {
    close(fds[0]);
    write_files(pool, round, fds[1]);
    _exit(0);
  }
  close(fds[1]);
  usleep(100000 + seed % 700000);
  kill(writer, SIGKILL);
  TRUE(waitpid(writer, &status, 0) == writer);
  TRUE(WIFSIGNALED(status)); /* else it had failed by itself */
  memset(state, 0, sizeof(state));
  while (read(fds[0], &r, sizeof(r)) == sizeof(r)) {
    TRUE(r.number >= 0 && r.number < FILES_MAX);
    state[r.number] = r.what;
    count = r.number + 1;
  }
  close(fds[0]);
  checker = fork(); /* this process never opens the home */
  TRUE(checker >= 0);
  if (checker == 0) {
    OK(dfs_init());
    check(pool, round, state, count);
    OK(dfs_fini());
    _exit(0);
  }
  TRUE(waitpid(checker, &status, 0) == checker);
  TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
  unsigned seed = argc > 3 ? (unsigned)atoi(argv[3]) : (unsigned)getpid();

  if (argc < 3) {
    fprintf(stderr, "usage: kill POOL ROUNDS [SEED]\n");
    return 2;
  }
  printf("seed %u\n", seed);
  fflush(stdout);
  for (int round = 0; round < atoi(argv[2]); round++) {
    seed = seed * 1103515245u + 12345u;
    run_round(argv[1], round, seed >> 8);
  }
  printf("kill: ok\n");
  return 0;
}
