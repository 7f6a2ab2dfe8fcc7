#include "vos/history.h"

#include <algorithm>

#include "base/check.h"
#include "vos/markers.h"

namespace cairn::vos {

namespace {

bool below(const Snapshot& s, model::Epoch epoch) { return s.epoch < epoch; }

bool is_busy(const Snapshot& s) { return s.state != SnapshotState::alive; }

}  // namespace

const Snapshot* Snapshots::find(ContNumber container, model::Epoch epoch) const {
  const auto all = of(container);
  const auto at = std::lower_bound(all.begin(), all.end(), epoch, below);
  return at != all.end() && at->epoch == epoch ? &*at : nullptr;
}

model::Epoch Snapshots::newest_in(ContNumber container, model::Epoch begin,
                                  model::Epoch end) const {
  if (containers_.empty()) return 0;
  const auto all = of(container);
  for (auto at = std::lower_bound(all.begin(), all.end(), end, below); at != all.begin();) {
    --at;
    if (at->epoch < begin) break;
    if (at->state != SnapshotState::dying) return at->epoch;
  }
  return 0;
}

void Snapshots::set(ContNumber container, Snapshot snapshot) {
  CHECK(snapshot.epoch != 0);
  std::vector<Snapshot>& all = containers_[container];
  const auto at = std::lower_bound(all.begin(), all.end(), snapshot.epoch, below);
  if (at == all.end() || at->epoch != snapshot.epoch) {
    all.insert(at, snapshot);
  } else {
    busy_ -= is_busy(*at) ? 1 : 0;
    *at = snapshot;
  }
  busy_ += is_busy(snapshot) ? 1 : 0;
}

void Snapshots::erase(ContNumber container, model::Epoch epoch) {
  const auto found = containers_.find(container);
  if (found == containers_.end()) return;
  std::vector<Snapshot>& all = found->second;
  const auto at = std::lower_bound(all.begin(), all.end(), epoch, below);
  if (at == all.end() || at->epoch != epoch) return;
  busy_ -= is_busy(*at) ? 1 : 0;
  all.erase(at);
  if (all.empty()) containers_.erase(found);
}

Snapshots::Work Snapshots::next_work() const {
  CHECK(busy_ > 0);
  Work work;
  for (const auto& [container, all] : containers_) {
    for (const Snapshot& s : all) {
      if (!is_busy(s)) continue;
      // By number, so that the order does not hang on the table.
      const bool first = work.container == 0;
      const bool urgent = s.state == SnapshotState::restoring;
      const bool was_urgent = work.snapshot.state == SnapshotState::restoring;
      const bool lower = container < work.container;
      if (first || (urgent && !was_urgent) || (urgent == was_urgent && lower)) {
        work = {container, s};
      }
    }
  }
  return work;
}

void EndedVersions::raise_whole(ByteView object_prefix, model::Epoch epoch) {
  if (wholes_.empty()) wholes_.resize(kSlots);
  model::Epoch& at = wholes_[slot(object_prefix)];
  at = std::max(at, epoch);
  raise(object_prefix, epoch);
}

model::Epoch EndedVersions::whole_at(ByteView prefix) const {
  const auto bytes = object_prefix_bytes(prefix);
  return bytes ? wholes_[slot(prefix.first(*bytes))] : newest_;
}

void EndedVersions::raise_all(model::Epoch epoch) {
  for (model::Epoch& slot : slots_) slot = std::max(slot, epoch);
  newest_ = std::max(newest_, epoch);
}

std::shared_ptr<Closure> Closures::find(ContNumber container, const Access& access) {
  const auto found = closed_.find(container);
  if (found == closed_.end()) return nullptr;
  if (found->second->over) {
    closed_.erase(found);
    return nullptr;
  }
  return found->second->stops(access) ? found->second : nullptr;
}

void Closures::set(ContNumber container, std::shared_ptr<Closure> closure) {
  end(container);
  closed_[container] = std::move(closure);
}

void Closures::end(ContNumber container) {
  const auto found = closed_.find(container);
  if (found == closed_.end()) return;
  const std::shared_ptr<Closure> closure = std::move(found->second);
  closed_.erase(found);
  closure->end();
}

void Closures::wake_all() {
  for (auto& [container, closure] : closed_) {
    if (closure->kind == Closure::Kind::frozen) {
      if (!closure->over) closure->end();
    } else {
      closure->moved.wake_all();
    }
  }
}

}  // namespace cairn::vos
