// Fuzzer of what the control plane keeps: records of the config store with their checksum made
// right, the records inside them, and properties. Input: a byte that chooses, then the bytes.
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/testing/fuzz.h"
#include "service/config_format.h"
#include "service/props.h"
#include "service/records.h"
#include "wire/proto_codec.h"

namespace {

using namespace cairn;
using namespace cairn::service;

void config_value(ByteView raw, bool seal) {
  Bytes bytes = testing::seed_of(raw);
  if (seal && bytes.size() >= sizeof(ConfigHeader)) {
    ConfigHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    header.value_crc32c = crc32c(ByteView(bytes).subspan(sizeof header));
    std::memcpy(bytes.data(), &header, sizeof header);
  }
  const auto parsed = parse_config_value(bytes);
  if (!parsed) return;
  CHECK(parsed->extents.size() <= kConfigExtentsMax);
  if (parsed->extents.empty()) {
    CHECK(encode_config_value(parsed->modified, parsed->inline_value, {}) == bytes);
  }
}

template <class R>
void record(ByteView bytes) {
  const auto parsed = parse_record<R>(bytes);
  if (!parsed) return;
  const Bytes once = wire::proto_encode(*parsed);
  const auto again = parse_record<R>(once);
  CHECK(again.has_value());
  CHECK(wire::proto_encode(*again) == once);
  if constexpr (requires { parsed->props; }) {
    (void)check_pool_props(parsed->props, 1);
    (void)check_cont_props(parsed->props, 3);
    (void)check_cont_prop_changes(parsed->props, 1);
  }
}

void key(std::string_view text) {
  if (!text.starts_with(kHandlesPrefix)) return;
  const auto parsed = parse_session_key(text, kHandlesPrefix);
  // Digits of either case are read; only one is written.
  if (parsed) CHECK(handle_key(parsed->session, parsed->number).size() == text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  testing::FuzzInput in(data, size);
  switch (in.u8() % 9) {
    case 0:
      config_value(in.rest(), false);
      break;
    case 1:
      config_value(in.rest(), true);
      break;
    case 2:
      record<PoolRecord>(in.rest());
      break;
    case 3:
      record<ContRecord>(in.rest());
      break;
    case 4:
      record<OidRecord>(in.rest());
      break;
    case 5:
      record<HandleRecord>(in.rest());
      break;
    case 6:
      record<DoneRecord>(in.rest());
      break;
    case 8:
      record<MachineRecord>(in.rest());
      break;
    default:
      key(as_chars(in.rest()));
      break;
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  const auto add = [&seeds](uint8_t choice, const Bytes& bytes) {
    seeds.push_back({static_cast<std::byte>(choice)});
    testing::append(seeds.back(), bytes);
  };
  add(0, encode_config_value(5, as_bytes("a value"), {}));
  add(1, encode_config_value(6, as_bytes("another"), {}));
  add(0,
      encode_config_value(7, Bytes(9'000), {{.block = 8, .count = 2}, {.block = 90, .count = 1}}));
  PoolRecord pool;
  pool.state = State::ready;
  pool.label = "tank";
  pool.meta_bytes = 1u << 24;
  pool.props = {{.number = prop::kPoolLabel, .text = "tank"},
                {.number = prop::kPoolRedunFac, .integer = 1}};
  add(2, wire::proto_encode(pool));
  ContRecord cont;
  cont.state = State::ready;
  cont.number = 4;
  cont.label = "docs";
  cont.props = {{.number = prop::kContLabel, .text = "docs"},
                {.number = 0x1002, .integer = 1},
                {.number = 0x1011, .raw = Bytes(64)}};
  add(3, wire::proto_encode(cont));
  cont.seal = {.state = wire::SealState::sealing, .epoch = 9, .by = "me@here", .sequence = 3};
  cont.worm_told = true;
  add(3, wire::proto_encode(cont));
  add(4, wire::proto_encode(OidRecord{.next = 300}));
  HandleRecord handle;
  handle.kind = HandleKind::cont;
  handle.access = 2;
  handle.owner = 77;
  handle.io_generation = 9;
  add(5, wire::proto_encode(handle));
  add(6, wire::proto_encode(DoneRecord{.reply = Bytes(5)}));
  add(8, wire::proto_encode(MachineRecord{.name = "b", .first_rank = 2, .engine_count = 3}));
  const std::string name = handle_key(7, 8);
  add(7, Bytes(as_bytes(name).begin(), as_bytes(name).end()));
  return seeds;
}
