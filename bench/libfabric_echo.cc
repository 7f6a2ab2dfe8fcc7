#include "bench/libfabric_echo.h"

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "bench/harness.h"
#include "fabric/ofi_provider.h"

namespace cairn::bench {

namespace {

constexpr size_t kNameBytes = 256;

void must_be(bool fine, const char* what) {
  if (!fine) die(std::string("libfabric: ") + what);
}

}  // namespace

/// One of the two processes. Nothing of it is closed: the process, or the case, ends.
struct LibfabricEcho::End {
  explicit End(size_t bytes) : room(bytes), taken(bytes) {
    auto found =
        fabric::choose_provider(*parse_address("ofi+tcp;ofi_rxm://127.0.0.1:1"), "127.0.0.1");
    if (!found) die(found.error().what());
    choice = std::move(*found);
    fi_info* const info = choice.info.get();
    must_be(choice.library.fabric(info->fabric_attr, &fabric, nullptr) == 0, "no fabric");
    must_be(fi_domain(fabric, info, &domain, nullptr) == 0, "no domain");
    fi_av_attr av_attr{};
    av_attr.type = FI_AV_TABLE;
    must_be(fi_av_open(domain, &av_attr, &av, nullptr) == 0, "no address vector");
    fi_cq_attr cq_attr{};
    cq_attr.format = FI_CQ_FORMAT_MSG;
    must_be(fi_cq_open(domain, &cq_attr, &cq, nullptr) == 0, "no completion queue");
    must_be(fi_endpoint(domain, info, &ep, nullptr) == 0 && fi_ep_bind(ep, &av->fid, 0) == 0 &&
                fi_ep_bind(ep, &cq->fid, FI_TRANSMIT | FI_RECV) == 0 && fi_enable(ep) == 0,
            "no endpoint");
    receive();
  }
  void receive() {
    must_be(fi_recv(ep, taken.data(), taken.size(), nullptr, FI_ADDR_UNSPEC, &in) == 0, "no recv");
  }
  /// Both say their names over `fd`.
  void meet(int fd) {
    std::byte name[kNameBytes] = {};
    size_t bytes = sizeof(name);
    must_be(fi_getname(&ep->fid, name, &bytes) == 0, "no name");
    must_be(::write(fd, name, sizeof(name)) == sizeof(name), "no peer");
    must_be(::recv(fd, name, sizeof(name), MSG_WAITALL) == sizeof(name), "no peer");
    must_be(fi_av_insert(av, name, 1, &peer, 0, nullptr) == 1, "no peer");
  }
  /// Until a message has come.
  void take() {
    while (!came) progress();
    came = false;
    receive();
  }
  void give() {
    while (sending) progress();
    for (;;) {
      const auto rc = fi_send(ep, room.data(), room.size(), nullptr, peer, &out);
      if (rc == 0) break;
      must_be(rc == -FI_EAGAIN, "no send");
      progress();
    }
    sending = true;
  }
  void progress() {
    fi_cq_msg_entry entry;
    const auto got = fi_cq_read(cq, &entry, 1);
    if (got == 1 && entry.op_context == &in) came = true;
    if (got == 1 && entry.op_context == &out) sending = false;
    must_be(got == 1 || got == -FI_EAGAIN, "the peer is gone");
  }

  fabric::OfiChoice choice;
  fid_fabric* fabric = nullptr;
  fid_domain* domain = nullptr;
  fid_av* av = nullptr;
  fid_cq* cq = nullptr;
  fid_ep* ep = nullptr;
  fi_addr_t peer = FI_ADDR_UNSPEC;
  std::vector<std::byte> room, taken;
  fi_context2 in{}, out{};
  bool came = false, sending = false;
};

LibfabricEcho::LibfabricEcho(size_t bytes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) die("no socket pair");
  child_ = fork();
  if (child_ < 0) die("no child");
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    End end(bytes);
    end.meet(ends[1]);
    for (;;) {
      end.take();
      end.give();
    }
  }
  end_ = std::make_unique<End>(bytes);
  end_->meet(ends[0]);
  ::close(ends[0]);
  ::close(ends[1]);
}

LibfabricEcho::~LibfabricEcho() {
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

void LibfabricEcho::round_trip() {
  end_->give();
  end_->take();
}

}  // namespace cairn::bench
