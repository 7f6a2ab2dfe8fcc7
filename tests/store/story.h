// The small alphabet of the exhaustive tests: what each letter does to a shard and to its model,
// and what a reader sees.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "tests/store/box.h"
#include "vos/testing/verify.h"

namespace cairn::tests::store {

enum class Letter : uint8_t {
  small,
  large,
  overwrite,
  punch,
  snapshot,
  destroy,
  checkpoint,
  evict
};
inline constexpr std::array kAlphabet{Letter::small,      Letter::large,    Letter::overwrite,
                                      Letter::punch,      Letter::snapshot, Letter::destroy,
                                      Letter::checkpoint, Letter::evict};
inline const char* name_of(Letter letter) {
  static constexpr const char* kNames[] = {"small",    "large",   "overwrite",  "punch",
                                           "snapshot", "destroy", "checkpoint", "evict"};
  return kNames[static_cast<size_t>(letter)];
}

/// Object 0 in container 1 is changed, object 1 in container 2 destroyed.
struct State {
  std::array<Object, 2> objects;
  std::vector<Object> snapshots;  // of container 1, in the order of their epochs: object 0
  Object& operator[](size_t i) { return objects[i]; }
  const Object& operator[](size_t i) const { return objects[i]; }
};
inline const std::array<vos::ObjectPath, 2>& paths() {
  static const std::array<vos::ObjectPath, 2> kPaths{
      {{1, {2, 0x0001'0001'0000'0000}, 0}, {2, {3, 0x0001'0001'0000'0000}, 0}}};
  return kPaths;
}

inline constexpr uint64_t kArrayRecords = 16;
inline constexpr uint64_t kRecordBytes = 1'000;

inline vos::testing::Op op_of(Letter letter, uint32_t stamp) {
  using model::ValueType;
  vos::testing::Op op;
  op.stamp = stamp;
  op.dkey = "d";
  switch (letter) {
    case Letter::small:
      op.iods.push_back({"small", ValueType::single, 100, 0, {}});
      break;
    case Letter::large:
      op.object = 1;
      op.iods.push_back({"large", ValueType::single, 20'000, 0, {}});
      break;
    case Letter::overwrite:
      op.iods.push_back({"array", ValueType::array, kRecordBytes, 0, {{3 + stamp % 4, 9}}});
      break;
    default:
      op.kind = vos::testing::Op::Kind::punch;
      op.level = vos::PunchRequest::Level::dkey;
  }
  return op;
}

inline bool changes(Letter letter) {
  return letter != Letter::checkpoint && letter != Letter::evict;
}

inline void apply(State& state, Letter letter, uint32_t stamp) {
  if (!changes(letter)) return;
  if (letter == Letter::destroy) {
    state[1].clear();
    return;
  }
  if (letter == Letter::snapshot) {
    state.snapshots.push_back(state[0]);
    return;
  }
  const auto op = op_of(letter, stamp);
  CHECK(vos::testing::apply_op(state[op.object], op).empty());
}

/// As the owner of the shards does it. A freeze that another one has ended begins anew. No two get
/// one epoch.
inline Task<Result<void>> take_snapshot(vos::Shard& shard, uint32_t stamp) {
  for (;;) {
    CO_TRY(newest, co_await shard.freeze_container(1));
    const auto added = co_await shard.add_snapshot(1, newest + stamp);
    const Errc code = added ? Errc::ok : added.error().code();
    if (code != Errc::timed_out && code != Errc::invalid) co_return added;
  }
}

/// @returns the epoch at which a change stands in the order of its container's, if it has one; else
/// 0
inline Task<Result<model::Epoch>> perform(vos::Shard& shard, Letter letter, uint32_t stamp) {
  if (letter == Letter::destroy) {
    CO_TRY(done, co_await shard.destroy_container(2));
    co_return model::Epoch{0};
  }
  if (letter == Letter::snapshot) {
    CO_TRY(done, co_await take_snapshot(shard, stamp));
    co_return model::Epoch{0};  // it may lie below that of an earlier change elsewhere
  }
  if (letter == Letter::checkpoint) {
    CO_TRY(done, co_await shard.checkpoint());
    co_return model::Epoch{0};
  }
  if (letter == Letter::evict) {
    CO_TRY(done, co_await shard.store().evict_all());
    co_return model::Epoch{0};
  }
  const auto op = op_of(letter, stamp);
  co_return co_await vos::testing::execute(shard, paths()[op.object], op);
}

// What readers see. Texts, so that they compare and print.

inline std::string text_of(const std::string& akey, uint64_t record_bytes, ByteView room) {
  return akey + ":" + std::to_string(record_bytes) + ":" + std::to_string(crc32c(room)) + " ";
}

inline Bytes array_room() { return Bytes(kArrayRecords * kRecordBytes, std::byte{0xEE}); }

inline Task<Result<std::string>> fetched_text(vos::Shard& shard, size_t object, std::string dkey,
                                              std::vector<std::string> akeys,
                                              model::Epoch epoch = model::kEpochMax) {
  vos::FetchRequest request{.object = paths()[object], .dkey = as_bytes(dkey), .epoch = epoch};
  std::vector<Bytes> rooms;
  for (const std::string& akey : akeys) {
    const bool array = akey == "array";
    rooms.push_back(array ? array_room() : Bytes(20'000, std::byte{0xEE}));
    model::Iod iod;
    iod.akey = as_bytes(akey);
    iod.type = array ? model::ValueType::array : model::ValueType::single;
    if (array) iod.record_bytes = kRecordBytes;
    if (array) iod.recxs.push_back({0, kArrayRecords});
    iod.buffer.push_back({rooms.back().data(), rooms.back().size()});
    request.iods.push_back(std::move(iod));
  }
  CO_TRY(fetched, co_await shard.fetch(request));
  std::string text;
  for (size_t i = 0; i < akeys.size(); ++i) {
    text += text_of(akeys[i], fetched.iods[i].record_bytes, rooms[i]);
  }
  co_return text;
}

inline std::string fetched_text(const State& state, size_t object, const std::string& dkey,
                                const std::vector<std::string>& akeys) {
  std::string text;
  const auto found = state[object].find(dkey);
  for (const std::string& akey : akeys) {
    Bytes room = akey == "array" ? array_room() : Bytes(20'000, std::byte{0xEE});
    uint64_t record_bytes = 0;
    if (found != state[object].end() && found->second.count(akey) != 0) {
      const vos::testing::Akey& value = found->second.at(akey);
      record_bytes = akey == "array" ? value.record_bytes : value.single_bytes;
      if (value.records.empty() && akey == "array") record_bytes = 0;
      for (uint64_t i = 0; i < value.single_bytes; ++i) {
        room[i] = vos::testing::byte_of(value.single_stamp, 0, i);
      }
      for (const auto& [record, stamp] : value.records) {
        for (uint64_t i = 0; i < kRecordBytes; ++i) {
          room[record * kRecordBytes + i] = vos::testing::byte_of(stamp, record, i);
        }
      }
    }
    text += text_of(akey, record_bytes, room);
  }
  return text;
}

inline Task<Result<std::string>> listed_text(vos::Shard& shard, size_t object,
                                             model::Epoch epoch = model::kEpochMax) {
  CO_TRY(keys, co_await vos::testing::list_keys(
                   {shard, epoch}, paths()[object],
                   {.what = model::ListRequest::What::dkeys, .count_max = 5, .bytes_max = 100}));
  std::sort(keys.begin(), keys.end());
  std::string text = "dkeys ";
  for (const std::string& key : keys) text += key + " ";
  co_return text;
}

inline std::string listed_text(const State& state, size_t object) {
  std::string text = "dkeys ";
  for (const auto& [key, akeys] : state[object]) text += key + " ";
  return text;
}

/// One call each that a reader makes beside the writers.
inline constexpr size_t kLooks = 4;
inline const std::vector<std::string>& akeys_of(size_t object) {
  static const std::vector<std::string> kAkeys[] = {{"array", "small"}, {"large"}};
  return kAkeys[object];
}
inline Task<Result<std::string>> look(vos::Shard& shard, size_t which) {
  if (which < 2) return fetched_text(shard, which, "d", akeys_of(which));
  return listed_text(shard, which - 2);
}
inline std::string look(const State& state, size_t which) {
  if (which < 2) return fetched_text(state, which, "d", akeys_of(which));
  return listed_text(state, which - 2);
}

/// Everything: listings of both levels, all values, and what each snapshot sees.
inline Task<Result<std::string>> full_text(vos::Shard& shard) {
  std::string text;
  for (size_t object = 0; object < 2; ++object) {
    CO_TRY(dkeys, co_await listed_text(shard, object));
    CO_TRY(akeys, co_await vos::testing::list_keys(shard, paths()[object],
                                                   {.what = model::ListRequest::What::akeys,
                                                    .dkey = as_bytes("d"),
                                                    .count_max = 5,
                                                    .bytes_max = 100}));
    std::sort(akeys.begin(), akeys.end());
    text += dkeys;
    for (const std::string& akey : akeys) text += akey + " ";
    CO_TRY(values, co_await fetched_text(shard, object, "d", akeys_of(object)));
    text += values;
  }
  for (const model::Epoch epoch : shard.snapshots(1)) {
    CO_TRY(dkeys, co_await listed_text(shard, 0, epoch));
    CO_TRY(values, co_await fetched_text(shard, 0, "d", akeys_of(0), epoch));
    text += "snapshot " + dkeys + values;
  }
  co_return text;
}

inline std::string full_text(const State& state) {
  std::string text;
  for (size_t object = 0; object < 2; ++object) {
    text += listed_text(state, object);
    const auto found = state[object].find("d");
    if (found != state[object].end()) {
      for (const auto& [akey, value] : found->second) text += akey + " ";
    }
    text += fetched_text(state, object, "d", akeys_of(object));
  }
  for (const Object& seen : state.snapshots) {
    const State then{{seen, {}}, {}};
    text += "snapshot " + listed_text(then, 0) + fetched_text(then, 0, "d", akeys_of(0));
  }
  return text;
}

}  // namespace cairn::tests::store
