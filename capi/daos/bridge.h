// What the other parts of libdaos.so (capi/dfs, capi/duns) may use of it: the way from handles to
// client objects, and the way of a C call onto the reactor, blocking or with an event. Home: any
// thread outside the reactor.
#pragma once

#include <daos.h>

#include "base/result.h"
#include "client/client.h"
#include "runtime/task.h"

namespace cairn::capi {

/// -DER_ code of an error; codes that never leave the store become -DER_MISC.
int der_of(Errc code);
/// Positive errno of a -DER_ code (or of 0), as the reference maps them; unlisted: EIO.
int errno_of_der(int der);

/// The System of this process. It lives until the last daos_fini().
/// @error uninitialized  before daos_init(), or in a forked child before daos_reinit()
Result<client::System*> system();

/// @error no_handle  never given out, closed, or another kind of handle   @error uninitialized
Result<client::PoolPtr> pool_of(daos_handle_t poh);
Result<client::ContainerPtr> container_of(daos_handle_t coh);

/// Whether `ev` may be used for a call now (NULL: blocking, always true).
/// @error no_perm  it is running, or has children   @error invalid  it was never initialised
Result<void> check_event(const daos_event_t* ev);

/// Runs `task`, the body of a C call; its value is what the call reports, a -DER_ code or an errno.
/// `ev` NULL: blocks and returns the value. Else starts it and returns 0; the value arrives in
/// ev_error. An event that may not be used, or a library that is not initialised: the -DER_ code at
/// once (map it with errno_of_der() where the call reports errnos).
int call(Task<int> task, daos_event_t* ev);
/// The same for a value that is known already, such as the error of an argument.
int call(int value, daos_event_t* ev);

/// Runs `task` to its end and returns its value; not initialised: that error. For T = Result<...>.
template <class T>
T run_blocking(Task<T> task) {
  auto running = system();
  if (!running) return fail(running.error());
  return (*running)->context().run(std::move(task));
}

}  // namespace cairn::capi
