#include "cmd/dmg/rank_set.h"

#include <algorithm>
#include <charconv>

namespace cairn::tool {

std::optional<std::set<uint32_t>> parse_ranks(const std::string& text) {
  std::set<uint32_t> out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    uint32_t first = 0, last = 0;
    const char* const end = item.data() + item.size();
    auto parsed = std::from_chars(item.data(), end, first);
    last = first;
    if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
    }
    if (parsed.ec != std::errc() || parsed.ptr != end || last < first || last - first > 4096) {
      return std::nullopt;
    }
    for (uint32_t rank = first; rank <= last; ++rank) out.insert(rank);
  }
  return out;
}

std::unexpected<Failure> refuse_ranks(const std::string& text) {
  return refuse(
      "invalid argument for flag `-r, --ranks' (expected ui.RankSetFlag): creating numeric set "
      "from \"[" +
      text + "]\": unexpected alphabetic character(s)");
}

}  // namespace cairn::tool
