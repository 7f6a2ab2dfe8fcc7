#include "cmd/embed/home_token.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/report.h"
#include "cmd/embed/home_dir.h"
#include "runtime/random.h"

namespace cairn::embed {

namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

Bytes text_of(const fabric::Token& token) {
  Bytes out;
  for (const uint8_t byte : token) {
    out.push_back(static_cast<std::byte>(kDigits[byte >> 4]));
    out.push_back(static_cast<std::byte>(kDigits[byte & 15]));
  }
  out.push_back(std::byte{'\n'});
  return out;
}

std::optional<fabric::Token> parse_token(std::string_view text) {
  fabric::Token out;
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.size() != 2 * out.size()) return std::nullopt;
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t high = kDigits.find(text[2 * i]), low = kDigits.find(text[2 * i + 1]);
    if (high == kDigits.npos || low == kDigits.npos) return std::nullopt;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return out == fabric::Token{} ? std::nullopt : std::optional(out);
}

}  // namespace

Result<fabric::Token> read_token(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return report_errno(path, "read it", errno);
  if ((status.st_mode & 077) != 0) {
    report(Severity::error, path + ": others may read this token; make a new one (remove it and "
                                   "start the server again) and keep its mode at 0600");
    return fail(Errc::no_perm, "home: the token's mode is not 0600");
  }
  const auto bytes = read_small_file(path, 4096);
  const auto token = bytes ? parse_token(as_chars(*bytes)) : std::nullopt;
  if (token) return *token;
  report(Severity::error, path + ": is not a token of ours; copy it again from the server's home");
  return fail(Errc::format_invalid, "home: no token in that file");
}

Result<fabric::Token> make_token(const std::string& home, const char* name) {
  const std::string path = home + "/" + name;
  if (access(path.c_str(), F_OK) == 0) return read_token(path);
  fabric::Token token;
  for (size_t half = 0; half < token.size(); half += 16) {
    std::ranges::copy(system_random().bytes16(), token.begin() + static_cast<ptrdiff_t>(half));
  }
  TRY(stored, store_token(home, name, token));
  return token;
}

Result<void> store_token(const std::string& home, const char* name, const fabric::Token& token) {
  return store_small_file(home, name, text_of(token));
}

Result<fabric::Token> token_of(ByteView bytes) {
  fabric::Token out{};
  if (bytes.size() != out.size()) return fail(Errc::protocol, "home: a token of another length");
  std::ranges::transform(bytes, out.begin(), [](std::byte b) { return static_cast<uint8_t>(b); });
  return out;
}

}  // namespace cairn::embed
