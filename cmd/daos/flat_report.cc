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
/// Objects that are tried again, at most: 2 MiB of them. Others keep the outcome they had.
constexpr size_t kAgainMax = 65'536;
/// After so many calls in a row that failed whatever the objects nothing more is asked: each may
/// have waited for minutes.
constexpr unsigned kRefusedMax = 3;

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

/// An error that may be about one object of a call; others would meet every call.
bool may_be_one_object(int rc) {
  switch (rc) {
    case -DER_UNREACH:
    case -DER_TIMEDOUT:
    case -DER_NO_PERM:
    case -DER_NO_HDL:
    case -DER_NOSPACE:
    case -DER_NOMEM:
    case -DER_SHUTDOWN:
    case -DER_OVERLOAD_RETRY:
    case -DER_STALE:
      return false;
    default:
      return true;
  }
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
  {
    std::lock_guard lock(mutex_);
    stats_.cs_objects -= twice;
  }
  flatten_together(oids.data(), oids.size());
}

/// An object that cannot be flattened fails the call for all of it: halves find out which one it
/// is. What ends every call is not asked again for each half.
void FlatBatch::flatten_together(const daos_obj_id_t* oids, size_t count) {
  if (count == 0) return;
  {
    std::lock_guard lock(mutex_);
    if (refused_in_row_ >= kRefusedMax) {
      failed_ += count;
      return;
    }
  }
  std::vector<cairn_flat_t> flats(count);
  const int rc = cairn_cont_flatten_some(cont_, static_cast<uint32_t>(count), oids, flats.data());
  if (rc != 0 && count > 1 && may_be_one_object(rc)) {
    flatten_together(oids, count / 2);
    return flatten_together(oids + count / 2, count - count / 2);
  }
  if (rc != 0) return note_failed(rc, count);
  std::lock_guard lock(mutex_);
  refused_in_row_ = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t outcome = flats[i].cf_outcome;
    if (passes(outcome) && again_.size() < kAgainMax) again_.push_back({oids[i], outcome});
    ++stats_.cs_outcomes[outcome];
    stats_.cs_buffer_bytes += flats[i].cf_buffer_bytes;
  }
}

void FlatBatch::note_failed(int rc, size_t count) {
  std::lock_guard lock(mutex_);
  failed_ += count;
  if (error_ == 0) error_ = rc;
  refused_in_row_ = may_be_one_object(rc) ? 0 : refused_in_row_ + 1;
}

std::vector<daos_obj_id_t> FlatBatch::take_again() {
  std::vector<daos_obj_id_t> oids;
  for (const Again& one : std::exchange(again_, {})) {
    --stats_.cs_outcomes[one.outcome];
    oids.push_back(one.oid);
  }
  return oids;
}

void FlatBatch::finish() {
  std::vector<daos_obj_id_t> all = std::exchange(waiting_, {});
  for (int tries = 0;; ++tries) {
    for (size_t at = 0; at < all.size(); at += kTogether) {
      const auto first = all.begin() + static_cast<ptrdiff_t>(at);
      flatten({first, first + static_cast<ptrdiff_t>(std::min(kTogether, all.size() - at))});
    }
    if (again_.empty() || tries == kTriesMax || refused_in_row_ >= kRefusedMax) return;
    std::this_thread::sleep_for(kTryAgain);
    all = take_again();
  }
}

}  // namespace cairn::tool
