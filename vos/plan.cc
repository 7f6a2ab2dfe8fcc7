#include "vos/plan.h"

#include <algorithm>

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

Result<void> Plan::release_data(const Key& record_prefix, uint64_t end, const ValueView& value) {
  if (value.form != Form::data) return {};
  TRY(data, parse_data(value));
  const uint64_t blocks = data.block_count();
  for (const media::Extent& run : data.runs) free(run);
  if (!value.checksums_apart) return {};
  for (uint64_t chunk = 0; chunk * kChecksumsPerRecord < blocks; ++chunk) {
    erase(checksums_key(record_prefix, end, chunk));
  }
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

void Plan::trim_inlined(const Key& akey_prefix, const FoundExtent& extent,
                        std::span<const Span> left) {
  const ValueView& v = extent.value;
  Bytes bytes;
  for (const Span& part : left) {
    bytes.resize((part.end - part.begin) * v.record_bytes);
    copy_inlined(v, (part.begin - extent.begin) * v.record_bytes, bytes);
    const bool joined = v.joined && part.begin == extent.begin;
    put_extent_inlined(scratch_, v.epoch, {part.end - part.begin, v.record_bytes, joined}, bytes);
    put(extent_key(akey_prefix, part.end), scratch_);
  }
}

/// Records [part.begin, part.end) stand in blocks that another record keeps (or in the one after):
/// they become inline records, so that each block has one owner.
Result<void> Plan::copy_shared(const Key& akey_prefix, const FoundExtent& extent,
                               const BlockData& data, Span part) {
  const ValueView& v = extent.value;
  const uint64_t begin = data.skip + (part.begin - extent.begin) * v.record_bytes;
  const uint64_t end = data.skip + (part.end - extent.begin) * v.record_bytes;
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
  const uint64_t each = std::max<uint64_t>(1, kInlineBytesMax / v.record_bytes);
  for (uint64_t at = part.begin; at < part.end;) {
    const uint64_t count = std::min(each, part.end - at);
    put_extent_inlined(scratch_, v.epoch, {count, v.record_bytes, at != part.begin},
                       bytes.subspan((at - part.begin) * v.record_bytes, count * v.record_bytes));
    put(extent_key(akey_prefix, at + count), scratch_);
    at += count;
  }
  return {};
}

Result<void> Plan::trim_data(const Key& akey_prefix, const FoundExtent& extent,
                             std::span<const Span> left) {
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
  for (Span part : left) {
    bool joined = v.joined && part.begin == extent.begin;
    if (byte_of(part.begin) / kDataBlockBytes < unclaimed) {
      // The part's first records share a block with the part before it.
      const uint64_t border = unclaimed * kDataBlockBytes - data.skip;
      const uint64_t apart = extent.begin + (border + v.record_bytes - 1) / v.record_bytes;
      const Span shared{part.begin, std::min(apart, part.end)};
      TRY(copied, copy_shared(akey_prefix, extent, data, shared));
      part.begin = shared.end;
      joined = true;
      if (part.begin == part.end) continue;
    }
    const uint64_t first = byte_of(part.begin) / kDataBlockBytes;
    const uint64_t last = (byte_of(part.end) - 1) / kDataBlockBytes;
    free_blocks(data, unclaimed, first);
    unclaimed = last + 1;
    const auto skip = static_cast<uint32_t>(byte_of(part.begin) - first * kDataBlockBytes);
    put_extent(akey_prefix, part.begin, {part.end - part.begin, v.record_bytes, joined}, v.epoch,
               slice_blocks(data, first, last, skip));
  }
  free_blocks(data, unclaimed, blocks);
  return {};
}

Result<void> Plan::trim_extent(const Key& akey_prefix, const FoundExtent& extent,
                               std::span<const Span> left) {
  // An erase goes before the puts of this extent's parts; the last part may take the same key.
  if (left.empty() || left.back().end != extent.end) erase(extent_key(akey_prefix, extent.end));
  if (left.empty()) return release_data(akey_prefix, extent.end, extent.value);
  if (extent.value.form == Form::data) return trim_data(akey_prefix, extent, left);
  trim_inlined(akey_prefix, extent, left);
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
      TRY(trimmed, trim_extent(akey_prefix, extent, left));
      while (i < spans.size() && spans[i].end <= extent.end) ++i;
      TRY(moved, cursor.next());
    }
    if (beyond) ++i;
  }
  return {};
}

}  // namespace cairn::vos
