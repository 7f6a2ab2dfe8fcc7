#include "sim/cluster/client_process.h"

#include <algorithm>

#include "base/report.h"
#include "client/system.h"
#include "runtime/parallel.h"

namespace cairn::sim {

namespace {

constexpr Duration kRenewAfter = 2 * kSecond;
constexpr Duration kConnectAgain = 500 * kMillisecond;
constexpr uint64_t kPoolBytes = 128ull << 20;
constexpr uint64_t kMemoryBytes = 8ull << 20;
constexpr size_t kReadersAtOnce = 8;

/// Some writes are said to be the last ones of their objects, which are flattened then, in the
/// middle of everything, and written on.
uint64_t maybe_final(Value value) { return value % 4 == 0 ? model::cond::kFinal : 0; }

bool is_expected(Errc code) {
  switch (code) {
    case Errc::timed_out:
    case Errc::unreachable:
    case Errc::unknown:
    case Errc::io:
    case Errc::tx_restart:
    case Errc::busy:
    case Errc::overload:
    case Errc::in_progress:
    case Errc::shutdown:
      return true;
    default:
      return false;
  }
}

}  // namespace

model::Iods single_iod(ByteSpan bytes) {
  model::Iods iods(1);
  iods[0].akey = as_bytes("v");
  iods[0].type = model::ValueType::single;
  iods[0].record_bytes = bytes.size();
  iods[0].buffer = {{bytes.data(), bytes.size()}};
  return iods;
}

ClientProcess::ClientProcess(Stage& stage, Network& network, const ClusterShape& shape, NodeId node,
                             Role role, Scope& scope)
    : Process(stage, "client" + std::to_string(node)),
      network_(network),
      shape_(shape),
      node_(node),
      role_(role),
      scope_(scope),
      book_(scope.book) {}

void ClientProcess::build() {
  begin_run();
  run_ = std::make_unique<Run>();
  Run& run = *run_;
  uint64_t session = 0;
  while (session == 0) session = random().next();
  run.transport = std::make_unique<SimTransport>(
      network_, *this,
      SimTransportOptions{.at = node_, .session = session, .connect_patience = 10 * kSecond});
  client::RpcOptions options = client::served_rpc_options();
  options.session = session;
  options.system = shape_.system;
  run.rpc = std::make_unique<client::Rpc>(reactor(), *run.transport, options);
  run.context = std::make_unique<Context>(reactor());
  run.system = client::make_system(
      {.context = run.context.get(), .rpc = run.rpc.get(), .service = {.rank = 0}});
}

void ClientProcess::start(uint32_t workers) {
  build();
  workers_ = workers;
  reactor().spawn(open(workers));
}

void ClientProcess::start_as_founder(uint32_t workers) {
  build();
  workers_ = workers;
  reactor().spawn(found_and_open(workers));
}

void ClientProcess::kill() {
  if (!is_running()) return;
  network_.process_ended(node_, false);
  end_run();
  run_.reset();
}

void ClientProcess::renew() {
  if (std::exchange(run_->renews, true)) return;
  stage().after(kRenewAfter, [this, life = life()] {
    if (!is_running() || this->life() != life) return;
    kill();
    start(workers_);
  });
}

Task<void> ClientProcess::found_and_open(uint32_t workers) {
  client::System& system = *run_->system;
  for (;;) {
    const auto made =
        co_await system.pool_create({.label = kPoolLabel,
                                     .bytes = kPoolBytes * shape_.engines * shape_.targets,
                                     .memory_bytes = kMemoryBytes});
    if (made) break;
    ended("make the pool", made.error());
    co_await reactor().sleep(kConnectAgain);
  }
  const auto pool = co_await system.pool_connect(kPoolLabel, client::Access::read_write);
  CHECK(pool.has_value());
  const auto cont = co_await (*pool)->cont_create(kMainLabel, {});
  CHECK(cont.has_value());
  co_await open(workers);
}

Task<Result<void>> ClientProcess::connect() {
  CO_TRY(pool, co_await run_->system->pool_connect(kPoolLabel, client::Access::read_write));
  CO_TRY(cont, co_await pool->cont_open(kMainLabel, client::Access::read_write));
  run_->pool = pool;
  run_->cont = cont;
  co_return Result<void>{};
}

Task<void> ClientProcess::open(uint32_t workers) {
  for (;;) {
    const auto done = co_await connect();
    if (done) break;
    ended("connect", done.error());
    co_await reactor().sleep(kConnectAgain);
  }
  run_->open = true;
  if (workers != 0) set_to_work();
}

void ClientProcess::set_to_work() {
  for (uint32_t i = 0; i < workers_; ++i) {
    ++run_->busy;
    reactor().spawn(work());
  }
  if (role_ == Role::worker) return;
  ++run_->busy;
  reactor().spawn(role_ == Role::snapshots    ? keep_snapshots()
                  : role_ == Role::containers ? keep_containers()
                                              : keep_pools());
}

void ClientProcess::resume() {
  if (is_open() && run_->busy == 0) set_to_work();
}

std::string ClientProcess::doing() const {
  if (!is_running()) return "nothing";
  if (!run_->open) return "to be connected";
  return std::to_string(run_->busy) + " of its workers";
}

Task<void> ClientProcess::work() {
  while (!scope_.pausing) {
    co_await do_something();
    co_await reactor().sleep(1 + dice(scope_.think_max));
  }
  --run_->busy;
}

/// Errors that say that the session is over have it begun anew; those that nothing explains are
/// problems.
void ClientProcess::ended(const char* what, const Error& error) {
  ++scope_.failed;
  report(Severity::info, std::to_string(now() / kMillisecond) + " ms, " + name() + ": " + what +
                             ": " + error.what());
  const Errc code = error.code();
  if (code == Errc::no_handle && run_->cont != nullptr) {
    reactor().spawn(ask_about_handle(what, run_->cont));
  } else if (code == Errc::checksum && scope_.rotten) {
    ++scope_.done["told of damage"];
  } else if (!is_expected(code)) {
    book_.problem(std::string(what) + " ended with an error that nothing explains: " +
                  error.what() + " (" + std::to_string(static_cast<int>(code)) + ")");
  }
  if (code == Errc::no_handle || code == Errc::unknown) renew();
}

/// After no_handle: the services have ended the session, or an engine does not know what they know.
Task<void> ClientProcess::ask_about_handle(std::string what, client::ContainerPtr cont) {
  if ((co_await cont->query()).has_value()) {
    book_.problem(what + ": an engine does not know a handle that the services know");
  }
}

Task<void> ClientProcess::do_something() {
  const uint64_t choice = dice(100);
  const size_t alone = kGroups * kGroupMembers + dice(kAlone);
  if (choice < 30) return read(alone);
  if (choice < 55) return put(alone, 0);
  if (choice < 62) return put(alone, model::cond::kDkeyInsert);
  if (choice < 69) return put(alone, model::cond::kDkeyUpdate);
  if (choice < 76) return punch(alone);
  const size_t group = dice(kGroups);
  if (choice < 84) return look_at_group(group);
  if (choice < 92) return change_group(group, dice(2) == 0 ? Way::blind : Way::read_and_write);
  std::vector<size_t> registers = {alone, kGroups * kGroupMembers + dice(kAlone)};
  if (registers[0] == registers[1]) registers.pop_back();
  return change_together(std::move(registers), false,
                         dice(3) == 0 ? Way::blind : Way::read_and_write);
}

Task<Result<Value>> ClientProcess::fetch(client::Container& cont, size_t at, client::ReadAt when) {
  Bytes room(kValueBytesMax);
  CO_TRY(fetched, co_await cont.fetch_at(
                      when, {.oid = scope_.objects[at], .dkey = as_bytes(scope_.dkeys[at])},
                      single_iod(room)));
  if (fetched.status != Errc::ok) co_return fail(fetched.status, "fetch: its status");
  const auto value = value_of(
      ByteView(room).first(std::min<size_t>(room.size(), fetched.iods.front().record_bytes)));
  if (!value) {
    book_.problem("register " + std::to_string(at) + ": bytes that nobody wrote");
    co_return fail(Errc::io, "fetch: bytes that nobody wrote");
  }
  co_return *value;
}

Task<void> ClientProcess::read(size_t at) {
  const size_t number =
      book_.begin(at, {.begin = now(), .sees = RegisterOp::Sees::value, .name = "read"});
  const auto value = co_await fetch(*run_->cont, at);
  if (!value) {
    book_.never(at, number);
    ended("read", value.error());
    co_return;
  }
  book_.op(at, number).seen = *value;
  book_.end(at, number, now());
  well("read");
}

Task<void> ClientProcess::put(size_t at, uint64_t flags) {
  using Sees = RegisterOp::Sees;
  const Value value = book_.fresh_value();
  const bool insert = flags == model::cond::kDkeyInsert;
  const bool update = flags == model::cond::kDkeyUpdate;
  const char* const name = insert ? "insert" : update ? "update" : "put";
  const Instant begin = now();
  const size_t number = book_.begin(at, {.begin = begin,
                                         .sees = insert   ? Sees::nothing
                                                 : update ? Sees::something
                                                          : Sees::any,
                                         .writes = true,
                                         .written = value,
                                         .name = name});
  Bytes bytes = bytes_of(value);
  const auto done = co_await run_->cont->update({.oid = scope_.objects[at],
                                                 .dkey = as_bytes(scope_.dkeys[at]),
                                                 .flags = flags | maybe_final(value)},
                                                single_iod(bytes));
  if (done) {
    book_.end(at, number, now());
    book_.wrote_at(at, value, *done, begin, now());
    well(name);
    co_return;
  }
  const Errc code = done.error().code();
  if ((insert && code == Errc::exists) || (update && code == Errc::nonexistent)) {
    RegisterOp& op = book_.op(at, number);
    op.sees = insert ? Sees::something : Sees::nothing;
    op.writes = false;
    book_.end(at, number, now());
    well(insert ? "insert refused" : "update refused");
    co_return;
  }
  if (code == Errc::unreachable || code == Errc::tx_restart) book_.never(at, number);
  ended(name, done.error());
}

Task<void> ClientProcess::punch(size_t at) {
  const Instant begin = now();
  const size_t number = book_.begin(at, {.begin = begin, .writes = true, .name = "punch"});
  const auto done = co_await run_->cont->punch_dkey(
      {.oid = scope_.objects[at], .dkey = as_bytes(scope_.dkeys[at])});
  if (done) {
    book_.end(at, number, now());
    well("punch");
    co_return;
  }
  const Errc code = done.error().code();
  if (code == Errc::unreachable || code == Errc::tx_restart) book_.never(at, number);
  ended("punch", done.error());
}

Task<void> ClientProcess::change_group(size_t group, Way way) {
  std::vector<size_t> registers;
  for (size_t i = 0; i < kGroupMembers; ++i) registers.push_back(member_of(group, i));
  co_await change_together(std::move(registers), true, way);
}

Task<void> ClientProcess::change_together(std::vector<size_t> registers, bool same, Way way) {
  std::vector<Value> values;
  for (size_t i = 0; i < registers.size(); ++i) {
    values.push_back(same && i > 0 ? values.front() : book_.fresh_value());
  }
  if (way == Way::blind) return change_blindly(std::move(registers), std::move(values));
  return read_and_change(std::move(registers), std::move(values));
}

Task<void> ClientProcess::change_blindly(std::vector<size_t> registers, std::vector<Value> values) {
  const Instant begin = now();
  std::vector<Bytes> bytes;
  std::vector<size_t> numbers;
  client::Changes changes;
  for (size_t i = 0; i < registers.size(); ++i) {
    bytes.push_back(bytes_of(values[i]));
    numbers.push_back(
        book_.begin(registers[i],
                    {.begin = begin, .writes = true, .written = values[i], .name = "transaction"}));
    changes.changes.push_back({.oid = scope_.objects[registers[i]],
                               .dkey = as_bytes(scope_.dkeys[registers[i]]),
                               .iods = single_iod(bytes.back())});
  }
  const auto done = co_await run_->cont->transact(std::move(changes));
  for (size_t i = 0; i < registers.size(); ++i) {
    if (done) {
      book_.end(registers[i], numbers[i], now());
      book_.wrote_at(registers[i], values[i], *done, begin, now());
    } else if (done.error().code() == Errc::tx_restart) {
      book_.never(registers[i], numbers[i]);
    }
  }
  if (done) {
    well("blind transaction");
  } else {
    ended("blind transaction", done.error());
  }
}

Task<void> ClientProcess::read_and_change(std::vector<size_t> registers,
                                          std::vector<Value> values) {
  using Sees = RegisterOp::Sees;
  const Instant begin = now();
  const auto tx = std::make_shared<client::Transaction>(run_->cont, client::TransactionOptions{});
  const client::ContainerPtr view = tx->container();
  std::vector<Value> seen;
  for (const size_t at : registers) {
    const auto value = co_await fetch(*view, at);
    if (!value) {
      ended("read of a transaction", value.error());
      co_return;
    }
    seen.push_back(*value);
    book_.add(at, {.begin = begin,
                   .end = now(),
                   .happened = true,
                   .sees = Sees::value,
                   .seen = *value,
                   .name = "read of a transaction"});
  }
  for (size_t i = 0; i < registers.size(); ++i) {
    Bytes bytes = bytes_of(values[i]);
    const auto kept = co_await view->update({.oid = scope_.objects[registers[i]],
                                             .dkey = as_bytes(scope_.dkeys[registers[i]]),
                                             .flags = maybe_final(values[i])},
                                            single_iod(bytes));
    if (!kept) {
      ended("change of a transaction", kept.error());
      co_return;
    }
  }
  std::vector<size_t> numbers;
  for (size_t i = 0; i < registers.size(); ++i) {
    numbers.push_back(book_.begin(registers[i], {.begin = now(),
                                                 .sees = Sees::value,
                                                 .seen = seen[i],
                                                 .writes = true,
                                                 .written = values[i],
                                                 .name = "read and change"}));
  }
  const auto done = co_await tx->commit();
  for (size_t i = 0; i < registers.size(); ++i) {
    if (done) book_.end(registers[i], numbers[i], now());
    if (!done && done.error().code() == Errc::tx_restart) book_.never(registers[i], numbers[i]);
  }
  if (done) {
    well("read and change");
  } else {
    ended("commit", done.error());
  }
}

Task<void> ClientProcess::look_at_group(size_t group) {
  const Instant begin = now();
  const auto tx = std::make_shared<client::Transaction>(
      run_->cont, client::TransactionOptions{.read_only = true});
  const client::ContainerPtr view = tx->container();
  std::vector<Value> values;
  for (size_t i = 0; i < kGroupMembers; ++i) {
    const size_t at = member_of(group, i);
    const auto value = co_await fetch(*view, at);
    if (!value) {
      ended("look", value.error());
      co_return;
    }
    values.push_back(*value);
    book_.add(at, {.begin = begin,
                   .end = now(),
                   .happened = true,
                   .sees = RegisterOp::Sees::value,
                   .seen = *value,
                   .name = "look"});
  }
  book_.group_read(group, values,
                   "a look from " + std::to_string(begin / kMicrosecond) + " to " +
                       std::to_string(now() / kMicrosecond) + " us at group " +
                       std::to_string(group));
  well("look");
}

Task<void> ClientProcess::read_some(size_t from, size_t step,
                                    std::vector<std::optional<Value>>& into) {
  for (size_t at = from; at < kRegisters; at += step) {
    const size_t number =
        book_.begin(at, {.begin = now(), .sees = RegisterOp::Sees::value, .name = "last read"});
    const auto value = co_await fetch(*run_->cont, at);
    if (!value) {
      book_.never(at, number);
      ended("last read", value.error());
      continue;
    }
    book_.op(at, number).seen = *value;
    book_.end(at, number, now());
    into[at] = *value;
  }
  --run_->busy;
}

void ClientProcess::read_all(std::vector<std::optional<Value>>& into) {
  CHECK(is_idle());
  into.assign(kRegisters, std::nullopt);
  for (size_t i = 0; i < kReadersAtOnce; ++i) {
    ++run_->busy;
    reactor().spawn(read_some(i, kReadersAtOnce, into));
  }
}

}  // namespace cairn::sim
