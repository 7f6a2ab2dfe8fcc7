#include "bench/client_side.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "bench/harness.h"
#include "client/home.h"

namespace cairn::bench {

void must(int rc, const char* what) {
  if (rc != 0) die(std::string(what) + " gives " + std::to_string(rc));
}

uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(name);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&name), bytes) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&name), &bytes) != 0) {
    die("no port is free");
  }
  ::close(fd);
  return ntohs(name.sin_port);
}

namespace {

// The home is opened here by our own static copy of the client, before and after libdaos has it.
std::unique_ptr<client::System> open_system(const std::string& home) {
  auto opened = client::open_home({.mode = client::HomeMode::embed, .path = home});
  if (!opened) die("cannot open the home: " + std::string(opened.error().what()));
  return std::move(*opened);
}

/// A server of the home that this process reaches over tcp;ofi_rxm.
void start_at_libfabric(const std::string& home) {
  const std::string at = "ofi+tcp;ofi_rxm://127.0.0.1:" + std::to_string(free_port());
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "daos_engine";
  const std::string command =
      "'" + program + "' --home '" + home + "' --background --stay --listen '" + at + "'";
  FILE* const said = popen(command.c_str(), "r");
  char line[256];
  // It says so when it serves, or ends without a word.
  if (said == nullptr || fgets(line, sizeof(line), said) == nullptr) die("no server at " + at);
  pclose(said);
  setenv("CAIRN_SERVER", at.c_str(), 1);
  setenv("CAIRN_TOKEN", (home + "/token").c_str(), 1);
}

}  // namespace

ClientSide::ClientSide(const std::string& directory, bool open_container, uint64_t pool_bytes,
                       Server server)
    : home_(directory + "/home"), server_(server) {
  if (server != Server::joined) {
    auto system = open_system(home_);
    auto made =
        system->context().run(system->pool_create({.label = kPoolLabel, .bytes = pool_bytes}));
    if (!made) die("cannot make the pool: " + std::string(made.error().what()));
    if (!system->shutdown()) die("the home does not close");
  }
  if (server != Server::joined) {
    setenv("CAIRN_HOME", home_.c_str(), 1);
    setenv("CAIRN_MODE", server == Server::none ? "embed" : "auto", 1);
  }
  if (server == Server::libfabric) start_at_libfabric(home_);
  must(daos_init(), "daos_init");
  running_ = true;
  if (!open_container) return;
  must(daos_pool_connect(kPoolLabel, nullptr, DAOS_PC_RW, &pool_, nullptr, nullptr),
       "daos_pool_connect");
  if (server != Server::joined) {
    must(daos_cont_create_with_label(pool_, kContLabel, nullptr, nullptr, nullptr),
         "daos_cont_create_with_label");
  }
  must(daos_cont_open(pool_, kContLabel, DAOS_COO_RW, &container_, nullptr, nullptr),
       "daos_cont_open");
}

ClientSide::~ClientSide() { close(); }

void ClientSide::close() {
  if (!running_) return;
  running_ = false;
  if (daos_handle_is_valid(container_)) must(daos_cont_close(container_, nullptr), "cont_close");
  if (daos_handle_is_valid(pool_)) must(daos_pool_disconnect(pool_, nullptr), "pool_disconnect");
  must(daos_fini(), "daos_fini");
  if (server_ == Server::joined) return;
  unsetenv("CAIRN_SERVER");
  unsetenv("CAIRN_TOKEN");
  if (server_ != Server::none && !client::stop_server(home_)) die("the server stays");
}

unsigned long long ClientSide::meta_bytes_after_close() {
  close();
  auto system = open_system(home_);
  auto pools = system->context().run(system->pool_list());
  if (!pools || pools->size() != 1) die("cannot list the pools");
  const unsigned long long bytes = pools->front().meta_used;
  if (!system->shutdown()) die("the home does not close");
  return bytes;
}

}  // namespace cairn::bench
