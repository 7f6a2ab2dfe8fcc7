#include "cmd/embed/storage.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "media/blob_store.h"
#include "media/file_device.h"
#include "media/striped_device.h"
#include "runtime/random.h"

namespace cairn::embed {

using media::BlobId;
using media::BlobRole;
using DevicePtr = std::unique_ptr<media::Device>;

namespace {

constexpr const char* kRoleFiles[media::kBlobRoles] = {"wal", "meta", "data"};

bool is_directory(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/// The directory on a device that is a home's own.
std::string own_directory(const std::string& path, Uuid home_id) {
  return path + "/cairn-" + to_string(home_id);
}

std::string pool_directory(const std::string& base, Uuid pool) {
  return base + "/pools/" + to_string(pool);
}

std::unexpected<Error> refuse(const std::string& path, const Error& error, const char* way_out) {
  report(Severity::error, path + ": " + error.what() + "; " + way_out);
  return fail(error);
}

}  // namespace

/// One device: where blobs go.
class Storage::Place {
 public:
  virtual ~Place() = default;
  /// Errors have had their line on stderr.
  virtual Task<Result<DevicePtr>> create(BlobId id, media::BlobCreate options) = 0;
  virtual Task<Result<DevicePtr>> open(BlobId id) = 0;
  virtual Task<Result<void>> remove(Uuid pool) = 0;
  virtual media::BlobSpace space() const = 0;
};

namespace {

class DirectoryPlace final : public Storage::Place {
 public:
  DirectoryPlace(Reactor& reactor, std::string base) : reactor_(reactor), base_(std::move(base)) {}

  Task<Result<DevicePtr>> create(BlobId id, media::BlobCreate options) override {
    CO_TRY(pools, make_directory(base_ + "/pools"));
    CO_TRY(pool, make_directory(pool_directory(base_, id.owner)));
    CO_TRY(target, make_directory(directory_of(id)));
    co_return co_await media::open_file_device(
        reactor_, path_of(id), {.create = true, .fill = options.fill, .bytes = options.bytes});
  }
  Task<Result<DevicePtr>> open(BlobId id) override {
    return media::open_file_device(reactor_, path_of(id), {});
  }
  Task<Result<void>> remove(Uuid pool) override {
    co_return remove_tree(pool_directory(base_, pool));
  }
  media::BlobSpace space() const override {
    struct statvfs status;
    if (statvfs(base_.c_str(), &status) != 0) return {};
    return {status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize};
  }

 private:
  std::string directory_of(BlobId id) const {
    return pool_directory(base_, id.owner) + "/" + std::to_string(id.number);
  }
  std::string path_of(BlobId id) const {
    return directory_of(id) + "/" + kRoleFiles[static_cast<size_t>(id.role)];
  }

  Reactor& reactor_;
  const std::string base_;
};

class SharedPlace final : public Storage::Place {
 public:
  SharedPlace(std::string path, std::unique_ptr<media::BlobStore> store)
      : path_(std::move(path)), store_(std::move(store)) {}

  Task<Result<DevicePtr>> create(BlobId id, media::BlobCreate options) override {
    auto made = co_await store_->create(id, options);
    if (!made) co_return refuse(path_, made.error(), "ask for a smaller pool, or destroy another");
    co_return made;
  }
  Task<Result<DevicePtr>> open(BlobId id) override {
    auto opened = store_->open(id);
    if (!opened) co_return refuse(path_, opened.error(), "the pool cannot be used without it");
    co_return opened;
  }
  Task<Result<void>> remove(Uuid pool) override { return store_->remove(pool); }
  media::BlobSpace space() const override { return store_->space(); }

