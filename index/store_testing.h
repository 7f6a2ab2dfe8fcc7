// What the tests of the store share: a driver like vos's, a model beside the store, records with
// data.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "index/store.h"
#include "index/testing_disk.h"

namespace cairn::index::testing {

inline constexpr uint64_t kOwner[2] = {0x1111, 0x2222};

inline StoreOptions options_for(bool evict_always = false, uint64_t memory = 8u << 20) {
  StoreOptions options;
  options.memory_bytes = memory;
  options.evict_always = evict_always;
  options.owner_tag[0] = kOwner[0];
  options.owner_tag[1] = kOwner[1];
  return options;
}

inline std::unique_ptr<Store> must(Result<std::unique_ptr<Store>> store) {
  CHECK(store.has_value());
  return std::move(*store);
}

inline std::unique_ptr<Store> create(TestWorld& world, StoreOptions options) {
  return must(world.run(Store::create(world.reactor, world.devices(), options)));
}

inline Result<std::unique_ptr<Store>> open(TestWorld& world, StoreOptions options) {
  return world.run(Store::open(world.reactor, world.devices(), options, nullptr));
}

/// value: stamp, then block and count of an extent (0: none), then bytes of one letter.
struct Value {
  media::Extent extent;
  std::string fill;
};

inline Bytes encode_value(uint64_t stamp, const Value& value) {
  Bytes out(24 + value.fill.size());
  store_le64(out.data(), stamp);
  store_le64(out.data() + 8, value.extent.block);
  store_le64(out.data() + 16, value.extent.count);
  std::memcpy(out.data() + 24, value.fill.data(), value.fill.size());
  return out;
}

inline media::Extent extent_of(ByteView value) {
  return {load_le64(value.data() + 8), static_cast<uint32_t>(load_le64(value.data() + 16))};
}

inline Result<std::vector<media::Extent>> claims(ByteView, ByteView value) {
  const media::Extent extent = extent_of(value);
  if (extent.count == 0) return std::vector<media::Extent>{};
  return std::vector<media::Extent>{extent};
}

/// The driver of a plan: what vos does.
inline Task<Result<void>> prepare(Store& store, const Batch& batch) {
  for (;;) {
    const auto prepared = store.tree().prepare(batch);
    if (prepared) co_return Result<void>{};
    if (prepared.error().code() != Errc::page_absent) co_return prepared;
    CO_TRY(loaded, co_await store.load_absent());
  }
}

inline Task<Result<media::Lsn>> update(Store& store, Batch batch, uint64_t epoch) {
  CO_TRY(admitted, co_await store.admit());
  CO_TRY(prepared, co_await prepare(store, batch));
  RecordHeader header;
  header.epoch = epoch;
  const media::Lsn lsn = store.commit(header, batch, {epoch, 0});
  CO_TRY(ended, co_await store.end_step());
  co_return lsn;
}

inline Task<Result<void>> update_durably(Store& store, Batch batch, uint64_t epoch) {
  CO_TRY(lsn, co_await update(store, std::move(batch), epoch));
  co_return co_await store.durable(lsn);
}

inline uint32_t digest_of(ByteView blocks) {
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
inline Task<Result<Content>> read_all(Store& store) {
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
    changed_.clear();
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
    if (random_.below(5) == 0) {
      const auto from = content.lower_bound(random_key());
      if (from == content.end() || from->first == key || changed_.contains(from->first)) return;
      batch.move(as_bytes(from->first), as_bytes(key));
      changed_.insert({from->first, key});
      content[key] = from->second;
      content.erase(from);
      return;
    }
    changed_.insert(key);
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
  std::set<std::string> changed_;  // by the batch being made
  uint64_t epoch_ = 0;
};

inline void expect_clean_check(TestWorld& world, Store& store) {
  const auto report = world.run(store.check(claims));
  ASSERT_TRUE(report.has_value()) << report.error().what();
  for (const std::string& problem : report->problems) ADD_FAILURE() << problem;
}

/// A batch that puts one small record.
inline Batch one_put(const std::string& key, uint64_t stamp, size_t fill = 16) {
  Batch batch;
  batch.put(as_bytes(key), encode_value(stamp, {{}, std::string(fill, 'v')}));
  return batch;
}

inline Batch one_erase(const std::string& key) {
  Batch batch;
  batch.erase(as_bytes(key));
  return batch;
}

inline Result<std::optional<Bytes>> get(TestWorld& world, Store& store, const std::string& key) {
  for (;;) {
    const auto found = store.tree().get(as_bytes(key));
    if (found && !*found) return std::nullopt;
    if (found) return Bytes((*found)->begin(), (*found)->end());
    if (found.error().code() != Errc::page_absent) return fail(found.error());
    TRY(loaded, world.run(store.load_absent()));
  }
}

/// `blocks` blocks of content that belongs to `stamp`.
inline Bytes pattern(uint64_t stamp, uint64_t blocks) {
  Bytes bytes(blocks * media::kBlockBytes);
  for (size_t at = 0; at < bytes.size(); at += 8)
    store_le64(bytes.data() + at, stamp * 1000003 + at);
  return bytes;
}

/// Puts `key` with `blocks` blocks of data beside the record; frees `old`. Done when durable.
/// @param loggable  the record may carry the data, where the store thinks that it should
inline Task<Result<media::Extent>> update_with_data(Store& store, std::string key, uint64_t stamp,
                                                    uint32_t blocks, media::Extent old,
                                                    bool loggable = false) {
  CO_TRY(admitted, co_await store.admit());
  CO_TRY(extents, store.reserve_data(blocks * media::kBlockBytes));
  if (extents.size() != 1) {
    store.cancel_data(extents);
    co_return fail(Errc::no_space, "test: scattered");
  }
  Bytes bytes = pattern(stamp, blocks);
  Batch batch;
  batch.put(as_bytes(key), encode_value(stamp, {extents[0], ""}));
  batch.publish({extents[0], digest_of(bytes), loggable ? ByteView(bytes) : ByteView()});
  if (old.count != 0) batch.free(old);
  auto prepared = co_await prepare(store, batch);
  if (!prepared) {
    store.cancel_data(extents);
    co_return fail(prepared.error());
  }
  const media::Lsn lsn = store.commit({}, batch, {stamp, 0});
  std::vector<Store::DataWrite> writes;
  // Data that may be in the log is whole; else in two pieces of odd length.
  const size_t cut = loggable ? bytes.size() : bytes.size() / 3;
  writes.push_back({extents[0], {{bytes.data(), cut}}});
  if (cut != bytes.size()) {
    writes[0].pieces.push_back({bytes.data() + cut, bytes.size() - cut});
  }
  CO_TRY(written, co_await store.write_data(lsn, std::move(writes)));
  CO_TRY(durable, co_await store.durable(lsn));
  co_return extents[0];
}

}  // namespace cairn::index::testing
