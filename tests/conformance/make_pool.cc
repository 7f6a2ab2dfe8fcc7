// Makes a pool in the home that CAIRN_HOME names: `make_pool LABEL [MiB]`. The probes and the programs of
// tests/compat need one before they begin.
#include <cstdio>
#include <cstdlib>

#include "client/home.h"

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: make_pool LABEL [MiB]\n"), 2;
  auto opened = cairn::client::open_home({});
  if (!opened) return std::fprintf(stderr, "make_pool: %s\n", opened.error().what()), 1;
  cairn::client::System& system = **opened;
  const uint64_t mib = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1024;
  auto made = system.context().run(system.pool_create({.label = argv[1], .bytes = mib << 20}));
  if (!made) std::fprintf(stderr, "make_pool: %s\n", made.error().what());
  const auto closed = system.shutdown();
  if (!closed) std::fprintf(stderr, "make_pool: %s\n", closed.error().what());
  return made && closed ? 0 : 1;
}
