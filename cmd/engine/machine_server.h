// MachineServer: the server of a machine whose engines belong to a system with its services
// elsewhere. It tells them every second what its engines do, and starts and ends their processes as
// they say. Without the services it leaves the engines as they are. Home: the thread that runs it,
// except where a member says "any thread".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cmd/embed/home_format.h"
#include "cmd/embed/home_lock.h"
#include "cmd/embed/launch_file.h"
#include "cmd/embed/machine_file.h"
#include "cmd/embed/service_link.h"
#include "cmd/engine/leaving.h"
#include "cmd/engine/process_launcher.h"
#include "runtime/context.h"

namespace cairn::engine_program {

struct MachineOptions {
  std::string home;         // empty: as client::HomeOptions::path
  std::string launch_path;  // the file `launch`
  embed::LaunchFile launch;
  bool insecure = false;  // clients over networks need no token
};

class MachineServer final : public Leaving {
 public:
  /// @error nonexistent  not a home of such a machine   @error busy  another server has it
  /// Others: embed::load_home(). Each with a line on stderr.
  static Result<std::unique_ptr<MachineServer>> open(MachineOptions options);
  ~MachineServer() override;

  /// Until it is time to go; then ends the engines. @param ready  called once when it works
  Result<void> run(std::function<void()> ready);
  void leave() override;
  const std::string& home() const { return options_.home; }

 private:
  struct Engine;
  MachineServer() = default;
  Result<void> prepare(MachineOptions options);
  LauncherOptions launcher_options(uint32_t rank) const;
  Task<Result<void>> serve();
  wire::Machine look() const;
  Task<void> report_once(wire::Machine now);
  void carry_out(const wire::MachineOrder& order);
  void note(const Result<wire::ControlReply>& reply);
  Task<void> end_engines();
  bool any_left() const;

  MachineOptions options_;
  embed::HomeFile file_;
  embed::HomeLock lock_;
  embed::MachineFile machine_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<embed::ServiceLink> services_;
  std::vector<std::unique_ptr<Engine>> engines_;  // in the order of ranks
  uint64_t incarnation_ = 0;
  bool leaving_ = false;
  std::string trouble_;  // with the services, as it was reported last; empty: there is none
};

}  // namespace cairn::engine_program
