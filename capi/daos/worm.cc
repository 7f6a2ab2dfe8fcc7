// Our own calls on objects that are written once (cairn_worm.h).
#include <cairn_worm.h>

#include <unistd.h>

#include <algorithm>
#include <new>

#include "capi/daos/obj_args.h"
#include "capi/daos/prop_table.h"

namespace cairn::capi {
namespace {

constexpr uint32_t kObjectsPerPage = 512;

static_assert(CAIRN_COND_FINAL == model::cond::kFinal);
static_assert(CAIRN_FLAT_OUTCOMES == model::kFlattenOutcomes);
static_assert(CAIRN_FLAT_ALREADY == static_cast<int>(model::FlattenOutcome::already));
static_assert(CAIRN_FLAT_SNAPSHOT == static_cast<int>(model::FlattenOutcome::snapshot));
static_assert(CAIRN_FLAT_FRAGMENTED == static_cast<int>(model::FlattenOutcome::fragmented));

int der_of_outcome(model::FlattenOutcome outcome) {
  switch (outcome) {
    case model::FlattenOutcome::flattened:
    case model::FlattenOutcome::already:
    case model::FlattenOutcome::absent:
      return 0;
    case model::FlattenOutcome::pending:
    case model::FlattenOutcome::reclaiming:
    case model::FlattenOutcome::changed:
      return -DER_BUSY;
    default:
      return -DER_NOTAPPLICABLE;
  }
}

cairn_flat_t flat_of(const model::Flattened& one) {
  return {.cf_outcome = static_cast<uint32_t>(one.outcome),
          .cf_reserved = 0,
          .cf_buffer_bytes = one.buffer_bytes};
}

Task<int> flatten_task(client::ContainerPtr container, model::ObjectId oid, cairn_flat_t* flat) {
  auto done = co_await container->flatten({oid});
  if (!done) co_return der_of(done);
  if (flat != nullptr) *flat = flat_of(done->front());
  co_return der_of_outcome(done->front().outcome);
}

Task<int> flatten_some_task(client::ContainerPtr container, std::vector<model::ObjectId> oids,
                            cairn_flat_t* flats) {
  auto done = co_await container->flatten(std::move(oids));
  if (!done) co_return der_of(done);
  for (size_t i = 0; flats != nullptr && i < done->size(); ++i) flats[i] = flat_of((*done)[i]);
  co_return 0;
}

bool has_doubles(std::vector<model::ObjectId> oids) {
  std::ranges::sort(oids);
  return std::ranges::adjacent_find(oids) != oids.end();
}

Task<int> final_task(client::ContainerPtr container, model::ObjectId oid) {
  co_return der_of(co_await container->note_final({oid}));
}

/// An object for a change, by whatever kind of handle it was opened with.
/// @error no_handle, no_perm, invalid  as object_for()
Result<std::shared_ptr<ObjectHandle>> any_object_for(daos_handle_t oh, daos_handle_t th) {
  TRY(running, system());
  std::shared_ptr<ObjectHandle> object;
  if (const auto kv = find<KvHandle>(oh)) object = kv->object;
  if (const auto array = find<ArrayHandle>(oh)) object = array->object;
  if (!object) return object_for(oh, th, true);
  if (!object->writable()) return fail(Errc::no_perm, "object: opened for reading only");
  if (!daos_handle_is_valid(th)) return object;
  return in_transaction(std::move(object), th);
}

/// One page of objects. @returns whether there are more
Task<Result<bool>> flatten_page(client::ContainerPtr container, Bytes* position,
                                cairn_flat_stats_t* stats) {
  CO_TRY(page, co_await container->list_objects(model::kEpochMax, *position, kObjectsPerPage));
  *position = std::move(page.position);
  if (!page.oids.empty()) {
    CO_TRY(done, co_await container->flatten(std::move(page.oids)));
    for (const model::Flattened& one : done) {
      ++stats->cs_objects;
      ++stats->cs_outcomes[static_cast<size_t>(one.outcome)];
      stats->cs_buffer_bytes += one.buffer_bytes;
    }
  }
  co_return !page.eof;
}

static_assert(CAIRN_SEALED == static_cast<int>(client::WormInfo::SealState::sealed));
static_assert(CAIRN_UNSEALING == static_cast<int>(client::WormInfo::SealState::unsealing));
static_assert(sizeof(cairn_cont_worm_t::cw_sealed_by) == model::kSealedByBytesMax + 1);

/// The caller, as seals name him.
std::string user_at_host() {
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  return caller_user() + (host[0] == '\0' ? "unknown" : host);
}

void show(const client::WormInfo& info, cairn_cont_worm_t& out) {
  const model::WormPolicy& policy = info.policy;
  out = {.cw_seal = static_cast<uint32_t>(info.state),
         .cw_compress = policy.compress ? 1u : 0u,
         .cw_sealed_at = policy.seal.epoch,
         .cw_sealed_by = {},
         .cw_inline_max = policy.inline_bytes_max,
         .cw_object_max = policy.object_bytes_max,
         .cw_cold_after = policy.cold_after_s,
         .cw_running = info.progress.running ? 1u : 0u,
         .cw_targets_away = info.targets_away,
         .cw_flat = info.progress.flat,
         .cw_left = info.progress.left,
         .cw_damaged = info.progress.damaged,
         .cw_skipped = {}};
  std::ranges::copy(policy.seal.by, out.cw_sealed_by);
  std::ranges::copy(info.progress.skipped, out.cw_skipped);
}

}  // namespace
}  // namespace cairn::capi

