// The file `storage` of a home: on which devices the blobs of its pools are. Text, because an
// administrator may have to change a path. docs/formats/home.md.
//
//   cairn storage 1
//   device UUID ROLES PATH         one line a device, in the order of their use
//
// ROLES is a list of wal, meta and data with commas between; PATH is absolute and goes to the end
// of the line. Empty lines and lines that begin with # are passed over. Without the file, every
// blob is a file below the home itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "media/blob_table_format.h"

namespace cairn::embed {

inline constexpr size_t kStorageFileBytesMax = 64 * 1024;
inline constexpr size_t kStorageDevicesMax = 64;

struct StorageDevice {
  Uuid uuid;
  bool roles[media::kBlobRoles] = {};  // by media::BlobRole
  std::string path;
};

/// "wal,meta,data". @error invalid  another word, or none
Result<void> parse_roles(std::string_view text, bool (&roles)[media::kBlobRoles]);
std::string roles_text(const bool (&roles)[media::kBlobRoles]);

std::string format_storage(const std::vector<StorageDevice>& devices);
/// @param line  gets the number of the line that is wrong, 0 where it is the whole
/// @error format_newer, format_invalid  malformed, two devices alike, a role that no device has
Result<std::vector<StorageDevice>> parse_storage(std::string_view text, size_t* line);

}  // namespace cairn::embed
