// net.*: a home that another process serves, beside bare sockets and bare disks. The peer of a
// round trip is a child that echoes and waits as we do: it looks for some tens of microseconds,
// then sleeps in poll().
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "bench/client_values.h"
#include "bench/harness.h"
#include "bench/libfabric_echo.h"
#include "bench/peers.h"
#include "bench/served_home.h"
#include "media/device.h"

namespace cairn::bench {

namespace {

void fetch_case(Run& run) {
  ClientValues ours(run.directory, 64, 64, Server::on_demand);
  const uint64_t keys = run.smoke ? 1'000 : 100'000;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  BareEcho bare({.take = kRequestBytes, .give = kReplyBytes});
  SeededRandom random(1);
  run.compare([&] { return rate_of(run.seconds, 1, [&] { ours.fetch(random.below(keys)); }); },
              {"unix.echo", [&] { return rate_of(run.seconds, 1, [&] { bare.round_trip(); }); }});
}

/// Where client and engine run. What waits on the processor of who is to answer only delays it, so
/// there the bare ends sleep at once; apart they look first, as ours do.
struct Placement {
  bool tcp = false;
  bool same_core = false;
};

/// Pins this process and the peers of its calls while it lives.
class Placed {
 public:
  Placed(const ServedHome& served, const BareEcho& bare, bool same_core) : served_(served) {
    const unsigned other = same_core ? 0 : 1;
    pin(getpid(), 0);
    pin(bare.child(), other);
    for (const pid_t engine : served.engines()) pin(engine, other);
  }
  ~Placed() {
    unpin(getpid());
    for (const pid_t engine : served_.engines()) unpin(engine);
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

 private:
  const ServedHome& served_;
};

/// One in flight; an update beside a bare round trip and then a bare durable write.
void placed_case(Run& run, Placement where, bool updates) {
  const ServedHome served(run.directory, {.tcp = where.tcp});
  ClientValues ours(run.directory, 64, 64, Server::joined);
  const uint64_t keys = run.smoke ? 1'000 : 10'000;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  BareEcho bare({.take = kRequestBytes,
                 .give = kReplyBytes,
                 .tcp = where.tcp,
                 .spin_seconds = where.same_core ? 0 : 30e-6});
  constexpr uint64_t kSlots = 4096, kBlockBytes = 4096;
  RawFile raw(run.directory + "/raw", kSlots, kBlockBytes);
  media::AlignedBuffer block(kBlockBytes);
  raw.fill(block.data());
  const Placed placed(served, bare, where.same_core);
  SeededRandom random(1);
  uint64_t slot = 0;
  const std::string echo = where.tcp ? "tcp.echo" : "unix.echo";
  if (updates) {
    run.compare([&] { return rate_of(run.seconds, 1, [&] { ours.update(random.below(keys)); }); },
                {echo + "+raw.4KiB.O_DSYNC", [&] {
                   return rate_of(run.seconds, 1, [&] {
                     bare.round_trip();
                     raw.write(slot++ % kSlots, block.data());
                   });
                 }});
  } else {
    run.compare([&] { return rate_of(run.seconds, 1, [&] { ours.fetch(random.below(keys)); }); },
                {echo, [&] { return rate_of(run.seconds, 1, [&] { bare.round_trip(); }); }});
  }
}

/// Half of the keys are another core's than the one that has the connection. Beside the same engine
/// on one core: what it costs to hand over, where the processors have nothing else to do.
void cores_case(Run& run, bool updates) {
  struct Side {
    Side(const std::string& directory, uint32_t cores)
        : served(directory, {.targets = 2, .cores = cores}),
          values(directory, 64, 64, Server::joined, OC_SX) {}
    const ServedHome served;
    ClientValues values;
  };
  const uint64_t keys = run.smoke ? 1'000 : 10'000;
  SeededRandom random(1);
  // A process has one home at a time.
  const auto rate_with = [&](uint32_t cores) {
    const std::string directory = run.directory + "/cores";
    std::filesystem::remove_all(directory);
    std::filesystem::create_directories(directory);
    Side side(directory, cores);
    uint64_t filled = 0;
    while (filled < keys) (void)side.values.update_many(0, [&] { return filled++ % keys; });
    return updates ? side.values.update_many(run.seconds, [&] { return random.below(keys); })
                   : rate_of(run.seconds, 1, [&] { side.values.fetch(random.below(keys)); });
  };
  run.compare([&] { return rate_with(2); }, {"one-core", [&] { return rate_with(1); }});
}

/// Over tcp;ofi_rxm, beside the same provider without us.
void libfabric_fetch_case(Run& run) {
  LibfabricEcho bare(kRequestBytes);
  ClientValues ours(run.directory, 64, 64, Server::libfabric);
  const uint64_t keys = run.smoke ? 1'000 : 100'000;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  SeededRandom random(1);
  run.compare(
      [&] { return rate_of(run.seconds, 1, [&] { ours.fetch(random.below(keys)); }); },
      {"libfabric.echo", [&] { return rate_of(run.seconds, 1, [&] { bare.round_trip(); }); }});
}

/// One in flight beside a bare round trip and then a bare durable write.
void update_case(Run& run) {
  ClientValues ours(run.directory, 64, 1, Server::on_demand);
  BareEcho bare({.take = kRequestBytes, .give = kReplyBytes});
  constexpr uint64_t kSlots = 4096, kBlockBytes = 4096;
  RawFile raw(run.directory + "/raw", kSlots, kBlockBytes);
  media::AlignedBuffer block(kBlockBytes);
  raw.fill(block.data());
  uint64_t key = 0, slot = 0;
  run.compare([&] { return rate_of(run.seconds, 1, [&] { ours.update(key++ % 1000); }); },
              {"unix.echo+raw.4KiB.O_DSYNC", [&] {
                 return rate_of(run.seconds, 1, [&] {
                   bare.round_trip();
                   raw.write(slot++ % kSlots, block.data());
                 });
               }});
}

/// Beside the same store in this process: what the connection costs.
void update_many_case(Run& run) {
  auto served = std::make_unique<ClientValues>(run.directory, 64, 16, Server::on_demand);
  SeededRandom random(1);
  const double rate =
      served->update_many(run.seconds * run.rounds, [&] { return random.below(10'000); });
  // Seven thousand a second is what the reference does over a network on such a machine.
  run.report(rate, "reference.update.qd16", 7'200);
}

/// What cairn_bytes counts of such transfers, of both ends together, as members of a JSON object.
/// Nothing where it was not built.
std::string counted_bytes(const std::string& directory, bool reading) {
  const std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "cairn_bytes";
  if (!std::filesystem::exists(program)) return {};
  FILE* const said = popen(("'" + program.string() + "' '" + directory + "'").c_str(), "r");
  char line[1024] = "";
  const bool told = said != nullptr && fgets(line, sizeof line, said) != nullptr;
  if (!told || pclose(said) != 0) die("cairn_bytes says no");
  const std::string_view all = line;
  const std::string_view mark = reading ? "\"read\": {" : "\"write\": {";
  const size_t begin = all.find(mark);
  if (begin == all.npos) die("cairn_bytes says something else");
  const std::string_view from = all.substr(begin + mark.size());
  return std::string(from.substr(0, from.find('}')));
}

/// Beside a bare stream of the same bytes, and the disk alone: the lesser of the two is the bound.
void data_case(Run& run, bool reading, Server server = Server::on_demand) {
  const uint64_t slots = run.smoke ? 8 : 64;
  constexpr size_t kDepth = 8;
  ClientArray ours(run.directory, server);
  media::AlignedBuffer buffer(kDepth * kMiB);
  for (uint64_t i = 0; i < slots; ++i) ours.transfer(false, i, buffer.data());
  BareEcho bare({.take = reading ? kRequestBytes : kMiB, .give = reading ? kMiB : kReplyBytes});
  RawFile raw(run.directory + "/raw", slots, kMiB);
  raw.fill(buffer.data());
  uint64_t slot = 0;
  const auto disk = [&] {
    constexpr uint64_t kCount = kDepth * 16;
    return rate_of(run.seconds, kCount, [&] {
      raw.transfer({reading, kDepth, kCount}, [&] { return slot++ % slots; }, buffer.data());
    });
  };
  // Streams of sockets only: over libfabric other copies are made.
  const std::string counted =
      server == Server::on_demand && !run.alone ? counted_bytes(run.directory, reading) : "";
  run.compare_all(
      [&] { return ours.transfer_many(reading, slots, kDepth, run.seconds, buffer.data()); },
      {{"unix.stream", [&] { return bare.pipelined(run.seconds, reading ? kDepth : 2); }},
       {reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC", disk}},
      [&](double) { return counted.empty() ? "\"copies_per_byte\": null" : counted; });
}

}  // namespace

void add_net_cases(std::vector<Case>& cases) {
  cases.push_back({"net.fetch.64B.qd1", "op/s", fetch_case});
  cases.push_back({"net.update.64B.qd1", "op/s", update_case});
  cases.push_back({"net.update.64B.qd16", "op/s", update_many_case});
  cases.push_back({"net.read.1MiB.qd8", "MiB/s", [](Run& run) { data_case(run, true); }});
  cases.push_back({"net.write.1MiB.qd8", "MiB/s", [](Run& run) { data_case(run, false); }});
  for (const bool tcp : {false, true}) {
    for (const bool updates : {false, true}) {
      for (const bool same_core : {true, false}) {
        const std::string name = std::string(tcp ? "net.tcp." : "net.") +
                                 (updates ? "update" : "fetch") + ".64B.qd1." +
                                 (same_core ? "same-core" : "cross-core");
        cases.push_back({name, "op/s", [tcp, updates, same_core](Run& run) {
                           placed_case(run, {.tcp = tcp, .same_core = same_core}, updates);
                         }});
      }
    }
  }
  cases.push_back(
      {"net.fetch.64B.qd1.two-cores", "op/s", [](Run& run) { cores_case(run, false); }});
  cases.push_back(
      {"net.update.64B.qd64.two-cores", "op/s", [](Run& run) { cores_case(run, true); }});
  cases.push_back({"net.libfabric.fetch.64B.qd1", "op/s", libfabric_fetch_case});
  cases.push_back({"net.libfabric.read.1MiB.qd8", "MiB/s",
                   [](Run& run) { data_case(run, true, Server::libfabric); }});
  cases.push_back({"net.libfabric.write.1MiB.qd8", "MiB/s",
                   [](Run& run) { data_case(run, false, Server::libfabric); }});
}

}  // namespace cairn::bench
