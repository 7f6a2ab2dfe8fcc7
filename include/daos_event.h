/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Events and event queues. A call that takes an event blocks if the event is NULL; otherwise it
 * returns after submission, the result arrives in ev_error, and every pointer argument must stay
 * valid until then. Progress is made by the polling calls of the program.
 */
#ifndef DAOS_EVENT_H
#define DAOS_EVENT_H

#include <daos_errno.h>
#include <daos_types.h>

#if defined(__cplusplus)
extern "C" {
#endif

/** Called at completion with the result; what it returns replaces a result of 0. */
typedef int (*daos_event_comp_cb_t)(void* arg, daos_event_t* ev, int rc);

/** Makes an event queue. \return 0, -DER_INVAL (NULL), -DER_UNINIT before daos_init(). */
int daos_eq_create(daos_handle_t* eqh);

/**
 * Destroys an event queue. \a flags: 0, or DAOS_EQ_DESTROY_FORCE to wait for and drop what is in
 * it.
 * \return 0, -DER_NONEXIST for an unknown queue, -DER_BUSY if events are running or not yet polled.
 */
int daos_eq_destroy(daos_handle_t eqh, int flags);

/**
 * Collects completed events of a queue. \a timeout in microseconds: DAOS_EQ_WAIT waits without
 * limit, DAOS_EQ_NOWAIT only looks. With \a wait_running the call returns at once if no event is
 * running. A parent is returned when all of its children are complete, children never are.
 * \return number of events in \a events (0 also at the timeout), -DER_INVAL (\a nevents 0 or
 * \a events NULL), -DER_NONEXIST for an unknown queue.
 */
int daos_eq_poll(daos_handle_t eqh, int wait_running, int64_t timeout, unsigned int nevents,
                 daos_event_t** events);

/**
 * Counts the events of a queue that are completed or in flight, and stores up to \a nevents of
 * them. Changes no state. \return the number, or -DER_NONEXIST for an unknown queue.
 */
int daos_eq_query(daos_handle_t eqh, daos_eq_query_t query, unsigned int nevents,
                  daos_event_t** events);

/**
 * Prepares an event. \a eqh: its queue, or DAOS_HDL_INVAL for an event that is only tested.
 * \a parent: NULL, or an event that is not running and has no parent itself.
 * \return 0, -DER_INVAL, -DER_NO_PERM (nested deeper), -DER_NONEXIST (queue), -DER_UNINIT.
 */
int daos_event_init(daos_event_t* ev, daos_handle_t eqh, daos_event_t* parent);

/** Ends the use of an event; removes it from its queue. \return 0, -DER_BUSY while it runs. */
int daos_event_fini(daos_event_t* ev);

/** The child after \a child, or the first one if \a child is NULL; NULL at the end. */
daos_event_t* daos_event_next(daos_event_t* parent, daos_event_t* child);

/**
 * Waits up to \a timeout microseconds for \a ev. \a flag tells whether it is complete (or idle).
 * \return 0 also at the timeout, -DER_NO_PERM for a child, -DER_INVAL.
 */
int daos_event_test(struct daos_event* ev, int64_t timeout, bool* flag);

/**
 * Adds a callback for the next completion of \a ev. Register it before the launch; callbacks run
 * in the order of registration, once. \return 0, -DER_INVAL, -DER_NOMEM.
 */
int daos_event_register_comp_cb(struct daos_event* ev, daos_event_comp_cb_t cb, void* arg);

/** Marks a parent as launched: it completes with its present children. -DER_INVAL without any. */
int daos_event_parent_barrier(struct daos_event* ev);

/** Asks to cancel a running event. It may complete all the same. -DER_NO_PERM if it is not running.
 */
int daos_event_abort(daos_event_t* ev);

#if defined(__cplusplus)
}
#endif
#endif
