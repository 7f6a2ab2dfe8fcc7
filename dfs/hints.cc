#include <strings.h>

#include "dfs/mount.h"

namespace cairn::dfs {
namespace {

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// One `kind:value` into `hints`.
FsResult<void> parse_item(std::string_view item, bool redundant, ClassHints& hints) {
  namespace hint = model::class_hint;
  const size_t colon = item.find(':');
  if (colon == std::string_view::npos) {
    return fs_fail(EINVAL, "dfs: a hint is not of the form kind:value, such as file:max");
  }
  const std::string_view kind = item.substr(0, colon);
  const std::string_view value = item.substr(colon + 1);
  const bool file = same_word(kind, "file");
  if (!file && !same_word(kind, "dir") && !same_word(kind, "directory")) {
    return fs_fail(EINVAL, "dfs: a hint is for file, dir or directory");
  }
  const bool max = same_word(value, "max");
  if (!max && !same_word(value, "single")) {
    return fs_fail(EINVAL, "dfs: a hint is single or max");
  }
  uint16_t bits = max ? hint::kShardsMax : hint::kShardsTiny;
  if (file && redundant) bits |= max ? hint::kRedundancyCode : hint::kRedundancyCopies;
  if (!file && redundant) bits |= hint::kRedundancyCopies;
  (file ? hints.file : hints.dir) = bits;
  return done();
}

}  // namespace

FsResult<ClassHints> parse_hints(const std::string& text, uint32_t redundancy_factor) {
  if (text.size() >= kHintsBytesMax) return fs_fail(EINVAL, "dfs: hints are over 127 bytes long");
  ClassHints hints;
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    TRY(parsed, parse_item(rest.substr(0, comma), redundancy_factor > 0, hints));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return hints;
}

FsResult<uint32_t> Mount::suggest_class(const std::string& hint) const {
  ClassHints hints;
  TRY(parsed, parse_item(hint, pool_shape_.redundancy_factor > 0, hints));
  const model::OidRequest request{.type = hints.file != 0 ? kFileType : kDirType,
                                  .hints = hints.file != 0 ? hints.file : hints.dir};
  TRY(oid, model::generate_oid(request, pool_shape_));
  return class_of(oid);
}

}  // namespace cairn::dfs
