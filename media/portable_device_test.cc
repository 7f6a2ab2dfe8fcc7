#include "media/portable_device.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "media/blob_store.h"
#include "media/file_device.h"
#include "media/striped_device.h"
#include "runtime/context.h"
#include "runtime/core.h"
#include "sim/world.h"

namespace cairn::media {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kMiB = 1u << 20;
constexpr uint64_t kStoreBytes = 31 * kMiB;
using DevicePtr = std::unique_ptr<Device>;

class PortableDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cairn_portable_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    auto io = make_io_backend();
    ASSERT_TRUE(io);
    reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), std::move(*io));
    context_ = std::make_unique<Context>(*reactor_);
    auto core = Core::start();
    ASSERT_TRUE(core);
    core_ = std::move(*core);
  }
  void TearDown() override { fs::remove_all(root_); }

  /// A blob on a store of its own, which owns the whole of a file.
  DevicePtr blob(const std::string& name, uint64_t bytes) {
    auto whole = context_->run(
        open_file_device(*reactor_, root_ + "/" + name, {.create = true, .bytes = kStoreBytes}));
    CHECK(whole.has_value());
    auto store = context_->run(BlobStore::format(*reactor_, std::move(*whole), {}));
    CHECK(store.has_value());
    stores_.push_back(std::move(*store));
    auto made = context_->run(stores_.back()->create({}, {.bytes = bytes}));
    CHECK(made.has_value());
    return std::move(*made);
  }
  Bytes read(Device& device, uint64_t offset, uint64_t bytes) {
    Bytes into(bytes);
    EXPECT_TRUE(context_->run(device.read(offset, into)));
    return into;
  }

  std::string root_;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Context> context_;
  std::vector<std::unique_ptr<BlobStore>> stores_;
  std::unique_ptr<Core> core_;
};

TEST_F(PortableDeviceTest, A_blob_goes_on_at_another_core_and_is_the_same) {
  // Goal: what was written before is there, what is written there is in the same place; nothing of
  // the old home is used. Method: a blob striped over two stores, its old devices gone before.
  const auto before = Bytes(2 * kMiB, std::byte{7});
  const auto after = Bytes(2 * kMiB, std::byte{9});
  std::vector<DevicePtr> parts;
  parts.push_back(blob("a", 4 * kMiB));
  parts.push_back(blob("b", 4 * kMiB));
  DevicePtr here = make_striped(*reactor_, std::move(parts));
  ASSERT_TRUE(context_->run(here->write(0, before)));
  auto moved = move_to(core_->reactor(), std::move(here));
  ASSERT_TRUE(moved);
  stores_.clear();
  Device& there = **moved;
  EXPECT_EQ(there.size_bytes(), 8 * kMiB);
  Bytes into(before.size());
  EXPECT_TRUE(
      context_->run(run_on(*reactor_, core_->reactor(), [&] { return there.read(0, into); })));
  EXPECT_EQ(into, before);
  EXPECT_TRUE(context_->run(
      run_on(*reactor_, core_->reactor(), [&] { return there.write_durable(kMiB, after); })));
  EXPECT_TRUE(context_->run(run_on(*reactor_, core_->reactor(), [&] { return there.flush(); })));
  core_->end([&] { moved->reset(); });

  for (const char* name : {"a", "b"}) {
    auto whole = context_->run(open_file_device(*reactor_, root_ + "/" + name, {.whole = true}));
    ASSERT_TRUE(whole);
    auto store = context_->run(BlobStore::open(*reactor_, std::move(*whole), {}));
    ASSERT_TRUE(store);
    stores_.push_back(std::move(*store));
    auto part = stores_.back()->open({});
    ASSERT_TRUE(part);
    const bool first = name[0] == 'a';
    EXPECT_EQ(read(**part, 0, kMiB), Bytes(kMiB, std::byte{first ? uint8_t{7} : uint8_t{9}}));
  }
}

TEST_F(PortableDeviceTest, A_device_that_stays_says_so) {
  sim::World world(1);
  auto copy = copy_to(core_->reactor(), world.add_disk("disk", kMiB));
  EXPECT_EQ(copy.error().code(), Errc::not_supported);
  world.end_era();
}

}  // namespace
}  // namespace cairn::media
