// Machines: what the services' process knows of engines on other machines: where they are, what
// their machines last said of them, and what these shall do. A machine says so every second
// (cmd/engine/machine_server.h); one that is silent is away, and its engines may serve all the
// same. Home: the reactor given.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cmd/embed/home_format.h"
#include "cmd/embed/member_keeper.h"
#include "fabric/hello.h"
#include "runtime/address.h"
#include "runtime/reactor.h"
#include "service/machine_host.h"

namespace cairn::embed {

/// The file that says that a home's own engines can become no more.
inline constexpr const char* kMachinesFile = "machines";

struct MachinesOptions {
  std::string home;
  HomeFile file;
  fabric::Token secret{};
  bool joinable = false;
};

class Machines final : public service::MachineHost {
 public:
  struct Hooks {
    /// An engine belongs to the system from now on. In the order of ranks; before it, the launcher
    /// of the rank is there.
    std::function<void(uint32_t rank)> admitted;
    /// The machine's server has started anew: its engines come, whatever kept them away before.
    std::function<void(uint32_t rank)> restarted;
  };
  Machines(Reactor& reactor, MachinesOptions options);
  ~Machines() override;
  void set_hooks(Hooks hooks) { hooks_ = std::move(hooks); }

  bool joinable() const override { return options_.joinable; }
  Bytes secret() const override;
  const Uuid& system() const override { return options_.file.uuid; }
  uint32_t own_engines() const override { return options_.file.engine_count; }
  uint32_t target_count() const override { return options_.file.target_count; }
  Result<void> prepare() override;
  void admit(const wire::Machine& machine) override;
  Result<std::vector<wire::MachineOrder>> report(const wire::Machine& machine) override;

  /// As the machine last said. Empty: it is not known.
  std::vector<std::string> addresses(uint32_t rank) const;
  /// For AdminLink.
  Task<Result<std::vector<Address>>> where(uint32_t rank) const;
  /// Name of the machine. Precondition: the rank was admitted, as for launcher().
  const std::string& host(uint32_t rank) const;
  /// Starts and ends the engine's process by orders to its machine.
  Launcher& launcher(uint32_t rank);

 private:
  struct Host;
  class OrderLauncher;
  uint64_t next_order();

  Reactor& reactor_;
  const MachinesOptions options_;
  Hooks hooks_;
  std::map<Uuid, std::unique_ptr<Host>> hosts_;
  std::map<uint32_t, std::unique_ptr<OrderLauncher>> launchers_;  // by rank
};

}  // namespace cairn::embed
