#include "engine/transact.h"

#include <tuple>

namespace cairn::engine {

namespace {

/// Whose part it is. Of another core's the target does not count, of another engine's nothing but
/// the rank.
struct PartKey {
  uint32_t rank = 0, core = 0, target = 0;
  bool is_at(const Seat& here) const { return rank == here.rank && core == here.core; }
  bool is_before(const Seat& here) const {
    return std::tie(rank, core) < std::tie(here.rank, here.core);
  }
  auto operator<=>(const PartKey&) const = default;
};

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

PartKey key_of(const wire::ObjectAddress& object, const Seat& here) {
  // Nobody has it: to be refused here.
  if (object.rank == here.rank && object.target >= here.map.targets) {
    return {here.rank, here.core, object.target};
  }
  const uint32_t core = here.core_of(object.rank, object.target);
  return {object.rank, core, here.has(object.rank, object.target) ? object.target : 0};
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
Result<void> make_parts(std::map<PartKey, size_t>& parts, const Seat& here,
                        const PoolShards& shards, WideTransaction& tx) {
  for (auto& [key, index] : parts) {
    if (key.is_before(here)) {
      return fail(Errc::stale_map, "engine: another engine decides about this transaction");
    }
    if (!key.is_at(here)) continue;
    const uint32_t target = key.target;
    vos::Shard* const shard = target < shards.size() ? shards[target] : nullptr;
    if (shard == nullptr) {
      return fail(Errc::nonexistent, "engine: the pool has no shard on a transaction's target");
    }
    index = tx.parts.size();
    tx.parts.push_back({.target = target, .shard = shard, .request = {}});
  }
  if (tx.parts.empty()) return fail(Errc::invalid, "engine: a transaction of nothing");
  for (auto& [key, index] : parts) {
    if (key.is_at(here)) continue;
    index = tx.parts.size() + tx.away.size();
    tx.away.push_back({.rank = key.rank, .core = key.core, .body = {.read_epoch = tx.read_epoch}});
  }
  return {};
}

}  // namespace

Result<CutTransaction> cut_transaction(wire::ObjectTransact& body, const Seat& here,
                                       const PoolShards& shards, vos::ContNumber container) {
  std::map<PartKey, size_t> parts;
  for (const wire::TransactOp& op : body.ops) parts[key_of(address_of(op), here)] = 0;
  for (const wire::TransactRead& read : body.reads) parts[key_of(read.object, here)] = 0;
  CutTransaction cut{.tx = {.container = container, .read_epoch = body.read_epoch}};
  WideTransaction& tx = cut.tx;
  TRY(made, make_parts(parts, here, shards, tx));
  for (wire::TransactOp& op : body.ops) {
    const size_t part = parts[key_of(address_of(op), here)];
    cut.part_of_op.push_back(part);
    if (part < tx.parts.size()) {
      tx.parts[part].request.ops.push_back(op_of(container, op));
    } else {
      tx.away[part - tx.parts.size()].body.ops.push_back(std::move(op));
    }
  }
  for (const wire::TransactRead& read : body.reads) {
    const size_t part = parts[key_of(read.object, here)];
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

CoreParts cut_by_core(wire::ObjectTransact& body, uint32_t rank, const CoreMap& map) {
  const Seat here{.rank = rank, .map = map};
  const auto core_of = [&here](const wire::ObjectAddress& object) {
    return here.core_of(object.rank, object.target);
  };
  CoreParts cut;
  for (wire::TransactOp& op : body.ops) {
    const uint32_t core = core_of(address_of(op));
    cut.core_of_op.push_back(core);
    cut.parts[core].ops.push_back(std::move(op));
  }
  for (const wire::TransactRead& read : body.reads) {
    cut.parts[core_of(read.object)].reads.push_back(read);
  }
  for (auto& [core, part] : cut.parts) part.read_epoch = body.read_epoch;
  return cut;
}

void give_back(CoreParts& from, wire::ObjectTransact& to) {
  std::map<uint32_t, size_t> next;
  for (size_t i = 0; i < to.ops.size(); ++i) {
    const uint32_t core = from.core_of_op[i];
    to.ops[i] = std::move(from.parts[core].ops[next[core]++]);
  }
}

}  // namespace cairn::engine
