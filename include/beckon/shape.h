// The sizes of a tensor's dimensions, outermost first.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "beckon/export.h"

namespace beckon {

// Up to kMaxRank sizes, held in place. A scalar has rank 0 and one element.
class BECKON_API Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  // Throws Error(usage) for more than kMaxRank sizes.
  Shape(std::initializer_list<int64_t> sizes) : Shape(sizes.begin(), sizes.end()) {}
  Shape(const int64_t* begin, const int64_t* end);

  int rank() const noexcept { return rank_; }
  // i may be negative: -1 is the last dimension. Throws Error(usage) out of range.
  int64_t operator[](int i) const { return sizes_[static_cast<size_t>(axis(i))]; }
  int64_t& operator[](int i) { return sizes_[static_cast<size_t>(axis(i))]; }
  // The index of dimension i counted from the front, negative i from the back.
  int axis(int i) const;

  const int64_t* begin() const noexcept { return sizes_.data(); }
  const int64_t* end() const noexcept { return sizes_.data() + rank_; }
  int64_t* begin() noexcept { return sizes_.data(); }
  int64_t* end() noexcept { return sizes_.data() + rank_; }

  // The product of the sizes. Throws Error(resource) if it overflows or a size is negative.
  int64_t elements() const;

  void push_back(int64_t size);
  Shape without(int dim) const;
  Shape with(int dim, int64_t size) const;

  friend bool operator==(const Shape& a, const Shape& b) noexcept {
    return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin());
  }

  // "[2,3,4]"
  std::string str() const;

 private:
  std::array<int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

}  // namespace beckon
