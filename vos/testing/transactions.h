// Transactions for the tests of this folder: built from the model's operations, and small ones over
// single values.
#pragma once

#include <deque>
#include <string>

#include "vos/testing/rig.h"

namespace cairn::vos::testing {

/// The request of several operations, with what it borrows. The operations outlive it.
class TxBuilder {
 public:
  void add(const ObjectPath& path, const Op& op) {
    if (op.kind == Op::Kind::punch) {
      PunchRequest punch{.object = path, .level = op.level, .dkey = as_bytes(op.dkey)};
      for (const OpIod& iod : op.iods) punch.akeys.push_back(as_bytes(iod.akey));
      punch.flags = op.flags;
      request.ops.push_back(std::move(punch));
      return;
    }
    UpdateRequest update{.object = path, .dkey = as_bytes(op.dkey)};
    for (const OpIod& iod : op.iods) {
      Bytes& payload = payloads_.emplace_back(payload_of(iod, op.stamp));
      update.iods.push_back({as_bytes(iod.akey), iod.type, iod.record_bytes, iod.flags, iod.recxs,
                             scattered(payload), false});
    }
    update.flags = op.flags;
    request.ops.push_back(std::move(update));
  }

  /// Puts a single value.
  void put(const ObjectPath& path, std::string dkey, std::string akey, std::string value,
           uint64_t flags = 0) {
    UpdateRequest update{.object = path, .dkey = keep(std::move(dkey)), .flags = flags};
    Bytes& payload = payloads_.emplace_back(as_bytes(value).begin(), as_bytes(value).end());
    update.iods.push_back({keep(std::move(akey)),
                           ValueType::single,
                           payload.size(),
                           0,
                           {},
                           {{payload.data(), payload.size()}},
                           false});
    request.ops.push_back(std::move(update));
  }
  void punch(const ObjectPath& path, Level level, std::string dkey = {}, std::string akey = {},
             uint64_t flags = 0) {
    PunchRequest punch{.object = path, .level = level, .dkey = keep(std::move(dkey))};
    if (level == Level::akeys) punch.akeys.push_back(keep(std::move(akey)));
    punch.flags = flags;
    request.ops.push_back(std::move(punch));
  }
  void read(const ObjectPath& path, TxRead::Level level, model::Epoch epoch, std::string dkey = {},
            std::string akey = {}) {
    request.reads.push_back({path, level, keep(std::move(dkey)), keep(std::move(akey)), epoch});
  }

  TransactRequest request;

 private:
  ByteView keep(std::string key) { return as_bytes(keys_.emplace_back(std::move(key))); }
  std::deque<Bytes> payloads_;
  std::deque<std::string> keys_;
};

/// A transaction of random operations, and what the model says of it.
struct RandomTx {
  explicit RandomTx(Rig& rig) : after(rig.books.objects) {
    for (uint64_t n = 1 + rig.generator.random().below(9); n > 0; --n) {
      ops.push_back(rig.generator.next());
      if (rig.generator.random().below(2) == 0) ops.back().flags = 0;
    }
    for (const Op& op : ops) {
      tx.add(rig.generator.paths()[op.object], op);
      errors.push_back(apply_op(after[op.object], op));
    }
  }
  /// Does the answer agree with the model?
  bool agrees(const Transacted& answer) const {
    if (answer.status == Errc::ok) {
      return std::all_of(errors.begin(), errors.end(), [](const Errors& e) { return e.empty(); });
    }
    return answer.failed_op < ops.size() && errors[answer.failed_op].contains(answer.status);
  }
  std::vector<Op> ops;
  TxBuilder tx;
  std::vector<Object> after;   // all of it done
  std::vector<Errors> errors;  // of each operation, after those before it
};

/// A single value of an akey; empty if absent. `epoch`: of a transactional fetch, in and out.
inline Task<Result<std::string>> read_single(Shard& shard, ObjectPath path, std::string dkey,
                                             std::string akey, model::Epoch* epoch = nullptr) {
  Bytes room(70'000);
  FetchRequest request{.object = path, .dkey = as_bytes(dkey)};
  request.iods.push_back(
      {as_bytes(akey), ValueType::single, 0, 0, {}, {{room.data(), room.size()}}, false});
  if (epoch != nullptr) {
    request.transactional = true;
    request.epoch = *epoch;
  }
  CO_TRY(fetched, co_await shard.fetch(request));
  if (epoch != nullptr) *epoch = fetched.epoch;
  co_return std::string(as_chars(ByteView(room).first(fetched.iods[0].record_bytes)));
}

inline Task<Result<model::Epoch>> put_single(Shard& shard, ObjectPath path, std::string dkey,
                                             std::string akey, std::string value,
                                             uint64_t flags = 0) {
  Bytes payload(as_bytes(value).begin(), as_bytes(value).end());
  UpdateRequest update{.object = path, .dkey = as_bytes(dkey), .flags = flags};
  update.iods.push_back({as_bytes(akey),
                         ValueType::single,
                         payload.size(),
                         0,
                         {},
                         {{payload.data(), payload.size()}},
                         false});
  co_return co_await shard.update(update);
}

}  // namespace cairn::vos::testing
