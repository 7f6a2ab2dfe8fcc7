// Compares what a shard answers with the model. Every function returns a text that names the first
// difference, empty if there is none, or the error that the shard gave.
#pragma once

#include "vos/testing/model.h"

namespace cairn::vos::testing {

using Verdict = Result<std::string>;

/// A shard, read at an epoch.
struct Reader {
  Reader(Shard& s, model::Epoch e = model::kEpochMax)  // NOLINT: a shard, read at an epoch
      : shard(&s), epoch(e) {}

  Task<Result<model::Listed>> list(const ObjectPath& path, const model::ListRequest& request) {
    return shard->list(path, request, epoch);
  }
  Task<Result<model::Fetched>> fetch(FetchRequest request) {
    request.epoch = epoch;
    co_return co_await shard->fetch(request);
  }

  Shard* shard;
  model::Epoch epoch;
};

/// All keys of a level, `count_max` a call and with as little room as that.
inline Task<Result<std::vector<std::string>>> list_keys(Reader shard, const ObjectPath& path,
                                                        model::ListRequest request) {
  std::vector<std::string> keys;
  for (size_t calls = 0; calls < 100'000; ++calls) {
    CO_TRY(listed, co_await shard.list(path, request));
    if (listed.too_small) {
      CHECK(listed.lengths.size() == 1 && listed.lengths[0] > request.bytes_max);
      CHECK(listed.position == request.position);
      request.bytes_max = listed.lengths[0];
      continue;
    }
    CHECK(listed.lengths.size() <= request.count_max && listed.keys.size() <= request.bytes_max);
    size_t at = 0;
    for (const uint64_t n : listed.lengths) {
      keys.emplace_back(as_chars(ByteView(listed.keys).subspan(at, n)));
      at += n;
    }
    if (listed.eof) co_return keys;
    request.position = listed.position;
  }
  co_return fail(Errc::misc, "test: the listing does not end");
}

template <class Map>
std::string compare_keys(std::vector<std::string> got, const Map& want, bool ordered) {
  if (ordered && !std::is_sorted(got.begin(), got.end())) return "listed keys are not in order";
  std::sort(got.begin(), got.end());
  for (size_t i = 1; i < got.size(); ++i) {
    if (got[i] == got[i - 1]) return "listed twice: " + shown(got[i]);
  }
  for (const std::string& key : got) {
    if (want.count(key) == 0) return "listed, but should be absent: " + shown(key);
  }
  for (const auto& [key, value] : want) {
    if (!std::binary_search(got.begin(), got.end(), key)) return "not listed: " + shown(key);
  }
  return {};
}

inline Task<Verdict> verify_single(Reader shard, const ObjectPath& path, const std::string& dkey,
                                   const std::string& name, const Akey& want) {
  const uint64_t bytes = want.type == ValueType::single ? want.single_bytes : 0;
  Bytes room(bytes + 7, std::byte{0xEE});
  FetchRequest request{.object = path, .dkey = as_bytes(dkey)};
  request.iods.push_back({as_bytes(name), ValueType::single, 0, 0, {}, scattered(room), false});
  CO_TRY(fetched, co_await shard.fetch(request));
  if (fetched.status == Errc::record_too_big) co_return std::string("single value is too long");
  if (fetched.iods[0].record_bytes != bytes) {
    co_return "single value of " + std::to_string(fetched.iods[0].record_bytes) +
        " bytes, wanted " + std::to_string(bytes);
  }
  Bytes wanted;
  append_record(wanted, want.single_stamp, 0, bytes);
  wanted.resize(bytes + 7, std::byte{0xEE});
  co_return room == wanted ? std::string() : "wrong bytes in a single value";
}

/// The listed extents, in both directions, hold exactly the records of the model.
inline Task<Verdict> verify_extents(Reader shard, const ObjectPath& path, const std::string& dkey,
                                    const std::string& name, const Akey& want, bool descending,
                                    uint32_t count_max) {
  model::ListRequest request{.what = model::ListRequest::What::recxs,
                             .dkey = as_bytes(dkey),
                             .akey = as_bytes(name),
                             .count_max = count_max,
                             .descending = descending};
  uint64_t records = 0;
  uint64_t border = descending ? UINT64_MAX : 0;
  for (size_t calls = 0;; ++calls) {
    if (calls > 200'000) co_return std::string("the extent listing does not end");
    CO_TRY(listed, co_await shard.list(path, request));
    if (listed.recxs.size() > count_max) co_return std::string("more extents than room");
    if (!listed.recxs.empty() && listed.record_bytes != want.record_bytes) {
      co_return std::string("wrong record size in an extent listing");
    }
    for (const model::Recx& r : listed.recxs) {
      if (r.count == 0) co_return std::string("an empty extent");
      if (descending ? r.index + r.count > border : r.index < border) {
        co_return std::string("extents overlap or are out of order");
      }
      border = descending ? r.index : r.index + r.count;
      auto at = want.records.find(r.index);
      for (uint64_t i = 0; i < r.count; ++i, ++at) {
        if (at == want.records.end() || at->first != r.index + i) {
          co_return "listed record is a hole: " + std::to_string(r.index + i);
        }
      }
      records += r.count;
    }
    if (listed.eof) break;
    request.position = listed.position;
  }
  if (records != want.records.size()) {
    co_return std::to_string(records) + " records listed, wanted " +
        std::to_string(want.records.size());
  }
  co_return std::string();
}

/// Records of [first, first + count), holes untouched.
inline Task<Verdict> verify_records(Reader shard, const ObjectPath& path, const std::string& dkey,
                                    const std::string& name, const Akey& want, uint64_t first,
                                    uint64_t count) {
  const uint64_t record = want.type == ValueType::array ? want.record_bytes : 0;
  Bytes room(count * std::max<uint64_t>(record, 1), std::byte{0xEE});
  Bytes wanted = room;
  uint64_t hits = 0;
  for (auto it = want.records.lower_bound(first);
       it != want.records.end() && it->first < first + count; ++it, ++hits) {
    for (uint64_t i = 0; i < record; ++i) {
      wanted[(it->first - first) * record + i] = byte_of(it->second, it->first, i);
    }
  }
  FetchRequest request{.object = path, .dkey = as_bytes(dkey)};
  request.iods.push_back(
      {as_bytes(name), ValueType::array, record, 0, {{first, count}}, scattered(room), false});
  CO_TRY(fetched, co_await shard.fetch(request));
  if (fetched.status != Errc::ok) co_return std::string("array fetch: unexpected status");
  if (fetched.iods[0].record_bytes != (hits == 0 ? 0 : record)) {
    co_return std::string("array fetch: wrong record size");
  }
  uint64_t got = 0, piece_bytes = 0;
  for (const model::Recx& r : fetched.iods[0].extents) got += r.count;
  for (const auto& piece : fetched.iods[0].pieces) piece_bytes += piece.bytes;
  if (got != hits || piece_bytes != hits * record) co_return std::string("array fetch: wrong map");
  co_return room == wanted ? std::string() : "wrong bytes in an array";
}

inline Task<Verdict> verify_akey(Reader shard, const ObjectPath& path, const std::string& dkey,
                                 const std::string& name, const Akey& want, uint32_t count_max) {
  CO_TRY(single, co_await verify_single(shard, path, dkey, name, want));
  if (!single.empty()) co_return single;
  CO_TRY(up, co_await verify_extents(shard, path, dkey, name, want, false, count_max));
  if (!up.empty()) co_return up;
  CO_TRY(down, co_await verify_extents(shard, path, dkey, name, want, true, count_max));
  if (!down.empty()) co_return "descending: " + down;
  uint64_t first = 0, count = 10;
  if (!want.records.empty()) {
    first = want.records.begin()->first;
    first -= std::min<uint64_t>(first, 2);
    count = want.records.rbegin()->first - first + 3;
  }
  co_return co_await verify_records(shard, path, dkey, name, want, first, count);
}

inline Task<Verdict> verify_dkey(Reader shard, const ObjectPath& path, const std::string& dkey,
                                 const Dkey& want, uint32_t count_max) {
  const bool ordered = model::akey_kind(path.oid.type()) == model::KeyKind::lexical;
  CO_TRY(keys, co_await list_keys(shard, path,
                                  {.what = model::ListRequest::What::akeys,
                                   .dkey = as_bytes(dkey),
                                   .count_max = count_max,
                                   .bytes_max = count_max * 16ull}));
  std::string difference = compare_keys(keys, want, ordered);
  for (auto it = want.begin(); difference.empty() && it != want.end(); ++it) {
    CO_TRY(verified, co_await verify_akey(shard, path, dkey, it->first, it->second, count_max));
    if (!verified.empty()) difference = "akey " + shown(it->first) + ": " + verified;
  }
  co_return difference;
}

/// The dkey as it stands in `want`, or its absence.
inline Task<Verdict> verify_dkey_of(Reader shard, const ObjectPath& path, const std::string& dkey,
                                    const Object& want, uint32_t count_max) {
  const auto found = want.find(dkey);
  static const Dkey kNone;
  co_return co_await verify_dkey(shard, path, dkey, found == want.end() ? kNone : found->second,
                                 count_max);
}

inline Task<Verdict> verify_object(Reader shard, const ObjectPath& path, const Object& want,
                                   uint32_t count_max) {
  const bool ordered = model::dkey_kind(path.oid.type()) == model::KeyKind::lexical;
  CO_TRY(keys, co_await list_keys(shard, path,
                                  {.what = model::ListRequest::What::dkeys,
                                   .count_max = count_max,
                                   .bytes_max = count_max * 16ull}));
  std::string difference = compare_keys(keys, want, ordered);
  for (auto it = want.begin(); difference.empty() && it != want.end(); ++it) {
    CO_TRY(verified, co_await verify_dkey(shard, path, it->first, it->second, count_max));
    if (!verified.empty()) difference = "dkey " + shown(it->first) + ": " + verified;
  }
  co_return difference;
}

}  // namespace cairn::vos::testing
