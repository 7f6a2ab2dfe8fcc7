#include "media/blob_store.h"

#include <algorithm>
#include <cstring>

#include "media/piece_device.h"

namespace cairn::media {
namespace {

constexpr uint64_t kZeroBytes = 1u << 20;

uint64_t rounded(uint64_t device_bytes) { return round_down(device_bytes, kBlobTableSlotBytes); }

/// Both places of a generation's table.
std::array<uint64_t, 2> places(uint64_t generation, uint64_t device_bytes) {
  const uint64_t slot = generation % 2 * kBlobTableSlotBytes;
  return {slot, device_bytes - kBlobTableTailBytes + slot};
}

/// A blob: its units, one after another.
class BlobDevice final : public PieceDevice {
 public:
  BlobDevice(Reactor& reactor, Device& below, const BlobTable::Blob& blob)
      : PieceDevice(reactor, blob.bytes), below_(below) {
    uint64_t at = 0;
    for (const BlobRun& run : blob.runs) {
      runs_.push_back({at, kBlobUnitsBegin + uint64_t{run.unit} * kBlobUnitBytes});
      at += uint64_t{run.count} * kBlobUnitBytes;
    }
    runs_.push_back({at, 0});
  }

  Task<Result<void>> flush() override { return below_.flush(); }
  uint64_t flush_domain() const override { return below_.flush_domain(); }
  bool wants_discard() const override { return below_.wants_discard(); }

  Result<std::unique_ptr<Device>> on(Reactor& reactor) const override {
    TRY(below, copy_to(reactor, below_));
    return std::unique_ptr<Device>(new BlobDevice(reactor, std::move(below), *this));
  }

 private:
  struct Run {
    uint64_t begin;  // in the blob
    uint64_t place;  // on the device
  };

  BlobDevice(Reactor& reactor, std::unique_ptr<Device> own, const BlobDevice& other)
      : PieceDevice(reactor, other.size_bytes()),
        own_(std::move(own)),
        below_(*own_),
        runs_(other.runs_) {}

  Piece piece_at(uint64_t offset, uint64_t bytes) const override {
    const auto after =
        std::upper_bound(runs_.begin(), runs_.end() - 1, offset,
                         [](uint64_t value, const Run& run) { return value < run.begin; });
    const Run& run = *(after - 1);
    return {&below_, run.place + (offset - run.begin), std::min(bytes, after->begin - offset)};
  }

