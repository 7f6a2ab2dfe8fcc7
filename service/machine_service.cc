// Machines whose engines belong to the system, with services on another one: a machine joins once,
// which gives it its ranks for ever; its server reports what its engines do, and hears what it
// shall do with them.
#include "model/limits.h"
#include "service/service.h"

namespace cairn::service {

namespace {

constexpr size_t kNameBytesMax = 255;

wire::Machine machine_of(const Uuid& uuid, const MachineRecord& record) {
  return {.uuid = uuid,
          .name = record.name,
          .first_rank = record.first_rank,
          .engine_count = record.engine_count,
          .target_count = 0,
          .incarnation = 0,
          .engines = {}};
}

std::unexpected<Error> alone() {
  return fail(Errc::not_supported,
              "machine: this system has no server that other machines could join");
}

}  // namespace

/// From the record that is durable now: pools may be made on its engines.
void Service::admit(const Uuid& uuid, const MachineRecord& record) {
  machines_[uuid] = record;
  for (uint32_t i = 0; i < record.engine_count; ++i) {
    for (uint32_t target = 0; target < options_.machines->target_count(); ++target) {
      options_.targets.push_back({record.first_rank + i, target});
    }
  }
  options_.machines->admit(machine_of(uuid, record));
}

Task<Result<void>> Service::start_machines() {
  CO_TRY(entries, co_await config_.range(std::string(kMachinesPrefix)));
  std::map<uint32_t, std::pair<Uuid, MachineRecord>> by_rank;
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<MachineRecord>(entry.value));
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(kMachinesPrefix.size()));
    const bool fits = record.first_rank != 0 && record.engine_count != 0 &&
                      record.engine_count <= model::kEnginesMax &&
                      record.first_rank <= model::kEnginesMax - record.engine_count;
    if (!uuid || !fits) co_return fail(Errc::checksum, "config store: a machine without ranks");
    by_rank[record.first_rank] = {*uuid, std::move(record)};
  }
  if (by_rank.empty()) co_return Result<void>{};
  if (options_.machines == nullptr) {
    co_return fail(
        Errc::not_supported,
        "service: some of the system's engines are on other machines, so that it must be "
        "served (daos_server), and cannot be opened in process");
  }
  uint64_t next = options_.machines->own_engines();
  for (const auto& [rank, machine] : by_rank) {
    if (rank != next) {
      co_return fail(Errc::checksum,
                     "config store: the ranks of machines do not follow each other");
    }
    next += machine.second.engine_count;
    admit(machine.first, machine.second);
  }
  co_return Result<void>{};
}

/// The ranks behind all that were ever given. @param next  below which they are
Result<MachineRecord> Service::allot_ranks(const wire::Machine& machine, uint64_t next) const {
  const uint64_t first = std::max<uint64_t>(next, options_.machines->own_engines());
  if (first + machine.engine_count > model::kEnginesMax) {
    return fail(Errc::no_space, "machine: a system has at most 1,024 engines");
  }
  return MachineRecord{.name = machine.name,
                       .first_rank = static_cast<uint32_t>(first),
                       .engine_count = machine.engine_count};
}

Result<void> Service::check_machine(const wire::Machine& machine) const {
  if (machine.uuid.is_nil() || machine.engine_count == 0 ||
      machine.engine_count > model::kEnginesMax || machine.name.size() > kNameBytesMax) {
    return fail(Errc::invalid, "machine: it has no id, no engine, or too long a name");
  }
  if (machine.target_count != options_.machines->target_count()) {
    return fail(Errc::invalid, "machine: its engines must have as many targets as the system's");
  }
  const auto known = machines_.find(machine.uuid);
  if (known != machines_.end() && known->second.engine_count != machine.engine_count) {
    return fail(Errc::invalid, "machine: it has joined with another number of engines");
  }
  return {};
}

/// Who joins at the same time gets other ranks.
Task<Result<void>> Service::join_once(wire::Machine machine) {
  CO_TRY(entry, co_await config_.get(std::string(kMachineRanksKey)));
  OidRecord ranks;
  if (entry) {
    CO_TRY(record, parse_record<OidRecord>(entry->value));
    ranks = record;
  }
  CO_TRY(record, allot_ranks(machine, ranks.next));
  CO_TRY(prepared, options_.machines->prepare());
  ranks.next = record.first_rank + record.engine_count;
  ConfigTxn txn;
  txn.expect(std::string(kMachineRanksKey), entry ? entry->modified : 0);
  txn.expect(machine_key(machine.uuid), 0);
  txn.put(std::string(kMachineRanksKey), wire::proto_encode(ranks));
  txn.put(machine_key(machine.uuid), wire::proto_encode(record));
  CO_TRY(committed, co_await config_.commit(std::move(txn)));
  admit(machine.uuid, record);
  co_return Result<void>{};
}

Task<Result<Service::Reply>> Service::machine_join(const Request& request) {
  if (options_.machines == nullptr || !options_.machines->joinable()) co_return alone();
  const wire::Machine& machine = request.machine;
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(fits, check_machine(machine));
    const auto known = machines_.find(machine.uuid);
    if (known != machines_.end()) {
      co_return Reply{.uuid = options_.machines->system(),
                      .machine = machine_of(machine.uuid, known->second),
                      .secret = options_.machines->secret()};
    }
    const auto joined = co_await join_once(machine);
    if (!joined && joined.error().code() != Errc::again) co_return fail(joined.error());
  }
  co_return fail(Errc::busy, "machine: others join all the time; try again");
}

Task<Result<Service::Reply>> Service::machine_report(const Request& request) {
  if (options_.machines == nullptr) co_return alone();
  const wire::Machine& machine = request.machine;
  const auto known = machines_.find(machine.uuid);
  if (known == machines_.end()) {
    co_return fail(Errc::nonexistent, "machine: it has not joined this system");
  }
  wire::Machine report = machine_of(machine.uuid, known->second);
  report.incarnation = machine.incarnation;
  for (const wire::MachineEngine& engine : machine.engines) {
    if (engine.rank - report.first_rank >= report.engine_count) {
      co_return fail(Errc::invalid, "machine: reports an engine that it has not got");
    }
    report.engines.push_back(engine);
  }
  CO_TRY(orders, options_.machines->report(report));
  co_return Reply{.orders = std::move(orders)};
}

}  // namespace cairn::service
