// SmallVector<T, N>: a vector whose first N elements stand in the object itself. For the lists that
// nearly always have one element, such as the iods of a call, so that the common call allocates
// nothing. Semantics of std::vector, but a move of up to N elements moves each of them, so pointers
// into a moved vector are good only if it had outgrown N (do not rely on it).
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace cairn {

template <class T, size_t N>
class SmallVector {
  static_assert(N > 0);
  static_assert(std::is_nothrow_move_constructible_v<T>);
  static_assert(alignof(T) <= alignof(std::max_align_t));

 public:
  using value_type = T;
  using size_type = size_t;
  using reference = T&;
  using const_reference = const T&;
  using iterator = T*;
  using const_iterator = const T*;

  SmallVector() noexcept {}
  explicit SmallVector(size_t count) { resize(count); }
  SmallVector(std::initializer_list<T> items) { append(items.begin(), items.end()); }
  template <std::forward_iterator It>
  SmallVector(It first, It last) {
    append(first, last);
  }
  SmallVector(const SmallVector& other) { append(other.begin(), other.end()); }
  SmallVector(SmallVector&& other) noexcept { take(other); }
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) {
      clear();
      append(other.begin(), other.end());
    }
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this != &other) {
      release();
      take(other);
    }
    return *this;
  }
  ~SmallVector() { release(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  size_t capacity() const { return capacity_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  iterator begin() { return data_; }
  iterator end() { return data_ + size_; }
  const_iterator begin() const { return data_; }
  const_iterator end() const { return data_ + size_; }
  T& operator[](size_t i) {
    DCHECK(i < size_);
    return data_[i];
  }
  const T& operator[](size_t i) const {
    DCHECK(i < size_);
    return data_[i];
  }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }

  template <class... Args>
  T& emplace_back(Args&&... args) {
    if (size_ == capacity_) return emplace_grown(std::forward<Args>(args)...);
    T* const made = std::construct_at(data_ + size_, std::forward<Args>(args)...);
    ++size_;
    return *made;
  }
  void push_back(const T& item) { emplace_back(item); }
  void push_back(T&& item) { emplace_back(std::move(item)); }
  void pop_back() {
    DCHECK(size_ > 0);
    std::destroy_at(data_ + --size_);
  }
  /// [first, last) is not of this vector.
  template <std::forward_iterator It>
  void append(It first, It last) {
    reserve(size_ + static_cast<size_t>(std::distance(first, last)));
    for (; first != last; ++first) std::construct_at(data_ + size_++, *first);
  }
  void reserve(size_t count) {
    if (count > capacity_) grow(std::max(count, 2 * capacity_));
  }
  void resize(size_t count) {
    reserve(count);
    while (size_ > count) pop_back();
    while (size_ < count) std::construct_at(data_ + size_++);
  }
  void clear() noexcept {
    std::destroy_n(data_, size_);
    size_ = 0;
  }

  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  T* room() { return reinterpret_cast<T*>(room_); }
  bool is_inside() const { return reinterpret_cast<const std::byte*>(data_) == room_; }

  /// The new element is made before the old ones move: an argument may be one of them.
  template <class... Args>
  T& emplace_grown(Args&&... args) {
    const size_t wanted = 2 * capacity_;
    T* const larger = std::allocator<T>().allocate(wanted);
    T* const made = std::construct_at(larger + size_, std::forward<Args>(args)...);
    move_to(larger, wanted);
    ++size_;
    return *made;
  }
  void grow(size_t wanted) { move_to(std::allocator<T>().allocate(wanted), wanted); }
  void move_to(T* larger, size_t wanted) {
    std::uninitialized_move_n(data_, size_, larger);
    std::destroy_n(data_, size_);
    if (!is_inside()) std::allocator<T>().deallocate(data_, capacity_);
    data_ = larger;
    capacity_ = wanted;
  }
  void release() noexcept {
    clear();
    if (!is_inside()) std::allocator<T>().deallocate(data_, capacity_);
    data_ = room();
    capacity_ = N;
  }
  /// Precondition: this one is as new. Leaves `other` as new.
  void take(SmallVector& other) noexcept {
    if (other.is_inside()) {
      std::uninitialized_move_n(other.data_, other.size_, data_);
      size_ = other.size_;
      other.clear();
      return;
    }
    data_ = std::exchange(other.data_, other.room());
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, N);
  }

  T* data_ = room();
  size_t size_ = 0;
  size_t capacity_ = N;
  alignas(T) std::byte room_[N * sizeof(T)];
};

/// Removes what `drop` says; returns how many went.
template <class T, size_t N, class Drop>
size_t erase_if(SmallVector<T, N>& items, Drop drop) {
  const auto kept = std::remove_if(items.begin(), items.end(), drop);
  const auto count = static_cast<size_t>(items.end() - kept);
  for (size_t i = 0; i < count; ++i) items.pop_back();
  return count;
}

}  // namespace cairn
