// Sockets behind the I/O seam: what both backends promise, without coroutines.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "runtime/io_backends.h"

namespace cairn {
namespace {

using Op = IoRequest::Op;

struct Factory {
  const char* name;
  Result<std::unique_ptr<IoBackend>> (*make)();
};

/// One request and its buffer.
struct Job {
  Job(Op op, int fd) {
    request.op = op;
    request.fd = fd;
    request.data = block;
    request.bytes = sizeof block;
    request.owner = this;
    request.done = [](IoRequest& r) { static_cast<Job*>(r.owner)->ended = true; };
  }
  IoRequest request;
  std::byte block[64] = {};
  bool ended = false;
};

class IoSocket : public ::testing::TestWithParam<Factory> {
 protected:
  void SetUp() override {
    auto made = GetParam().make();
    if (!made) GTEST_SKIP() << made.error().what();
    io = std::move(*made);
  }
  void TearDown() override {
    for (const int fd : fds) {
      if (io) io->forget(fd);
      close(fd);
    }
    io.reset();
  }
  int keep(int fd) {
    EXPECT_GE(fd, 0);
    fds.push_back(fd);
    return fd;
  }
  void make_pair(int (&ends)[2]) {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    keep(ends[0]);
    keep(ends[1]);
  }
  /// A listening TCP socket; its address goes to `name`.
  int listen_tcp(sockaddr_in& name) {
    const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    name = {};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
    EXPECT_EQ(listen(fd, 10), 0);
    socklen_t bytes = sizeof name;
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&name), &bytes), 0);
    return fd;
  }
  int listen_unix() {
    const int fd = keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;  // autobind: the kernel finds a name
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(sa_family_t)), 0);
    EXPECT_EQ(listen(fd, 10), 0);
    return fd;
  }
  void start(Job& job) {
    io->submit(job.request);
    io->kick();
  }
  /// Returns false if it did not end within `max`.
  bool finish(const Job& job, Duration max = 20 * kSecond) {
    const Instant end = system_clock().now() + max;
    while (!job.ended) {
      if (system_clock().now() > end) return false;
      if (io->reap() == 0) io->wait(10 * kMillisecond);
    }
    return true;
  }
  std::unique_ptr<IoBackend> io;
  std::vector<int> fds;
};

TEST_P(IoSocket, A_transfer_ends_with_what_goes_now) {
  // Goal: one transfer, never continued inside. Method: ask for 64 bytes where 5 are; fill a
  // socket's buffer.
  int ends[2];
  make_pair(ends);
  ASSERT_EQ(write(ends[1], "hello", 5), 5);
  Job in(Op::recv, ends[0]);
  start(in);
  ASSERT_TRUE(finish(in));
  EXPECT_EQ(in.request.result, 5);
  EXPECT_EQ(std::memcmp(in.block, "hello", 5), 0);
  std::vector<std::byte> much(16u << 20);
  Job out(Op::send, ends[0]);
  out.request.data = much.data();
  out.request.bytes = static_cast<uint32_t>(much.size());
  start(out);
  ASSERT_TRUE(finish(out));
  EXPECT_GT(out.request.result, 0);
  EXPECT_LT(out.request.result, static_cast<int64_t>(much.size()));
  EXPECT_EQ(io->in_flight(), 0u);
}

