#include "cmd/daos/flat_report.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace cairn::tool {
namespace {

/// Objects of one call.
constexpr size_t kTogether = 512;
/// What was in a state that passes is tried so often, and after this time.
constexpr int kTriesMax = 5;
constexpr std::chrono::milliseconds kTryAgain{200};

const char* const kOutcomes[CAIRN_FLAT_OUTCOMES] = {
    "flattened", "already flat", "not there",  "too large",         "too many keys", "long key",
    "snapshot",  "transaction",  "reclaiming", "written meanwhile", "fragmented"};
const char* const kWaysOut[CAIRN_FLAT_OUTCOMES] = {
    "",
    "",
    "",
    "its buffer would be over 1 MiB: it stays as it is",
    "more than 1,024 keys at a level: it stays as it is",
    "a key of 4 KiB or more: it stays as it is",
    "a snapshot lies between its changes: destroy the snapshot, or leave the object as it is",
    "a transaction that changes it waits for its outcome: again when it is over",
    "what a punch left is still being removed: again later",
    "it was written meanwhile: again later",
    "large data of it stands in small pieces: again when the container was aggregated"};

bool passes(uint32_t outcome) {
  return outcome == CAIRN_FLAT_PENDING || outcome == CAIRN_FLAT_RECLAIMING ||
         outcome == CAIRN_FLAT_CHANGED;
}

}  // namespace

const char* flat_outcome(uint32_t outcome) {
  return outcome < CAIRN_FLAT_OUTCOMES ? kOutcomes[outcome] : "unknown";
}
const char* flat_way_out(uint32_t outcome) {
  return outcome < CAIRN_FLAT_OUTCOMES ? kWaysOut[outcome] : "";
}

std::string flat_lines(const cairn_flat_stats_t& stats) {
  std::string text;
  for (uint32_t i = 0; i < CAIRN_FLAT_OUTCOMES; ++i) {
    if (stats.cs_outcomes[i] == 0) continue;
    text += std::string("  ") + kOutcomes[i] + ": " + std::to_string(stats.cs_outcomes[i]);
    if (*kWaysOut[i] != '\0') text += std::string(" (") + kWaysOut[i] + ")";
    text += "\n";
  }
  return text;
}

Json flat_outcomes(const cairn_flat_stats_t& stats) {
  Json outcomes = Json::object();
  for (uint32_t i = 0; i < CAIRN_FLAT_OUTCOMES; ++i) outcomes[kOutcomes[i]] = stats.cs_outcomes[i];
  return outcomes;
}

void FlatBatch::add(daos_obj_id_t oid) {
  std::vector<daos_obj_id_t> full;
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back(oid);
    ++stats_.cs_objects;
    if (waiting_.size() == kTogether) full = std::exchange(waiting_, {});
  }
  if (!full.empty()) flatten(std::move(full));
}

/// Without the lock: others go on meanwhile.
void FlatBatch::flatten(std::vector<daos_obj_id_t> oids) {
  // One that was moved while a tree was walked may have been met twice.
  const auto order = [](const daos_obj_id_t& oid) { return std::pair(oid.hi, oid.lo); };
  std::ranges::sort(oids, {}, order);
  const auto doubles = std::ranges::unique(oids, {}, order);
  const size_t twice = doubles.size();
  oids.erase(doubles.begin(), doubles.end());
  std::vector<cairn_flat_t> flats(oids.size());
  const int rc =
      cairn_cont_flatten_some(cont_, static_cast<uint32_t>(oids.size()), oids.data(), flats.data());
  std::lock_guard lock(mutex_);
  if (rc != 0 && error_ == 0) error_ = rc;
  stats_.cs_objects -= twice;
  for (size_t i = 0; rc == 0 && i < oids.size(); ++i) {
    if (passes(flats[i].cf_outcome)) again_.push_back(oids[i]);
    ++stats_.cs_outcomes[flats[i].cf_outcome];
    stats_.cs_buffer_bytes += flats[i].cf_buffer_bytes;
  }
}

void FlatBatch::finish() {
  std::vector<daos_obj_id_t> all = std::exchange(waiting_, {});
  for (int tries = 0;; ++tries) {
    for (size_t at = 0; at < all.size() && error_ == 0; at += kTogether) {
      const auto first = all.begin() + static_cast<ptrdiff_t>(at);
      flatten({first, first + static_cast<ptrdiff_t>(std::min(kTogether, all.size() - at))});
    }
    if (again_.empty() || error_ != 0 || tries == kTriesMax) return;
    std::this_thread::sleep_for(kTryAgain);
    for (const uint32_t outcome : {CAIRN_FLAT_PENDING, CAIRN_FLAT_RECLAIMING, CAIRN_FLAT_CHANGED}) {
      stats_.cs_outcomes[outcome] = 0;
    }
    all = std::exchange(again_, {});
  }
}

}  // namespace cairn::tool
