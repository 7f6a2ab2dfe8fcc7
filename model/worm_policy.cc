#include "model/worm_policy.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "model/hlc.h"

namespace cairn::model {

namespace {

bool is_printable(char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; }

}  // namespace

Result<void> check_worm_policy(const WormPolicy& policy) {
  if (policy.inline_bytes_max > kWormInlineBytesMax) {
    return fail(Errc::invalid, "worm_inline_max: at most 256 KiB");
  }
  if (policy.object_bytes_max < kWormObjectBytesMin ||
      policy.object_bytes_max > kWormObjectBytesMax) {
    return fail(Errc::invalid, "worm_object_max: 4 KiB to 1 MiB");
  }
  if (policy.cold_after_s > kWormColdSecondsMax) {
    return fail(Errc::invalid, "worm_cold_after: at most 2^32 - 1 seconds");
  }
  const Seal& seal = policy.seal;
  if (seal.is_set() == seal.by.empty() || seal.epoch == kEpochMax ||
      seal.by.size() > kSealedByBytesMax || !std::ranges::all_of(seal.by, is_printable)) {
    return fail(Errc::invalid, "seal: without an epoch, or without a name that can be printed");
  }
  return {};
}

std::string printable_name(std::string name) {
  name.resize(std::min(name.size(), kSealedByBytesMax));
  for (char& c : name) {
    if (!is_printable(c)) c = '?';
  }
  return name;
}

std::string time_text(Epoch epoch) {
  using std::chrono::days, std::chrono::floor, std::chrono::seconds;
  const std::chrono::nanoseconds since_1970(wall_ns_of_epoch(epoch));
  const std::chrono::sys_seconds at(floor<seconds>(since_1970));
  const std::chrono::sys_days day(floor<days>(at));
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(at - day);
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", int(date.year()),
                unsigned(date.month()), unsigned(date.day()), int(time.hours().count()),
                int(time.minutes().count()), int(time.seconds().count()));
  return text;
}

std::string seal_text(const Seal& seal) {
  return "sealed at " + time_text(seal.epoch) + " by " + seal.by;
}

}  // namespace cairn::model
