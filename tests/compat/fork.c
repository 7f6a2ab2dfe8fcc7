/* After fork(): the child is refused until daos_reinit(). That connects it to the home's server as
   any process, or, where its parent has the home for itself, is refused until the parent has let go
   of it. */
#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int child(daos_handle_t poh, int parent_is_done, int refused) {
  const char *mode = getenv("CAIRN_MODE");
  daos_handle_t mine = DAOS_HDL_INVAL;
  char byte;

  IS(daos_pool_query(poh, NULL, NULL, NULL, NULL), -DER_UNINIT);
  if (mode != NULL && strcmp(mode, "embed") == 0) {
    IS(daos_reinit(), -DER_BUSY); /* the parent holds the home */
    close(refused);
    IS(read(parent_is_done, &byte, 1), 0);
    OK(daos_reinit());
  } else {
    OK(daos_reinit()); /* beside its parent */
    close(refused);
  }
  IS(daos_pool_query(poh, NULL, NULL, NULL, NULL), -DER_NO_HDL);
  OK(daos_pool_connect(kPool, NULL, DAOS_PC_RW, &mine, NULL, NULL));
  OK(daos_pool_query(mine, NULL, NULL, NULL, NULL));
  OK(daos_pool_disconnect(mine, NULL));
  OK(daos_fini());
  return failures != 0;
}

int main(void) {
  const daos_handle_t poh = connect_pool();
  int ends[2], refused[2], status = 0;
  char byte;
  pid_t pid;

  MUST(pipe(ends));
  MUST(pipe(refused));
  pid = fork();
  if (pid == 0) {
    close(ends[1]);
    close(refused[0]);
    _exit(child(poh, ends[0], refused[1]));
  }
  close(ends[0]);
  close(refused[1]);
  OK(daos_pool_query(poh, NULL, NULL, NULL, NULL));
  IS(read(refused[0], &byte, 1), 0);
  leave(poh, DAOS_HDL_INVAL);
  close(ends[1]);
  IS(waitpid(pid, &status, 0), pid);
  OK(status);
  return report("fork");
}
