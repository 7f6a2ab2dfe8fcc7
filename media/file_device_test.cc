#include "media/file_device.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <set>
#include <string>

#include "media/flush_cover.h"
#include "media/wal_testing.h"

namespace cairn::media {
namespace {

constexpr uint64_t kBytes = 64 * kBlockBytes;

/// Where, and with what: a disk, memory without O_DIRECT; io_uring, the thread pool.
struct Place {
  const char* root;
  const char* io;
};

/// A directory of its own and a reactor.
class FileDevice : public ::testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    const auto& [root, backend] = GetParam();
    setenv("CAIRN_IO", backend, 1);
    auto io = make_io_backend();
    unsetenv("CAIRN_IO");
    if (!io && io.error().code() == Errc::not_supported) GTEST_SKIP() << io.error().what();
    ASSERT_TRUE(io.has_value());
    std::string pattern = std::string(root) + "/cairn-device-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) GTEST_SKIP() << root << " is not writable";
    directory = pattern;
    path = directory + "/blob";
    reactor = std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
  }
  void TearDown() override {
    reactor.reset();
    if (directory.empty()) return;
    unlink(path.c_str());
    rmdir(directory.c_str());
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    reactor->spawn(keep(std::move(task), value));
    while (!value) {
      if (!reactor->turn()) reactor->idle(kSecond);
    }
    return std::move(*value);
  }
  Result<std::unique_ptr<Device>> open(FileDeviceOptions options) {
    return run(open_file_device(*reactor, path, options));
  }
  Errc open_error(FileDeviceOptions options) {
    auto opened = open(options);
    return opened ? Errc::ok : opened.error().code();
  }
  static Task<Result<void>> discard_block(Device& device) {
    co_await device.discard(0, kBlockBytes);
    co_return Result<void>{};
  }
  /// A file on that place's own cache, where that can be told.
  void expect_known(Device& device, uint64_t offset, uint64_t bytes) {
    EXPECT_EQ(device.flush_covers(offset, bytes), device.flush_domain() != 0) << offset;
  }
  bool exists() const { return access(path.c_str(), F_OK) == 0; }

  std::string directory, path;
  std::unique_ptr<Reactor> reactor;

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value) {
    value.emplace(co_await std::move(task));
  }
};

TEST(TakesDiscards, A_disk_or_a_partition_does_if_its_queue_says_so) {
  // Goal: no hole is punched where that writes zeros. Method: directories as those of /sys.
  std::string root = "/tmp/cairn-sys-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  const auto say = [&](const char* most) {
    FILE* file = fopen((root + "/queue/discard_max_bytes").c_str(), "w");
    ASSERT_NE(file, nullptr);
    fputs(most, file);
    fclose(file);
  };
  EXPECT_FALSE(takes_discards(root)) << "it says nothing";
  ASSERT_EQ(mkdir((root + "/queue").c_str(), 0700), 0);
  ASSERT_EQ(mkdir((root + "/part1").c_str(), 0700), 0);
  for (const auto& [most, wanted] : {std::pair{"2147450880\n", true},
                                     {"18446744073709551615\n", true},
                                     {"0\n", false},
                                     {"", false},
                                     {"none\n", false}}) {
    say(most);
    EXPECT_EQ(takes_discards(root), wanted) << most;
    EXPECT_EQ(takes_discards(root + "/part1"), wanted) << most;
  }
  unlink((root + "/queue/discard_max_bytes").c_str());
  rmdir((root + "/queue").c_str());
  rmdir((root + "/part1").c_str());
  rmdir(root.c_str());
}

AlignedBuffer filled(size_t bytes, int seed) {
  AlignedBuffer buffer(bytes);
  for (size_t i = 0; i < bytes; ++i)
    buffer.data()[i] = static_cast<std::byte>(i * 7 + seed + i / 509);
  return buffer;
}

TEST_P(FileDevice, What_was_written_is_read_again_after_opening_anew) {
  // Goal: the plain way. Method: create, write in both ways, flush, discard another block, open,
  // compare.
  const AlignedBuffer first = filled(8 * kBlockBytes, 1);
  const AlignedBuffer second = filled(kBlockBytes, 2);
  {
    auto device = open({.create = true, .bytes = kBytes});
    ASSERT_TRUE(device.has_value());
    EXPECT_EQ((*device)->size_bytes(), kBytes);
    EXPECT_TRUE(run((*device)->write(kBlockBytes, first.view())));
    EXPECT_TRUE(run((*device)->write_durable(kBytes - kBlockBytes, second.view())));
    EXPECT_TRUE(run((*device)->flush()));
  }
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  auto device = open({});
  ASSERT_TRUE(device.has_value());
  AlignedBuffer again(8 * kBlockBytes);
  ASSERT_TRUE(run((*device)->read(kBlockBytes, again.span())));
  EXPECT_EQ(std::memcmp(again.data(), first.data(), first.size()), 0);
  ASSERT_TRUE(run((*device)->read(kBytes - kBlockBytes, again.span().first(kBlockBytes))));
  EXPECT_EQ(std::memcmp(again.data(), second.data(), second.size()), 0);
}

