#include "vos/flat_gather.h"

#include <algorithm>

#include "base/hash.h"
#include "vos/flat_inflate.h"
#include "vos/flat_pack.h"

namespace cairn::vos {

namespace {

Key key_of(ByteView bytes) {
  Key key;
  key.add(bytes);
  return key;
}

/// What a record's exchange takes in the log beside its keys.
constexpr uint64_t kChangeOverhead = 16;
/// A value that names blocks, with its checksums.
constexpr uint64_t kDataValueBytes = 256;

}  // namespace

void FlatGather::reset() {
  result = {.outcome = FlattenOutcome::flattened};
  reads.clear();
  before_.clear();
  content_ = {.object = object_, .dkeys = {}};
  sources_.clear();
  outside_.clear();
  fresh_.clear();
  last_dkey_.truncate(0);
  last_akey_.truncate(0);
  was_short = false;
  runs_ = 0;
  small_bytes_ = payload_bytes_ = outside_bytes_ = change_bytes_ = 0;
  oldest_ = model::kEpochMax;
  newest_ = 0;
  print_ = 0;
}

bool FlatGather::is_settled() {
  const KeyRange range{Level::object, path_.object(), {}, {}};
  if (state_.unresolved.meets(range, Unresolved::Intent::change) != nullptr) {
    stop(FlattenOutcome::pending);
  } else if (state_.markers.any(path_.object())) {
    stop(FlattenOutcome::reclaiming);
  }
  return goes_on();
}

Result<bool> FlatGather::is_flat_already() {
  if (!state_.flats.any(object_.container)) return false;
  TRY(found, state_.tree().get(flat_key(path_.object())));
  if (!found) return false;
  TRY(record, parse_flat(*found));
  if (!record.taken.empty()) return false;
  result.epoch = record.epoch;
  result.buffer_bytes = record.place.length;
  // Dkeys that came later stand in the tree.
  index::Cursor cursor(state_.tree());
  TRY(sought, cursor.seek(after_prefix(outside_prefix(path_.object()))));
  return !cursor.valid() || !starts_with(cursor.key(), path_.object());
}

/// What is flat in part is looked at as if it had never been.
Result<void> FlatGather::take_out() {
  before_.clear();
  return inflate(state_, path_, nullptr, before_, cache_);
}

/// Most objects were never flat: the tree has all of them.
View FlatGather::view_before() {
  if (before_.changes().empty()) return View(state_.tree());
  return {state_.tree(), &before_, model::kEpochMax};
}

template <class Visit>
Result<void> FlatGather::walk(const View& view, Visit visit) {
  View::Cursor cursor(view, path_.object());
  TRY(sought, cursor.seek(path_.object()));
  while (cursor.valid() && starts_with(cursor.key(), path_.object())) {
    TRY(parsed, parse_key(cursor.key()));
    const Record record{cursor.key(), cursor.value(), parsed};
    TRY(more, visit(record));
    if (!more) break;
    TRY(moved, cursor.next());
  }
  return {};
}

Result<void> FlatGather::add_name(const Record& record, const ValueView& value) {
  if (value.form == Form::data || value.payload_bytes >= kFlatKeyBytesMax) {
    stop(FlattenOutcome::long_key);
    return {};
  }
  TRY(levels, level_bytes(record.key));
  const bool of_akey = levels.akey != 0;
  Bytes& name = of_akey ? akey_name_ : dkey_name_;
  name.resize(value.payload_bytes);
  copy_inlined(value, 0, name);
  (of_akey ? last_akey_ : last_dkey_) =
      key_of(record.key.first(of_akey ? levels.akey : levels.dkey));
  return {};
}

/// The akey of a record that proves it.
FlatContent::Akey& FlatGather::akey_of(const Record& record) {
  const auto is = [](const Component& a, const Component& b) {
    return as_chars(a.view()) == as_chars(b.view());
  };
  const Key dkey_prefix = path_.dkey(record.parsed.dkey);
  if (content_.dkeys.empty() || !is(content_.dkeys.back().key, record.parsed.dkey)) {
    FlatContent::Dkey& dkey = content_.dkeys.emplace_back();
    dkey.key = record.parsed.dkey;
    if (as_chars(last_dkey_.view()) == as_chars(dkey_prefix.view())) dkey.name = dkey_name_;
  }
  auto& akeys = content_.dkeys.back().akeys;
  if (akeys.empty() || !is(akeys.back().key, record.parsed.akey)) {
    FlatContent::Akey& akey = akeys.emplace_back();
    akey.key = record.parsed.akey;
    const Key prefix = path_.akey(dkey_prefix, record.parsed.akey);
    if (as_chars(last_akey_.view()) == as_chars(prefix.view())) akey.name = akey_name_;
  }
  return akeys.back();
}

void FlatGather::add_value(const Record& record, const ValueView& value) {
  FlatContent::Akey& akey = akey_of(record);
  const bool single = record.parsed.kind == Kind::single;
  akey.type = single ? model::ValueType::single : model::ValueType::array;
  akey.record_bytes = single ? 0 : value.record_bytes;
  const Key prefix = path_.akey(path_.dkey(record.parsed.dkey), record.parsed.akey);
  if (sources_.empty() || as_chars(sources_.back().prefix.view()) != as_chars(prefix.view())) {
    sources_.push_back(
        {content_.dkeys.size() - 1, content_.dkeys.back().akeys.size() - 1, prefix, {}});
    runs_ = 0;
  }
  const uint64_t end = single ? value.payload_bytes : record.parsed.position;
  const uint64_t begin = single ? 0 : end - value.count;
  auto& pieces = sources_.back().pieces;
  runs_ += pieces.empty() || pieces.back().end != begin ? 1 : 0;
  small_bytes_ += single && end <= kFlatInlineMax ? end : 0;
  pieces.push_back({begin, end, value, key_of(record.key)});
}

Result<void> FlatGather::add(const Record& record) {
  print_ = xxh3_64(record.raw, xxh3_64(record.key, print_));
  const model::Epoch epoch = epoch_of(record.raw);
  oldest_ = std::min(oldest_, epoch);
  newest_ = std::max(newest_, epoch);
  change_bytes_ += record.key.size() + kChangeOverhead;
  const bool written_again =
      record.parsed.kind == Kind::checksums && before_.changes().contains(as_chars(record.key));
  if (written_again) change_bytes_ += record.raw.size();
  if (!goes_on()) return {};
  TRY(value, parse_value(record.parsed.kind, record.raw));
  switch (record.parsed.kind) {
    case Kind::name:
      return add_name(record, value);
    case Kind::present: {
      FlatContent::Akey& akey = akey_of(record);
      akey.type = value.present_type;
      akey.record_bytes = akey.type == model::ValueType::array ? value.record_bytes : 0;
      return {};
    }
    case Kind::extent:
      if (value.count > record.parsed.position) {
        return fail(Errc::checksum, "extent: begins before record 0");
      }
      [[fallthrough]];
    case Kind::single:
      add_value(record, value);
      return {};
    default:
      return {};
  }
}

/// A large object is not walked to its end: all of it would be in memory, and each page that was
/// missing would begin the walk anew. What only its end would say is not asked.
void FlatGather::check_so_far() {
  if (!goes_on() || content_.dkeys.empty()) return;
  const size_t max = options_.keys_max;
  const bool many =
      content_.dkeys.size() > max || content_.dkeys.back().akeys.size() > max || runs_ > max;
  const bool large =
      change_bytes_ > state_.record_bytes_max || small_bytes_ > options_.object_bytes_max;
  if (!many && !large) return;
  check_unchanged();
  if (goes_on()) check_levels();
  if (goes_on()) stop(FlattenOutcome::too_large);
}

void FlatGather::check_unchanged() {
  if (content_.dkeys.empty()) return stop(FlattenOutcome::absent);
  if (newest_ > options_.unchanged_since) return stop(FlattenOutcome::changed);
}

/// All that is in a buffer has one epoch. Asked last: values of what is too large are packed all
/// the same.
void FlatGather::check_snapshots() {
  for (const Snapshot& s : state_.snapshots.of(object_.container)) {
    if (s.epoch >= oldest_ && s.epoch < newest_) return stop(FlattenOutcome::snapshot);
  }
}

void FlatGather::check_levels() {
  const size_t max = options_.keys_max;
  const bool keys_fit =
      content_.dkeys.size() <= max &&
      std::all_of(content_.dkeys.begin(), content_.dkeys.end(),
                  [max](const FlatContent::Dkey& dkey) { return dkey.akeys.size() <= max; });
  if (!keys_fit) return stop(FlattenOutcome::too_many);
  for (const Source& source : sources_) {
    if (source.pieces.size() <= max) continue;
    size_t runs = 1;
    for (size_t i = 1; i < source.pieces.size(); ++i) {
      runs += source.pieces[i].begin != source.pieces[i - 1].end ? 1 : 0;
    }
    return stop(runs > max ? FlattenOutcome::too_many : FlattenOutcome::fragmented);
  }
}

/// A piece's bytes into the buffer: from the tree at once, from blocks later.
Result<void> FlatGather::fill(Look& look, const Source& source, const Piece& piece, ByteSpan into) {
  if (piece.value.form != Form::data) {
    copy_inlined(piece.value, 0, into);
    return {};
  }
  const FlatContent::Akey& akey = content_.dkeys[source.dkey].akeys[source.akey];
  const uint64_t end = akey.type == model::ValueType::single ? 0 : piece.end;
  TRY(data, look.block_data(source.prefix, end, piece.value));
  reads.push_back({std::move(data), 0, {{into.data(), into.size()}}});
  return {};
}

void FlatGather::leave_outside(const Source& source, const Piece& piece, uint64_t bytes) {
  if (piece.value.form != Form::data) {
    const bool joins =
        !fresh_.empty() && fresh_.back().begin + fresh_.back().bytes.size() == outside_bytes_ &&
        fresh_.back().bytes.size() < kExtentBytesMax / 2 && piece.begin == last_fresh_end_ &&
        source.akey == last_fresh_akey_ && source.dkey == last_fresh_dkey_;
    if (!joins) fresh_.push_back({outside_bytes_, {}, {}});
    Bytes& into = fresh_.back().bytes;
    into.resize(into.size() + bytes);
    copy_inlined(piece.value, 0, ByteSpan(into).last(bytes));
    outside_bytes_ += bytes;
    last_fresh_end_ = piece.end;
    last_fresh_akey_ = source.akey;
    last_fresh_dkey_ = source.dkey;
    change_bytes_ += kDataValueBytes;
    return;
  }
  const FlatContent::Akey& akey = content_.dkeys[source.dkey].akeys[source.akey];
  outside_bytes_ += bytes;
  outside_.push_back({piece.key, source.prefix,
                      akey.type == model::ValueType::single ? 0 : piece.end, outside_bytes_,
                      bytes});
  change_bytes_ += piece.key.size() + kDataValueBytes;
}

Result<void> FlatGather::place_source(Look& look, Source& source, bool all_inside) {
  FlatContent::Akey& akey = content_.dkeys[source.dkey].akeys[source.akey];
  const bool single = akey.type == model::ValueType::single;
  const uint64_t record_bytes = single ? 1 : akey.record_bytes;
  for (size_t i = 0; i < source.pieces.size() && goes_on();) {
    size_t end = i + 1;
    while (end < source.pieces.size() && source.pieces[end].begin == source.pieces[end - 1].end) {
      ++end;
    }
    const uint64_t begin = source.pieces[i].begin;
    const uint64_t count = source.pieces[end - 1].end - begin;
    const uint64_t bytes = count * record_bytes;
    // By sizes alone, so that the same content gives the same bytes.
    const bool inside = record_bytes <= kFlatInlineMax && (all_inside || bytes <= kFlatInlineMax);
    FlatContent::Value value{begin, count, !inside, {}};
    payload_bytes_ += inside ? bytes : 0;
    if (payload_bytes_ > options_.object_bytes_max) {
      stop(FlattenOutcome::too_large);
      return {};
    }
    value.payload.resize(inside ? bytes : 0);
    for (; i < end; ++i) {
      const Piece& piece = source.pieces[i];
      const uint64_t piece_bytes = (piece.end - piece.begin) * record_bytes;
      if (inside) {
        TRY(filled, fill(look, source, piece,
                         ByteSpan(value.payload)
                             .subspan((piece.begin - begin) * record_bytes, piece_bytes)));
      } else {
        leave_outside(source, piece, piece_bytes);
      }
    }
    akey.values.push_back(std::move(value));  // the payload's bytes stay where they are
  }
  return {};
}

Result<void> FlatGather::place_all(Look& look) {
  uint64_t data_bytes = 0;
  for (const Source& source : sources_) {
    const FlatContent::Akey& akey = content_.dkeys[source.dkey].akeys[source.akey];
    if (akey.type == model::ValueType::single) {
      const uint64_t bytes = source.pieces.front().value.payload_bytes;
      data_bytes += bytes > kFlatInlineMax ? bytes : 0;
      continue;
    }
    for (const Piece& piece : source.pieces) {
      if (piece.value.record_bytes != akey.record_bytes) {
        return fail(Errc::checksum, "extent: of another record size than its akey's");
      }
      data_bytes += piece.value.payload_bytes;
    }
  }
  for (Source& source : sources_) {
    TRY(placed, place_source(look, source, data_bytes <= options_.inline_bytes_max));
    if (!goes_on()) return {};
  }
  if (flat_bytes(content_) > options_.object_bytes_max) stop(FlattenOutcome::too_large);
  return {};
}

/// What takes it out again must fit a log record.
void FlatGather::check_inflated() {
  InflatedSize all;
  InflatedSize largest;
  size_t source = 0;
  for (size_t d = 0; d < content_.dkeys.size(); ++d) {
    const Key dkey_prefix = path_.dkey(content_.dkeys[d].key);
    InflatedSize own;
    own.add(dkey_prefix.size(), content_.dkeys[d].name.size());
    for (size_t a = 0; a < content_.dkeys[d].akeys.size(); ++a) {
      const FlatContent::Akey& akey = content_.dkeys[d].akeys[a];
      const uint64_t key_bytes = path_.akey(dkey_prefix, akey.key).size() + 10;
      own.add(key_bytes, akey.name.size());
      const bool single = akey.type == model::ValueType::single;
      for (const FlatContent::Value& value : akey.values) {
        if (single) {
          own.add_single(key_bytes, value.payload.size());
        } else {
          own.add(key_bytes, value.payload.size());
        }
      }
      const bool has =
          source < sources_.size() && sources_[source].dkey == d && sources_[source].akey == a;
      if (!has) continue;
      const size_t pieces = sources_[source++].pieces.size();
      own.bytes += pieces * (2 * key_bytes + kDataValueBytes);
    }
    largest.bytes = std::max(largest.bytes, own.bytes);
    largest.records = std::max(largest.records, own.records);
    all.records += own.records;
    all.bytes += own.bytes;
  }
  // Names are counted here, so that what is taken out whole has three times as many at most.
  const bool whole = all.records <= 3 * kInflatedWholeMax;
  const InflatedSize& most = whole ? all : largest;
  if (most.bytes > inflated_bytes_max(state_) || most.records > state_.inflated_records_max ||
      change_bytes_ > state_.record_bytes_max) {
    stop(FlattenOutcome::too_large);
  }
}

Result<void> FlatGather::look() {
  reset();
  if (!is_settled()) return {};
  TRY(already, is_flat_already());
  if (already) {
    stop(FlattenOutcome::already);
    return {};
  }
  result.epoch = 0;
  result.buffer_bytes = 0;
  TRY(out, take_out());
  const View view = view_before();
  TRY(walked, walk(view, [this](const Record& record) -> Result<bool> {
        TRY(added, add(record));
        check_so_far();
        return goes_on();
      }));
  if (goes_on()) check_unchanged();
  if (goes_on()) check_levels();
  if (!goes_on()) return {};
  Look look(state_, path_, view);
  TRY(placed, place_all(look));
  if (goes_on()) check_inflated();
  if (goes_on()) check_snapshots();
  return {};
}

void FlatGather::encode() {
  buffer = encode_flat(std::move(content_));
  checksum = load_le32(buffer.data() + offsetof(FlatHeader, checksum));
  sources_.clear();
  reads.clear();
}

void FlatGather::compressed_to(Bytes stored) {
  buffer = std::move(stored);
  checksum = load_le32(buffer.data() + offsetof(FlatHeader, checksum));
}

/// One record's part of the exchange.
Result<void> FlatGather::plan_exchange(Plan& plan, const Overlay& into, const Record& record,
                                       size_t& next) {
  const Key prefix = outside_prefix(path_.object());
  if (record.parsed.kind == Kind::checksums && !record.parsed.dkey.none) {
    const Key akey = path_.akey(path_.dkey(record.parsed.dkey), record.parsed.akey);
    // Its extent came shortly before.
    for (size_t i = next; i > 0 && as_chars(outside_[i - 1].prefix.view()) == as_chars(akey.view());
         --i) {
      if (outside_[i - 1].end != record.parsed.position) continue;
      const Key to = checksums_key(prefix, outside_[i - 1].to, record.parsed.chunk);
      if (!into.changes().contains(as_chars(record.key))) {
        plan.move(record.key, to);
        return {};
      }
      // The tree has it outside already: at this very key, or where another one goes.
      plan.put(to, record.raw);
      break;
    }
    plan.erase(record.key);
    return {};
  }
  TRY(value, parse_value(record.parsed.kind, record.raw));
  if (next < outside_.size() && as_chars(outside_[next].key.view()) == as_chars(record.key)) {
    const Outside& own = outside_[next++];
    put_extent_data(plan.scratch(), newest_, {own.bytes, 1, false}, value);
    plan.put(extent_key(prefix, own.to), plan.scratch());
  } else if (value.shared) {
    TRY(released, release_value(plan, object_.container, record.key, value));
  } else if (value.form == Form::data) {
    TRY(data, parse_data(value));
    for (const media::Extent& run : data.runs) plan.free(run);
  }
  plan.erase(record.key);
  return {};
}

Result<void> FlatGather::stage_outside() {
  for (Fresh& fresh : fresh_) {
    std::vector<IoVec> pieces{{fresh.bytes.data(), fresh.bytes.size()}};
    IoVecCursor from(pieces);
    auto made = stage(*state_.store, from, fresh.bytes.size());
    if (!made) {
      cancel_outside();
      return fail(made.error());
    }
    fresh.staged.emplace(std::move(*made));
    make_checksums(*fresh.staged);
    // Durable by itself.
    for (index::BatchData& data : fresh.staged->published) data.payload = {};
  }
  return {};
}

void FlatGather::add_writes(std::vector<index::Store::DataWrite>& writes) const {
  for (const Fresh& fresh : fresh_) {
    const auto& own = fresh.staged->writes;
    writes.insert(writes.end(), own.begin(), own.end());
  }
}

void FlatGather::cancel_outside() {
  for (Fresh& fresh : fresh_) {
    if (fresh.staged) state_.store->cancel_data(fresh.staged->data.runs);
    fresh.staged.reset();
  }
}

Result<bool> FlatGather::exchange(Overlay& into, index::Batch& batch, const FlatPlace& place) {
  if (!is_settled()) return false;
  TRY(out, take_out());
  uint64_t print = 0;
  TRY(compared, walk(view_before(), [&](const Record& record) -> Result<bool> {
        print = xxh3_64(record.raw, xxh3_64(record.key, print));
        return true;
      }));
  model::Epoch straddled = 0;
  for (const Snapshot& s : state_.snapshots.of(object_.container)) {
    if (s.epoch >= oldest_ && s.epoch < newest_) straddled = s.epoch;
  }
  if (print != print_ || straddled != 0) {
    stop(FlattenOutcome::changed);
    return false;
  }
  const bool was_flat = !before_.changes().empty();
  if (was_flat) {
    // Through what other objects change beside it: they may have shared an extent.
    TRY(taken, inflate(state_, path_, nullptr, into, cache_));
  }
  const View now = was_flat ? View(state_.tree(), &into, model::kEpochMax) : View(state_.tree());
  Plan plan(state_, path_, newest_, cache_, now);
  size_t next = 0;
  TRY(planned, walk(now, [&](const Record& record) -> Result<bool> {
        TRY(exchanged, plan_exchange(plan, into, record, next));
        return true;
      }));
  CHECK(next == outside_.size());  // the records are what they were
  for (const Fresh& fresh : fresh_) {
    plan.put_extent(outside_prefix(path_.object()), fresh.begin, {fresh.bytes.size(), 1, false},
                    newest_, fresh.staged->data);
    for (const index::BatchData& data : fresh.staged->published) plan.publish(data);
  }
  put_flat(plan.scratch(), {newest_, place, {}});
  plan.put(flat_key(path_.object()), plan.scratch());
  if (was_flat) {
    into.absorb(plan.batch());
  } else {
    batch.add(plan.batch());
  }
  return true;
}

void FlatGather::committed(model::Epoch epoch) {
  // Whoever has read an older state may not go on with it, and nothing comes in below.
  state_.punched.raise({Level::object, path_.object(), {}, {}}, epoch);
  state_.ended.raise_whole(path_.object(), newest_);
  result.epoch = newest_;
  result.buffer_bytes = buffer.size();
}

}  // namespace cairn::vos
