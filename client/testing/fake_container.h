// A Container in memory for tests of what stands on containers: array values under integer dkeys,
// with holes. Each call takes two turns of the reactor, so that calls overlap, and may be told to
// fail.
#pragma once

#include <cstring>
#include <map>
#include <optional>

#include "client/client.h"

namespace cairn::client {

class FakeSystem final : public System {
 public:
  explicit FakeSystem(Reactor& reactor) : context_(reactor) {}
  Context& context() override { return context_; }
  Task<Result<Uuid>> pool_create(PoolCreateOptions) override { return none<Uuid>(); }
  Task<Result<std::vector<PoolInfo>>> pool_list() override { return none<std::vector<PoolInfo>>(); }
  Task<Result<std::vector<DeviceSpace>>> devices() override {
    return none<std::vector<DeviceSpace>>();
  }
  Task<Result<std::vector<EngineInfo>>> engines() override {
    return none<std::vector<EngineInfo>>();
  }
  Task<Result<void>> pool_destroy(std::string, bool) override { return none<void>(); }
  Task<Result<void>> pool_set_props(std::string, Props) override { return none<void>(); }
  Task<Result<void>> pool_extend(std::string, std::vector<uint32_t>) override {
    return none<void>();
  }
  Task<Result<std::vector<RankResult>>> set_running(std::vector<uint32_t>, bool) override {
    return none<std::vector<RankResult>>();
  }
  Task<Result<void>> storage_format(bool) override { return none<void>(); }
  Task<Result<PoolPtr>> pool_connect(std::string, Access) override { return none<PoolPtr>(); }
  Task<Result<PoolPtr>> pool_attach(uint64_t) override { return none<PoolPtr>(); }
  Uuid uuid() const override { return {}; }
  Result<void> shutdown() override { return {}; }

  template <class T>
  static Task<Result<T>> none() {
    co_return fail(Errc::no_sys, "fake: not made");
  }

 private:
  Context context_;
};

class FakePool final : public Pool {
 public:
  explicit FakePool(FakeSystem& system) : system_(system) {}
  System& system() override { return system_; }
  const Uuid& uuid() const override { return uuid_; }
  Access access() const override { return Access::read_write; }
  uint64_t handle_id() const override { return 1; }
  Task<Result<PoolInfo>> query() override { return FakeSystem::none<PoolInfo>(); }
  Task<Result<void>> disconnect() override { return FakeSystem::none<void>(); }
  Task<Result<Attrs>> attrs() override { return FakeSystem::none<Attrs>(); }
  Task<Result<void>> set_attrs(Attrs) override { return FakeSystem::none<void>(); }
  Task<Result<void>> delete_attrs(std::vector<std::string>) override {
    return FakeSystem::none<void>();
  }
  Task<Result<Uuid>> cont_create(std::string, Props) override { return FakeSystem::none<Uuid>(); }
  Task<Result<std::vector<ContInfo>>> cont_list() override {
    return FakeSystem::none<std::vector<ContInfo>>();
  }
  Task<Result<ContainerPtr>> cont_attach(uint64_t) override {
    return FakeSystem::none<ContainerPtr>();
  }
  Task<Result<ContainerPtr>> cont_open(std::string, Access) override {
    return FakeSystem::none<ContainerPtr>();
  }
  Task<Result<void>> cont_destroy(std::string, bool) override { return FakeSystem::none<void>(); }

 private:
  FakeSystem& system_;
  Uuid uuid_;
};

/// One object for all ids.
class FakeContainer final : public Container {
 public:
  FakeContainer(Reactor& reactor, FakePool& pool) : reactor_(reactor), pool_(pool) {}

  /// Calls that change or read data, and the most that ran at once.
  int calls = 0;
  int running = 0, running_max = 0;
  /// This call (counted from 1) fails with no_space.
  int failing_call = 0;

