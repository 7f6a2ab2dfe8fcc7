// The offline check of a shard: pages and ownership (index::Store), then every record's meaning and
// data (Scrub).
#include "vos/scrub.h"
#include "vos/shard_state.h"
#include "vos/value_format.h"

namespace cairn::vos {

namespace {

constexpr uint64_t kSliceBytes = 16u << 20;
constexpr size_t kProblemsMax = 1000;

/// Sessions and transactions: nothing in blocks.
bool is_shards_own(ByteView key) { return key.size() > 4 && load_be32(key.data()) == 0; }

/// The data extents that a record claims; told to index::Store::check.
Result<std::vector<media::Extent>> claims_of(ByteView key, ByteView value) {
  std::vector<media::Extent> claims;
  if (is_shards_own(key) || in_range(key, Range::snapshot)) return claims;
  TRY(parsed, parse_key(key));
  if (parsed.range == Range::marker) return claims;
  TRY(v, parse_value(parsed.kind, value));
  if (v.form != Form::data) return claims;
  TRY(data, parse_data(v));
  return data.runs;
}

}  // namespace

Task<Result<CheckReport>> Shard::check(bool read_data) {
  CO_TRY(hold, state_->gate.enter());
  // The walk compares one root with who owns what; removals in the background would move both.
  co_await reclaimed();
  struct Pause {
    explicit Pause(State& s) : state(s) { ++state.checks; }
    ~Pause() { --state.checks; }
    State& state;
  } pause(*state_);
  while (state_->merging) co_await state_->merges_moved.wait();
  CO_TRY(found, co_await state_->store->check(claims_of));
  CheckReport report;
  static_cast<index::Store::CheckReport&>(report) = std::move(found);
  Scrub scrub(*this, {.read_data = read_data});
  for (;;) {
    CO_TRY(more, co_await scrub.slice(kSliceBytes));
    if (!more) break;
  }
  report.losses = scrub.report().losses;
  report.loss_count = scrub.report().loss_count;
  for (const Loss& loss : report.losses) {
    // A damaged page has its problem already.
    if (loss.what == Loss::What::page || report.problems.size() >= kProblemsMax) continue;
    report.problems.push_back(loss_text(loss));
  }
  co_return std::move(report);
}

}  // namespace cairn::vos
