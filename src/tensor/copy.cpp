#include "tensor/copy.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "base/threads.h"
#include "tensor/impl.h"

namespace beckon::detail {
namespace {

constexpr int64_t kParallelCopy = 1 << 16;

// A loop over up to eight dimensions, with neighbours merged where both sides allow it.
struct Loops {
  Shape sizes, from, to;
};

Loops merged_loops(const Tensor& from, const Tensor& to) {
  Loops loops;
  for (int i = 0; i < from.rank(); ++i) {
    const int64_t n = from.shape()[i], f = from.strides()[i], t = to.strides()[i];
    if (n == 1) continue;
    const int last = loops.sizes.rank() - 1;
    if (last >= 0 && loops.from[last] == f * n && loops.to[last] == t * n) {
      loops.sizes[last] *= n;
      loops.from[last] = f;
      loops.to[last] = t;
    } else {
      loops.sizes.push_back(n);
      loops.from.push_back(f);
      loops.to.push_back(t);
    }
  }
  return loops;
}

// The two innermost loops. Blocks of 16x16 keep both sides in cache when one is read across.
template <typename T>
void copy_plane(const T* from, T* to, int64_t rows, int64_t from_row, int64_t to_row, int64_t n,
                int64_t from_step, int64_t to_step) {
  if (from_step == 1 && to_step == 1) {
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(to + r * to_row, from + r * from_row, static_cast<size_t>(n) * sizeof(T));
    return;
  }
  constexpr int64_t kBlock = 16;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock) {
    const int64_t r1 = std::min(r0 + kBlock, rows);
    for (int64_t c0 = 0; c0 < n; c0 += kBlock) {
      const int64_t c1 = std::min(c0 + kBlock, n);
      for (int64_t r = r0; r < r1; ++r)
        for (int64_t c = c0; c < c1; ++c)
          to[r * to_row + c * to_step] = from[r * from_row + c * from_step];
    }
  }
}

template <typename T>
void copy_loops(const T* from, T* to, const Loops& loops) {
  const int rank = loops.sizes.rank();
  if (rank == 0) {
    *to = *from;
    return;
  }
  const int64_t n = loops.sizes[rank - 1];
  const int64_t rows = rank > 1 ? loops.sizes[rank - 2] : 1;
  const int64_t from_row = rank > 1 ? loops.from[rank - 2] : 0,
                to_row = rank > 1 ? loops.to[rank - 2] : 0;
  int64_t outer = 1;
  for (int i = 0; i + 2 < rank; ++i) outer *= loops.sizes[i];

  // Split the outer loop, or the rows when there is none, over the threads.
  const int64_t row_block =
      outer > 1 ? rows : std::max<int64_t>(1, kParallelCopy / std::max<int64_t>(n, 1));
  const int64_t row_blocks = (rows + row_block - 1) / row_block;
  const int64_t grain = std::max<int64_t>(1, kParallelCopy / std::max<int64_t>(1, row_block * n));
  parallel_for(outer * row_blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % row_blocks * row_block;
      int64_t index = task / row_blocks, f = first * from_row, t = first * to_row;
      for (int i = rank - 3; i >= 0; --i) {
        f += index % loops.sizes[i] * loops.from[i];
        t += index % loops.sizes[i] * loops.to[i];
        index /= loops.sizes[i];
      }
      copy_plane(from + f, to + t, std::min(row_block, rows - first), from_row, to_row, n,
                 loops.from[rank - 1], loops.to[rank - 1]);
    }
  });
}

template <typename T>
void copy_typed(const Tensor& from, Tensor& to) {
  copy_loops(from.data_as<T>(), to.data_as<T>(), merged_loops(from, to));
}

template <DType type>
struct Stored;
template <>
struct Stored<DType::f32> {
  using T = float;
};
template <>
struct Stored<DType::f64> {
  using T = double;
};
template <>
struct Stored<DType::i64> {
  using T = int64_t;
};
template <>
struct Stored<DType::i32> {
  using T = int32_t;
};
template <>
struct Stored<DType::u8> {
  using T = uint8_t;
};
template <>
struct Stored<DType::f16> {
  using T = uint16_t;
};
template <>
struct Stored<DType::bf16> {
  using T = uint16_t;
};
template <>
struct Stored<DType::boolean> {
  using T = uint8_t;
};

template <typename F>
void with_type(DType type, F&& f) {
  switch (type) {
    case DType::f32:
      return f(std::integral_constant<DType, DType::f32>());
    case DType::f64:
      return f(std::integral_constant<DType, DType::f64>());
    case DType::i64:
      return f(std::integral_constant<DType, DType::i64>());
    case DType::i32:
      return f(std::integral_constant<DType, DType::i32>());
    case DType::u8:
      return f(std::integral_constant<DType, DType::u8>());
    case DType::f16:
      return f(std::integral_constant<DType, DType::f16>());
    case DType::bf16:
      return f(std::integral_constant<DType, DType::bf16>());
    case DType::boolean:
      return f(std::integral_constant<DType, DType::boolean>());
  }
}

// Half types count as float, the rest as themselves.
template <DType type, typename T>
auto load(T value) {
  if constexpr (type == DType::f16) {
    return half_to_float(value);
  } else if constexpr (type == DType::bf16) {
    return bfloat16_to_float(value);
  } else {
    return value;
  }
}

template <DType type, typename V>
typename Stored<type>::T store(V value) {
  if constexpr (type == DType::f16) {
    return float_to_half(static_cast<float>(value));
  } else if constexpr (type == DType::bf16) {
    return float_to_bfloat16(static_cast<float>(value));
  } else if constexpr (type == DType::boolean) {
    return value != V(0);
  } else if constexpr (std::is_floating_point_v<V> &&
                       std::is_integral_v<typename Stored<type>::T>) {
    using Whole = typename Stored<type>::T;
    constexpr V low = static_cast<V>(std::numeric_limits<Whole>::min());
    constexpr V high = static_cast<V>(std::numeric_limits<Whole>::max());
    if (value >= high) return std::numeric_limits<Whole>::max();
    if (value > low) return static_cast<Whole>(value);
    return value <= low ? std::numeric_limits<Whole>::min() : Whole(0);  // NaN becomes 0
  } else {
    return static_cast<typename Stored<type>::T>(value);
  }
}

}  // namespace

void copy_strided(const Tensor& from, Tensor& to) {
  if (from.size() == 0) return;
  switch (size_of(from.dtype())) {
    case 8:
      return copy_typed<int64_t>(from, to);
    case 4:
      return copy_typed<int32_t>(from, to);
    case 2:
      return copy_typed<uint16_t>(from, to);
    default:
      return copy_typed<uint8_t>(from, to);
  }
}

void convert(const Tensor& from, Tensor& to) {
  const int64_t n = from.size();
  with_type(from.dtype(), [&](auto a) {
    with_type(to.dtype(), [&](auto b) {
      using From = typename Stored<a()>::T;
      using To = typename Stored<b()>::T;
      const From* source = from.data_as<From>();
      To* target = to.data_as<To>();
      parallel_for(n, kParallelCopy, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) target[i] = store<b()>(load<a()>(source[i]));
      });
    });
  });
}

}  // namespace beckon::detail
