// net.*: a home that another process serves, beside bare sockets and bare disks. The peer of a
// round trip is a child that echoes on a Unix socket and waits as we do: it looks for some tens of
// microseconds, then sleeps in poll().
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "bench/client_values.h"
#include "bench/harness.h"
#include "bench/libfabric_echo.h"
#include "bench/peers.h"
#include "media/device.h"

namespace cairn::bench {

namespace {

constexpr double kSpinSeconds = 30e-6;

void receive_all(int fd, std::byte* data, size_t bytes) {
  while (bytes > 0) {
    ssize_t got = -1;
    for (const double begin = now_seconds(); got < 0 && now_seconds() - begin < kSpinSeconds;) {
      got = ::recv(fd, data, bytes, MSG_DONTWAIT);
    }
    if (got < 0) {
      pollfd one{fd, POLLIN, 0};
      ::poll(&one, 1, -1);
      continue;
    }
    if (got == 0) _exit(0);
    data += got;
    bytes -= static_cast<size_t>(got);
  }
}

void send_all(int fd, const std::byte* data, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = ::send(fd, data, bytes, MSG_NOSIGNAL);
    if (sent <= 0) _exit(1);
    data += sent;
    bytes -= static_cast<size_t>(sent);
  }
}

/// A child that takes `take` bytes and gives `give`, again and again.
class BareEcho {
 public:
  BareEcho(size_t take, size_t give) : take_(take), give_(give) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("no socket pair");
    child_ = fork();
    if (child_ < 0) die("no child");
    if (child_ == 0) {
      ::close(ends[0]);
      std::vector<std::byte> room(std::max(take, give));
      for (;;) {
        receive_all(ends[1], room.data(), take);
        send_all(ends[1], room.data(), give);
      }
    }
    ::close(ends[1]);
    fd_ = ends[0];
    room_.resize(std::max(take, give));
  }
  ~BareEcho() {
    ::close(fd_);
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  void round_trip() {
    send_all(fd_, room_.data(), take_);
    receive_all(fd_, room_.data(), give_);
  }
  /// Takes and gives with `depth` round trips under way.
  double pipelined(double seconds, size_t depth) {
    for (size_t i = 0; i < depth; ++i) send_all(fd_, room_.data(), take_);
    const double rate = rate_of(seconds, 1, [&] {
      receive_all(fd_, room_.data(), give_);
      send_all(fd_, room_.data(), take_);
    });
    for (size_t i = 0; i < depth; ++i) receive_all(fd_, room_.data(), give_);
    return rate;
  }

 private:
  const size_t take_, give_;
  pid_t child_ = -1;
  int fd_ = -1;
  std::vector<std::byte> room_;
};

/// What our messages are about: header, keys, descriptors.
constexpr size_t kRequestBytes = 320, kReplyBytes = 320;

void fetch_case(Run& run) {
  ClientValues ours(run.directory, 64, 64, Server::on_demand);
  const uint64_t keys = run.smoke ? 1'000 : 100'000;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  BareEcho bare(kRequestBytes, kReplyBytes);
  SeededRandom random(1);
  run.compare([&] { return rate_of(run.seconds, 1, [&] { ours.fetch(random.below(keys)); }); },
              {"unix.echo",
               [&] { return rate_of(run.seconds, 1, [&] { bare.round_trip(); }); }});
}

/// Over tcp;ofi_rxm, beside the same provider without us.
void libfabric_fetch_case(Run& run) {
  LibfabricEcho bare(kRequestBytes);
  ClientValues ours(run.directory, 64, 64, Server::libfabric);
  const uint64_t keys = run.smoke ? 1'000 : 100'000;
  uint64_t filled = 0;
  while (filled < keys) (void)ours.update_many(0, [&] { return filled++ % keys; });
  SeededRandom random(1);
  run.compare([&] { return rate_of(run.seconds, 1, [&] { ours.fetch(random.below(keys)); }); },
              {"libfabric.echo",
               [&] { return rate_of(run.seconds, 1, [&] { bare.round_trip(); }); }});
}

/// One in flight beside a bare round trip and then a bare durable write.
void update_case(Run& run) {
  ClientValues ours(run.directory, 64, 1, Server::on_demand);
  BareEcho bare(kRequestBytes, kReplyBytes);
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
  auto served =
      std::make_unique<ClientValues>(run.directory, 64, 16, Server::on_demand);
  SeededRandom random(1);
  const double rate =
      served->update_many(run.seconds * run.rounds, [&] { return random.below(10'000); });
  // Seven thousand a second is what the reference does over a network on such a machine.
  run.report(rate, "reference.update.qd16", 7'200);
}

/// Beside a bare stream of the same bytes, and the disk alone: the lesser of the two is the bound.
void data_case(Run& run, bool reading, Server server = Server::on_demand) {
  const uint64_t slots = run.smoke ? 8 : 64;
  constexpr size_t kDepth = 8;
  ClientArray ours(run.directory, server);
  media::AlignedBuffer buffer(kDepth * kMiB);
  for (uint64_t i = 0; i < slots; ++i) ours.transfer(false, i, buffer.data());
  BareEcho bare(reading ? kRequestBytes : kMiB, reading ? kMiB : kReplyBytes);
  RawFile raw(run.directory + "/raw", slots, kMiB);
  raw.fill(buffer.data());
  uint64_t slot = 0;
  const auto disk = [&] {
    constexpr uint64_t kCount = kDepth * 16;
    return rate_of(run.seconds, kCount, [&] {
      raw.transfer({reading, kDepth, kCount}, [&] { return slot++ % slots; }, buffer.data());
    });
  };
  run.compare_all(
      [&] { return ours.transfer_many(reading, slots, kDepth, run.seconds, buffer.data()); },
      {{"unix.stream", [&] { return bare.pipelined(run.seconds, reading ? kDepth : 2); }},
       {reading ? "raw.read.O_DIRECT" : "raw.write.O_DIRECT.O_DSYNC", disk}});
}

}  // namespace

void add_net_cases(std::vector<Case>& cases) {
  cases.push_back({"net.fetch.64B.qd1", "op/s", fetch_case});
  cases.push_back({"net.update.64B.qd1", "op/s", update_case});
  cases.push_back({"net.update.64B.qd16", "op/s", update_many_case});
  cases.push_back({"net.read.1MiB.qd8", "MiB/s", [](Run& run) { data_case(run, true); }});
  cases.push_back({"net.write.1MiB.qd8", "MiB/s", [](Run& run) { data_case(run, false); }});
  cases.push_back({"net.libfabric.fetch.64B.qd1", "op/s", libfabric_fetch_case});
  cases.push_back({"net.libfabric.read.1MiB.qd8", "MiB/s",
                   [](Run& run) { data_case(run, true, Server::libfabric); }});
  cases.push_back({"net.libfabric.write.1MiB.qd8", "MiB/s",
                   [](Run& run) { data_case(run, false, Server::libfabric); }});
}

}  // namespace cairn::bench
