// Fuzzer of the tree's keys: what parses is what the same parts build again, byte for byte, and
// callers' keys of any bytes build keys that parse to them. Input: a byte that chooses (even: a
// stored key, odd: a caller's object, dkey and akey), then its content.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "vos/key_format.h"

namespace {

using namespace cairn;
using namespace cairn::vos;
using cairn::testing::FuzzInput;

Key built_again(const ParsedKey& p) {
  const KeyPath path(ObjectPath{p.container, p.oid, static_cast<uint32_t>(p.shard)});
  Key key = path.object();
  if (p.range == Range::marker) {
    Key marker = path.akey(path.dkey(p.dkey), p.akey);
    Key out;
    out.add(marker.view().first(4));
    out.add(static_cast<uint8_t>(Range::marker));
    out.add(marker.view().subspan(kRangePrefixBytes));
    return out;
  }
  const Key prefix = path.akey(path.dkey(p.dkey), p.akey);
  if (p.kind == Kind::extent) return extent_key(prefix, p.position);
  if (p.kind == Kind::checksums) return checksums_key(prefix, p.position, p.chunk);
  return record_key(prefix, p.kind);
}

void stored(ByteView bytes) {
  (void)parse_tail(bytes);
  const auto parsed = parse_key(bytes);
  if (!parsed) return;
  if (parsed->range != Range::live && parsed->range != Range::marker) return;
  const Key again = built_again(*parsed);
  CHECK(as_chars(again) == as_chars(bytes));
}

void check_component(const Component& want, const Component& got) {
  CHECK(want.none == got.none && as_chars(want.view()) == as_chars(got.view()));
}

void callers(FuzzInput in) {
  ObjectPath object;
  object.container = in.u32();
  object.oid.lo = in.u64();
  object.oid.hi = in.u64();
  object.shard = in.u32();
  const uint64_t end = in.u64();
  const ByteView dkey = in.chunk();
  const ByteView akey = in.rest();
  const KeyPath path(object);
  const auto dkey_prefix = path.dkey(dkey);
  if (!dkey_prefix) return;
  const auto prefix = path.akey(*dkey_prefix, akey);
  if (!prefix) return;
  for (const Key& key : {extent_key(*prefix, end), record_key(*prefix, Kind::single)}) {
    const auto parsed = parse_key(key);
    CHECK(parsed.has_value());
    CHECK(parsed->container == object.container && parsed->oid == object.oid);
    CHECK(parsed->shard == object.shard);
    check_component(component_of(path.dkey_kind(), dkey), parsed->dkey);
    check_component(component_of(path.akey_kind(), akey), parsed->akey);
    CHECK(as_chars(key) < as_chars(after_prefix(*prefix)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, size);
  if (in.u8() % 2 == 0) {
    stored(in.rest());
  } else {
    callers(in);
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  const auto add = [&seeds](const Key& key) {
    Bytes seed{std::byte{0}};
    testing::append(seed, key);
    seeds.push_back(seed);
  };
  for (const uint8_t type : {0, 3, 5}) {
    const ObjectPath object{7, {0x1234, uint64_t{type} << 56 | 0x0001'0001'0000'0005}, 300};
    const KeyPath path(object);
    const Bytes number = testing::seed_of("\1\2\3\4\5\6\7\1");
    const auto name = [&number](model::KeyKind kind, std::string_view text) {
      return kind == model::KeyKind::integer ? ByteView(number) : as_bytes(text);
    };
    const auto dkey = path.dkey(name(path.dkey_kind(), std::string(70, 'k')));
    CHECK(dkey.has_value());
    const auto akey = path.akey(*dkey, name(path.akey_kind(), std::string_view("a\0b", 3)));
    CHECK(akey.has_value());
    add(extent_key(*akey, 1u << 20));
    add(checksums_key(*akey, 9, 2));
    add(record_key(*akey, Kind::single));
    add(dkey_name_key(*dkey));
    add(touched_key(path.object()));
    add(marker_key(*dkey, Level::dkey, 0x1234));
  }
  Bytes given(1 + 4 + 8 + 8 + 4 + 8, std::byte{1});
  testing::append(given, testing::seed_of(std::string_view("\4dkeyakey", 9)));
  seeds.push_back(given);
  return seeds;
}
