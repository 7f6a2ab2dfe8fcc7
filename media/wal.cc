#include "media/wal.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "media/wal_format.h"
#include "media/wal_gather.h"

namespace cairn::media {
namespace {

constexpr uint64_t kReserveBytesMax = 1u << 20;
constexpr size_t kBufferBytesMin = 64u << 10;
constexpr size_t kPooledBuffersMax = 8;
// A batch waits for the end of the turn only while fewer writes than this are in flight. One more
// than one lets the CPU work on one group's answers while the other's write is under way; with
// more, a crowd of writers would fall apart into many small writes.
constexpr size_t kEagerWritesMax = 2;
// An open batch of this size uses a free slot at once: it gains nothing from waiting.
constexpr size_t kBusyBatchBytes = 64u << 10;
// The same where its write brings a flush that has to wait for the one before.
constexpr size_t kBusyFlushBytes = 256u << 10;

struct Batch {
  Lsn begin = 0;
  uint64_t used = 0;   // header and records
  uint64_t bytes = 0;  // with padding, once sealed
  uint32_t record_count = 0;
  Lsn complete = 0;       // as its header says
  bool plain = false;     // written without a flush: one follows, with that of its records' data
  bool landed = false;    // in the device's cache
  bool flushing = false;  // landed before the flush that is under way
  bool written = false;   // durable
  AlignedBuffer buffer;
};

/// A record that waits for its data.
struct PendingData {
  Lsn lsn;
  Lsn before;  // what is complete when everything before this record is
  Wal::Data kind;
  bool written = false;
  bool flushing = false;  // written before the flush that is under way
  bool done = false;      // durable
};

struct Waiter {
  Lsn lsn;
  uint64_t order;
  std::coroutine_handle<> handle;
  bool* queued;  // in the frame that waits; false once it is woken
};
/// std::push_heap keeps the greatest in front; the nearest position, then the earliest, is wanted
/// there.
bool later(const Waiter& a, const Waiter& b) {
  return a.lsn != b.lsn ? a.lsn > b.lsn : a.order > b.order;
}

}  // namespace

struct Wal::State : std::enable_shared_from_this<Wal::State> {
  State(Reactor& reactor_in, Device& device_in)
      : reactor(reactor_in),
        device(device_in),
        flushes_queue(device.flush_domain() != 0),
        idle(reactor) {}

  Reactor& reactor;
  Device& device;
  // A durable write brings a flush of the disk's cache, and the kernel runs those one by one.
  const bool flushes_queue;
  WalOptions options;
  uint64_t ring = 0;
  uint64_t reserve = 0;
  uint32_t incarnation = 0;
  uint32_t predecessor = 0;  // checksum of the newest sealed batch
  uint64_t log = 0;
  WalStamp stamp;
  Lsn trimmed = 0;
  Lsn sealed_end = 0;   // end of the newest sealed batch; the open one begins here
  Lsn written_end = 0;  // all batches up to here are on media
  Lsn complete = 0;
  Lsn complete_recorded = 0;
  Lsn appended = 0;
  uint64_t write_count = 0;
  uint64_t append_count = 0;
  Gather gather;
  bool stopped = false;
  bool end_scheduled = false;
  int expected = 0;       // who append in their next step
  bool flushing = false;  // the device's cache
  size_t in_flight = 0;
  size_t durable_in_flight = 0;  // of them, those that bring a flush of their own
  size_t unflushed = 0;  // batches that have landed and are not durable
  std::unique_ptr<Batch> open;
  std::deque<std::unique_ptr<Batch>> sealed;  // log order; the first `submitted` are under way
  size_t submitted = 0;
  std::deque<PendingData> data;
  std::vector<Waiter> waiters;
  uint64_t waiter_order = 0;
  WaitList idle;
  std::vector<AlignedBuffer> pool;
  std::function<void(Lsn)> on_complete;

