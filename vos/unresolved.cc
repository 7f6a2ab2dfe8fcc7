#include "vos/unresolved.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::vos {

StandingTx* Unresolved::find(TxId id) {
  const auto found = txs_.find(id);
  return found == txs_.end() ? nullptr : &found->second;
}

bool Unresolved::lists(ByteView key, model::Epoch epoch) const {
  return std::any_of(txs_.begin(), txs_.end(), [&](const auto& entry) {
    const StandingTx& tx = entry.second;
    return tx.epoch == epoch &&
           std::find(tx.keys.begin(), tx.keys.end(), as_chars(key)) != tx.keys.end();
  });
}

bool Unresolved::any(ContNumber container) const {
  const Key prefix = range_prefix(container, Range::live);
  const std::string_view wanted = as_chars(prefix.view());
  const auto found = taken_.lower_bound(wanted);
  return found != taken_.end() && found->first.starts_with(wanted);
}

const StandingTx* Unresolved::seen_at(ContNumber container, model::Epoch epoch) const {
  const Key prefix = range_prefix(container, Range::pending);
  const std::string_view wanted = as_chars(prefix.view());
  for (const auto& [id, tx] : txs_) {
    const bool counts = tx.state == TxState::committed || epoch != model::kEpochMax;
    if (!counts || tx.epoch > epoch) continue;
    const bool here = std::any_of(tx.keys.begin(), tx.keys.end(), [wanted](const std::string& key) {
      return std::string_view(key).starts_with(wanted);
    });
    if (here) return &tx;
  }
  return nullptr;
}

StandingTx& Unresolved::add(TxId id, model::Epoch epoch, TxState state) {
  const auto [it, added] = txs_.try_emplace(id);
  CHECK(added);
  it->second.id = id;
  it->second.epoch = epoch;
  it->second.state = state;
  return it->second;
}

Result<void> Unresolved::add_key(StandingTx& tx, std::string key) {
  TRY(parsed, parse_key(as_bytes(key)));
  if (parsed.range != Range::pending) return fail(Errc::checksum, "entry: not a pending key");
  const KeyPath path({parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
  Key prefix = path.object();
  if (!parsed.dkey.none) prefix = path.dkey(parsed.dkey);
  if (!parsed.akey.none) prefix = path.akey(prefix, parsed.akey);
  // The name of a dkey comes with records of its akeys, which say more.
  const bool is_name = parsed.kind == Kind::name;
  const auto [first, last] = taken_.equal_range(as_chars(prefix.view()));
  bool known = is_name;
  for (auto it = first; it != last; ++it) known = known || it->second == &tx;
  if (!known) taken_.emplace(as_chars(prefix.view()), &tx);
  tx.keys.push_back(std::move(key));
  ++records_;
  return {};
}

void Unresolved::remove(TxId id) {
  const auto found = txs_.find(id);
  CHECK(found != txs_.end());
  std::erase_if(taken_, [&](const auto& taken) { return taken.second == &found->second; });
  records_ -= found->second.keys.size();
  txs_.erase(found);
}

const StandingTx* Unresolved::meets_prefix(const Key& prefix, bool below, Intent intent) const {
  const std::string_view wanted = as_chars(prefix.view());
  for (auto it = taken_.lower_bound(wanted); it != taken_.end(); ++it) {
    const bool inside = below ? it->first.starts_with(wanted) : it->first == wanted;
    if (!inside) break;
    if (intent == Intent::change || it->second->state == TxState::committed) return it->second;
  }
  return nullptr;
}

const StandingTx* Unresolved::meets(const KeyRange& range, Intent intent) const {
  if (taken_.empty()) return nullptr;
  const StandingTx* met = meets_prefix(range.prefix(), true, intent);
  if (met == nullptr && range.level != Level::object) {
    met = meets_prefix(range.object, false, intent);
  }
  if (met == nullptr && range.level == Level::akey) met = meets_prefix(range.dkey, false, intent);
  return met;
}

}  // namespace cairn::vos
