#include "engine/transact.h"

#include <map>

namespace cairn::engine {

namespace {

/// Whose part it is: rank and target; of another engine's the rank alone counts.
using PartKey = std::pair<uint32_t, uint32_t>;

vos::ObjectPath path_of(vos::ContNumber container, const wire::ObjectAddress& object) {
  return {.container = container, .oid = object.oid, .shard = object.shard};
}

vos::TxOp op_of(vos::ContNumber container, wire::TransactOp& op) {
  if (auto* const update = std::get_if<wire::ObjectUpdate>(&op)) {
    return vos::UpdateRequest{.object = path_of(container, update->object),
                              .dkey = update->dkey,
                              .iods = std::move(update->iods),
                              .flags = update->flags};
  }
  auto& punch = std::get<wire::ObjectPunch>(op);
  return vos::PunchRequest{.object = path_of(container, punch.object),
                           .level = static_cast<vos::PunchRequest::Level>(punch.level),
                           .dkey = punch.dkey,
                           .akeys = std::move(punch.akeys),
                           .flags = punch.flags};
}

const wire::ObjectAddress& address_of(const wire::TransactOp& op) {
  return std::visit([](const auto& one) -> const wire::ObjectAddress& { return one.object; }, op);
}

PartKey key_of(const wire::ObjectAddress& object, uint32_t rank) {
  return {object.rank, object.rank == rank ? object.target : 0};
}

vos::TxRead read_of(const wire::TransactRead& read, vos::ContNumber container,
                    model::Epoch epoch) {
  return {.object = path_of(container, read.object),
          .level = static_cast<vos::TxRead::Level>(read.level),
          .dkey = read.dkey,
          .akey = read.akey,
          .epoch = epoch};
}
static_assert(static_cast<int>(wire::ReadLevel::dkey) ==
              static_cast<int>(vos::TxRead::Level::dkey));
static_assert(static_cast<int>(wire::ReadLevel::akey) ==
              static_cast<int>(vos::TxRead::Level::akey));

/// Numbers the parts, and makes them.
Result<void> make_parts(std::map<PartKey, size_t>& parts, uint32_t rank, const PoolShards& shards,
                        WideTransaction& tx) {
  for (auto& [key, index] : parts) {
    const auto [of_rank, target] = key;
    if (of_rank < rank) {
      return fail(Errc::stale_map, "engine: another engine decides about this transaction");
    }
    if (of_rank > rank) continue;
    vos::Shard* const shard = target < shards.size() ? shards[target] : nullptr;
    if (shard == nullptr) {
      return fail(Errc::nonexistent, "engine: the pool has no shard on a transaction's target");
    }
    index = tx.parts.size();
    tx.parts.push_back({.target = target, .shard = shard, .request = {}});
  }
  if (tx.parts.empty()) return fail(Errc::invalid, "engine: a transaction of nothing");
  for (auto& [key, index] : parts) {
    if (key.first == rank) continue;
    index = tx.parts.size() + tx.away.size();
    tx.away.push_back({.rank = key.first, .body = {.read_epoch = tx.read_epoch}});
  }
  return {};
}

}  // namespace

Result<CutTransaction> cut_transaction(wire::ObjectTransact& body, uint32_t rank,
                                       const PoolShards& shards, vos::ContNumber container) {
  std::map<PartKey, size_t> parts;
  for (const wire::TransactOp& op : body.ops) parts[key_of(address_of(op), rank)] = 0;
  for (const wire::TransactRead& read : body.reads) parts[key_of(read.object, rank)] = 0;
  CutTransaction cut{.tx = {.container = container, .read_epoch = body.read_epoch}};
  WideTransaction& tx = cut.tx;
  TRY(made, make_parts(parts, rank, shards, tx));
  for (wire::TransactOp& op : body.ops) {
    const size_t part = parts[key_of(address_of(op), rank)];
    cut.part_of_op.push_back(part);
    if (part < tx.parts.size()) {
      tx.parts[part].request.ops.push_back(op_of(container, op));
    } else {
      tx.away[part - tx.parts.size()].body.ops.push_back(std::move(op));
    }
  }
  for (const wire::TransactRead& read : body.reads) {
    const size_t part = parts[key_of(read.object, rank)];
    if (part < tx.parts.size()) {
      tx.parts[part].request.reads.push_back(read_of(read, container, body.read_epoch));
    } else {
      tx.away[part - tx.parts.size()].body.reads.push_back(read);
    }
  }
  return cut;
}

void give_back(CutTransaction& from, wire::ObjectTransact& to) {
  WideTransaction& tx = from.tx;
  std::vector<size_t> next(tx.parts.size() + tx.away.size());
  for (size_t i = 0; i < to.ops.size(); ++i) {
    const size_t part = from.part_of_op[i];
    const size_t at = next[part]++;
    if (part >= tx.parts.size()) {
      to.ops[i] = std::move(tx.away[part - tx.parts.size()].body.ops[at]);
      continue;
    }
    vos::TxOp& op = tx.parts[part].request.ops[at];
    if (auto* const update = std::get_if<vos::UpdateRequest>(&op)) {
      std::get<wire::ObjectUpdate>(to.ops[i]).iods = std::move(update->iods);
    } else {
      std::get<wire::ObjectPunch>(to.ops[i]).akeys =
          std::move(std::get<vos::PunchRequest>(op).akeys);
    }
  }
}

}  // namespace cairn::engine
