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

}  // namespace

Task<Result<Service::Reply>> Service::attrs(std::string prefix) {
  CO_TRY(entries, co_await config_.range(prefix));
  Reply reply;
  for (auto& entry : entries) {
    reply.attrs.push_back({entry.key.substr(prefix.size()), std::move(entry.value)});
  }
  co_return reply;
}

Task<Result<Service::Reply>> Service::set_attrs(std::string prefix,
                                                const std::vector<wire::Attr>& attrs) {
  if (attrs.empty()) co_return fail(Errc::invalid, "attribute: none given");
  ConfigTxn txn;
  for (const auto& attr : attrs) {
    CO_TRY(fine, check_attr(attr));
    const std::string key = prefix + attr.name;
    // Given twice, the last one counts.
    const auto twin = std::ranges::find(txn.puts, key, &ConfigTxn::Put::key);
    if (twin == txn.puts.end()) {
      txn.put(key, attr.value);
    } else {
      twin->value = attr.value;
    }
  }
  CO_TRY(done, co_await config_.commit(std::move(txn)));
  co_return Reply{};
}

Task<Result<Service::Reply>> Service::delete_attrs(std::string prefix,
                                                   const std::vector<std::string>& names) {
  if (names.empty()) co_return fail(Errc::invalid, "attribute: none named");
  ConfigTxn txn;
  for (const auto& name : names) {
    if (name.empty() || name.size() > model::kAttrNameBytesMax) {
      co_return fail(Errc::invalid, "attribute: a name has 1 to 511 bytes");
    }
    if (std::ranges::find(txn.deletes, prefix + name) == txn.deletes.end()) {
      txn.erase(prefix + name);
    }
  }
  CO_TRY(done, co_await config_.commit(std::move(txn)));
  co_return Reply{};
}

Task<Result<Service::Reply>> Service::dispatch_attrs(const Request& request) {
  const bool of_pool = request.op <= wire::Op::pool_delete_attrs;
  const bool changes = request.op != wire::Op::pool_attrs && request.op != wire::Op::cont_attrs;
  std::string prefix;
  ContHandle cont;
  if (of_pool) {
    CO_TRY(handle, pool_handle(request.pool_handle));
    prefix = pool_attr_prefix(handle->pool);
  } else {
    CO_TRY(handle, cont_handle(request.cont_handle, changes));
    cont = *handle;
    prefix = cont_attr_prefix(cont.pool, cont.cont);
  }
  if (!changes) co_return co_await attrs(prefix);
  const bool sets =
      request.op == wire::Op::pool_set_attrs || request.op == wire::Op::cont_set_attrs;
  auto reply = sets ? co_await set_attrs(prefix, request.attrs)
                    : co_await delete_attrs(prefix, request.names);
  if (reply && !of_pool) {
    CO_TRY(touched, co_await touch_modify_time(cont.pool, cont.cont));
  }
  co_return reply;
}

}  // namespace cairn::service