TEST_P(FileDevice, Misaligned_buffers_work_too) {
  // Goal: the device bounces what O_DIRECT refuses. Method: buffers one byte off.
  auto device = open({.create = true, .bytes = kBytes});
  ASSERT_TRUE(device.has_value());
  AlignedBuffer out = filled(3 * kBlockBytes, 3);
  AlignedBuffer in(3 * kBlockBytes);
  const ByteView odd_out = out.view().subspan(1, 2 * kBlockBytes);
  const ByteSpan odd_in = in.span().subspan(3, 2 * kBlockBytes);
  ASSERT_TRUE(run((*device)->write(0, odd_out)));
  ASSERT_TRUE(run((*device)->read(0, odd_in)));
  EXPECT_EQ(std::memcmp(odd_in.data(), odd_out.data(), odd_out.size()), 0);
}

TEST_P(FileDevice, Filling_writes_every_block_and_never_writes_over_a_file) {
  // Goal: create with fill; exists. Method: all zeros, all allocated; a second create is refused
  // and leaves the file.
  ASSERT_EQ(open_error({.create = true, .fill = true, .bytes = kBytes}), Errc::ok);
  struct stat status;
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_GE(static_cast<uint64_t>(status.st_blocks) * 512, kBytes);
  EXPECT_EQ(open_error({.create = true, .bytes = kBytes}), Errc::exists);
  auto device = open({});
  ASSERT_TRUE(device.has_value());
  AlignedBuffer in = filled(kBytes, 4);
  ASSERT_TRUE(run((*device)->read(0, in.span())));
  EXPECT_EQ(std::count(in.data(), in.data() + in.size(), std::byte{0}),
            static_cast<ptrdiff_t>(kBytes));
}

TEST_P(FileDevice, Requests_past_the_end_and_on_a_shortened_file_are_errors) {
  // Goal: never wrong bytes. Method: past the end; then the file is cut behind the device's back.
  auto device = open({.create = true, .bytes = kBytes});
  ASSERT_TRUE(device.has_value());
  AlignedBuffer two(2 * kBlockBytes);
  EXPECT_EQ(run((*device)->read(kBytes - kBlockBytes, two.span())).error().code(), Errc::io);
  EXPECT_EQ(run((*device)->write(kBytes - kBlockBytes, two.view())).error().code(), Errc::io);
  ASSERT_EQ(truncate(path.c_str(), kBytes - kBlockBytes), 0);
  EXPECT_EQ(run((*device)->read(kBytes - 2 * kBlockBytes, two.span())).error().code(), Errc::io);
}

TEST_P(FileDevice, What_is_no_blob_is_refused) {
  // Goal: each refusal has its code. Method: nothing there; a directory; odd length; empty; bad
  // sizes; a path below a file.
  EXPECT_EQ(open_error({}), Errc::nonexistent);
  EXPECT_EQ(open_error({.create = true, .bytes = 0}), Errc::invalid);
  EXPECT_EQ(open_error({.create = true, .bytes = 4097}), Errc::invalid);
  EXPECT_FALSE(exists());
  ASSERT_EQ(open_error({.create = true, .bytes = kBytes}), Errc::ok);
  ASSERT_EQ(truncate(path.c_str(), kBytes - 100), 0);
  EXPECT_EQ(open_error({}), Errc::format_invalid);
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  EXPECT_EQ(open_error({}), Errc::format_invalid);
  auto below = run(open_file_device(*reactor, path + "/below", {.create = true, .bytes = kBytes}));
  EXPECT_FALSE(below.has_value());
  auto folder = run(open_file_device(*reactor, directory, {.read_only = true}));
  ASSERT_FALSE(folder.has_value());
  EXPECT_EQ(folder.error().code(), Errc::format_invalid);
}

TEST_P(FileDevice, A_read_only_device_reads_and_refuses_writes) {
  // Goal: read_only. Method: one read, one write.
  ASSERT_EQ(open_error({.create = true, .bytes = kBytes}), Errc::ok);
  auto device = open({.read_only = true});
  ASSERT_TRUE(device.has_value());
  AlignedBuffer block(kBlockBytes);
  EXPECT_TRUE(run((*device)->read(0, block.span())));
  EXPECT_FALSE(run((*device)->write(0, block.view())));
}

TEST_P(FileDevice, A_full_file_system_says_no_space_and_leaves_nothing_behind) {
  // Goal: the way out of a full disk. Method: the process's file size limit stands in for it.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  auto* const handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = kBytes / 2;
  setrlimit(RLIMIT_FSIZE, &small);
  const Errc refused = open_error({.create = true, .fill = true, .bytes = kBytes});
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(refused, Errc::no_space);
  EXPECT_FALSE(exists());
}

Task<void> append_some(Wal& wal, uint64_t first, uint64_t count, size_t& answered) {
  for (uint64_t n = first; n < first + count; ++n) {
    auto done = co_await wal.durable(wal.append(record_bytes(n, 12 + n * 997 % 9000),
                                                     Wal::Data::none));
    if (!done) co_return;
    ++answered;
  }
}

