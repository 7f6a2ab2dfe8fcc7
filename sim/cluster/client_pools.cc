// Pools that are made, used and destroyed while faults go on. One client does it, so that what must
// be there follows from what was answered.
#include "sim/cluster/client_process.h"

namespace cairn::sim {

namespace {

constexpr size_t kPoolsKept = 2;
constexpr Duration kBetween = 6 * kSecond;
constexpr uint64_t kPoolBytes = 128ull << 20;
constexpr uint64_t kMemoryBytes = 8ull << 20;
constexpr const char* kInside = "inside";  // the container of each

}  // namespace

Task<void> ClientProcess::keep_pools() {
  using There = Scope::There;
  while (!scope_.pausing) {
    co_await list_pools();
    std::vector<std::string> there, doubtful;
    for (const auto& [label, state] : scope_.pools) {
      if (state == There::yes) there.push_back(label);
      if (state == There::maybe) doubtful.push_back(label);
    }
    for (const std::string& label : doubtful) co_await drop_pool(label);
    if (there.size() >= kPoolsKept) {
      const auto goes = there.begin() + static_cast<ptrdiff_t>(dice(there.size()));
      const std::string label = *goes;
      there.erase(goes);
      co_await drop_pool(label);
    }
    if (!there.empty()) co_await use_pool(there[dice(there.size())]);
    co_await make_pool("pool" + std::to_string(scope_.next_pool++));
    co_await pause(kBetween);
  }
  --run_->busy;
}

Task<void> ClientProcess::make_pool(std::string label) {
  scope_.pools[label] = Scope::There::maybe;
  const auto made =
      co_await run_->system->pool_create({.label = label,
                                          .bytes = kPoolBytes * shape_.engines * shape_.targets,
                                          .memory_bytes = kMemoryBytes});
  if (!made) {
    if (made.error().code() == Errc::exists) {
      book_.problem("pool " + label + " was made once, and is told to exist");
    }
    ended("make a pool", made.error());
    co_return;
  }
  scope_.pools[label] = Scope::There::yes;
  well("make a pool");
}

Task<void> ClientProcess::use_pool(std::string label) {
  const auto pool = co_await run_->system->pool_connect(label, client::Access::read_write);
  if (!pool) {
    if (pool.error().code() == Errc::nonexistent) {
      book_.problem("pool " + label + " is not there");
    } else {
      ended("connect to a pool", pool.error());
    }
    co_return;
  }
  const auto made = co_await (*pool)->cont_create(kInside, {});
  if (!made && made.error().code() != Errc::exists) {
    ended("make a container in a pool", made.error());
    co_return;
  }
  const auto used = co_await use(**pool, kInside);
  if (!used) {
    ended("use a container in a pool", used.error());
    co_return;
  }
  const auto left = co_await (*pool)->disconnect();
  if (!left) {
    ended("disconnect", left.error());
    co_return;
  }
  well("use a pool");
}

Task<void> ClientProcess::drop_pool(std::string label) {
  const bool sure = scope_.pools[label] == Scope::There::yes;
  scope_.pools[label] = Scope::There::maybe;
  const auto dropped = co_await run_->system->pool_destroy(label, true);
  if (!dropped && dropped.error().code() == Errc::nonexistent) {
    if (sure) book_.problem("pool " + label + " is not there to be destroyed");
    // Somebody who was killed may have asked for it, and it is being made.
    if (!sure && !scope_.old_doubts.contains(label)) co_return;
  } else if (!dropped) {
    ended("destroy a pool", dropped.error());
    co_return;
  }
  scope_.pools[label] = Scope::There::no;
  well("destroy a pool");
}

Task<void> ClientProcess::list_pools() {
  const auto listed = co_await run_->system->pool_list();
  if (!listed) {
    ended("list pools", listed.error());
    co_return;
  }
  std::set<std::string> there;
  for (const client::PoolInfo& each : *listed) there.insert(each.label);
  if (!there.contains(kPoolLabel)) book_.problem("the pool is not listed");
  for (const auto& [label, state] : scope_.pools) {
    const bool is_there = there.contains(label);
    if (state == Scope::There::yes && !is_there) book_.problem("pool " + label + " is not listed");
    if (state == Scope::There::no && is_there) {
      book_.problem("pool " + label + " is listed after it was destroyed");
    }
  }
  std::erase_if(scope_.pools, [](const auto& each) { return each.second == Scope::There::no; });
  well("list pools");
}

}  // namespace cairn::sim
