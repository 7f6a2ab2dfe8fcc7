// Fuzzer of what a peer of libfabric sends: heads of messages and openings of connections. What is
// read is written as the same bytes.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/testing/fuzz.h"
#include "fabric/ofi_message.h"

using namespace cairn;
using namespace cairn::fabric;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(size);
  std::ranges::copy(view_of(data, size), bytes.begin());
  if (size >= kOfiHeadBytes) {
    const U32le sum = crc32c(ByteView(bytes).first(offsetof(OfiHeadFormat, checksum)));
    std::memcpy(bytes.data() + offsetof(OfiHeadFormat, checksum), &sum, sizeof(sum));
  }
  if (const auto head = decode_ofi_head(bytes)) {
    const Bytes again = encode_ofi_head(*head);
    CHECK(std::ranges::equal(again, ByteView(bytes).first(kOfiHeadBytes)));
    CHECK(size == kOfiHeadBytes || head->body_bytes == size - kOfiHeadBytes);
  }
  if (const auto open = decode_ofi_open(bytes)) {
    CHECK(std::ranges::equal(encode_ofi_open(*open, 0), bytes));
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  const auto seed = [&seeds](const Bytes& bytes) {
    seeds.push_back(testing::seed_of(as_chars(bytes)));
  };
  Bytes call(kOfiHeadBytes + 5);
  put_ofi_head(call, {.kind = OfiKind::call, .connection = 7, .id = 1, .body_bytes = 5});
  seed(call);
  seed(encode_ofi_head({.kind = OfiKind::far_call,
                        .connection = 7,
                        .id = 2,
                        .body_bytes = 1u << 20,
                        .room_bytes = 100,
                        .body_address = 4096,
                        .body_key = 9,
                        .room_address = 8192,
                        .room_key = 10}));
  seed(encode_ofi_head({.kind = OfiKind::busy, .connection = 7, .id = 3, .wait_ms = 5}));
  seed(encode_ofi_head({.kind = OfiKind::waits, .connection = 7, .id = 3, .body_bytes = 5}));
  seed(encode_ofi_open({.ring = true, .provider = 1, .connection = 5, .name = Bytes(16)}, 0));
  seed(encode_ofi_open({.status = Errc::no_perm}, 0));
  return seeds;
}
