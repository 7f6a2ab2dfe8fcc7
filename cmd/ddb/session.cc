#include "cmd/ddb/session.h"

#include <unistd.h>

#include <filesystem>

#include "base/report.h"
#include "cmd/embed/claim_home.h"
#include "cmd/embed/home_dir.h"
#include "runtime/clock.h"
#include "runtime/random.h"
#include "service/embedded_config_store.h"
#include "service/records.h"

namespace cairn::ddb {

namespace {

namespace fs = std::filesystem;

bool is_file(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

/// The newest whole one of the four copies.
Task<Result<index::Superblock>> newest_superblock(media::Device& meta) {
  const uint64_t pages = meta.size_bytes() / index::kPageBytes;
  if (pages < 2 * index::kEdgePages) co_return fail(Errc::format_invalid, "store: too small");
  std::optional<index::Superblock> best;
  Error why{Errc::checksum, "store: no copy of the superblock is whole"};
  media::AlignedBuffer slot(index::kSuperblockBytesMax);
  for (uint32_t parity = 0; parity < 2; ++parity) {
    for (uint64_t copy = 0; copy < index::kSuperblockCopies; ++copy) {
      const auto read =
          co_await meta.read(index::superblock_offset(pages, parity, copy), slot.span());
      if (!read) continue;
      auto parsed = index::parse_superblock(slot.view());
      if (!parsed) {
        if (parsed.error().code() != Errc::nonexistent) why = parsed.error();
        continue;
      }
      if (!best || parsed->generation > best->generation) best = std::move(*parsed);
    }
  }
  if (!best) co_return fail(why);
  co_return *best;
}

Result<void> no_such_pool(const std::string& home, const std::string& name) {
  report(Severity::error,
         home + ": there is no pool '" + name + "'; `dmg pool list` names those that there are");
  return fail(Errc::nonexistent, "ddb: no such pool");
}

}  // namespace

Result<std::unique_ptr<Session>> Session::open(const Place& place, bool writable) {
  std::unique_ptr<Session> session(new Session);
  session->writable_ = writable;
  TRY(io, make_io_backend(IoDrivers::one));
  session->reactor_ = std::make_unique<Reactor>(system_clock(), system_random(), std::move(io));
  session->context_ = std::make_unique<Context>(*session->reactor_);
  TRY(found, session->find_place(place));
  TRY(opened, session->run(session->open_files()));
  const auto super = session->superblock();
  // The shard says whose it is, so that a copy under another name can be looked at.
  if (super) {
    store_be64(reinterpret_cast<std::byte*>(session->pool_.bytes.data()), super->owner_tag[0]);
    store_be64(reinterpret_cast<std::byte*>(session->pool_.bytes.data()) + 8, super->owner_tag[1]);
  }
  return session;
}

Result<void> Session::find_place(const Place& place) {
  if (place.directory.empty()) {
    TRY(home, embed::resolve_home(place.home));
    home_ = home;
  } else {
    std::error_code error;
    fs::path path = fs::absolute(place.directory, error).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
    std::string target = std::to_string(place.target);
    const std::string last = path.filename();
    if (last.find_first_not_of("0123456789") == last.npos && is_file(path.string() + "/meta")) {
      target = last;
      path = path.parent_path();
    }
    directory_ = path.string() + "/" + target;
    if (!is_file(directory_ + "/meta") && is_file(path.string() + "/meta")) directory_ = path;
    if (!is_file(directory_ + "/meta")) {
      report(Severity::error, path.string() +
                                  ": holds no shard; give the pool's directory in the "
                                  "home (HOME/pools/UUID), or --home and --pool");
      return fail(Errc::nonexistent, "ddb: no shard in that directory");
    }
    pool_name_ = path.filename();
    const fs::path home = path.parent_path().parent_path();
    if (path.parent_path().filename() != "pools" || !is_file(home.string() + "/home")) return {};
    home_ = home.string();
  }
  TRY(usable, embed::prepare_home(home_, false));
  TRY(file, embed::load_home(home_));
  if (!file) {
    report(Severity::error, home_ + ": there is no home");
    return fail(Errc::nonexistent, "home: none in that directory");
  }
  TRY(lock, embed::claim_home(home_, embed::HomeUse::embed));
  lock_ = std::move(lock);
  if (directory_.empty()) pool_name_ = place.pool;
  const auto named = run(read_names());
  if (directory_.empty()) {
    if (!named) return named;
    if (pool_.is_nil()) return no_such_pool(home_, place.pool);
    target_ = place.target;
    directory_ = home_ + "/pools/" + to_string(pool_) + "/" + std::to_string(target_);
    // The pool's blobs may lie on devices.
    auto storage = run(embed::Storage::open(*reactor_, home_, file->uuid));
    if (!storage) return fail(storage.error());
    storage_ = std::move(*storage);
  }
  return {};
}

/// The pool's UUID and its containers' names from the config store, which is not changed.
Task<Result<void>> Session::read_names() {
  CO_TRY(file, embed::load_home(home_));
  CO_TRY(files, co_await embed::open_blob_files(*reactor_, home_ + "/system"));
  OverlayDevice wal(*files.wal), meta(*files.meta), data(*files.data);
  auto opened =
      co_await service::EmbeddedConfigStore::open(*reactor_, {&wal, &meta, &data}, file->uuid);
  if (!opened) {
    report(Severity::warning, home_ + "/system: cannot be opened: " + opened.error().what() +
                                  "; name the pool by its directory (-s)");
    co_return fail(opened.error());
  }
  service::EmbeddedConfigStore& config = **opened;
  const auto read =
      co_await [](service::EmbeddedConfigStore& from, Session& into) -> Task<Result<void>> {
    CO_TRY(pools, co_await from.range("pools/"));
    for (const service::ConfigEntry& entry : pools) {
      const std::string_view uuid = std::string_view(entry.key).substr(sizeof("pools/") - 1);
      const auto record = service::parse_record<service::PoolRecord>(entry.value);
      if (uuid != into.pool_name_ && (!record || record->label != into.pool_name_)) continue;
      if (const auto parsed = parse_uuid(uuid)) into.pool_ = *parsed;
    }
    const std::string prefix = service::conts_prefix(into.pool_);
    CO_TRY(conts, co_await from.range(prefix));
    for (const service::ConfigEntry& entry : conts) {
      const auto uuid = parse_uuid(std::string_view(entry.key).substr(prefix.size()));
      const auto record = service::parse_record<service::ContRecord>(entry.value);
      if (uuid && record) into.containers_[record->number] = {*uuid, record->label};
    }
    co_return Result<void>{};
  }(config, *this);
  const auto closed = co_await config.close();
  co_return read ? closed : read;
}

Task<Result<void>> Session::open_files() {
  if (storage_) {
    CO_TRY(blobs, co_await storage_->open(pool_, target_));
    files_ = std::move(blobs);
  } else {
    CO_TRY(blobs, co_await embed::open_blob_files(*reactor_, directory_));
    files_ = std::move(blobs);
  }
  wal_.emplace(*files_.wal);
  meta_.emplace(*files_.meta);
  data_.emplace(*files_.data);
  co_return Result<void>{};
}

Result<index::Superblock> Session::superblock() { return run(newest_superblock(*files_.meta)); }

Result<vos::Shard*> Session::shard() {
  if (shard_) return shard_.get();
  index::StoreDevices devices = files_.devices();
  if (!writable_) devices = {&*wal_, &*meta_, &*data_};
  // Looking is not to set removals in the background going.
  const vos::ShardOptions options{.store = {}, .reclaim = writable_};
  auto opened = run(vos::Shard::open(*reactor_, devices, pool_, options));
  if (!opened) return fail(opened.error());
  shard_ = std::move(*opened);
  return shard_.get();
}

Result<void> Session::close() {
  if (!shard_) return {};
  auto closed = run(shard_->close());
  shard_.reset();
  return closed;
}

Session::~Session() {
  [[maybe_unused]] const auto closed = close();
  context_.reset();
  files_ = {};
  reactor_.reset();
}

}  // namespace cairn::ddb
