#include "cmd/embed/machines.h"

#include <algorithm>

#include "base/report.h"
#include "cmd/embed/home_dir.h"

namespace cairn::embed {

namespace {

/// A machine that has said nothing for so long is away.
constexpr Duration kSilenceMax = 5 * kSecond;

}  // namespace

struct Machines::Host {
  std::string name;
  uint64_t incarnation = 0;  // of the process that reports; 0: none has yet
  Instant heard = 0;
  bool is_there(Instant now) const { return incarnation != 0 && now < heard + kSilenceMax; }
};

class Machines::OrderLauncher final : public Launcher {
 public:
  OrderLauncher(Machines& machines, Host& host, uint32_t rank)
      : machines_(machines), host_(host), order_{.rank = rank}, told_{.rank = rank} {}

  void launch() override { give(wire::MachineAction::launch); }
  void cancel() override {
    if (is_due()) order_ = {.rank = order_.rank};
  }
  bool is_running() override { return is_there() && told_.running; }
  bool is_starting() override { return is_there() && (told_.starting || is_due()); }
  bool is_silent() override { return !is_there(); }
  void terminate() override { give(wire::MachineAction::terminate); }
  void kill() override { give(wire::MachineAction::kill); }

  void hear(const wire::MachineEngine& engine) { told_ = engine; }
  /// A process that has carried out no order yet, and shall not carry out old ones.
  void forget() {
    order_ = {.rank = order_.rank};
    told_ = {.rank = order_.rank, .addresses = std::move(told_.addresses)};
  }
  const wire::MachineEngine& told() const { return told_; }
  const wire::MachineOrder& order() const { return order_; }
  const Host& host() const { return host_; }

 private:
  bool is_due() const {
    return order_.action == wire::MachineAction::launch && told_.done != order_.id;
  }
  bool is_there() const { return host_.is_there(machines_.reactor_.clock().now()); }
  void give(wire::MachineAction action) {
    order_.id = machines_.next_order();
    order_.action = action;
  }

  Machines& machines_;
  Host& host_;
  wire::MachineOrder order_;  // the last one; id 0: none
  wire::MachineEngine told_;
};

Machines::Machines(Reactor& reactor, MachinesOptions options)
    : reactor_(reactor), options_(std::move(options)) {}

Machines::~Machines() = default;

/// Another one than any server before this one gave.
uint64_t Machines::next_order() {
  uint64_t id = 0;
  while (id == 0) id = reactor_.random().next();
  return id;
}

Bytes Machines::secret() const {
  Bytes out;
  for (const uint8_t byte : options_.secret) out.push_back(static_cast<std::byte>(byte));
  return out;
}

Result<void> Machines::prepare() {
  return store_small_file(options_.home, kMachinesFile,
                          as_bytes("Other machines have engines of this system: the ranks after "
                                   "this machine's own are theirs.\n"));
}

void Machines::admit(const wire::Machine& machine) {
  auto& host = hosts_[machine.uuid];
  host = std::make_unique<Host>(Host{.name = machine.name});
  for (uint32_t i = 0; i < machine.engine_count; ++i) {
    const uint32_t rank = machine.first_rank + i;
    launchers_[rank] = std::make_unique<OrderLauncher>(*this, *host, rank);
    if (hooks_.admitted) hooks_.admitted(rank);
  }
}

Result<std::vector<wire::MachineOrder>> Machines::report(const wire::Machine& machine) {
  const auto found = hosts_.find(machine.uuid);
  if (found == hosts_.end() || machine.incarnation == 0) {
    return fail(Errc::nonexistent, "machine: nobody has admitted it");
  }
  Host& host = *found->second;
  const Instant now = reactor_.clock().now();
  const bool fresh = host.incarnation != machine.incarnation;
  if (fresh && host.is_there(now)) {
    return fail(Errc::busy,
                "machine: another process reports in its name; was its directory "
                "copied?");
  }
  const bool restarted = fresh && host.incarnation != 0;
  host.incarnation = machine.incarnation;
  host.heard = now;
  std::vector<wire::MachineOrder> orders;
  for (uint32_t i = 0; i < machine.engine_count; ++i) {
    OrderLauncher& launcher = *launchers_.at(machine.first_rank + i);
    if (restarted) launcher.forget();
  }
  for (const wire::MachineEngine& engine : machine.engines)
    launchers_.at(engine.rank)->hear(engine);
  for (uint32_t i = 0; i < machine.engine_count; ++i) {
    const uint32_t rank = machine.first_rank + i;
    if (fresh) launchers_.at(rank)->launch();
    if (fresh && hooks_.restarted) hooks_.restarted(rank);
    const OrderLauncher& launcher = *launchers_.at(rank);
    const uint64_t last = launcher.order().id;
    if (last != 0 && last != launcher.told().done) orders.push_back(launcher.order());
  }
  return orders;
}

std::vector<std::string> Machines::addresses(uint32_t rank) const {
  const auto found = launchers_.find(rank);
  return found == launchers_.end() ? std::vector<std::string>() : found->second->told().addresses;
}

Task<Result<std::vector<Address>>> Machines::where(uint32_t rank) const {
  std::vector<Address> out;
  for (const std::string& text : addresses(rank)) {
    const auto address = parse_address(text);
    if (address && is_numeric(*address)) out.push_back(*address);
  }
  if (out.empty()) co_return fail(Errc::unreachable, "engine: its machine has not reported yet");
  co_return out;
}

const std::string& Machines::host(uint32_t rank) const { return launchers_.at(rank)->host().name; }

Launcher& Machines::launcher(uint32_t rank) { return *launchers_.at(rank); }

}  // namespace cairn::embed
