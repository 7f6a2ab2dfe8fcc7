#include "cmd/embed/grow_home.h"

#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/machines.h"
#include "cmd/embed/storage.h"
#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/random.h"

namespace cairn::embed {

namespace {

/// The file `home` comes last: before, the new directories belong to nobody and are made anew.
Task<Result<void>> add_engines(Reactor& reactor, std::string home, HomeFile file,
                               uint32_t engine_count, std::vector<client::HomeDevice> devices) {
  for (uint32_t rank = file.engine_count; rank < engine_count; ++rank) {
    CO_TRY(prepared, co_await prepare_engine(reactor, home, rank, file.uuid, devices));
  }
  file.engine_count = engine_count;
  co_return store_home(home, file);
}

}  // namespace

Result<void> grow_home(const std::string& home, uint32_t engine_count,
                       std::vector<client::HomeDevice> devices) {
  TRY(lock, claim_home(home, HomeUse::embed, Takeover::if_idle));
  TRY(found, load_home(home));
  if (!found) return report_no_home(home);
  if (engine_count < found->engine_count || engine_count > kHomeEnginesMax) {
    report(Severity::error, home + ": has " + std::to_string(found->engine_count) +
                                " engines; it can get more, up to 64, but not lose any");
    return fail(Errc::invalid, "home: not that many engines");
  }
  if (access((home + "/" + kMachinesFile).c_str(), F_OK) == 0) {
    report(Severity::error, home +
                                ": other machines have joined, whose ranks follow; run another "
                                "daos_server for more engines, with directories and ports of "
                                "its own, and this one in its mgmt_svc_replicas");
    return fail(Errc::invalid, "home: the next ranks are those of other machines");
  }
  TRY(io, make_io_backend());
  Reactor reactor(system_clock(), system_random(), std::move(io));
  Context context(reactor);
  return context.run(add_engines(reactor, home, *found, engine_count, std::move(devices)));
}

}  // namespace cairn::embed
