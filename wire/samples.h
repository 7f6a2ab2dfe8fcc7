// One request of each kind and a reply to it, for the tests of this folder. Internal to wire/.
#pragma once

#include <string>

#include "wire/message.h"

namespace cairn::wire {

/// Owns what a request borrows.
struct Sample {
  std::string name;
  std::vector<Bytes> memory;
  Request request;
  Reply reply;
};

inline Bytes bytes_of_text(std::string_view text) {
  const ByteView view = as_bytes(text);
  return {view.begin(), view.end()};
}

inline Header sample_header() {
  Header h;
  h.flags = kFlagResend;
  h.features = 0x0102030405060708;
  for (uint8_t i = 0; i < 16; ++i) h.system.bytes[i] = static_cast<uint8_t>(0xA0 + i);
  h.sender_rank = 7;
  h.sender_incarnation = 0x1112131415161718;
  h.target = 3;
  h.target_incarnation = 0x2122232425262728;
  h.map_version = 0x31323334;
  h.placement_generation = 0x41424344;
  h.handle = {.index = 5, .generation = 9};
  h.session = 0x5152535455565758;
  h.sequence = 42;
  h.acknowledged_below = 40;
  h.remaining_ns = 1'000'000'000;
  h.hlc = 0x6162636465666768;
  h.epoch = 0x7172737475767778;
  h.minor_epoch = 0x8182;
  h.transaction_lo = 0x91;
  h.transaction_hi = 0x92;
  return h;
}

/// Gives the sample memory with this text.
inline ByteView keep(Sample& sample, std::string_view text) {
  sample.memory.push_back(bytes_of_text(text));
  return sample.memory.back();
}
inline IoVec keep_buffer(Sample& sample, std::string_view text) {
  sample.memory.push_back(bytes_of_text(text));
  return {sample.memory.back().data(), sample.memory.back().size()};
}

inline model::Iods sample_iods(Sample& sample) {
  model::Iods iods(3);
  iods[0].akey = keep(sample, "single");
  iods[0].type = model::ValueType::single;
  iods[0].record_bytes = 5;
  iods[0].flags = model::cond::kAkeyInsert;
  iods[0].buffer = {keep_buffer(sample, "hel"), keep_buffer(sample, "lo, and more than that")};
  iods[1].akey = keep(sample, "array");
  iods[1].type = model::ValueType::array;
  iods[1].record_bytes = 2;
  iods[1].recxs = {{.index = 10, .count = 3}, {.index = 1, .count = 1}};
  iods[1].buffer = {keep_buffer(sample, "aabbccdd")};
  iods[2].akey = keep(sample, "");
  iods[2].type = model::ValueType::array;
  iods[2].recxs = {{.index = 0, .count = uint64_t{1} << 40}};
  return iods;
}

/// Transactions, walks over objects and differences.
inline void add_versions_samples(std::vector<Sample>& all, const ObjectAddress& object) {
  all[8].name = "transact";
  all[8].request.body = ObjectTransact{
      .read_epoch = 0x0A0B0C0D0E0F,
      .ops = {ObjectUpdate{.object = object,
                           .flags = model::cond::kDkeyInsert,
                           .dkey = keep(all[8], "dkey"),
                           .iods = sample_iods(all[8])},
              ObjectPunch{.object = object,
                          .level = PunchLevel::dkey,
                          .dkey = keep(all[8], "gone")},
              ObjectUpdate{
                  .object = object, .dkey = keep(all[8], "also"), .iods = sample_iods(all[8])}},
      .reads = {{.object = object},
                {.object = object, .level = ReadLevel::dkey, .dkey = keep(all[8], "dkey")},
                {.object = object,
                 .level = ReadLevel::akey,
                 .dkey = keep(all[8], "dkey"),
                 .akey = keep(all[8], "akey")}}};

  all[9].name = "list_objects";
  all[9].request.body = ListObjects{.count_max = 5, .position = keep(all[9], "here")};
  all[9].reply.body = ListedObjects{
      .oids = {object.oid, {.lo = 7, .hi = 8}}, .position = bytes_of_text("there"), .eof = true};

  all[10].name = "diff";
  all[10].request.body = DiffSnapshots{
      .older = 0x0102030405, .newer = 0x0102030406, .count_max = 9, .position = keep(all[10], "p")};
  all[10].reply.body = Differences{
      .differences = {{.object = object,
                       .kind = Difference::Kind::removed,
                       .dkey = bytes_of_text("dkey"),
                       .akey = bytes_of_text("a")},
                      {.object = object, .kind = Difference::Kind::added}},
      .position = bytes_of_text("next")};

  all[11].name = "flatten";
  all[11].request.body =
      FlattenObjects{.limits = {.inline_bytes_max = 4096, .object_bytes_max = 0, .keys_max = 100},
                     .objects = {{.oid = object.oid, .shard = 2}, {.oid = {.lo = 7, .hi = 8}}}};
  all[11].reply.body = FlattenedObjects{
      .objects = {{.outcome = model::FlattenOutcome::flattened, .epoch = 99, .buffer_bytes = 4321},
                  {.outcome = model::FlattenOutcome::snapshot}}};
}

inline std::vector<Sample> samples() {
  const ObjectAddress object{.oid = {.lo = 0x1234, .hi = 0x0D00000000005678}, .shard = 2};
  std::vector<Sample> all(12);
  for (Sample& sample : all) {
    sample.memory.reserve(24);  // views into it stay
    sample.request.header = sample_header();
    sample.reply.header = sample_header();
  }
  all[0].name = "control";
  all[0].request.body = Control{.body = bytes_of_text("opaque")};
  all[0].reply.body = bytes_of_text("answer");

  all[1].name = "update";
  all[1].request.body = ObjectUpdate{.object = object,
                                     .flags = model::cond::kDkeyInsert | model::cond::kPerAkey,
                                     .dkey = keep(all[1], "dkey"),
                                     .iods = sample_iods(all[1])};

  all[2].name = "punch";
  all[2].request.body = ObjectPunch{.object = object,
                                    .level = PunchLevel::akeys,
                                    .flags = model::cond::kPunch,
                                    .dkey = keep(all[2], "dkey"),
                                    .akeys = {keep(all[2], "a"), keep(all[2], "bc")}};

  all[3].name = "fetch";
  all[3].request.body =
      ObjectFetch{.object = object, .dkey = keep(all[3], "dkey"), .iods = sample_iods(all[3])};
  all[3].reply.body = model::Fetched{
      .iods = {
          {.record_bytes = 5, .pieces = {{0, 5}}},
          {.record_bytes = 2, .pieces = {{0, 2}, {4, 4}}, .extents = {{10, 1}, {12, 1}, {1, 1}}},
          {}}};

  all[4].name = "list";
  all[4].request.body = ObjectList{.object = object,
                                   .request = {.what = model::ListRequest::What::recxs,
                                               .dkey = keep(all[4], "dkey"),
                                               .akey = keep(all[4], "akey"),
                                               .count_max = 10,
                                               .bytes_max = 100,
                                               .position = bytes_of_text("here"),
                                               .descending = true}};
  all[4].reply.body = model::Listed{.keys = bytes_of_text("onethree"),
                                    .lengths = {3, 5},
                                    .recxs = {{1, 2}, {5, 1}},
                                    .epochs = {77, 78},
                                    .record_bytes = 4,
                                    .eof = true,
                                    .position = bytes_of_text("there")};

  all[5].name = "query_key";
  all[5].request.body = ObjectQueryKey{.object = object,
                                       .request = {.max = true,
                                                   .want_dkey = true,
                                                   .want_recx = true,
                                                   .akey = 0xABCD,
                                                   .akey_bytes = keep(all[5], "0")}};
  all[5].reply.body = model::QueriedKey{
      .found = true, .dkey = 3, .akey = 4, .recx = {.index = 5, .count = 6}, .record_bytes = 7};
  all[6].name = "max_epoch";
  all[6].request.body = ObjectMaxEpoch{.object = object};
  all[7].name = "position_of";
  all[7].request.body = ObjectPositionOf{
      .object = object, .what = model::ListRequest::What::akeys, .key = keep(all[7], "key")};
  all[7].reply.body = bytes_of_text("position");

  add_versions_samples(all, object);
  return all;
}

}  // namespace cairn::wire
