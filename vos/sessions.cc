#include "vos/sessions.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/endian.h"
#include "base/ordered_int.h"
#include "base/varint.h"
#include "vos/key_format.h"

namespace cairn::vos {

namespace {
// Value of a session record: epoch stamp, then varints: floor, count, count times (sequence above
// the one before it, epoch). Byte map: docs/formats/values.md.
constexpr size_t kEntriesPerRecord = 256;
// As many as updates may be in flight between two acknowledgements, mostly.
constexpr size_t kSpareEntriesMax = 128;
static_assert(kEntriesPerRecord * 20 + 32 <= index::kValueBytesMax);
}  // namespace

Sessions::Session& Sessions::touch(uint64_t session) {
  auto [it, added] = sessions_.try_emplace(session);
  it->second.used = ++uses_;
  if (added && sessions_.size() > sessions_max_) {
    forget_oldest();
    return sessions_.find(session)->second;
  }
  return it->second;
}

/// The table has a power of two of slots, three quarters of them in use, and grows before one more.
void Sessions::limit_bytes(uint64_t bytes) {
  const uint64_t slots = std::bit_floor(bytes / decltype(sessions_)::kSlotBytes);
  sessions_max_ = std::max<size_t>(slots - slots / 4, kSessionsMax + 1) - 1;
}

/// A sixteenth at once: a full table is looked through once for so many newcomers.
void Sessions::find_oldest() {
  std::vector<std::pair<uint64_t, uint64_t>> all;
  all.reserve(sessions_.size());
  for (const auto& [id, s] : sessions_) all.emplace_back(s.used, id);
  const auto end = all.begin() + static_cast<ptrdiff_t>((all.size() + 15) / 16);
  std::ranges::nth_element(all, end - 1);
  std::sort(all.begin(), end, std::greater<>());
  oldest_.assign(all.begin(), end);
}

void Sessions::forget_oldest() {
  CHECK(!sessions_.empty());
  auto oldest = sessions_.end();
  while (oldest == sessions_.end()) {
    if (oldest_.empty()) find_oldest();
    const auto [used, session] = oldest_.back();
    oldest_.pop_back();
    oldest = sessions_.find(session);
    if (oldest != sessions_.end() && oldest->second.used != used) oldest = sessions_.end();
  }
  entries_ -= oldest->second.window.size();
  // What was never saved leaves nothing to erase.
  const uint64_t chunks = oldest->second.saved_chunks;
  if (chunks != 0) forgotten_.emplace_back(oldest->first, chunks);
  sessions_.erase(oldest);
}

void Sessions::make_room() {
  while (entries_ > entries_max_ && sessions_.size() > 1) forget_oldest();
}

void Sessions::open(uint64_t session) { touch(session); }

void Sessions::drop_acknowledged(Session& s) {
  while (!s.window.empty() && s.window.begin()->first < s.floor) {
    auto node = s.window.extract(s.window.begin());
    if (spare_.size() < kSpareEntriesMax) spare_.push_back(std::move(node));
    --entries_;
  }
}

std::pair<Sessions::Window::iterator, bool> Sessions::note(Window& window, uint64_t sequence) {
  if (spare_.empty()) return window.try_emplace(sequence, 0);
  Window::node_type& node = spare_.back();
  node.key() = sequence;
  node.mapped() = 0;
  auto noted = window.insert(std::move(node));
  if (noted.inserted) {
    spare_.pop_back();
  } else {
    node = std::move(noted.node);
  }
  return {noted.position, noted.inserted};
}

Sessions::Answer Sessions::begin(uint64_t session, uint64_t sequence, uint64_t acknowledged_below) {
  auto found = sessions_.find(session);
  if (found == sessions_.end()) return {Verdict::unknown, 0};
  Session& s = found->second;
  s.used = ++uses_;
  if (acknowledged_below > s.floor) {
    s.floor = acknowledged_below;
    drop_acknowledged(s);
    s.changed = true;
  }
  if (sequence < s.floor) return {Verdict::unknown, 0};
  const auto [it, added] = note(s.window, sequence);
  if (!added) {
    return it->second == 0 ? Answer{Verdict::running, 0} : Answer{Verdict::done, it->second};
  }
  const size_t share = std::min(kSessionWindowMax, entries_max_ / sessions_.size());
  if (s.window.size() > kSessionWindowMax ||
      (entries_ >= entries_max_ && s.window.size() > share)) {
    s.window.erase(it);
    return {Verdict::full, 0};
  }
  ++entries_;
  make_room();
  return {Verdict::fresh, 0};
}

void Sessions::committed(uint64_t session, uint64_t sequence, model::Epoch epoch) {
  auto found = sessions_.find(session);
  if (found == sessions_.end()) return;  // forgotten while it ran
  auto entry = found->second.window.find(sequence);
  if (entry != found->second.window.end()) entry->second = epoch;
  found->second.changed = true;
}

void Sessions::failed(uint64_t session, uint64_t sequence) {
  auto found = sessions_.find(session);
  if (found != sessions_.end()) entries_ -= found->second.window.erase(sequence);
}

void Sessions::replayed(uint64_t session, uint64_t sequence, model::Epoch epoch) {
  Session& s = sessions_.try_emplace(session).first->second;
  s.used = ++uses_;
  entries_ += s.window.insert_or_assign(sequence, epoch).second ? 1 : 0;
  s.changed = true;
}

bool Sessions::runs(uint64_t session, uint64_t sequence) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return false;
  const auto entry = found->second.window.find(sequence);
  return entry != found->second.window.end() && entry->second == 0;
}

