// The offline check of a shard: pages and ownership (index::Store), then every record's meaning and
// data (Scrub).
#include <map>

#include "vos/claims.h"
#include "vos/flat_pack.h"
#include "vos/key_text.h"
#include "vos/scrub.h"
#include "vos/shard_state.h"
#include "vos/value_format.h"

namespace cairn::vos {

namespace {

constexpr uint64_t kSliceBytes = 16u << 20;
constexpr size_t kProblemsMax = 1000;

/// Sessions and transactions: nothing in blocks.
bool is_shards_own(ByteView key) { return key.size() > 4 && load_be32(key.data()) == 0; }

/// What lives in extents of flattened objects: as their records say, and as the objects' do.
struct PackSums {
  struct Sum {
    PackRecord said;
    uint64_t objects = 0, bytes = 0;
    bool beyond = false;  // a buffer ends behind the extent
  };
  std::map<std::pair<ContNumber, uint64_t>, Sum> packs;

  /// @param end  in the extent   @param room  that it takes there
  void add(ContNumber container, uint64_t block, uint64_t end, uint64_t room) {
    Sum& sum = packs[{container, block}];
    ++sum.objects;
    sum.bytes += room;
    ends.emplace_back(&sum, end);
  }
  void compare(std::vector<std::string>& problems);

 private:
  std::vector<std::pair<Sum*, uint64_t>> ends;
};

void PackSums::compare(std::vector<std::string>& problems) {
  for (const auto& [sum, end] : ends) {
    if (end > uint64_t{sum->said.blocks} * kDataBlockBytes) sum->beyond = true;
  }
  for (const auto& [id, sum] : packs) {
    const bool right = sum.objects == sum.said.objects && sum.bytes == sum.said.bytes;
    if ((right && !sum.beyond) || problems.size() >= kProblemsMax) continue;
    problems.push_back(key_text(pack_key(id.first, id.second)).text() + ": " +
                       std::to_string(sum.said.objects) + " buffers or values of " +
                       std::to_string(sum.said.bytes) + " bytes by its record, " +
                       std::to_string(sum.objects) + " of " + std::to_string(sum.bytes) +
                       " by those of the objects" + (sum.beyond ? ", one beyond its end" : ""));
  }
}

/// @param sums  may be null
Result<std::vector<media::Extent>> claims_and_sums(PackSums* sums, ByteView key, ByteView value) {
  std::vector<media::Extent> claims;
  if (is_shards_own(key) || in_range(key, Range::snapshot) || in_range(key, Range::policy)) {
    return claims;
  }
  if (in_range(key, Range::pack)) {
    TRY(block, parse_pack_key(key));
    TRY(pack, parse_pack(value));
    if (sums != nullptr) sums->packs[{load_be32(key.data()), block}].said = pack;
    claims.push_back({block, pack.blocks});
    return claims;
  }
  TRY(parsed, parse_key(key));
  if (parsed.range == Range::marker) return claims;
  TRY(v, parse_value(parsed.kind, value));
  if (parsed.kind == Kind::flat) {
    TRY(flat, parse_flat(value));
    const FlatPlace& place = flat.place;
    if (sums != nullptr) {
      sums->add(parsed.container, place.block, uint64_t{place.offset} + place.length, place.room());
    }
  }
  if (v.form != Form::data) return claims;
  if (v.shared) {
    TRY(place, packed_place(key, v));
    if (sums != nullptr) {
      sums->add(parsed.container, place.block, place.offset + place.room, place.room);
    }
    return claims;
  }
  TRY(data, parse_data(v));
  return data.runs;
}

}  // namespace

Result<std::vector<media::Extent>> claims_of(ByteView key, ByteView value) {
  return claims_and_sums(nullptr, key, value);
}

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
  PackSums sums;
  CO_TRY(found, co_await state_->store->check([&sums](ByteView key, ByteView value) {
    return claims_and_sums(&sums, key, value);
  }));
  // Where pages are damaged, what they may have held is not held against anyone.
  if (found.lost.empty()) sums.compare(found.problems);
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
