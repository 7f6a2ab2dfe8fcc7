// MachineHost: what the services ask about engines of other machines. Siblings never include each
// other: whoever builds the process implements this (cmd/embed). Home: the services' reactor.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "wire/control.h"

namespace cairn::service {

class MachineHost {
 public:
  virtual ~MachineHost() = default;
  /// Machines may join: whoever asks is given the secret.
  virtual bool joinable() const = 0;
  /// What the system's own show to each other over networks.
  virtual Bytes secret() const = 0;
  virtual const Uuid& system() const = 0;
  /// Engines of the machine with the services: ranks from 0 on. And targets of every engine.
  virtual uint32_t own_engines() const = 0;
  virtual uint32_t target_count() const = 0;
  /// Before any machine is given ranks: from now on, for ever, this machine can have no more
  /// engines of its own. Durable on return. @error no_space, no_perm, io
  virtual Result<void> prepare() = 0;
  /// The machine belongs to the system from now on: its engines are expected. Once for each.
  virtual void admit(const wire::Machine& machine) = 0;
  /// What the machine's server says about its engines. @returns what it shall do
  /// @error busy  another process of this machine has reported just now
  virtual Result<std::vector<wire::MachineOrder>> report(const wire::Machine& machine) = 0;
};

}  // namespace cairn::service
