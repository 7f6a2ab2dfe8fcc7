#include "vos/plan.h"

#include <algorithm>

#include "vos/flat_pack.h"

namespace cairn::vos {

std::vector<Span> uncovered(Span whole, std::span<const Span> spans) {
  std::vector<Span> left;
  uint64_t at = whole.begin;
  for (const Span& s : spans) {
    if (s.begin >= whole.end) break;
    if (s.end <= at) continue;
    if (s.begin > at) left.push_back({at, s.begin});
    at = s.end;
    if (at >= whole.end) return left;
  }
  left.push_back({at, whole.end});
  return left;
}

BlockData slice_blocks(const BlockData& data, uint64_t first, uint64_t last, uint32_t skip) {
  BlockData slice;
  slice.skip = skip;
  uint64_t at = 0;
  for (const media::Extent& run : data.runs) {
    const uint64_t from = std::max(first, at);
    const uint64_t to = std::min(last + 1, at + run.count);
    if (from < to) {
      slice.runs.push_back({run.block + (from - at), static_cast<uint32_t>(to - from)});
    }
    at += run.count;
  }
  slice.crcs.assign(data.crcs.begin() + static_cast<ptrdiff_t>(first),
                    data.crcs.begin() + static_cast<ptrdiff_t>(last) + 1);
  return slice;
}

void Plan::put(ByteView key, ByteView value) {
  batch_.put(key, value);
  bytes_ += key.size() + value.size() + 8;
}

void Plan::erase(ByteView key) {
  batch_.erase(key);
  bytes_ += key.size() + 4;
}

void Plan::move(ByteView from, ByteView to) {
  batch_.move(from, to);
  bytes_ += from.size() + to.size() + 8;
}

void Plan::free(const media::Extent& run) {
  batch_.free(run);
  bytes_ += 14;  // two varints
}

void Plan::publish(const index::BatchData& data) {
  batch_.publish(data);
  bytes_ += 18;
}

void Plan::free_blocks(const BlockData& data, uint64_t first, uint64_t last) {
  if (first >= last) return;
  for (const media::Extent& run : slice_blocks(data, first, last - 1, 0).runs) {
    free(run);
  }
}

model::Epoch Plan::slot_of(model::Epoch begin, model::Epoch end) const {
  return keeps_history_ ? look_.state().snapshots.newest_in(container_, begin, end) : 0;
}

void Plan::note_ended(ByteView level_prefix) {
  look_.state().ended.raise(level_prefix, epoch_);
}

Result<void> Plan::end_record(ByteView key, Kind kind, ByteView raw, model::Epoch ended,
                              Ending ending) {
  TRY(levels, level_bytes(key));
  const model::Epoch epoch = epoch_of(raw);
  TRY(at, look_.ended_at(key, epoch, ended));
  EndedVersions& table = look_.state().ended;
  table.raise(key.first(levels.object), at);
  if (levels.dkey != 0) table.raise(key.first(levels.dkey), at);
  // A flat record, or what stands outside of a buffer: it is of dkeys that it does not name.
  if (levels.dkey == 0 && kind != Kind::touched) table.raise_whole(key.first(levels.object), at);
  if (ending == Ending::removed) erase(key);
  if (const model::Epoch slot = slot_of(epoch, at); slot != 0) {
    put(history_key(key, slot), raw);
    return {};
  }
  if (kind == Kind::flat) return release_flat(*this, container_, raw);
  TRY(value, parse_value(kind, raw));
  if (value.form != Form::data) return {};
  if (value.shared) return release_value(*this, container_, key, value);
  TRY(data, parse_data(value));
  for (const media::Extent& run : data.runs) free(run);
  return {};
}

Result<void> Plan::end_checksums(const Key& record_prefix, uint64_t end, const ValueView& value,
                                 Ending ending) {
  if (!value.checksums_apart) return {};
  TRY(data, parse_data(value));
  const uint64_t blocks = data.block_count();
  for (uint64_t c = 0; c * kChecksumsPerRecord < blocks; ++c) {
    const Key key = checksums_key(record_prefix, end, c);
    TRY(found, look_.view().get(key));
    if (!found) return fail(Errc::checksum, "extent: its checksum record is missing");
    TRY(ended, end_record(key, Kind::checksums, *found, epoch_, ending));
  }
  return {};
}

Result<void> Plan::end_value(const Key& record_prefix, uint64_t end, ByteView key, Kind kind,
                             ByteView raw, Ending ending) {
  TRY(value, parse_value(kind, raw));
  // The value that replaces it need not have checksum records.
  TRY(checksums, end_checksums(record_prefix, end, value, Ending::removed));
  return end_record(key, kind, raw, epoch_, ending);
}

Result<void> Plan::put_mark(const Key& key, Kind kind, ByteView value) {
  TRY(levels, level_bytes(key));
  note_ended(key.view().first(levels.object));
  if (levels.dkey != 0) note_ended(key.view().first(levels.dkey));
  if (keeps_history_) {
    TRY(old, look_.view().get(key));
    if (old) {
      TRY(ended, end_record(key, kind, *old, epoch_, Ending::replaced));
    }
  }
  put(key, value);
  return {};
}

void Plan::put_checksum_records(const Key& record_prefix, uint64_t end, model::Epoch epoch,
                                const BlockData& data) {
  if (data.crcs.size() <= kInlineChecksumsMax) return;
  const std::span<const uint32_t> crcs(data.crcs);
  for (size_t i = 0; i < crcs.size(); i += kChecksumsPerRecord) {
    put_checksums(scratch_, epoch, crcs.subspan(i, std::min(kChecksumsPerRecord, crcs.size() - i)));
    put(checksums_key(record_prefix, end, i / kChecksumsPerRecord), scratch_);
  }
}

void Plan::put_extent(const Key& akey_prefix, uint64_t begin, ExtentShape shape, model::Epoch epoch,
                      const BlockData& data) {
  const uint64_t end = begin + shape.count;
  put_extent_data(scratch_, epoch, shape, data);
  put(extent_key(akey_prefix, end), scratch_);
  put_checksum_records(akey_prefix, end, epoch, data);
}

namespace {

/// The akey's keys in the live range, or in a slot.
Key prefix_in(const Key& akey_prefix, model::Epoch slot) {
  return slot == 0 ? akey_prefix : history_key(akey_prefix, slot);
}

/// All parts but the first continue the one before them.
bool joined_part(const FoundExtent& extent, const Span& part) {
  return part.begin != extent.begin || extent.value.joined;
}

}  // namespace

void Plan::trim_inlined(const Key& akey_prefix, const FoundExtent& extent,
                        std::span<const Part> parts) {
  const ValueView& v = extent.value;
  Bytes bytes;
  for (const Part& p : parts) {
    const uint64_t count = p.span.end - p.span.begin;
    bytes.resize(count * v.record_bytes);
    copy_inlined(v, (p.span.begin - extent.begin) * v.record_bytes, bytes);
    put_extent_inlined(scratch_, v.epoch, {count, v.record_bytes, joined_part(extent, p.span)},
                       bytes);
    put(extent_key(prefix_in(akey_prefix, p.slot), p.span.end), scratch_);
  }
}

/// The part's records stand in blocks that another record keeps (or in the one after): they become
/// inline records, so that each block has one owner.
Result<void> Plan::copy_shared(const Key& akey_prefix, const FoundExtent& extent,
                               const BlockData& data, Part part) {
  const ValueView& v = extent.value;
  const Span span = part.span;
  const uint64_t begin = data.skip + (span.begin - extent.begin) * v.record_bytes;
  const uint64_t end = data.skip + (span.end - extent.begin) * v.record_bytes;
  const uint64_t first = begin / kDataBlockBytes;
  Bytes window;
  bool missing = false;
  for (uint64_t b = first; b * kDataBlockBytes < end; ++b) {
    const Bytes* block = cache_.find(data.block_at(b), data.crcs[b]);
    missing = missing || block == nullptr;
    if (block != nullptr) window.insert(window.end(), block->begin(), block->end());
  }
  if (missing) return fail(Errc::page_absent, "a block must be read first");
  const ByteView bytes = ByteView(window).subspan(begin - first * kDataBlockBytes, end - begin);
  const Key prefix = prefix_in(akey_prefix, part.slot);
  const uint64_t each = std::max<uint64_t>(1, kInlineBytesMax / v.record_bytes);
  for (uint64_t at = span.begin; at < span.end;) {
    const uint64_t count = std::min(each, span.end - at);
    put_extent_inlined(scratch_, v.epoch, {count, v.record_bytes, true},
                       bytes.subspan((at - span.begin) * v.record_bytes, count * v.record_bytes));
    put(extent_key(prefix, at + count), scratch_);
    at += count;
  }
  return {};
}

Result<void> Plan::trim_data(const Key& akey_prefix, const FoundExtent& extent,
                             std::span<const Part> parts) {
  const ValueView& v = extent.value;
  TRY(data, look_.block_data(akey_prefix, extent.end, v));
  const uint64_t blocks = data.block_count();
  if (v.checksums_apart) {
    for (uint64_t c = 0; c * kChecksumsPerRecord < blocks; ++c) {
      erase(checksums_key(akey_prefix, extent.end, c));
    }
  }
  const auto byte_of = [&](uint64_t record) {
    return data.skip + (record - extent.begin) * v.record_bytes;
  };
  uint64_t unclaimed = 0;  // first block that no part has claimed yet
  for (Part part : parts) {
    bool joined = joined_part(extent, part.span);
    if (byte_of(part.span.begin) / kDataBlockBytes < unclaimed) {
      // The part's first records share a block with the part before it.
      const uint64_t border = unclaimed * kDataBlockBytes - data.skip;
      const uint64_t apart = extent.begin + (border + v.record_bytes - 1) / v.record_bytes;
      const Part shared{{part.span.begin, std::min(apart, part.span.end)}, part.slot};
      TRY(copied, copy_shared(akey_prefix, extent, data, shared));
      part.span.begin = shared.span.end;
      joined = true;
      if (part.span.begin == part.span.end) continue;
    }
    const uint64_t first = byte_of(part.span.begin) / kDataBlockBytes;
    const uint64_t last = (byte_of(part.span.end) - 1) / kDataBlockBytes;
    free_blocks(data, unclaimed, first);
    unclaimed = last + 1;
    const auto skip = static_cast<uint32_t>(byte_of(part.span.begin) - first * kDataBlockBytes);
    put_extent(prefix_in(akey_prefix, part.slot), part.span.begin,
               {part.span.end - part.span.begin, v.record_bytes, joined}, v.epoch,
               slice_blocks(data, first, last, skip));
  }
  free_blocks(data, unclaimed, blocks);
  return {};
}

Result<void> Plan::trim_extent(const Key& akey_prefix, const FoundExtent& extent, ByteView raw,
                               std::span<const Span> left) {
  const Key key = extent_key(akey_prefix, extent.end);
  if (left.empty()) {
    return end_value(akey_prefix, extent.end, key, Kind::extent, raw, Ending::removed);
  }
  TRY(levels, level_bytes(key));
  note_ended(key.view().first(levels.object));
  note_ended(key.view().first(levels.dkey));
  const model::Epoch slot = slot_of(extent.value.epoch, epoch_);
  std::vector<Part> parts;
  uint64_t at = extent.begin;
  const auto keep_covered = [&](uint64_t end) {
    if (slot != 0 && at < end) parts.push_back({{at, end}, slot});
  };
  for (const Span& span : left) {
    keep_covered(span.begin);
    parts.push_back({span, 0});
    at = span.end;
  }
  keep_covered(extent.end);
  // An erase goes before the puts of this extent's parts; the last part may take the same key.
  if (left.back().end != extent.end) erase(key);
  if (extent.value.form == Form::data) return trim_data(akey_prefix, extent, parts);
  trim_inlined(akey_prefix, extent, parts);
  return {};
}

Result<void> Plan::clear_spans(const Key& akey_prefix, Floor floor, std::span<const Span> spans) {
  const Key extents = record_key(akey_prefix, Kind::extent);
  size_t i = 0;
  while (i < spans.size()) {
    View::Cursor cursor(look_.view(), akey_prefix);
    TRY(sought, cursor.seek(extent_key(akey_prefix, spans[i].begin + 1)));
    bool beyond = false;
    while (!beyond && i < spans.size()) {
      if (!cursor.valid() || !starts_with(cursor.key(), extents)) return {};
      TRY(tail, parse_tail(cursor.key().subspan(akey_prefix.size())));
      TRY(extent, parse_extent(tail.position, cursor.value()));
      beyond = extent.begin >= spans[i].end;
      if (beyond) break;
      std::vector<Span> left;
      if (extent.value.epoch > floor) {
        left = uncovered({extent.begin, extent.end}, spans.subspan(i));
      }
      TRY(trimmed, trim_extent(akey_prefix, extent, cursor.value(), left));
      while (i < spans.size() && spans[i].end <= extent.end) ++i;
      TRY(moved, cursor.next());
    }
    if (beyond) ++i;
  }
  return {};
}

}  // namespace cairn::vos
