/* SPDX-License-Identifier: Apache-2.0 */
/** Tasks with dependencies, run by a scheduler that the program drives. Results are -DER_ codes. */
#ifndef DAOS_TSE_H
#define DAOS_TSE_H

#include <gurt/list.h>
#include <gurt/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define TSE_TASK_SIZE 1024
#define TSE_PRIV_SIZE 1016
/** Bytes inside a task for its arguments. */
#define TSE_TASK_ARG_LEN 880

typedef struct tse_task {
  int dt_result;
  int dt_pad32;
  struct {
    char dt_space[TSE_PRIV_SIZE];
  } dt_private;
} tse_task_t;

typedef struct {
  int ds_result;
  void *ds_udata;
  struct {
    uint64_t ds_space[48];
  } ds_private;
} tse_sched_t;

typedef int (*tse_sched_comp_cb_t)(void *args, int rc);
typedef int (*tse_task_func_t)(tse_task_t *task);
typedef int (*tse_task_cb_t)(tse_task_t *task, void *arg);

void *tse_task2arg(tse_task_t *task);
tse_sched_t *tse_task2sched(tse_task_t *task);

/** Prepares a scheduler. \a comp_cb (may be NULL) runs when all tasks are done. */
int tse_sched_init(tse_sched_t *sched, tse_sched_comp_cb_t comp_cb, void *udata);
void tse_sched_fini(tse_sched_t *sched);
void tse_sched_addref(tse_sched_t *sched);
void tse_sched_decref(tse_sched_t *sched);

/** Ends a scheduler; \a cancel drops pending tasks. */
void tse_sched_complete(tse_sched_t *sched, int ret, bool cancel);
int tse_sched_register_comp_cb(tse_sched_t *sched, tse_sched_comp_cb_t comp_cb, void *arg);

/** Runs the tasks that are ready, once. */
void tse_sched_progress(tse_sched_t *sched);

/** Whether no task is left. */
bool tse_sched_check_complete(tse_sched_t *sched);

/** Makes a task; \a task_func may be NULL. \return 0, -DER_NOMEM. */
int tse_task_create(tse_task_func_t task_func, tse_sched_t *sched, void *priv,
                    tse_task_t **taskp);

/** Hands a task to its scheduler; \a instant: runs it now if it waits for nothing. */
int tse_task_schedule(tse_task_t *task, bool instant);

/** \a delay in microseconds. */
int tse_task_schedule_with_delay(tse_task_t *task, bool instant, uint64_t delay);

/** Adds a callback for the completion; \a arg is copied if \a arg_size is not 0. */
int tse_task_register_comp_cb(tse_task_t *task, tse_task_cb_t comp_cb, void *arg,
                              size_t arg_size);
int tse_task_register_comp_cb_and_reinit(tse_task_t *task, tse_task_cb_t comp_cb, void *arg,
                                         size_t arg_size, uint64_t delay);

/** Called by the body of a task when it is done. */
void tse_task_complete(tse_task_t *task, int ret);

/** \a size bytes inside the task, aligned to 8. */
void *tse_task_buf_embedded(tse_task_t *task, int size);
void *tse_task_get_priv(tse_task_t *task);

/** \return the old value. */
void *tse_task_set_priv(tse_task_t *task, void *priv);

/** The task runs after all of \a dep_tasks. Call it before the task is scheduled. */
int tse_task_register_deps(tse_task_t *task, int num_deps, tse_task_t **dep_tasks);
int tse_task_register_cbs(tse_task_t *task, tse_task_cb_t prep_cb, void *prep_data,
                          size_t prep_data_size, tse_task_cb_t comp_cb, void *comp_data,
                          size_t comp_data_size);

/** Runs a task again, from its body or its callbacks. */
int tse_task_reinit(tse_task_t *task);
int tse_task_reinit_with_delay(tse_task_t *task, uint64_t delay);

/** Prepares a completed task for another use. */
int tse_task_reset(tse_task_t *task, tse_task_func_t task_func, void *priv);
void tse_task_addref(tse_task_t *task);
void tse_task_decref(tse_task_t *task);

/* Lists of tasks. */
int tse_task_list_add(tse_task_t *task, d_list_t *head);
void tse_task_list_del(tse_task_t *task);
tse_task_t *tse_task_list_first(d_list_t *head);
void tse_task_list_sched(d_list_t *head, bool instant);
void tse_task_list_abort(d_list_t *head, int rc);
int tse_task_list_depend(d_list_t *head, tse_task_t *task);
int tse_task_depend_list(tse_task_t *task, d_list_t *head);
int tse_task_list_traverse(d_list_t *head, tse_task_cb_t cb, void *arg);
int tse_task_list_traverse_adv(d_list_t *head, tse_task_cb_t cb, void *arg);

/** Errors of dependencies no longer become the result of the task. */
void tse_disable_propagate(tse_task_t *task);

#if defined(__cplusplus)
}
#endif
#endif
