#include "vos/scrub.h"

#include <algorithm>

#include "base/crc32c.h"
#include "vos/flats.h"
#include "vos/plan.h"

namespace cairn::vos {

namespace {

constexpr uint64_t kWindowBlocks = 64;  // of data in one read

/// A record that lies where its key says, and what belongs to it.
struct Record {
  ParsedKey key;
  Key prefix;  // of its akey
  ValueView value;
  bool has_value = false;  // false: a marker
};

/// @error checksum  key or value mean nothing
Result<Record> parse_record(ByteView key, ByteView value) {
  Record record;
  TRY(parsed, parse_key(key));
  record.key = parsed;
  const KeyPath path({parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
  record.prefix = path.akey(path.dkey(parsed.dkey), parsed.akey);
  if (parsed.range == Range::history) record.prefix = history_key(record.prefix, parsed.slot);
  if (parsed.range == Range::marker) {
    if (value.size() < 9 || epoch_of(value) != parsed.epoch) {
      return fail(Errc::checksum, "record: a malformed marker");
    }
    return record;
  }
  TRY(v, parse_value(parsed.kind, value));
  if (parsed.kind == Kind::flat) {
    TRY(flat, parse_flat(value));
  }
  if (parsed.kind == Kind::extent && v.count > parsed.position) {
    return fail(Errc::checksum, "record: an extent begins before record 0");
  }
  record.value = v;
  record.has_value = true;
  return record;
}

/// Where its checksums are that stand apart: beside it, also while it stands aside.
Key apart_key(const Record& record, uint64_t chunk) {
  const uint64_t end = record.key.kind == Kind::extent ? record.key.position : 0;
  const Key key = checksums_key(record.prefix, end, chunk);
  if (record.key.range != Range::pending) return key;
  return pending_key(key, record.key.epoch, record.key.minor);
}

/// Takes the checksums of one record that stands apart. @error checksum
Result<void> add_checksums(BlockData& data, const std::optional<Bytes>& found) {
  if (!found) return fail(Errc::checksum, "data: its checksum record is missing");
  TRY(value, parse_value(Kind::checksums, *found));
  for (size_t i = 0; i + 4 <= value.inlined.size(); i += 4) {
    data.crcs.push_back(load_le32(value.inlined.data() + i));
  }
  return {};
}

/// The records (of an extent) or bytes (of another value) that the payload bytes [from, to) are.
model::Recx part_of(const Record& record, uint64_t from, uint64_t to) {
  if (record.key.kind != Kind::extent) return {from, to - from};
  const uint64_t bytes = record.value.record_bytes;
  const uint64_t begin = record.key.position - record.value.count;
  return {begin + from / bytes, (to + bytes - 1) / bytes - from / bytes};
}

/// What the damaged blocks (ascending indexes) hold, neighbours together.
std::vector<model::Recx> parts_of(const Record& record, uint32_t skip,
                                  const std::vector<uint64_t>& bad) {
  std::vector<model::Recx> parts;
  for (const uint64_t block : bad) {
    const uint64_t from = block == 0 ? 0 : block * kDataBlockBytes - skip;
    const uint64_t to = std::min((block + 1) * kDataBlockBytes - skip, record.value.payload_bytes);
    const model::Recx part = part_of(record, from, to);
    if (!parts.empty() && parts.back().index + parts.back().count >= part.index) {
      parts.back().count = part.index + part.count - parts.back().index;
    } else {
      parts.push_back(part);
    }
  }
  return parts;
}

Loss loss_of_record(ByteView key, const char* cause) {
  Loss loss{.what = Loss::What::record, .cause = cause};
  loss.low.assign(key.begin(), key.end());
  return loss;
}

Loss loss_of_data(ByteView key, const Record& record, const char* cause) {
  Loss loss = loss_of_record(key, cause);
  loss.what = Loss::What::data;
  loss.array = record.key.kind == Kind::extent;
  loss.parts = {part_of(record, 0, record.value.payload_bytes)};
  return loss;
}

/// Is it the buffer of the object whose record names it?
Result<void> check_flat(FlatCodec& codec, const Record& record, Bytes stored) {
  TRY(bytes, codec.restore(std::move(stored)));
  TRY(flat, FlatBuffer::parse(bytes));
  const ObjectPath& object = flat.object();
  if (object.container != record.key.container || object.oid != record.key.oid ||
      object.shard != record.key.shard) {
    return fail(Errc::checksum, "flat: another object's buffer stands here");
  }
  return {};
}

Result<void> check_pack(ByteView key, ByteView value) {
  TRY(block, parse_pack_key(key));
  TRY(pack, parse_pack(value));
  return {};
}

const char* const kOtherBytes = "data: the medium gave other bytes than were written";

}  // namespace

struct Scrub::State {
  State(Shard::State& s, ScrubOptions o) : shard(s), options(o), sweep(s.store->sweep()) {}

  Shard::State& shard;
  ScrubOptions options;
  index::Sweep sweep;
  ScrubReport report;
  bool begun = false;
  std::optional<Bytes> low;  // the sweep's leaf is not done: its records from there on ...
  uint32_t slot = 0;         // ... and from this one
  Key last_akey;          // prefix of the extents seen last
  uint64_t last_end = 0;  // and the end of the last one
  media::AlignedBuffer window{kWindowBlocks * kDataBlockBytes};

  void lose(Loss loss) {
    ++report.loss_count;
    if (report.losses.size() < kLossesMax) report.losses.push_back(std::move(loss));
  }
  Task<Result<uint64_t>> look_at_leaf(uint64_t bytes_max);
  Task<Result<uint64_t>> look_at(Bytes key, Bytes value, Result<void> sound);
  Result<void> check_order(const Record& record);
  Result<void> check_history(const Record& record);
  Result<void> check_snapshot(ByteView key, ByteView value);
  Result<void> check_policy(ByteView key, ByteView value);
  Result<void> check_entry(ByteView key, ByteView value);
  Result<void> check_pending(ByteView key, const Record& record);
  Task<Result<BlockData>> find_checksums(Record record);
  Result<BlockData> newest_data(const Record& record);
  Task<std::vector<uint64_t>> bad_blocks(BlockData data);
  Task<Result<bool>> is_newest(Bytes key, Bytes value);
  Task<Result<std::optional<Loss>>> look_again(Bytes key, Bytes value);
  Task<Result<uint64_t>> look_at_flat(Bytes key, Bytes value);
};

/// Extents of one akey do not overlap.
Result<void> Scrub::State::check_order(const Record& record) {
  if (record.key.range == Range::marker || record.key.range == Range::pending ||
      record.key.kind != Kind::extent) {
    return {};
  }
  const bool same = as_chars(last_akey) == as_chars(record.prefix);
  const bool apart = !same || record.key.position - record.value.count >= last_end;
  last_akey = record.prefix;
  last_end = record.key.position;
  if (!apart) return fail(Errc::checksum, "record: extents overlap");
  return {};
}

/// A snapshot sees what its slot holds.
Result<void> Scrub::State::check_history(const Record& record) {
  if (record.key.range != Range::history) return {};
  if (shard.snapshots.find(record.key.container, record.key.slot) == nullptr) {
    return fail(Errc::checksum, "record: an older version that no snapshot sees");
  }
  if (record.value.epoch > record.key.slot) {
    return fail(Errc::checksum, "record: a version newer than its snapshot");
  }
  return {};
}

/// A record of a snapshot, which memory must know.
Result<void> Scrub::State::check_snapshot(ByteView key, ByteView value) {
  TRY(epoch, parse_snapshot_key(key));
  TRY(parsed, parse_snapshot(value));
  const Snapshot* const known = shard.snapshots.find(load_be32(key.data()), epoch);
  if (known == nullptr || known->state != parsed) {
    return fail(Errc::checksum, "record: a snapshot that memory does not know");
  }
  return {};
}

/// A container's policy, which memory must know.
Result<void> Scrub::State::check_policy(ByteView key, ByteView value) {
  TRY(container, parse_policy_key(key));
  TRY(policy, parse_policy(value));
  if (shard.worm.is_written(container) && shard.worm.of(container) != policy) {
    return fail(Errc::checksum, "record: a policy that memory does not know");
  }
  return {};
}

/// A head that memory agrees with, or a list of keys.
Result<void> Scrub::State::check_entry(ByteView key, ByteView value) {
  TRY(parsed, parse_transaction_key(key));
  const StandingTx* tx = shard.unresolved.find(parsed.id);
  if (tx == nullptr) return fail(Errc::checksum, "record: of a transaction that is over");
  if (parsed.chunk != 0) {
    TRY(keys, parse_entry_keys(value));
    return {};
  }
  TRY(head, parse_entry_head(value));
  if (head.state != tx->state || head.epoch != tx->epoch) {
    return fail(Errc::checksum, "record: a transaction in another state than memory has");
  }
  return {};
}

/// A record that stands aside: of its epoch, and listed by its transaction.
Result<void> Scrub::State::check_pending(ByteView key, const Record& record) {
  if (record.key.range != Range::pending) return {};
  if (record.value.epoch != record.key.epoch) {
    return fail(Errc::checksum, "record: its key and its value differ in epoch");
  }
  if (!shard.unresolved.lists(key, record.key.epoch)) {
    return fail(Errc::checksum, "record: it stands aside, and no transaction lists it");
  }
  return {};
}

/// The blocks of a data value as the durable root has them. @error checksum, io
Task<Result<BlockData>> Scrub::State::find_checksums(Record record) {
  CO_TRY(data, parse_data(record.value));
  if (!record.value.checksums_apart) co_return data;
  const uint64_t blocks = data.block_count();
  for (uint64_t chunk = 0; chunk * kChecksumsPerRecord < blocks; ++chunk) {
    const Key key = apart_key(record, chunk);
    CO_TRY(found, co_await sweep.get(Bytes(key.view().begin(), key.view().end())));
    CO_TRY(added, add_checksums(data, found));
  }
  if (data.crcs.size() != blocks) {
    co_return fail(Errc::checksum, "data: its checksum records do not fit it");
  }
  co_return data;
}

/// Indexes of the blocks that do not hold what was written, ascending.
Task<std::vector<uint64_t>> Scrub::State::bad_blocks(BlockData data) {
  std::vector<uint64_t> bad;
  uint64_t run_first = 0;
  for (const media::Extent& run : data.runs) {
    for (uint32_t at = 0; at < run.count;) {
      uint64_t count = std::min<uint64_t>(run.count - at, kWindowBlocks);
      auto done =
          co_await shard.store->read_data(run, at, window.span().first(count * kDataBlockBytes));
      if (!done && count > 1) {  // which of them?
        count = 1;
        done = co_await shard.store->read_data(run, at, window.span().first(kDataBlockBytes));
      }
      for (uint64_t i = 0; i < count; ++i) {
        const ByteView block = window.view().subspan(i * kDataBlockBytes, kDataBlockBytes);
        const uint64_t index = run_first + at + i;
        if (!done || crc32c(block) != data.crcs[index]) bad.push_back(index);
      }
      at += static_cast<uint32_t>(count);
      report.blocks += count;
    }
    run_first += run.count;
  }
  co_return bad;
}

/// The record of a flattened object's buffer. @returns bytes read for it
Task<Result<uint64_t>> Scrub::State::look_at_flat(Bytes key, Bytes value) {
  const auto record = parse_record(key, value);
  const auto flat = parse_flat(value);
  CHECK(record && flat);  // look_at_leaf() parsed them
  if (!options.read_data) co_return 0;
  const FlatPlace place = flat->place;
  // As of newest: a buffer that the checkpoint names may have been given up since, its blocks used.
  Result<void> sound;
  for (const bool again : {false, true}) {
    if (again) {
      CO_TRY(newest, co_await is_newest(key, value));
      if (!newest) co_return 0;
    }
    const auto pin = shard.store->pin_reads();
    auto bytes = co_await read_flat(*shard.store, place);
    sound = bytes ? check_flat(shard.flats.codec(), *record, std::move(*bytes))
                  : Result<void>(fail(bytes.error()));
    if (sound) break;
  }
  const uint64_t read = round_up(place.length, kDataBlockBytes);
  report.blocks += read / kDataBlockBytes;
  if (sound) co_return read;
  Loss loss = loss_of_record(key, sound.error().what());
  loss.what = Loss::What::data;
  loss.parts = {{0, place.length}};
  lose(std::move(loss));
  co_return read;
}

/// Does the newest state hold this very record?
Task<Result<bool>> Scrub::State::is_newest(Bytes key, Bytes value) {
  for (;;) {
    const auto found = shard.tree().get(key);
    if (found) co_return *found&& as_chars(**found) == as_chars(value);
    if (found.error().code() != Errc::page_absent) co_return fail(found.error());
    CO_TRY(loaded, co_await shard.store->load_absent());
  }
}

/// The same in the newest state. @error checksum, page_absent
Result<BlockData> Scrub::State::newest_data(const Record& record) {
  TRY(data, parse_data(record.value));
  if (!record.value.checksums_apart) return data;
  const uint64_t blocks = data.block_count();
  for (uint64_t chunk = 0; chunk * kChecksumsPerRecord < blocks; ++chunk) {
    TRY(found, shard.tree().get(apart_key(record, chunk)));
    std::optional<Bytes> bytes;
    if (found) bytes.emplace(found->begin(), found->end());
    TRY(added, add_checksums(data, bytes));
  }
  if (data.crcs.size() != blocks) {
    return fail(Errc::checksum, "data: its checksum records do not fit it");
  }
  return data;
}

/// The same record once more, from the newest state and with its blocks kept from being used again.
Task<Result<std::optional<Loss>>> Scrub::State::look_again(Bytes key, Bytes value) {
  CO_TRY(newest, co_await is_newest(key, value));
  if (!newest) co_return std::nullopt;
  const auto record = parse_record(key, value);
  if (!record) co_return loss_of_record(key, record.error().what());
  for (;;) {
    CO_TRY(still, co_await is_newest(key, value));
    if (!still) co_return std::nullopt;
    const auto pin = shard.store->pin_reads();
    auto data = newest_data(*record);
    if (!data && data.error().code() == Errc::page_absent) {
      auto loaded = co_await shard.store->load_absent();
      if (loaded) continue;
      data = fail(loaded.error());
    }
    if (!data) {
      const Errc code = data.error().code();
      if (code != Errc::checksum && code != Errc::io) co_return fail(data.error());
      co_return loss_of_data(key, *record, data.error().what());
    }
    CO_TRY(settled, co_await shard.settle());
    const std::vector<uint64_t> bad = co_await bad_blocks(*data);
    if (bad.empty()) co_return std::nullopt;
    Loss loss = loss_of_data(key, *record, kOtherBytes);
    loss.parts = parts_of(*record, data->skip, bad);
    co_return loss;
  }
}

/// A record that is not sound, or has data. @returns bytes read for it
Task<Result<uint64_t>> Scrub::State::look_at(Bytes key, Bytes value, Result<void> sound) {
  if (!sound) {
    CO_TRY(newest, co_await is_newest(key, value));
    if (newest) lose(loss_of_record(key, sound.error().what()));
    co_return 0;
  }
  const auto record = parse_record(key, value);
  CHECK(record.has_value());  // look_at_leaf() parsed it
  auto data = co_await find_checksums(*record);
  if (data && !options.read_data) co_return 0;
  uint64_t bytes = 0;
  if (data) {
    bytes = data->block_count() * kDataBlockBytes;
    const std::vector<uint64_t> bad = co_await bad_blocks(std::move(*data));
    if (bad.empty()) co_return bytes;
  }
  CO_TRY(loss, co_await look_again(key, value));
  if (loss) lose(std::move(*loss));
  co_return bytes;
}

/// Records of the sweep's leaf, until about `bytes_max` were read for them. By the next slice they
/// may be of an older state, like what the sweep's root says. @returns bytes read
Task<Result<uint64_t>> Scrub::State::look_at_leaf(uint64_t bytes_max) {
  uint64_t bytes = 0;
  const index::Node node = sweep.node();
  for (; slot < node.count() && bytes < bytes_max; ++slot) {
    Bytes key(node.key_bytes(slot));
    node.key(slot).copy(0, key.size(), key.data());
    if (as_chars(key) < as_chars(*low)) continue;
    ++report.records;
    if (key.size() > 4 && key[4] == static_cast<std::byte>(Range::session)) continue;
    const ByteView value = node.leaf_value(slot);
    if (in_range(key, Range::snapshot) || in_range(key, Range::transaction)) {
      const auto known =
          in_range(key, Range::snapshot) ? check_snapshot(key, value) : check_entry(key, value);
      if (!known) {
        CO_TRY(read, co_await look_at(std::move(key), Bytes(value.begin(), value.end()), known));
        bytes += read;
      }
      continue;
    }
    if (in_range(key, Range::pack) || in_range(key, Range::policy)) {
      const auto known =
          in_range(key, Range::pack) ? check_pack(key, value) : check_policy(key, value);
      if (!known) {
        CO_TRY(read, co_await look_at(std::move(key), Bytes(value.begin(), value.end()), known));
        bytes += read;
      }
      continue;
    }
    const auto record = parse_record(key, value);
    Result<void> sound = record ? check_order(*record) : Result<void>(fail(record.error()));
    if (sound) sound = check_history(*record);
    if (sound) sound = check_pending(key, *record);
    if (sound && record->key.kind == Kind::flat && record->has_value) {
      CO_TRY(read, co_await look_at_flat(std::move(key), Bytes(value.begin(), value.end())));
      bytes += read;
      continue;
    }
    if (sound && (!record->has_value || record->value.form != Form::data)) continue;
    CO_TRY(read, co_await look_at(std::move(key), Bytes(value.begin(), value.end()), sound));
    bytes += read;
  }
  if (slot == node.count()) low.reset();
  co_return bytes;
}

Scrub::Scrub(Shard& shard, ScrubOptions options)
    : state_(std::make_unique<State>(*shard.state_, options)) {}
Scrub::~Scrub() = default;

const ScrubReport& Scrub::report() const { return state_->report; }

Task<Result<bool>> Scrub::slice(uint64_t bytes) {
  State& s = *state_;
  CO_TRY(hold, s.shard.gate.enter());
  if (!std::exchange(s.begun, true)) {
    s.report.problems = co_await s.sweep.check_fixed_pages();
    s.report.pages_total = s.shard.store->stats().page_count;
  }
  for (uint64_t read = 0; read < bytes || read == 0;) {
    if (s.low) {
      CO_TRY(more, co_await s.look_at_leaf(bytes - read));
      read += more;
      s.report.bytes += more;
      continue;
    }
    auto visit = co_await s.sweep.next();
    if (!visit) co_return false;
    read += index::kPageBytes;
    s.report.bytes += index::kPageBytes;
    ++s.report.pages;
    if (visit->moved) s.last_akey.truncate(0);
    if (visit->lost != nullptr) {
      s.lose({.what = Loss::What::page,
              .cause = visit->lost,
              .low = std::move(visit->low),
              .high = std::move(visit->high),
              .page = visit->ref.page_number(),
              .level = std::min(visit->level, index::kLevelMax)});
    } else if (s.sweep.node().is_leaf()) {
      s.low = std::move(visit->low);
      s.slot = 0;
    }
  }
  co_return true;
}

}  // namespace cairn::vos
