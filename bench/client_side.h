// Our side of the client and file cases: a home of its own below the case's directory with one pool
// and one container, opened by libdaos in this process or by its server. One at a time.
#pragma once

#include <daos.h>

#include <cstdint>
#include <string>

namespace cairn::bench {

inline constexpr const char* kPoolLabel = "bench";
inline constexpr const char* kContLabel = "bench";

/// Who works on the home: this process, a server that others could share, one that is reached over
/// tcp;ofi_rxm, or that of a ServedHome, which made home, pool and container.
enum class Server { none, on_demand, libfabric, joined };

class ClientSide {
 public:
  /// Makes home and pool, then daos_init(). `open_container`: connect(), else the case does what it
  /// wants (libdfs). A pool of 8 GiB has a log of 256 MiB, as the store cases do. Server::joined:
  /// nothing is made.
  ClientSide(const std::string& directory, bool open_container, uint64_t pool_bytes = 8ull << 30,
             Server server = Server::none);
  ~ClientSide();

  daos_handle_t pool() const { return pool_; }
  daos_handle_t container() const { return container_; }

  /// Ends libdaos (with a checkpoint) and asks the home for the bytes of live metadata pages. The
  /// side is of no use afterwards.
  unsigned long long meta_bytes_after_close();

 private:
  void close();

  std::string home_;
  Server server_;
  bool running_ = false;
  daos_handle_t pool_{}, container_{};
};

/// Dies with the name of the call unless `rc` is 0.
void must(int rc, const char* what);

/// A TCP port that nobody had a moment ago.
uint16_t free_port();

}  // namespace cairn::bench
