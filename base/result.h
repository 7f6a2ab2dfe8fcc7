// Result<T>: a value or an Error, two words wide, no allocation, no exception.
#pragma once

#include <expected>
#include <utility>

#include "base/errc.h"

namespace cairn {

/// What went wrong. `what` is a literal that names the thing, the cause and, where it helps, the
/// way out; details that need formatting go through report.h at the layer that handles the error,
/// or through runtime/lasting_text.h where they are few.
class [[nodiscard]] Error {
 public:
  constexpr Error(Errc code, const char* what) noexcept : code_(code), what_(what) {}
  constexpr Errc code() const noexcept { return code_; }
  constexpr const char* what() const noexcept { return what_; }
  friend constexpr bool operator==(const Error& a, const Error& b) noexcept {
    return a.code_ == b.code_;
  }

 private:
  Errc code_;
  const char* what_;
};

template <class T>
using Result = std::expected<T, Error>;

/// `return fail(Errc::checksum, "wal: bad magic");`
[[nodiscard]] constexpr std::unexpected<Error> fail(Errc code, const char* what) noexcept {
  return std::unexpected<Error>(Error{code, what});
}
[[nodiscard]] constexpr std::unexpected<Error> fail(Error error) noexcept {
  return std::unexpected<Error>(error);
}

namespace detail {
struct Discard {};
template <class T>
constexpr T&& take(std::expected<T, Error>& r) {
  return std::move(*r);
}
inline constexpr Discard take(std::expected<void, Error>&) { return {}; }
}  // namespace detail

}  // namespace cairn

#define CAIRN_CONCAT_(a, b) a##b
#define CAIRN_CONCAT(a, b) CAIRN_CONCAT_(a, b)

/// TRY(name, expr): binds `name` to the value of a Result, or returns its error. For a Result<void>
/// use `_` names such as TRY(done, expr).
#define TRY(name, ...)                                          \
  auto CAIRN_CONCAT(try_, __LINE__) = (__VA_ARGS__);            \
  if (!CAIRN_CONCAT(try_, __LINE__)) [[unlikely]]               \
    return ::cairn::fail(CAIRN_CONCAT(try_, __LINE__).error()); \
  [[maybe_unused]] auto name = ::cairn::detail::take(CAIRN_CONCAT(try_, __LINE__))

/// CO_TRY(name, expr): TRY for coroutines; `expr` may contain co_await.
#define CO_TRY(name, ...)                                          \
  auto CAIRN_CONCAT(try_, __LINE__) = (__VA_ARGS__);               \
  if (!CAIRN_CONCAT(try_, __LINE__)) [[unlikely]]                  \
    co_return ::cairn::fail(CAIRN_CONCAT(try_, __LINE__).error()); \
  [[maybe_unused]] auto name = ::cairn::detail::take(CAIRN_CONCAT(try_, __LINE__))
