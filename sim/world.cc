#include "sim/world.h"

namespace cairn::sim {

World::World(uint64_t seed) : random_(seed) {
  reactor_ = std::make_unique<Reactor>(clock_, random_, nullptr);
}

World::~World() { end_era(); }

SimDisk& World::add_disk(std::string name, uint64_t bytes) {
  disks_.push_back(std::make_unique<SimDisk>(power_, random_, std::move(name), bytes));
  disks_.back()->attach(reactor_.get());
  return *disks_.back();
}

void World::share_cache() {
  const auto cache = std::make_shared<std::vector<SimDisk*>>();
  for (const auto& disk : disks_) disk->join(cache);
}

void World::cut_power_at(uint64_t requests_from_now) {
  power_.cut_at = requests_from_now == 0 ? 0 : power_.requests + requests_from_now;
}

void World::drive(std::move_only_function<bool()> done) {
  while (!done()) {
    if (reactor_->turn()) continue;
    const Instant next = reactor_->next_timer();
    if (next == kNever) {
      if (!power_.on) return;
      CHECK(!"simulation: a task waits for something that never comes");
    }
    clock_.advance_to(std::max(next, clock_.now()));
  }
}

void World::run_for(Duration duration) {
  const Instant until = clock_.now() + duration;
  for (;;) {
    if (reactor_->turn()) continue;
    const Instant next = reactor_->next_timer();
    if (next > until) break;
    clock_.advance_to(std::max(next, clock_.now()));
  }
  clock_.advance_to(until);
}

void World::end_era() { reactor_.reset(); }

void World::begin_era() {
  CHECK(reactor_ == nullptr);
  reactor_ = std::make_unique<Reactor>(clock_, random_, nullptr);
  for (auto& disk : disks_) {
    disk->settle_after_cut();
    disk->attach(reactor_.get());
  }
  power_.on = true;
  power_.cut_at = 0;
}

}  // namespace cairn::sim
