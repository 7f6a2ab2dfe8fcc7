#include "index/store.h"

#include <map>
#include <set>

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "index/superblock_format.h"
#include "index/testing_disk.h"

namespace cairn::index {
namespace {

using testing::test_seed;
using testing::TestDisk;
using testing::TestWorld;

constexpr uint64_t kOwner[2] = {0x1111, 0x2222};

StoreOptions options_for(bool evict_always = false, uint64_t memory = 8u << 20) {
  StoreOptions options;
  options.memory_bytes = memory;
  options.evict_always = evict_always;
  options.owner_tag[0] = kOwner[0];
  options.owner_tag[1] = kOwner[1];
  return options;
}

std::unique_ptr<Store> must(Result<std::unique_ptr<Store>> store) {
  CHECK(store.has_value());
  return std::move(*store);
}

std::unique_ptr<Store> create(TestWorld& world, StoreOptions options) {
  return must(world.run(Store::create(world.reactor, world.devices(), options)));
}

Result<std::unique_ptr<Store>> open(TestWorld& world, StoreOptions options) {
  return world.run(Store::open(world.reactor, world.devices(), options, nullptr));
}

/// value: stamp, then block and count of an extent (0: none), then bytes of one letter.
struct Value {
  media::Extent extent;
  std::string fill;
};

Bytes encode_value(uint64_t stamp, const Value& value) {
  Bytes out(24 + value.fill.size());
  store_le64(out.data(), stamp);
  store_le64(out.data() + 8, value.extent.block);
  store_le64(out.data() + 16, value.extent.count);
  std::memcpy(out.data() + 24, value.fill.data(), value.fill.size());
  return out;
}

media::Extent extent_of(ByteView value) {
  return {load_le64(value.data() + 8), static_cast<uint32_t>(load_le64(value.data() + 16))};
}

Result<std::vector<media::Extent>> claims(ByteView, ByteView value) {
  const media::Extent extent = extent_of(value);
  if (extent.count == 0) return std::vector<media::Extent>{};
  return std::vector<media::Extent>{extent};
}

/// The driver of a plan: what vos does.
Task<Result<void>> prepare(Store& store, const Batch& batch) {
  for (;;) {
    const auto prepared = store.tree().prepare(batch);
    if (prepared) co_return Result<void>{};
    if (prepared.error().code() != Errc::page_absent) co_return prepared;
    CO_TRY(loaded, co_await store.load_absent());
  }
}

Task<Result<media::Lsn>> update(Store& store, Batch batch, uint64_t epoch) {
  CO_TRY(admitted, co_await store.admit());
  CO_TRY(prepared, co_await prepare(store, batch));
  RecordHeader header;
  header.epoch = epoch;
  const media::Lsn lsn = store.commit(header, batch, {epoch, 0});
  CO_TRY(ended, co_await store.end_step());
  co_return lsn;
}

Task<Result<void>> update_durably(Store& store, Batch batch, uint64_t epoch) {
  CO_TRY(lsn, co_await update(store, std::move(batch), epoch));
  co_return co_await store.durable(lsn);
}

uint32_t digest_of(ByteView blocks) {
  uint32_t digest = 0;
  for (size_t at = 0; at < blocks.size(); at += media::kBlockBytes) {
    std::byte crc[4];
    store_le32(crc, crc32c(blocks.subspan(at, media::kBlockBytes)));
    digest = crc32c(crc, digest);
  }
  return digest;
}

using Content = std::map<std::string, Bytes>;

/// All records; a page that is absent is loaded and the cursor set again.
Task<Result<Content>> read_all(Store& store) {
  Content content;
  std::string after;
  for (;;) {
    Cursor cursor(store.tree());
    Bytes low(after.size() + 1);
    std::memcpy(low.data(), after.data(), after.size());
    auto moved = content.empty() ? cursor.seek({}) : cursor.seek(low);
    while (moved && cursor.valid()) {
      after = std::string(as_chars(cursor.key()));
      content[after] = Bytes(cursor.value().begin(), cursor.value().end());
      moved = cursor.next();
    }
    if (moved) co_return content;
    if (moved.error().code() != Errc::page_absent) co_return fail(moved.error());
    CO_TRY(loaded, co_await store.load_absent());
  }
}

/// A store beside its model.
class Model {
 public:
  Model(TestWorld& world, uint64_t seed) : world_(world), random_(seed) {}

