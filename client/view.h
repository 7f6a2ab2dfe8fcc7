// Views: containers as they were, or as a transaction sees them. A view is a Container of its own,
// so what works on containers (arrays, libdfs, listings) works on views. Home: the base's reactor.
#pragma once

#include "client/client.h"

namespace cairn::client {

/// Hands everything on to another container; a base for views that change some of it.
class ContainerView : public Container {
 public:
  explicit ContainerView(ContainerPtr base) : base_(std::move(base)) {}

  Pool& pool() override { return base_->pool(); }
  const Uuid& uuid() const override { return base_->uuid(); }
  Access access() const override { return base_->access(); }
  uint64_t handle_id() const override { return base_->handle_id(); }
  bool is_open() const override { return base_->is_open(); }
  model::PoolShape shape() const override { return base_->shape(); }
  Task<Result<void>> close() override { return base_->close(); }
  Task<Result<ContInfo>> query() override { return base_->query(); }
  Task<Result<void>> set_props(Props props) override { return base_->set_props(std::move(props)); }
  Task<Result<Attrs>> attrs() override { return base_->attrs(); }
  Task<Result<void>> set_attrs(Attrs attrs) override { return base_->set_attrs(std::move(attrs)); }
  Task<Result<void>> delete_attrs(std::vector<std::string> names) override {
    return base_->delete_attrs(std::move(names));
  }
  Task<Result<uint64_t>> alloc_oids(uint64_t count) override { return base_->alloc_oids(count); }
  Task<Result<Bytes>> position_of(model::ObjectId oid, model::ListRequest::What what,
                                  ByteView key) override {
    return base_->position_of(oid, what, key);
  }
  Task<Result<std::vector<Bytes>>> parts_of(model::ObjectId oid, ByteView first) override {
    return base_->parts_of(oid, first);
  }
  Task<Result<model::Epoch>> snap_create() override { return base_->snap_create(); }
  Task<Result<std::vector<Snapshot>>> snap_list() override { return base_->snap_list(); }
  Task<Result<void>> snap_destroy(model::Epoch epoch) override {
    return base_->snap_destroy(epoch);
  }
  Task<Result<void>> snap_set_table(model::Epoch epoch, bool whole) override {
    return base_->snap_set_table(epoch, whole);
  }
  Task<Result<void>> rollback(model::Epoch epoch) override { return base_->rollback(epoch); }
  Task<Result<void>> aggregate(model::Epoch until) override { return base_->aggregate(until); }
  Task<Result<ObjectPage>> list_objects(model::Epoch epoch, Bytes position,
                                        uint32_t count_max) override {
    return base_->list_objects(epoch, std::move(position), count_max);
  }
  Task<Result<DifferencePage>> snap_diff(model::Epoch older, model::Epoch newer, Bytes position,
                                         uint32_t count_max) override {
    return base_->snap_diff(older, newer, std::move(position), count_max);
  }

 protected:
  const ContainerPtr base_;
};

/// The container as it was at `epoch`. Changes: no_perm; list_objects() without an epoch: at it.
ContainerPtr at_epoch(ContainerPtr base, model::Epoch epoch);

}  // namespace cairn::client
