#include "vos/key_format.h"

#include <gtest/gtest.h>

#include <string>

#include "runtime/random.h"

namespace cairn::vos {
namespace {

std::string hex(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += kDigits[static_cast<uint8_t>(b) >> 4];
    out += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return out;
}

ObjectPath object_of_type(uint8_t type, ContNumber container = 1) {
  return {container,
          {0x1122334455667788, uint64_t{type} << 56 | 0x0001'0000'0000'0000 | 999'999'937},
          0};
}

uint64_t seed() {
  const char* text = getenv("CAIRN_TEST_SEED");
  return text != nullptr ? strtoull(text, nullptr, 10) : 1;
}

TEST(KeyFormat, Keys_have_the_documented_bytes) {
  // Goal: a change of the key format is seen. Method: golden bytes of one key of each kind.
  const KeyPath path(object_of_type(0));
  const auto dkey = path.dkey(as_bytes("d"));
  ASSERT_TRUE(dkey);
  const auto akey = path.akey(*dkey, as_bytes(std::string_view("a\0b", 3)));
  ASSERT_TRUE(akey);
  const std::string object =
      "00000001"
      "01"
      "1122334455667788"
      "00010000"
      "00000001"
      "00";
  EXPECT_EQ(hex(path.object()), object);
  EXPECT_EQ(hex(*akey), object + "640001" + "6100ff620001");
  EXPECT_EQ(hex(record_key(*akey, Kind::single)), object +
                                                      "640001"
                                                      "6100ff620001"
                                                      "02");
  EXPECT_EQ(hex(extent_key(*akey, 0x1234)), object +
                                                "640001"
                                                "6100ff620001"
                                                "03"
                                                "f91234");
  EXPECT_EQ(hex(checksums_key(*akey, 16, 2)), object +
                                                  "640001"
                                                  "6100ff620001"
                                                  "04"
                                                  "1002");
  EXPECT_EQ(hex(dkey_name_key(*dkey)), object +
                                           "640001"
                                           "0000"
                                           "00");
  EXPECT_EQ(hex(touched_key(path.object())), object +
                                                 "0000"
                                                 "0000"
                                                 "05");
  EXPECT_EQ(hex(marker_key(*dkey, Level::dkey, 0x10)),
            "00000001"
            "04"
            "1122334455667788"
            "00010000"
            "00000001"
            "00"
            "640001"
            "0000"
            "ffffffffffffffef");
  EXPECT_EQ(hex(history_key(record_key(*akey, Kind::single), 0xABCD)),
            "00000001"
            "03"
            "000000000000abcd"
            "1122334455667788"
            "00010000"
            "00000001"
            "00"
            "640001"
            "6100ff620001"
            "02");
  EXPECT_EQ(hex(snapshot_key(1, 0x1234)),
            "00000001"
            "06"
            "0000000000001234");
  EXPECT_EQ(hex(session_key(7, 1)),
            "00000000"
            "05"
            "0000000000000007"
            "01");
}

TEST(KeyFormat, Keys_of_policies_have_the_documented_bytes) {
  EXPECT_EQ(hex(policy_key(1)),
            "00000001"
            "09"
            "01");
  EXPECT_EQ(*parse_policy_key(policy_key(1)), 1u);
  EXPECT_FALSE(parse_policy_key(policy_key(0))) << "the shard's own container has none";
  EXPECT_FALSE(parse_policy_key(policy_key(1).view().first(5)));
  EXPECT_FALSE(parse_policy_key(snapshot_key(1, 1)));
}

TEST(KeyFormat, Integer_keys_stand_in_numeric_order) {
  // Goal: a walk over integer dkeys is ascending. Method: compare encodings of neighbours and
  // extremes.
  const KeyPath path(object_of_type(2));
  Key before;
  for (const uint64_t n : {uint64_t{0}, uint64_t{1}, uint64_t{247}, uint64_t{248}, uint64_t{255},
                           uint64_t{256}, uint64_t{300}, uint64_t{1} << 40, ~uint64_t{0}}) {
    std::byte le[8];
    store_le64(le, n);
    const auto key = path.dkey(ByteView(le));
    ASSERT_TRUE(key);
    if (before.size() != 0) {
      EXPECT_LT(as_chars(before), as_chars(*key)) << n;
    }
    before = *key;
  }
}

TEST(KeyFormat, Byte_keys_stand_in_byte_order_and_no_key_is_another_ones_prefix) {
  // Goal: escape and terminator keep memcmp order. Method: random short keys over a small alphabet.
  SeededRandom random(seed());
  SCOPED_TRACE(seed());
  const KeyPath path(object_of_type(5));  // lexical dkeys
  for (int i = 0; i < 20'000; ++i) {
    std::string a, b;
    for (std::string* s : {&a, &b}) {
      for (uint64_t n = random.below(6); n > 0; --n)
        s->push_back(
            "\0\1\xff"
            "a"[random.below(4)]);
    }
    const Key ka = *path.dkey(as_bytes(a));
    const Key kb = *path.dkey(as_bytes(b));
    ASSERT_EQ(a < b, as_chars(ka) < as_chars(kb)) << hex(ka) << " " << hex(kb);
    if (a != b) {
      ASSERT_FALSE(as_chars(kb).starts_with(as_chars(ka)));
    }
  }
}

TEST(KeyFormat, Every_key_is_read_back_as_it_was_made) {
  // Goal: parse_key inverts the builders. Method: random objects, keys of each kind and length.
  SeededRandom random(seed());
  SCOPED_TRACE(seed());
  for (int i = 0; i < 20'000; ++i) {
    const auto type = static_cast<uint8_t>(random.below(16));
    ObjectPath object{static_cast<ContNumber>(random.next()),
                      {random.next(), (random.next() >> 8) | uint64_t{type} << 56},
                      static_cast<uint32_t>(random.below(1000))};
    const KeyPath path(object);
    const auto key_bytes = [&](model::KeyKind kind) {
      const uint64_t n = kind == model::KeyKind::integer   ? 8
                         : kind == model::KeyKind::lexical ? random.below(97)
                                                           : random.below(200);
      Bytes bytes(n);
      for (std::byte& b : bytes) b = static_cast<std::byte>(random.below(3) * 127);
      return bytes;
    };
    const Bytes d = key_bytes(path.dkey_kind());
    const Bytes a = key_bytes(path.akey_kind());
    const Key akey = *path.akey(*path.dkey(d), a);
    const uint64_t end = random.next();
    const auto parsed = parse_key(extent_key(akey, end));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->container, object.container);
    EXPECT_EQ(parsed->oid, object.oid);
    EXPECT_EQ(parsed->shard, object.shard);
    EXPECT_EQ(as_chars(parsed->dkey.view()), as_chars(component_of(path.dkey_kind(), d).view()));
    EXPECT_EQ(as_chars(parsed->akey.view()), as_chars(component_of(path.akey_kind(), a).view()));
    EXPECT_EQ(parsed->kind, Kind::extent);
    EXPECT_EQ(parsed->position, end);
    EXPECT_EQ(parsed->dkey.is_long(path.dkey_kind()),
              path.dkey_kind() == model::KeyKind::hashed && d.size() > 64);
    const model::Epoch slot = random.next();
    const Key older = history_key(extent_key(akey, end), slot);
    const auto in_slot = parse_key(older);
    ASSERT_TRUE(in_slot);
    EXPECT_EQ(in_slot->slot, slot);
    EXPECT_EQ(in_slot->oid, object.oid);
    EXPECT_EQ(in_slot->position, end);
    EXPECT_EQ(as_chars(live_form(older)), as_chars(extent_key(akey, end)));
    const auto levels = level_bytes(extent_key(akey, end));
    ASSERT_TRUE(levels);
    EXPECT_EQ(levels->object, path.object().size());
    EXPECT_EQ(levels->dkey, path.dkey(d)->size());
    EXPECT_EQ(levels->akey, akey.size());
    const auto marker = parse_key(marker_key(akey, Level::akey, slot));
    ASSERT_TRUE(marker);
    EXPECT_EQ(marker->epoch, slot);
  }
}

TEST(KeyFormat, Damaged_keys_are_refused_and_never_read_beyond_their_end) {
  // Goal: bytes from the medium are parsed. Method: truncate and mutate a valid key (sanitizers
  // watch).
  SeededRandom random(seed());
  SCOPED_TRACE(seed());
  const KeyPath path(object_of_type(0));
  const Key key =
      checksums_key(*path.akey(*path.dkey(as_bytes("dkey")), as_bytes("akey")), 70'000, 3);
  for (size_t n = 0; n < key.size(); ++n) {
    Bytes cut(key.view().begin(), key.view().begin() + static_cast<ptrdiff_t>(n));
    EXPECT_FALSE(parse_key(cut)) << n;
  }
  for (int i = 0; i < 50'000; ++i) {
    Bytes bytes(key.view().begin(), key.view().end());
    for (uint64_t n = 1 + random.below(3); n > 0; --n) {
      bytes[random.below(bytes.size())] = static_cast<std::byte>(random.next());
    }
    (void)parse_key(bytes);
  }
}

TEST(KeyFormat, Stored_keys_that_no_object_has_are_refused) {
  // Goal: what parses is what the same parts build again; the check relies on it. Method: a shard
  // number over 32 bits, and hashed components of lengths that none has.
  const ObjectPath object{7, {1, 0}, 3};
  for (const uint64_t shard : {uint64_t{UINT32_MAX}, uint64_t{UINT32_MAX} + 1}) {
    Key key;
    key.add(object_prefix(object, Range::live).view().first(kRangePrefixBytes + 16));
    key.add_ordered(shard);
    add_none(key);
    add_none(key);
    key.add(static_cast<uint8_t>(Kind::touched));
    EXPECT_EQ(parse_key(key).has_value(), shard == UINT32_MAX) << shard;
  }
  for (const size_t bytes : {64, 65, 79, 80, 81, 96}) {
    Key key;
    for (size_t i = 0; i < bytes; ++i) key.add('k');
    key.add(0);
    key.add(1);
    ByteView in = key;
    EXPECT_EQ(take_component(in, model::KeyKind::hashed).has_value(), bytes == 64 || bytes == 80)
        << bytes;
  }
}

TEST(KeyFormat, Keys_over_the_limits_are_refused) {
  // Goal: each limit of model/limits.h holds, at the limit and one above.
  EXPECT_TRUE(check_key(model::KeyKind::lexical, Bytes(96)));
  EXPECT_EQ(check_key(model::KeyKind::lexical, Bytes(97)).error().code(), Errc::key_too_big);
  EXPECT_TRUE(check_key(model::KeyKind::hashed, Bytes(model::kKeyBytesMax)));
  EXPECT_EQ(check_key(model::KeyKind::hashed, Bytes(model::kKeyBytesMax + 1)).error().code(),
            Errc::key_too_big);
  EXPECT_EQ(check_key(model::KeyKind::integer, Bytes(7)).error().code(), Errc::invalid);
}

TEST(KeyFormat, Ids_that_libdfs_allocates_one_after_another_are_neighbours) {
  // Goal: files made one after another stand together. Method: step as libdfs does, compare keys.
  uint32_t low = 12'345;
  Key before;
  for (int i = 0; i < 100; ++i, low += 999'999'937) {
    const Key key = object_prefix({1, {7, low}, 0}, Range::live);
    if (i > 0 && as_chars(key) > as_chars(before)) {
      EXPECT_EQ(load_be32(key.view().data() + 17) - load_be32(before.view().data() + 17), 1u);
    }
    before = key;
  }
}

}  // namespace
}  // namespace cairn::vos
