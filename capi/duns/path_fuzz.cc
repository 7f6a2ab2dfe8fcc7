// Fuzzer of the unified name space's texts: a link text that parses is written as one that parses
// to the same; the parts of a path are parts of it.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "capi/duns/parse.h"

namespace {

using namespace cairn;
using namespace cairn::capi;

void check_path(const std::optional<DirectPath>& path, std::string_view text) {
  if (!path) return;
  CHECK(!path->pool.empty() && text.find(path->pool) != text.npos);
  CHECK(path->container.empty() || text.find(path->container) != text.npos);
  CHECK(path->rest.empty() || (path->rest[0] == '/' && text.ends_with(path->rest)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_chars(view_of(data, size));
  check_path(parse_direct_path(text), text);
  check_path(parse_bare_path(text, true), text);
  check_path(parse_bare_path(text, false), text);
  check_path(parse_unchecked_path(text), text);
  (void)layout_by_name(text);
  const auto link = parse_link_text(text);
  if (!link) return 0;
  const auto again = parse_link_text(link_text(*link));
  CHECK(again && again->layout == link->layout && again->pool == link->pool &&
        again->container == link->container);
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (const char* text :
       {"daos://tank/docs/a/b", "DAOS://tank", "/tank/docs/x", "/mnt/tank/docs",
        "DAOS.POSIX://00112233-4455-6677-8899-aabbccddeeff/10112233-4455-6677-8899-aabbccddeeff",
        "daos://00112233-4455-6677-8899-aabbccddeeff/10112233-4455-6677-8899-aabbccddeeff/f"}) {
    seeds.push_back(testing::seed_of(std::string_view(text)));
  }
  return seeds;
}
