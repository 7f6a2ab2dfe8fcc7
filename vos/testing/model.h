// The naive twin of a shard for the tests of this folder: what a sequence of operations must leave
// behind, written from the interface's words alone. A value is named by the stamp of the operation
// that wrote it; its bytes follow from the stamp.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/endian.h"
#include "model/io.h"
#include "vos/shard.h"

namespace cairn::vos::testing {

using model::ValueType;
using Level = PunchRequest::Level;

/// Byte `at` of record (or value) `index` that the operation `stamp` wrote. What every other one
/// wrote repeats itself, so that it can be compressed.
inline std::byte byte_of(uint32_t stamp, uint64_t index, uint64_t at) {
  const uint64_t part = stamp % 2 == 0 ? at / 8 : at / 8 % 16;
  const uint64_t x = (stamp * 0x9E3779B97F4A7C15ull) ^ (index * 0xD1B54A32D192ED03ull) ^
                     (part * 0x2545F4914F6CDD1Dull);
  return static_cast<std::byte>((x >> (at % 8 * 8)) ^ (x >> 29));
}

inline void append_record(Bytes& out, uint32_t stamp, uint64_t index, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; ++i) out.push_back(byte_of(stamp, index, i));
}

/// What one akey holds. Arrays are kept record by record: the stamp of each, 0 for a hole.
struct Akey {
  ValueType type = ValueType::none;
  uint64_t single_bytes = 0;  // 0: no value
  uint32_t single_stamp = 0;
  uint64_t record_bytes = 0;  // 0: not known yet
  std::map<uint64_t, uint32_t> records;
};
using Dkey = std::map<std::string, Akey>;
using Object = std::map<std::string, Dkey>;

struct OpIod {
  std::string akey;
  ValueType type = ValueType::single;
  uint64_t record_bytes = 0;
  uint64_t flags = 0;
  model::Recxs recxs;
};

/// An update, or a punch of a level.
struct Op {
  enum class Kind : uint8_t { update, punch };
  Kind kind = Kind::update;
  size_t object = 0;  // which of the test's
  Level level = Level::dkey;
  std::string dkey;
  std::vector<OpIod> iods;  // punch of akeys: their names
  uint64_t flags = 0;
  uint32_t stamp = 0;
  Origin origin;

  bool whole_object() const { return kind == Kind::punch && level == Level::object; }
};

using Errors = std::set<Errc>;

inline void apply_iod(Akey& akey, const OpIod& iod, uint32_t stamp) {
  akey.type = iod.type;
  if (iod.type == ValueType::single) {
    akey.single_bytes = iod.record_bytes;
    akey.single_stamp = stamp;
    return;
  }
  if (iod.record_bytes != 0) akey.record_bytes = iod.record_bytes;
  for (const model::Recx& r : iod.recxs) {
    akey.records.erase(akey.records.lower_bound(r.index),
                       akey.records.lower_bound(r.index + r.count));
    if (iod.record_bytes == 0) continue;
    auto hint = akey.records.lower_bound(r.index);
    for (uint64_t i = 0; i < r.count; ++i) {
      hint = std::next(akey.records.emplace_hint(hint, r.index + i, stamp));
    }
  }
}

/// The errors that an update has to meet, in no order; it changes nothing then.
inline Errors update_errors(const Object& object, const Op& op) {
  Errors errors;
  const auto dkey = object.find(op.dkey);
  const bool there = dkey != object.end();
  if ((op.flags & model::cond::kDkeyUpdate) != 0) {
    if (!there) errors.insert(Errc::nonexistent);
  } else if ((op.flags & model::cond::kDkeyInsert) != 0 && there) {
    errors.insert(Errc::exists);
  }
  std::set<std::string> names;
  for (const OpIod& iod : op.iods) {
    if (!names.insert(iod.akey).second) errors.insert(Errc::no_perm);
    const Akey* akey = nullptr;
    if (there && dkey->second.count(iod.akey) != 0) akey = &dkey->second.at(iod.akey);
    const uint64_t flags = (op.flags & model::cond::kPerAkey) != 0 ? iod.flags : op.flags;
    if ((flags & model::cond::kAkeyUpdate) != 0) {
      if (akey == nullptr) errors.insert(Errc::nonexistent);
    } else if ((flags & model::cond::kAkeyInsert) != 0 && akey != nullptr) {
      errors.insert(Errc::exists);
    }
    if (akey == nullptr) continue;
    if (akey->type != iod.type) errors.insert(Errc::no_perm);
    if (iod.type == ValueType::array && iod.record_bytes != 0 && akey->record_bytes != 0 &&
        iod.record_bytes != akey->record_bytes) {
      errors.insert(Errc::invalid);
    }
  }
  return errors;
}

