// Handles: their tables, their records, and handles attached to those of other sessions. A handle
// enters the tables before its record is committed and leaves them before its record is erased, so
// that nothing is decided on a handle that goes.
#include <algorithm>

#include "base/check.h"
#include "base/report.h"
#include "service/service.h"

namespace cairn::service {
namespace {

constexpr const char* kNoPoolHandle = "pool: unknown or closed handle";
constexpr const char* kNoContHandle = "container: unknown or closed handle";

/// Moves what `pick` wants to another table. `taken` is told of each.
template <class Table, class Pick, class Taken>
void take_if(Table& from, Table& into, Pick pick, Taken taken) {
  for (auto at = from.begin(); at != from.end();) {
    const auto next = std::next(at);
    if (pick(at->second)) {
      taken(at->second);
      into.insert(from.extract(at));
    }
    at = next;
  }
}

}  // namespace

Result<Service::PoolHandle*> Service::pool_handle(const Request& request) {
  const auto found = pool_handles_.find(request.pool_handle);
  if (found == pool_handles_.end() || found->second.session != request.origin.session) {
    return fail(Errc::no_handle, kNoPoolHandle);
  }
  if (found->second.evicted) return fail(Errc::no_handle, "pool: destroyed under this handle");
  return &found->second;
}

Result<Service::ContHandle*> Service::cont_handle(const Request& request, bool for_write) {
  const auto found = cont_handles_.find(request.cont_handle);
  if (found == cont_handles_.end() || found->second.session != request.origin.session) {
    return fail(Errc::no_handle, kNoContHandle);
  }
  if (found->second.evicted) return fail(Errc::nonexistent, "container: destroyed meanwhile");
  if (for_write && found->second.access == kReadOnly) {
    return fail(Errc::no_perm, "container: opened read only; open it read-write");
  }
  return &found->second;
}

/// Hard to guess, and never given out twice: whoever knows one may attach to it.
uint64_t Service::new_handle_id() {
  for (;;) {
    const uint64_t id = reactor_.random().next() >> 1;
    if (id != 0 && !pool_handles_.contains(id) && !cont_handles_.contains(id)) return id;
  }
}

Grant Service::grant_of(const ContHandle& handle) const {
  return {.pool = handle.pool,
          .container = handle.number,
          .writable = handle.access != kReadOnly && !options_.read_only,
          .session = handle.session};
}

void Service::count(const Uuid& opened, uint32_t access, bool in) {
  Openers& openers = openers_[opened];
  CHECK(in || openers.all != 0);
  const uint32_t change = in ? 1 : ~0u;
  openers.all += change;
  if (access == kExclusive) openers.exclusive += change;
  if (openers.all == 0) openers_.erase(opened);
}

Service::Openers Service::openers_of(const Uuid& opened) const {
  const auto found = openers_.find(opened);
  return found == openers_.end() ? Openers{} : found->second;
}

Result<void> Service::check_exclusive(const Uuid& opened, uint32_t access) const {
  const Openers openers = openers_of(opened);
  if (openers.exclusive != 0 || (access == kExclusive && openers.all != 0)) {
    return fail(Errc::busy, "open: others have it open, or one has it exclusively");
  }
  return {};
}

/// Grants access and enters the table. share_handle() makes it known to all engines.
/// @returns the id
Result<uint64_t> Service::add_cont_handle(ContHandle handle) {
  TRY(io, host_.grant(grant_of(handle)));
  handle.io = io;
  const uint64_t id = new_handle_id();
  cont_handles_[id] = handle;
  count_in(handle);
  return id;
}

/// Before anybody is told of a handle.
Task<Result<void>> Service::share_handle(uint64_t id) {
  const auto found = cont_handles_.find(id);
  if (found == cont_handles_.end()) co_return Result<void>{};  // its record is not made, either
  const ContHandle handle = found->second;
  const auto shared = co_await host_.share({{grant_of(handle), handle.io}});
  // Who ended it meanwhile may have told engines that did not know it yet.
  const auto still = cont_handles_.find(id);
  const bool ended = still == cont_handles_.end() || still->second.evicted;
  if (ended) co_await host_.revoke(handle.io);
  co_return shared;
}

/// Changes that make a handle durable; none where handles are not kept, or it is gone.
ConfigTxn Service::put_handle(uint64_t id) {
  ConfigTxn txn;
  if (!keeps()) return txn;
  if (const auto pool = pool_handles_.find(id); pool != pool_handles_.end()) {
    const PoolHandle& handle = pool->second;
    txn.put(handle_key(handle.session, id),
            wire::proto_encode(HandleRecord{.kind = HandleKind::pool,
                                            .pool = handle.pool,
                                            .access = handle.access,
                                            .owner = handle.owner}));
  }
  if (const auto cont = cont_handles_.find(id); cont != cont_handles_.end()) {
    const ContHandle& handle = cont->second;
    txn.put(handle_key(handle.session, id),
            wire::proto_encode(HandleRecord{.kind = HandleKind::cont,
                                            .pool = handle.pool,
                                            .cont = handle.cont,
                                            .access = handle.access,
                                            .owner = handle.owner,
                                            .pool_handle = handle.pool_handle,
                                            .io_index = handle.io.index,
                                            .io_generation = handle.io.generation}));
  }
  return txn;
}

/// Answers with a handle of the tables, durable first.
Task<Result<Service::Reply>> Service::keep_handle(const Request& request, uint64_t id,
                                                  Reply reply) {
  const auto committed = co_await commit_done(request, put_handle(id), reply);
  co_return co_await finish_handle(request, id, committed, std::move(reply));
}

/// What could not be made durable, or was closed meanwhile (with its owner), is not there.
Task<Result<Service::Reply>> Service::finish_handle(const Request& request, uint64_t id,
                                                    Result<void> committed, Reply reply) {
  const bool there = pool_handles_.contains(id) || cont_handles_.contains(id);
  if (committed && there) co_return reply;
  if (there) {
    Closing closing;
    take(id, closing);
    co_await end_handles(std::move(closing));
    co_return fail(committed.error());
  }
  if (committed && keeps()) {
    // Its record may have come after the closing erased it. Left over, start() erases it.
    [[maybe_unused]] const auto erased =
        co_await erase_keys({handle_key(request.origin.session, id)});
  }
  co_return fail(Errc::no_handle, "handle: closed by its owner meanwhile");
}

/// Takes a handle out of the tables, and what ends with it.
void Service::take(uint64_t id, Closing& into) {
  if (auto pool = pool_handles_.extract(id)) {
    count_out(pool.mapped());
    into.pools.insert(std::move(pool));
  }
  if (auto cont = cont_handles_.extract(id)) {
    count_out(cont.mapped());
    into.conts.insert(std::move(cont));
  }
  take_dependents(into);
}

/// What is attached to one of these, and open containers of connections among them.
void Service::take_dependents(Closing& into) {
  const auto taken = [this](const auto& handle) { count_out(handle); };
  take_if(
      pool_handles_, into.pools,
      [&into](const PoolHandle& handle) {
        return handle.owner != 0 && into.pools.contains(handle.owner);
      },
      taken);
  take_if(
      cont_handles_, into.conts,
      [&into](const ContHandle& handle) {
        return !handle.evicted && into.pools.contains(handle.pool_handle);
      },
      taken);
  take_if(
      cont_handles_, into.conts,
      [&into](const ContHandle& handle) {
        return handle.owner != 0 && into.conts.contains(handle.owner);
      },
      taken);
}

Service::Closing Service::take_session(uint64_t session) {
  const auto of_session = [session](const auto& handle) { return handle.session == session; };
  Closing closing;
  const auto taken = [this](const auto& handle) { count_out(handle); };
  take_if(pool_handles_, closing.pools, of_session, taken);
  take_if(cont_handles_, closing.conts, of_session, taken);
  take_dependents(closing);
  return closing;
}

/// Ends handles that are out of the tables: their records, then their access. An owner's record
/// may be gone before those of what is attached to it: start() erases such.
Task<void> Service::end_handles(Closing closing) {
  std::vector<std::string> keys;
  for (const auto& [id, handle] : closing.pools) keys.push_back(handle_key(handle.session, id));
  for (const auto& [id, handle] : closing.conts) keys.push_back(handle_key(handle.session, id));
  if (keeps() && !keys.empty()) {
    const auto erased = co_await erase_keys(std::move(keys));
    if (!erased) {
      report(Severity::warning, std::string("service: records of closed handles are erased at the "
                                            "next start: ") +
                                    erased.error().what());
    }
  }
  for (const auto& [id, handle] : closing.conts) {
    if (!handle.evicted) co_await host_.revoke(handle.io);
  }
}

/// Closes `id`, and the rest of `closing` with it: the record of `id` decides.
Task<Result<Service::Reply>> Service::close_handles(const Request& request, uint64_t id,
                                                    Closing closing) {
  ConfigTxn txn;
  if (keeps()) txn.erase(handle_key(request.origin.session, id));
  const auto decided = co_await commit_done(request, std::move(txn), {});
  if (!decided) {
    for (const auto& [number, handle] : closing.pools) count_in(handle);
    pool_handles_.merge(closing.pools);
    for (const auto& [number, handle] : closing.conts) count_in(handle);
    cont_handles_.merge(closing.conts);
    co_return fail(decided.error());
  }
  step("handle.closed");
  co_await end_handles(std::move(closing));
  co_return Reply{};
}

Task<Result<Service::Reply>> Service::pool_attach(const Request& request) {
  const auto found = pool_handles_.find(request.pool_handle);
  if (found == pool_handles_.end() || found->second.evicted) {
    co_return fail(Errc::no_handle, "pool: the handle to attach to is unknown or closed");
  }
  PoolHandle handle = found->second;
  CO_TRY(whole, check_whole(handle.pool));
  CO_TRY(pool, co_await load_pool(handle.pool));
  // From here to the new handle nothing suspends.
  const auto still = pool_handles_.find(request.pool_handle);
  if (still == pool_handles_.end() || still->second.evicted) {
    co_return fail(Errc::no_handle, kNoPoolHandle);
  }
  // A copy of a copy ends with the original, not with the copy.
  if (handle.owner == 0) handle.owner = request.pool_handle;
  handle.session = request.origin.session;
  const uint64_t id = new_handle_id();
  pool_handles_[id] = handle;
  co_return co_await keep_handle(
      request, id,
      {.uuid = handle.pool, .handle = id, .access = handle.access, .map = told_map(pool.record)});
}

Task<Result<Service::Reply>> Service::cont_attach(const Request& request) {
  CO_TRY(through, pool_handle(request));
  const Uuid pool = through->pool;
  const auto named = cont_handles_.find(request.cont_handle);
  if (named == cont_handles_.end()) {
    co_return fail(Errc::no_handle, "container: the handle to attach to is unknown or closed");
  }
  if (named->second.pool != pool) {
    co_return fail(Errc::invalid, "container: the handle to attach to is of another pool");
  }
  CO_TRY(cont, co_await load_cont(pool, named->second.cont));
  // From here to the new handle nothing suspends.
  CO_TRY(still, pool_handle(request));
  const auto found = cont_handles_.find(request.cont_handle);
  if (found == cont_handles_.end()) co_return fail(Errc::no_handle, kNoContHandle);
  ContHandle handle = found->second;
  if (handle.evicted) co_return fail(Errc::nonexistent, "container: destroyed meanwhile");
  if (handle.owner == 0) handle.owner = request.cont_handle;
  handle.session = request.origin.session;
  handle.pool_handle = request.pool_handle;
  CO_TRY(id, add_cont_handle(handle));
  co_return co_await answer_open(request, id, std::move(cont));
}

Task<Result<bool>> Service::restore_pool(SessionKey key, HandleRecord record) {
  if (record.owner != 0 && !pool_handles_.contains(record.owner)) co_return false;
  const auto pool = co_await load_pool(record.pool);
  if (!pool && pool.error().code() != Errc::nonexistent) co_return fail(pool.error());
  const PoolHandle handle{.session = key.session,
                          .owner = record.owner,
                          .pool = record.pool,
                          .access = record.access,
                          .evicted = !pool};
  pool_handles_[key.number] = handle;
  count_in(handle);
  co_return true;
}

Task<Result<bool>> Service::restore_cont(SessionKey key, HandleRecord record) {
  if (record.owner != 0 && !cont_handles_.contains(record.owner)) co_return false;
  ContHandle handle{.session = key.session,
                    .owner = record.owner,
                    .pool_handle = record.pool_handle,
                    .pool = record.pool,
                    .cont = record.cont,
                    .access = record.access,
                    .io = {record.io_index, record.io_generation}};
  const auto pool = co_await load_pool(record.pool);
  if (!pool && pool.error().code() != Errc::nonexistent) co_return fail(pool.error());
  const auto cont = co_await load_cont(record.pool, record.cont);
  if (!cont && cont.error().code() != Errc::nonexistent) co_return fail(cont.error());
  handle.evicted = !pool || !cont;
  if (!handle.evicted) {
    if (!pool_handles_.contains(record.pool_handle)) co_return false;
    handle.number = cont->record.number;
    const auto restored = co_await host_.restore(grant_of(handle), handle.io);
    if (!restored) {
      report(Severity::warning,
             std::string("service: a kept handle is lost: ") + restored.error().what());
      co_return false;
    }
  }
  cont_handles_[key.number] = handle;
  count_in(handle);
  co_return true;
}

/// Restores owners before what is attached to them, connections before containers. Erases what a
/// crash left of a closing.
Task<Result<void>> Service::start_handles() {
  if (options_.read_only) co_return Result<void>{};
  if (!keeps()) co_return co_await erase_prefix(std::string(kHandlesPrefix));
  CO_TRY(entries, co_await config_.range(std::string(kHandlesPrefix)));
  std::vector<std::pair<SessionKey, HandleRecord>> records;
  for (const ConfigEntry& entry : entries) {
    const auto key = parse_session_key(entry.key, kHandlesPrefix);
    if (!key) co_return fail(Errc::checksum, "config store: a key that names no handle");
    CO_TRY(record, parse_record<HandleRecord>(entry.value));
    if (record.kind != HandleKind::pool && record.kind != HandleKind::cont) {
      co_return fail(Errc::checksum, "config store: a handle of no kind");
    }
    records.emplace_back(*key, record);
  }
  std::ranges::sort(records, {}, [](const auto& item) {
    return std::pair(item.second.kind, item.second.owner != 0);
  });
  std::vector<std::string> orphans;
  for (const auto& [key, record] : records) {
    CO_TRY(restored, record.kind == HandleKind::pool ? co_await restore_pool(key, record)
                                                     : co_await restore_cont(key, record));
    if (restored) restored_.insert(key.session);
    if (!restored) orphans.push_back(handle_key(key.session, key.number));
  }
  co_return co_await erase_keys(std::move(orphans));
}

}  // namespace cairn::service
