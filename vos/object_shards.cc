// A container's object shards one after the other, for passes over all of it. It looks at keys
// alone: one record an object.
#include "vos/epoch_view.h"
#include "vos/key_format.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

/// Objects that one step finds before it lets others in.
constexpr size_t kStepObjectsMax = 1024;

struct ShardWalk {
  Shard::State& state;
  ContNumber container;
  uint32_t count_max;
  Key next;
  ObjectShards out;

  /// False: that was all, or all there is room for.
  Result<bool> step();
};

Result<bool> ShardWalk::step() {
  const Key prefix = range_prefix(container, Range::live);
  index::Cursor cursor(state.tree());
  for (size_t found = 0; found < kStepObjectsMax; ++found) {
    if (out.objects.size() == count_max) return false;
    TRY(sought, cursor.seek(next));
    if (!cursor.valid() || !starts_with(cursor.key(), prefix)) {
      out.eof = true;
      return false;
    }
    const ByteView key = cursor.key();
    TRY(parsed, parse_key(key));
    TRY(levels, level_bytes(key));
    out.objects.push_back({container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
    const ByteView object = key.first(levels.object);
    out.position.assign(object.begin() + kRangePrefixBytes, object.end());
    next = after_prefix(object);
  }
  return true;
}

}  // namespace

Task<Result<ObjectShards>> Shard::object_shards(ContNumber container, Bytes position,
                                                uint32_t count_max) {
  CO_TRY(hold, state_->gate.enter());
  if (count_max == 0) co_return fail(Errc::invalid, "list: room for no object");
  Key start = range_prefix(container, Range::live);
  if (!position.empty()) {
    if (position.size() < 17 || position.size() > 25) {
      co_return fail(Errc::invalid, "list: not a position of this listing");
    }
    start.add(position);
    start = after_prefix(start);
  }
  ShardWalk walk{*state_, container, count_max, start, {}};
  walk.out.position = std::move(position);
  index::Store::Attempt attempt(*state_->store);
  for (;;) {
    CO_TRY(open, co_await wait_open(*state_, container, Access::read(model::kEpochMax)));
    const Result<bool> more = walk.step();
    if (!more && more.error().code() == Errc::page_absent) {
      CO_TRY(loaded, co_await state_->store->load_absent(attempt));
      continue;
    }
    attempt.release();
    if (!more) co_return fail(more.error());
    if (!*more) break;
    co_await state_->reactor.yield();
  }
  if (state_->evicting) {
    CO_TRY(ended, co_await state_->store->end_step());
  }
  co_return std::move(walk.out);
}

}  // namespace cairn::vos
