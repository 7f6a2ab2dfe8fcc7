#include "base/report.h"

#include <unistd.h>

#include <cstdlib>
#include <string>

namespace cairn {

namespace {
int least_severity() {
  const char* text = std::getenv("CAIRN_LOG");
  const std::string_view level = text == nullptr ? "warning" : text;
  if (level == "off") return 3;
  if (level == "error") return 2;
  if (level == "info") return 0;
  return 1;
}
}  // namespace

void report(Severity severity, std::string_view text) {
  if (static_cast<int>(severity) < least_severity()) return;
  std::string line = "cairn: ";
  line += text;
  line += '\n';
  // A report that cannot be written has nowhere else to go.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace cairn