  std::string random_key() {
    const uint64_t n = random_.below(4000);
    std::string key = "object/" + std::to_string(n);
    if (n % 16 == 0) key += std::string(n % 900, 'x');
    return key;
  }
  void step(Store& store) {
    Batch batch;
    std::vector<media::Extent> freed;
    for (uint64_t ops = 1 + random_.below(6); ops > 0; --ops) one_op(batch);
    ++epoch_;
    const auto done = world_.run(update_durably(store, std::move(batch), epoch_));
    ASSERT_TRUE(done.has_value()) << done.error().what();
  }
  void expect_same(Store& store) {
    const auto all = world_.run(read_all(store));
    ASSERT_TRUE(all.has_value()) << all.error().what();
    EXPECT_EQ(*all == content, true) << all->size() << " records, wanted " << content.size();
  }
  SeededRandom& random() { return random_; }

  Content content;

 private:
  void one_op(Batch& batch) {
    const std::string key = random_key();
    if (random_.below(3) == 0) {
      batch.erase(as_bytes(key));
      content.erase(key);
      return;
    }
    Value value;
    value.fill = std::string(random_.below(random_.below(20) == 0 ? 6000 : 200), 'a');
    const Bytes bytes = encode_value(epoch_ + 1, value);
    batch.put(as_bytes(key), bytes);
    content[key] = bytes;
  }
  TestWorld& world_;
  SeededRandom random_;
  uint64_t epoch_ = 0;
};

void expect_clean_check(TestWorld& world, Store& store) {
  const auto report = world.run(store.check(claims));
  ASSERT_TRUE(report.has_value()) << report.error().what();
  for (const std::string& problem : report->problems) ADD_FAILURE() << problem;
}

void run_restart_model(bool evict_always, int rounds, int steps, uint64_t memory) {
  const uint64_t seed = test_seed();
  SCOPED_TRACE("CAIRN_SEED=" + std::to_string(seed));
  TestWorld world(seed);
  Model model(world, seed + 1);
  auto store = create(world, options_for(evict_always, memory));
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < steps; ++i) {
      ASSERT_NO_FATAL_FAILURE(model.step(*store));
      if (model.random().below(200) == 0) {
        ASSERT_TRUE(world.run(store->checkpoint()).has_value());
      }
    }
    ASSERT_NO_FATAL_FAILURE(model.expect_same(*store));
    if (model.random().below(2) == 0) {
      ASSERT_TRUE(world.run(store->close()).has_value());
    }
    world.settle();
    store.reset();
    auto opened = open(world, options_for(evict_always, memory));
    ASSERT_TRUE(opened.has_value()) << opened.error().what();
    store = std::move(*opened);
    ASSERT_NO_FATAL_FAILURE(model.expect_same(*store));
    ASSERT_NO_FATAL_FAILURE(expect_clean_check(world, *store));
  }
  EXPECT_TRUE(world.run(store->close()).has_value());
}

TEST(Store, What_was_committed_is_there_after_every_reopen) {
  // Goal: replay and checkpoints keep the map. Method: random batches beside a std::map; the store ends with
  // and without a last checkpoint and is opened again.
  run_restart_model(false, 8, 400, 8u << 20);
}

TEST(Store, Every_page_may_leave_memory_after_every_step) {
  // Goal: nothing relies on a page that is in memory by chance. Method: the same with evict_always.
  run_restart_model(true, 4, 120, 8u << 20);
}

TEST(Store, A_budget_of_a_few_frames_is_enough) {
  // Goal: bounded memory. Method: the same with the least budget, far below the size of the tree.
  run_restart_model(false, 4, 400, 1);
}

TEST(Store, An_empty_store_opens_empty) {
  // Goal: create alone makes a whole store. Method: no update between create and open, several times.
  TestWorld world(1);
  create(world, options_for());
  for (int i = 0; i < 5; ++i) {
    auto store = open(world, options_for());
    ASSERT_TRUE(store.has_value()) << store.error().what();
    const auto all = world.run(read_all(**store));
    ASSERT_TRUE(all.has_value());
    EXPECT_TRUE(all->empty());
    if (i % 2 == 0) {
      EXPECT_TRUE(world.run((*store)->close()).has_value());
    }
  }
}

TEST(Store, Create_refuses_a_blob_that_holds_a_store) {
  // Goal: nobody's data is overwritten by mistake. Method: create twice.
  TestWorld world(1);
  create(world, options_for());
  const auto again = world.run(Store::create(world.reactor, world.devices(), options_for()));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code(), Errc::exists);
}

}  // namespace
}  // namespace cairn::index
