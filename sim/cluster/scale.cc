#include "sim/cluster/scale.h"

#include <malloc.h>

#include <algorithm>
#include <cmath>

#include "client/system.h"
#include "layout/place.h"
#include "model/oclass.h"
#include "runtime/parallel.h"
#include "sim/cluster/client_process.h"

namespace cairn::sim {

namespace {

constexpr const char* kBefore =
    "before";  // containers: made before the pool is extended, and after
constexpr const char* kAfter = "after";
constexpr uint32_t kClientsOfHost = 1'000;
constexpr Duration kStepMax = 600 * kSecond;
constexpr uint64_t kShardBytes = 128ull << 20;
/// The default: what a shard knows of its clients depends on it.
constexpr uint64_t kShardMemory = 256ull << 20;
constexpr uint64_t kPlacedObjects = 1'000'000;

uint64_t heap_bytes() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

Spread spread_of(const std::vector<double>& values) {
  Spread out;
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    out.max = std::max(out.max, value);
  }
  const auto n = static_cast<double>(std::max<size_t>(values.size(), 1));
  out.mean = sum / n;
  for (const double value : values) squares += (value - out.mean) * (value - out.mean);
  out.variation = out.mean > 0 ? std::sqrt(squares / n) / out.mean : 0;
  return out;
}

template <class Key>
Spread spread_of(const std::map<Key, uint32_t>& counts) {
  std::vector<double> values;
  for (const auto& [key, count] : counts) values.push_back(count);
  return spread_of(values);
}

/// Clients of one machine: each has a session, connections and a view of the system of its own.
/// They share the thread: what a processor takes is not simulated.
class ClientHost final : public Process {
 public:
  ClientHost(Stage& stage, Network& network, NodeId node, Uuid system)
      : Process(stage, "host" + std::to_string(node)),
        network_(network),
        node_(node),
        system_(system) {}
  ~ClientHost() override { CHECK(!is_running()); }

  struct One {
    std::unique_ptr<SimTransport> transport;
    std::unique_ptr<client::Rpc> rpc;
    std::unique_ptr<client::System> system;
    client::PoolPtr pool;
    client::ContainerPtr cont;
  };

  void start(uint32_t clients) {
    begin_run();
    context_ = std::make_unique<Context>(reactor());
    for (uint32_t i = 0; i < clients; ++i) add();
  }
  void kill() {
    if (!is_running()) return;
    network_.process_ended(node_, false);
    end_run();
    clients_.clear();
    context_.reset();
  }
  std::vector<One>& clients() { return clients_; }

 private:
  void add() {
    One one;
    const uint64_t session = client::random_session(random());
    one.transport = std::make_unique<SimTransport>(
        network_, *this,
        SimTransportOptions{.at = node_, .session = session, .connect_patience = 10 * kSecond});
    client::RpcOptions options = client::served_rpc_options();
    options.session = session;
    options.system = system_;
    one.rpc = std::make_unique<client::Rpc>(reactor(), *one.transport, options);
    one.system = client::make_system(
        {.context = context_.get(), .rpc = one.rpc.get(), .service = {.rank = 0}});
    clients_.push_back(std::move(one));
  }

  Network& network_;
  const NodeId node_;
  const Uuid system_;
  std::unique_ptr<Context> context_;
  std::vector<One> clients_;
};

class Scale {
 public:
  explicit Scale(const ScaleOptions& options);
  ~Scale();
  ScaleReport run();

 private:
  using One = ClientHost::One;
  /// Something that a client does, and how many have not ended it.
  using Deed = Task<Result<void>> (Scale::*)(One& one, uint32_t number);

  static uint32_t hosts_of(const ScaleOptions& options) {
    return (options.clients + kClientsOfHost - 1) / kClientsOfHost;
  }
  bool all_do(const char* name, Deed deed);
  bool one_does(const char* name, Deed deed);
  Task<void> does(One& one, uint32_t number, Deed deed);
  bool wait(const char* name, const std::function<bool()>& done);
  void begin_step();
  void end_step(const char* name);
  void problem(std::string what) {
    if (report_.problems.size() < 10) report_.problems.push_back(std::move(what));
  }

