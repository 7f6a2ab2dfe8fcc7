// User attributes of pools and containers: both have the same rules (reference pool_container.md
// section 5).
#pragma once

#include <cstddef>

#include "base/result.h"
#include "client/client.h"

namespace cairn::capi {

/// Arguments of the attribute calls, borrowed until the task ends.
struct AttrArgs {
  int count = 0;
  const char* const* names = nullptr;
};

/// @error invalid  no names, or one that is empty or over 511 bytes
Result<std::vector<std::string>> attr_names(AttrArgs args);
/// @error invalid  also a NULL or empty value
Result<client::Attrs> attrs_to_set(AttrArgs args, const void* const* values, const size_t* sizes);

/// Answers a listing: names by length, then bytes, each with its NUL, as many as fit; *size becomes
/// the length of all.
void answer_names(const client::Attrs& attrs, char* buffer, size_t* size);
/// Answers a look-up; *sizes come back as the true lengths. @error nonexistent  no name is there
Result<void> answer_values(const client::Attrs& attrs, const std::vector<std::string>& names,
                           void* const* buffers, size_t* sizes);

}  // namespace cairn::capi
