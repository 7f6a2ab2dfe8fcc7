#include <algorithm>

#include "base/report.h"
#include "model/label.h"
#include "service/props.h"
#include "service/snap_lock.h"

namespace cairn::service {
namespace {

// Numbers reserved durably ahead of those handed out; a crash skips at most that many.
constexpr uint64_t kOidsAhead = 4096;

constexpr const char* kNoCont = "container: no container of that name in the pool";

Bytes bytes_of(const Uuid& uuid) {
  const auto view = view_of(uuid.bytes.data(), uuid.bytes.size());
  return Bytes(view.begin(), view.end());
}

}  // namespace

Task<Result<Service::HeldCont>> Service::load_cont(Uuid pool, Uuid uuid) {
  CO_TRY(entry, co_await config_.get(cont_key(pool, uuid)));
  if (!entry) co_return fail(Errc::nonexistent, kNoCont);
  CO_TRY(record, parse_record<ContRecord>(entry->value));
  if (record.state != State::ready) co_return fail(Errc::nonexistent, kNoCont);
  co_return HeldCont{uuid, std::move(record), entry->modified};
}

Task<Result<Service::HeldCont>> Service::find_cont(Uuid pool, std::string name) {
  CO_TRY(parsed, model::parse_name(name));
  if (parsed.uuid) co_return co_await load_cont(pool, *parsed.uuid);
  CO_TRY(entry, co_await config_.get(cont_label_key(pool, name)));
  if (!entry || entry->value.size() != sizeof(Uuid::bytes)) {
    co_return fail(Errc::nonexistent, kNoCont);
  }
  Uuid uuid;
  std::ranges::copy(as_chars(entry->value), uuid.bytes.begin());
  co_return co_await load_cont(pool, uuid);
}

Task<Result<Service::Reply>> Service::cont_create(const Request& request) {
  CO_TRY(handle, pool_handle(request));
  if (handle->access == kReadOnly) {
    co_return fail(Errc::no_perm, "container: the pool is connected read only");
  }
  const Uuid pool = handle->pool;
  Request wanted = request;
  if (const auto* label = find_prop(wanted.props, prop::kContLabel);
      label != nullptr && wanted.label.empty() && label->text) {
    wanted.label = *label->text;
    CO_TRY(given, model::check_label(wanted.label));
  }
  std::erase_if(wanted.props, [](const wire::Prop& p) { return p.number == prop::kContLabel; });
  if (!wanted.label.empty()) {
    CO_TRY(fine, model::check_label(wanted.label));
  }
  CO_TRY(props, check_cont_props(wanted.props, options_.domain_count));
  const Uuid uuid = uuid_from_random(reactor_.random().bytes16());
  for (int i = 0; i < kTriesMax; ++i) {
    auto reply = co_await cont_create_once(pool, wanted, uuid);
    if (reply || reply.error().code() != Errc::again) co_return reply;
  }
  co_return fail(Errc::busy, "container: too many others change the pool; try again");
}

/// One commit: number, record and label. @error again  the pool's record changed meanwhile
Task<Result<Service::Reply>> Service::cont_create_once(Uuid pool_uuid, const Request& request,
                                                       Uuid uuid) {
  CO_TRY(pool, co_await load_pool(pool_uuid));
  ContRecord record{.state = State::ready, .number = pool.record.next_container++,
                    .label = request.label, .props = request.props};
  if (pool.record.next_container == 0) {
    co_return fail(Errc::no_space,
                   "container: the pool has used up its numbers; make another pool");
  }
  record.modify_time = record.open_time = next_epoch();
  record.generation = map_of(pool.record).generation;
  record.worm_told = has_worm_props(record.props);
  ConfigTxn txn;
  txn.expect(pool_key(pool_uuid), pool.modified);
  txn.put(pool_key(pool_uuid), wire::proto_encode(pool.record));
  if (!record.label.empty()) {
    const std::string key = cont_label_key(pool_uuid, record.label);
    CO_TRY(taken, co_await config_.get(key));
    if (taken) co_return fail(Errc::exists, "container: the label is taken; choose another one");
    txn.expect(key, 0).put(key, bytes_of(uuid));
  }
  if (const auto* first = find_prop(record.props, prop::kContAllocedOid)) {
    txn.put(cont_oid_key(pool_uuid, uuid), wire::proto_encode(OidRecord{*first->integer}));
  }
  txn.put(cont_key(pool_uuid, uuid), wire::proto_encode(record));
  CO_TRY(done, co_await commit_done(request, std::move(txn), {.uuid = uuid}));
  if (record.worm_told) co_await tell_worm_alone(pool_uuid, uuid);
  co_return Reply{.uuid = uuid};
}

Task<Result<wire::ContReply>> Service::describe_cont(Uuid pool, HeldCont cont) {
  wire::ContReply out;
  out.uuid = cont.uuid;
  out.label = cont.record.label;
  out.open_time = cont.record.open_time;
  out.modify_time = cont.record.modify_time;
  out.generation = std::max(cont.record.generation, 1u);
  out.props = std::move(cont.record.props);
  if (!out.label.empty()) set_prop(out.props, {.number = prop::kContLabel, .text = out.label});
  if (const SealRecord& seal = cont.record.seal; seal.state != wire::SealState::none) {
    set_prop(out.props, {.number = prop::kContWormSealed,
                         .text = model::seal_text({.epoch = seal.epoch, .by = seal.by})});
  }
  CO_TRY(oid, co_await config_.get(cont_oid_key(pool, cont.uuid)));
  if (oid) {
    CO_TRY(record, parse_record<OidRecord>(oid->value));
    set_prop(out.props, {.number = prop::kContAllocedOid, .integer = record.next});
  }
  CO_TRY(snapshots, co_await load_snapshots(pool, cont.uuid));
  out.snapshot_count = static_cast<uint32_t>(snapshots.size());
  if (!snapshots.empty()) out.last_snapshot = snapshots.back().epoch;
  out.handle_count = openers_of(cont.uuid).all;
  co_return out;
}

Task<Result<Service::Reply>> Service::cont_list(const Request& request) {
  CO_TRY(handle, pool_handle(request));
  const Uuid pool = handle->pool;
  const std::string prefix = conts_prefix(pool);
  CO_TRY(entries, co_await config_.range(prefix));
  Reply reply;
  for (const auto& entry : entries) {
    CO_TRY(record, parse_record<ContRecord>(entry.value));
    const auto uuid = parse_uuid(std::string_view(entry.key).substr(prefix.size()));
    if (!uuid) co_return fail(Errc::checksum, "config store: a key that names no container");
    if (record.state != State::ready) continue;
    CO_TRY(info, co_await describe_cont(pool, {*uuid, std::move(record), entry.modified}));
    reply.conts.push_back(std::move(info));
  }
  co_return reply;
}

/// One commit: where handles are kept the handle, and the open time, unless another opener has
/// written a later one meanwhile: of hundreds that come at once a few write it, and none waits for
/// all the others. As long as the open time is nobody's condition, losing a race is fine.
Task<Result<void>> Service::commit_open(const Request& request, uint64_t id, ContHandle handle,
                                        Reply reply) {
  if (options_.read_only) co_return Result<void>{};
  const uint64_t came = next_epoch();
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(held, co_await load_cont(handle.pool, handle.cont));
    ConfigTxn txn = put_handle(id);
    if (held.record.open_time < came) {
      held.record.open_time = next_epoch();
      txn.expect(cont_key(handle.pool, handle.cont), held.modified);
      txn.put(cont_key(handle.pool, handle.cont), wire::proto_encode(held.record));
    }
    const auto done = co_await commit_done(request, std::move(txn), reply);
    if (done) co_return Result<void>{};
    if (done.error().code() != Errc::again) co_return fail(done.error());
  }
  if (!keeps()) co_return Result<void>{};
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

/// Answers with a handle that is in the table: the requested opening, or a copy of one.
Task<Result<Service::Reply>> Service::answer_open(const Request& request, uint64_t id,
                                                  HeldCont cont) {
  const ContHandle handle = cont_handles_.at(id);
  Reply reply{.uuid = handle.cont,
              .handle = id,
              .io_index = handle.io.index,
              .io_generation = handle.io.generation,
              .access = handle.access};
  const auto shared = co_await share_handle(id);
  if (!shared) co_return co_await finish_handle(request, id, shared, std::move(reply));
  const auto pool = co_await load_pool(handle.pool);
  if (!pool) co_return co_await finish_handle(request, id, fail(pool.error()), std::move(reply));
  reply.map = told_map(pool->record);
  auto info = co_await describe_cont(handle.pool, std::move(cont));
  if (!info) co_return co_await finish_handle(request, id, fail(info.error()), std::move(reply));
  reply.conts.push_back(std::move(*info));
  if (handle.owner != 0) co_return co_await keep_handle(request, id, std::move(reply));
  const auto committed = co_await commit_open(request, id, handle, reply);
  co_return co_await finish_handle(request, id, committed, std::move(reply));
}

Task<Result<Service::Reply>> Service::cont_open(const Request& request) {
  if (request.access != kReadOnly && request.access != kReadWrite &&
      request.access != kExclusive) {
    co_return fail(Errc::invalid, "container: open read only, read-write or exclusively");
  }
  CO_TRY(through, pool_handle(request));
  const Uuid pool = through->pool;
  CO_TRY(cont, co_await find_cont(pool, request.name));
  // From here to the new handle nothing suspends.
  CO_TRY(still, pool_handle(request));
  if (going_.contains(cont.uuid)) co_return fail(Errc::nonexistent, kNoCont);
  CO_TRY(whole, check_whole(pool));
  CO_TRY(alone, check_exclusive(cont.uuid, request.access));
  CO_TRY(id, add_cont_handle({.session = request.origin.session,
                              .pool_handle = request.pool_handle,
                              .pool = pool,
                              .cont = cont.uuid,
                              .number = cont.record.number,
                              .access = request.access}));
  co_return co_await answer_open(request, id, std::move(cont));
}

Task<void> Service::evict_conts(Uuid pool, Uuid cont) {
  std::vector<wire::HandleRef> refs;
  for (auto& [id, handle] : cont_handles_) {
    if (handle.pool != pool || handle.cont != cont || handle.evicted) continue;
    count_out(handle);
    handle.evicted = true;
    refs.push_back(handle.io);
  }
  for (const auto ref : refs) co_await host_.revoke(ref);
}

Task<Result<Service::Reply>> Service::cont_destroy(const Request& request) {
  CO_TRY(through, pool_handle(request));
  if (through->access == kReadOnly) {
    co_return fail(Errc::no_perm, "container: the pool is connected read only");
  }
  const Uuid pool = through->pool;
  CO_TRY(cont, co_await find_cont(pool, request.name));
  if (!request.force && openers_of(cont.uuid).all != 0) {
    co_return fail(Errc::busy, "container: open; close its handles or force");
  }
  if (!going_.insert(cont.uuid).second) {
    co_return fail(Errc::busy, "container: is being destroyed already");
  }
  cont.record.state = State::destroying;
  ConfigTxn txn;
  txn.expect(cont_key(pool, cont.uuid), cont.modified);
  txn.put(cont_key(pool, cont.uuid), wire::proto_encode(cont.record));
  if (!cont.record.label.empty()) txn.erase(cont_label_key(pool, cont.record.label));
  const auto marked = co_await commit_done(request, std::move(txn), {});
  if (!marked) {
    going_.erase(cont.uuid);
    if (marked.error().code() != Errc::again) co_return fail(marked.error());
    co_return fail(Errc::busy, "container: changed meanwhile; try again");
  }
  step("cont.destroy.tombstone");
  co_await evict_conts(pool, cont.uuid);
  // A snapshot that is being made ends first: it must not come after the records have gone.
  const SnapLock alone = co_await lock_snapshots(cont.uuid);
  const auto finished = co_await finish_cont_destroy(pool, cont.uuid, cont.record);
  going_.erase(cont.uuid);
  if (!finished) {
    report(Severity::warning, "container " + to_string(cont.uuid) +
                                  ": its space is freed later: " + finished.error().what());
  }
  co_return Reply{};
}

/// Objects first, then the keys, the record last: repeatable from any point.
Task<Result<void>> Service::finish_cont_destroy(Uuid pool, Uuid cont, ContRecord record) {
  CO_TRY(emptied, co_await host_.destroy_container(pool, record.number));
  step("cont.destroy.objects");
  oids_.erase({pool, cont});
  CO_TRY(erased, co_await erase_prefix(cont_prefix(pool, cont)));
  ConfigTxn txn;
  txn.erase(cont_key(pool, cont));
  CO_TRY(done, co_await config_.commit(std::move(txn)));
  co_return Result<void>{};
}

Task<Result<Service::Reply>> Service::cont_close(const Request& request) {
  const auto found = cont_handles_.find(request.cont_handle);
  if (found == cont_handles_.end() || found->second.session != request.origin.session) {
    co_return fail(Errc::no_handle, "container: unknown or closed handle");
  }
  Closing closing;
  take(request.cont_handle, closing);
  co_return co_await close_handles(request, request.cont_handle, std::move(closing));
}

Task<Result<Service::Reply>> Service::cont_query(const Request& request) {
  CO_TRY(handle, cont_handle(request, false));
  const Uuid pool = handle->pool;
  CO_TRY(cont, co_await load_cont(pool, handle->cont));
  CO_TRY(info, co_await describe_cont(pool, std::move(cont)));
  Reply reply;
  reply.conts.push_back(std::move(info));
  co_return reply;
}

Task<Result<Service::Reply>> Service::cont_set_props(const Request& request) {
  CO_TRY(handle, cont_handle(request, true));
  CO_TRY(fine, check_cont_prop_changes(request.props, options_.domain_count));
  if (const auto* label = find_prop(request.props, prop::kContLabel)) {
    CO_TRY(well_formed, model::check_label(*label->text));
  }
  const ContHandle copy = *handle;
  for (int i = 0; i < kTriesMax; ++i) {
    auto reply = co_await cont_set_props_once(copy, request);
    if (reply || reply.error().code() != Errc::again) co_return reply;
  }
  co_return fail(Errc::busy, "container: too many others change it; try again");
}

Task<Result<Service::Reply>> Service::cont_set_props_once(ContHandle handle,
                                                          const Request& request) {
  CO_TRY(cont, co_await load_cont(handle.pool, handle.cont));
  ConfigTxn txn;
  txn.expect(cont_key(handle.pool, handle.cont), cont.modified);
  for (const auto& changed : request.props) {
    if (changed.number != prop::kContLabel) {
      set_prop(cont.record.props, changed);
      continue;
    }
    if (*changed.text == cont.record.label) continue;
    const std::string key = cont_label_key(handle.pool, *changed.text);
    CO_TRY(taken, co_await config_.get(key));
    if (taken) co_return fail(Errc::exists, "container: the label is taken; choose another one");
    txn.expect(key, 0).put(key, bytes_of(handle.cont));
    if (!cont.record.label.empty()) txn.erase(cont_label_key(handle.pool, cont.record.label));
    cont.record.label = *changed.text;
  }
  const bool worm = has_worm_props(request.props);
  cont.record.worm_told = cont.record.worm_told || worm;
  cont.record.modify_time = next_epoch();
  txn.put(cont_key(handle.pool, handle.cont), wire::proto_encode(cont.record));
  CO_TRY(done, co_await commit_done(request, std::move(txn), {}));
  if (worm) co_await tell_worm_alone(handle.pool, handle.cont);
  co_return Reply{};
}

/// Makes `count` and some more numbers durably this process's.
Task<Result<void>> Service::reserve_oids(Uuid pool, Uuid cont, uint64_t count) {
  for (int i = 0; i < kTriesMax; ++i) {
    CO_TRY(entry, co_await config_.get(cont_oid_key(pool, cont)));
    OidRecord record;
    if (entry) {
      CO_TRY(parsed, parse_record<OidRecord>(entry->value));
      record = parsed;
    }
    const uint64_t begin = record.next;
    if (count > ~uint64_t{0} - kOidsAhead || begin > ~uint64_t{0} - kOidsAhead - count) {
      co_return fail(Errc::no_space, "container: fewer object numbers are left than wanted");
    }
    record.next = begin + count + kOidsAhead;
    CO_TRY(held, co_await load_cont(pool, cont));
    ConfigTxn txn;
    txn.expect(cont_key(pool, cont), held.modified);
    txn.expect(cont_oid_key(pool, cont), entry ? entry->modified : 0);
    txn.put(cont_oid_key(pool, cont), wire::proto_encode(record));
    const auto done = co_await config_.commit(std::move(txn));
    if (!done && done.error().code() == Errc::again) continue;
    if (!done) co_return fail(done.error());
    OidRange& range = oids_[{pool, cont}];
    // Goes on where the last reservation ended, unless this process has none.
    if (range.limit != begin) range.next = begin;
    range.limit = record.next;
    co_return Result<void>{};
  }
  co_return fail(Errc::busy, "container: too many others take object numbers; try again");
}

Task<Result<Service::Reply>> Service::alloc_oids(const Request& request) {
  CO_TRY(handle, cont_handle(request, false));
  if (request.count == 0) co_return fail(Errc::invalid, "container: zero object numbers wanted");
  const Uuid pool = handle->pool, cont = handle->cont;
  for (int i = 0; i < kTriesMax; ++i) {
    if (const auto known = oids_.find({pool, cont}); known != oids_.end()) {
      OidRange& range = known->second;
      if (range.limit - range.next >= request.count) {
        const uint64_t first = std::exchange(range.next, range.next + request.count);
        co_return Reply{.first = first};
      }
    }
    CO_TRY(reserved, co_await reserve_oids(pool, cont, request.count));
  }
  co_return fail(Errc::busy, "container: too many others take object numbers; try again");
}

/// Not kept for resends: again does no harm.
Task<Result<Service::Reply>> Service::cont_aggregate(const Request& request) {
  CO_TRY(handle, cont_handle(request, true));
  const ContHandle at = *handle;
  if (request.epoch == model::kEpochMax) {
    co_return fail(Errc::invalid, "container: no epoch is that new");
  }
  if (going_.contains(at.cont)) {
    co_return fail(Errc::nonexistent, "container: is being destroyed");
  }
  CO_TRY(begun, co_await host_.aggregate_container(at.pool, at.number, request.epoch));
  co_return Reply{};
}

}  // namespace cairn::service
