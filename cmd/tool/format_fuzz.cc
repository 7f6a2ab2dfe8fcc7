// Fuzzer of what people type: sizes, key:value pairs, lists of keys.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "cmd/tool/format.h"

namespace {

using namespace cairn;
using namespace cairn::tool;

void size(std::string_view text) {
  const auto bytes = parse_size(text);
  if (!bytes) return;
  CHECK(!text.empty() && text[0] >= '0' && text[0] <= '9');
  // A number of digits alone is itself.
  const bool plain = text.size() <= 15 && text.find_first_not_of("0123456789") == text.npos;
  if (plain) CHECK(*bytes == std::stoull(std::string(text)));
  // More digits behind the point never make it larger than the next whole number.
  const size_t point = text.find('.');
  const size_t end = text.find_first_not_of("0123456789.");
  if (point != text.npos && point <= 15 && end == text.npos) {
    CHECK(*bytes <= std::stoull(std::string(text.substr(0, point))) + 1);
  }
  CHECK(!si_bytes(*bytes).empty() && !iec_bytes(*bytes).empty());
}

void lists(std::string_view text) {
  std::string problem;
  const auto pairs = parse_pairs(text, &problem);
  CHECK(pairs.has_value() || !problem.empty());
  for (const std::string& key : parse_keys(text)) CHECK(key.size() <= text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  testing::FuzzInput in(data, bytes);
  if (in.u8() % 2 == 0) {
    size(as_chars(in.rest()));
  } else {
    lists(as_chars(in.rest()));
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (const char* text : {"1048576", "1.5 GiB", "20k", "3MB", "0.25TiB", "17e"}) {
    seeds.push_back({std::byte{0}});
    testing::append(seeds.back(), as_bytes(text));
  }
  for (const char* text : {"label:docs,rd_fac:1", "a:'b,c:d',\"e\\\"\":f", "one,two,three"}) {
    seeds.push_back({std::byte{1}});
    testing::append(seeds.back(), as_bytes(text));
  }
  return seeds;
}
