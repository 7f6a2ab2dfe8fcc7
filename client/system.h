// Making a System from the parts that a process has; the implementation of client.h's interfaces.
// For cmd/embed (and later the connecting client): whoever puts client and transport together.
#pragma once

#include <functional>
#include <memory>

#include "client/client.h"
#include "client/rpc.h"
#include "fabric/transport.h"

namespace cairn::client {

struct SystemParts {
  Context* context = nullptr;              // borrowed from `graph`
  Rpc* rpc = nullptr;                      // borrowed from `graph`
  fabric::Endpoint service;                // who answers control requests
  /// Ends the process's graph; called once, by System::shutdown() or its destructor, outside the
  /// reactor.
  std::function<Result<void>()> shutdown;
  /// What all of it lives in; released after `shutdown`.
  std::shared_ptr<void> graph;
};

std::unique_ptr<System> make_system(SystemParts parts);

}  // namespace cairn::client
