// Fuzzer of the file that makes a directory a home, with its checksum made right half the time.
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/testing/fuzz.h"
#include "cmd/embed/home_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  using namespace cairn::embed;
  testing::FuzzInput in(data, size);
  const bool seal = in.u8() % 2 != 0;
  Bytes bytes = testing::seed_of(in.rest());
  if (seal && bytes.size() >= sizeof(HomeHeader)) {
    std::memcpy(bytes.data(), kHomeMagic.data(), kHomeMagic.size());
    store_le32(bytes.data() + offsetof(HomeHeader, checksum),
               crc32c(ByteView(bytes).first(offsetof(HomeHeader, checksum))));
  }
  const auto home = parse_home(bytes);
  if (!home) return 0;
  const auto again = encode_home(*home);
  CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  using namespace cairn;
  testing::FuzzSeeds seeds;
  for (const uint32_t engines : {1, 3}) {
    for (const uint32_t targets : {1, 4}) {
      const auto home = embed::encode_home({.uuid = {{1, 2, 3}},
                                            .created_ns = 1'800'000'000,
                                            .target_count = targets,
                                            .engine_count = engines});
      for (const uint8_t seal : {0, 1}) {
        seeds.push_back({static_cast<std::byte>(seal)});
        testing::append(seeds.back(), home);
      }
      seeds.push_back({std::byte{1}});
      testing::append(seeds.back(), embed::encode_home({.uuid = {{1, 2, 3}},
                                                        .created_ns = 1'800'000'000,
                                                        .target_count = targets,
                                                        .engine_count = engines,
                                                        .first_rank = 5}));
    }
  }
  return seeds;
}
