#include "runtime/lasting_text.h"

#include <mutex>
#include <set>

namespace cairn {

namespace {

struct Texts {
  std::mutex mutex;
  std::set<std::string, std::less<>> kept;  // its strings stay where they are
};

/// Never destroyed: whoever reports something as the process ends may look into it.
Texts& texts() {
  static Texts* const all = new Texts;
  return *all;
}

}  // namespace

const char* lasting_text(const std::string& text, const char* otherwise) {
  Texts& all = texts();
  std::lock_guard lock(all.mutex);
  const auto found = all.kept.find(text);
  if (found != all.kept.end()) return found->c_str();
  if (all.kept.size() >= kLastingTextsMax) return otherwise;
  return all.kept.insert(text).first->c_str();
}

}  // namespace cairn
