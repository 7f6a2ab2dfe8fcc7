#include "sim/cluster/cluster.h"

#include <algorithm>

#include "model/oclass.h"

namespace cairn::sim {

namespace {

constexpr uint32_t kClients = 4;
constexpr uint32_t kWorkers = 3;  // of each client
/// Whatever waits for somebody waits no longer than this once everything works again.
constexpr Duration kRecoveryMax = 180 * kSecond;
constexpr int kReadsMax = 3;
constexpr Duration kFoundingMax = 60 * kSecond;

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();
  ClusterReport run();

 private:
  static ClusterShape shape_of(Stage& stage, const ClusterOptions& options);
  void place_registers();
  bool found();
  void schedule_faults(Instant until);
  bool chapter();
  bool recover();
  bool read_all();
  bool all_clients(bool (ClientProcess::*is)() const) const;
  void problem(std::string what) { scope_.book.problem(std::move(what)); }
  uint64_t dice(uint64_t sides) { return stage_.random().below(sides); }

  const ClusterOptions options_;
  Stage stage_;
  const ClusterShape shape_;
  Network network_;
  Scope scope_;
  std::vector<std::unique_ptr<MemberProcess>> members_;
  std::unique_ptr<ServerProcess> server_;
  std::vector<std::unique_ptr<ClientProcess>> clients_;
  std::unique_ptr<Faults> faults_;
  Duration longest_recovery_ = 0;
};

template <class T>
std::vector<T*> pointers(const std::vector<std::unique_ptr<T>>& from) {
  std::vector<T*> out;
  for (const auto& each : from) out.push_back(each.get());
  return out;
}

ClusterShape Cluster::shape_of(Stage& stage, const ClusterOptions& options) {
  ClusterShape shape;
  shape.system = uuid_from_random(stage.random().bytes16());
  // Small ones more often: they are cheaper, and of most faults as good.
  const uint64_t dice = stage.random().below(10);
  const auto drawn = static_cast<uint32_t>(dice < 6 ? 3 + dice % 2 : 3 + stage.random().below(7));
  shape.engines = options.engines != 0 ? options.engines : drawn;
  const auto targets = static_cast<uint32_t>(1 + stage.random().below(3) / 2);
  shape.targets = options.targets != 0 ? options.targets : targets;
  return shape;
}

Cluster::Cluster(const ClusterOptions& options)
    : options_(options),
      stage_(options.seed),
      shape_(shape_of(stage_, options)),
      network_(stage_, shape_.engines + kClients, {}) {
  scope_.rollbacks = options.rollbacks;
  for (uint32_t rank = 1; rank < shape_.engines; ++rank) {
    members_.push_back(std::make_unique<MemberProcess>(stage_, network_, shape_, rank));
  }
  server_ = std::make_unique<ServerProcess>(stage_, network_, shape_, pointers(members_));
  for (uint32_t i = 0; i < kClients; ++i) {
    const auto role = i == 0                    ? ClientProcess::Role::snapshots
                      : i == 1                  ? ClientProcess::Role::containers
                      : i == 3 && options.pools ? ClientProcess::Role::pools
                                                : ClientProcess::Role::worker;
    clients_.push_back(std::make_unique<ClientProcess>(stage_, network_, shape_, shape_.engines + i,
                                                       role, scope_));
  }
  faults_ = std::make_unique<Faults>(stage_, Faults::Parts{.server = server_.get(),
                                                           .members = pointers(members_),
                                                           .clients = pointers(clients_),
                                                           .network = &network_,
                                                           .scope = &scope_});
  place_registers();
}

Cluster::~Cluster() {
  for (const auto& client : clients_) client->kill();
  for (const auto& member : members_) member->kill(false);
  server_->kill(false);
}

/// Some are keys of one object over all targets, others objects of their own.
void Cluster::place_registers() {
  const model::PoolShape pool{.domains = 1, .targets = shape_.engines * shape_.targets};
  const auto oid = [&pool](uint64_t number, const char* name) {
    const auto made = model::generate_oid(
        {.user = {.lo = number, .hi = 0}, .class_id = model::class_by_name(name)}, pool);
    CHECK(made.has_value());
    return *made;
  };
  for (size_t at = 0; at < kRegisters; ++at) {
    scope_.objects[at] = at % 2 == 0 ? oid(1, "SX") : oid(100 + at, "S1");
    scope_.dkeys[at] = "register" + std::to_string(at);
  }
}

bool Cluster::all_clients(bool (ClientProcess::*is)() const) const {
  return std::ranges::all_of(clients_, [is](const auto& client) { return (client.get()->*is)(); });
}

bool Cluster::found() {
  server_->start();
  clients_[0]->start_as_founder(0);
  const Instant until = stage_.now() + kFoundingMax;
  const auto& founder = *clients_[0];
  if (!stage_.run([&] { return founder.is_open() && server_->is_whole(); }, until)) {
    problem("the cluster does not come to be: " + server_->trouble());
    return false;
  }
  clients_[0]->kill();
  for (const auto& client : clients_) client->start(kWorkers);
  return true;
}

void Cluster::schedule_faults(Instant until) {
  if (options_.fault_every == 0) return;
  for (Instant at = stage_.now() + dice(options_.fault_every);;) {
    if (at >= until) return;
    stage_.at(at, [this] {
      if (options_.only.empty()) {
        faults_->strike_any();
      } else {
        faults_->strike(options_.only[dice(options_.only.size())]);
      }
    });
    // Sometimes they come together.
    at += dice(4) == 0 ? 1 + dice(3 * kSecond)
                       : options_.fault_every / 3 + dice(options_.fault_every * 2);
  }
}

bool Cluster::recover() {
  scope_.pausing = true;
  faults_->end_all();
  const Instant begin = stage_.now();
  const bool well =
      stage_.run([&] { return server_->is_whole() && all_clients(&ClientProcess::is_idle); },
                 begin + kRecoveryMax);
  longest_recovery_ = std::max(longest_recovery_, stage_.now() - begin);
  if (well) return true;
  std::string what = "not everything works again " + std::to_string(kRecoveryMax / kSecond) +
                     " s after the last fault:";
  if (!server_->is_whole()) what += " an engine does not serve " + server_->trouble() + ";";
  for (const auto& client : clients_) {
    if (!client->is_idle()) what += " " + client->name() + " still waits: " + client->doing() + ";";
  }
  problem(std::move(what));
  return false;
}

bool Cluster::read_all() {
  std::vector<std::optional<Value>> values;
  for (int tries = 0; tries < kReadsMax; ++tries) {
    clients_[2]->read_all(values);
    if (!stage_.run([&] { return clients_[2]->is_idle(); }, stage_.now() + kRecoveryMax)) {
      problem("registers cannot be read when all is well");
      return false;
    }
    if (std::ranges::all_of(values, [](const auto& value) { return value.has_value(); })) break;
    // Its session has ended while it was away: it begins another one.
    stage_.run([] { return false; }, stage_.now() + 5 * kSecond);
    stage_.run([&] { return clients_[2]->is_idle(); }, stage_.now() + kRecoveryMax);
  }
  std::vector<Value> all;
  for (size_t at = 0; at < kRegisters; ++at) {
    if (!values[at]) {
      problem("register " + std::to_string(at) + " cannot be read when all is well");
      return false;
    }
    all.push_back(*values[at]);
  }
  for (size_t group = 0; group < kGroups; ++group) {
    const auto first = all.begin() + static_cast<ptrdiff_t>(member_of(group, 0));
    scope_.book.group_read(group, {first, first + kGroupMembers},
                           "group " + std::to_string(group) + " at rest");
  }
  scope_.book.end_chapter(all);
  return true;
}

bool Cluster::chapter() {
  const Instant until = stage_.now() + options_.chapter;
  scope_.pausing = false;
  scope_.rotten = false;
  scope_.old_doubts.clear();
  for (const auto& [label, there] : scope_.pools) {
    if (there == Scope::There::maybe) scope_.old_doubts.insert(label);
  }
  for (const auto& client : clients_) client->resume();
  schedule_faults(until - options_.chapter / 10);
  stage_.run([] { return false; }, until);
  return recover() && read_all() && scope_.book.problems().empty();
}

ClusterReport Cluster::run() {
  const Instant begin = stage_.now();
  if (found()) {
    // The first chapter begins with clients that are just coming.
    while (stage_.now() - begin < options_.length && chapter()) {
    }
  }
  stage_.trace().add(scope_.ended);
  ClusterReport report{.problems = scope_.book.problems(),
                       .hash = stage_.trace().hash(),
                       .engines = shape_.engines,
                       .simulated = stage_.now() - begin,
                       .operations = scope_.ended,
                       .unknown = scope_.book.unknown(),
                       .faults = faults_->counts(),
                       .network = network_.counts(),
                       .done = scope_.done,
                       .longest_recovery = longest_recovery_};
  return report;
}

}  // namespace

