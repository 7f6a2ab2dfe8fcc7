// Locks of one mount on entries and on the shape of the tree. They keep two operations of this
// mount from conflicting, and from making a circle; other mounts are kept apart by transactions
// alone.
#pragma once

#include <utility>

#include "dfs/mount.h"

namespace cairn::dfs {

/// What one operation holds; gives it back when it goes. Home: the mount's reactor.
class Mount::Locks {
 public:
  /// `places` are in busy_ already.
  Locks(Mount& mount, std::vector<Place> places) : mount_(&mount), places_(std::move(places)) {}
  Locks(Locks&& other) noexcept
      : mount_(std::exchange(other.mount_, nullptr)),
        places_(std::move(other.places_)),
        tree_(std::exchange(other.tree_, false)) {}
  Locks& operator=(Locks&&) = delete;
  ~Locks() {
    if (mount_ == nullptr) return;
    for (const Place& place : places_) mount_->busy_.erase(place);
    if (tree_) mount_->moving_dir_ = false;
    mount_->unlocked_.wake_all();
  }

  /// Also keeps every directory where it is. Again is fine.
  Task<void> take_tree() {
    if (tree_) co_return;
    while (mount_->moving_dir_) co_await mount_->unlocked_.wait();
    mount_->moving_dir_ = tree_ = true;
  }

 private:
  Mount* mount_;
  std::vector<Place> places_;
  bool tree_ = false;
};

}  // namespace cairn::dfs