  Pool& pool() override { return pool_; }
  const Uuid& uuid() const override { return uuid_; }
  Access access() const override { return Access::read_write; }
  model::PoolShape shape() const override { return {}; }
  uint64_t handle_id() const override { return 1; }
  bool is_open() const override { return true; }
  Task<Result<void>> close() override { return FakeSystem::none<void>(); }
  Task<Result<ContInfo>> query() override { return FakeSystem::none<ContInfo>(); }
  Task<Result<void>> set_props(Props) override { return FakeSystem::none<void>(); }
  Task<Result<Attrs>> attrs() override { return FakeSystem::none<Attrs>(); }
  Task<Result<void>> set_attrs(Attrs) override { return FakeSystem::none<void>(); }
  Task<Result<void>> delete_attrs(std::vector<std::string>) override {
    return FakeSystem::none<void>();
  }
  Task<Result<uint64_t>> alloc_oids(uint64_t) override { return FakeSystem::none<uint64_t>(); }
  /// What it was told of.
  std::vector<model::ObjectId> final_objects;
  Task<Result<void>> note_final(std::vector<model::ObjectId> oids) override {
    final_objects.insert(final_objects.end(), oids.begin(), oids.end());
    co_return Result<void>{};
  }
  Task<Result<model::Epoch>> punch_object(model::ObjectId, uint64_t) override {
    return FakeSystem::none<model::Epoch>();
  }
  Task<Result<model::Epoch>> punch_akeys(ObjectArgs, std::vector<ByteView>) override {
    return FakeSystem::none<model::Epoch>();
  }
  Task<Result<model::Epoch>> max_epoch_at(ReadAt, model::ObjectId) override {
    return FakeSystem::none<model::Epoch>();
  }
  Task<Result<model::Epoch>> snap_create() override { return FakeSystem::none<model::Epoch>(); }
  Task<Result<std::vector<Snapshot>>> snap_list() override {
    return FakeSystem::none<std::vector<Snapshot>>();
  }
  Task<Result<void>> snap_destroy(model::Epoch) override { return FakeSystem::none<void>(); }
  Task<Result<void>> snap_set_table(model::Epoch, bool) override {
    return FakeSystem::none<void>();
  }
  Task<Result<void>> rollback(model::Epoch) override { return FakeSystem::none<void>(); }
  Task<Result<void>> aggregate(model::Epoch) override { return FakeSystem::none<void>(); }
  Task<Result<ObjectPage>> list_objects(model::Epoch, Bytes, uint32_t) override {
    return FakeSystem::none<ObjectPage>();
  }
  Task<Result<DifferencePage>> snap_diff(model::Epoch, model::Epoch, Bytes, uint32_t) override {
    return FakeSystem::none<DifferencePage>();
  }

  Task<Result<model::Epoch>> update(ObjectArgs args, model::Iods iods) override {
    CO_TRY(entered, co_await enter());
    Records& records = values_[number(args.dkey)];
    for (const model::Iod& iod : iods) {
      Bytes flat;
      for (const IoVec& vec : iod.buffer) flat.insert(flat.end(), vec.data, vec.data + vec.bytes);
      size_t at = 0;
      for (const model::Recx& recx : iod.recxs) {
        if (iod.record_bytes == 0) {
          records.erase(records.lower_bound(recx.index),
                        records.lower_bound(recx.index + recx.count));
          continue;
        }
        for (uint64_t i = 0; i < recx.count; ++i, at += iod.record_bytes) {
          CHECK(at + iod.record_bytes <= flat.size());
          records[recx.index + i] =
              Bytes(flat.begin() + static_cast<ptrdiff_t>(at),
                    flat.begin() + static_cast<ptrdiff_t>(at + iod.record_bytes));
        }
      }
    }
    co_return ++epoch_;
  }

  /// What the last transact() was given.
  std::vector<Change::Kind> transacted;
  std::vector<ReadRange::Level> validated;
  model::Epoch validated_at = 0;
  /// Reads and commits of transactions meet something newer.
  bool conflicts = false;
  ReadAt last_read;

  Task<Result<model::Epoch>> transact(Changes changes) override {
    CO_TRY(entered, co_await enter());
    transacted.clear();
    validated.clear();
    for (const Change& change : changes.changes) transacted.push_back(change.kind);
    for (const ReadRange& read : changes.reads) validated.push_back(read.level);
    validated_at = changes.read_epoch;
    if (conflicts) co_return fail(Errc::tx_restart, "fake: newer");
    for (Change& change : changes.changes) {
      const ObjectArgs args{.oid = change.oid, .dkey = change.dkey};
      if (change.kind == Change::Kind::update) {
        CO_TRY(done, co_await update(args, std::move(change.iods)));
      } else if (change.kind == Change::Kind::punch_dkey) {
        CO_TRY(done, co_await punch_dkey(args));
      }
    }
    co_return ++epoch_;
  }

  Task<Result<model::Fetched>> fetch_at(ReadAt view, ObjectArgs args,
                                        model::Iods iods) override {
    CO_TRY(entered, co_await enter(view));
    model::Fetched fetched;
    for (const model::Iod& iod : iods) fetched.iods.push_back(fetch_one(number(args.dkey), iod));
    co_return fetched;
  }

  Task<Result<model::Epoch>> punch_dkey(ObjectArgs args) override {
    CO_TRY(entered, co_await enter());
    values_.erase(number(args.dkey));
    co_return ++epoch_;
  }

