// Texts of tables, sizes and times as the tools print them, and sizes and key lists as users write
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::tool {

/// Left-aligned columns under a dashed rule, every cell padded to its column's width and one space:
///   Pool  Size  State
///   ----  ----  -----
///   tank  2 GB  Ready
std::string table(const std::vector<std::string>& header,
                  const std::vector<std::vector<std::string>>& rows);
/// "  Name   : value" lines; names and values padded to their widest. `title` and a dashed rule
/// above, unless empty.
std::string attributes(const std::string& title,
                       const std::vector<std::pair<std::string, std::string>>& rows);

/// "50 GB", "4.0 MB": powers of 1000, one digit after the point below 10, as the tools print
/// capacities.
std::string si_bytes(uint64_t bytes);
/// "1.0 MiB": powers of 1024.
std::string iec_bytes(uint64_t bytes);
/// A number of bytes with an optional suffix: k, kB, M, ... (1000) or Ki, KiB, Mi, ... (1024).
/// Nullopt: not a size.
std::optional<uint64_t> parse_size(std::string_view text);

/// RFC 3339 with milliseconds, UTC: "2021-09-13T11:12:34.000+00:00".
std::string time_text(uint64_t wall_ns);

/// "key:val[,key:val...]" with quotes and backslashes; nullopt and `*problem` set if malformed.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_pairs(std::string_view text,
                                                                            std::string* problem);
/// "key[,key...]".
std::vector<std::string> parse_keys(std::string_view text);

}  // namespace cairn::tool
