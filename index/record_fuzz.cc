// Fuzzer of log records: what parses encodes to a record that parses to the same.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "index/record_format.h"
#include "media/device.h"

namespace {

using namespace cairn;
using namespace cairn::index;

bool same(const RecordHeader& a, const RecordHeader& b) {
  return a.session == b.session && a.sequence == b.sequence && a.epoch == b.epoch &&
         a.minor_epoch == b.minor_epoch && a.kind == b.kind;
}

bool same(const Batch& a, const Batch& b) {
  if (a.op_count() != b.op_count() || a.data().size() != b.data().size()) return false;
  for (size_t i = 0; i < a.op_count(); ++i) {
    const Batch::Op& x = a.ops()[i];
    const Batch::Op& y = b.ops()[i];
    if (x.kind != y.kind || as_chars(a.key(x)) != as_chars(b.key(y)) ||
        as_chars(a.value(x)) != as_chars(b.value(y))) {
      return false;
    }
  }
  for (size_t i = 0; i < a.data().size(); ++i) {
    if (a.data()[i].extent.block != b.data()[i].extent.block ||
        a.data()[i].extent.count != b.data()[i].extent.count ||
        a.data()[i].digest != b.data()[i].digest ||
        a.data()[i].payload.size() != b.data()[i].payload.size()) {
      return false;
    }
  }
  return a.freed().size() == b.freed().size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Batch batch;
  const auto header = parse_record(view_of(data, size), batch);
  if (!header) return 0;
  for (const Batch::Op& op : batch.ops()) {
    CHECK(!batch.key(op).empty() && batch.key(op).size() <= kKeyBytesMax);
    const size_t value_bytes = batch.value(op).size();
    switch (op.kind) {
      case Batch::Op::Kind::put:
        CHECK(value_bytes >= kStampBytes && value_bytes <= kValueBytesMax);
        break;
      case Batch::Op::Kind::erase:
        CHECK(value_bytes == 0);
        break;
      case Batch::Op::Kind::move:  // its value is the other key
        CHECK(value_bytes != 0 && value_bytes <= kKeyBytesMax);
        break;
    }
  }
  Bytes again;
  encode_record(*header, batch, again, true);
  Batch second;
  const auto reparsed = parse_record(again, second);
  CHECK(reparsed.has_value());
  CHECK(same(*header, *reparsed) && same(batch, second));
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds(4);
  Batch batch;
  encode_record({}, batch, seeds[0]);
  Bytes value(24, std::byte{7});
  batch.put(as_bytes("container/object/one"), value);
  batch.put(as_bytes("container/object/two"), value);
  batch.erase(as_bytes("container/object/three"));
  encode_record({.session = 5, .sequence = 9, .epoch = 77, .kind = 1}, batch, seeds[1]);
  batch.publish({{.block = 300, .count = 17}, 0xABCD});
  batch.free({.block = 1u << 20, .count = 1});
  encode_record({.epoch = 78, .minor_epoch = 3}, batch, seeds[2]);
  const Bytes payload(media::kBlockBytes, std::byte{3});
  batch.publish({{.block = 7, .count = 1}, 0xEF, payload});
  encode_record({.epoch = 79}, batch, seeds[3], true);
  return seeds;
}
