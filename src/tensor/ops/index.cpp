// Elements chosen by index: gather, scatter_add, index_select, embedding.
#include <cstring>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/impl.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::Around;
using detail::around;
using detail::floats;
using detail::for_rows;
using detail::indices;

void check_range(const char* name, const Tensor& index, int64_t limit) {
  const int64_t* values = index.data_as<int64_t>();
  for (int64_t i = 0; i < index.size(); ++i)
    if (values[i] < 0 || values[i] >= limit)
      fail(Kind::usage, "{}: index {} at place {}, expected 0 to {}", name, values[i], i,
           limit - 1);
}

// Visits the elements of an index tensor: body(element of index, element of x at which the
// indexed dimension stands at 0). The rows [begin, end) are those of all dimensions but the last.
struct IndexWalk {
  Shape sizes;    // of the index
  Shape strides;  // of x, row-major, 0 along the indexed dimension
  int64_t step;   // of x along the indexed dimension

  template <typename Body>
  void visit(int64_t begin, int64_t end, Body&& body) const {
    const int last = sizes.rank() - 1;
    const int64_t n = sizes[last];
    for (int64_t row = begin; row < end; ++row) {
      int64_t rest = row, at = 0;
      for (int i = last - 1; i >= 0; --i) {
        at += rest % sizes[i] * strides[i];
        rest /= sizes[i];
      }
      for (int64_t j = 0; j < n; ++j) body(row * n + j, at + j * strides[last]);
    }
  }
  int64_t rows() const {
    const int64_t n = sizes[-1];
    return n > 0 ? sizes.elements() / n : 0;
  }
};

IndexWalk index_walk(const char* name, const Shape& shape, int axis, const Shape& index) {
  bool fits = index.rank() == shape.rank();
  for (int i = 0; fits && i < shape.rank(); ++i) fits = i == axis || index[i] <= shape[i];
  if (!fits)
    fail(Kind::usage, "{} along dimension {}: index of shape {} for a tensor of shape {}", name,
         axis, index.str(), shape.str());
  IndexWalk walk{index, detail::row_major_strides(shape), 0};
  walk.step = walk.strides[axis];
  walk.strides[axis] = 0;
  return walk;
}

// y[..index..] += src, in the order of src: one thread, for several may meet in one element.
void add_at(Tensor& y, const IndexWalk& walk, const Tensor& index, const Tensor& src) {
  float* to = y.data();
  const float* from = src.data();
  const int64_t* place = index.data_as<int64_t>();
  walk.visit(0, walk.rows(),
             [&](int64_t i, int64_t at) { to[at + place[i] * walk.step] += from[i]; });
}

Tensor take_at(const Tensor& x, const IndexWalk& walk, const Tensor& index) {
  Tensor y = Tensor::empty(index.shape());
  const float* from = x.data();
  float* to = y.data();
  const int64_t* place = index.data_as<int64_t>();
  for_rows(walk.rows(), walk.sizes[-1], [&](int64_t begin, int64_t end) {
    walk.visit(begin, end, [&](int64_t i, int64_t at) { to[i] = from[at + place[i] * walk.step]; });
  });
  return y;
}

// Whole slices: y[o, j, :] = x[o, index[j], :].
Tensor take_slices(const Tensor& x, const Around& a, const Tensor& index, const Shape& shape) {
  Tensor y = Tensor::empty(shape);
  const int64_t count = index.size();
  const float* from = x.data();
  float* to = y.data();
  const int64_t* place = index.data_as<int64_t>();
  for_rows(a.outer * count, a.inner, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      std::memcpy(to + row * a.inner, from + (row / count * a.n + place[row % count]) * a.inner,
                  static_cast<size_t>(a.inner) * sizeof(float));
  });
  return y;
}

// dx[o, index[j], :] += dy[o, j, :] in the order of j. Threads share out the outer blocks only, so
// that none meets another.
Tensor add_slices(const Tensor& dy, const Around& a, const Tensor& index, const Shape& shape) {
  Tensor dx = Tensor::zeros(shape);
  const int64_t count = index.size();
  const float* from = dy.data();
  float* to = dx.data();
  const int64_t* place = index.data_as<int64_t>();
  for_rows(a.outer, count * a.inner, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t j = 0; j < count; ++j) {
        const float* source = from + (o * count + j) * a.inner;
        float* target = to + (o * a.n + place[j]) * a.inner;
        for (int64_t i = 0; i < a.inner; ++i) target[i] += source[i];
      }
  });
  return dx;
}

}  // namespace

Tensor gather(const Tensor& input, int dim, const Tensor& index_in) {
  const Tensor x = floats("gather", input), index = indices("gather", index_in);
  const int axis = x.shape().axis(dim);
  const IndexWalk walk = index_walk("gather", x.shape(), axis, index.shape());
  check_range("gather", index, x.shape()[axis]);
  return record("gather", take_at(x, walk, index), {x},
                [walk, index, shape = x.shape()](const Tensor& dy) -> Grads {
                  Tensor dx = Tensor::zeros(shape);
                  add_at(dx, walk, index, dy);
                  return {dx};
                });
}

Tensor scatter_add(const Tensor& input, int dim, const Tensor& index_in, const Tensor& src_in) {
  const Tensor x = floats("scatter_add", input), src = floats("scatter_add", src_in);
  const Tensor index = indices("scatter_add", index_in);
  const int axis = x.shape().axis(dim);
  const IndexWalk walk = index_walk("scatter_add", x.shape(), axis, index.shape());
  if (!(src.shape() == index.shape()))
    fail(Kind::usage, "scatter_add: source of shape {} for an index of shape {}", src.shape().str(),
         index.shape().str());
  check_range("scatter_add", index, x.shape()[axis]);
  Tensor y = x.detach().clone();
  add_at(y, walk, index, src);
  return record("scatter_add", y, {x, src}, [x, src, walk, index](const Tensor& dy) -> Grads {
    return {x.requires_grad() ? dy : Tensor(),
            src.requires_grad() ? take_at(dy, walk, index) : Tensor()};
  });
}

Tensor index_select(const Tensor& input, int dim, const Tensor& index_in) {
  const Tensor x = floats("index_select", input), index = indices("index_select", index_in);
  if (index.rank() != 1)
    fail(Kind::usage, "index_select: index of shape {}, expected one dimension",
         index.shape().str());
  const int axis = x.shape().axis(dim);
  check_range("index_select", index, x.shape()[axis]);
  const Around a = around(x.shape(), axis);
  Tensor y = take_slices(x, a, index, x.shape().with(axis, index.size()));
  return record("index_select", y, {x}, [a, index, shape = x.shape()](const Tensor& dy) -> Grads {
    return {add_slices(dy, a, index, shape)};
  });
}

Tensor embedding(const Tensor& table_in, const Tensor& index_in) {
  const Tensor table = floats("embedding", table_in), index = indices("embedding", index_in);
  if (table.rank() != 2)
    fail(Kind::usage, "embedding: table of shape {}, expected [V,C]", table.shape().str());
  check_range("embedding", index, table.dim(0));
  Shape shape = index.shape();
  shape.push_back(table.dim(1));
  const Around a = around(table.shape(), 0);
  return record("embedding", take_slices(table, a, index, shape), {table},
                [a, index, rows = table.shape()](const Tensor& dy) -> Grads {
                  return {add_slices(dy, a, index, rows)};
                });
}

}  // namespace beckon
