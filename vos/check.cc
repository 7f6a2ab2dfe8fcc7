// The offline check of a shard: pages and ownership (index::Store), then every record's meaning.
#include <set>
#include <string>

#include "vos/plan.h"

namespace cairn::vos {

namespace {

constexpr size_t kProblemsMax = 100;

/// Sessions and transactions: nothing in blocks.
bool is_shards_own(ByteView key) { return key.size() > 4 && load_be32(key.data()) == 0; }

/// The data extents that a record claims; told to index::Store::check.
Result<std::vector<media::Extent>> claims_of(ByteView key, ByteView value) {
  std::vector<media::Extent> claims;
  if (is_shards_own(key) || in_range(key, Range::snapshot)) return claims;
  TRY(parsed, parse_key(key));
  if (parsed.range == Range::marker) return claims;
  TRY(v, parse_value(parsed.kind, value));
  if (v.form != Form::data) return claims;
  TRY(data, parse_data(v));
  return data.runs;
}

/// Walks the records in key order.
struct Walk {
  Shard::State& state;
  bool read_data = false;
  std::set<std::string_view> listed;  // keys that transactions list
  Key next;
  Key last_akey;          // prefix of the extents seen last
  uint64_t last_end = 0;  // and the end of the last one
  uint64_t last_record_bytes = 0;
  std::vector<std::string> problems;
  std::vector<DataRead> reads;
  Bytes buffer;

