#include "model/label.h"

#include <algorithm>

#include "model/limits.h"

namespace cairn::model {
namespace {

bool is_label_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == ':' || c == '-';
}

Result<void> check_form(std::string_view label) {
  if (label.empty()) return fail(Errc::invalid, "label: empty; give 1 to 127 characters");
  if (label.size() > kLabelBytesMax) {
    return fail(Errc::invalid, "label: longer than 127 characters; shorten it");
  }
  if (!std::ranges::all_of(label, is_label_character)) {
    return fail(Errc::invalid, "label: holds a character other than letters, digits and . _ : -");
  }
  return {};
}

}  // namespace

Result<void> check_label(std::string_view label) {
  TRY(formed, check_form(label));
  if (parse_uuid(label)) {
    return fail(Errc::invalid,
                "label: has the form of a UUID; choose one that cannot be taken for it");
  }
  if (label == kContLabelNotSet || label == kPoolLabelNotSet) {
    return fail(Errc::invalid, "label: this text means \"no label\"; choose another one");
  }
  return {};
}

Result<Name> parse_name(std::string_view text) {
  if (const auto uuid = parse_uuid(text)) return Name{.uuid = *uuid, .label = {}};
  TRY(formed, check_form(text));
  return Name{.uuid = std::nullopt, .label = text};
}

}  // namespace cairn::model