  uint64_t open_end() const {
    return sealed_end + (open ? round_up(open->used, kWalBlockBytes) : 0);
  }
  bool joins_open(uint64_t payload_bytes) const;
  uint64_t end_with(uint64_t payload_bytes) const;
  void open_batch();
  std::byte* extend_open(uint64_t bytes);
  void seal_open();
  size_t busy_bytes() const { return flushes_queue ? kBusyFlushBytes : kBusyBatchBytes; }
  void pump(bool turn_ended, bool first = false);
  enum class Behind : uint8_t { its_kind, woken };
  void schedule_end(Behind whom);
  bool crowded() const;
  static Task<void> end_gather(std::shared_ptr<State> self);
  void submit_next(bool first);
  void finish(Batch& batch, bool ok);
  void retire();
  PendingData& pending(Lsn lsn);
  Lsn landed_end() const;
  bool flush_due() const;
  void start_flush();
  void advance();
  void stop();
  void wake_waiters();
  AlignedBuffer take_buffer(size_t bytes);
  void give_buffer(AlignedBuffer buffer);
  static Task<void> close_at_turn_end(std::shared_ptr<State> self);
  static Task<void> write(std::shared_ptr<State> self, Batch* batch);
  static Task<void> flush(std::shared_ptr<State> self);
  static Task<Result<void>> durable(std::shared_ptr<State> self, Lsn lsn);
  Reached reached(Lsn lsn) { return Reached(shared_from_this(), lsn); }
  static Task<Result<void>> drain(std::shared_ptr<State> self);
};

// ---- building batches ----

bool Wal::State::joins_open(uint64_t payload_bytes) const {
  if (!open) return false;
  return open->record_count == 0 ||
         open->used + kWalRecordHeaderBytes + payload_bytes <= options.write_bytes_max;
}

/// The ring position that is used up when a record of `payload_bytes` was appended now.
uint64_t Wal::State::end_with(uint64_t payload_bytes) const {
  const uint64_t record = kWalRecordHeaderBytes + payload_bytes;
  if (joins_open(payload_bytes)) return sealed_end + round_up(open->used + record, kWalBlockBytes);
  return open_end() + round_up(sizeof(WalHeader) + record, kWalBlockBytes);
}

void Wal::State::open_batch() {
  DCHECK(!open);
  open = std::make_unique<Batch>();
  open->begin = sealed_end;
  open->used = sizeof(WalHeader);
  open->buffer = take_buffer(kBufferBytesMin);
}

/// Room for `bytes` more at the end of the open batch.
std::byte* Wal::State::extend_open(uint64_t bytes) {
  const uint64_t at = open->used;
  const uint64_t needed = round_up(at + bytes, kWalBlockBytes);
  if (needed > open->buffer.size()) {
    AlignedBuffer larger = take_buffer(std::max<uint64_t>(needed, 2 * open->buffer.size()));
    std::memcpy(larger.data(), open->buffer.data(), at);
    give_buffer(std::exchange(open->buffer, std::move(larger)));
  }
  open->used = at + bytes;
  return open->buffer.data() + at;
}

void Wal::State::seal_open() {
  CHECK(open);
  Batch& batch = *open;
  batch.bytes = round_up(batch.used, kWalBlockBytes);
  CHECK(batch.begin + batch.bytes <= trimmed + ring);
  batch.complete = complete;
  DCHECK(complete <= batch.begin);

  WalHeader header{};
  header.magic = kWalMagic;
  header.version = kWalVersion;
  header.incarnation = incarnation;
  header.position = batch.begin;
  header.bytes = static_cast<uint32_t>(batch.bytes);
  header.predecessor = predecessor;
  header.used = static_cast<uint32_t>(batch.used);
  header.record_count = batch.record_count;
  header.epoch_highest = stamp.epoch_highest;
  header.read_lease = stamp.read_lease;
  header.complete = complete;
  header.ring_bytes = ring;
  header.log = log;
  std::memcpy(batch.buffer.data(), &header, sizeof header);
  std::memset(batch.buffer.data() + batch.used, 0, batch.bytes - batch.used);
  predecessor = seal_wal_write(batch.buffer.span().first(batch.bytes));

  sealed_end = batch.begin + batch.bytes;
  sealed.push_back(std::move(open));
}

// ---- writing ----

/// Starts what may start: sealed batches, then the open one if waiting gains nothing.
/// @param first  before anything else that is ready
void Wal::State::pump(bool turn_ended, bool first) {
  if (stopped) return;
  while (in_flight < options.writes_in_flight_max) {
    if (submitted == sealed.size()) {
      if (!open) return;
      const bool eager = turn_ended && !crowded();
      if (!eager && open->used < busy_bytes()) return;
      seal_open();
    }
    submit_next(first);
  }
}

namespace {
Task<void> kick_io(Reactor& reactor) {
  if (reactor.io() != nullptr) reactor.io()->kick();
  co_return;
}
}  // namespace

void Wal::State::submit_next(bool first) {
  Batch* batch = sealed[submitted].get();
  ++submitted;
  ++in_flight;
  if (!batch->plain) ++durable_in_flight;
  ++write_count;
  if (!first) return reactor.spawn(write(shared_from_this(), batch));
  reactor.spawn_first(kick_io(reactor));
  reactor.spawn_first(write(shared_from_this(), batch));
}

/// An open batch would only make the next one smaller if it went now.
bool Wal::State::crowded() const {
  return in_flight + unflushed >= kEagerWritesMax ||
         (flushes_queue && (durable_in_flight != 0 || gather.holds(append_count)));
}

/// Those who were answered had their time to come back.
Task<void> Wal::State::end_gather(std::shared_ptr<State> self) {
  const uint64_t number = self->gather.number();
  co_await self->reactor.sleep(self->gather.patience());
  self->gather.give_up(number, self->append_count);
  if (!self->crowded()) self->pump(true, true);
}

/// The open batch is closed behind those who may append to it in this turn: those who are ready as
/// the one that appends was, or the waiters that were just woken.
void Wal::State::schedule_end(Behind whom) {
  if (end_scheduled || stopped || crowded()) return;
  end_scheduled = true;
  auto end = close_at_turn_end(shared_from_this());
  whom == Behind::woken ? reactor.spawn(std::move(end)) : reactor.spawn_behind(std::move(end));
}

Task<void> Wal::State::close_at_turn_end(std::shared_ptr<State> self) {
  // Once: they may meet something else to wait for.
  if (self->expected != 0) co_await self->reactor.yield_behind();
  self->end_scheduled = false;
  self->pump(true);
  co_return;
}

Task<void> Wal::State::write(std::shared_ptr<State> self, Batch* batch) {
  const uint64_t offset = batch->begin % self->ring;
  const uint64_t first = std::min(batch->bytes, self->ring - offset);
  const ByteView bytes = batch->buffer.view().first(batch->bytes);
  const Instant begin = self->reactor.clock().now();
  const auto write = batch->plain ? &Device::write : &Device::write_durable;
  auto done = co_await (self->device.*write)(offset, bytes.first(first));
  if (done && first < bytes.size()) {
    done = co_await (self->device.*write)(0, bytes.subspan(first));
  }
  if (!batch->plain) self->gather.wrote(self->reactor.clock().now() - begin);
  self->finish(*batch, done.has_value());
}

void Wal::State::finish(Batch& batch, bool ok) {
  CHECK(in_flight > 0);
  --in_flight;
  if (!batch.plain) --durable_in_flight;
  if (!ok) stop();
  batch.landed = ok;
  batch.written = ok && !batch.plain;
  if (ok && batch.plain) ++unflushed;
  retire();
}

/// After something has landed or become durable.
void Wal::State::retire() {
  while (!stopped && !sealed.empty() && sealed.front()->written) {
    Batch& front = *sealed.front();
    CHECK(front.begin == written_end);
    written_end = front.begin + front.bytes;
    complete_recorded = std::max(complete_recorded, front.complete);
    give_buffer(std::move(front.buffer));
    sealed.pop_front();
    --submitted;
  }
  const size_t waited = waiters.size();
  advance();
  const size_t answered = waited - waiters.size();
  if (!stopped && flushes_queue && answered != 0) {
    gather.begin(answered, append_count);
    if (gather.holds(append_count)) reactor.spawn(end_gather(shared_from_this()));
    // The disk must not idle while they go on.
    if (!crowded()) pump(true, true);
  }
  // Those whom advance() woke append in this turn; the batch is closed after them.
  if (!stopped && open) schedule_end(Behind::woken);
  pump(false);
  if (in_flight == 0 && !flushing) idle.wake_all();
}

// ---- one flush for log and data ----

PendingData& Wal::State::pending(Lsn lsn) {
  const auto found = std::lower_bound(data.begin(), data.end(), lsn,
                                      [](const PendingData& p, Lsn l) { return p.lsn < l; });
  CHECK(found != data.end());
  CHECK(found->lsn == lsn);
  return *found;
}

/// All batches up to here are in the device's cache, at least.
Lsn Wal::State::landed_end() const {
  Lsn end = written_end;
  for (const auto& batch : sealed) {
    if (!batch->landed) break;
    end = batch->begin + batch->bytes;
  }
  return end;
}

/// All that the oldest record still waits for is a flush.
bool Wal::State::flush_due() const {
  if (stopped || flushing || data.empty()) return false;
  const PendingData& oldest = data.front();
  return oldest.kind == Data::flushed && oldest.written && landed_end() >= oldest.lsn;
}

void Wal::State::start_flush() {
  CHECK(!flushing);
  flushing = true;
  for (const auto& batch : sealed) batch->flushing = batch->plain && batch->landed;
  const Lsn end = landed_end();
  for (PendingData& p : data) {
    if (p.lsn > end) break;
    p.flushing = p.kind == Data::flushed && p.written;
  }
  reactor.spawn(flush(shared_from_this()));
}

Task<void> Wal::State::flush(std::shared_ptr<State> self) {
  const auto done = co_await self->device.flush();
  self->flushing = false;
  if (!done) self->stop();
  if (done) {
    for (const auto& batch : self->sealed) {
      if (!std::exchange(batch->flushing, false)) continue;
      batch->written = true;
      --self->unflushed;
    }
    for (PendingData& p : self->data) {
      if (std::exchange(p.flushing, false)) p.done = true;
    }
  }
  self->retire();
}

/// complete follows log order: log writes on media, and the data of each record up to there.
void Wal::State::advance() {
  if (stopped) return;
  while (!data.empty() && data.front().done) data.pop_front();
  if (flush_due()) start_flush();
  const Lsn reached = data.empty() ? written_end : std::min(written_end, data.front().before);
  if (reached <= complete) return;
  complete = reached;
  wake_waiters();
  if (on_complete) on_complete(complete);
}

void Wal::State::wake_waiters() {
  while (!waiters.empty() && (stopped || waiters.front().lsn <= complete)) {
    std::pop_heap(waiters.begin(), waiters.end(), later);
    *waiters.back().queued = false;
    reactor.schedule(waiters.back().handle);
    waiters.pop_back();
  }
}

/// The one way down: nothing after `complete` is acknowledged, nothing is written again.
void Wal::State::stop() {
  if (stopped) return;
  stopped = true;
  open.reset();
  wake_waiters();
  idle.wake_all();
}

// ---- buffers ----

AlignedBuffer Wal::State::take_buffer(size_t bytes) {
  for (size_t i = pool.size(); i-- > 0;) {
    if (pool[i].size() < bytes) continue;
    AlignedBuffer buffer = std::move(pool[i]);
    pool.erase(pool.begin() + static_cast<ptrdiff_t>(i));
    return buffer;
  }
  return AlignedBuffer(round_up(bytes, kWalBlockBytes));
}

void Wal::State::give_buffer(AlignedBuffer buffer) {
  // One that served an outsized record is not worth keeping.
  if (buffer.size() > 2 * uint64_t{options.write_bytes_max}) return;
  if (pool.size() < kPooledBuffersMax) pool.push_back(std::move(buffer));
}

// ---- waiting ----

Wal::Reached::Reached(std::shared_ptr<State> state, Lsn lsn)
    : state_(std::move(state)), lsn_(lsn) {}

// A frame that is destroyed with its reactor leaves the list by itself.
Wal::Reached::~Reached() {
  if (!queued_) return;
  auto& waiters = state_->waiters;
  std::erase_if(waiters, [this](const Waiter& w) { return w.queued == &queued_; });
  std::make_heap(waiters.begin(), waiters.end(), later);
}

bool Wal::Reached::await_ready() const noexcept {
  return state_->complete >= lsn_ || state_->stopped;
}

void Wal::Reached::await_suspend(std::coroutine_handle<> handle) {
  queued_ = true;
  state_->waiters.push_back({lsn_, state_->waiter_order++, handle, &queued_});
  std::push_heap(state_->waiters.begin(), state_->waiters.end(), later);
}

/// Nobody is woken before it is reached, or the log has stopped.
Result<void> Wal::Reached::await_resume() const {
  if (state_->complete >= lsn_) return {};
  CHECK(state_->stopped);
  return fail(Errc::io, "wal: the log has stopped after a write error");
}

Task<Result<void>> Wal::State::durable(std::shared_ptr<State> self, Lsn lsn) {
  co_return co_await self->reached(lsn);
}

Task<Result<void>> Wal::State::drain(std::shared_ptr<State> self) {
  while (!self->stopped && (self->open || !self->sealed.empty())) {
    if (self->open) self->seal_open();
    self->pump(false);
    // Its records' data may take longer than the log should wait.
    if (self->in_flight == 0 && self->unflushed != 0 && !self->flushing) self->start_flush();
    co_await self->idle.wait();
  }
  while (self->in_flight != 0 || self->flushing) co_await self->idle.wait();
  if (self->stopped) co_return fail(Errc::io, "wal: the log has stopped after a write error");
  co_return Result<void>{};
}

// ---- the interface ----

Wal::Wal(Reactor& reactor, Device& device, WalOptions options, WalReader::Summary tail,
         uint32_t incarnation, Lsn trimmed)
    : state_(std::make_shared<State>(reactor, device)) {
  State& s = *state_;
  s.options = options;
  s.ring = device.size_bytes();
  CHECK(s.ring >= 2 * kWalBlockBytes);
  CHECK(s.ring % kWalBlockBytes == 0);
  CHECK(options.writes_in_flight_max > 0);
  CHECK(tail.end % kWalBlockBytes == 0);
  CHECK(trimmed <= tail.end);
  CHECK(tail.end - trimmed <= s.ring);
  CHECK(incarnation > tail.incarnation);
  s.reserve = std::min(kReserveBytesMax, round_down(s.ring / 8, kWalBlockBytes));
  s.incarnation = incarnation;
  s.predecessor = tail.predecessor;
  s.log = tail.log;
  s.stamp = tail.stamp;
  s.trimmed = trimmed;
  s.sealed_end = s.written_end = s.complete = s.appended = tail.end;
  s.complete_recorded = tail.complete;
}

Wal::~Wal() {
  state_->on_complete = nullptr;
  state_->stop();
}

Lsn Wal::append(ByteView payload, Data data) {
  State& s = *state_;
  if (s.stopped) {
    // Beyond everything that is complete, even if no record was lost with the stop.
    s.appended = std::max(s.appended, s.sealed_end) + 1;
    return s.appended;
  }
  CHECK(payload.size() < (uint64_t{1} << 31));
  CHECK(s.end_with(payload.size()) <= s.trimmed + s.ring);
  if (s.open && !s.joins_open(payload.size())) {
    s.seal_open();
    s.pump(false);
  }
  if (!s.open) s.open_batch();
  Batch& batch = *s.open;
  const Lsn before = batch.record_count == 0 ? batch.begin : s.appended;
  std::byte* at = s.extend_open(kWalRecordHeaderBytes + payload.size());
  store_le32(at, static_cast<uint32_t>(payload.size()));
  if (!payload.empty()) std::memcpy(at + kWalRecordHeaderBytes, payload.data(), payload.size());
  ++batch.record_count;
  ++s.append_count;
  s.appended = batch.begin + batch.used;
  const Lsn lsn = s.appended;
  if (data != Data::none) s.data.push_back({lsn, before, data});
  batch.plain = batch.plain || data == Data::flushed;
  s.schedule_end(State::Behind::its_kind);
  if (batch.used >= s.busy_bytes()) s.pump(false);
  return lsn;
}

void Wal::data_done(Lsn lsn, bool ok) {
  State& s = *state_;
  if (s.stopped) return;
  if (!ok) return s.stop();
  PendingData& pending = s.pending(lsn);
  CHECK(!pending.written);
  pending.written = true;
  pending.done = pending.kind != Data::flushed;
  s.advance();
}

Wal::Data Wal::data_of(Lsn lsn) const {
  State& s = *state_;
  return s.stopped ? Data::durable : s.pending(lsn).kind;
}

bool Wal::room(uint64_t bytes) const {
  const State& s = *state_;
  if (s.stopped) return true;
  if (bytes > s.ring) return false;
  return s.end_with(bytes) + s.reserve <= s.trimmed + s.ring;
}

uint64_t Wal::ring_bytes() const { return state_->ring; }
uint64_t Wal::used_bytes() const { return state_->open_end() - state_->trimmed; }
Lsn Wal::complete() const { return state_->complete; }
Lsn Wal::complete_recorded() const { return state_->complete_recorded; }
Lsn Wal::appended() const { return state_->appended; }
bool Wal::stopped() const { return state_->stopped; }
bool Wal::idle() const { return !state_->open && state_->sealed.empty() && state_->data.empty(); }
uint64_t Wal::write_count() const { return state_->write_count; }
void Wal::on_complete(std::function<void(Lsn)> fn) { state_->on_complete = std::move(fn); }
void Wal::expect(int count) { state_->expected += count; }
Wal::Reached Wal::reached(Lsn lsn) { return state_->reached(lsn); }
Task<Result<void>> Wal::durable(Lsn lsn) { return State::durable(state_, lsn); }
Task<Result<void>> Wal::drain() { return State::drain(state_); }

void Wal::record_complete(Lsn wanted) {
  State& s = *state_;
  const Lsn carried = s.sealed.empty() ? s.complete_recorded : s.sealed.back()->complete;
  if (s.stopped || s.open || carried >= wanted || s.complete < wanted || !room(0)) return;
  s.open_batch();
  s.schedule_end(State::Behind::its_kind);
}

void Wal::set_stamp(WalStamp stamp) {
  WalStamp& own = state_->stamp;
  own.epoch_highest = std::max(own.epoch_highest, stamp.epoch_highest);
  own.read_lease = std::max(own.read_lease, stamp.read_lease);
}

WalStart Wal::seal() {
  State& s = *state_;
  if (s.stopped) {
    // The open batch went with the stop: nothing stands for "everything appended so far".
    const Lsn refused = round_up(std::max(s.appended, s.sealed_end) + 1, kWalBlockBytes);
    return {refused, s.incarnation, s.predecessor, s.log};
  }
  if (s.open) {
    s.seal_open();
    s.pump(false);
  }
  return {s.sealed_end, s.incarnation, s.predecessor, s.log};
}

void Wal::trim(Lsn position) {
  State& s = *state_;
  CHECK(position >= s.trimmed);
  CHECK(position <= s.complete);
  s.trimmed = position;
}

}  // namespace cairn::media