ClusterReport run_cluster(const ClusterOptions& options) { return Cluster(options).run(); }

std::vector<std::string> missing_marks(const ClusterReport& report) {
  std::vector<std::string> missing;
  for (size_t i = 0; i < kFaults; ++i) {
    if (report.faults[i] == 0) missing.push_back(name_of(static_cast<Fault>(i)));
  }
  const NetworkCounts& net = report.network;
  const std::pair<const char*, uint64_t> counts[] = {
      {"messages that overtook others", net.overtaken},
      {"slow messages", net.slow},
      {"messages held by a cut", net.held},
      {"connections that broke", net.broken},
      {"requests that came twice", net.duplicated},
      {"refused connections", net.refused},
      {"outcomes that nobody learned", report.unknown}};
  for (const auto& [name, count] : counts) {
    if (count == 0) missing.push_back(name);
  }
  for (const char* name : {"read",
                           "put",
                           "insert",
                           "insert refused",
                           "update",
                           "update refused",
                           "punch",
                           "blind transaction",
                           "read and change",
                           "look",
                           "snapshot",
                           "look at a snapshot",
                           "drop a snapshot",
                           "rollback",
                           "make a container",
                           "use a container",
                           "destroy a container",
                           "make a pool",
                           "use a pool",
                           "destroy a pool",
                           "told of damage"}) {
    if (!report.done.contains(name)) missing.push_back(name);
  }
  return missing;
}

}  // namespace cairn::sim
