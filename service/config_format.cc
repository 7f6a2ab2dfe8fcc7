#include "service/config_format.h"

#include <cstring>

#include "base/crc32c.h"
#include "media/device.h"
#include "service/config_store.h"

namespace cairn::service {

using media::kBlockBytes;

Result<ConfigValue> parse_config_value(ByteView raw) {
  ConfigHeader header;
  const auto damaged = fail(Errc::checksum, "config store: a damaged record");
  if (raw.size() < sizeof(header)) return damaged;
  std::memcpy(&header, raw.data(), sizeof(header));
  if (header.format.get() != kConfigFormat) {
    return fail(Errc::format_newer, "config store: a record of a newer version; upgrade");
  }
  ConfigValue out{.modified = header.modified.get(),
                  .bytes = header.value_bytes.get(),
                  .crc = header.value_crc32c.get(),
                  .inline_value = {},
                  .extents = {}};
  raw = raw.subspan(sizeof(header));
  const uint32_t count = header.extent_count.get();
  if (count == 0) {
    if (raw.size() != out.bytes || out.bytes > kConfigInlineBytesMax) return damaged;
    if (crc32c(raw) != out.crc) return damaged;
    out.inline_value.assign(raw.begin(), raw.end());
    return out;
  }
  if (count > kConfigExtentsMax || raw.size() != count * sizeof(ConfigExtent)) return damaged;
  uint64_t blocks = 0;
  for (uint32_t i = 0; i < count; ++i) {
    ConfigExtent extent;
    std::memcpy(&extent, raw.data() + i * sizeof(extent), sizeof(extent));
    out.extents.push_back({extent.block.get(), extent.count.get()});
    blocks += extent.count.get();
    if (extent.count.get() == 0 || extent.reserved.get() != 0) return damaged;
  }
  if (out.bytes > kConfigValueBytesMax ||
      blocks != round_up(out.bytes, kBlockBytes) / kBlockBytes) {
    return damaged;
  }
  return out;
}

Bytes encode_config_value(uint64_t modified, ByteView value,
                          const std::vector<media::Extent>& extents) {
  ConfigHeader header{modified, kConfigFormat, static_cast<uint32_t>(value.size()), crc32c(value),
                      static_cast<uint32_t>(extents.size())};
  Bytes out(sizeof(header));
  std::memcpy(out.data(), &header, sizeof(header));
  for (const media::Extent& extent : extents) {
    const ConfigExtent stored{extent.block, extent.count, uint32_t{0}};
    const ByteView bytes = view_of(&stored, sizeof(stored));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  if (extents.empty()) out.insert(out.end(), value.begin(), value.end());
  return out;
}

}  // namespace cairn::service