inline Errors apply_punch(Object& object, const Op& op) {
  if (op.level == Level::object) {
    object.clear();
    return {};
  }
  const bool conditional = (op.flags & model::cond::kPunch) != 0;
  const auto dkey = object.find(op.dkey);
  if (op.level == Level::dkey) {
    if (conditional && dkey == object.end()) return {Errc::nonexistent};
    object.erase(op.dkey);
    return {};
  }
  for (const OpIod& iod : op.iods) {
    const bool there = dkey != object.end() && dkey->second.count(iod.akey) != 0;
    if (conditional && !there) return {Errc::nonexistent};
  }
  if (dkey == object.end()) return {};
  for (const OpIod& iod : op.iods) dkey->second.erase(iod.akey);
  if (dkey->second.empty()) object.erase(dkey);
  return {};
}

/// Does it to the model. @returns the errors that may be answered; none: it was done
inline Errors apply_op(Object& object, const Op& op) {
  if (op.kind == Op::Kind::punch) return apply_punch(object, op);
  Errors errors = update_errors(object, op);
  if (!errors.empty()) return errors;
  for (const OpIod& iod : op.iods) apply_iod(object[op.dkey][iod.akey], iod, op.stamp);
  return {};
}

/// What an iod of an update sends.
inline Bytes payload_of(const OpIod& iod, uint32_t stamp) {
  Bytes out;
  if (iod.record_bytes == 0) return out;
  if (iod.type == ValueType::single) {
    append_record(out, stamp, 0, iod.record_bytes);
    return out;
  }
  for (const model::Recx& r : iod.recxs) {
    for (uint64_t i = 0; i < r.count; ++i) {
      append_record(out, stamp, r.index + i, iod.record_bytes);
    }
  }
  return out;
}

/// Cuts a buffer into pieces of odd lengths, as a caller may.
inline IoVecs scattered(Bytes& bytes) {
  if (bytes.empty()) return {};
  const size_t cut = bytes.size() / 3;
  if (cut == 0) return {{bytes.data(), bytes.size()}};
  return {{bytes.data(), cut}, {bytes.data() + cut, bytes.size() - cut}};
}

/// Sends it to a shard. `op` and `path` outlive the task.
inline Task<Result<model::Epoch>> execute(Shard& shard, const ObjectPath& path, const Op& op) {
  if (op.kind == Op::Kind::punch) {
    PunchRequest request{.object = path, .level = op.level, .dkey = as_bytes(op.dkey)};
    for (const OpIod& iod : op.iods) request.akeys.push_back(as_bytes(iod.akey));
    request.flags = op.flags;
    request.origin = op.origin;
    co_return co_await shard.punch(request);
  }
  UpdateRequest request{.object = path, .dkey = as_bytes(op.dkey)};
  std::vector<Bytes> payloads;
  for (const OpIod& iod : op.iods) payloads.push_back(payload_of(iod, op.stamp));
  for (size_t i = 0; i < op.iods.size(); ++i) {
    const OpIod& iod = op.iods[i];
    request.iods.push_back({as_bytes(iod.akey), iod.type, iod.record_bytes, iod.flags, iod.recxs,
                            scattered(payloads[i]), false});
  }
  request.flags = op.flags;
  request.origin = op.origin;
  co_return co_await shard.update(request);
}

/// How a key is printed in a failure.
inline std::string shown(const std::string& key) {
  std::string out;
  for (const char c : key.substr(0, 12)) out += c >= 32 && c < 127 ? c : '?';
  return out + "/" + std::to_string(key.size());
}

inline std::string shown(const Op& op) {
  std::string out = op.kind == Op::Kind::update
                        ? "update"
                        : "punch of level " + std::to_string(static_cast<int>(op.level));
  out += " of object " + std::to_string(op.object) + " dkey " + shown(op.dkey);
  for (const OpIod& iod : op.iods) {
    out += ", " + shown(iod.akey) + " type " + std::to_string(static_cast<int>(iod.type)) +
           " record " + std::to_string(iod.record_bytes);
    for (size_t i = 0; i < std::min<size_t>(iod.recxs.size(), 6); ++i) {
      out += " " + std::to_string(iod.recxs[i].index) + "+" + std::to_string(iod.recxs[i].count);
    }
  }
  return out;
}

}  // namespace cairn::vos::testing
