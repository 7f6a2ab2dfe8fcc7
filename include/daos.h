/* SPDX-License-Identifier: Apache-2.0 */
/** The object store's interface: includes everything but tasks, pipelines and file systems. */
#ifndef DAOS_H
#define DAOS_H

#include <daos_version.h>

#include <daos_types.h>

#include <daos_api.h>
#include <daos_array.h>
#include <daos_cont.h>
#include <daos_event.h>
#include <daos_kv.h>
#include <daos_mgmt.h>
#include <daos_obj.h>
#include <daos_pool.h>
#include <daos_prop.h>
#include <daos_security.h>

#if defined(__cplusplus)
extern "C" {
#endif

/**
 * Starts the library. Counted: each successful call needs a daos_fini().
 * \return 0, -DER_AGENT_COMM or -DER_NO_SERVICE (nothing to connect to).
 */
int daos_init(void);

/** Drops one reference; the last one ends the library. \return 0, -DER_UNINIT without one. */
int daos_fini(void);

/** To be called in the child of a fork() before anything else of the library. */
int daos_reinit(void);

#if defined(__cplusplus)
}
#endif
#endif