  Task<Result<void>> found(One& one, uint32_t number);
  Task<Result<void>> come(One& one, uint32_t number);
  Task<Result<void>> write(One& one, uint32_t number);
  Task<Result<void>> read(One& one, uint32_t number);
  Task<Result<void>> extend(One& one, uint32_t number);
  Task<Result<void>> fill_wide(One& one, uint32_t number);
  Task<Result<void>> list_wide(One& one, uint32_t number);
  Task<Result<void>> query_wide(One& one, uint32_t number);
  Task<Result<void>> epoch_wide(One& one, uint32_t number);

  void count_connections();
  void kill_one();
  void place_many();
  layout::PoolMap map_of(uint32_t engines) const;
  model::ObjectId object(uint64_t number, const char* class_name, uint8_t type = 0) const;
  /// With integer dkeys.
  model::ObjectId wide() const { return object(0, "SX", 2); }
  uint32_t wide_keys() const { return first_engines() * shape_.targets * 2; }
  uint32_t first_engines() const { return options_.engines - options_.late; }

  const ScaleOptions options_;
  Stage stage_;
  ClusterShape shape_;
  Network network_;
  std::vector<std::unique_ptr<MemberProcess>> members_;
  std::unique_ptr<ServerProcess> server_;
  std::vector<std::unique_ptr<ClientHost>> hosts_;
  ScaleReport report_;
  uint64_t working_ = 0;
  ScaleStep begun_;
  Instant begun_at_ = 0;
};

Scale::Scale(const ScaleOptions& options)
    : options_(options),
      stage_(options.seed),
      network_(stage_, options.engines + hosts_of(options), {}) {
  shape_.system = uuid_from_random(stage_.random().bytes16());
  shape_.engines = options.engines;
  shape_.targets = options.targets;
  std::vector<MemberProcess*> members;
  for (uint32_t rank = 1; rank < shape_.engines; ++rank) {
    members_.push_back(std::make_unique<MemberProcess>(stage_, network_, shape_, rank));
    members.push_back(members_.back().get());
  }
  server_ = std::make_unique<ServerProcess>(stage_, network_, shape_, std::move(members));
  for (uint32_t i = 0; i < hosts_of(options); ++i) {
    hosts_.push_back(
        std::make_unique<ClientHost>(stage_, network_, options.engines + i, shape_.system));
  }
}

Scale::~Scale() {
  for (const auto& host : hosts_) host->kill();
  for (const auto& member : members_) member->kill(false);
  server_->kill(false);
}

void Scale::begin_step() {
  begun_at_ = stage_.now();
  const NetworkCounts& now = network_.counts();
  begun_ = {.calls = now.calls, .admin = now.admin, .connections = now.connections};
}

void Scale::end_step(const char* name) {
  const NetworkCounts& now = network_.counts();
  const auto since = [](const Traffic& before, const Traffic& after) {
    return Traffic{after.messages - before.messages, after.bytes - before.bytes};
  };
  report_.steps.push_back({.name = name,
                           .took = stage_.now() - begun_at_,
                           .calls = since(begun_.calls, now.calls),
                           .admin = since(begun_.admin, now.admin),
                           .connections = now.connections - begun_.connections});
}

bool Scale::wait(const char* name, const std::function<bool()>& done) {
  if (stage_.run(done, stage_.now() + kStepMax)) return report_.problems.empty();
  problem(std::string(name) + ": it does not come to its end " + server_->trouble());
  return false;
}

Task<void> Scale::does(One& one, uint32_t number, Deed deed) {
  const auto done = co_await (this->*deed)(one, number);
  if (!done) problem("client " + std::to_string(number) + ": " + done.error().what());
  --working_;
}

/// All clients at once, as the tasks of a parallel program do.
bool Scale::all_do(const char* name, Deed deed) {
  begin_step();
  uint32_t number = 0;
  for (const auto& host : hosts_) {
    for (One& one : host->clients()) {
      ++working_;
      host->reactor().spawn(does(one, number++, deed));
    }
  }
  const bool well = wait(name, [this] { return working_ == 0; });
  end_step(name);
  return well;
}

bool Scale::one_does(const char* name, Deed deed) {
  begin_step();
  ++working_;
  hosts_[0]->reactor().spawn(does(hosts_[0]->clients()[0], 0, deed));
  const bool well = wait(name, [this] { return working_ == 0; });
  end_step(name);
  return well;
}

Task<Result<void>> Scale::found(One& one, uint32_t) {
  client::PoolCreateOptions pool{.label = kPoolLabel,
                                 .bytes = kShardBytes * first_engines() * shape_.targets,
                                 .memory_bytes = kShardMemory};
  for (uint32_t rank = 0; rank < first_engines(); ++rank) pool.ranks.push_back(rank);
  CO_TRY(made, co_await one.system->pool_create(std::move(pool)));
  CO_TRY(connected, co_await one.system->pool_connect(kPoolLabel, client::Access::read_write));
  CO_TRY(cont, co_await connected->cont_create(kBefore, {}));
  co_return co_await connected->disconnect();
}

Task<Result<void>> Scale::come(One& one, uint32_t) {
  CO_TRY(pool, co_await one.system->pool_connect(kPoolLabel, client::Access::read_write));
  CO_TRY(cont, co_await pool->cont_open(kBefore, client::Access::read_write));
  one.pool = std::move(pool);
  one.cont = std::move(cont);
  co_return Result<void>{};
}

model::ObjectId Scale::object(uint64_t number, const char* class_name, uint8_t type) const {
  const auto made = model::generate_oid(
      {.user = {.lo = number, .hi = 0}, .type = type, .class_id = model::class_by_name(class_name)},
      {.domains = first_engines(), .targets = first_engines() * shape_.targets});
  CHECK(made.has_value());
  return *made;
}

Task<Result<void>> Scale::write(One& one, uint32_t number) {
  for (uint32_t i = 0; i < options_.objects; ++i) {
    const uint64_t value = 1 + uint64_t{number} * options_.objects + i;
    Bytes bytes(sizeof value);
    store_le64(bytes.data(), value);
    CO_TRY(done, co_await one.cont->update({.oid = object(value, "S1"), .dkey = as_bytes("d")},
                                           single_iod(bytes)));
  }
  co_return Result<void>{};
}

Task<Result<void>> Scale::read(One& one, uint32_t number) {
  for (uint32_t i = 0; i < options_.objects; ++i) {
    const uint64_t value = 1 + uint64_t{number} * options_.objects + i;
    Bytes bytes(sizeof value);
    CO_TRY(found, co_await one.cont->fetch({.oid = object(value, "S1"), .dkey = as_bytes("d")},
                                           single_iod(bytes)));
    if (load_le64(bytes.data()) != value) co_return fail(Errc::io, "scale: another value");
  }
  co_return Result<void>{};
}

Task<Result<void>> Scale::extend(One& one, uint32_t) {
  std::vector<uint32_t> ranks;
  for (uint32_t rank = first_engines(); rank < options_.engines; ++rank) ranks.push_back(rank);
  CO_TRY(extended, co_await one.system->pool_extend(kPoolLabel, std::move(ranks)));
  CO_TRY(made, co_await one.pool->cont_create(kAfter, {}));
  CO_TRY(cont, co_await one.pool->cont_open(kAfter, client::Access::read_write));
  if (cont->shape().domains != options_.engines) {
    co_return fail(Errc::io, "scale: a new container does not use all engines");
  }
  if (one.cont->shape().domains != first_engines()) {
    co_return fail(Errc::io, "scale: an old container has changed");
  }
  co_return co_await cont->close();
}

/// Two keys for each target: neighbours lie on different shards.
Task<Result<void>> Scale::fill_wide(One& one, uint32_t) {
  for (uint64_t key = 0; key < wide_keys(); ++key) {
    Bytes bytes(8);
    Bytes dkey(8);
    store_le64(dkey.data(), key);
    CO_TRY(done, co_await one.cont->update({.oid = wide(), .dkey = dkey}, single_iod(bytes)));
  }
  co_return Result<void>{};
}

Task<Result<void>> Scale::list_wide(One& one, uint32_t) {
  size_t found = 0;
  model::ListRequest request{.count_max = 1'000, .bytes_max = 1u << 16, .position = {}};
  for (;;) {
    CO_TRY(listed, co_await one.cont->list(wide(), request));
    found += listed.lengths.size();
    if (listed.eof) break;
    request.position = std::move(listed.position);
  }
  if (found != wide_keys()) co_return fail(Errc::io, "scale: a listing of other keys");
  co_return Result<void>{};
}

Task<Result<void>> Scale::query_wide(One& one, uint32_t) {
  CO_TRY(greatest, co_await one.cont->query_key(wide(), {.max = true, .want_dkey = true}));
  if (greatest.dkey != wide_keys() - 1) co_return fail(Errc::io, "scale: another greatest key");
  co_return Result<void>{};
}

Task<Result<void>> Scale::epoch_wide(One& one, uint32_t) {
  CO_TRY(epoch, co_await one.cont->max_epoch(wide()));
  if (epoch == 0) co_return fail(Errc::io, "scale: no newest epoch");
  co_return Result<void>{};
}

void Scale::count_connections() {
  const Network::Held held = network_.held();
  report_.of_client = spread_of(held.by_session);
  report_.of_engine = spread_of(held.by_engine);
}

/// An engine in the middle, which comes back by itself.
void Scale::kill_one() {
  begin_step();
  MemberProcess& member = *members_[first_engines() / 2 - 1];
  member.kill(true);
  stage_.run([this] { return !server_->is_whole(); }, stage_.now() + kStepMax);
  wait("restart", [this] { return server_->is_whole(); });
  end_step("an engine restarts");
}

layout::PoolMap Scale::map_of(uint32_t engines) const {
  layout::PoolMap map{.targets = {}};
  for (uint32_t rank = 0; rank < engines; ++rank) {
    for (uint32_t i = 0; i < shape_.targets; ++i) map.targets.push_back({.id = {rank, i}});
  }
  layout::set_shape(map);
  return map;
}

/// How even it is, by the formula alone: as many objects as no simulation would write.
void Scale::place_many() {
  const layout::PoolMap before = map_of(first_engines()), after = map_of(options_.engines);
  layout::Placer placer(before), later(after);
  SeededRandom random(options_.seed);
  std::map<model::TargetId, std::pair<double, double>> load;
  std::vector<layout::Place> places;
  uint64_t on_late = 0;
  for (const auto& target : before.targets) load[target.id] = {};
  for (uint64_t i = 0; i < kPlacedObjects; ++i) {
    const auto oid = object(i, "S1");
    // From a few bytes to a MiB, each order of magnitude as often.
    const double bytes = std::exp2(3 + random.below(18));
    if (!placer.place(oid, places)) return problem("placement: an object has no place");
    auto& at = load[{places[0].rank, places[0].target}];
    at.first += 1;
    at.second += bytes;
    if (later.place(oid, places) && places[0].rank >= first_engines()) ++on_late;
  }
  std::vector<double> objects, bytes;
  for (const auto& [id, both] : load) {
    objects.push_back(both.first);
    bytes.push_back(both.second);
  }
  report_.objects = spread_of(objects);
  report_.bytes = spread_of(bytes);
  const auto targets = static_cast<double>(load.size());
  report_.binomial = std::sqrt((targets - 1) / kPlacedObjects);
  report_.to_late = static_cast<double>(on_late) / kPlacedObjects;
}

ScaleReport Scale::run() {
  const uint64_t empty = heap_bytes();
  begin_step();
  server_->start();
  const bool up = wait("start", [this] { return server_->is_whole(); });
  end_step("engines start");
  hosts_[0]->start(1);
  if (!up || !one_does("pool create", &Scale::found)) return report_;
  report_.engine_bytes = (heap_bytes() - empty) / options_.engines;
  hosts_[0]->kill();
  const uint64_t without = heap_bytes();
  for (size_t i = 0; i < hosts_.size(); ++i) {
    hosts_[i]->start(
        std::min(kClientsOfHost, options_.clients - static_cast<uint32_t>(i) * kClientsOfHost));
  }
  if (!all_do("clients open a container", &Scale::come)) return report_;
  const uint64_t opened = heap_bytes() - without;
  const bool well =
      all_do("clients write", &Scale::write) && one_does("wide: write", &Scale::fill_wide) &&
      one_does("wide: list", &Scale::list_wide) && one_does("wide: max key", &Scale::query_wide) &&
      one_does("wide: newest epoch", &Scale::epoch_wide);
  count_connections();
  if (!well || !one_does("pool extend", &Scale::extend)) return report_;
  if (!all_do("clients read after it", &Scale::read)) return report_;
  kill_one();
  if (!all_do("clients read after that", &Scale::read)) return report_;
  const uint64_t with = heap_bytes();
  for (const auto& host : hosts_) host->kill();
  report_.client_bytes = (with - heap_bytes()) / options_.clients;
  report_.handle_bytes = (opened - std::min(opened, report_.client_bytes * options_.clients)) /
                         (uint64_t{options_.clients} * options_.engines);
  place_many();
  report_.hash = stage_.trace().hash();
  return report_;
}

}  // namespace

ScaleReport run_scale(const ScaleOptions& options) { return Scale(options).run(); }

}  // namespace cairn::sim
