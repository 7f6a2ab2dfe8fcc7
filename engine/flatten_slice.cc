#include "engine/flatten_slice.h"

namespace cairn::engine {

Task<Result<SliceOutcomes>> flatten_slice(vos::Shard& shard, std::vector<vos::ObjectPath> objects,
                                          vos::FlattenOptions options) {
  SliceOutcomes outcomes(objects.size());
  struct Range {
    size_t first, count;
  };
  std::vector<Range> left;
  if (!objects.empty()) left.push_back({0, objects.size()});
  while (!left.empty()) {
    const Range range = left.back();
    left.pop_back();
    const auto begin = objects.begin() + static_cast<ptrdiff_t>(range.first);
    auto done =
        co_await shard.flatten({begin, begin + static_cast<ptrdiff_t>(range.count)}, options);
    if (done) {
      for (size_t i = 0; i < range.count; ++i) {
        outcomes[range.first + i] = (*done)[i].outcome;
      }
      continue;
    }
    const Errc code = done.error().code();
    if (code != Errc::checksum && code != Errc::io) co_return fail(done.error());
    // A shard that has stopped says io to everything.
    CO_TRY(works, co_await shard.settled());
    if (range.count == 1) continue;
    const size_t half = range.count / 2;
    left.push_back({range.first + half, range.count - half});
    left.push_back({range.first, half});
  }
  co_return outcomes;
}

}  // namespace cairn::engine
