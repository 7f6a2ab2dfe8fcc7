#include "client/view.h"

namespace cairn::client {
namespace {

template <class T>
Task<Result<T>> refused() {
  co_return fail(Errc::no_perm, "snapshot: it cannot be changed");
}

class EpochView final : public ContainerView {
 public:
  EpochView(ContainerPtr base, model::Epoch epoch)
      : ContainerView(std::move(base)), at_{.epoch = epoch} {}

  Access access() const override { return Access::read_only; }
  Task<Result<model::Epoch>> update(ObjectArgs, model::Iods) override {
    return refused<model::Epoch>();
  }
  Task<Result<model::Epoch>> punch_object(model::ObjectId, uint64_t) override {
    return refused<model::Epoch>();
  }
  Task<Result<model::Epoch>> punch_dkey(ObjectArgs) override { return refused<model::Epoch>(); }
  Task<Result<model::Epoch>> punch_akeys(ObjectArgs, std::vector<ByteView>) override {
    return refused<model::Epoch>();
  }
  Task<Result<model::Epoch>> transact(Changes) override { return refused<model::Epoch>(); }
  Task<Result<void>> note_final(std::vector<model::ObjectId>) override { return refused<void>(); }
  Task<Result<model::Fetched>> fetch_at(ReadAt at, ObjectArgs args,
                                        model::Iods iods) override {
    return base_->fetch_at(mine(at), args, std::move(iods));
  }
  Task<Result<model::Listed>> list_at(ReadAt at, model::ObjectId oid,
                                      model::ListRequest request) override {
    return base_->list_at(mine(at), oid, std::move(request));
  }
  Task<Result<model::QueriedKey>> query_key_at(ReadAt at, model::ObjectId oid,
                                               model::QueryKeyRequest request) override {
    return base_->query_key_at(mine(at), oid, request);
  }
  Task<Result<model::Epoch>> max_epoch_at(ReadAt at, model::ObjectId oid) override {
    return base_->max_epoch_at(mine(at), oid);
  }
  Task<Result<ObjectPage>> list_objects(model::Epoch epoch, Bytes position,
                                        uint32_t count_max) override {
    return base_->list_objects(std::min(epoch, at_.epoch), std::move(position), count_max);
  }

 private:
  /// An older epoch may be asked for.
  ReadAt mine(ReadAt at) const {
    at.epoch = std::min(at.epoch, at_.epoch);
    return at;
  }
  const ReadAt at_;
};

}  // namespace

ContainerPtr at_epoch(ContainerPtr base, model::Epoch epoch) {
  return std::make_shared<EpochView>(std::move(base), epoch);
}

}  // namespace cairn::client
