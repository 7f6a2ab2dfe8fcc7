// layout.place.*: where the shards of an object are, computed anew for each object.
#include <cstdio>

#include "base/hash.h"
#include "bench/counters.h"
#include "bench/harness.h"
#include "layout/place.h"
#include "model/oclass.h"

namespace cairn::bench {

namespace {

struct PlaceSize {
  const char* class_name;
  uint32_t engines, targets;  // of each engine
};

layout::PoolMap pool_of(const PlaceSize& size) {
  layout::PoolMap map{.targets = {}};
  for (uint32_t rank = 0; rank < size.engines; ++rank) {
    for (uint32_t i = 0; i < size.targets; ++i) map.targets.push_back({.id = {rank, i}});
  }
  layout::set_shape(map);
  return map;
}

void run_place(Run& run, const PlaceSize& size) {
  const layout::PoolMap map = pool_of(size);
  layout::Placer placer(map);
  std::vector<layout::Place> places;
  constexpr uint64_t kDigested = 100;  // the same in every run
  uint64_t number = 0, digest = 0;
  const model::ClassId class_id = model::class_by_name(size.class_name);
  const auto step = [&] {
    const auto oid =
        model::generate_oid({.user = {.lo = number++, .hi = 0}, .class_id = class_id}, map.shape);
    if (!oid || !placer.place(*oid, places)) die("an object has no place");
    if (number <= kDigested) digest = xxh3_64(std::as_bytes(std::span(places)), digest);
  };
  while (number < kDigested) step();
  const uint64_t first = number;
  const Counters before = Counters::now();
  const double rate = rate_of(run.seconds, 1, step);
  const Counters used = Counters::now() - before;
  char extra[200];
  std::snprintf(extra, sizeof extra,
                "\"shards\": %zu, \"us_per_shard\": %.4f, \"allocations_per_op\": %.1f, "
                "\"digest\": \"%016llx\"",
                places.size(), 1e6 / rate / static_cast<double>(places.size()),
                static_cast<double>(used.allocations) / static_cast<double>(number - first),
                static_cast<unsigned long long>(digest));
  run.report_count("", 1e6 / rate, run.unit, extra);
}

}  // namespace

void add_layout_cases(std::vector<Case>& cases) {
  for (const uint32_t engines : {8u, 100u, 1'000u}) {
    for (const uint32_t targets : {1u, 16u}) {
      for (const char* const class_name : {"S1", "S2", "SX"}) {
        const PlaceSize size{.class_name = class_name, .engines = engines, .targets = targets};
        cases.push_back({"layout.place." + std::to_string(engines) + "x" + std::to_string(targets) +
                             "." + class_name,
                         "us", [size](Run& run) { run_place(run, size); }});
      }
    }
  }
}

}  // namespace cairn::bench
