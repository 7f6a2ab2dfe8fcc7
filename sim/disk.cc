#include "sim/disk.h"

#include <algorithm>
#include <cstring>

namespace cairn::sim {

namespace {
// Of the sectors that were not flushed at a cut.
constexpr uint64_t kKeptPercent = 45;
constexpr uint64_t kTornPercent = 10;
}  // namespace

SimDisk::SimDisk(Power& power, Random& random, std::string name, uint64_t bytes)
    : power_(power), random_(random), name_(std::move(name)), bytes_(bytes) {
  CHECK(bytes % media::kBlockBytes == 0);
}

Errc SimDisk::start(Op op) {
  ++power_.requests;
  if (power_.requests == power_.cut_at) power_.on = false;
  for (Fault& fault : faults_) {
    if (fault.op != op) continue;
    if (fault.left > 1) {
      --fault.left;
      continue;
    }
    if (fault.left == 1) {
      fault.left = fault.for_ever ? 1 : 0;
      return fault.error;
    }
  }
  return Errc::ok;
}

void SimDisk::fail(Op op, uint64_t nth, Errc error, bool for_ever) {
  CHECK(nth > 0);
  faults_.push_back({op, nth, error, for_ever});
}

SimDisk::Sector SimDisk::newest(uint64_t sector) const {
  auto pending = unflushed_.find(sector);
  if (pending != unflushed_.end()) return pending->second.back().bytes;
  auto found = durable_.find(sector);
  return found == durable_.end() ? nullptr : found->second;
}

Bytes SimDisk::content(uint64_t sector) const {
  const Sector bytes = newest(sector);
  return bytes ? *bytes : Bytes(kSectorBytes);
}

Bytes SimDisk::peek(uint64_t offset, uint64_t bytes) const {
  Bytes out;
  for (uint64_t s = offset / kSectorBytes; s * kSectorBytes < offset + bytes; ++s) {
    const Bytes sector = content(s);
    out.insert(out.end(), sector.begin(), sector.end());
  }
  const auto begin = out.begin() + static_cast<ptrdiff_t>(offset % kSectorBytes);
  return Bytes(begin, begin + static_cast<ptrdiff_t>(bytes));
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

Task<Result<void>> SimDisk::read(uint64_t offset, ByteSpan into) {
  const Errc fault = start(Op::read);
  Reactor& reactor = *reactor_;
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  if (fault != Errc::ok) co_return cairn::fail(fault, "simulated disk: read failed");
  if (offset + into.size() > bytes_)
    co_return cairn::fail(Errc::io, "simulated disk: beyond the end");
  const Bytes bytes = peek(offset, into.size());
  std::memcpy(into.data(), bytes.data(), bytes.size());
  co_return Result<void>{};
}

Task<Result<void>> SimDisk::write_any(uint64_t offset, ByteView from, bool durable) {
  const Errc fault = start(Op::write);
  Reactor& reactor = *reactor_;
  CHECK(offset % media::kBlockBytes == 0 && from.size() % media::kBlockBytes == 0);
  const uint64_t first = offset / kSectorBytes;
  const uint64_t count = from.size() / kSectorBytes;
  const uint64_t order = ++order_;
  if (offset + from.size() > bytes_)
    co_return cairn::fail(Errc::io, "simulated disk: beyond the end");
  for (uint64_t i = 0; i < count; ++i) {
    if (fault != Errc::ok && random_.below(2) == 0) continue;
    const ByteView sector = from.subspan(i * kSectorBytes, kSectorBytes);
    unflushed_[first + i].push_back(
        {order, false, std::make_shared<const Bytes>(sector.begin(), sector.end())});
  }
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  for (uint64_t i = 0; i < count; ++i) {
    auto found = unflushed_.find(first + i);
    if (found == unflushed_.end()) continue;
    auto& versions = found->second;
    auto mine = std::find_if(versions.begin(), versions.end(),
                             [order](const Version& v) { return v.order == order; });
    if (mine == versions.end()) continue;
    mine->done = true;
    if (!durable || fault != Errc::ok) continue;
    durable_[first + i] = mine->bytes;
    versions.erase(versions.begin(), mine + 1);
    if (versions.empty()) unflushed_.erase(found);
  }
  if (fault != Errc::ok) co_return cairn::fail(fault, "simulated disk: write failed");
  co_return Result<void>{};
}

Task<Result<void>> SimDisk::write(uint64_t offset, ByteView from) {
  return write_any(offset, from, false);
}

Task<Result<void>> SimDisk::write_durable(uint64_t offset, ByteView from) {
  return write_any(offset, from, true);
}

Task<Result<void>> SimDisk::flush() {
  const Errc fault = start(Op::flush);
  Reactor& reactor = *reactor_;
  const uint64_t until = order_;
  // Only what had finished before this call is covered.
  std::vector<std::pair<uint64_t, uint64_t>> covered;
  for (const auto& [sector, versions] : unflushed_) {
    for (const Version& v : versions) {
      if (v.done && v.order <= until) covered.emplace_back(sector, v.order);
    }
  }
  if (!power_.on) co_await std::suspend_always{};
  co_await reactor.sleep(1 + random_.below(power_.delay_max));
  if (!power_.on) co_await std::suspend_always{};
  if (fault != Errc::ok) co_return cairn::fail(fault, "simulated disk: flush failed");
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
  co_return Result<void>{};
}

Task<void> SimDisk::discard(uint64_t, uint64_t) { co_return; }

}  // namespace cairn::sim
