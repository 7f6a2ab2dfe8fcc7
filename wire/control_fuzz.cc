// Fuzzer of control messages, the protobuf codec below them: what parses encodes to bytes that
// parse and encode to the same again. Input: a byte that chooses the message, then its bytes.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "wire/control.h"
#include "wire/engine_admin.h"
#include "wire/proto_codec.h"

namespace {

using namespace cairn;
using namespace cairn::wire;

template <class M>
void parse(ByteView bytes) {
  const auto message = proto_decode<M>(bytes);
  if (!message) return;
  const Bytes once = proto_encode(*message);
  const auto again = proto_decode<M>(once);
  CHECK(again.has_value());
  CHECK(proto_encode(*again) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  testing::FuzzInput in(data, size);
  switch (in.u8() % 4) {
    case 0: parse<ControlRequest>(in.rest()); break;
    case 1: parse<ControlReply>(in.rest()); break;
    case 2: parse<AdminRequest>(in.rest()); break;
    default: parse<AdminReply>(in.rest()); break;
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  ControlRequest request;
  request.op = Op::cont_create;
  request.name = "tank";
  request.label = "docs";
  request.bytes = 1u << 30;
  request.pool_handle = 77;
  request.force = true;
  request.props = {
      {.number = 1, .integer = 5}, {.number = 2, .text = "words"}, {.number = 3, .raw = Bytes(3)}};
  request.attrs = {{.name = "a", .value = Bytes(2)}};
  request.names = {"x", "y"};
  request.machine = {.uuid = {{3}},
                     .name = "b",
                     .first_rank = 2,
                     .engine_count = 1,
                     .incarnation = 9,
                     .engines = {{.rank = 2, .addresses = {"tcp:127.0.0.1:9"}, .done = 4}}};
  seeds.push_back({std::byte{0}});
  testing::append(seeds.back(), proto_encode(request));
  ControlReply reply;
  reply.handle = 9;
  reply.pools.resize(1);
  reply.pools[0].label = "tank";
  reply.pools[0].data_total = 1u << 20;
  reply.pools[0].props = request.props;
  reply.conts.resize(2);
  reply.conts[1].uuid.bytes[5] = 7;
  reply.conts[1].handle_count = 3;
  reply.attrs = request.attrs;
  reply.machine = request.machine;
  reply.secret = Bytes(32);
  reply.orders = {{.rank = 2, .id = 5, .action = MachineAction::launch}};
  reply.worm = {.worm = {.inline_bytes_max = 300, .sealed_at = 9, .sealed_by = "me@here"},
                .seal_state = SealState::sealed,
                .progress = {.running = true, .flat = 3, .skipped = {0, 7}}};
  seeds.push_back({std::byte{1}});
  testing::append(seeds.back(), proto_encode(reply));
  AdminRequest asked;
  asked.verb = AdminVerb::open_pool;
  asked.targets = {{.rank = 1, .index = 2}};
  asked.handles = {{.index = 3, .generation = 4, .container = 5, .writable = true, .session = 6}};
  asked.body = Bytes(5);
  asked.worm = reply.worm.worm;
  seeds.push_back({std::byte{2}});
  testing::append(seeds.back(), proto_encode(asked));
  AdminReply answered;
  answered.rank = 2;
  answered.addresses = {"tcp:127.0.0.1:9"};
  answered.any = {1, 2, 3};
  answered.space.data_total = 7;
  answered.progress = reply.worm.progress;
  answered.devices = {{.path = "/dev/one", .roles = "meta", .total_bytes = 9, .free_bytes = 4}};
  seeds.push_back({std::byte{3}});
  testing::append(seeds.back(), proto_encode(answered));
  return seeds;
}
