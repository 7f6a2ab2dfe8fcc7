// make_pool: makes a pool in the home that CAIRN_HOME names. For tests that need nothing else of
// dmg.
#include <cstdio>
#include <cstdlib>

#include "client/home.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_pool LABEL MIB\n");
    return 2;
  }
  auto system = cairn::client::open_home({});
  if (!system) {
    std::fprintf(stderr, "make_pool: no home: %s\n", system.error().what());
    return 1;
  }
  const uint64_t bytes = std::strtoull(argv[2], nullptr, 10) << 20;
  auto pool = (*system)->context().run((*system)->pool_create({.label = argv[1], .bytes = bytes}));
  if (!pool) std::fprintf(stderr, "make_pool: %s\n", pool.error().what());
  const auto closed = (*system)->shutdown();
  return pool && closed ? 0 : 1;
}