  /// One record; false at the end.
  Result<bool> step();
  Result<void> look_at(ByteView key, ByteView value);
  Result<void> look_at_entry(ByteView key, ByteView value);
  Result<void> look_at_pending(ByteView key, const ParsedKey& parsed, ByteView value);
  Result<void> look_at_snapshot(ByteView key, ByteView value);
  Result<void> look_at_data(const ParsedKey& parsed, const Key& prefix, const ValueView& value);
  void problem(ByteView key, const char* what);
};

std::string hex_of(ByteView bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const std::byte b : bytes) {
    out += kDigits[static_cast<uint8_t>(b) >> 4];
    out += kDigits[static_cast<uint8_t>(b) & 15];
  }
  return out;
}

void Walk::problem(ByteView key, const char* what) {
  if (problems.size() < kProblemsMax) problems.push_back("record " + hex_of(key) + ": " + what);
}

Result<void> Walk::look_at_data(const ParsedKey& parsed, const Key& prefix,
                                const ValueView& value) {
  if (value.form != Form::data) return {};
  KeyPath path(ObjectPath{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
  // The tree as it is: the prefix may be one of a slot.
  Look look(state, path);
  const uint64_t end = parsed.kind == Kind::extent ? parsed.position : 0;
  TRY(data, look.block_data(prefix, end, value));
  if (read_data) reads.push_back({std::move(data), 0, {{nullptr, value.payload_bytes}}});
  return {};
}

/// A record that stands aside: listed by its transaction, and of its epoch.
Result<void> Walk::look_at_pending(ByteView key, const ParsedKey& parsed, ByteView value) {
  TRY(v, parse_value(parsed.kind, value));
  if (v.epoch != parsed.epoch) {
    return fail(Errc::checksum, "pending: key and value differ in epoch");
  }
  if (!listed.contains(as_chars(key))) {
    return fail(Errc::checksum, "pending: no transaction lists it");
  }
  if (parsed.kind == Kind::extent && v.count > parsed.position) {
    return fail(Errc::checksum, "extent begins before record 0");
  }
  if (v.form != Form::data) return {};
  TRY(data, parse_data(v));
  return {};
}

/// A head that memory agrees with, or a list of keys.
Result<void> Walk::look_at_entry(ByteView key, ByteView value) {
  TRY(parsed, parse_transaction_key(key));
  const StandingTx* tx = state.unresolved.find(parsed.id);
  if (tx == nullptr) return fail(Errc::checksum, "entry: of a transaction that is over");
  if (parsed.chunk != 0) {
    TRY(keys, parse_entry_keys(value));
    return {};
  }
  TRY(head, parse_entry_head(value));
  if (head.state != tx->state || head.epoch != tx->epoch) {
    return fail(Errc::checksum, "entry: another state than memory has");
  }
  return {};
}

Result<void> Walk::look_at_snapshot(ByteView key, ByteView value) {
  TRY(epoch, parse_snapshot_key(key));
  TRY(parsed, parse_snapshot(value));
  const Snapshot* const known = state.snapshots.find(load_be32(key.data()), epoch);
  if (known == nullptr || known->state != parsed) {
    return fail(Errc::checksum, "a snapshot that memory does not know");
  }
  return {};
}

Result<void> Walk::look_at(ByteView key, ByteView value) {
  if (in_range(key, Range::transaction)) return look_at_entry(key, value);
  if (in_range(key, Range::snapshot)) return look_at_snapshot(key, value);
  TRY(parsed, parse_key(key));
  if (parsed.range == Range::pending) return look_at_pending(key, parsed, value);
  if (parsed.range == Range::marker) {
    if (value.size() < 9 || epoch_of(value) != parsed.epoch) {
      return fail(Errc::checksum, "malformed marker");
    }
    return {};
  }
  TRY(v, parse_value(parsed.kind, value));
  if (parsed.range == Range::history) {
    if (state.snapshots.find(parsed.container, parsed.slot) == nullptr) {
      return fail(Errc::checksum, "an older version that no snapshot sees");
    }
    if (v.epoch > parsed.slot) return fail(Errc::checksum, "a version newer than its snapshot");
  }
  const size_t tail = key.size() - [&] {
    KeyPath path(ObjectPath{parsed.container, parsed.oid, static_cast<uint32_t>(parsed.shard)});
    const Key dkey = path.dkey(parsed.dkey);
    const size_t slot = parsed.range == Range::history ? 8 : 0;
    return path.akey(dkey, parsed.akey).size() + slot;
  }();
  Key prefix;
  prefix.add(key.first(key.size() - tail));
  if (parsed.kind == Kind::extent) {
    if (v.count > parsed.position) return fail(Errc::checksum, "extent begins before record 0");
    const bool same = as_chars(last_akey) == as_chars(prefix);
    if (same && parsed.position - v.count < last_end) {
      return fail(Errc::checksum, "extents overlap");
    }
  }
  TRY(looked, look_at_data(parsed, prefix, v));
  // Only now: a missing page makes this record be looked at again.
  if (parsed.kind == Kind::extent) {
    last_akey = prefix;
    last_end = parsed.position;
  }
  return {};
}

Result<bool> Walk::step() {
  index::Cursor cursor(state.tree());
  TRY(sought, cursor.seek(next));
  if (!cursor.valid()) return false;
  Key key;
  if (cursor.key().size() >= Key::kRoom) {
    return fail(Errc::checksum, "a key is longer than any of ours");
  }
  key.add(cursor.key());
  if (key.size() > 4 && key.view()[4] != static_cast<std::byte>(Range::session)) {
    auto looked = look_at(key, cursor.value());
    if (!looked && looked.error().code() == Errc::page_absent) return fail(looked.error());
    if (!looked) problem(key, looked.error().what());
  }
  next = key;
  next.add(0);
  return true;
}

Task<Result<void>> verify_data(Walk& walk) {
  for (DataRead& read : std::exchange(walk.reads, {})) {
    // In windows, so that a huge value needs little memory.
    const uint64_t bytes = read.into[0].bytes;
    constexpr uint64_t kWindow = 4u << 20;
    walk.buffer.resize(std::min(bytes, kWindow));
    for (uint64_t at = 0; at < bytes; at += kWindow) {
      const uint64_t n = std::min(kWindow, bytes - at);
      auto done = co_await cairn::vos::read_data(walk.state.reactor, *walk.state.store,
                                                 {read.data, at, {{walk.buffer.data(), n}}});
      if (!done) {
        walk.problem(walk.next, done.error().what());
        break;
      }
    }
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<index::Store::CheckReport>> Shard::check(bool read_data) {
  CO_TRY(hold, state_->gate.enter());
  // The walk compares one root with who owns what; removals in the background would move both.
  co_await reclaimed();
  struct Pause {
    explicit Pause(State& s) : state(s) { ++state.checks; }
    ~Pause() { --state.checks; }
    State& state;
  } pause(*state_);
  while (state_->merging) co_await state_->merges_moved.wait();
  CO_TRY(report, co_await state_->store->check(claims_of));
  Walk walk{*state_, read_data};
  for (const auto& [id, tx] : state_->unresolved.all()) {
    walk.listed.insert(tx.keys.begin(), tx.keys.end());
  }
  for (;;) {
    auto stepped = walk.step();
    if (stepped && !*stepped) break;
    if (!stepped && stepped.error().code() == Errc::page_absent) {
      CO_TRY(loaded, co_await state_->store->load_absent());
      continue;
    }
    if (!stepped) {
      walk.problem(walk.next, stepped.error().what());
      break;
    }
    if (!walk.reads.empty()) {
      CO_TRY(verified, co_await verify_data(walk));
    }
  }
  for (std::string& p : walk.problems) report.problems.push_back(std::move(p));
  co_return std::move(report);
}

}  // namespace cairn::vos