TEST_P(FileDevice, A_log_on_a_file_reads_back_after_reopening) {
  // Goal: the log on the real device, with either backend. Method: four clients of 25 records; the
  // file is closed and opened; the log goes on and reads back once more.
  std::set<uint64_t> seen;
  WalStart start{0, 1, 77, 88};
  for (uint32_t opening = 1; opening <= 2; ++opening) {
    auto device =
        opening == 1 ? open({.create = true, .fill = true, .bytes = 1024 * kBlockBytes}) : open({});
    ASSERT_TRUE(device.has_value());
    auto before = run(read_log(*reactor, **device, start));
    ASSERT_TRUE(before.has_value());
    ASSERT_EQ(before->records.size(), (opening - 1) * 100);
    if (opening == 1) before->summary.incarnation = 0;
    Wal wal(*reactor, **device, {}, before->summary, opening, 0);
    size_t answered = 0;
    for (uint64_t client = 0; client < 4; ++client) {
      reactor->spawn(append_some(wal, (opening * 4 + client) * 25, 25, answered));
    }
    while (answered < 100 && !wal.stopped()) {
      if (!reactor->turn()) reactor->idle(kSecond);
    }
    ASSERT_TRUE(run(wal.drain()));
    const auto after = run(read_log(*reactor, **device, start));
    ASSERT_TRUE(after.has_value());
    for (const Bytes& record : after->records) {
      const uint64_t n = record_number(record);
      ASSERT_EQ(record, record_bytes(n, 12 + n * 997 % 9000));
      seen.insert(n);
    }
    ASSERT_EQ(after->records.size(), opening * 100u);
    EXPECT_EQ(seen.size(), opening * 100u);
  }
}

TEST_P(FileDevice, A_flush_of_another_file_covers_only_what_was_written_before) {
  // Goal: no metadata of the file is missing after a power cut. Method: a fresh file of 2.5 MiB;
  // first writes, second ones, holes. A disk of another kind than FlushCover knows says 0 to all.
  constexpr uint64_t kRegion = kCoverRegionBytes;
  auto opened = open({.create = true, .bytes = 2 * kRegion + kRegion / 2});
  ASSERT_TRUE(opened.has_value());
  Device& device = **opened;
  if (std::string(GetParam().root) == "/dev/shm") EXPECT_EQ(device.flush_domain(), 0u);
  const AlignedBuffer buffer(kRegion);
  EXPECT_FALSE(device.flush_covers(0, kRegion)) << "reserved only";
  ASSERT_TRUE(run(device.write_durable(0, buffer.view())));
  EXPECT_FALSE(device.flush_covers(0, kRegion)) << "it was not written before that write";
  ASSERT_TRUE(run(device.write_durable(kBlockBytes, buffer.view().first(kBlockBytes))));
  expect_known(device, 0, kRegion);
  expect_known(device, kRegion - kBlockBytes, kBlockBytes);
  EXPECT_FALSE(device.flush_covers(kRegion - kBlockBytes, 2 * kBlockBytes));
  EXPECT_FALSE(device.flush_covers(kRegion, kBlockBytes));
  // A region with one block missing, then the last, shorter one.
  ASSERT_TRUE(run(device.write_durable(kRegion, buffer.view().first(kRegion - kBlockBytes))));
  ASSERT_TRUE(run(device.write_durable(kRegion, buffer.view().first(kBlockBytes))));
  EXPECT_FALSE(device.flush_covers(kRegion, kBlockBytes));
  for (int twice = 0; twice < 2; ++twice) {
    ASSERT_TRUE(run(device.write_durable(2 * kRegion, buffer.view().first(kRegion / 2))));
  }
  expect_known(device, 2 * kRegion, kRegion / 2);
  EXPECT_FALSE(device.flush_covers(0, 3 * kRegion)) << "past the end";
  EXPECT_FALSE(run(device.write_durable(2 * kRegion, buffer.view())));
  // Other devices: the same cache; what was written is known only after a durable write of theirs.
  const uint64_t domain = device.flush_domain();
  opened = open({});
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->flush_domain(), domain);
  EXPECT_FALSE((*opened)->flush_covers(0, kRegion));
  ASSERT_TRUE(run((*opened)->write_durable(0, buffer.view().first(kBlockBytes))));
  expect_known(**opened, 0, kRegion);
  ASSERT_TRUE(run(discard_block(**opened)));
  EXPECT_FALSE((*opened)->flush_covers(0, kRegion));
}

INSTANTIATE_TEST_SUITE_P(Places, FileDevice,
                         ::testing::Values(Place{"/var/tmp", "uring"}, Place{"/dev/shm", "uring"},
                                           Place{"/var/tmp", "threads"},
                                           Place{"/dev/shm", "threads"}),
                         [](const auto& param) {
                           const bool disk = std::string_view(param.param.root) == "/var/tmp";
                           return std::string(disk ? "Disk_" : "Memory_") + param.param.io;
                         });

}  // namespace
}  // namespace cairn::media
