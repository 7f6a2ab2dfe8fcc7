#include "sim/cluster/faults.h"

#include "base/report.h"

namespace cairn::sim {

namespace {

/// Either way: clocks may differ by a second (vos/shard.h).
constexpr uint64_t kSkewMax = 450 * kMillisecond;

}  // namespace

const char* name_of(Fault fault) {
  static constexpr const char* kNames[] = {"server killed",
                                           "member killed",
                                           "server without power",
                                           "member without power",
                                           "all without power",
                                           "member restarted",
                                           "client killed",
                                           "cut one way",
                                           "cut two ways",
                                           "engine cut off",
                                           "node cut off",
                                           "cut in halves",
                                           "client cut off",
                                           "slow paths",
                                           "breaking connections",
                                           "duplicates",
                                           "clocks moved",
                                           "disk error",
                                           "slow disk",
                                           "rotten data",
                                           "rotten metadata"};
  static_assert(std::size(kNames) == kFaults);
  return kNames[static_cast<size_t>(fault)];
}

EngineProcess& Faults::engine(uint32_t rank) {
  if (rank == 0) return *parts_.server;
  return *parts_.members[rank - 1];
}

void Faults::later(std::function<void()> undo) {
  stage_.after(a_while(), [this, era = era_, undo = std::move(undo)] {
    if (era == era_) undo();
  });
}

void Faults::strike_any() { strike(static_cast<Fault>(dice(kFaults))); }

void Faults::strike(Fault fault) {
  ++counts_[static_cast<size_t>(fault)];
  report(Severity::info,
         std::to_string(stage_.now() / kMillisecond) + " ms: fault: " + name_of(fault));
  stage_.trace().add(stage_.now());
  stage_.trace().add(static_cast<uint64_t>(fault));
  switch (fault) {
    case Fault::kill_server:
      return take_down_soon(*parts_.server, false);
    case Fault::kill_member:
      return take_down_soon(any_member(), false);
    case Fault::power_server:
      return take_down_soon(*parts_.server, true);
    case Fault::power_member:
      return take_down_soon(any_member(), true);
    case Fault::power_all:
      for (uint32_t rank = 0; rank < engines(); ++rank) take_down_soon(engine(rank), true);
      return;
    case Fault::restart_member:
      return any_member().leave();
    case Fault::kill_client: {
      ClientProcess& client = any_client();
      client.kill();
      return client.start_again();
    }
    case Fault::cut_one_way:
    case Fault::cut_two_ways:
    case Fault::cut_engine:
    case Fault::cut_node:
    case Fault::cut_halves:
    case Fault::cut_client:
      return cut_something(fault);
    default:
      return disturb(fault);
  }
}

/// Often its disks are slow before, so that much is written and not yet durable.
void Faults::take_down_soon(EngineProcess& engine, bool power) {
  if (dice(3) == 0) return take_down(engine, power);
  engine.machine().set_delay(kMillisecond + dice(50 * kMillisecond));
  stage_.after(50 * kMillisecond + dice(kSecond), [this, era = era_, &engine, power] {
    if (era != era_) return;
    engine.machine().set_delay(Machine::kUsualDelay);
    take_down(engine, power);
  });
}

/// Members are started by their server when they may; the server by whoever looks after it.
void Faults::take_down(EngineProcess& engine, bool power) {
  engine.kill(power);
  const Instant back = stage_.now() + a_while() / 2;
  engine.stay_down_until(back);
  if (engine.rank() != 0) return;
  stage_.at(back, [&engine] {
    if (engine.may_start()) engine.start();
  });
}

void Faults::cut(std::vector<std::pair<NodeId, NodeId>> ways) {
  for (const auto& [from, to] : ways) parts_.network->block(from, to);
  later([this, ways = std::move(ways)] {
    for (const auto& [from, to] : ways) parts_.network->open(from, to);
  });
}

void Faults::cut_between(const std::vector<NodeId>& some, const std::vector<NodeId>& others) {
  std::vector<std::pair<NodeId, NodeId>> ways;
  for (const NodeId a : some) {
    for (const NodeId b : others) {
      if (a == b) continue;
      ways.emplace_back(a, b);
      ways.emplace_back(b, a);
    }
  }
  cut(std::move(ways));
}

void Faults::cut_something(Fault fault) {
  const uint32_t nodes = parts_.network->nodes();
  const NodeId one = any_engine();
  const NodeId other = (one + 1 + static_cast<NodeId>(dice(engines() - 1))) % engines();
  std::vector<NodeId> some, others;
  switch (fault) {
    case Fault::cut_one_way:
      return cut({{one, other}});
    case Fault::cut_two_ways:
      return cut({{one, other}, {other, one}});
    case Fault::cut_engine:
      for (NodeId node = 0; node < engines(); ++node) others.push_back(node);
      return cut_between({one}, others);
    case Fault::cut_node:
      for (NodeId node = 0; node < nodes; ++node) others.push_back(node);
      return cut_between({static_cast<NodeId>(dice(nodes))}, others);
    case Fault::cut_client:
      return cut_between({engines() + static_cast<NodeId>(dice(nodes - engines()))}, {one});
    default:
      for (NodeId node = 0; node < nodes; ++node) {
        (dice(2) == 0 ? some : others).push_back(node);
      }
      return cut_between(some, others);
  }
}

void Faults::weather(Weather weather) {
  parts_.network->set_weather(weather);
  later([this] { parts_.network->set_weather({}); });
}

void Faults::break_disk() {
  EngineProcess& broken = engine(any_engine());
  broken.machine().fail_a_request(stage_.random());
  // Its store has stopped, or will: somebody replaces the cable and starts it again.
  later([this, &broken] {
    broken.machine().heal();
    take_down(broken, false);
  });
}

/// Somebody notices, and brings back what was there: the only copy there is. Until then whoever
/// needs it is told.
void Faults::rot(bool metadata) {
  EngineProcess& one = engine(any_engine());
  // Nor while it is down: Machine::settle_after_kill().
  if (!one.is_running()) return;
  parts_.scope->rotten = true;
  one.machine().rot(stage_.random(), metadata);
  later([this, &one, metadata] {
    one.machine().heal();
    if (metadata) take_down(one, false);
  });
}

void Faults::disturb(Fault fault) {
  Network& network = *parts_.network;
  switch (fault) {
    case Fault::slow_paths: {
      const NodeId one = static_cast<NodeId>(dice(network.nodes()));
      const Duration extra = 10 * kMillisecond + dice(kSecond);
      for (NodeId node = 0; node < network.nodes(); ++node) {
        network.slow_down(one, node, extra);
        network.slow_down(node, one, extra);
      }
      return later([&network, one] {
        for (NodeId node = 0; node < network.nodes(); ++node) {
          network.slow_down(one, node, 0);
          network.slow_down(node, one, 0);
        }
      });
    }
    case Fault::breaking_paths:
      return weather({.breaks = 1'000 + uint32_t(dice(40'000))});
    case Fault::duplicates:
      return weather({.duplicates = 20'000 + uint32_t(dice(300'000))});
    case Fault::skew: {
      EngineProcess& one = engine(any_engine());
      one.clock().set_skew_ns(static_cast<int64_t>(dice(2 * kSkewMax)) -
                              static_cast<int64_t>(kSkewMax));
      return;
    }
    case Fault::slow_disk: {
      EngineProcess& one = engine(any_engine());
      one.machine().set_delay(Machine::kUsualDelay * (10 + dice(500)));
      return later([&one] { one.machine().set_delay(Machine::kUsualDelay); });
    }
    case Fault::data_rot:
      return rot(false);
    case Fault::page_rot:
      return rot(true);
    default:
      return break_disk();
  }
}

void Faults::end_all() {
  ++era_;
  parts_.network->open_all();
  parts_.network->set_weather({});
  for (uint32_t rank = 0; rank < engines(); ++rank) {
    EngineProcess& each = engine(rank);
    each.machine().heal();
    each.machine().set_delay(Machine::kUsualDelay);
    each.stay_down_until(0);
  }
  // A store that has stopped says nothing of it: who was told of an error is started again.
  for (uint32_t rank = 0; rank < engines(); ++rank) {
    EngineProcess& each = engine(rank);
    if (each.machine().take_broken()) each.kill(false);
  }
  parts_.server->start();
}

}  // namespace cairn::sim
