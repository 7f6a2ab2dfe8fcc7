// What clients ask of the services: snapshots, rollbacks and containers. One client each, so that
// what must be there follows from what was answered.
#include <algorithm>

#include "sim/cluster/client_process.h"

namespace cairn::sim {

namespace {

constexpr size_t kSnapshotsKept = 3;
constexpr size_t kContainersKept = 3;
constexpr Duration kBetween = 4 * kSecond;

}  // namespace

Task<void> ClientProcess::keep_snapshots() {
  while (!scope_.pausing || scope_.rollback_open) {
    if (scope_.rollback_open) {
      const std::vector<model::Epoch> doubtful(scope_.doubtful_snapshots.begin(),
                                               scope_.doubtful_snapshots.end());
      for (const model::Epoch epoch : doubtful) co_await drop_snapshot(epoch);
      co_await roll_back();
      if (scope_.rollback_open) co_await reactor().sleep(kSecond);
      continue;
    }
    co_await list_snapshots();
    std::vector<model::Epoch> there(scope_.snapshots.begin(), scope_.snapshots.end());
    const std::vector<model::Epoch> doubtful(scope_.doubtful_snapshots.begin(),
                                             scope_.doubtful_snapshots.end());
    for (const model::Epoch epoch : doubtful) co_await drop_snapshot(epoch);
    if (there.size() >= kSnapshotsKept) {
      const auto goes = there.begin() + static_cast<ptrdiff_t>(dice(there.size()));
      const model::Epoch epoch = *goes;
      there.erase(goes);
      co_await drop_snapshot(epoch);
    }
    if (!there.empty()) co_await look_at_snapshot(there[dice(there.size())]);
    co_await make_snapshot();
    if (scope_.rollbacks && dice(6) == 0) co_await roll_back();
    co_await pause(kBetween);
  }
  --run_->busy;
}

Task<void> ClientProcess::pause(Duration length) {
  for (Duration slept = 0; slept < length && !scope_.pausing; slept += 100 * kMillisecond) {
    co_await reactor().sleep(100 * kMillisecond);
  }
}

Task<void> ClientProcess::make_snapshot() {
  const Instant begin = now();
  const auto made = co_await run_->cont->snap_create();
  if (!made) {
    ended("snapshot", made.error());
    co_return;
  }
  scope_.snapshots.insert(*made);
  book_.snapshot_made(*made, begin, now());
  well("snapshot");
  co_await look_at_snapshot(*made);
}

Task<void> ClientProcess::look_at_snapshot(model::Epoch epoch) {
  std::vector<Value> group;
  for (size_t at = 0; at < kRegisters; ++at) {
    const auto value = co_await fetch(*run_->cont, at, {.epoch = epoch});
    if (!value) {
      const bool lost = value.error().code() == Errc::tx_restart;
      if (lost) book_.problem("snapshot " + std::to_string(epoch) + " cannot be read any more");
      ended("read of a snapshot", value.error());
      co_return;
    }
    book_.snapshot_shows(epoch, at, *value);
    if (at >= kGroups * kGroupMembers) continue;
    group.push_back(*value);
    if (group.size() < kGroupMembers) continue;
    book_.group_read(at / kGroupMembers, group, "snapshot " + std::to_string(epoch));
    group.clear();
  }
  well("look at a snapshot");
}

Task<void> ClientProcess::drop_snapshot(model::Epoch epoch) {
  const bool sure = scope_.snapshots.erase(epoch) != 0;
  scope_.doubtful_snapshots.insert(epoch);
  book_.snapshot_gone(epoch);
  const auto dropped = co_await run_->cont->snap_destroy(epoch);
  if (!dropped && dropped.error().code() == Errc::nonexistent) {
    if (sure) book_.problem("snapshot " + std::to_string(epoch) + " is not there");
  } else if (!dropped) {
    ended("drop a snapshot", dropped.error());
    co_return;
  }
  scope_.doubtful_snapshots.erase(epoch);
  scope_.gone_snapshots.insert(epoch);
  well("drop a snapshot");
}

/// What was acknowledged is there, what was acknowledged as gone is not; others are of requests
/// whose outcome nobody knew.
Task<void> ClientProcess::list_snapshots() {
  const auto listed = co_await run_->cont->snap_list();
  if (!listed) {
    ended("list snapshots", listed.error());
    co_return;
  }
  std::set<model::Epoch> there;
  for (const client::Snapshot& each : *listed) there.insert(each.epoch);
  for (const model::Epoch epoch : scope_.snapshots) {
    if (there.contains(epoch)) continue;
    book_.problem("snapshot " + std::to_string(epoch) + " is not listed");
  }
  for (const model::Epoch epoch : there) {
    if (scope_.gone_snapshots.contains(epoch)) {
      book_.problem("snapshot " + std::to_string(epoch) + " is listed after it was dropped");
    } else if (!scope_.snapshots.contains(epoch)) {
      scope_.doubtful_snapshots.insert(epoch);
    }
  }
  std::erase_if(scope_.doubtful_snapshots,
                [&](model::Epoch epoch) { return !there.contains(epoch); });
  well("list snapshots");
}

/// To the newest snapshot, of which all is known. Until it is known to have happened, it may at any
/// time.
Task<void> ClientProcess::roll_back() {
  if (scope_.snapshots.empty() || !scope_.doubtful_snapshots.empty()) co_return;
  co_await roll_back_to(*scope_.snapshots.rbegin());
}

Task<void> ClientProcess::roll_back_to(model::Epoch epoch) {
  std::vector<Value> values;
  for (size_t at = 0; at < kRegisters; ++at) {
    const auto value = co_await fetch(*run_->cont, at, {.epoch = epoch});
    if (!value) co_return;
    book_.snapshot_shows(epoch, at, *value);
    values.push_back(*value);
  }
  scope_.rollback_open = true;
  book_.begin_rollback();
  std::vector<size_t> numbers;
  for (size_t at = 0; at < kRegisters; ++at) {
    numbers.push_back(book_.begin(
        at, {.begin = now(), .writes = true, .written = values[at], .name = "rollback"}));
  }
  const auto done = co_await run_->cont->rollback(epoch);
  if (!done && done.error().code() == Errc::busy) {
    // A snapshot that nobody knew of has come meanwhile.
    co_await list_snapshots();
  }
  if (!done) {
    ended("rollback", done.error());
    co_return;
  }
  for (size_t at = 0; at < kRegisters; ++at) book_.end(at, numbers[at], now());
  scope_.rollback_open = false;
  well("rollback");
}

Task<void> ClientProcess::keep_containers() {
  using There = Scope::There;
  while (!scope_.pausing) {
    co_await list_containers();
    std::vector<std::string> there, doubtful;
    for (const auto& [label, state] : scope_.containers) {
      if (state == There::yes) there.push_back(label);
      if (state == There::maybe) doubtful.push_back(label);
    }
    for (const std::string& label : doubtful) co_await drop_container(label);
    if (there.size() >= kContainersKept) {
      const auto goes = there.begin() + static_cast<ptrdiff_t>(dice(there.size()));
      const std::string label = *goes;
      there.erase(goes);
      co_await drop_container(label);
    }
    if (!there.empty()) co_await use_container(there[dice(there.size())]);
    co_await make_container("extra" + std::to_string(scope_.next_container++));
    co_await pause(kBetween);
  }
  --run_->busy;
}

Task<void> ClientProcess::make_container(std::string label) {
  scope_.containers[label] = Scope::There::maybe;
  const auto made = co_await run_->pool->cont_create(label, {});
  if (!made) {
    if (made.error().code() == Errc::exists) {
      book_.problem("container " + label + " was made once, and is told to exist");
    }
    ended("make a container", made.error());
    co_return;
  }
  scope_.containers[label] = Scope::There::yes;
  well("make a container");
}

Task<Result<void>> ClientProcess::use(client::Pool& pool, std::string label) {
  CO_TRY(cont, co_await pool.cont_open(label, client::Access::read_write));
  Bytes bytes = bytes_of(book_.fresh_value());
  const size_t at = kRegisters - 1;
  const auto put = co_await cont->update(
      {.oid = scope_.objects[at], .dkey = as_bytes(scope_.dkeys[at])}, single_iod(bytes));
  if (put) {
    const auto value = co_await fetch(*cont, at);
    if (value && *value != *value_of(bytes)) {
      book_.problem("container " + label + ": another value than was put there");
    }
    if (!value) ended("read in a container", value.error());
  } else {
    ended("put into a container", put.error());
  }
  co_return co_await cont->close();
}

Task<void> ClientProcess::use_container(std::string label) {
  const auto used = co_await use(*run_->pool, label);
  if (!used && used.error().code() == Errc::nonexistent) {
    book_.problem("container " + label + " is not there");
  } else if (!used) {
    ended("use a container", used.error());
  } else {
    well("use a container");
  }
}

Task<void> ClientProcess::drop_container(std::string label) {
  const bool sure = scope_.containers[label] == Scope::There::yes;
  scope_.containers[label] = Scope::There::maybe;
  const auto dropped = co_await run_->pool->cont_destroy(label, true);
  if (!dropped && dropped.error().code() == Errc::nonexistent) {
    if (sure) book_.problem("container " + label + " is not there to be destroyed");
  } else if (!dropped) {
    ended("destroy a container", dropped.error());
    co_return;
  }
  scope_.containers[label] = Scope::There::no;
  well("destroy a container");
}

Task<void> ClientProcess::list_containers() {
  const auto listed = co_await run_->pool->cont_list();
  if (!listed) {
    ended("list containers", listed.error());
    co_return;
  }
  std::set<std::string> there;
  for (const client::ContInfo& each : *listed) there.insert(each.label);
  for (auto& [label, state] : scope_.containers) {
    const bool is_there = there.contains(label);
    if (state == Scope::There::yes && !is_there) {
      book_.problem("container " + label + " is not listed");
    }
    if (state == Scope::There::no && is_there) {
      book_.problem("container " + label + " is listed after it was destroyed");
    }
  }
  std::erase_if(scope_.containers,
                [](const auto& each) { return each.second == Scope::There::no; });
  well("list containers");
}

}  // namespace cairn::sim
