// What concerns several shards: objects of more than one, and listings of a container that lies on
// several targets.
#include <algorithm>

#include "client/system_impl.h"
#include "model/limits.h"
#include "model/object_order.h"
#include "runtime/parallel.h"

namespace cairn::client {
namespace {

/// Shards of one call that are asked at once: docs/decisions/0016-wide-requests-from-the-client.md.
constexpr size_t kShardsAtOnceMax = 32;

// A position in the dkeys of an object with several shards:
//   offset  size  field
//        0     2  shard   big-endian
//        2     1  scope   0: this shard and those after it, 1: this one only
//        3   ...  the shard's own position, of at most kShardPositionBytesMax; none: its start
constexpr size_t kPartBytes = 3;
constexpr size_t kShardPositionBytesMax =
    1 + std::max(model::kLexicalKeyBytesMax + 1, model::kKeyPrefixBytes + model::kKeyHashBytes + 1);
static_assert(kPartBytes + kShardPositionBytesMax <= model::kAnchorBytes);

struct Part {
  uint32_t shard = 0;
  bool only = false;
  Bytes inner;
};

Bytes put_part(const Part& part) {
  Bytes out(kPartBytes);
  out[0] = static_cast<std::byte>(part.shard >> 8);
  out[1] = static_cast<std::byte>(part.shard & 0xff);
  out[2] = std::byte{part.only};
  out.insert(out.end(), part.inner.begin(), part.inner.end());
  return out;
}

Result<Part> parse_part(const Bytes& position, size_t shard_count) {
  if (position.empty()) return Part{};
  const auto at = [&position](size_t i) { return std::to_integer<uint32_t>(position[i]); };
  if (position.size() < kPartBytes || at(2) > 1) {
    return fail(Errc::invalid, "list: not an anchor of this listing");
  }
  Part part{.shard = at(0) << 8 | at(1), .only = at(2) == 1, .inner = {}};
  if (part.shard >= shard_count) {
    return fail(Errc::invalid, "list: an anchor of an object with more shards");
  }
  part.inner.assign(position.begin() + kPartBytes, position.end());
  return part;
}

// A position in the differences of a container on several targets: rank and target, 4 bytes each,
// big-endian; then the target's own position.
constexpr size_t kTargetBytes = 8;

Bytes put_target(const ObjectRoute& at, const Bytes& inner) {
  Bytes out(kTargetBytes);
  store_be32(out.data(), at.endpoint.rank);
  store_be32(out.data() + 4, at.target);
  out.insert(out.end(), inner.begin(), inner.end());
  return out;
}

/// @returns the number of the target in `where`
Result<size_t> parse_target(const Bytes& position, const std::vector<ObjectRoute>& where) {
  if (position.empty()) return size_t{0};
  if (position.size() >= kTargetBytes) {
    const uint32_t rank = load_be32(position.data());
    const uint32_t target = load_be32(position.data() + 4);
    for (size_t i = 0; i < where.size(); ++i) {
      if (where[i].endpoint.rank == rank && where[i].target == target) return i;
    }
  }
  return fail(Errc::invalid, "diff: not a position of this listing");
}

/// One answer, into its place.
template <class T>
Task<Result<void>> keep(Task<Result<T>> asked, T& into) {
  CO_TRY(answer, co_await std::move(asked));
  into = std::move(answer);
  co_return Result<void>{};
}

using Order = std::array<std::byte, 16>;
constexpr size_t kObjectPositionBytes = 1 + sizeof(Order);

}  // namespace

template <class T, class Ask>
Task<Result<std::vector<T>>> ContainerImpl::ask_all(std::vector<ObjectRoute> where, ReadAt at,
                                                    Ask ask) {
  std::vector<T> answers(where.size());
  size_t asked = 0;
  if (at.in_transaction && at.epoch == model::kEpochMax) {
    model::Epoch chosen = 0;
    ReadAt first = at;
    first.chosen = &chosen;
    CO_TRY(answer, co_await ask(where[0], first));
    answers[asked++] = std::move(answer);
    at.epoch = chosen;
  }
  if (at.chosen != nullptr) *at.chosen = at.epoch;
  at.chosen = nullptr;
  std::vector<Task<Result<void>>> tasks;
  for (; asked < where.size(); ++asked) {
    tasks.push_back(keep<T>(ask(where[asked], at), answers[asked]));
  }
  CO_TRY(done, co_await run_all(reactor(), std::move(tasks), kShardsAtOnceMax));
  co_return answers;
}

/// All shards at one epoch, or none.
Task<Result<model::Epoch>> ContainerImpl::punch_wide(model::ObjectId oid, uint64_t flags) {
  if ((flags & model::cond::kPunch) != 0) {
    CO_TRY(listed, co_await list_at({}, oid, {.count_max = 1, .bytes_max = 0, .position = {}}));
    if (listed.lengths.empty()) co_return fail(Errc::nonexistent, "punch: no such object");
  }
  Changes changes;
  changes.changes.push_back({.kind = Change::Kind::punch_object, .oid = oid});
  co_return co_await transact(std::move(changes));
}

/// Shard after shard, each answer from one of them; empty ones are passed by.
Task<Result<model::Listed>> ContainerImpl::list_wide(ReadAt at, model::ObjectId oid,
                                                     model::ListRequest request,
                                                     std::vector<ObjectRoute> where) {
  CO_TRY(parsed, parse_part(request.position, where.size()));
  Part part = std::move(parsed);
  for (;;) {
    model::Epoch chosen = 0;
    ReadAt here = at;
    if (at.chosen != nullptr) here.chosen = &chosen;
    model::ListRequest one = request;
    one.position = std::move(part.inner);
    CO_TRY(listed, co_await object_list(rpc(), where[part.shard], oid, std::move(one), here));
    if (at.chosen != nullptr) *at.chosen = chosen;
    if (at.in_transaction && at.epoch == model::kEpochMax) at.epoch = chosen;
    if (!listed.eof) {
      part.inner = std::move(listed.position);
      listed.position = put_part(part);
      co_return listed;
    }
    if (part.only || part.shard + 1 == where.size()) {
      listed.position.clear();
      co_return listed;
    }
    part = {.shard = part.shard + 1, .only = false, .inner = {}};
    if (listed.lengths.empty()) continue;
    listed.eof = false;
    listed.position = put_part(part);
    co_return listed;
  }
}

Task<Result<Bytes>> ContainerImpl::position_wide(model::ObjectId oid, ByteView key,
                                                 ObjectRoute where) {
  CO_TRY(inner,
         co_await object_position_of(rpc(), where, oid, model::ListRequest::What::dkeys, key));
  co_return put_part({.shard = where.shard, .only = false, .inner = std::move(inner)});
}

Task<Result<std::vector<Bytes>>> ContainerImpl::parts_wide(model::ObjectId oid, ByteView first,
                                                           std::vector<ObjectRoute> where) {
  Bytes inner;
  if (!first.empty()) {
    // The same in every shard.
    CO_TRY(position, co_await object_position_of(rpc(), where.front(), oid,
                                                 model::ListRequest::What::dkeys, first));
    inner = std::move(position);
  }
  std::vector<Bytes> parts;
  if (where.size() == 1) parts.push_back(inner);
  for (uint32_t shard = 0; where.size() > 1 && shard < where.size(); ++shard) {
    parts.push_back(put_part({.shard = shard, .only = true, .inner = inner}));
  }
  co_return parts;
}

/// The greatest (or smallest) dkey of all shards, with what its own shard says of it.
Task<Result<model::QueriedKey>> ContainerImpl::query_wide(ReadAt at, model::ObjectId oid,
                                                          model::QueryKeyRequest request,
                                                          std::vector<ObjectRoute> where) {
  CO_TRY(answers, co_await ask_all<model::QueriedKey>(
                      std::move(where), at, [this, oid, &request](ObjectRoute to, ReadAt when) {
                        return object_query_key(rpc(), to, oid, request, when);
                      }));
  model::QueriedKey best;
  for (const model::QueriedKey& one : answers) {
    if (!one.found) continue;
    const bool better = request.max ? one.dkey > best.dkey : one.dkey < best.dkey;
    if (!best.found || better) best = one;
  }
  co_return best;
}

Task<Result<model::Epoch>> ContainerImpl::max_epoch_wide(ReadAt at, model::ObjectId oid,
                                                         std::vector<ObjectRoute> where) {
  CO_TRY(answers, co_await ask_all<model::Epoch>(std::move(where), at,
                                                 [this, oid](ObjectRoute to, ReadAt when) {
                                                   return object_max_epoch(rpc(), to, oid, when);
                                                 }));
  co_return *std::ranges::max_element(answers);
}

/// Every target lists its objects in the same order, so the pages are merged. What is behind the
/// end of a page that goes on is not known yet.
Task<Result<ObjectPage>> ContainerImpl::list_objects_wide(model::Epoch epoch, Bytes position,
                                                          uint32_t count_max,
                                                          std::vector<ObjectRoute> where) {
  CO_TRY(pages, co_await ask_all<ObjectPage>(std::move(where), {}, [&](ObjectRoute to, ReadAt) {
           return objects_list(rpc(), to, epoch, position, count_max);
         }));
  ObjectPage out{.oids = {}, .position = position, .eof = true};
  std::vector<std::pair<Order, model::ObjectId>> found;
  std::optional<Order> known_until;
  std::byte tag{};
  for (const ObjectPage& page : pages) {
    for (const model::ObjectId& oid : page.oids) found.emplace_back(object_order(oid), oid);
    if (!page.oids.empty()) {
      if (page.position.size() != kObjectPositionBytes) {
        co_return fail(Errc::protocol, "list: a position that cannot be");
      }
      tag = page.position[0];
    }
    if (page.eof) continue;
    if (page.oids.empty()) co_return fail(Errc::protocol, "list: a page of nothing");
    const Order last = object_order(page.oids.back());
    known_until = std::min(known_until.value_or(last), last);
    out.eof = false;
  }
  std::ranges::sort(found, {}, [](const auto& one) { return one.first; });
  Order last{};
  for (const auto& [order, oid] : found) {
    if (!out.oids.empty() && order == last) continue;  // another shard of it
    if ((known_until && order > *known_until) || out.oids.size() == count_max) {
      out.eof = false;
      break;
    }
    out.oids.push_back(oid);
    last = order;
  }
  if (!out.oids.empty()) {
    out.position.assign(1, tag);
    out.position.insert(out.position.end(), last.begin(), last.end());
  }
  co_return out;
}

/// Target after target.
Task<Result<DifferencePage>> ContainerImpl::snap_diff_wide(model::Epoch older, model::Epoch newer,
                                                           Bytes position, uint32_t count_max,
                                                           std::vector<ObjectRoute> where) {
  CO_TRY(parsed, parse_target(position, where));
  size_t at = parsed;
  Bytes inner;
  if (!position.empty()) inner.assign(position.begin() + kTargetBytes, position.end());
  for (;; ++at) {
    CO_TRY(page,
           co_await snapshots_diff(rpc(), where[at], older, newer, std::move(inner), count_max));
    inner.clear();
    if (!page.eof) {
      page.position = put_target(where[at], page.position);
      co_return page;
    }
    if (at + 1 == where.size()) co_return page;
    if (page.differences.empty()) continue;
    page.eof = false;
    page.position = put_target(where[at + 1], {});
    co_return page;
  }
}

}  // namespace cairn::client
