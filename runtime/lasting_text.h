// Texts for errors that are put together at run time. An Error's text is a pointer that anybody may
// keep for as long as he likes (base/result.h), so what it points to never goes.
#pragma once

#include <string>

namespace cairn {

/// So many texts are kept; they are for what is rare.
inline constexpr size_t kLastingTextsMax = 4096;

/// `text`, kept as long as the process; the same text is kept once. Any thread.
/// @param otherwise  a literal: returned instead, once kLastingTextsMax others are kept
const char* lasting_text(const std::string& text, const char* otherwise);

}  // namespace cairn
