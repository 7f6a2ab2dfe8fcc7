// Fuzzer of what people call things: labels, UUIDs, object classes. A text that is a label is found
// under that label; every name of a class leads back to it.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "model/label.h"
#include "model/oclass.h"

namespace {

using namespace cairn;
using namespace cairn::model;

void names(std::string_view text) {
  const bool label = check_label(text).has_value();
  const auto name = parse_name(text);
  if (label) {
    CHECK(name.has_value() && !name->uuid && name->label == text);
    CHECK(!text.empty() && text.size() <= 127);
  }
  if (name && name->uuid) {
    const auto again = parse_uuid(to_string(*name->uuid));
    CHECK(again && *again == *name->uuid);
  }
  const ClassId id = class_by_name(text);
  if (id == kClassUnknown) return;
  CHECK(class_of_id(id).has_value());
  const auto back = class_name(id);
  CHECK(back && class_by_name(*back) == id);
}

void object_class(testing::FuzzInput in) {
  OidRequest request;
  request.user = {in.u64(), in.u64()};
  request.type = in.u8();
  request.class_id = in.u32();
  request.hints = in.u16();
  const PoolShape shape{.domains = in.u8(), .targets = in.u16(), .redundancy_factor = in.u8()};
  (void)class_name(request.class_id);
  (void)class_of_object(request.user, shape);
  const auto oid = generate_oid(request, shape);
  if (!oid) return;
  CHECK(oid->type() == request.type && oid->lo == request.user.lo);
  CHECK(class_of_object(*oid, shape).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  testing::FuzzInput in(data, size);
  if (in.u8() % 2 == 0) {
    names(as_chars(in.rest()));
  } else {
    object_class(in);
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (const char* text : {"tank", "a.b_c:d-9", "00112233-4455-6677-8899-aabbccddeeff",
                           "container_label_not_set", "S1", "RP_2G7", "EC_4P2GX", "SX"}) {
    seeds.push_back({std::byte{0}});
    testing::append(seeds.back(), as_bytes(text));
  }
  Bytes request(1 + 16 + 1 + 4 + 2 + 4);
  request[0] = std::byte{1};
  request[9] = std::byte{7};
  request[20] = std::byte{1};  // class id 0x01000000 and so on
  request[24] = std::byte{1};
  request[25] = std::byte{8};
  seeds.push_back(request);
  return seeds;
}
