#include "cmd/embed/join_system.h"

#include <unistd.h>

#include "base/report.h"
#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_dir.h"
#include "cmd/embed/home_token.h"
#include "cmd/embed/local_engine.h"
#include "cmd/embed/machine_file.h"
#include "cmd/embed/service_link.h"
#include "model/limits.h"
#include "runtime/clock.h"
#include "runtime/context.h"
#include "runtime/io.h"
#include "runtime/random.h"

namespace cairn::embed {

namespace {

std::string host_name() {
  char name[256] = "localhost";
  if (gethostname(name, sizeof name - 1) != 0) return "localhost";
  return name;
}

Task<Result<wire::ControlReply>> ask_once(Reactor& reactor, const JoinOptions& options,
                                          wire::Machine machine) {
  ServiceLink link(reactor, options.addresses, options.token);
  wire::ControlRequest request;
  request.op = wire::Op::machine_join;
  request.machine = std::move(machine);
  auto reply = co_await link.ask(std::move(request));
  co_await link.close();
  co_return reply;
}

Result<HomeFile> file_of(const wire::ControlReply& reply, const JoinOptions& options) {
  const wire::Machine& machine = reply.machine;
  if (reply.uuid.is_nil() || machine.first_rank == 0 || machine.engine_count != options.engines ||
      machine.first_rank > model::kEnginesMax - options.engines) {
    return fail(Errc::protocol, "machine: the services' answer makes no sense");
  }
  return HomeFile{.uuid = reply.uuid,
                  .created_ns = system_clock().wall_ns(),
                  .target_count = options.targets,
                  .engine_count = options.engines,
                  .first_rank = machine.first_rank};
}

/// The file `home` comes last: before, the directories belong to nobody and are made anew.
Task<Result<void>> make(Reactor& reactor, const JoinOptions& options, HomeFile file) {
  std::vector<client::HomeDevice> devices = options.devices;
  for (client::HomeDevice& device : devices) device.engine += file.first_rank;
  for (uint32_t rank = file.first_rank; rank < file.end_rank(); ++rank) {
    CO_TRY(prepared, co_await prepare_engine(reactor, options.home, rank, file.uuid, devices));
  }
  co_return store_home(options.home, file);
}

}  // namespace

Result<HomeFile> join_system(JoinOptions options) {
  TRY(usable, prepare_home(options.home, true));
  TRY(lock, claim_home(options.home, HomeUse::embed, Takeover::if_idle));
  TRY(found, load_home(options.home));
  if (found) return fail(Errc::already, "machine: there is a home already");
  TRY(machine, update_machine(options.home, options.service));
  TRY(io, make_io_backend());
  Reactor reactor(system_clock(), system_random(), std::move(io));
  Context context(reactor);
  TRY(reply, context.run(ask_once(reactor, options,
                                  {.uuid = machine.uuid,
                                   .name = host_name(),
                                   .engine_count = options.engines,
                                   .target_count = options.targets})));
  TRY(file, file_of(reply, options));
  TRY(secret, token_of(reply.secret));
  TRY(stored, store_token(options.home, kSecretFile, secret));
  TRY(made, context.run(make(reactor, options, file)));
  return file;
}

}  // namespace cairn::embed
