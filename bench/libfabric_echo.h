// A bare ping-pong over libfabric's RDM endpoints: what the provider alone takes. The peer of the
// net.libfabric cases.
#pragma once

#include <sys/types.h>

#include <memory>

namespace cairn::bench {

class LibfabricEcho {
 public:
  /// A child that takes and gives messages of so many bytes over `tcp;ofi_rxm` on loopback. Dies
  /// where libfabric is not installed.
  explicit LibfabricEcho(size_t bytes);
  ~LibfabricEcho();
  void round_trip();

 private:
  struct End;
  std::unique_ptr<End> end_;
  pid_t child_ = -1;
};

}  // namespace cairn::bench
