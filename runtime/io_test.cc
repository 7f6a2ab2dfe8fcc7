#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "runtime/io_backends.h"

namespace cairn {
namespace {

struct Factory {
  const char* name;
  Result<std::unique_ptr<IoBackend>> (*make)();
};

class Io : public ::testing::TestWithParam<Factory> {
 protected:
  void SetUp() override {
    auto made = GetParam().make();
    if (!made) GTEST_SKIP() << made.error().what();
    io = std::move(*made);
    char path[] = "/tmp/cairn-io-XXXXXX";
    fd = mkstemp(path);
    ASSERT_GE(fd, 0);
    unlink(path);
  }
  void TearDown() override {
    io.reset();
    if (fd >= 0) close(fd);
  }
  int64_t run(IoRequest request) {
    bool finished = false;
    request.owner = &finished;
    request.done = [](IoRequest& r) { *static_cast<bool*>(r.owner) = true; };
    io->submit(request);
    io->kick();
    while (!finished) {
      if (io->reap() == 0) io->wait(kSecond);
    }
    return request.result;
  }
  std::unique_ptr<IoBackend> io;
  int fd = -1;
};

TEST_P(Io, Moves_bytes_and_stops_short_at_the_end_of_the_file) {
  // Goal: every kind of request. Method: write, durable write, flush, read more than there is,
  // punch.
  std::vector<std::byte> out(8192, std::byte{7});
  std::vector<std::byte> in(16384);
  using Op = IoRequest::Op;
  EXPECT_EQ(run({.op = Op::write, .fd = fd, .data = out.data(), .bytes = 4096}), 4096);
  EXPECT_EQ(
      run({.op = Op::write_durable, .fd = fd, .data = out.data(), .bytes = 4096, .offset = 4096}),
      4096);
  EXPECT_EQ(run({.op = Op::flush, .fd = fd}), 0);
  EXPECT_EQ(run({.op = Op::read, .fd = fd, .data = in.data(), .bytes = 16384}), 8192);
  EXPECT_EQ(std::memcmp(in.data(), out.data(), 8192), 0);
  const int64_t punched = run({.op = Op::punch_hole, .fd = fd, .bytes = 4096, .offset = 0});
  EXPECT_TRUE(punched == 0 || punched == -EOPNOTSUPP);
  EXPECT_EQ(io->in_flight(), 0u);
}

TEST_P(Io, Reports_what_the_kernel_refuses) {
  // Goal: errors come as -errno. Method: a closed descriptor, and one that may only be read.
  std::vector<std::byte> bytes(4096);
  using Op = IoRequest::Op;
  EXPECT_EQ(run({.op = Op::read, .fd = -1, .data = bytes.data(), .bytes = 4096}), -EBADF);
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(run({.op = Op::write, .fd = null_fd, .data = bytes.data(), .bytes = 4096}), -EBADF);
  close(null_fd);
  const int full_fd = open("/dev/full", O_RDWR | O_CLOEXEC);
  if (full_fd >= 0) {
    EXPECT_EQ(run({.op = Op::write, .fd = full_fd, .data = bytes.data(), .bytes = 4096}), -ENOSPC);
    close(full_fd);
  }
}

TEST_P(Io, More_requests_than_any_queue_holds_all_finish) {
  // Goal: no limit shows. Method: 2000 writes submitted before one kick; count the answers.
  constexpr size_t kCount = 2000;
  std::vector<std::byte> block(512, std::byte{1});
  std::vector<IoRequest> requests(kCount);
  size_t finished = 0;
  for (size_t i = 0; i < kCount; ++i) {
    requests[i] = {.op = IoRequest::Op::write,
                   .fd = fd,
                   .data = block.data(),
                   .bytes = 512,
                   .offset = i * 512};
    requests[i].owner = &finished;
    requests[i].done = [](IoRequest& r) { ++*static_cast<size_t*>(r.owner); };
    io->submit(requests[i]);
  }
  EXPECT_EQ(io->in_flight(), kCount);
  io->kick();
  while (finished < kCount) {
    if (io->reap() == 0) io->wait(kSecond);
  }
  for (const IoRequest& request : requests) EXPECT_EQ(request.result, 512);
}

TEST_P(Io, Neighbouring_writes_bring_each_its_own_bytes_and_its_own_outcome) {
  // Goal: writes that may be joined end as if each had gone alone. Method: rows of blocks that
  // continue each other, with gaps, other kinds between and lengths that differ; read back. Then a
  // row on a file that takes nothing, whose joined attempt fails: nobody sleeps over the rest.
  constexpr size_t kCount = 300;
  std::vector<std::byte> out(kCount * 1024);
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 7 + (i >> 9));
  std::vector<IoRequest> requests(kCount);
  size_t finished = 0;
  const auto run_all = [&](int file) {
    finished = 0;
    uint64_t offset = 0;
    for (size_t i = 0; i < kCount; ++i) {
      const uint32_t bytes = i % 5 == 0 ? 1024 : 512;
      if (i % 37 == 0) offset += 512;
      const auto op = i % 50 < 3 ? IoRequest::Op::write : IoRequest::Op::write_durable;
      requests[i] = {
          .op = op, .fd = file, .data = &out[i * 1024], .bytes = bytes, .offset = offset};
      offset += bytes;
      requests[i].owner = &finished;
      requests[i].done = [](IoRequest& r) { ++*static_cast<size_t*>(r.owner); };
      io->submit(requests[i]);
    }
    io->kick();
    while (finished < kCount) {
      if (io->reap() == 0) io->wait(kNever);
    }
    EXPECT_EQ(io->in_flight(), 0u);
  };
  run_all(fd);
  for (const IoRequest& r : requests) {
    EXPECT_EQ(r.result, r.bytes);
    std::vector<std::byte> in(r.bytes);
    ASSERT_EQ(pread(fd, in.data(), r.bytes, static_cast<off_t>(r.offset)), r.bytes);
    EXPECT_EQ(std::memcmp(in.data(), r.data, r.bytes), 0);
  }
  const int full_fd = open("/dev/full", O_RDWR | O_CLOEXEC);
  ASSERT_GE(full_fd, 0);
  using Op = IoRequest::Op;
  const int64_t plain = run({.op = Op::write, .fd = full_fd, .data = out.data(), .bytes = 512});
  const int64_t durable =
      run({.op = Op::write_durable, .fd = full_fd, .data = out.data(), .bytes = 512});
  EXPECT_EQ(plain, -ENOSPC);
  EXPECT_LT(durable, 0);
  run_all(full_fd);
  for (const IoRequest& r : requests) EXPECT_EQ(r.result, r.op == Op::write ? plain : durable);
  close(full_fd);
}

TEST_P(Io, A_wake_of_another_thread_ends_the_wait) {
  // Goal: no lost wake. Method: 200 times, before or while the wait goes on; the test's time limit
  // judges.
  for (int i = 0; i < 200; ++i) {
    std::thread other([this] { io->wake(); });
    io->wait(kNever);
    other.join();
    io->reap();
  }
  const Instant begin = system_clock().now();
  io->wait(20 * kMillisecond);
  EXPECT_GE(system_clock().now() - begin, 5 * kMillisecond) << "a wake was left over";
}

TEST_P(Io, A_forked_child_drops_its_copy_without_harm) {
  // Goal: fork safety. Method: the child destroys the backend; the parent goes on with it.
  std::vector<std::byte> bytes(4096);
  EXPECT_EQ(run({.op = IoRequest::Op::write, .fd = fd, .data = bytes.data(), .bytes = 4096}), 4096);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    io.reset();
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(run({.op = IoRequest::Op::read, .fd = fd, .data = bytes.data(), .bytes = 4096}), 4096);
}

TEST_P(Io, What_a_busy_thread_has_submitted_ends_for_another) {
  // Goal: no request waits for the thread that submitted it to do something. Method: that thread
  // computes, without the kernel, until another has seen the end.
  std::atomic<bool> finished{false};
  IoRequest request{.op = IoRequest::Op::flush, .fd = fd, .owner = &finished};
  request.done = [](IoRequest& r) { *static_cast<std::atomic<bool>*>(r.owner) = true; };
  io->submit(request);
  io->kick();
  std::thread other([&] {
    while (!finished) {
      if (io->reap() == 0) io->wait(10 * kMillisecond);
    }
  });
  while (!finished) {
  }
  other.join();
  EXPECT_EQ(request.result, 0);
}

INSTANTIATE_TEST_SUITE_P(Backends, Io,
                         ::testing::Values(Factory{"uring", [] { return make_uring_backend(); }},
                                           Factory{
                                               "uring_of_one_thread",
                                               [] { return make_uring_backend(IoDrivers::one); }},
                                           Factory{"threads",
                                                   [] {
                                                     return Result<std::unique_ptr<IoBackend>>(
                                                         make_thread_backend(3));
                                                   }}),
                         [](const auto& param) { return param.param.name; });

TEST(IoRetry, Repeats_what_passes_and_ends_what_does_not) {
  // Goal: the rule behind both backends. Method: outcomes one after another into one request.
  IoRequest r{.op = IoRequest::Op::write, .bytes = 100};
  EXPECT_TRUE(io_retry(r, -EINTR));
  EXPECT_TRUE(io_retry(r, 60));
  EXPECT_EQ(io_rest_bytes(r), 40u);
  EXPECT_EQ(io_rest_offset(r), 60u);
  EXPECT_FALSE(io_retry(r, 40));
  EXPECT_EQ(r.result, 100);
  IoRequest end{.op = IoRequest::Op::read, .bytes = 100};
  EXPECT_TRUE(io_retry(end, 30));
  EXPECT_FALSE(io_retry(end, 0));
  EXPECT_EQ(end.result, 30);
  IoRequest bad{.op = IoRequest::Op::read, .bytes = 100};
  EXPECT_FALSE(io_retry(bad, -EIO));
  EXPECT_EQ(bad.result, -EIO);
  IoRequest stubborn{.op = IoRequest::Op::flush};
  uint32_t tries = 1;
  while (io_retry(stubborn, -EAGAIN)) ++tries;
  EXPECT_EQ(tries, kIoRetriesMax);
  EXPECT_EQ(stubborn.result, -EAGAIN);
}

}  // namespace
}  // namespace cairn
