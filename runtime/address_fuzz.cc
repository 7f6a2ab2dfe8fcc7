// Fuzzer of addresses as people write them: any text either is refused or prints as what parses to
// the same.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "runtime/address.h"

using namespace cairn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto address = parse_address(as_chars(view_of(data, size)));
  if (!address) return 0;
  CHECK(!address->host.empty());
  CHECK(address->host.find('\0') == std::string::npos);
  (void)is_numeric(*address);
  const auto again = parse_address(to_string(*address));
  CHECK(again.has_value());
  CHECK(*again == *address);
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (const char* text :
       {"unix:/run/cairn/agent.sock", "unix:@abstract", "tcp:127.0.0.1:7077", "tcp:[::1]:0",
        "tcp:[::ffff:1.2.3.4]:65535", "ofi+tcp;ofi_rxm://1.2.3.4:5", "ofi+shm://name",
        "tcp:host-3.example:80", "tcp:1.2.3:4", "tcp:::1:2"}) {
    seeds.push_back(testing::seed_of(std::string_view(text)));
  }
  return seeds;
}