  Task<Result<model::Listed>> list_at(ReadAt view, model::ObjectId,
                                      model::ListRequest request) override {
    CO_TRY(entered, co_await enter(view));
    const uint64_t from = request.position.empty() ? 0 : number(request.position);
    model::Listed listed;
    auto at = values_.lower_bound(from);
    const uint32_t count_max = std::min(request.count_max, listed_max);
    for (; at != values_.end() && listed.lengths.size() < count_max; ++at) {
      const ByteView key = view_of(&at->first, 8);
      listed.keys.insert(listed.keys.end(), key.begin(), key.end());
      listed.lengths.push_back(8);
    }
    listed.eof = at == values_.end();
    const uint64_t next = listed.eof ? ~uint64_t{0} : at->first;
    listed.position.assign(view_of(&next, 8).begin(), view_of(&next, 8).end());
    co_return listed;
  }
  Task<Result<Bytes>> position_of(model::ObjectId, model::ListRequest::What,
                                  ByteView key) override {
    CO_TRY(entered, co_await enter());
    co_return Bytes(key.begin(), key.end());
  }
  Task<Result<std::vector<Bytes>>> parts_of(model::ObjectId, ByteView first) override {
    CO_TRY(entered, co_await enter());
    co_return std::vector<Bytes>{Bytes(first.begin(), first.end())};
  }
  Task<Result<model::QueriedKey>> query_key_at(ReadAt view, model::ObjectId,
                                               model::QueryKeyRequest request) override {
    CO_TRY(entered, co_await enter(view));
    CHECK(request.max && request.want_dkey && request.want_recx && !request.want_akey);
    CHECK(as_chars(request.akey_bytes) == "0");
    for (auto at = values_.rbegin(); at != values_.rend(); ++at) {
      if (at->second.empty()) continue;
      co_return model::QueriedKey{.found = true,
                                  .dkey = at->first,
                                  .recx = {at->second.rbegin()->first, 1},
                                  .record_bytes = at->second.rbegin()->second.size()};
    }
    co_return model::QueriedKey{};
  }

  /// dkeys of one listing step at most.
  uint32_t listed_max = ~uint32_t{0};
  std::vector<uint64_t> dkeys() const {
    std::vector<uint64_t> all;
    for (const auto& [dkey, records] : values_) all.push_back(dkey);
    return all;
  }
  /// A dkey that arrays do not own.
  void put_attributes() { values_[0]; }

 private:
  using Records = std::map<uint64_t, Bytes>;

  static uint64_t number(ByteView key) {
    uint64_t value = 0;
    CHECK(key.size() == sizeof(value));
    std::memcpy(&value, key.data(), sizeof(value));
    return value;
  }
  Task<Result<void>> enter() {
    const int call = ++calls;
    running_max = std::max(running_max, ++running);
    co_await reactor_.yield();
    co_await reactor_.yield();
    --running;
    if (call == failing_call) co_return fail(Errc::no_space, "fake: told to fail");
    co_return Result<void>{};
  }
  Task<Result<void>> enter(ReadAt at) {
    CO_TRY(entered, co_await enter());
    last_read = at;
    if (at.in_transaction && conflicts) co_return fail(Errc::tx_restart, "fake: newer");
    if (at.chosen != nullptr) *at.chosen = at.epoch == model::kEpochMax ? epoch_ + 1 : at.epoch;
    co_return Result<void>{};
  }
  model::FetchedIod fetch_one(uint64_t dkey, const model::Iod& iod) {
    model::FetchedIod out;
    const auto records = values_.find(dkey);
    if (records == values_.end()) return out;
    uint64_t offset = 0;
    for (const model::Recx& recx : iod.recxs) {
      for (uint64_t i = 0; i < recx.count; ++i, offset += iod.record_bytes) {
        const auto found = records->second.find(recx.index + i);
        if (found == records->second.end()) continue;
        CHECK(found->second.size() == iod.record_bytes);
        out.record_bytes = iod.record_bytes;
        copy_to(iod.buffer, offset, found->second);
        if (!out.pieces.empty() && out.pieces.back().offset + out.pieces.back().bytes == offset) {
          out.pieces.back().bytes += iod.record_bytes;
        } else {
          out.pieces.push_back({offset, iod.record_bytes});
        }
      }
    }
    return out;
  }
  static void copy_to(const IoVecs& buffer, uint64_t offset, const Bytes& bytes) {
    for (const std::byte b : bytes) {
      uint64_t at = offset++;
      for (const IoVec& vec : buffer) {
        if (at < vec.bytes) {
          vec.data[at] = b;
          break;
        }
        at -= vec.bytes;
      }
    }
  }

  Reactor& reactor_;
  FakePool& pool_;
  Uuid uuid_;
  model::Epoch epoch_ = 0;
  std::map<uint64_t, Records> values_;
};

}  // namespace cairn::client
