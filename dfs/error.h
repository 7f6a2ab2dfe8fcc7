// Errors of the file system layer: errno numbers, because that is the contract of libdfs, with a
// literal that names the thing. Errors of the store convert by the table of the C interface
// (reference api/errors.md).
#pragma once

#include <cerrno>
#include <expected>

#include "base/result.h"

namespace cairn::dfs {

/// The errno that libdfs reports for a code of the store; EIO for everything that has no better
/// one.
int errno_of(Errc code) noexcept;

class [[nodiscard]] FsError {
 public:
  constexpr FsError(int number, const char* what) noexcept : number_(number), what_(what) {}
  FsError(Error error) noexcept  // NOLINT: results of the store pass through CO_TRY
      : number_(errno_of(error.code())), what_(error.what()) {}
  /// A positive errno.
  constexpr int number() const noexcept { return number_; }
  constexpr const char* what() const noexcept { return what_; }

 private:
  int number_;
  const char* what_;
};

template <class T>
using FsResult = std::expected<T, FsError>;

/// `co_return fs_fail(ENOENT, "dfs: no such entry");`
[[nodiscard]] constexpr std::unexpected<FsError> fs_fail(int number, const char* what) noexcept {
  return std::unexpected<FsError>(FsError{number, what});
}
/// `co_return done();` of a FsResult<void>.
inline FsResult<void> done() { return {}; }

}  // namespace cairn::dfs

// What TRY and CO_TRY of base/result.h need to pass FsErrors on.
namespace cairn {
[[nodiscard]] constexpr std::unexpected<dfs::FsError> fail(dfs::FsError error) noexcept {
  return std::unexpected<dfs::FsError>(error);
}
namespace detail {
template <class T>
constexpr T&& take(std::expected<T, dfs::FsError>& r) {
  return std::move(*r);
}
inline constexpr Discard take(std::expected<void, dfs::FsError>&) { return {}; }
}  // namespace detail
}  // namespace cairn
