// The stores of a home, checked or scrubbed in this process: what `cairn check` and `cairn scrub`
// do, and the reports they print.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/uuid.h"
#include "vos/scrub.h"

namespace cairn::embed {

struct ContainerName {
  Uuid uuid;
  std::string label;  // may be empty
};

/// What was found in one store.
struct StoreReport {
  std::string name;  // "system", "pools/UUID"; "pools/UUID/TARGET" where there are several,
                      // "pools/UUID/RANK/TARGET" where there are several engines
  std::string label;  // of the pool
  bool is_shard = false;
  uint64_t pages = 0, records = 0, blocks = 0;
  std::vector<std::string> problems;
  /// The first ones; of the config store only pages, whose keys are text.
  std::vector<vos::Loss> losses;
  uint64_t loss_count = 0;
  std::map<uint32_t, ContainerName> containers;  // by their numbers in keys
};

struct HomeCheckOptions {
  bool read_data = true;
  /// Not the offline check, which also compares ownership, but vos::Scrub.
  bool scrub = false;
  /// Scrub: told after each slice of a shard.
  std::function<void(const StoreReport& store, const vos::ScrubReport& so_far)> progress;
};

/// Opens the home (replaying its logs) and looks at every store in it. Errors as
/// client::open_home(); damage inside stores is in the reports.
Result<std::vector<StoreReport>> check_stores(const std::string& home, HomeCheckOptions options);

}  // namespace cairn::embed