 private:
  const std::string path_;
  std::unique_ptr<media::BlobStore> store_;
};

Task<Result<std::unique_ptr<Storage::Place>>> open_place(Reactor& reactor, StorageDevice device,
                                                         Uuid home_id) {
  if (is_directory(device.path)) {
    const std::string base = own_directory(device.path, home_id);
    if (!is_directory(base)) {
      co_return refuse(base, {Errc::nonexistent, "is not there"},
                       "mount the device that holds it, or set its path in the file 'storage'");
    }
    co_return std::make_unique<DirectoryPlace>(reactor, base);
  }
  CO_TRY(whole, co_await media::open_file_device(reactor, device.path, {.whole = true}));
  auto store =
      co_await media::BlobStore::open(reactor, std::move(whole), {device.uuid, home_id});
  if (!store) {
    co_return refuse(device.path, store.error(),
                     "attach the right device, or set its path in the file 'storage'");
  }
  co_return std::make_unique<SharedPlace>(device.path, std::move(*store));
}

Task<Result<void>> prepare_device(Reactor& reactor, StorageDevice device, Uuid home_id,
                                  bool wipe) {
  if (is_directory(device.path)) co_return make_directory(own_directory(device.path, home_id));
  CO_TRY(whole, co_await media::open_file_device(reactor, device.path, {.whole = true}));
  if (!wipe) {
    CO_TRY(blank, co_await media::BlobStore::is_blank(*whole));
    if (!blank) {
      co_return refuse(device.path, {Errc::exists, "holds data already"},
                       "choose another device; 'wipe' in its option, or dmg storage format "
                       "--force, loses what it holds");
    }
  }
  auto made = co_await media::BlobStore::format(reactor, std::move(whole), {device.uuid, home_id});
  if (!made) co_return refuse(device.path, made.error(), "choose another device");
  co_return Result<void>{};
}

}  // namespace

Storage::Storage(Reactor& reactor) : reactor_(reactor) {}
Storage::~Storage() = default;

Task<Result<Blobs>> create_blob_files(Reactor& reactor, std::string directory,
                                      service::ShardSizes sizes) {
  Blobs blobs;
  // The large ones first: a full file system is found before anything is filled.
  CO_TRY(data, co_await media::open_file_device(reactor, directory + "/data",
                                                {.create = true, .bytes = sizes.data_bytes}));
  CO_TRY(meta, co_await media::open_file_device(reactor, directory + "/meta",
                                                {.create = true, .bytes = sizes.meta_bytes}));
  CO_TRY(wal, co_await media::open_file_device(
                  reactor, directory + "/wal",
                  {.create = true, .fill = true, .bytes = sizes.wal_bytes}));
  blobs.data = std::move(data);
  blobs.meta = std::move(meta);
  blobs.wal = std::move(wal);
  co_return blobs;
}

Task<Result<Blobs>> open_blob_files(Reactor& reactor, std::string directory) {
  Blobs blobs;
  CO_TRY(wal, co_await media::open_file_device(reactor, directory + "/wal", {}));
  CO_TRY(meta, co_await media::open_file_device(reactor, directory + "/meta", {}));
  CO_TRY(data, co_await media::open_file_device(reactor, directory + "/data", {}));
  blobs.wal = std::move(wal);
  blobs.meta = std::move(meta);
  blobs.data = std::move(data);
  co_return blobs;
}

Task<Result<void>> Storage::prepare(Reactor& reactor, std::string home, Uuid home_id,
                                    std::vector<client::HomeDevice> wishes) {
  if (wishes.empty()) co_return Result<void>{};
  std::vector<StorageDevice> list;
  for (const client::HomeDevice& wish : wishes) {
    StorageDevice device{.uuid = uuid_from_random(reactor.random().bytes16()), .path = wish.path};
    const auto roles = parse_roles(wish.roles, device.roles);
    if (!roles) co_return refuse(wish.path, roles.error(), "for example PATH=wal,meta");
    list.push_back(std::move(device));
  }
  // What could not be read back is not written: the same checks, before a device is touched.
  size_t line = 0;
  const auto sound = parse_storage(format_storage(list), &line);
  if (!sound) co_return refuse(home, {Errc::invalid, sound.error().what()}, "change the devices");
  for (size_t i = 0; i < list.size(); ++i) {
    CO_TRY(prepared, co_await prepare_device(reactor, list[i], home_id, wishes[i].wipe));
  }
  co_return store_small_file(home, "storage", as_bytes(format_storage(list)));
}

Task<Result<std::unique_ptr<Storage>>> Storage::open(Reactor& reactor, std::string home,
                                                     Uuid home_id) {
  std::unique_ptr<Storage> storage(new Storage(reactor));
  const std::string path = home + "/storage";
  if (access(path.c_str(), F_OK) != 0) {
    storage->list_.push_back({.uuid = home_id, .roles = {true, true, true}, .path = home});
    storage->places_.push_back(std::make_unique<DirectoryPlace>(reactor, home));
    co_return std::move(storage);
  }
  const auto bytes = read_small_file(path, kStorageFileBytesMax);
  if (!bytes) {
    co_return refuse(path, {Errc::format_invalid, "cannot be read, or is longer than 64 KiB"},
                     "restore it from a backup");
  }
  size_t line = 0;
  auto list = parse_storage(as_chars(*bytes), &line);
  if (!list) {
    const std::string at = line == 0 ? path : path + ", line " + std::to_string(line);
    co_return refuse(at, list.error(), "docs/formats/home.md shows what it may hold");
  }
  storage->list_ = std::move(*list);
  for (const StorageDevice& device : storage->list_) {
    CO_TRY(place, co_await open_place(reactor, device, home_id));
    storage->places_.push_back(std::move(place));
  }
  co_return std::move(storage);
}

std::vector<Storage::Place*> Storage::places_of(BlobRole role) const {
  std::vector<Place*> places;
  for (size_t i = 0; i < list_.size(); ++i) {
    if (list_[i].roles[static_cast<size_t>(role)]) places.push_back(places_[i].get());
  }
  return places;
}

Task<Result<DevicePtr>> Storage::create_role(BlobId id, uint64_t bytes) {
  const std::vector<Place*> places = places_of(id.role);
  const uint64_t each = places.size() == 1
                            ? bytes
                            : round_up(bytes, media::kStripeBytes * places.size()) / places.size();
  std::vector<DevicePtr> parts;
  for (Place* place : places) {
    CO_TRY(part, co_await place->create(id, {.bytes = each, .fill = id.role == BlobRole::wal}));
    parts.push_back(std::move(part));
  }
  co_return media::make_striped(reactor_, std::move(parts));
}

Task<Result<DevicePtr>> Storage::open_role(BlobId id) {
  std::vector<DevicePtr> parts;
  for (Place* place : places_of(id.role)) {
    CO_TRY(part, co_await place->open(id));
    parts.push_back(std::move(part));
  }
  co_return media::make_striped(reactor_, std::move(parts));
}

Task<Result<Blobs>> Storage::create(Uuid pool, uint32_t target, service::ShardSizes sizes) {
  Blobs blobs;
  // The large ones first: a full device is found before anything is filled.
  CO_TRY(data, co_await create_role({pool, target, BlobRole::data}, sizes.data_bytes));
  CO_TRY(meta, co_await create_role({pool, target, BlobRole::meta}, sizes.meta_bytes));
  CO_TRY(wal, co_await create_role({pool, target, BlobRole::wal}, sizes.wal_bytes));
  blobs.data = std::move(data);
  blobs.meta = std::move(meta);
  blobs.wal = std::move(wal);
  co_return blobs;
}

Task<Result<Blobs>> Storage::open(Uuid pool, uint32_t target) {
  Blobs blobs;
  CO_TRY(wal, co_await open_role({pool, target, BlobRole::wal}));
  CO_TRY(meta, co_await open_role({pool, target, BlobRole::meta}));
  CO_TRY(data, co_await open_role({pool, target, BlobRole::data}));
  blobs.wal = std::move(wal);
  blobs.meta = std::move(meta);
  blobs.data = std::move(data);
  co_return blobs;
}

Task<Result<void>> Storage::remove(Uuid pool) {
  Result<void> first;
  for (const auto& place : places_) {
    const auto removed = co_await place->remove(pool);
    if (first && !removed) first = removed;
  }
  co_return first;
}

std::vector<client::DeviceSpace> Storage::devices() const {
  std::vector<client::DeviceSpace> out;
  for (size_t i = 0; i < list_.size(); ++i) {
    const media::BlobSpace space = places_[i]->space();
    out.push_back({.path = list_[i].path,
                   .roles = roles_text(list_[i].roles),
                   .total_bytes = space.total_bytes,
                   .free_bytes = space.free_bytes,
                   .uuid = list_[i].uuid,
                   .directory = is_directory(list_[i].path)});
  }
  return out;
}

}  // namespace cairn::embed
