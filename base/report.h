// One-line reports to stderr, made by the layer that handles a problem: the thing, the cause, the
// way out.
#pragma once

#include <string_view>

namespace cairn {

enum class Severity { info, warning, error };

/// Writes "cairn: <text>\n" to stderr in one write. CAIRN_LOG=off|error|warning|info chooses the
/// least severity that is written (default warning).
void report(Severity severity, std::string_view text);

}  // namespace cairn
