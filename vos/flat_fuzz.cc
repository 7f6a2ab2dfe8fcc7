// Fuzzer of the buffers of flattened objects, and of packed values: what is accepted can be walked
// without a look beyond its end, every key is found where it stands, and encoding what it says
// gives the same bytes. The checksum is set right first. What is compressed is restored before,
// within its limit.
#include "base/check.h"
#include "base/crc32c.h"
#include "base/testing/fuzz.h"
#include "vos/flat_codec.h"
#include "vos/flat_format.h"
#include "vos/packed_format.h"

namespace {

using namespace cairn;
using namespace cairn::vos;

Bytes with_checksum(ByteView bytes) {
  Bytes out(bytes.begin(), bytes.end());
  constexpr size_t kAt = offsetof(FlatHeader, checksum);
  if (out.size() < sizeof(FlatHeader)) return out;
  store_le32(out.data() + kAt, 0);
  store_le32(out.data() + kAt, crc32c(out));
  return out;
}

FlatContent::Akey content_of(const FlatBuffer& flat, uint32_t i) {
  const FlatBuffer::Key key = flat.akey(i);
  FlatContent::Akey akey{
      key.key, {key.name.begin(), key.name.end()}, key.type, key.record_bytes, {}};
  for (uint32_t n = 0; n < key.count; ++n) {
    const FlatBuffer::Value value = flat.value(key.first + n, key);
    FlatContent::Value& out =
        akey.values.emplace_back(FlatContent::Value{value.begin, value.count, value.outside, {}});
    if (value.outside) continue;
    const ByteView payload = flat.payload(value);
    out.payload.assign(payload.begin(), payload.end());
  }
  return akey;
}

FlatContent content_of(const FlatBuffer& flat) {
  FlatContent content;
  content.object = flat.object();
  for (uint32_t i = 0; i < flat.dkey_count(); ++i) {
    const FlatBuffer::Key key = flat.dkey(i);
    CHECK(flat.dkey_at(key.key) == i);
    FlatContent::Dkey& dkey = content.dkeys.emplace_back(
        FlatContent::Dkey{key.key, {key.name.begin(), key.name.end()}, {}});
    for (uint32_t n = 0; n < key.count; ++n) {
      CHECK(flat.akey_at(key, flat.akey(key.first + n).key) == key.first + n);
      dkey.akeys.push_back(content_of(flat, key.first + n));
    }
  }
  return content;
}

Component component(model::KeyKind kind, std::string_view text) {
  return component_of(kind, as_bytes(text));
}

/// A packed value: what is accepted says the same after it was written.
void packed_value(ByteView bytes) {
  Bytes own(bytes.begin(), bytes.end());
  if (own.size() < sizeof(PackedHeader)) return;
  const uint64_t end = packed_bytes(load_le32(own.data() + 12) & 0xFFFF, load_le32(own.data() + 8));
  if (end > own.size()) {
    CHECK(!parse_packed_value(own));
    return;
  }
  store_le32(own.data() + 4, crc32c(ByteView(own).first(end).subspan(8)));
  const auto value = parse_packed_value(own);
  if (!value) return;
  Bytes again;
  put_packed_value(again, value->key, value->payload);
  CHECK(as_chars(again) == as_chars(ByteView(own).first(end)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  packed_value(view_of(data, size));
  Bytes bytes = with_checksum(view_of(data, size));
  if (const auto identity = identify_flat(bytes); identity && identity->compressed) {
    auto restored = FlatCodec().restore(std::move(bytes));
    if (!restored) return 0;
    CHECK(restored->size() <= kFlatObjectBytesMax);
    bytes = with_checksum(*restored);
  }
  const auto flat = FlatBuffer::parse(bytes);
  if (!flat) return 0;
  const Bytes again = encode_flat(content_of(*flat));
  CHECK(as_chars(again) == as_chars(bytes));
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  for (const uint8_t type : {0, 3, 5}) {
    const ObjectPath object{7, {0x1234, uint64_t{type} << 56 | 0x0001'0001'0000'0005}, 300};
    const model::KeyKind dkeys = model::dkey_kind(type);
    const model::KeyKind akeys = model::akey_kind(type);
    FlatContent content{object, {}};
    for (const std::string_view name : {"\1\2\3\4\5\6\7\1", "dkey-two"}) {
      FlatContent::Dkey dkey{component(dkeys, name), {}, {}};
      dkey.akeys.push_back({component(akeys, "akey-one"), {}, model::ValueType::array, 3, {}});
      dkey.akeys.back().values.push_back({5, 2, false, testing::seed_of("abcdef")});
      dkey.akeys.back().values.push_back({9, 4096, true, {}});
      dkey.akeys.push_back({component(akeys, "akey-two"), {}, model::ValueType::single, 0, {}});
      dkey.akeys.back().values.push_back({0, 4, false, testing::seed_of("wxyz")});
      dkey.akeys.push_back({component(akeys, "akey--no"), {}, model::ValueType::array, 0, {}});
      content.dkeys.push_back(std::move(dkey));
    }
    if (dkeys == model::KeyKind::hashed) {
      const std::string name(70, 'k');
      content.dkeys.push_back(
          {component(dkeys, name), testing::seed_of(name), content.dkeys.front().akeys});
    }
    if (type == 0) {  // something that shrinks
      content.dkeys.front().akeys.back().values.push_back({0, 500, false, Bytes(500)});
      content.dkeys.front().akeys.back().record_bytes = 1;
      seeds.push_back(FlatCodec().compress(encode_flat(content)));
    }
    seeds.push_back(encode_flat(std::move(content)));
  }
  const KeyPath path(ObjectPath{7, {0x1234, 0x0001'0001'0000'0005}, 300});
  const Key dkey = path.dkey(component(path.dkey_kind(), "dkey"));
  const Key akey = path.akey(dkey, component(path.akey_kind(), "akey"));
  put_packed_value(seeds.emplace_back(), record_key(akey, Kind::single), Bytes(300));
  return seeds;
}
