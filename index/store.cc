#include "index/store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "index/budget.h"
#include "index/logged.h"
#include "index/record_format.h"
#include "index/store_state.h"
#include "index/sweep.h"

namespace cairn::index {

namespace {

constexpr uint64_t kMetaPagesMin = 64;
// Store.md rule 18: updates wait where replay would take this long; a checkpoint begins before.
constexpr double kReplayMaxNs = 2e9;
constexpr double kReplayBeginNs = 1.4e9;

Budget budget_of(const StoreDevices& devices, const StoreOptions& options) {
  return split_budget(options.memory_bytes, devices.meta->size_bytes() / kPageBytes,
                      devices.data->size_bytes() / media::kBlockBytes);
}

std::unique_ptr<Pager::State> make_pages(const StoreDevices& devices, const StoreOptions& options) {
  const uint64_t pages = devices.meta->size_bytes() / kPageBytes;
  const size_t frames = budget_of(devices, options).frames;
  auto state = std::make_unique<Pager::State>(kEdgePages, pages - kEdgePages, frames);
  state->driven = true;
  return state;
}

Result<void> check_budget(const StoreDevices& devices, const StoreOptions& options) {
  if (options.memory_bytes < kMemoryBytesMin) {
    return fail(Errc::invalid,
                "store: the memory budget is too small for one operation; 4 MiB at least");
  }
  if (budget_of(devices, options).frames < kFramesMin) {
    return fail(
        Errc::invalid,
        "store: the memory budget is too small for blobs of this size; 5 MiB, a millionth of the "
        "data and a 60,000th of the metadata will do");
  }
  return {};
}

Result<void> check_sizes(const StoreDevices& devices) {
  const uint64_t meta_pages = devices.meta->size_bytes() / kPageBytes;
  const uint64_t data_blocks = devices.data->size_bytes() / media::kBlockBytes;
  if (meta_pages < kMetaPagesMin || devices.wal->size_bytes() < 16 * media::kBlockBytes) {
    return fail(Errc::invalid, "store: the meta blob needs 1 MiB and the log 64 KiB at least");
  }
  if (chunk_count(meta_pages - kEdgePages) + directory_ref_count(data_blocks) > kChunkRefsMax) {
    return fail(Errc::invalid, "store: the blobs are too large for one shard; use more targets");
  }
  return {};
}

Task<Result<void>> flush_all(StoreDevices devices) {
  CO_TRY(wal, co_await devices.wal->flush());
  CO_TRY(meta, co_await devices.meta->flush());
  co_return co_await devices.data->flush();
}

using SlotCopies = std::vector<Result<Superblock>>;

Task<Result<SlotCopies>> read_copies(media::Device& meta, uint64_t meta_pages) {
  SlotCopies copies;
  media::AlignedBuffer slot(kSuperblockBytesMax);
  for (uint32_t parity = 0; parity < 2; ++parity) {
    for (uint64_t copy = 0; copy < kSuperblockCopies; ++copy) {
      auto read = co_await meta.read(superblock_offset(meta_pages, parity, copy), slot.span());
      // An unreadable copy is a damaged one; the others may do.
      if (!read) {
        copies.push_back(fail(Errc::checksum, "superblock: cannot be read"));
        continue;
      }
      auto parsed = parse_superblock(slot.view());
      if (parsed && parsed->generation % 2 != parity) {
        parsed = fail(Errc::checksum, "superblock: of the other slot");
      }
      copies.push_back(std::move(parsed));
    }
  }
  co_return copies;
}

struct Choice {
  Superblock super;
  bool older_maybe = false;  // the other slot was written once and no copy of it is whole
};

/// Store.md rule 15.
Result<Choice> choose(const SlotCopies& copies) {
  const Superblock* best = nullptr;
  bool damaged = false;
  for (const auto& copy : copies) {
    if (!copy) {
      if (copy.error().code() == Errc::format_newer) return fail(copy.error());
      damaged = damaged || copy.error().code() == Errc::checksum;
      continue;
    }
    if (best == nullptr || copy->generation > best->generation) best = &*copy;
  }
  if (best == nullptr) {
    if (!damaged) return fail(Errc::format_invalid, "store: the meta blob holds no store");
    return fail(Errc::checksum, "store: no copy of the superblock is whole; restore the shard");
  }
  Choice choice{*best, false};
  const size_t other = best->generation % 2 == 0 ? 2 : 0;
  const auto blank = [](const Result<Superblock>& c) {
    return !c && c.error().code() == Errc::nonexistent;
  };
  if (!copies[other] && !copies[other + 1]) {
    choice.older_maybe = !blank(copies[other]) || !blank(copies[other + 1]);
  }
  return choice;
}

Result<void> check_super(const Superblock& super, const StoreDevices& devices,
                         const StoreOptions& options) {
  if (!std::equal(super.owner_tag, super.owner_tag + 2, options.owner_tag)) {
    return fail(Errc::format_invalid,
                "store: it belongs to another owner; the files were mixed up");
  }
  if (super.meta_pages != devices.meta->size_bytes() / kPageBytes ||
      super.data_blocks != devices.data->size_bytes() / media::kBlockBytes ||
      super.wal_bytes != devices.wal->size_bytes()) {
    return fail(Errc::format_invalid,
                "store: a blob has not the size it was made with; restore it");
  }
  return {};
}

Task<Result<void>> load_page_bitmaps(CorePtr core) {
  media::AlignedBuffer page(kPageBytes);
  const std::vector<PageRef>& refs = core->super.page_chunks;
  for (size_t chunk = 0; chunk < refs.size(); ++chunk) {
    const PageRef ref = refs[chunk];
    if (ref.is_null()) continue;
    if (ref.page_number() < kEdgePages || ref.page_number() >= core->meta_pages - kEdgePages) {
      co_return fail(Errc::checksum, "superblock: a bitmap page lies outside of the blob");
    }
    CO_TRY(read, co_await core->devices.meta->read(ref.page_number() * kPageBytes, page.span()));
    CO_TRY(bits, open_bitmap(page.view(), PageKind::page_bitmap, ref, chunk));
    CO_TRY(loaded, core->pages().space.load_chunk(chunk, bits));
  }
  co_return Result<void>{};
}

/// From here on the store may append.
void start_log(StoreCore& core, const media::WalReader::Summary& tail) {
  core.wal = std::make_unique<media::Wal>(core.reactor, *core.devices.wal, media::WalOptions{},
                                          tail, core.super.incarnation, core.super.log_position);
  core.wal->set_stamp(core.stamp);
  // The log is owned by the core and is silent after its end.
  core.wal->on_complete([raw = &core](media::Lsn) { raw->release_data(); });
  core.look_at_log();
}

bool short_of_pages(const Pager::State& s) { return s.free_pages() < s.kept_for_removals(); }

/// A checkpoint runs and cannot keep up: updates wait for it.
bool is_behind(const StoreCore& core) {
  const Pager::State& s = core.pages();
  return core.checkpoint_running && core.options.checkpoints &&
         (core.predicted_replay_ns() > kReplayMaxNs || s.dropped_count > s.frames_limit / 4);
}

Task<Result<void>> admit_update(CorePtr core) {
  Pager::State& s = core->pages();
  for (;;) {
    if (core->is_stopped()) co_return fail(Errc::io, "store: stopped after a media error");
    if (core->closing) co_return fail(Errc::shutdown, "store: closing, no new updates");
    if (core->options.checkpoints && core->checkpoint_due()) core->start_checkpoint();
    if (s.frames_used > s.frames_target) s.evict(s.frames_target);
    core->keep_clean();
    if (!s.has_room(s.headroom() / 2)) {
      CO_TRY(made, co_await make_frames(core, s.headroom() / 2));
      continue;
    }
    if (core->data.is_short()) {
      CO_TRY(opened, co_await open_wanted(core));
      continue;
    }
    if (core->data.late_runs() > core->late_max) {
      CO_TRY(settled, co_await settle_late(core, core->late_max / 2));
      continue;
    }
    const bool short_now = short_of_pages(s);
    if (short_now && s.space.usage().deferred == 0 && !core->checkpoint_running) {
      if (s.free_pages() >= s.kept_for_bitmaps + 8) co_return Result<void>{};
      co_return fail(Errc::no_space,
                     "store: the meta blob is full; remove data or enlarge the pool");
    }
    const bool behind = is_behind(*core);
    if (core->data_short_at != 0) {
      CO_TRY(released, co_await wait_for_blocks(core));
      continue;
    }
    if (core->holds_updates) {
      co_await wait_for_progress(core);
      continue;
    }
    if (std::exchange(core->short_of_lost, false)) {
      co_await wait_for_rebuilt(core);
      continue;
    }
    if (core->hook_running || (!s.log_tight && !short_now && !behind)) co_return Result<void>{};
    if (s.log_tight || short_now) core->start_checkpoint();
    co_await wait_for_progress(core);
  }
}

Task<Result<void>> close_core(CorePtr core) {
  if (core->closing) co_return Result<void>{};
  auto last = co_await checkpoint_now(core);
  core->closing = true;
  auto drained = co_await core->wal->drain();
  const Pager::State& s = core->pages();
  while (s.write_backs != 0 || s.write_backs_frozen != 0 || core->cleaning ||
         core->loads_ahead != 0 || core->checkpoint_running || core->behind.writing() ||
         core->opening || core->settling || core->rebuilding || core->trim_loads ||
         core->data.usage().held != 0) {
    co_await core->progress.wait();
  }
  co_return last ? drained : last;
}

Task<Result<void>> end_of_step(CorePtr core) {
  Pager::State& s = core->pages();
  if (!core->options.evict_always) {
    if (s.frames_used > s.frames_target) s.evict(s.frames_target);
    co_return Result<void>{};
  }
  if (s.dirty_count != 0 && !core->checkpoint_running && s.write_backs == 0 &&
      !core->is_stopped()) {
    CO_TRY(written, co_await write_back(core, s.dirty_count));
  }
  s.evict(0);
  co_return Result<void>{};
}

}  // namespace

// ---- the core ----

StoreCore::StoreCore(Reactor& reactor_in, StoreDevices devices_in, StoreOptions options_in)
    : reactor(reactor_in),
      devices(devices_in),
      options(options_in),
      one_cache(devices.wal->flush_domain() != 0 &&
                devices.wal->flush_domain() == devices.data->flush_domain()),
      meta_pages(devices.meta->size_bytes() / kPageBytes),
      pager(make_pages(devices, options)),
      tree(pager),
      data(pager, devices.data->size_bytes() / media::kBlockBytes,
           open_chunks(options.memory_bytes)),
      trim(devices.data->size_bytes() / media::kBlockBytes,
           options.trim_unit_bytes / media::kBlockBytes),
      progress(reactor),
      late_max(late_runs_max(options.memory_bytes)),
      behind(reactor, behind_bytes(options.memory_bytes) / 2 / media::kBlockBytes) {
  pages().kept_for_freeze = chunk_count(meta_pages - kEdgePages) +
                            directory_ref_count(devices.data->size_bytes() / media::kBlockBytes);
  pages().kept_for_bitmaps = pages().kept_for_freeze;
}

media::Wal::Data StoreCore::data_beside(const Batch& batch) const {
  if (batch.data().empty()) return media::Wal::Data::none;
  for (const BatchData& beside : batch.data()) {
    if (flush_covers(beside.extent)) return media::Wal::Data::flushed;
  }
  // A durable write of its own would cost a flush of its own.
  return one_cache && fits_the_log(batch) ? media::Wal::Data::logged : media::Wal::Data::durable;
}

bool StoreCore::fits_the_log(const Batch& batch) const {
  uint64_t bytes = 0;
  for (const BatchData& data : batch.data()) {
    if (data.payload.empty()) return false;
    bytes += data.payload.size();
  }
  return bytes <= Store::kLoggedBytesMax && batch.record_bytes() + bytes <= record_bytes_max();
}

void StoreCore::stop() {
  if (!stopped && wal && !wal->stopped()) wal->data_done(wal->appended(), false);
  stopped = true;
  progress.wake_all();
}

void StoreCore::look_at_log() {
  if (!wal) return;
  // A checkpoint's own records may use what room() keeps back.
  pages().log_full = wal->used_bytes() + record_bytes_max() > wal->ring_bytes();
  pages().log_tight = !wal->room(record_bytes_max());
}

void StoreCore::release_data() {
  media::Lsn limit = wal->complete_recorded();
  if (!pins.empty()) limit = std::min(limit, pins.front().at);
  if (data.usage().deferred != 0) {
    note_trim(data.release(limit));
    const media::SpaceUsage usage = data.usage();
    if (usage.deferred != 0 && usage.available() < usage.total / 8) {
      wal->record_complete(std::min(freed_at, wal->complete()));
    }
  }
}

double StoreCore::predicted_replay_ns() const {
  constexpr double kBytesPerNs = 0.5;  // 500 MiB/s
  constexpr double kRecordNs = 1000;   // 1 M records/s
  constexpr double kLoadsAtOnce = 16;
  const auto bytes = static_cast<double>(wal->used_bytes());
  const auto records = static_cast<double>(records_before + records_since);
  const auto pages_changed = static_cast<double>(pages_before + pages().born.size());
  double loads = pages_changed;
  const auto frames = static_cast<double>(pages().frames_target);
  // Where they do not fit into memory, a record finds its leaf gone again, and each is written,
  // too.
  if (loads > frames) loads = 2 * std::max(loads, records * (1 - frames / loads));
  return bytes / kBytesPerNs + records * kRecordNs + loads * load_ns / kLoadsAtOnce;
}

uint64_t StoreCore::log_limit() const {
  // The less often the better: a checkpoint writes each page that changed, however often. What
  // comes to the log while it runs must find room; half as much again is a margin.
  const uint64_t ring = wal->ring_bytes();
  const uint64_t kept = std::min(record_bytes_max() + checkpoint_log_bytes / 2 * 3, ring);
  return std::clamp(ring - kept, ring / 4, ring / 8 * 5);
}

bool StoreCore::checkpoint_due() const {
  if (checkpoint_running) return false;
  const Pager::State& s = pages();
  const media::SpaceUsage usage = s.space.usage();
  return wal->used_bytes() > log_limit() || s.dirty_count > s.frames_limit / 2 ||
         predicted_replay_ns() > kReplayBeginNs || s.is_generation_large() ||
         (usage.deferred > usage.total / 16 && s.free_pages() < usage.total / 4);
}

// ---- create and open ----

Store::Store(std::shared_ptr<State> state) : state_(std::move(state)), tree_(&state_->tree) {}
Store::~Store() = default;

Task<Result<std::unique_ptr<Store>>> Store::create(Reactor& reactor, StoreDevices devices,
                                                   StoreOptions options) {
  CO_TRY(enough, check_budget(devices, options));
  CO_TRY(fit, check_sizes(devices));
  const uint64_t meta_pages = devices.meta->size_bytes() / kPageBytes;
  CO_TRY(copies, co_await read_copies(*devices.meta, meta_pages));
  for (const auto& copy : copies) {
    if (copy || copy.error().code() == Errc::format_newer) {
      co_return fail(Errc::exists, "store: the meta blob holds a store already; open or remove it");
    }
  }
  auto core = std::make_shared<State>(reactor, devices, options);
  Superblock& super = core->super;
  super.generation = 1;
  super.incarnation = 1;
  for (uint64_t& word : super.store_id) word = reactor.random().next();
  std::copy(options.owner_tag, options.owner_tag + 2, super.owner_tag);
  super.meta_pages = meta_pages;
  super.data_blocks = devices.data->size_bytes() / media::kBlockBytes;
  super.wal_bytes = devices.wal->size_bytes();
  super.log_predecessor = static_cast<uint32_t>(reactor.random().next());
  super.page_chunks.resize(chunk_count(meta_pages - kEdgePages));
  super.data_directories.resize(directory_ref_count(super.data_blocks));
  CO_TRY(written, co_await write_superblock(core, super));
  CO_TRY(flushed, co_await flush_all(devices));
  core->pages().generation = 2;
  core->data.begin();
  media::WalReader::Summary tail;
  tail.predecessor = super.log_predecessor;
  tail.log = super.store_id[0];
  start_log(*core, tail);
  co_return std::unique_ptr<Store>(new Store(std::move(core)));
}

Task<Result<std::unique_ptr<Store>>> Store::open(Reactor& reactor, StoreDevices devices,
                                                 StoreOptions options, ReplayHook hook) {
  CO_TRY(enough, check_budget(devices, options));
  if (!check_sizes(devices)) co_return fail(Errc::format_invalid, "store: the blobs are too small");
  // What is seen now may still be in a volatile cache: it must not vanish after it was acted upon.
  CO_TRY(flushed, co_await flush_all(devices));
  const uint64_t meta_pages = devices.meta->size_bytes() / kPageBytes;
  CO_TRY(copies, co_await read_copies(*devices.meta, meta_pages));
  CO_TRY(choice, choose(copies));
  CO_TRY(ours, check_super(choice.super, devices, options));
  auto core = std::make_shared<State>(reactor, devices, options);
  core->super = std::move(choice.super);
  Superblock& super = core->super;
  const media::WalStart start{super.log_position, super.incarnation, super.log_predecessor,
                              super.store_id[0]};
  media::WalReader reader(reactor, *devices.wal, start);
  CO_TRY(summary, co_await reader.scan());
  CO_TRY(pages, co_await load_page_bitmaps(core));
  // The other slot may have held a newer root, whose own pages may stand where this one's did.
  CO_TRY(blocks, co_await load_space(core, choice.older_maybe));
  if (choice.older_maybe) {
    CO_TRY(whole, co_await walk_medium(core, super.root));
  }
  core->stamp = {std::max(super.epoch_highest, summary.stamp.epoch_highest),
                 std::max(super.read_lease, summary.stamp.read_lease)};
  core->recovered_stamp = core->stamp;
  Superblock next = super;
  next.generation += choice.older_maybe ? 3 : 1;
  next.incarnation = std::max(super.incarnation, summary.incarnation) + 1;
  core->pages().generation = next.generation + 1;
  core->pager.set_root(super.root);
  core->pages().urgent = true;
  CO_TRY(replayed, co_await replay(core, reader, {start, summary}, std::move(hook)));
  core->pages().urgent = false;
  core->data.begin();
  CO_TRY(opened, co_await open_wanted(core));
  CO_TRY(raised, co_await write_superblock(core, next));
  core->super = std::move(next);
  start_log(*core, summary);
  if (replayed.dropped) {
    CO_TRY(made, co_await checkpoint_now(core));
  }
  core->rebuild_ahead();
  co_return std::unique_ptr<Store>(new Store(std::move(core)));
}

Task<Result<void>> Store::close() { return close_core(state_); }

// ---- service ----

bool Store::admits() const {
  const State& core = *state_;
  const Pager::State& s = core.pages();
  return !core.is_stopped() && !core.closing && core.data_short_at == 0 && !core.data.is_short() &&
         !core.holds_updates && !core.short_of_lost && core.data.late_runs() <= core.late_max &&
         !s.log_tight && s.frames_used <= s.frames_target && s.has_room(s.headroom() / 2) &&
         !short_of_pages(s) && !is_behind(core) &&
         !(core.options.checkpoints && core.checkpoint_due());
}

Task<Result<void>> Store::admit() { return admit_update(state_); }

Result<std::vector<media::Extent>> Store::reserve_data(uint64_t bytes) {
  constexpr size_t kRunsMax = 64;
  const uint64_t blocks = round_up(bytes, media::kBlockBytes) / media::kBlockBytes;
  auto extents = state_->data.reserve(blocks, kRunsMax);
  const media::SpaceUsage& usage = state_->data.usage();
  if (!extents && usage.deferred + usage.held != 0) state_->data_short_at = state_->freed_at;
  if (!extents && state_->rebuilding && !state_->data.is_short() &&
      usage.available() + usage.lost >= blocks) {
    state_->short_of_lost = true;
  }
  state_->open_ahead();
  return extents;
}

bool Store::waits_for_blocks() const {
  const media::SpaceUsage usage = state_->data.usage();
  return usage.deferred + usage.held != 0 || state_->data.is_short() || state_->short_of_lost;
}

void Store::cancel_data(const std::vector<media::Extent>& extents) {
  for (const media::Extent& extent : extents) state_->data.cancel(extent);
}

uint64_t Store::record_bytes_max() const { return state_->record_bytes_max(); }

media::Lsn Store::commit(const RecordHeader& header, const Batch& batch, media::WalStamp stamp) {
  State& s = *state_;
  s.stamp.epoch_highest = std::max(s.stamp.epoch_highest, stamp.epoch_highest);
  s.stamp.read_lease = std::max(s.stamp.read_lease, stamp.read_lease);
  s.wal->set_stamp(s.stamp);
  s.record.clear();
  const media::Wal::Data beside = s.data_beside(batch);
  const bool logged = beside == media::Wal::Data::logged;
  encode_record(header, batch, s.record, logged);
  s.data_logged = s.data_logged || logged;
  const media::Lsn lsn = s.wal->append(s.record, beside);
  s.tree.apply(batch);
  for (const BatchData& data : batch.data()) s.data.publish(data.extent);
  for (const media::Extent& extent : batch.freed()) s.free_data(extent, lsn);
  ++s.records_since;
  s.settle_ahead();
  s.rebuild_ahead();
  s.look_at_log();
  return lsn;
}

Task<Result<void>> Store::write_data(media::Lsn position, std::vector<DataWrite> writes) {
  return write_extents(state_, position, std::move(writes));
}

bool Store::keep_logged(media::Lsn position, std::span<const DataWrite> writes) {
  if (state_->wal->data_of(position) != media::Wal::Data::logged) return false;
  if (!take_logged_extents(state_, writes)) return false;
  state_->wal->data_done(position, true);
  return true;
}

Task<Store::DataJobPtr> Store::start_data(std::vector<DataWrite> writes) {
  auto job = start_extents(state_, std::move(writes), true);
  // The writes run first in the next turn; what they ask for starts now and not at its end.
  co_await state_->reactor.yield();
  if (state_->reactor.io() != nullptr) state_->reactor.io()->kick();
  co_return job;
}

Task<Result<void>> Store::finish_data(DataJobPtr job) {
  return finish_extents(state_, std::move(job));
}

void Store::data_written(media::Lsn position) { state_->wal->data_done(position, true); }
bool Store::log_idle() const { return state_->wal->idle(); }

Task<Result<void>> Store::read_data(media::Extent extent, uint64_t first_block, ByteSpan into) {
  DCHECK(first_block + into.size() / media::kBlockBytes <= extent.count);
  const uint64_t block = extent.block + first_block;
  if (!state_->behind.empty()) return read_beside_waiting(state_, block, into);
  ++state_->data_reads;
  return state_->devices.data->read(block * media::kBlockBytes, into);
}

Store::ReadPin::ReadPin(std::shared_ptr<State> state, media::Lsn at)
    : state_(std::move(state)), at_(at) {}
Store::ReadPin::ReadPin(ReadPin&& other) noexcept = default;

Store::ReadPin::~ReadPin() {
  if (!state_) return;
  auto& pins = state_->pins;
  const auto found =
      std::lower_bound(pins.begin(), pins.end(), at_,
                       [](const StoreCore::Pin& p, media::Lsn at) { return p.at < at; });
  CHECK(found != pins.end() && found->at == at_ && found->count > 0);
  --found->count;
  if (pins.front().count != 0) return;
  while (!pins.empty() && pins.front().count == 0) pins.pop_front();
  state_->release_data();
}

Store::ReadPin Store::pin_reads() {
  const media::Lsn at = state_->wal->appended();
  auto& pins = state_->pins;
  if (pins.empty() || pins.back().at != at) pins.push_back({at, 0});
  ++pins.back().count;
  return ReadPin(state_, at);
}

Task<Result<void>> Store::durable(media::Lsn position) { return state_->wal->durable(position); }
media::Wal::Reached Store::reached(media::Lsn position) { return state_->wal->reached(position); }
void Store::expect(int count) { state_->wal->expect(count); }
media::Lsn Store::complete() const { return state_->wal->complete(); }
media::Lsn Store::appended() const { return state_->wal->appended(); }
bool Store::stopped() const { return state_->is_stopped(); }

void Store::before_checkpoint(std::function<Task<Result<void>>()> hook) {
  state_->before_checkpoint = std::move(hook);
}
Task<Result<void>> Store::checkpoint() { return checkpoint_now(state_); }
Task<Result<void>> Store::end_step() { return end_of_step(state_); }
Task<Result<void>> Store::evict_all() {
  const std::shared_ptr<State> state = state_;
  const bool before = std::exchange(state->options.evict_always, true);
  auto done = co_await end_of_step(state);
  state->options.evict_always = before;
  co_return done;
}
media::WalStamp Store::recovered_stamp() const { return state_->recovered_stamp; }

Task<Result<Store::CheckReport>> Store::check(Claims claims) {
  return check_now(state_, std::move(claims));
}

Sweep Store::sweep() { return Sweep(state_); }
Task<Result<Store::KeySpan>> Store::span_at(Bytes key) { return find_span(state_, std::move(key)); }

StoreStats Store::stats() const {
  const State& s = *state_;
  const Pager::State& pages = s.pages();
  StoreStats stats;
  stats.pages = pages.space.usage();
  stats.page_count = stats.pages.used + pages.born.size();
  stats.page_bytes = stats.page_count * kPageBytes;
  stats.data = s.data.usage();
  stats.wal_used_bytes = s.wal->used_bytes();
  stats.wal_bytes = s.wal->ring_bytes();
  stats.replayed_records = s.replayed_records;
  stats.replayed_bytes = s.replayed_bytes;
  stats.replay_ns = s.replay_ns;
  stats.checkpoints = s.checkpoints_ended;
  stats.checkpoint_running = s.checkpoint_running;
  stats.trimmed_blocks = s.trimmed_blocks;
  stats.page_loads = s.page_loads;
  stats.data_reads = s.data_reads;
  return stats;
}

}  // namespace cairn::index