using namespace cairn;
using namespace cairn::capi;

extern "C" {

int cairn_obj_flatten(daos_handle_t oh, cairn_flat_t* flat, daos_event_t* ev) {
  auto object = any_object_for(oh, DAOS_TX_NONE);
  if (!object) return call(capi::der_of(object), ev);
  return call(flatten_task((*object)->container, (*object)->oid, flat), ev);
}

int cairn_obj_final(daos_handle_t oh, daos_handle_t th, daos_event_t* ev) try {
  auto object = any_object_for(oh, th);
  if (!object) return call(capi::der_of(object), ev);
  return call(final_task((*object)->container, (*object)->oid), ev);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int cairn_cont_flatten_some(daos_handle_t coh, uint32_t nr, const daos_obj_id_t* oids,
                            cairn_flat_t* flats) try {
  auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  if (nr == 0 || nr > CAIRN_FLATTEN_SOME_MAX || oids == nullptr) return -DER_INVAL;
  if ((*container)->access() == client::Access::read_only) return -DER_NO_PERM;
  std::vector<model::ObjectId> ids;
  ids.reserve(nr);
  for (uint32_t i = 0; i < nr; ++i) ids.push_back({oids[i].lo, oids[i].hi});
  // A target would refuse it when others have done their part.
  if (has_doubles(ids)) return -DER_INVAL;
  return call(flatten_some_task(*container, std::move(ids), flats), nullptr);
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int cairn_cont_flatten(daos_handle_t coh, cairn_flat_stats_t* stats, cairn_flat_cb_t* progress,
                       void* arg) {
  auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  if ((*container)->access() == client::Access::read_only) return -DER_NO_PERM;
  cairn_flat_stats_t own{};
  if (stats == nullptr) stats = &own;
  *stats = {};
  Bytes position;
  for (bool more = true; more;) {
    const auto page = run_blocking(flatten_page(*container, &position, stats));
    if (!page) return capi::der_of(page);
    more = *page;
    if (progress == nullptr) continue;
    if (const int rc = progress(stats, arg); rc != 0) return rc;
  }
  return 0;
}

int cairn_cont_seal(daos_handle_t coh) try {
  auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  return capi::der_of(run_blocking((*container)->seal(user_at_host())));
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int cairn_cont_unseal(daos_handle_t coh) try {
  auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  return capi::der_of(run_blocking((*container)->unseal()));
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

int cairn_cont_worm_query(daos_handle_t coh, cairn_cont_worm_t* worm) try {
  auto container = container_of(coh);
  if (!container) return capi::der_of(container);
  if (worm == nullptr) return -DER_INVAL;
  const auto found = run_blocking((*container)->query_worm(true));
  if (!found) return capi::der_of(found);
  show(*found, *worm);
  return 0;
} catch (const std::bad_alloc&) {
  return -DER_NOMEM;
}

}  // extern "C"