Sessions::Saving Sessions::save(index::Batch& batch, model::Epoch stamp, size_t count) const {
  Saving saving;
  for (; saving.forgotten < std::min(count, forgotten_.size()); ++saving.forgotten) {
    const auto& [session, chunks] = forgotten_[saving.forgotten];
    for (uint64_t c = 0; c < chunks; ++c) batch.erase(session_key(session, c));
  }
  // One of them may have been opened again: its new records must come after.
  if (saving.forgotten < forgotten_.size()) return saving;
  Bytes value;
  for (const auto& [id, s] : sessions_) {
    if (saving.chunks.size() == count) break;
    if (!s.changed) continue;
    std::vector<std::pair<uint64_t, model::Epoch>> entries;
    for (const auto& [sequence, epoch] : s.window) {
      if (epoch != 0) entries.emplace_back(sequence, epoch);
    }
    uint64_t chunk = 0;
    for (size_t i = 0; i < entries.size() || chunk == 0; i += kEntriesPerRecord, ++chunk) {
      const size_t n = std::min(kEntriesPerRecord, entries.size() - i);
      std::byte le[8];
      store_le64(le, stamp);
      value.assign(le, le + 8);
      put_varint(value, s.floor);
      put_varint(value, n);
      for (size_t k = i; k < i + n; ++k) {
        put_varint(value, entries[k].first);
        put_varint(value, entries[k].second);
      }
      batch.put(session_key(id, chunk), value);
    }
    for (uint64_t c = chunk; c < s.saved_chunks; ++c) batch.erase(session_key(id, c));
    saving.chunks.emplace_back(id, chunk);
  }
  return saving;
}

void Sessions::saved(const Saving& saving) {
  forgotten_.erase(forgotten_.begin(),
                   forgotten_.begin() + static_cast<ptrdiff_t>(saving.forgotten));
  for (const auto& [id, chunks] : saving.chunks) {
    const auto found = sessions_.find(id);
    CHECK(found != sessions_.end());  // the same step saved it
    found->second.saved_chunks = chunks;
    found->second.changed = false;
  }
}

Result<void> Sessions::load(ByteView key, ByteView value) {
  const auto bad = fail(Errc::checksum, "session record: malformed");
  uint64_t chunk = 0;
  if (key.size() < kRangePrefixBytes + 9 || value.size() < 8) return bad;
  const uint64_t id = load_be64(key.data() + kRangePrefixBytes);
  const ByteView tail = key.subspan(kRangePrefixBytes + 8);
  if (get_ordered_int(tail, &chunk) != tail.size()) return bad;
  ByteView in = value.subspan(8);
  uint64_t floor = 0;
  uint64_t count = 0;
  if (!take_varint(in, &floor) || !take_varint(in, &count) || count > kEntriesPerRecord) return bad;
  Session& s = sessions_.try_emplace(id).first->second;
  s.floor = std::max(s.floor, floor);
  s.saved_chunks = std::max(s.saved_chunks, chunk + 1);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t sequence = 0;
    model::Epoch epoch = 0;
    if (!take_varint(in, &sequence) || !take_varint(in, &epoch) || epoch == 0) return bad;
    entries_ += s.window.try_emplace(sequence, epoch).second ? 1 : 0;
  }
  return in.empty() ? Result<void>{} : Result<void>(bad);
}

void Sessions::trim() {
  oldest_.clear();
  const size_t all = sessions_.size();
  while (sessions_.size() > sessions_max_) forget_oldest();
  make_room();
  if (sessions_.size() == all) return;
  FlatMap<uint64_t, Session> kept;  // a table of its size
  for (auto& [id, s] : sessions_) kept.try_emplace(id, std::move(s));
  sessions_ = std::move(kept);
}

}  // namespace cairn::vos
