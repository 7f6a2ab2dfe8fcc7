// Events and event queues. An operation with an event runs as a task; when the task ends, its event
// is put aside (`ended`), and only a polling call of the program completes it: it runs the
// callbacks, counts for the parent and makes the event visible, on the program's thread, outside
// the reactor. Home: one mutex guards queues and the private part of all events; nothing else is
// called under it.
#pragma once

#include <daos_event.h>

#include "runtime/context.h"

namespace cairn::capi {

/// The private part of daos_event_t, in place. Zero or garbage before daos_event_init().
struct EventPrivate {
  enum class State : uint8_t { ready, running, ended, completed };
  struct Callback;

  uint64_t magic;
  uint64_t queue;  // cookie, 0: none
  daos_event_t* parent;
  daos_event_t* first_child;
  daos_event_t* sibling;  // next child of the same parent
  daos_event_t* next;     // in the list of ended or completed events
  Callback* callbacks;
  int result;
  uint32_t children;
  uint32_t children_running;
  State state;
  bool barrier;  // a parent that completes with its children
};

/// daos_fini(): drives until no operation runs.
void wait_for_events(Context& context);
/// daos_fini(): queues that the program left behind.
void remove_queues();
/// daos_reinit() in a child: the parent's operations do not exist here.
void forget_events_after_fork();

}  // namespace cairn::capi
