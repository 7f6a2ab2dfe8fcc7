// A connection to one peer that several calls want at once. Home: the transport's reactor.
#pragma once

#include <memory>
#include <utility>

#include "base/result.h"
#include "runtime/reactor.h"

namespace cairn::fabric {

/// @tparam Connection  has `bool usable() const`
template <class Connection>
class SharedConnection {
 public:
  using Ptr = std::shared_ptr<Connection>;
  explicit SharedConnection(Reactor& reactor) : changed_(reactor) {}

  /// The last one that was made, usable or not; null: there was none.
  const Ptr& last() const { return last_; }
  /// The usable one, or a new one. One attempt serves all who wait for it.
  /// @param connect  makes one: a function of nothing that returns Task<Result<Ptr>>
  template <class Connect>
  Task<Result<Ptr>> get(Connect connect) {
    if (last_ && last_->usable()) co_return last_;
    if (connecting_) {
      while (connecting_) co_await changed_.wait();
      if (!outcome_) co_return fail(outcome_.error());
      co_return last_;
    }
    connecting_ = true;
    auto made = co_await connect();
    connecting_ = false;
    outcome_ = {};
    if (made) {
      last_ = *made;
    } else {
      outcome_ = fail(made.error());
    }
    changed_.wake_all();
    co_return made;
  }

 private:
  Ptr last_;
  bool connecting_ = false;
  Result<void> outcome_ = {};  // of the last attempt
  WaitList changed_;
};

}  // namespace cairn::fabric
