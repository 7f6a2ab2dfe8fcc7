#include "cmd/embed/home_format.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "model/limits.h"

namespace cairn::embed {
namespace {

uint32_t checksum_of(const HomeHeader& header) {
  return crc32c(view_of(&header, offsetof(HomeHeader, checksum)));
}

uint32_t format_of(const HomeFile& home) {
  if (!home.has_services()) return 4;
  if (home.engine_count != 1) return 3;
  return home.target_count == 1 ? 1 : 2;
}

bool begins_like_a_home(ByteView bytes) {
  const size_t known = std::min(bytes.size(), kHomeMagic.size());
  return known == 0 || std::memcmp(bytes.data(), kHomeMagic.data(), known) == 0;
}

}  // namespace

std::array<std::byte, sizeof(HomeHeader)> encode_home(const HomeFile& home) {
  const bool said = home.engine_count != 1 || !home.has_services();
  HomeHeader header{.magic = kHomeMagic,
                    .format = format_of(home),
                    .target_count = home.target_count,
                    .uuid = home.uuid.bytes,
                    .created_ns = home.created_ns,
                    .engine_count = said ? home.engine_count : 0,
                    .first_rank = home.first_rank,
                    .reserved = {},
                    .checksum = {}};
  header.checksum = checksum_of(header);
  std::array<std::byte, sizeof(HomeHeader)> out;
  std::memcpy(out.data(), &header, sizeof(header));
  return out;
}

Result<HomeFile> parse_home(ByteView bytes) {
  if (bytes.size() < sizeof(HomeHeader)) {
    if (begins_like_a_home(bytes)) return fail(Errc::checksum, "home: cut short");
    return fail(Errc::format_invalid, "home: not a file of ours");
  }
  HomeHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const bool magic_fits = header.magic == kHomeMagic;
  header.magic = kHomeMagic;
  const bool whole = checksum_of(header) == header.checksum.get();
  if (!magic_fits && !whole) return fail(Errc::format_invalid, "home: not a file of ours");
  if (!magic_fits || !whole) return fail(Errc::checksum, "home: damaged bytes");
  if (header.format.get() > kHomeFormat) {
    return fail(Errc::format_newer, "home: written by a newer version");
  }
  const bool zero = std::ranges::all_of(header.reserved, [](uint8_t b) { return b == 0; });
  const uint32_t engines = header.engine_count.get();
  const HomeFile home{.uuid = {header.uuid},
                      .created_ns = header.created_ns.get(),
                      .target_count = header.target_count.get(),
                      .engine_count = engines == 0 ? 1 : engines,
                      .first_rank = header.first_rank.get()};
  const bool said = home.engine_count != 1 || !home.has_services();
  const bool counts_fit = home.target_count != 0 && home.target_count <= kHomeTargetsMax &&
                          said == (engines != 0) && engines <= kHomeEnginesMax &&
                          home.first_rank <= model::kEnginesMax - home.engine_count;
  if (header.format.get() != format_of(home) || bytes.size() != sizeof(HomeHeader) || !zero ||
      !counts_fit) {
    return fail(Errc::format_invalid, "home: a field has a value that no version writes");
  }
  return home;
}

}  // namespace cairn::embed