TEST_P(IoSocket, A_descriptor_that_stands_for_others_tells_of_each_of_their_news) {
  // Goal: readable, also on an epoll, which is edge-triggered for whoever waits on it; and its end.
  // Method: an epoll of a pipe; news before and after the wait begins, twice; cancel.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  keep(ends[0]);
  keep(ends[1]);
  const int group = keep(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(epoll_ctl(group, EPOLL_CTL_ADD, ends[0], &event), 0);
  char c = 'x';
  for (int i = 0; i < 3; ++i) {
    Job job(Op::readable, group);
    if (i == 1) {
      ASSERT_EQ(write(ends[1], &c, 1), 1);
    }
    io->submit(job.request);
    io->kick();
    io->reap();
    if (i != 1) {
      EXPECT_FALSE(job.ended);
      ASSERT_EQ(write(ends[1], &c, 1), 1);
    }
    for (int waits = 0; waits < 100 && !job.ended; ++waits) {
      if (io->reap() == 0) io->wait(kSecond);
    }
    EXPECT_TRUE(job.ended);
    EXPECT_EQ(job.request.result, 0);
    ASSERT_EQ(read(ends[0], &c, 1), 1);
  }
  Job waiting(Op::readable, group);
  io->submit(waiting.request);
  io->reap();
  EXPECT_FALSE(waiting.ended);
  io->cancel(waiting.request);
  io->reap();
  EXPECT_TRUE(waiting.ended);
  EXPECT_EQ(waiting.request.result, -ECANCELED);
  EXPECT_EQ(io->in_flight(), 0u);
}

TEST_P(IoSocket, An_end_that_comes_in_one_with_the_last_bytes_is_heard) {
  // Goal: no edge for bytes and end together is the last that a reader hears. Method: a recv waits,
  // bytes and then the end come before anybody looks; the next recv ends. Both kinds of end.
  for (const bool half : {false, true}) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    keep(ends[0]);
    Job first(Op::recv, ends[0]);
    start(first);
    ASSERT_EQ(write(ends[1], "hello", 5), 5);
    if (half) {
      ASSERT_EQ(shutdown(ends[1], SHUT_WR), 0);
    } else {
      ASSERT_EQ(close(ends[1]), 0);
    }
    ASSERT_TRUE(finish(first));
    EXPECT_EQ(first.request.result, 5);
    Job second(Op::recv, ends[0]);
    start(second);
    ASSERT_TRUE(finish(second, 5 * kSecond));
    EXPECT_EQ(second.request.result, 0);
    if (half) close(ends[1]);
  }
}

TEST_P(IoSocket, Reports_what_the_kernel_refuses) {
  // Goal: errors come as -errno. Method: no descriptor, a file, a socket that is not connected.
  const int null_fd = keep(open("/dev/null", O_RDWR | O_CLOEXEC));
  const int lonely = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  for (const Op op : {Op::recv, Op::send, Op::accept}) {
    Job bad(op, -1);
    Job file(op, null_fd);
    Job alone(op, lonely);
    for (Job* job : {&bad, &file, &alone}) {
      start(*job);
      ASSERT_TRUE(finish(*job));
    }
    EXPECT_EQ(bad.request.result, -EBADF);
    EXPECT_EQ(file.request.result, -ENOTSOCK);
    EXPECT_LT(alone.request.result, 0);
  }
}

TEST_P(IoSocket, A_shutdown_ends_a_waiting_accept_and_connect) {
  // Goal: the way to end requests early. Method: accepts on both kinds of socket; a connect to a
  // queue that is full, as long as the kernel does not answer it.
  sockaddr_in name;
  const int tcp = listen_tcp(name);
  for (const int fd : {tcp, listen_unix()}) {
    Job job(Op::accept, fd);
    start(job);
    ASSERT_FALSE(finish(job, 20 * kMillisecond));
    shutdown(fd, SHUT_RDWR);
    ASSERT_TRUE(finish(job));
    EXPECT_EQ(job.request.result, -EINVAL);
    Job late(Op::accept, fd);
    start(late);
    ASSERT_TRUE(finish(late));
    EXPECT_EQ(late.request.result, -EINVAL);
  }
  const int full = listen_tcp(name);
  ASSERT_EQ(listen(full, 0), 0);
  bool waited = false;
  for (int i = 0; i < 10 && !waited; ++i) {
    const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Job job(Op::connect, fd);
    job.request.data = reinterpret_cast<std::byte*>(&name);
    job.request.bytes = sizeof name;
    start(job);
    waited = !finish(job, 200 * kMillisecond);
    shutdown(fd, SHUT_RDWR);
    ASSERT_TRUE(finish(job));
    if (waited) EXPECT_LT(job.request.result, 0);
  }
  EXPECT_TRUE(waited);
  EXPECT_EQ(io->in_flight(), 0u);
}

