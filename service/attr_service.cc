#include <algorithm>

#include "model/limits.h"
#include "service/service.h"

namespace cairn::service {
namespace {

Result<void> check_attr(const wire::Attr& attr) {
  if (attr.name.empty() || attr.name.size() > model::kAttrNameBytesMax ||
      attr.name.find('\0') != std::string::npos) {
    return fail(Errc::invalid, "attribute: a name has 1 to 511 bytes and no zero byte");
  }
  if (attr.value.empty() || attr.value.size() > model::kAttrValueBytesMax) {
    return fail(Errc::invalid, "attribute: a value has 1 byte to 1 MiB");
  }
  return {};
}

Result<ConfigTxn> build_set(const std::string& prefix, const std::vector<wire::Attr>& attrs) {
  if (attrs.empty()) return fail(Errc::invalid, "attribute: none given");
  ConfigTxn txn;
  for (const auto& attr : attrs) {
    TRY(fine, check_attr(attr));
    const std::string key = prefix + attr.name;
    // Given twice, the last one counts.
    const auto twin = std::ranges::find(txn.puts, key, &ConfigTxn::Put::key);
    if (twin == txn.puts.end()) {
      txn.put(key, attr.value);
    } else {
      twin->value = attr.value;
    }
  }
  return txn;
}

Result<ConfigTxn> build_delete(const std::string& prefix, const std::vector<std::string>& names) {
  if (names.empty()) return fail(Errc::invalid, "attribute: none named");
  ConfigTxn txn;
  for (const auto& name : names) {
    if (name.empty() || name.size() > model::kAttrNameBytesMax) {
      return fail(Errc::invalid, "attribute: a name has 1 to 511 bytes");
    }
    if (std::ranges::find(txn.deletes, prefix + name) == txn.deletes.end()) {
      txn.erase(prefix + name);
    }
  }
  return txn;
}

}  // namespace

Task<Result<Service::Reply>> Service::attrs(std::string prefix) {
  CO_TRY(entries, co_await config_.range(prefix));
  Reply reply;
  for (auto& entry : entries) {
    reply.attrs.push_back({entry.key.substr(prefix.size()), std::move(entry.value)});
  }
  co_return reply;
}

/// One commit with the container's modify time, so that nothing is left of a change that races with
/// the container's destruction.
Task<Result<void>> Service::commit_in_cont(const Request& request, ContHandle handle,
                                           ConfigTxn changes, Reply reply) {
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(held, co_await load_cont(handle.pool, handle.cont));
    held.record.modify_time = next_epoch();
    ConfigTxn txn = changes;
    txn.expect(cont_key(handle.pool, handle.cont), held.modified);
    txn.put(cont_key(handle.pool, handle.cont), wire::proto_encode(held.record));
    const auto done = co_await commit_done(request, std::move(txn), reply);
    if (done) co_return Result<void>{};
    if (done.error().code() != Errc::again) co_return fail(done.error());
  }
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

Task<Result<Service::Reply>> Service::dispatch_attrs(const Request& request) {
  const bool of_pool = request.op <= wire::Op::pool_delete_attrs;
  const bool changes = request.op != wire::Op::pool_attrs && request.op != wire::Op::cont_attrs;
  std::string prefix;
  ContHandle cont;
  if (of_pool) {
    CO_TRY(handle, pool_handle(request));
    prefix = pool_attr_prefix(handle->pool);
  } else {
    CO_TRY(handle, cont_handle(request, changes));
    cont = *handle;
    prefix = cont_attr_prefix(cont.pool, cont.cont);
  }
  if (!changes) co_return co_await attrs(prefix);
  const bool sets =
      request.op == wire::Op::pool_set_attrs || request.op == wire::Op::cont_set_attrs;
  CO_TRY(txn, sets ? build_set(prefix, request.attrs) : build_delete(prefix, request.names));
  if (of_pool) {
    CO_TRY(done, co_await commit_done(request, std::move(txn), {}));
  } else {
    CO_TRY(done, co_await commit_in_cont(request, cont, std::move(txn), {}));
  }
  co_return Reply{};
}

}  // namespace cairn::service
