// Single values and an array as a program reads and writes them through the C API: our side of the
// client and net cases. One at a time, like ClientSide.
#pragma once

#include <daos.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "bench/client_side.h"

namespace cairn::bench {

/// Values of one size in one object, each a dkey of its own.
class ClientValues {
 public:
  ClientValues(const std::string& directory, size_t value_bytes, size_t in_flight,
               Server server = Server::none, daos_oclass_id_t object_class = OC_S1);
  ~ClientValues();

  /// One blocking call.
  void update(uint64_t key);
  void fetch(uint64_t key);
  /// False: the call failed or found nothing.
  bool try_fetch(uint64_t key);
  /// Keeps all operations in flight until `seconds` have passed and at least one of each is done;
  /// operations per second.
  double update_many(double seconds, const std::function<uint64_t()>& next_key);

 private:
  struct Operation;
  void update(Operation& o, uint64_t key, daos_event_t* event);

  ClientSide side_;
  daos_handle_t object_{}, queue_{};
  std::vector<std::unique_ptr<Operation>> operations_;
};

constexpr uint64_t kMiB = 1u << 20;

/// An array of bytes in chunks of a MiB.
class ClientArray {
 public:
  explicit ClientArray(const std::string& directory, Server server = Server::none);
  ~ClientArray();
  /// One MiB, blocking.
  void transfer(bool reading, uint64_t slot, std::byte* data);
  /// Keeps `depth` transfers of a MiB in flight over `slots` for `seconds`; MiB per second.
  double transfer_many(bool reading, uint64_t slots, size_t depth, double seconds, std::byte* data);

 private:
  struct Transfer;
  ClientSide side_;
  daos_handle_t array_{};
};

}  // namespace cairn::bench
