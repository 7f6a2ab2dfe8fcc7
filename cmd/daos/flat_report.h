// What became of objects that were to be flattened, for people and scripts; and the collector of
// commands that flatten objects as they go.
#pragma once

#include <cairn_worm.h>

#include <mutex>
#include <string>
#include <vector>

#include "cmd/daos/daos.h"

namespace cairn::tool {

/// "flattened", "too large", ...; and why, or what to do about it: "" where there is nothing to do.
const char* flat_outcome(uint32_t outcome);
const char* flat_way_out(uint32_t outcome);
/// A line for each outcome there was.
std::string flat_lines(const cairn_flat_stats_t& stats);
Json flat_outcomes(const cairn_flat_stats_t& stats);

/// Flattens objects some hundred at a time, so that they share blocks. Any thread.
class FlatBatch {
 public:
  /// @param cont  open for writing; outlives the batch
  explicit FlatBatch(daos_handle_t cont) : cont_(cont) {}
  FlatBatch(const FlatBatch&) = delete;

  /// Flattens those that are together when they are enough.
  void add(daos_obj_id_t oid);
  /// Flattens all that is left; what was in a state that passes, once more a few times.
  void finish();
  /// After the last add(), better finish(): counts; how many objects could not be flattened for an
  /// error, which have no outcome; and the first such error (0: none).
  const cairn_flat_stats_t& stats() const { return stats_; }
  uint64_t failed() const { return failed_; }
  int error() const { return error_; }

 private:
  /// An object in a state that passes.
  struct Again {
    daos_obj_id_t oid;
    uint32_t outcome;
  };
  void flatten(std::vector<daos_obj_id_t> oids);
  void flatten_together(const daos_obj_id_t* oids, size_t count);
  void note_failed(int rc, size_t count);
  /// What is to be tried once more, and counted anew.
  std::vector<daos_obj_id_t> take_again();

  const daos_handle_t cont_;
  std::mutex mutex_;  // of the rest
  std::vector<daos_obj_id_t> waiting_;
  std::vector<Again> again_;
  cairn_flat_stats_t stats_{};
  uint64_t failed_ = 0;
  int error_ = 0;
  unsigned refused_in_row_ = 0;  // calls that failed whatever the objects
};

}  // namespace cairn::tool
