#include "cmd/tool/format.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace cairn::tool {

namespace {

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width > text.size() ? width - text.size() : 0, ' ');
}

std::string scaled(uint64_t bytes, double unit, const char* const* names) {
  if (static_cast<double>(bytes) < unit) return std::to_string(bytes) + " B";
  double value = static_cast<double>(bytes);
  int step = 0;
  while (value >= unit && step < 6) {
    value /= unit;
    ++step;
  }
  // 999.96 would print as 1000: that is the next unit.
  const double rounded = value < 9.95 ? std::floor(value * 10 + 0.5) / 10 : std::floor(value + 0.5);
  if (rounded >= unit && step < 6)
    return scaled(static_cast<uint64_t>(std::pow(unit, step + 1)), unit, names);
  char out[32];
  std::snprintf(out, sizeof out, rounded < 10 ? "%.1f %s" : "%.0f %s", rounded, names[step]);
  return out;
}

}  // namespace

std::string table(const std::vector<std::string>& header,
                  const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::string& h : header) widths.push_back(h.size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  const auto line = [&](const auto& cell) {
    for (size_t i = 0; i < header.size(); ++i) out += padded(cell(i), widths[i]) + " ";
    out += "\n";
  };
  line([&](size_t i) { return header[i]; });
  line([&](size_t i) { return std::string(header[i].size(), '-'); });
  for (const auto& row : rows)
    line([&](size_t i) { return i < row.size() ? row[i] : std::string(); });
  return out;
}

std::string attributes(const std::string& title,
                       const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t name_width = 0;
  size_t value_width = 0;
  for (const auto& [name, value] : rows) {
    name_width = std::max(name_width, name.size());
    value_width = std::max(value_width, value.size());
  }
  std::string out;
  if (!title.empty()) out += title + "\n" + std::string(title.size(), '-') + "\n";
  for (const auto& [name, value] : rows) {
    out += "  " + padded(name, name_width) + ": " + padded(value, value_width) + "\n";
  }
  return out;
}

std::string si_bytes(uint64_t bytes) {
  static constexpr const char* kNames[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  return scaled(bytes, 1000, kNames);
}

std::string iec_bytes(uint64_t bytes) {
  static constexpr const char* kNames[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  return scaled(bytes, 1024, kNames);
}

std::optional<uint64_t> parse_size(std::string_view text) {
  size_t at = 0;
  double value = 0;
  double place = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      if (place == 0) {
        value = value * 10 + (c - '0');
      } else {
        value += (c - '0') * place;
        place /= 10;
      }
    } else if (c == '.' && place == 0) {
      place = 0.1;
    } else {
      break;
    }
  }
  if (at == 0 || text[0] == '.') return std::nullopt;
  while (at < text.size() && text[at] == ' ') ++at;
  std::string suffix;
  for (; at < text.size(); ++at) {
    suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
  }
  static constexpr std::string_view kLetters = "kmgtpe";
  double unit = 1;
  if (!suffix.empty() && suffix != "b") {
    const size_t power = kLetters.find(suffix[0]);
    if (power == std::string_view::npos) return std::nullopt;
    const std::string rest = suffix.substr(1);
    if (!rest.empty() && rest != "b" && rest != "i" && rest != "ib") return std::nullopt;
    unit = std::pow(rest.starts_with("i") ? 1024.0 : 1000.0, static_cast<double>(power + 1));
  }
  const double bytes = value * unit;
  if (!(bytes < 1.8e19)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

std::string time_text(uint64_t wall_ns) {
  const auto seconds = static_cast<time_t>(wall_ns / 1'000'000'000);
  tm parts{};
  gmtime_r(&seconds, &parts);
  char out[64];
  const size_t n = std::strftime(out, sizeof out, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(out + n, sizeof out - n, ".%03u+00:00",
                static_cast<unsigned>(wall_ns / 1'000'000 % 1000));
  return out;
}

namespace {

/// Splits at unquoted `separator`s; quotes and backslashes are kept for the next step unless
/// `strip`.
std::vector<std::string> split(std::string_view text, char separator, bool first_only, bool strip) {
  std::vector<std::string> parts(1);
  char quote = 0;
  bool split_already = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && i + 1 < text.size()) {
      if (!strip) parts.back() += c;
      parts.back() += text[++i];
    } else if (quote != 0 ? c == quote : c == '\'' || c == '"') {
      quote = quote != 0 ? '\0' : c;
      if (!strip) parts.back() += c;
    } else if (quote == 0 && c == separator && !(first_only && split_already)) {
      parts.emplace_back();
      split_already = true;
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace

std::optional<std::vector<std::pair<std::string, std::string>>> parse_pairs(std::string_view text,
                                                                            std::string* problem) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& item : split(text, ',', false, false)) {
    const auto parts = split(item, ':', true, true);
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      *problem = "\"" + item + "\" (must be key:val)";
      return std::nullopt;
    }
    if (parts[0].size() > 511) {
      *problem = "key too long (511 bytes at most): \"" + parts[0].substr(0, 32) + "...\"";
      return std::nullopt;
    }
    const bool twice =
        std::any_of(pairs.begin(), pairs.end(), [&](const auto& p) { return p.first == parts[0]; });
    if (twice) {
      *problem = "duplicate key \"" + parts[0] + "\"";
      return std::nullopt;
    }
    pairs.emplace_back(parts[0], parts[1]);
  }
  return pairs;
}

std::vector<std::string> parse_keys(std::string_view text) { return split(text, ',', false, true); }

}  // namespace cairn::tool