TEST_P(IoSocket, What_a_thread_began_outlives_it) {
  // Goal: a ring driven by threads in turn loses nothing when one ends. Method: threads begin a
  // recv, an accept and connects, and end; then the other ends act.
  int ends[2];
  make_pair(ends);
  sockaddr_in name;
  const int listening = listen_tcp(name);
  Job in(Op::recv, ends[0]);
  Job taken(Op::accept, listening);
  for (Job* job : {&in, &taken}) std::thread([&] { start(*job); }).join();
  ASSERT_FALSE(finish(in, 20 * kMillisecond));
  // More threads than tries are ever counted.
  for (int i = 0; i < 20; ++i) {
    std::thread([&] {
      io->reap();
      io->kick();
    }).join();
  }
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  ASSERT_TRUE(finish(in));
  EXPECT_EQ(in.request.result, 1);

  const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Job out(Op::connect, fd);
  out.request.data = reinterpret_cast<std::byte*>(&name);
  out.request.bytes = sizeof name;
  std::thread([&] { start(out); }).join();
  ASSERT_TRUE(finish(out));
  EXPECT_EQ(out.request.result, 0);
  ASSERT_TRUE(finish(taken));
  ASSERT_GE(taken.request.result, 0);
  const int accepted = keep(static_cast<int>(taken.request.result));
  EXPECT_NE(fcntl(accepted, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(fcntl(accepted, F_GETFL) & O_NONBLOCK, 0);
}

TEST_P(IoSocket, A_connect_whose_thread_ended_while_it_waited_goes_on) {
  // Goal: a connect given up half way is neither begun again nor lost. Method: a full queue keeps
  // it waiting while its thread ends; then there is room. The kernel sends again after a second.
  sockaddr_in name;
  const int listening = listen_tcp(name);
  ASSERT_EQ(listen(listening, 0), 0);
  for (int i = 0; i < 10; ++i) {
    const int fd = keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Job job(Op::connect, fd);
    job.request.data = reinterpret_cast<std::byte*>(&name);
    job.request.bytes = sizeof name;
    std::thread([&] { start(job); }).join();
    if (finish(job, 100 * kMillisecond)) {
      EXPECT_EQ(job.request.result, 0);
      continue;
    }
    std::thread([&] { io->reap(); }).join();
    for (int taken = 0; taken < i; ++taken)
      keep(accept4(listening, nullptr, nullptr, SOCK_CLOEXEC));
    ASSERT_TRUE(finish(job));
    EXPECT_EQ(job.request.result, 0);
    return;
  }
  FAIL() << "the queue never filled";
}

TEST_P(IoSocket, News_end_a_wait_beside_the_home_thread) {
  // Goal: any thread may sleep in wait(), and a socket's news end it, as does wake(). Method: 100
  // rounds of a sleeper beside the home thread.
  int ends[2];
  make_pair(ends);
  for (int i = 0; i < 100; ++i) {
    Job in(Op::recv, ends[0]);
    start(in);
    io->reap();
    std::atomic<bool> over{false};
    std::thread sleeper([&] {
      io->wait(kNever);
      over = true;
    });
    if (i % 2 == 0) usleep(500);
    if (i % 4 < 2) {
      ASSERT_EQ(write(ends[1], "x", 1), 1);
    } else {
      io->wake();
    }
    sleeper.join();
    EXPECT_TRUE(over);
    if (i % 4 >= 2) {
      EXPECT_EQ(io->reap(), 0u);
      ASSERT_EQ(write(ends[1], "x", 1), 1);
    }
    ASSERT_TRUE(finish(in));
    EXPECT_EQ(in.request.result, 1);
  }
}

TEST_P(IoSocket, A_forked_child_drops_its_copy_and_the_parent_goes_on) {
  // Goal: fork safety with a recv under way, and a child that lives on. Method: one child destroys
  // its copy, another keeps it while the parent forgets, closes and opens the descriptor again.
  int ends[2];
  make_pair(ends);
  Job in(Op::recv, ends[0]);
  start(in);
  io->reap();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool mine = io->forget(ends[0]);
    io.reset();
    _exit(mine ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  ASSERT_TRUE(finish(in));
  EXPECT_EQ(in.request.result, 1);

  int until[2];
  ASSERT_EQ(pipe2(until, O_CLOEXEC), 0);
  const pid_t keeper = fork();
  ASSERT_GE(keeper, 0);
  if (keeper == 0) {
    char c;
    close(until[1]);
    _exit(read(until[0], &c, 1) == 0 ? 0 : 1);
  }
  close(until[0]);
  EXPECT_TRUE(io->forget(ends[0]));
  int fresh[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fresh), 0);
  ASSERT_EQ(dup3(fresh[0], ends[0], O_CLOEXEC), ends[0]);
  close(fresh[0]);
  keep(fresh[1]);
  ASSERT_EQ(send(ends[1], "old", 3, MSG_NOSIGNAL), 3);  // to the copy
  const Instant begin = system_clock().now();
  io->wait(20 * kMillisecond);
  EXPECT_GE(system_clock().now() - begin, 5 * kMillisecond) << "news of a socket forgotten";
  Job again(Op::recv, ends[0]);
  start(again);
  EXPECT_FALSE(finish(again, 20 * kMillisecond));
  ASSERT_EQ(write(fresh[1], "xy", 2), 2);
  ASSERT_TRUE(finish(again));
  EXPECT_EQ(again.request.result, 2);
  close(until[1]);
  ASSERT_EQ(waitpid(keeper, &status, 0), keeper);
}

Duration cpu_time() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto ns = [](const timeval& t) {
    return static_cast<Duration>(t.tv_sec) * kSecond +
           static_cast<Duration>(t.tv_usec) * kMicrosecond;
  };
  return ns(used.ru_utime) + ns(used.ru_stime);
}

TEST_P(IoSocket, Open_sockets_cost_no_processor_time) {
  // Goal: an idle process sleeps, also where a socket has news that nobody asked for. Method: 20
  // sockets wait, one has had bytes and room before; sleep 300 ms.
  std::vector<std::unique_ptr<Job>> jobs;
  int ends[2];
  for (int i = 0; i < 20; ++i) {
    make_pair(ends);
    jobs.push_back(std::make_unique<Job>(Op::recv, ends[0]));
    start(*jobs.back());
  }
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  ASSERT_TRUE(finish(*jobs.back()));
  jobs.pop_back();
  ASSERT_EQ(write(ends[1], "unasked", 7), 7);
  const Duration before = cpu_time();
  const Instant end = system_clock().now() + 300 * kMillisecond;
  size_t turns = 0;
  for (; system_clock().now() < end; ++turns) {
    if (io->reap() == 0) io->wait(end - std::min(end, system_clock().now()));
  }
  EXPECT_LT(cpu_time() - before, 20 * kMillisecond);
  EXPECT_LT(turns, 20u);
  for (const int fd : fds) shutdown(fd, SHUT_RDWR);
  for (const auto& job : jobs) EXPECT_TRUE(finish(*job));
}

INSTANTIATE_TEST_SUITE_P(Backends, IoSocket,
                         ::testing::Values(Factory{"uring", [] { return make_uring_backend(); }},
                                           Factory{"threads",
                                                   [] {
                                                     return Result<std::unique_ptr<IoBackend>>(
                                                         make_thread_backend(3));
                                                   }}),
                         [](const auto& param) { return param.param.name; });

TEST(IoRetry, Sockets_wait_without_a_count_and_are_never_continued) {
  // Goal: the rule of sockets. Method: outcomes one after another into one request.
  IoRequest r{.op = Op::recv, .bytes = 100};
  for (uint32_t i = 0; i < 2 * kIoRetriesMax; ++i) ASSERT_TRUE(io_retry(r, -ECANCELED));
  EXPECT_FALSE(io_retry(r, 60));
  EXPECT_EQ(r.result, 60);
  IoRequest end{.op = Op::recv, .bytes = 100};
  EXPECT_FALSE(io_retry(end, 0));
  EXPECT_EQ(end.result, 0);
  IoRequest bad{.op = Op::send, .bytes = 100};
  EXPECT_FALSE(io_retry(bad, -EPIPE));
  EXPECT_EQ(bad.result, -EPIPE);
}

}  // namespace
}  // namespace cairn
