// Data of files: byte arrays.
#include <algorithm>

#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

using client::CellRange;
using client::CellRanges;

/// Leaves the ranges that are not empty, in the caller's order; checks them against the buffer.
FsResult<void> check_ranges(CellRanges& ranges, const IoVecs& buffer) {
  uint64_t room = 0, wanted = 0;
  for (const IoVec& piece : buffer) room += piece.bytes;
  erase_if(ranges, [](const CellRange& r) { return r.count == 0; });
  for (const CellRange& range : ranges) {
    if (__builtin_add_overflow(wanted, range.count, &wanted)) {
      return fs_fail(EINVAL, "dfs: byte ranges are longer than memory");
    }
    if (range.index > ~uint64_t{0} - (range.count - 1)) {
      return fs_fail(EINVAL, "dfs: a byte range ends beyond 2^64");
    }
  }
  if (wanted != room) return fs_fail(EINVAL, "dfs: byte ranges and buffers differ in length");
  if (ranges.size() < 2) return done();
  CellRanges sorted = ranges;
  std::sort(sorted.begin(), sorted.end(),
            [](const CellRange& a, const CellRange& b) { return a.index < b.index; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].index - sorted[i - 1].index < sorted[i - 1].count) {
      return fs_fail(EINVAL, "dfs: byte ranges overlap");
    }
  }
  return done();
}

FsResult<void> check_file(const Node& file) {
  if (!file.is_file()) return fs_fail(EINVAL, "dfs: not a regular file");
  return done();
}

}  // namespace

Task<FsResult<uint64_t>> Mount::read(const Node& file, CellRanges ranges,
                                     IoVecs buffer) {
  CO_TRY(typed, check_file(file));
  if (!file.readable()) co_return fs_fail(EPERM, "dfs: the file was opened for writing only");
  CO_TRY(checked, check_ranges(ranges, buffer));
  if (ranges.empty()) co_return uint64_t{0};
  CO_TRY(got, co_await client::array_read(container_, file.oid, shape_of(file.chunk_bytes),
                                          std::move(ranges), std::move(buffer), true));
  co_return got.cells_read;
}

Task<FsResult<void>> Mount::write(const Node& file, CellRanges ranges,
                                  IoVecs buffer) {
  CO_TRY(allowed, check_writable());
  CO_TRY(typed, check_file(file));
  if (!file.writable()) co_return fs_fail(EPERM, "dfs: the file was opened read-only");
  CO_TRY(checked, check_ranges(ranges, buffer));
  if (ranges.empty()) co_return done();
  CO_TRY(written, co_await client::array_write(container_, file.oid, shape_of(file.chunk_bytes),
                                               std::move(ranges), std::move(buffer)));
  co_return done();
}

Task<FsResult<uint64_t>> Mount::size(const Node& file) {
  CO_TRY(typed, check_file(file));
  co_return co_await size_of(file.oid, file.chunk_bytes);
}

Task<FsResult<uint64_t>> Mount::size_of(model::ObjectId oid, uint64_t chunk_bytes) {
  if (chunk_bytes == 0 || oid.type() != kFileType) {
    co_return fs_fail(EINVAL, "dfs: not the object of a file, or no chunk size");
  }
  CO_TRY(bytes, co_await client::array_size(container_, oid, shape_of(chunk_bytes)));
  co_return bytes;
}

Task<FsResult<void>> Mount::set_size(const Entry& entry, uint64_t bytes) {
  const client::ArrayShape shape = shape_of(entry.chunk_bytes);
  CO_TRY(size, co_await client::array_size(container_, entry.oid, shape));
  if (size == bytes) co_return done();
  CO_TRY(resized, co_await client::array_set_size(container_, entry.oid, shape, bytes));
  co_return done();
}

Task<FsResult<void>> Mount::punch(const Node& file, uint64_t offset, uint64_t bytes) {
  constexpr uint64_t kToTheEnd = ~uint64_t{0};
  CO_TRY(allowed, check_writable());
  CO_TRY(typed, check_file(file));
  if (!file.writable()) co_return fs_fail(EPERM, "dfs: the file was opened read-only");
  if (bytes == 0) co_return done();
  const client::ArrayShape shape = shape_of(file.chunk_bytes);
  CO_TRY(size, co_await client::array_size(container_, file.oid, shape));
  if (size == offset || (offset > size && bytes != kToTheEnd)) co_return done();
  if (bytes == kToTheEnd || bytes >= size - offset) {
    CO_TRY(resized, co_await client::array_set_size(container_, file.oid, shape, offset));
    co_return done();
  }
  CellRanges hole{{offset, bytes}};
  CO_TRY(punched, co_await client::array_punch(container_, file.oid, shape, std::move(hole)));
  co_return done();
}

Task<FsResult<void>> Mount::note_final(const Node& node) {
  CO_TRY(allowed, check_writable());
  if (!node.writable()) co_return fs_fail(EPERM, "dfs: it was opened read-only");
  if (node.is_link()) co_return done();  // all of it is in its entry
  CO_TRY(told, co_await container_->note_final({node.oid}));
  co_return done();
}

}  // namespace cairn::dfs
