// A 16-byte UUID value and its text form.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace cairn {

struct Uuid {
  std::array<uint8_t, 16> bytes{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
  bool is_nil() const { return *this == Uuid{}; }
};

/// Lower case, 36 characters.
std::string to_string(const Uuid& uuid);
/// Parses the 36-character form, either case; nullopt for anything else.
std::optional<Uuid> parse_uuid(std::string_view text);
/// Turns 16 random bytes into a version 4 UUID.
Uuid uuid_from_random(std::array<uint8_t, 16> random);

}  // namespace cairn
