#include "dfs/testing/fake_store.h"

#include "base/endian.h"
#include "dfs/testing/fake_container.h"

namespace cairn::dfs::testing {
namespace {

class FakePool final : public client::Pool, public std::enable_shared_from_this<FakePool> {
 public:
  FakePool(FakeSystem& system, client::Access access)
      : system_(system), uuid_(system.info().uuid), access_(access) {}

  client::System& system() override { return system_; }
  const Uuid& uuid() const override { return uuid_; }
  client::Access access() const override { return access_; }
  uint64_t handle_id() const override { return 0; }
  Task<Result<client::PoolInfo>> query() override { co_return system_.info(); }
  Task<Result<void>> disconnect() override { co_return Result<void>{}; }
  Task<Result<client::Attrs>> attrs() override { co_return client::Attrs{}; }
  Task<Result<void>> set_attrs(client::Attrs) override { co_return unsupported(); }
  Task<Result<void>> delete_attrs(std::vector<std::string>) override { co_return unsupported(); }

  Task<Result<Uuid>> cont_create(std::string label, client::Props props) override {
    if (!label.empty() && system_.find(label)) {
      co_return fail(Errc::exists, "fake: the label is taken");
    }
    auto data = std::make_shared<FakeData>();
    data->uuid = system_.new_uuid();
    data->label = std::move(label);
    data->props = std::move(props);
    system_.containers().push_back(data);
    co_return data->uuid;
  }
  Task<Result<std::vector<client::ContInfo>>> cont_list() override {
    std::vector<client::ContInfo> out;
    for (const auto& data : system_.containers()) {
      out.push_back({.uuid = data->uuid, .label = data->label});
    }
    co_return out;
  }
  Task<Result<client::ContainerPtr>> cont_open(std::string cont, client::Access access) override {
    auto data = system_.find(cont);
    if (!data) co_return fail(Errc::nonexistent, "fake: no such container");
    ++data->handles;
    co_return std::make_shared<FakeContainer>(system_, shared_from_this(), data, access);
  }
  Task<Result<client::ContainerPtr>> cont_attach(uint64_t) override {
    co_return fail(Errc::no_sys, "fake: no such call");
  }
  Task<Result<void>> cont_destroy(std::string cont, bool force) override {
    const auto data = system_.find(cont);
    if (!data) co_return fail(Errc::nonexistent, "fake: no such container");
    if (data->handles != 0 && !force) co_return fail(Errc::busy, "fake: the container is open");
    std::erase(system_.containers(), data);
    co_return Result<void>{};
  }

 private:
  static Result<void> unsupported() { return fail(Errc::no_sys, "fake: no such call"); }

  FakeSystem& system_;
  Uuid uuid_;
  client::Access access_;
};

}  // namespace

FakeSystem::FakeSystem(std::string pool_label)
    : reactor_(std::make_unique<Reactor>(system_clock(), system_random(), nullptr)),
      context_(std::make_unique<Context>(*reactor_)),
      label_(std::move(pool_label)),
      uuid_(new_uuid()) {}

FakeSystem::~FakeSystem() = default;

Uuid FakeSystem::new_uuid() { return uuid_from_random(system_random().bytes16()); }

client::PoolInfo FakeSystem::info() const { return {.uuid = uuid_, .label = label_}; }

Task<Result<Uuid>> FakeSystem::pool_create(client::PoolCreateOptions) {
  co_return fail(Errc::no_sys, "fake: one pool is enough");
}
Task<Result<std::vector<client::DeviceSpace>>> FakeSystem::devices() {
  co_return std::vector<client::DeviceSpace>();
}
Task<Result<std::vector<client::EngineInfo>>> FakeSystem::engines() {
  co_return std::vector<client::EngineInfo>();
}

Task<Result<std::vector<client::PoolInfo>>> FakeSystem::pool_list() {
  co_return std::vector<client::PoolInfo>{info()};
}
Task<Result<void>> FakeSystem::pool_destroy(std::string, bool) {
  co_return fail(Errc::no_sys, "fake: the pool stays");
}
Task<Result<client::PoolPtr>> FakeSystem::pool_attach(uint64_t) {
  co_return fail(Errc::no_sys, "fake: no such call");
}

Task<Result<client::PoolPtr>> FakeSystem::pool_connect(std::string pool, client::Access access) {
  if (pool != label_ && pool != to_string(uuid_)) {
    co_return fail(Errc::nonexistent, "fake: no such pool");
  }
  co_return std::make_shared<FakePool>(*this, access);
}

Result<void> FakeSystem::begin_write() {
  if (writes_left_ && *writes_left_ == 0) return fail(Errc::io, "fake: the power is off");
  if (writes_left_) --*writes_left_;
  ++writes_;
  return {};
}

Bytes FakeSystem::remember(std::string place) {
  Bytes position(sizeof(uint64_t));
  store_le64(position.data(), places_.size());
  places_.push_back(std::move(place));
  return position;
}

Result<std::string> FakeSystem::recall(const Bytes& position) const {
  if (position.size() != sizeof(uint64_t) || load_le64(position.data()) >= places_.size()) {
    return fail(Errc::invalid, "fake: a foreign position");
  }
  return places_[load_le64(position.data())];
}

std::shared_ptr<FakeData> FakeSystem::find(const std::string& container) const {
  for (const auto& data : containers_) {
    if (container == to_string(data->uuid) || (!container.empty() && container == data->label)) {
      return data;
    }
  }
  return nullptr;
}

}  // namespace cairn::dfs::testing
