// What updates and punches of a shard are told. Keys and buffers are borrowed.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "model/ids.h"
#include "model/io.h"

namespace cairn::vos {

/// Numbers containers inside one pool; never reused.
using ContNumber = uint32_t;

/// Names one object shard.
struct ObjectPath {
  ContNumber container = 0;
  model::ObjectId oid;
  uint32_t shard = 0;
};

/// Who asks, for exactly-once execution (store.md rule 13). session 0: no dedupe.
struct Origin {
  uint64_t session = 0;
  uint64_t sequence = 0;            // ascending per session, from 1
  uint64_t acknowledged_below = 0;  // every smaller sequence's answer has arrived
};

struct UpdateRequest {
  ObjectPath object;
  ByteView dkey;
  model::Iods iods;
  uint64_t flags = 0;      // model::cond
  model::Epoch epoch = 0;  // 0: the shard picks; else must be above the write floor
  Origin origin;
};

struct PunchRequest {
  enum class Level : uint8_t { object, dkey, akeys };
  ObjectPath object;
  Level level = Level::object;
  ByteView dkey;
  std::vector<ByteView> akeys;
  uint64_t flags = 0;  // only cond::kPunch matters, and not at object level
  model::Epoch epoch = 0;
  Origin origin;
};

}  // namespace cairn::vos
