#include "capi/daos/event.h"

#include <cstring>
#include <deque>
#include <new>
#include <utility>

#include "capi/daos/library.h"

namespace cairn::capi {

struct EventPrivate::Callback {
  daos_event_comp_cb_t function;
  void* argument;
  Callback* next;
};

namespace {

using State = EventPrivate::State;

constexpr uint64_t kEventMagic = 0x43616972'6e457631;  // an event between init and fini

static_assert(sizeof(EventPrivate) <= sizeof(daos_event_t::ev_private));
static_assert(alignof(EventPrivate) <= alignof(uint64_t));

EventPrivate& part(daos_event_t* ev) { return *reinterpret_cast<EventPrivate*>(&ev->ev_private); }
const EventPrivate& part(const daos_event_t* ev) {
  return *reinterpret_cast<const EventPrivate*>(&ev->ev_private);
}
bool alive(const daos_event_t* ev) { return ev != nullptr && part(ev).magic == kEventMagic; }

struct Queue {
  static constexpr uint8_t kHandleKind = DAOS_HTYPE_EQ;
  std::deque<daos_event_t*> ended;      // their tasks have ended, nobody has looked yet
  std::deque<daos_event_t*> completed;  // for the next poll
  std::deque<daos_event_t*> running;    // launched; few, in no order
};

struct Events {
  std::mutex mutex;
  size_t running = 0;  // operations under way, with and without a queue
};
Events* events = new Events;  // never destroyed: events may outlive main()

void drop(std::deque<daos_event_t*>& list, daos_event_t* ev) { std::erase(list, ev); }

void free_callbacks(EventPrivate& p) {
  while (p.callbacks != nullptr) delete std::exchange(p.callbacks, p.callbacks->next);
}

/// The task of `ev` has ended. On the reactor; only bookkeeping.
void end(daos_event_t* ev, int result) {
  std::lock_guard lock(events->mutex);
  EventPrivate& p = part(ev);
  p.result = result;
  p.state = State::ended;
  --events->running;
  if (auto queue = find<Queue>({p.queue})) {
    drop(queue->running, ev);
    queue->ended.push_back(ev);
  }
}

Task<void> run_and_end(Task<int> task, daos_event_t* ev) {
  const int result = co_await std::move(task);
  end(ev, result);
}

/// With the mutex. From ready to running.
void launch(daos_event_t* ev) {
  EventPrivate& p = part(ev);
  p.state = State::running;
  ev->ev_error = 0;
  ++events->running;
  if (p.parent != nullptr) ++part(p.parent).children_running;
  if (auto queue = find<Queue>({p.queue})) queue->running.push_back(ev);
}

/// With the mutex: an event whose result is final becomes visible to the program.
void show(daos_event_t* ev, Queue* queue) {
  EventPrivate& p = part(ev);
  if (p.parent == nullptr) {
    p.state = State::completed;
    if (queue != nullptr) queue->completed.push_back(ev);
    return;
  }
  p.state = State::ready;  // children are never returned by themselves
  daos_event_t* const parent = p.parent;
  EventPrivate& above = part(parent);
  if (ev->ev_error != 0 && parent->ev_error == 0) parent->ev_error = ev->ev_error;
  if (--above.children_running == 0 && above.barrier) {
    above.barrier = false;
    above.state = State::completed;
    if (queue != nullptr) {
      drop(queue->running, parent);
      queue->completed.push_back(parent);
    }
  }
}

/// Completes one ended event: callbacks in order of registration, without the mutex.
void complete(daos_event_t* ev, Queue* queue) {
  EventPrivate& p = part(ev);
  int result = p.result;
  EventPrivate::Callback* callback = std::exchange(p.callbacks, nullptr);
  while (callback != nullptr) {
    const int answer = callback->function(callback->argument, ev, result);
    if (result == 0) result = answer;
    delete std::exchange(callback, callback->next);
  }
  std::lock_guard lock(events->mutex);
  ev->ev_error = result;
  show(ev, queue);
}

/// With the mutex. A child of a queueless parent whose task has ended, or null.
daos_event_t* ended_child(const EventPrivate& parent) {
  daos_event_t* child = parent.first_child;
  while (child != nullptr && part(child).state != State::ended) child = part(child).sibling;
  return child;
}

void complete_ended_children(const EventPrivate& parent) {
  for (;;) {
    daos_event_t* child = nullptr;
    {
      std::lock_guard lock(events->mutex);
      child = ended_child(parent);
    }
    if (child == nullptr) return;
    complete(child, nullptr);
  }
}

void complete_ended(Queue& queue) {
  for (;;) {
    daos_event_t* ev = nullptr;
    {
      std::lock_guard lock(events->mutex);
      if (queue.ended.empty()) return;
      ev = queue.ended.front();
      queue.ended.pop_front();
    }
    complete(ev, &queue);
  }
}

Duration duration_of(int64_t timeout_us) {
  if (timeout_us < 0) return kNever;
  return static_cast<Duration>(timeout_us) * kMicrosecond;
}

int usable_or_error(const daos_event_t* ev) {
  const auto usable = check_event(ev);
  return usable ? 0 : der_of(usable.error().code());
}

}  // namespace

Result<void> check_event(const daos_event_t* ev) {
  if (ev == nullptr) return {};
  if (!alive(ev)) return fail(Errc::invalid, "event: daos_event_init() was not called");
  std::lock_guard lock(events->mutex);
  const EventPrivate& p = part(ev);
  if (p.state != State::ready) return fail(Errc::no_perm, "event: belongs to a running operation");
  if (p.children != 0) return fail(Errc::no_perm, "event: has children, use those");
  return {};
}

int call(Task<int> task, daos_event_t* ev) {
  const auto running = system();
  if (!running) return der_of(running.error().code());
  if (ev == nullptr) return (*running)->context().run(std::move(task));
  if (const int rc = usable_or_error(ev); rc != 0) return rc;
  {
    std::lock_guard lock(events->mutex);
    launch(ev);
  }
  (*running)->context().start(run_and_end(std::move(task), ev));
  return 0;
}

int call(int value, daos_event_t* ev) {
  if (ev == nullptr) return value;
  if (const int rc = initialized(); rc != 0) return rc;
  if (const int rc = usable_or_error(ev); rc != 0) return rc;
  {
    std::lock_guard lock(events->mutex);
    launch(ev);
  }
  end(ev, value);
  return 0;
}

void wait_for_events(Context& context) {
  context.drive_until(
      [] {
        std::lock_guard lock(events->mutex);
        return events->running == 0;
      },
      kNever);
}

void remove_queues() { library().handles.remove_all<Queue>(); }

void forget_events_after_fork() { events = new Events; }

}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_eq_create(daos_handle_t* eqh) try {
  if (const int rc = initialized(); rc != 0) return rc;
  if (eqh == nullptr) return -DER_INVAL;
  *eqh = library().handles.insert(std::make_shared<Queue>());
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_eq_destroy(daos_handle_t eqh, int flags) try {
  const auto running = capi::system();
  if (!running) return capi::der_of(running.error().code());
  const auto queue = find<Queue>(eqh);
  if (!queue) return -DER_NONEXIST;
  const bool force = (flags & DAOS_EQ_DESTROY_FORCE) != 0;
  {
    std::lock_guard lock(events->mutex);
    const bool empty = queue->running.empty() && queue->ended.empty() && queue->completed.empty();
    if (!empty && !force) return -DER_BUSY;
  }
  // Buffers of running operations are the caller's: they must be done with before this returns.
  (*running)->context().drive_until(
      [q = queue.get()] {
        std::lock_guard lock(events->mutex);
        for (const daos_event_t* ev : q->running) {
          if (!part(ev).barrier) return false;
        }
        return true;
      },
      kNever);
  complete_ended(*queue);
  std::lock_guard lock(events->mutex);
  for (auto* list : {&queue->completed, &queue->running}) {
    for (daos_event_t* ev : *list) part(ev).state = State::ready;
    list->clear();
  }
  library().handles.remove<Queue>(eqh);
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_eq_poll(daos_handle_t eqh, int wait_running, int64_t timeout, unsigned int nevents,
                 daos_event_t** evs) try {
  const auto running = capi::system();
  if (!running) return capi::der_of(running.error().code());
  if (nevents == 0 || evs == nullptr) return -DER_INVAL;
  const auto queue = find<Queue>(eqh);
  if (!queue) return -DER_NONEXIST;
  const auto something = [q = queue.get(), wait_running] {
    std::lock_guard lock(events->mutex);
    return !q->ended.empty() || !q->completed.empty() || (wait_running != 0 && q->running.empty());
  };
  Context& context = (*running)->context();
  const Instant begin = context.reactor().clock().now();
  const Duration limit = duration_of(timeout);
  Duration left = limit;
  for (;;) {
    (void)context.drive_until(something, left);
    complete_ended(*queue);
    {
      std::lock_guard lock(events->mutex);
      unsigned n = 0;
      while (n < nevents && !queue->completed.empty()) {
        evs[n] = queue->completed.front();
        queue->completed.pop_front();
        part(evs[n++]).state = State::ready;
      }
      if (n > 0) return static_cast<int>(n);
      if (wait_running != 0 && queue->running.empty() && queue->ended.empty()) return 0;
    }
    if (limit == kNever) continue;
    const Duration gone = context.reactor().clock().now() - begin;
    if (gone >= limit) return 0;
    left = limit - gone;
  }
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_eq_query(daos_handle_t eqh, daos_eq_query_t query, unsigned int nevents,
                  daos_event_t** evs) try {
  if (const int rc = initialized(); rc != 0) return rc;
  const auto queue = find<Queue>(eqh);
  if (!queue) return -DER_NONEXIST;
  unsigned count = 0;
  const auto add = [&](const std::deque<daos_event_t*>& list) {
    for (daos_event_t* ev : list) {
      if (evs != nullptr && count < nevents) evs[count] = ev;
      ++count;
    }
  };
  std::lock_guard lock(events->mutex);
  if ((query & DAOS_EQR_COMPLETED) != 0) add(queue->completed);
  if ((query & DAOS_EQR_WAITING) != 0) {
    add(queue->ended);
    add(queue->running);
  }
  return static_cast<int>(evs != nullptr && nevents != 0 ? std::min(count, nevents) : count);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_event_init(daos_event_t* ev, daos_handle_t eqh, daos_event_t* parent) try {
  if (const int rc = initialized(); rc != 0) return rc;
  if (ev == nullptr) return -DER_INVAL;
  EventPrivate fresh{};
  fresh.magic = kEventMagic;
  std::lock_guard lock(events->mutex);
  if (parent != nullptr) {
    if (!alive(parent)) return -DER_INVAL;
    EventPrivate& above = part(parent);
    if (above.parent != nullptr) return -DER_NO_PERM;
    if (above.state != State::ready) return -DER_INVAL;
    fresh.queue = above.queue;
    fresh.parent = parent;
    fresh.sibling = above.first_child;
  } else if (daos_handle_is_valid(eqh)) {
    if (!find<Queue>(eqh)) return -DER_NONEXIST;
    fresh.queue = eqh.cookie;
  }
  std::memset(ev, 0, sizeof *ev);
  ::new (&ev->ev_private) EventPrivate(fresh);
  if (parent != nullptr) {
    part(parent).first_child = ev;
    ++part(parent).children;
  }
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_event_fini(daos_event_t* ev) try {
  if (ev == nullptr) return -DER_INVAL;
  if (!alive(ev)) return 0;
  if (const int rc = initialized(); rc != 0) return rc;
  std::lock_guard lock(events->mutex);
  EventPrivate& p = part(ev);
  if (p.state == State::running || p.state == State::ended) return -DER_BUSY;
  if (p.children_running != 0) return -DER_BUSY;
  const auto queue = find<Queue>({p.queue});
  if (queue) drop(queue->completed, ev);
  if (p.parent != nullptr && alive(p.parent)) {
    EventPrivate& above = part(p.parent);
    for (daos_event_t** at = &above.first_child; *at != nullptr; at = &part(*at).sibling) {
      if (*at != ev) continue;
      *at = p.sibling;
      --above.children;
      break;
    }
  }
  for (daos_event_t* child = p.first_child; child != nullptr; child = part(child).sibling) {
    part(child).parent = nullptr;
  }
  free_callbacks(p);
  p.magic = 0;
  return p.queue != 0 && !queue ? -DER_NONEXIST : 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

daos_event_t* daos_event_next(daos_event_t* parent, daos_event_t* child) {
  if (!alive(parent) || (child != nullptr && !alive(child))) return nullptr;
  std::lock_guard lock(events->mutex);
  return child == nullptr ? part(parent).first_child : part(child).sibling;
}

int daos_event_test(struct daos_event* ev, int64_t timeout, bool* flag) try {
  const auto running = capi::system();
  if (!running) return capi::der_of(running.error().code());
  if (!alive(ev) || flag == nullptr) return -DER_INVAL;
  EventPrivate& p = part(ev);
  if (p.parent != nullptr) return -DER_NO_PERM;
  const auto queue = find<Queue>({p.queue});
  Context& context = (*running)->context();
  const auto ready = [&p, q = queue.get()] {
    std::lock_guard lock(events->mutex);
    return p.state != State::running ||
           (p.barrier && (q != nullptr ? !q->ended.empty() : ended_child(p) != nullptr));
  };
  const Instant begin = context.reactor().clock().now();
  const Duration limit = duration_of(timeout);
  Duration left = limit;
  for (;;) {
    (void)context.drive_until(ready, left);
    if (queue) {
      complete_ended(*queue);
    } else {
      complete_ended_children(p);
    }
    State state;
    {
      std::lock_guard lock(events->mutex);
      state = p.state;
      if (state == State::completed) {
        if (queue) drop(queue->completed, ev);
        p.state = State::ready;
      }
    }
    if (state == State::ended) {  // without a queue
      complete(ev, nullptr);
      std::lock_guard lock(events->mutex);
      p.state = State::ready;
    }
    *flag = state != State::running;
    if (*flag) return 0;
    const Duration gone = context.reactor().clock().now() - begin;
    if (limit != kNever && gone >= limit) return 0;
    if (limit != kNever) left = limit - gone;
  }
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_event_register_comp_cb(struct daos_event* ev, daos_event_comp_cb_t cb, void* arg) try {
  if (!alive(ev) || cb == nullptr) return -DER_INVAL;
  auto* const callback = new (std::nothrow) EventPrivate::Callback{cb, arg, nullptr};
  if (callback == nullptr) return -DER_NOMEM;
  std::lock_guard lock(events->mutex);
  EventPrivate::Callback** at = &part(ev).callbacks;
  while (*at != nullptr) at = &(*at)->next;
  *at = callback;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_event_parent_barrier(struct daos_event* ev) try {
  if (const int rc = initialized(); rc != 0) return rc;
  if (!alive(ev)) return -DER_INVAL;
  std::lock_guard lock(events->mutex);
  EventPrivate& p = part(ev);
  if (p.children == 0) return -DER_INVAL;
  if (p.state != State::ready) return -DER_NO_PERM;
  const auto queue = find<Queue>({p.queue});
  if (p.children_running == 0) {
    p.state = State::completed;
    if (queue) queue->completed.push_back(ev);
    return 0;
  }
  p.state = State::running;
  p.barrier = true;
  if (queue) queue->running.push_back(ev);
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_event_abort(daos_event_t* ev) try {
  if (!alive(ev)) return -DER_INVAL;
  std::lock_guard lock(events->mutex);
  const State state = part(ev).state;
  return state == State::running || state == State::ended ? 0 : -DER_NO_PERM;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
