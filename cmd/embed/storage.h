// Storage: where the blobs of a home's pools are. Without the file `storage` they are files below
// the home; with it, on the devices it names: each is a directory (blobs are files in it), or a
// block device or one large file (blobs share it: media/blob_store.h). A role (wal, meta, data)
// that several devices have is striped over all of them. Home: the reactor given. Blobs must end
// before their Storage.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/home.h"
#include "cmd/embed/blob_source.h"
#include "cmd/embed/storage_file.h"
#include "runtime/reactor.h"

namespace cairn::embed {

/// Blobs as the files wal, meta and data of a directory that exists. The log is filled, so that it
/// is never extended while it is written; the others are reserved.
/// @error no_space, no_perm, exists, io  a line on stderr names the file
Task<Result<Blobs>> create_blob_files(Reactor& reactor, std::string directory,
                                      service::ShardSizes sizes);
Task<Result<Blobs>> open_blob_files(Reactor& reactor, std::string directory);

class Storage final : public BlobSource {
 public:
  class Place;

  /// Prepares the devices and writes the file `storage`; durable on return. Part of making a home:
  /// nothing refers to the devices before. Empty wishes: nothing to do.
  /// @error invalid  a role that is none, or that no device has   @error exists  a device holds
  /// something @error nonexistent, no_perm, no_space, io   Each with a line on stderr.
  static Task<Result<void>> prepare(Reactor& reactor, std::string home, Uuid home_id,
                                    std::vector<client::HomeDevice> wishes);
  /// Opens the devices. @error format_invalid, format_newer, checksum, nonexistent, no_perm, io
  /// A line on stderr names the device or the line of the file.
  static Task<Result<std::unique_ptr<Storage>>> open(Reactor& reactor, std::string home,
                                                     Uuid home_id);
  ~Storage() override;

  Task<Result<Blobs>> create(Uuid pool, uint32_t target, service::ShardSizes sizes) override;
  Task<Result<Blobs>> open(Uuid pool, uint32_t target) override;
  Task<Result<void>> remove(Uuid pool) override;
  std::vector<client::DeviceSpace> devices() const override;

 private:
  explicit Storage(Reactor& reactor);
  std::vector<Place*> places_of(media::BlobRole role) const;
  Task<Result<std::unique_ptr<media::Device>>> create_role(media::BlobId id, uint64_t bytes);
  Task<Result<std::unique_ptr<media::Device>>> open_role(media::BlobId id);

  Reactor& reactor_;
  std::vector<StorageDevice> list_;
  std::vector<std::unique_ptr<Place>> places_;  // of each in list_
};

}  // namespace cairn::embed
