#include "sim/disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/endian.h"

namespace cairn::sim {

namespace {
// Of the sectors that were not flushed at a cut.
constexpr uint64_t kKeptPercent = 45;
constexpr uint64_t kTornPercent = 10;

/// Where there is something, if a few tries find it: most of a blob is zero.
void flip_one_bit(Random& random, ByteSpan bytes) {
  uint64_t at = random.below(bytes.size());
  for (int i = 0; i < 64 && bytes[at] == std::byte{0}; ++i) at = random.below(bytes.size());
  bytes[at] ^= static_cast<std::byte>(1u << random.below(8));
}
}  // namespace

SimDisk::SimDisk(Power& power, Random& random, std::string name, uint64_t bytes)
    : power_(power), random_(random), name_(std::move(name)), bytes_(bytes) {
  CHECK(bytes % media::kBlockBytes == 0);
}

SimDisk::Fate SimDisk::start(Op op) {
  before_event();
  ++power_.requests;
  ++requests_[static_cast<size_t>(op)];
  if (power_.requests == power_.cut_at) power_.on = false;
  for (Fault& fault : faults_) {
    if (fault.op != op) continue;
    if (fault.left > 1) {
      --fault.left;
      continue;
    }
    if (fault.left == 1) {
      fault.left = fault.for_ever ? 1 : 0;
      return {fault.error, fault.flip};
    }
  }
  return {};
}

void SimDisk::fail(Op op, uint64_t nth, Errc error, bool for_ever) {
  CHECK(nth > 0);
  faults_.push_back({op, nth, error, for_ever});
}

void SimDisk::flip(Op op, uint64_t nth) {
  CHECK(nth > 0 && op != Op::flush);
  faults_.push_back({op, nth, Errc::ok, false, true});
}

SimDisk::Image SimDisk::image() const {
  Image image{durable_, {}};
  std::map<uint64_t, Sectors> by_order;
  for (const auto& [sector, versions] : unflushed_) {
    for (const Version& v : versions) by_order[v.order][sector] = v.bytes;
  }
  for (auto& [order, sectors] : by_order) image.unflushed.push_back(std::move(sectors));
  return image;
}

void SimDisk::fill(uint64_t bytes) {
  const auto zeros = std::make_shared<const Bytes>(kSectorBytes);
  for (uint64_t sector = 0; sector < bytes / kSectorBytes; ++sector) {
    durable_.emplace(sector, zeros);
  }
}

void SimDisk::restore(Sectors durable) {
  durable_ = std::move(durable);
  unflushed_.clear();
}

SimDisk::Sector SimDisk::newest(uint64_t sector) const {
  auto pending = unflushed_.find(sector);
  if (pending != unflushed_.end()) return pending->second.back().bytes;
  auto found = durable_.find(sector);
  return found == durable_.end() ? nullptr : found->second;
}

/// What a read meets: of a write that is under way, each sector before or after it.
SimDisk::Sector SimDisk::met_by_read(uint64_t sector) {
  const auto pending = unflushed_.find(sector);
  if (!mixes_reads_ || pending == unflushed_.end()) return newest(sector);
  const std::vector<Version>& versions = pending->second;
  size_t at = versions.size();
  while (at > 0 && !versions[at - 1].done && random_.below(2) == 0) --at;
  if (at > 0) return versions[at - 1].bytes;
  const auto found = durable_.find(sector);
  return found == durable_.end() ? nullptr : found->second;
}

Bytes SimDisk::content(uint64_t sector) const {
  const Sector bytes = newest(sector);
  return bytes ? *bytes : Bytes(kSectorBytes);
}

Bytes SimDisk::peek(uint64_t offset, uint64_t bytes) const {
  Bytes out(bytes);
  copy_to(offset, out);
  return out;
}

void SimDisk::copy_to(uint64_t offset, ByteSpan into) const {
  for (size_t done = 0; done < into.size();) {
    const uint64_t at = offset + done;
    const size_t skip = at % kSectorBytes;
    const size_t part = std::min<size_t>(kSectorBytes - skip, into.size() - done);
    const Sector bytes = newest(at / kSectorBytes);
    if (bytes) {
      std::memcpy(into.data() + done, bytes->data() + skip, part);
    } else {
      std::memset(into.data() + done, 0, part);
    }
    done += part;
  }
}

std::vector<uint64_t> SimDisk::written_sectors() const {
  std::vector<uint64_t> sectors;
  for (const auto& [sector, bytes] : durable_) sectors.push_back(sector);
  return sectors;
}

void SimDisk::flip_bit(uint64_t offset, unsigned bit) {
  const uint64_t sector = offset / kSectorBytes;
  Bytes bytes = content(sector);
  bytes[offset % kSectorBytes] ^= static_cast<std::byte>(1u << bit);
  unflushed_.erase(sector);
  durable_[sector] = std::make_shared<const Bytes>(std::move(bytes));
}

void SimDisk::rot() {
  if (durable_.empty()) return;
  auto at = durable_.lower_bound(random_.below(durable_.rbegin()->first + 1));
  while (at != durable_.end() && unflushed_.contains(at->first)) ++at;
  if (at == durable_.end() || !at->second) return;
  Bytes bytes = *at->second;
  flip_one_bit(random_, bytes);
  const Sector before = std::exchange(at->second, std::make_shared<const Bytes>(std::move(bytes)));
  rotten_.push_back({at->first, before, at->second});
}

void SimDisk::undo_rot() {
  for (; !rotten_.empty(); rotten_.pop_back()) {
    const Rotten& one = rotten_.back();
    const auto at = durable_.find(one.sector);
    if (at != durable_.end() && at->second == one.after) at->second = one.before;
  }
}

void SimDisk::settle_after_cut() {
  for (auto& [sector, versions] : unflushed_) {
    const uint64_t dice = random_.below(100);
    const Version& pick = versions[random_.below(versions.size())];
    if (dice < kKeptPercent) {
      durable_[sector] = pick.bytes;
    } else if (dice < kKeptPercent + kTornPercent) {
      auto found = durable_.find(sector);
      Bytes torn = found == durable_.end() ? Bytes(kSectorBytes) : *found->second;
      const uint64_t cut = random_.below(kSectorBytes);
      std::memcpy(torn.data(), pick.bytes->data(), cut);
      durable_[sector] = std::make_shared<const Bytes>(std::move(torn));
    }
  }
  unflushed_.clear();
}

void SimDisk::settle_after_kill() {
  for (auto at = unflushed_.begin(); at != unflushed_.end();) {
    std::vector<Version>& versions = at->second;
    std::erase_if(versions, [this](Version& version) {
      if (version.done) return false;
      version.done = true;
      return random_.below(2) == 0;
    });
    at = versions.empty() ? unflushed_.erase(at) : std::next(at);
  }
}

/// What is read finds its sectors in order.
void SimDisk::give(uint64_t offset, ByteSpan into) {
  const uint64_t first = offset / kSectorBytes;
  auto lasting = durable_.lower_bound(first);
  auto pending = unflushed_.lower_bound(first);
  for (size_t at = 0; at < into.size(); at += kSectorBytes) {
    const uint64_t sector = (offset + at) / kSectorBytes;
    Sector mixed;
    const Bytes* bytes = nullptr;
    if (lasting != durable_.end() && lasting->first == sector) {
      bytes = lasting->second.get();
      ++lasting;
    }
    if (pending != unflushed_.end() && pending->first == sector) {
      mixed = met_by_read(sector);
      bytes = mixed.get();
      ++pending;
    }
    const ByteSpan part = into.subspan(at, kSectorBytes);
    if (bytes != nullptr) {
      std::memcpy(part.data(), bytes->data(), kSectorBytes);
    } else {
      std::memset(part.data(), 0, kSectorBytes);
    }
  }
}

Task<Result<void>> SimDisk::read(uint64_t offset, ByteSpan into) {
  const Fate fate = start(Op::read);
  Reactor& reactor = *reactor_;
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  if (fate.error != Errc::ok) co_return cairn::fail(fate.error, "simulated disk: read failed");
  if (offset + into.size() > bytes_)
    co_return cairn::fail(Errc::io, "simulated disk: beyond the end");
  give(offset, into);
  if (fate.flip) flip_one_bit(random_, into);
  co_return Result<void>{};
}

Task<Result<void>> SimDisk::write_any(uint64_t offset, ByteView from, bool durable) {
  const Fate fate = start(Op::write);
  const bool failed = fate.error != Errc::ok;
  Reactor& reactor = *reactor_;
  CHECK(offset % media::kBlockBytes == 0 && from.size() % media::kBlockBytes == 0);
  const uint64_t first = offset / kSectorBytes;
  const uint64_t count = from.size() / kSectorBytes;
  const uint64_t order = ++order_;
  if (offset + from.size() > bytes_)
    co_return cairn::fail(Errc::io, "simulated disk: beyond the end");
  const uint64_t flipped = fate.flip ? random_.below(count) : count;
  for (uint64_t i = 0; i < count; ++i) {
    if (failed && random_.below(2) == 0) continue;
    const ByteView sector = from.subspan(i * kSectorBytes, kSectorBytes);
    Bytes bytes(sector.begin(), sector.end());
    if (i == flipped) flip_one_bit(random_, bytes);
    unflushed_[first + i].push_back(
        {order, false, std::make_shared<const Bytes>(std::move(bytes))});
  }
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  before_event();
  for (uint64_t i = 0; i < count; ++i) {
    auto found = unflushed_.find(first + i);
    if (found == unflushed_.end()) continue;
    auto& versions = found->second;
    auto mine = std::find_if(versions.begin(), versions.end(),
                             [order](const Version& v) { return v.order == order; });
    if (mine == versions.end()) continue;
    mine->done = true;
    if (!durable || failed) continue;
    durable_[first + i] = mine->bytes;
    versions.erase(versions.begin(), mine + 1);
    if (versions.empty()) unflushed_.erase(found);
  }
  if (failed) co_return cairn::fail(fate.error, "simulated disk: write failed");
  co_return Result<void>{};
}

Task<Result<void>> SimDisk::write(uint64_t offset, ByteView from) {
  return write_any(offset, from, false);
}

Task<Result<void>> SimDisk::write_durable(uint64_t offset, ByteView from) {
  return write_any(offset, from, true);
}

/// What a flush that starts now covers: what has finished.
std::vector<SimDisk::Covered> SimDisk::coverable(bool overwrites_only) const {
  std::vector<Covered> covered;
  for (const auto& [sector, versions] : unflushed_) {
    if (overwrites_only && durable_.find(sector) == durable_.end()) continue;
    for (const Version& v : versions) {
      if (v.done) covered.push_back({sector, v.order});
    }
  }
  return covered;
}

void SimDisk::make_durable(const std::vector<Covered>& covered) {
  for (const auto& [sector, order] : covered) {
    auto found = unflushed_.find(sector);
    if (found == unflushed_.end()) continue;
    auto& versions = found->second;
    auto mine = std::find_if(versions.begin(), versions.end(),
                             [order = order](const Version& v) { return v.order == order; });
    if (mine == versions.end()) continue;
    durable_[sector] = mine->bytes;
    versions.erase(versions.begin(), mine + 1);
    if (versions.empty()) unflushed_.erase(found);
  }
}

bool SimDisk::flush_covers(uint64_t offset, uint64_t bytes) {
  if (!cache_) return false;
  for (uint64_t at = offset; at < offset + bytes; at += kSectorBytes) {
    if (durable_.find(at / kSectorBytes) == durable_.end()) return false;
  }
  return true;
}

Task<Result<void>> SimDisk::flush() {
  const Fate fate = start(Op::flush);
  Reactor& reactor = *reactor_;
  const std::vector<SimDisk*> alone{this};
  std::vector<std::pair<SimDisk*, std::vector<Covered>>> covered;
  for (SimDisk* disk : cache_ ? *cache_ : alone) {
    covered.emplace_back(disk, disk->coverable(disk != this));
  }
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  before_event();
  if (fate.error != Errc::ok) co_return cairn::fail(fate.error, "simulated disk: flush failed");
  for (const auto& [disk, versions] : covered) disk->make_durable(versions);
  co_return Result<void>{};
}

Bytes SimDisk::discarded() {
  Bytes bytes(kSectorBytes);
  if (discard_ == Discard::zeros) return bytes;
  for (size_t at = 0; at < bytes.size(); at += 8) store_le64(bytes.data() + at, random_.next());
  return bytes;
}

Task<void> SimDisk::discard(uint64_t offset, uint64_t bytes) {
  if (discard_ == Discard::ignored) co_return;
  CHECK(offset % media::kBlockBytes == 0 && bytes % media::kBlockBytes == 0);
  (void)start(Op::discard);
  Reactor& reactor = *reactor_;
  forget(offset, bytes);
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  before_event();
  // Who writes there meanwhile has a bug.
  forget(offset, bytes);
}

/// A sector that was never written holds zeros before and after.
void SimDisk::forget(uint64_t offset, uint64_t bytes) {
  if (discard_ == Discard::keeps) return;
  const uint64_t order = ++order_;
  const uint64_t first = offset / kSectorBytes, end = (offset + bytes) / kSectorBytes;
  for (auto at = durable_.lower_bound(first); at != durable_.end() && at->first < end; ++at) {
    unflushed_[at->first].push_back({order, true, std::make_shared<const Bytes>(discarded())});
  }
}

}  // namespace cairn::sim
