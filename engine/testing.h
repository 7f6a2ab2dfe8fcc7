// A shard on memory and an engine around it, for the tests of this folder.
#pragma once

#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "media/device.h"
#include "runtime/jumping_testing.h"

namespace cairn::engine {

/// A blob that is durable at once.
class MemoryDevice final : public media::Device {
 public:
  explicit MemoryDevice(uint64_t bytes) : bytes_(bytes) {}
  uint64_t size_bytes() const override { return bytes_.size(); }
  Task<Result<void>> read(uint64_t offset, ByteSpan into) override {
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write(uint64_t offset, ByteView from) override {
    if (broken) co_return fail(Errc::io, "memory device: broken");
    std::memcpy(bytes_.data() + offset, from.data(), from.size());
    co_return Result<void>{};
  }
  Task<Result<void>> write_durable(uint64_t offset, ByteView from) override {
    return write(offset, from);
  }
  Task<Result<void>> flush() override { co_return Result<void>{}; }
  Task<void> discard(uint64_t, uint64_t) override { co_return; }
  Bytes& bytes() { return bytes_; }

  bool broken = false;  // it takes nothing any more

 private:
  Bytes bytes_;
};

/// The whole of `buffer`, which it borrows, as the value of akey "a".
inline model::Iods single_value(std::string& buffer) {
  model::Iods iods(1);
  iods[0].akey = as_bytes("a");
  iods[0].type = model::ValueType::single;
  iods[0].record_bytes = buffer.size();
  iods[0].buffer = {{reinterpret_cast<std::byte*>(buffer.data()), buffer.size()}};
  return iods;
}

struct EngineWorld : JumpingWorld {
  MemoryDevice wal{16u << 20}, meta{32u << 20}, data{32u << 20};
  std::unique_ptr<vos::Shard> shard;
  Uuid pool{.bytes = {1, 2, 3}};
  Engine engine;

  explicit EngineWorld(uint32_t rank = 3)
      : engine(reactor, {.rank = rank, .incarnation = 8}) {
    auto made = run(vos::Shard::create(reactor, {&wal, &meta, &data}, pool, {}));
    CHECK(made.has_value());
    shard = std::move(*made);
    engine.add_shard(pool, 0, *shard);
  }
  ~EngineWorld() {
    run_void(engine.stop());
    CHECK(run(shard->close()).has_value() || wal.broken);
    shard.reset();
  }
};

}  // namespace cairn::engine
