#include "media/blob_table_format.h"

#include <algorithm>
#include <cstring>

#include "base/hash.h"

namespace cairn::media {
namespace {

constexpr size_t kPadding = 4096;

uint64_t checksum_of(ByteView table) {
  Bytes copy(table.begin(), table.end());
  std::memset(copy.data() + offsetof(BlobTableHeader, checksum), 0, sizeof(U64le));
  return xxh3_64(copy, kBlobTableFormat);
}

bool is_zero(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

std::unexpected<Error> damaged() {
  return fail(Errc::checksum, "blob table: damaged");
}

Result<BlobTableHeader> parse_header(ByteView bytes) {
  BlobTableHeader header;
  if (bytes.size() < sizeof(header)) return damaged();
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kBlobTableMagic) return fail(Errc::format_invalid, "blob table: none here");
  const uint64_t length = header.bytes.get();
  if (length < sizeof(header) || length > std::min<uint64_t>(bytes.size(), kBlobTableSlotBytes) ||
      checksum_of(bytes.first(length)) != header.checksum.get()) {
    return damaged();
  }
  if (header.format.get() > kBlobTableFormat) {
    return fail(Errc::format_newer, "blob table: written by a newer version");
  }
  const uint64_t wanted = sizeof(header) +
                          uint64_t{header.blob_count.get()} * sizeof(BlobTableEntry) +
                          uint64_t{header.run_count.get()} * sizeof(BlobTableRun);
  if (header.format.get() != kBlobTableFormat || length != wanted ||
      header.unit_bytes.get() != kBlobUnitBytes || !is_zero(header.reserved)) {
    return damaged();
  }
  return header;
}

/// Takes the runs of one blob; `used` remembers whose units are taken.
Result<BlobTable::Blob> parse_blob(const BlobTableEntry& entry, std::span<const BlobTableRun> runs,
                                   std::vector<bool>& used) {
  BlobTable::Blob blob;
  if (entry.role.get() >= kBlobRoles || entry.reserved.get() != 0) return damaged();
  blob.id.owner.bytes = entry.owner;
  blob.id.number = entry.number.get();
  blob.id.role = static_cast<BlobRole>(entry.role.get());
  blob.bytes = entry.bytes.get();
  uint64_t units = 0;
  for (const BlobTableRun& r : runs) {
    const BlobRun run{r.unit.get(), r.count.get()};
    if (run.count == 0 || uint64_t{run.unit} + run.count > used.size()) return damaged();
    for (uint32_t u = run.unit; u < run.unit + run.count; ++u) {
      if (used[u]) return damaged();
      used[u] = true;
    }
    units += run.count;
    blob.runs.push_back(run);
  }
  if (blob.bytes == 0 || blob.bytes % kPadding != 0 ||
      units != (blob.bytes - 1) / kBlobUnitBytes + 1) {
    return damaged();
  }
  return blob;
}

}  // namespace

uint64_t blob_units(uint64_t device_bytes) {
  const uint64_t kept = kBlobUnitsBegin + kBlobTableTailBytes;
  if (device_bytes < kept) return 0;
  return std::min<uint64_t>((device_bytes - kept) / kBlobUnitBytes, UINT32_MAX);
}

Result<Bytes> encode_blob_table(const BlobTable& table) {
  size_t run_count = 0;
  for (const BlobTable::Blob& blob : table.blobs) run_count += blob.runs.size();
  const size_t length = sizeof(BlobTableHeader) + table.blobs.size() * sizeof(BlobTableEntry) +
                        run_count * sizeof(BlobTableRun);
  if (length > kBlobTableSlotBytes) {
    return fail(Errc::no_space, "blob table: too many blobs, or too many pieces of blobs");
  }
  Bytes out((length + kPadding - 1) / kPadding * kPadding);
  BlobTableHeader header{};
  header.magic = kBlobTableMagic;
  header.format = kBlobTableFormat;
  header.bytes = static_cast<uint32_t>(length);
  header.device = table.device.bytes;
  header.owner = table.owner.bytes;
  header.generation = table.generation;
  header.device_bytes = table.device_bytes;
  header.unit_bytes = kBlobUnitBytes;
  header.blob_count = static_cast<uint32_t>(table.blobs.size());
  header.run_count = static_cast<uint32_t>(run_count);
  std::byte* at = out.data() + sizeof(header);
  std::byte* run_at = at + table.blobs.size() * sizeof(BlobTableEntry);
  uint32_t run_first = 0;
  for (const BlobTable::Blob& blob : table.blobs) {
    BlobTableEntry entry{};
    entry.owner = blob.id.owner.bytes;
    entry.number = blob.id.number;
    entry.role = static_cast<uint32_t>(blob.id.role);
    entry.bytes = blob.bytes;
    entry.run_first = run_first;
    entry.run_count = static_cast<uint32_t>(blob.runs.size());
    std::memcpy(at, &entry, sizeof(entry));
    at += sizeof(entry);
    for (const BlobRun& run : blob.runs) {
      const BlobTableRun form{run.unit, run.count};
      std::memcpy(run_at, &form, sizeof(form));
      run_at += sizeof(form);
    }
    run_first += entry.run_count.get();
  }
  std::memcpy(out.data(), &header, sizeof(header));
  header.checksum = checksum_of(ByteView(out).first(length));
  std::memcpy(out.data(), &header, sizeof(header));
  return out;
}

Result<BlobTable> parse_blob_table(ByteView bytes, uint64_t device_bytes) {
  TRY(header, parse_header(bytes));
  if (header.device_bytes.get() > device_bytes) {
    return fail(Errc::format_invalid, "blob table: of a longer device");
  }
  std::vector<BlobTableEntry> entries(header.blob_count.get());
  std::vector<BlobTableRun> runs(header.run_count.get());
  const ByteView body = bytes.subspan(sizeof(header));
  const size_t entry_bytes = entries.size() * sizeof(BlobTableEntry);
  if (!entries.empty()) std::memcpy(entries.data(), body.data(), entry_bytes);
  if (!runs.empty()) {
    std::memcpy(runs.data(), body.data() + entry_bytes, runs.size() * sizeof(BlobTableRun));
  }
  BlobTable table;
  table.device.bytes = header.device;
  table.owner.bytes = header.owner;
  table.generation = header.generation.get();
  table.device_bytes = header.device_bytes.get();
  std::vector<bool> used(blob_units(table.device_bytes));
  uint32_t next = 0;
  for (const BlobTableEntry& entry : entries) {
    const uint64_t count = entry.run_count.get();
    if (entry.run_first.get() != next || count > runs.size() - next) return damaged();
    TRY(blob, parse_blob(entry, std::span(runs).subspan(next, count), used));
    const bool twice = std::any_of(table.blobs.begin(), table.blobs.end(),
                                   [&](const BlobTable::Blob& b) { return b.id == blob.id; });
    if (twice) return damaged();
    table.blobs.push_back(std::move(blob));
    next += static_cast<uint32_t>(count);
  }
  if (next != runs.size() || table.generation == 0) return damaged();
  return table;
}

}  // namespace cairn::media
