#include "service/embedded_config_store.h"

#include <cstring>

#include "base/crc32c.h"
#include "service/config_format.h"

namespace cairn::service {

using media::Extent;
using media::kBlockBytes;

namespace {

// Sorts before every text key and is none itself.
constexpr std::byte kRevisionKey[1] = {};

/// What index::BatchData::digest asks for, of `part` filled up with zeros to whole blocks.
uint32_t digest_of(ByteView part) {
  Bytes sums;
  for (size_t at = 0; at < part.size(); at += kBlockBytes) {
    Bytes block(kBlockBytes);
    std::memcpy(block.data(), part.data() + at, std::min<size_t>(kBlockBytes, part.size() - at));
    sums.resize(sums.size() + 4);
    store_le32(sums.data() + sums.size() - 4, crc32c(block));
  }
  return crc32c(sums);
}

bool key_is_fine(const std::string& key) {
  return !key.empty() && key.size() <= kConfigKeyBytesMax && key.find('\0') == std::string::npos;
}

}  // namespace

/// One key's record.
struct EmbeddedConfigStore::Found {
  std::string key;
  ConfigValue parsed;
};

/// The extents for one put of the transaction; none if the value stands in the tree.
struct Blob {
  std::vector<Extent> extents;
};

struct EmbeddedConfigStore::Plan {
  index::Batch batch;
  Revision revision = 0;
};

namespace {

/// The blocks that a record owns.
Result<std::vector<Extent>> claims_of(ByteView, ByteView value) {
  TRY(parsed, parse_config_value(value));
  return std::move(parsed.extents);
}

index::StoreOptions store_options(const Uuid& home) {
  index::StoreOptions options;
  options.owner_tag[0] = load_le64(home.bytes.data());
  options.owner_tag[1] = load_le64(home.bytes.data() + 8);
  options.memory_bytes = 32u << 20;
  options.claims = claims_of;
  return options;
}

}  // namespace

Task<Result<std::unique_ptr<EmbeddedConfigStore>>> EmbeddedConfigStore::create(
    Reactor& reactor, index::StoreDevices devices, Uuid home) {
  CO_TRY(store, co_await index::Store::create(reactor, devices, store_options(home)));
  co_return std::unique_ptr<EmbeddedConfigStore>(
      new EmbeddedConfigStore(reactor, std::move(store)));
}

Task<Result<std::unique_ptr<EmbeddedConfigStore>>> EmbeddedConfigStore::open(
    Reactor& reactor, index::StoreDevices devices, Uuid home) {
  CO_TRY(store, co_await index::Store::open(reactor, devices, store_options(home),
                                            [](const index::RecordHeader&) {}));
  co_return std::unique_ptr<EmbeddedConfigStore>(
      new EmbeddedConfigStore(reactor, std::move(store)));
}

Task<Result<void>> EmbeddedConfigStore::close() {
  co_await gate_.close();
  co_return co_await store_->close();
}

Result<std::optional<EmbeddedConfigStore::Found>> EmbeddedConfigStore::look(ByteView key) {
  TRY(value, store_->tree().get(key));
  if (!value) return std::optional<Found>();
  TRY(parsed, parse_config_value(*value));
  return std::optional<Found>(Found{std::string(as_chars(key)), std::move(parsed)});
}

Result<void> EmbeddedConfigStore::scan(const std::string& prefix, std::vector<Found>& into) {
  into.clear();
  index::Cursor cursor(store_->tree());
  TRY(sought, cursor.seek(as_bytes(prefix)));
  while (cursor.valid() && as_chars(cursor.key()).starts_with(prefix)) {
    TRY(parsed, parse_config_value(cursor.value()));
    into.push_back({std::string(as_chars(cursor.key())), std::move(parsed)});
    TRY(moved, cursor.next());
  }
  return {};
}

/// The caller holds a pin since it looked.
Task<Result<ConfigEntry>> EmbeddedConfigStore::load(Found found) {
  Bytes value = std::move(found.parsed.inline_value);
  for (const Extent& extent : found.parsed.extents) {
    const size_t at = value.size();
    value.resize(at + size_t{extent.count} * kBlockBytes);
    CO_TRY(done, co_await store_->read_data(extent, 0, ByteSpan(value).subspan(at)));
  }
  value.resize(found.parsed.bytes);
  if (crc32c(value) != found.parsed.crc) {
    co_return fail(Errc::checksum, "config store: a value's bytes are damaged");
  }
  co_return ConfigEntry{std::move(found.key), std::move(value), found.parsed.modified};
}

Task<Result<std::optional<ConfigEntry>>> EmbeddedConfigStore::get(std::string key) {
  CO_TRY(hold, gate_.enter());
  for (;;) {
    const auto pin = store_->pin_reads();
    auto found = look(as_bytes(key));
    if (!found && found.error().code() == Errc::page_absent) {
      CO_TRY(loaded, co_await store_->load_absent());
      continue;
    }
    if (!found) co_return fail(found.error());
    const media::Lsn seen = store_->appended();
    std::optional<ConfigEntry> entry;
    if (*found) {
      CO_TRY(loaded, co_await load(std::move(**found)));
      entry = std::move(loaded);
    }
    CO_TRY(durable, co_await store_->durable(seen));
    CO_TRY(ended, co_await store_->end_step());
    co_return entry;
  }
}

Task<Result<std::vector<ConfigEntry>>> EmbeddedConfigStore::range(std::string prefix) {
  CO_TRY(hold, gate_.enter());
  for (;;) {
    const auto pin = store_->pin_reads();
    std::vector<Found> found;
    const auto scanned = scan(prefix, found);
    if (!scanned && scanned.error().code() == Errc::page_absent) {
      CO_TRY(loaded, co_await store_->load_absent());
      continue;
    }
    if (!scanned) co_return fail(scanned.error());
    const media::Lsn seen = store_->appended();
    std::vector<ConfigEntry> entries;
    for (Found& one : found) {
      CO_TRY(loaded, co_await load(std::move(one)));
      entries.push_back(std::move(loaded));
    }
    CO_TRY(durable, co_await store_->durable(seen));
    CO_TRY(ended, co_await store_->end_step());
    co_return entries;
  }
}

/// Checks the requirements and builds the batch. Plain: may be repeated after page_absent.
Result<void> EmbeddedConfigStore::plan_commit(const ConfigTxn& txn, const std::vector<Blob>& blobs,
                                              Plan& plan) {
  plan = {};
  for (const auto& required : txn.require) {
    TRY(found, look(as_bytes(required.key)));
    if ((found ? found->parsed.modified : 0) != required.modified) {
      return fail(Errc::again, "config store: changed by somebody else; look again");
    }
  }
  TRY(newest, look(kRevisionKey));
  plan.revision = (newest ? newest->parsed.modified : 0) + 1;
  plan.batch.put(kRevisionKey, encode_config_value(plan.revision, {}, {}));
  for (size_t i = 0; i < txn.puts.size(); ++i) {
    const auto& put = txn.puts[i];
    TRY(old, look(as_bytes(put.key)));
    if (old) {
      for (const Extent& extent : old->parsed.extents) plan.batch.free(extent);
    }
    ByteView rest = put.value;
    for (const Extent& extent : blobs[i].extents) {
      const size_t room = size_t{extent.count} * kBlockBytes;
      const ByteView part = rest.first(std::min(rest.size(), room));
      plan.batch.publish({extent, digest_of(part)});
      rest = rest.subspan(part.size());
    }
    plan.batch.put(as_bytes(put.key),
                   encode_config_value(plan.revision, put.value, blobs[i].extents));
  }
  for (const auto& key : txn.deletes) {
    TRY(old, look(as_bytes(key)));
    if (!old) continue;
    for (const Extent& extent : old->parsed.extents) plan.batch.free(extent);
    plan.batch.erase(as_bytes(key));
  }
  return store_->tree().prepare(plan.batch);
}

/// Plain: extents for the long values, or nothing.
Result<std::vector<Blob>> EmbeddedConfigStore::reserve_now(const ConfigTxn& txn) {
  std::vector<Blob> blobs(txn.puts.size());
  for (size_t i = 0; i < txn.puts.size(); ++i) {
    if (txn.puts[i].value.size() <= kConfigInlineBytesMax) continue;
    auto extents = store_->reserve_data(txn.puts[i].value.size());
    if (extents && extents->size() <= kConfigExtentsMax) {
      blobs[i].extents = std::move(*extents);
      continue;
    }
    if (extents) store_->cancel_data(*extents);
    cancel(blobs);
    return fail(Errc::no_space, "config store: no room for the value; remove attributes");
  }
  return blobs;
}

void EmbeddedConfigStore::cancel(const std::vector<Blob>& blobs) {
  for (const Blob& blob : blobs) {
    if (!blob.extents.empty()) store_->cancel_data(blob.extents);
  }
}

Task<Result<std::vector<Blob>>> EmbeddedConfigStore::reserve(const ConfigTxn& txn) {
  auto blobs = reserve_now(txn);
  if (blobs || !store_->waits_for_blocks()) co_return blobs;
  // What was freed last is reusable only after the log has gone on; where it is may have to be
  // read.
  if (store_->stats().data.deferred != 0) {
    CO_TRY(done, co_await store_->checkpoint());
  }
  CO_TRY(admitted, co_await store_->admit());
  co_return reserve_now(txn);
}

Task<Result<Revision>> EmbeddedConfigStore::commit_blobs(const ConfigTxn& txn,
                                                         const std::vector<Blob>& blobs,
                                                         bool& published) {
  Plan plan;
  CO_TRY(admitted, co_await store_->admit());
  for (;;) {
    const auto planned = plan_commit(txn, blobs, plan);
    if (planned) break;
    if (planned.error().code() != Errc::page_absent) co_return fail(planned.error());
    CO_TRY(loaded, co_await store_->load_absent());
  }
  const index::RecordHeader header{.epoch = plan.revision};
  const media::Lsn position =
      store_->commit(header, plan.batch, {.epoch_highest = plan.revision, .read_lease = 0});
  published = true;
  std::vector<index::Store::DataWrite> writes;
  for (size_t i = 0; i < blobs.size(); ++i) {
    // A write only reads through the piece's pointer.
    auto* data = const_cast<std::byte*>(txn.puts[i].value.data());
    size_t rest = txn.puts[i].value.size();
    for (const Extent& extent : blobs[i].extents) {
      const size_t part = std::min<size_t>(rest, size_t{extent.count} * kBlockBytes);
      writes.push_back({extent, {{data, part}}});
      data += part;
      rest -= part;
    }
  }
  if (!writes.empty()) {
    CO_TRY(written, co_await store_->write_data(position, std::move(writes)));
  }
  CO_TRY(durable, co_await store_->durable(position));
  co_return plan.revision;
}

Task<Result<Revision>> EmbeddedConfigStore::commit_inside(const ConfigTxn& txn) {
  CO_TRY(blobs, co_await reserve(txn));
  bool published = false;
  auto revision = co_await commit_blobs(txn, blobs, published);
  if (!published) cancel(blobs);
  if (!revision) co_return fail(revision.error());
  CO_TRY(ended, co_await store_->end_step());
  co_return *revision;
}

Task<Result<Revision>> EmbeddedConfigStore::commit(ConfigTxn txn) {
  CO_TRY(hold, gate_.enter());
  size_t record_bytes = 0;
  for (const auto& put : txn.puts) {
    if (!key_is_fine(put.key)) co_return fail(Errc::invalid, "config store: bad key");
    if (put.value.size() > kConfigValueBytesMax) {
      co_return fail(Errc::invalid, "config store: a value over 1 MiB");
    }
    record_bytes += put.key.size() + std::min(put.value.size(), kConfigInlineBytesMax) + 64;
  }
  for (const auto& key : txn.deletes) record_bytes += key.size() + 64;
  if (record_bytes + 256 > store_->record_bytes_max()) {
    co_return fail(Errc::invalid, "config store: too many changes at once; make them in parts");
  }
  CO_TRY(revision, co_await commit_inside(txn));
  notify(txn, revision);
  co_return revision;
}

void EmbeddedConfigStore::watch(std::string prefix, std::function<void(Revision)> changed) {
  watches_.push_back({std::move(prefix), std::move(changed)});
}

void EmbeddedConfigStore::notify(const ConfigTxn& txn, Revision revision) {
  for (const Watch& watch : watches_) {
    bool touched = false;
    for (const auto& put : txn.puts) touched |= put.key.starts_with(watch.prefix);
    for (const auto& key : txn.deletes) touched |= key.starts_with(watch.prefix);
    if (touched) watch.changed(revision);
  }
}

Task<Result<index::Store::CheckReport>> EmbeddedConfigStore::check() {
  CO_TRY(report, co_await store_->check(claims_of));
  CO_TRY(entries, co_await range(""));  // reads and verifies every value
  co_return report;
}

}  // namespace cairn::service