  const std::unique_ptr<Device> own_;  // `below_` of one that has left its store's reactor
  Device& below_;
  std::vector<Run> runs_;  // ascending, and the end
};

Task<Result<void>> write_zeros(Device& device, uint64_t begin, uint64_t end) {
  AlignedBuffer zeros(kZeroBytes);
  while (begin < end) {
    const uint64_t part = std::min(kZeroBytes, end - begin);
    CO_TRY(written, co_await device.write(begin, zeros.view().first(part)));
    begin += part;
  }
  co_return Result<void>{};
}

Task<Result<void>> zero_blob(Device& blob, bool fill) {
  const uint64_t bytes = blob.size_bytes();
  const uint64_t edge = fill ? bytes : std::min(bytes, kZeroBytes);
  CO_TRY(head, co_await write_zeros(blob, 0, edge));
  if (!fill) {
    CO_TRY(tail, co_await write_zeros(blob, bytes - edge, bytes));
  }
  co_return co_await blob.flush();
}

}  // namespace

BlobStore::BlobStore(Reactor& reactor, std::unique_ptr<Device> device, BlobTable table)
    : reactor_(reactor), device_(std::move(device)), table_(std::move(table)), changed_(reactor) {}

Task<Result<bool>> BlobStore::is_blank(Device& device) {
  const uint64_t bytes = std::min(rounded(device.size_bytes()), kBlobTableSlotBytes);
  AlignedBuffer buffer(bytes);
  for (const uint64_t offset : {uint64_t{0}, rounded(device.size_bytes()) - bytes}) {
    CO_TRY(read, co_await device.read(offset, buffer.span()));
    const ByteView view = buffer.view();
    if (std::any_of(view.begin(), view.end(), [](std::byte b) { return b != std::byte{0}; })) {
      co_return false;
    }
  }
  co_return true;
}

Task<Result<std::unique_ptr<BlobStore>>> BlobStore::format(Reactor& reactor,
                                                           std::unique_ptr<Device> device,
                                                           Ids ids) {
  BlobTable table;
  table.device = ids.device;
  table.owner = ids.owner;
  table.device_bytes = rounded(device->size_bytes());
  if (blob_units(table.device_bytes) == 0) {
    co_return fail(Errc::no_space, "device: shorter than 10 MiB");
  }
  const uint64_t end = table.device_bytes;
  CO_TRY(head, co_await write_zeros(*device, 0, kBlobUnitsBegin));
  CO_TRY(tail, co_await write_zeros(*device, end - kBlobTableTailBytes, end));
  std::unique_ptr<BlobStore> store(new BlobStore(reactor, std::move(device), table));
  // Both slots, so that damage of one is never mistaken for a younger device.
  CO_TRY(first, co_await store->change(table));
  CO_TRY(second, co_await store->change(table));
  co_return std::move(store);
}

Task<Result<std::unique_ptr<BlobStore>>> BlobStore::open(Reactor& reactor,
                                                         std::unique_ptr<Device> device, Ids ids) {
  const uint64_t length = rounded(device->size_bytes());
  if (blob_units(length) == 0) co_return fail(Errc::format_invalid, "device: shorter than 10 MiB");
  AlignedBuffer buffer(kBlobTableSlotBytes);
  std::optional<BlobTable> newest;
  Error error{Errc::format_invalid, "device: holds no blob table"};
  std::vector<uint64_t> offsets{0, kBlobTableSlotBytes, length - kBlobTableTailBytes,
                                length - kBlobTableSlotBytes};
  for (const uint64_t offset : offsets) {
    CO_TRY(read, co_await device->read(offset, buffer.span()));
    auto parsed = parse_blob_table(buffer.view(), length);
    if (!parsed) {
      // What a newer version wrote, or damage, says more than "nothing there".
      if (error.code() != Errc::format_newer && parsed.error().code() != Errc::format_invalid) {
        error = parsed.error();
      }
    } else if (!newest || parsed->generation > newest->generation) {
      newest = std::move(*parsed);
    }
  }
  if (error.code() == Errc::format_newer || !newest) co_return fail(error);
  if (newest->owner != ids.owner || newest->device != ids.device) {
    co_return fail(Errc::format_invalid, "device: belongs to another home or system");
  }
  co_return std::unique_ptr<BlobStore>(
      new BlobStore(reactor, std::move(device), std::move(*newest)));
}

Task<void> BlobStore::enter() {
  while (changing_) co_await changed_.wait();
  changing_ = true;
}

void BlobStore::leave() {
  changing_ = false;
  changed_.wake_all();
}

Task<Result<void>> BlobStore::change(BlobTable next) {
  next.generation = table_.generation + 1;
  CO_TRY(bytes, encode_blob_table(next));
  AlignedBuffer out(bytes.size());
  std::memcpy(out.data(), bytes.data(), bytes.size());
  AlignedBuffer back(bytes.size());
  for (const uint64_t place : places(next.generation, next.device_bytes)) {
    CO_TRY(written, co_await device_->write(place, out.view()));
  }
  CO_TRY(flushed, co_await device_->flush());
  for (const uint64_t place : places(next.generation, next.device_bytes)) {
    CO_TRY(read, co_await device_->read(place, back.span()));
    if (std::memcmp(back.data(), out.data(), bytes.size()) != 0) {
      co_return fail(Errc::io, "device: a table did not read back as it was written");
    }
  }
  table_ = std::move(next);
  co_return Result<void>{};
}

Result<std::vector<BlobRun>> BlobStore::allocate(uint64_t units) const {
  std::vector<bool> used(blob_units(table_.device_bytes));
  for (const BlobTable::Blob& blob : table_.blobs) {
    for (const BlobRun& run : blob.runs) {
      std::fill_n(used.begin() + run.unit, run.count, true);
    }
  }
  std::vector<BlobRun> runs;
  for (uint32_t u = 0; u < used.size() && units != 0; ++u) {
    if (used[u]) continue;
    if (!runs.empty() && runs.back().unit + runs.back().count == u) {
      ++runs.back().count;
    } else {
      runs.push_back({u, 1});
    }
    --units;
  }
  if (units != 0) return fail(Errc::no_space, "device: not enough free space");
  return runs;
}

Task<Result<std::unique_ptr<Device>>> BlobStore::create(BlobId id, BlobCreate options) {
  if (options.bytes == 0 || options.bytes % kBlockBytes != 0) {
    co_return fail(Errc::invalid, "blob: the size must be a positive multiple of 4096");
  }
  co_await enter();
  const auto done = [&](Result<std::unique_ptr<Device>> result) {
    leave();
    return result;
  };
  if (open(id)) co_return done(fail(Errc::exists, "blob: exists already"));
  auto runs = allocate((options.bytes - 1) / kBlobUnitBytes + 1);
  if (!runs) co_return done(fail(runs.error()));
  BlobTable next = table_;
  next.blobs.push_back({id, options.bytes, std::move(*runs)});
  auto blob = std::make_unique<BlobDevice>(reactor_, *device_, next.blobs.back());
  // Zeros first: a blob in the table is one that can be opened.
  const auto zeroed = co_await zero_blob(*blob, options.fill);
  if (!zeroed) co_return done(fail(zeroed.error()));
  const auto changed = co_await change(std::move(next));
  if (!changed) co_return done(fail(changed.error()));
  co_return done(std::unique_ptr<Device>(std::move(blob)));
}

Result<std::unique_ptr<Device>> BlobStore::open(BlobId id) {
  for (const BlobTable::Blob& blob : table_.blobs) {
    if (blob.id == id) return std::make_unique<BlobDevice>(reactor_, *device_, blob);
  }
  return fail(Errc::nonexistent, "blob: not on this device");
}

Task<Result<void>> BlobStore::remove(Uuid owner) {
  co_await enter();
  BlobTable next = table_;
  std::vector<BlobTable::Blob> gone;
  for (const BlobTable::Blob& blob : table_.blobs) {
    if (blob.id.owner == owner) gone.push_back(blob);
  }
  std::erase_if(next.blobs, [&](const BlobTable::Blob& b) { return b.id.owner == owner; });
  Result<void> changed;
  if (!gone.empty()) changed = co_await change(std::move(next));
  if (changed) {
    // Still inside: nobody may get these units before the medium has forgotten them.
    for (const BlobTable::Blob& blob : gone) {
      BlobDevice device(reactor_, *device_, blob);
      co_await device.discard(0, blob.bytes);
    }
  }
  leave();
  co_return changed;
}

BlobSpace BlobStore::space() const {
  const uint64_t total = blob_units(table_.device_bytes);
  uint64_t used = 0;
  for (const BlobTable::Blob& blob : table_.blobs) {
    for (const BlobRun& run : blob.runs) used += run.count;
  }
  return {total * kBlobUnitBytes, (total - used) * kBlobUnitBytes};
}

}  // namespace cairn::media
