// daos_init(), daos_fini(), daos_reinit() and what they keep.
#include "capi/daos/library.h"

#include <pthread.h>

#include <new>
#include <string>

#include "base/report.h"
#include "capi/daos/event.h"
#include "client/home.h"

namespace cairn::capi {
namespace {

std::atomic<Library*> current{nullptr};
std::atomic<bool> forked{false};  // this is a child that has not called daos_reinit()
std::atomic<bool> fork_reported{false};

void on_fork_in_child() {
  Library* const inherited = current.load();
  if (inherited != nullptr && inherited->running.load() != nullptr) forked.store(true);
}

Result<std::unique_ptr<client::System>> open_system() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, on_fork_in_child); });
  return client::open_home({});
}

void close_handles(Library& lib, client::System& sys) {
  lib.handles.remove_all<TxHandle>();
  lib.handles.remove_all<TableHandle>();
  lib.handles.remove_all<KvHandle>();
  lib.handles.remove_all<ArrayHandle>();
  lib.handles.remove_all<ObjectHandle>();
  for (auto& handle : lib.handles.remove_all<ContHandle>()) {
    if (handle->opening->handles.fetch_sub(1) == 1) {
      (void)sys.context().run(handle->container()->close());
    }
  }
  for (auto& handle : lib.handles.remove_all<PoolHandle>()) {
    if (handle->connection->handles.fetch_sub(1) == 1) {
      (void)sys.context().run(handle->pool()->disconnect());
    }
  }
}

void report_fork() {
  if (fork_reported.exchange(true)) return;
  report(
      Severity::error,
      "this process was forked from one that uses libdaos, whose connections it cannot share; call "
      "daos_reinit() first");
}

}  // namespace

Library& library() {
  Library* lib = current.load(std::memory_order_acquire);
  if (lib != nullptr) return *lib;
  auto fresh = std::make_unique<Library>(0);
  if (current.compare_exchange_strong(lib, fresh.get())) return *fresh.release();
  return *lib;
}

int der_of(Errc code) {
  const int number = static_cast<int>(code);
  return number > static_cast<int>(Errc::unknown) ? -DER_MISC : -number;
}

Result<client::System*> system() {
  if (forked.load(std::memory_order_relaxed)) [[unlikely]] {
    report_fork();
    return fail(Errc::uninitialized, "libdaos: forked; call daos_reinit()");
  }
  Library* const lib = current.load(std::memory_order_acquire);
  client::System* const running = lib == nullptr ? nullptr : lib->running.load();
  if (running == nullptr) return fail(Errc::uninitialized, "libdaos: call daos_init() first");
  return running;
}

int initialized() {
  const auto running = system();
  return running ? 0 : der_of(running.error().code());
}

int no_handle() {
  const int rc = initialized();
  return rc != 0 ? rc : -DER_NO_HDL;
}

int refuse(std::string_view call, const Error& error) {
  report(Severity::warning, std::string(call) + ": " + error.what());
  return der_of(error.code());
}

Result<client::PoolPtr> pool_of(daos_handle_t poh) {
  TRY(running, system());
  const auto handle = find<PoolHandle>(poh);
  if (!handle) return fail(Errc::no_handle, "pool handle: unknown or closed");
  return handle->pool();
}

Result<client::ContainerPtr> container_of(daos_handle_t coh) {
  TRY(running, system());
  const auto handle = find<ContHandle>(coh);
  if (!handle) return fail(Errc::no_handle, "container handle: unknown or closed");
  return handle->container();
}

}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int daos_init(void) try {
  if (forked.load()) {
    report_fork();
    return -DER_UNINIT;
  }
  Library& lib = library();
  std::lock_guard lock(lib.mutex);
  if (lib.references == 0) {
    auto opened = open_system();
    if (!opened) return capi::der_of(opened.error().code());
    lib.system = std::move(*opened);
    lib.running.store(lib.system.get());
  }
  ++lib.references;
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_fini(void) try {
  if (forked.load()) {
    report_fork();
    return -DER_UNINIT;
  }
  Library& lib = library();
  std::lock_guard lock(lib.mutex);
  if (lib.references == 0) return -DER_UNINIT;
  if (--lib.references > 0) return 0;
  wait_for_events(lib.system->context());
  close_handles(lib, *lib.system);
  lib.running.store(nullptr);
  const auto done = lib.system->shutdown();
  lib.system.reset();
  remove_queues();
  return done ? 0 : capi::der_of(done.error().code());
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int daos_reinit(void) try {
  if (!forked.load()) {
    Library& lib = library();
    std::lock_guard lock(lib.mutex);
    return lib.references == 0 ? -DER_UNINIT : 0;
  }
  // What the parent owns stays as it is: its threads, rings and locks are not here.
  auto fresh = std::make_unique<Library>((library().forks + 1) & 0xff);
  auto opened = open_system();
  if (!opened) return capi::der_of(opened.error().code());
  forget_events_after_fork();
  fresh->references = 1;
  fresh->system = std::move(*opened);
  fresh->running.store(fresh->system.get());
  current.store(fresh.release());
  forked.store(false);
  fork_reported.store(false);
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
