#include "cmd/embed/storage_file.h"

#include <algorithm>
#include <charconv>

namespace cairn::embed {
namespace {

constexpr std::string_view kFirstLine = "cairn storage ";
constexpr unsigned kFormat = 1;
constexpr std::string_view kRoleNames[media::kBlobRoles] = {"wal", "meta", "data"};

std::string_view take_until(std::string_view& text, char mark) {
  const size_t at = text.find(mark);
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at == text.npos ? text.size() : at + 1);
  return taken;
}

Result<StorageDevice> parse_device(std::string_view line) {
  const auto malformed =
      fail(Errc::format_invalid, "storage: a line is not 'device UUID ROLES PATH'");
  if (take_until(line, ' ') != "device") return malformed;
  StorageDevice device;
  const auto uuid = parse_uuid(take_until(line, ' '));
  if (!uuid || uuid->is_nil()) return malformed;
  device.uuid = *uuid;
  if (!parse_roles(take_until(line, ' '), device.roles)) return malformed;
  device.path = line;
  if (device.path.empty() || device.path[0] != '/') return malformed;
  return device;
}

Result<void> check_together(const std::vector<StorageDevice>& devices) {
  if (devices.size() > kStorageDevicesMax) {
    return fail(Errc::format_invalid, "storage: more than 64 devices");
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (devices[i].uuid == devices[k].uuid || devices[i].path == devices[k].path) {
        return fail(Errc::format_invalid, "storage: one device stands there twice");
      }
    }
  }
  for (size_t role = 0; role < media::kBlobRoles; ++role) {
    if (std::ranges::none_of(devices, [&](const StorageDevice& d) { return d.roles[role]; })) {
      return fail(Errc::format_invalid, "storage: each of wal, meta and data needs a device");
    }
  }
  return {};
}

}  // namespace

Result<void> parse_roles(std::string_view text, bool (&roles)[media::kBlobRoles]) {
  std::fill_n(roles, media::kBlobRoles, false);
  do {
    const std::string_view word = take_until(text, ',');
    const auto* const found = std::ranges::find(kRoleNames, word);
    if (found == std::end(kRoleNames)) {
      return fail(Errc::invalid, "roles: each must be wal, meta or data");
    }
    roles[found - kRoleNames] = true;
  } while (!text.empty());
  return {};
}

std::string roles_text(const bool (&roles)[media::kBlobRoles]) {
  std::string text;
  for (size_t role = 0; role < media::kBlobRoles; ++role) {
    if (!roles[role]) continue;
    if (!text.empty()) text += ',';
    text += kRoleNames[role];
  }
  return text;
}

std::string format_storage(const std::vector<StorageDevice>& devices) {
  std::string text = std::string(kFirstLine) + std::to_string(kFormat) + "\n";
  for (const StorageDevice& device : devices) {
    text += "device " + to_string(device.uuid) + " " + roles_text(device.roles) + " " +
            device.path + "\n";
  }
  return text;
}

Result<std::vector<StorageDevice>> parse_storage(std::string_view text, size_t* line) {
  *line = 1;
  std::string_view first = take_until(text, '\n');
  unsigned format = 0;
  if (!first.starts_with(kFirstLine)) {
    return fail(Errc::format_invalid, "storage: does not begin with 'cairn storage 1'");
  }
  first.remove_prefix(kFirstLine.size());
  const auto number = std::from_chars(first.data(), first.data() + first.size(), format);
  if (number.ec != std::errc() || number.ptr != first.data() + first.size() || format == 0) {
    return fail(Errc::format_invalid, "storage: does not begin with 'cairn storage 1'");
  }
  if (format > kFormat) return fail(Errc::format_newer, "storage: written by a newer version");
  std::vector<StorageDevice> devices;
  while (!text.empty()) {
    const std::string_view next = take_until(text, '\n');
    ++*line;
    if (next.empty() || next[0] == '#') continue;
    TRY(device, parse_device(next));
    devices.push_back(std::move(device));
  }
  *line = 0;
  TRY(fine, check_together(devices));
  return devices;
}

}  // namespace cairn::embed
