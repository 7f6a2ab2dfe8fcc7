// open_home() of programs that run the C libraries on a store in memory: no engine, nothing on
// disk. Links in place of cmd/embed.
#include <cstdlib>

#include "client/home.h"
#include "dfs/testing/fake_store.h"

namespace cairn::client {

Result<std::unique_ptr<System>> open_home(HomeOptions) {
  const char* const pool = std::getenv("FAKE_POOL");
  return std::make_unique<dfs::testing::FakeSystem>(pool == nullptr ? "tank" : pool);
}

}  // namespace cairn::client
