// Fuzzer of the tree's values and of saved sessions: what parses keeps the promises that its
// readers rely on. Input: a byte that chooses the record's kind (6: a session record, its
// key's length first; 7: one of flattened objects), then the value.
#include "base/check.h"
#include "base/testing/fuzz.h"
#include "vos/sessions.h"
#include "vos/value_format.h"

namespace {

using namespace cairn;
using namespace cairn::vos;
using cairn::testing::FuzzInput;

void check_data(const ValueView& v) {
  const auto data = parse_data(v);
  if (!data) return;
  const uint64_t blocks = data->block_count();
  CHECK(data->skip < kDataBlockBytes && data->runs.size() <= kRunsMax);
  CHECK(blocks == (data->skip + v.payload_bytes + kDataBlockBytes - 1) / kDataBlockBytes);
  CHECK(v.checksums_apart ? data->crcs.empty() : data->crcs.size() == blocks);
  if (blocks == 0) return;
  CHECK(data->block_at(0) == data->runs.front().block);
  const media::Extent& last = data->runs.back();
  CHECK(data->block_at(blocks - 1) == last.block + last.count - 1);
}

void check_inlined(const ValueView& v, FuzzInput& in) {
  Bytes whole(v.payload_bytes);
  copy_inlined(v, 0, whole);
  if (v.payload_bytes == 0) return;
  const uint64_t begin = in.u16() % v.payload_bytes;
  Bytes part(v.payload_bytes - begin);
  copy_inlined(v, begin, part);
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + static_cast<ptrdiff_t>(begin)));
}

void value(Kind kind, FuzzInput in) {
  const ByteView bytes = in.rest();
  const auto v = parse_value(kind, bytes);
  if (!v) return;
  CHECK(epoch_of(bytes) == v->epoch);
  FuzzInput again(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (v->form == Form::data) check_data(*v);
  const bool payload = kind == Kind::name || kind == Kind::single || kind == Kind::extent;
  if (payload && (v->form == Form::inlined || v->form == Form::packed)) check_inlined(*v, again);
  if (kind == Kind::extent && v->record_bytes != 0) {
    CHECK(v->payload_bytes / v->record_bytes == v->count);
  }
}

/// Those of flattened objects, of their extents, and policies: what parses says the same after it
/// was written.
void flat_records(ByteView bytes) {
  Bytes again;
  if (const auto flat = parse_flat(bytes)) {
    put_flat(again, *flat);
    const auto same = parse_flat(again);
    CHECK(same && same->place == flat->place && same->epoch == flat->epoch);
    CHECK(as_chars(same->taken) == as_chars(flat->taken));
    CHECK(flat->taken.empty() ||
          flat->is_taken(static_cast<uint32_t>(
              8 * flat->taken.size() - 1 -
              static_cast<size_t>(std::countl_zero(static_cast<uint8_t>(flat->taken.back()))))));
  }
  if (const auto pack = parse_pack(bytes)) {
    put_pack(again, 1, *pack);
    const auto same = parse_pack(again);
    CHECK(same && same->blocks == pack->blocks && same->objects == pack->objects);
  }
  if (const auto policy = parse_policy(bytes)) {
    CHECK(check_worm_policy(*policy));
    put_policy(again, 1, *policy);
    const auto same = parse_policy(again);
    CHECK(same && *same == *policy);
  }
}

void session(FuzzInput in) {
  Sessions sessions;
  const ByteView key = in.chunk();
  if (!sessions.load(key, in.rest())) return;
  // What was loaded can be saved.
  index::Batch batch;
  sessions.saved(sessions.save(batch, 5, kSessionsMax));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzInput in(data, size);
  const uint8_t choice = in.u8() % 8;
  if (choice == 7) {
    flat_records(in.rest());
  } else if (choice > static_cast<uint8_t>(Kind::touched)) {
    session(in);
  } else {
    value(static_cast<Kind>(choice), in);
  }
  return 0;
}

cairn::testing::FuzzSeeds fuzz_seeds() {
  testing::FuzzSeeds seeds;
  const auto add = [&seeds](Kind kind, const Bytes& value) {
    seeds.push_back({static_cast<std::byte>(kind)});
    testing::append(seeds.back(), value);
  };
  Bytes out;
  Bytes inode(kPackedBytes);
  inode[3] = inode[70] = std::byte{9};
  const BlockData blocks{.runs = {{100, 2}, {900, 1}}, .skip = 100, .crcs = {1, 2, 3}};
  put_touched(out, 7), add(Kind::touched, out), out.clear();
  put_present(out, 7, model::ValueType::array, 8), add(Kind::present, out), out.clear();
  put_inlined(out, 7, inode), add(Kind::single, out), out.clear();
  put_inlined(out, 7, as_bytes("some text")), add(Kind::name, out), out.clear();
  put_data(out, 7, 9'000, blocks), add(Kind::single, out), out.clear();
  put_extent_inlined(out, 7, {.count = 3, .record_bytes = 3, .joined = true},
                     as_bytes("9 letters"));
  add(Kind::extent, out), out.clear();
  put_extent_data(out, 7, {.count = 1'125, .record_bytes = 8}, blocks), add(Kind::extent, out);
  out.clear();
  const uint32_t crcs[] = {5, 6, 7};
  put_checksums(out, 7, crcs), add(Kind::checksums, out), out.clear();
  const std::byte taken[] = {std::byte{0}, std::byte{5}};
  put_flat(out, {7, {1'000, 4'096, 777, 99}, taken});
  add(static_cast<Kind>(7), out), out.clear();
  put_pack(out, 7, {.blocks = 9, .objects = 3, .bytes = 4'000});
  add(static_cast<Kind>(7), out), out.clear();
  put_policy(out, 7, {.compress = true, .cold_after_s = 3'600, .seal = {1'000, "me@here"}});
  add(static_cast<Kind>(7), out), out.clear();

  Sessions sessions;
  sessions.open(77);
  (void)sessions.begin(77, 1, 0);
  sessions.committed(77, 1, 1'000);
  index::Batch batch;
  sessions.saved(sessions.save(batch, 5, 10));
  for (const index::Batch::Op& op : batch.ops()) {
    Bytes seed{std::byte{6}, static_cast<std::byte>(batch.key(op).size())};
    testing::append(seed, batch.key(op));
    testing::append(seed, batch.value(op));
    seeds.push_back(seed);
  }
  return seeds;
}
