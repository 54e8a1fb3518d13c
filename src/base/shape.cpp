#include "beckon/shape.h"

#include "base/fail.h"

namespace beckon {

Shape::Shape(const int64_t* begin, const int64_t* end) {
  if (end - begin > kMaxRank)
    fail(Kind::usage, "a tensor has at most {} dimensions, got {}", kMaxRank, end - begin);
  rank_ = static_cast<int>(end - begin);
  std::copy(begin, end, sizes_.begin());
}

int Shape::axis(int i) const {
  const int index = i < 0 ? i + rank_ : i;
  if (index < 0 || index >= rank_)
    fail(Kind::usage, "dimension {} of a tensor of shape {}", i, str());
  return index;
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int64_t size : *this) {
    if (size < 0) fail(Kind::resource, "negative size in shape {}", str());
    if (__builtin_mul_overflow(product, size, &product))
      fail(Kind::resource, "shape {} has too many elements", str());
  }
  return product;
}

void Shape::push_back(int64_t size) {
  if (rank_ == kMaxRank) fail(Kind::usage, "a tensor has at most {} dimensions", kMaxRank);
  sizes_[static_cast<size_t>(rank_++)] = size;
}

Shape Shape::without(int dim) const {
  Shape result;
  const int gone = axis(dim);
  for (int i = 0; i < rank_; ++i)
    if (i != gone) result.push_back((*this)[i]);
  return result;
}

Shape Shape::with(int dim, int64_t size) const {
  Shape result = *this;
  result[dim] = size;
  return result;
}

std::string Shape::str() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i)
    text += (i ? "," : "") + std::to_string(sizes_[static_cast<size_t>(i)]);
  return text + "]";
}

}  // namespace beckon
