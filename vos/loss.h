// Loss: what damage took away, told by the keys that cannot be read any more. Values.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "index/store.h"
#include "model/io.h"

namespace cairn::vos {

/// Losses that a report holds; the rest is only counted.
inline constexpr size_t kLossesMax = 100'000;

/// Something that cannot be read any more.
struct Loss {
  enum class What : uint8_t {
    page,    // every record with low <= key < high (high empty: to the end)
    record,  // the record with key `low` does not mean anything
    data     // the record with key `low` is whole; of its payload `parts` are damaged
  };
  What what = What::page;
  std::string cause;
  Bytes low, high;
  uint64_t page = 0;  // What::page
  uint32_t level = 0;
  /// What::data: records of an array's extent, bytes of a single value or a name.
  std::vector<model::Recx> parts;
  bool array = false;
};
/// One line: what is lost, and why.
std::string loss_text(const Loss& loss);

/// What Shard::check() found.
struct CheckReport : index::Store::CheckReport {
  std::vector<Loss> losses;  // the first kLossesMax, ascending by key
  uint64_t loss_count = 0;
};

}  // namespace cairn::vos
