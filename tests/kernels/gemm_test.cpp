// The packed matrix product against plain loops in double, on every instruction set.
#include "kernels/gemm.h"

#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "every_target.h"

namespace beckon::kernels {
namespace {

using beckon::test::on_every_target;

std::vector<float> noise(int64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> value(-1.0f, 1.0f);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& v : x) v = value(generator);
  return x;
}

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::quick_gelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
  }
  return 0.0;
}

struct Case {
  int64_t m, k, n;
  Epilogue epilogue =
      {};  // pointers are marks: any non-null one is replaced by data of the right size
  int64_t a_padding = 0;
};

// C of the definition, in double, into an array with `stride` floats a row.
std::vector<double> expected(const Case& c, const std::vector<float>& a,
                             const std::vector<float>& b, const Epilogue& e,
                             const std::vector<float>& before, int64_t stride) {
  std::vector<double> out(before.begin(), before.end());
  for (int64_t i = 0; i < c.m; ++i) {
    const int64_t row = e.scatter ? e.scatter[i] : i;
    if (row < 0) continue;
    for (int64_t j = 0; j < c.n; ++j) {
      double v = e.accumulate ? before[row * stride + j] : 0.0;
      for (int64_t k = 0; k < c.k; ++k)
        v += static_cast<double>(a[i * (c.k + c.a_padding) + k]) * b[k * c.n + j];
      if (e.bias) v += e.bias[j];
      const double residual = e.residual ? e.residual[row * e.residual_stride + j] : 0.0;
      if (e.activation_after_residual) {
        v = activate(e.activation, v + residual);
      } else {
        v = activate(e.activation, v) + residual;
      }
      out[row * stride + j] = v;
    }
  }
  return out;
}

void check(const Case& c) {
  SCOPED_TRACE(testing::Message() << c.m << "x" << c.k << "x" << c.n << " activation "
                                  << static_cast<int>(c.epilogue.activation) << " accumulate "
                                  << c.epilogue.accumulate << " bias " << !!c.epilogue.bias
                                  << " residual " << !!c.epilogue.residual << " scatter "
                                  << !!c.epilogue.scatter);
  const int64_t a_stride = c.k + c.a_padding, stride = c.n + 3, rows = c.m + 2;
  const std::vector<float> a = noise(c.m * a_stride, 1), b = noise(c.k * c.n, 2);
  const std::vector<float> bias = noise(c.n, 3), residual = noise(rows * (c.n + 1), 4);
  const std::vector<float> before = noise(rows * stride, 5);
  // A permutation of the rows of C, some left out.
  std::vector<int32_t> scatter(static_cast<size_t>(c.m));
  for (int64_t i = 0; i < c.m; ++i)
    scatter[i] = i % 5 == 3 ? -1 : static_cast<int32_t>(c.m + 1 - i);
  Epilogue e = c.epilogue;
  if (e.bias) e.bias = bias.data();
  if (e.residual) e.residual = residual.data(), e.residual_stride = c.n + 1;
  if (e.scatter) e.scatter = scatter.data();
  const std::vector<double> want = expected(c, a, b, e, before, stride);

  std::vector<float> first;
  for (int workers : {1, 2, 4}) {
    set_threads(workers);
    std::vector<float> got = before;
    gemm(c.m, {.data = a.data(), .stride = a_stride}, pack(b.data(), c.k, c.n, c.n, 1), e,
         got.data(), stride);
    if (workers == 1) {
      first = got;
      double worst = 0.0;
      for (size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - want[i]));
      // The rounding of a chain of k terms with partial sums up to sqrt(k) / 3.
      EXPECT_LT(worst, 1e-6 * (4.0 + 0.1 * static_cast<double>(c.k)));
    } else {
      EXPECT_EQ(got, first) << workers << " threads";
    }
  }
  set_threads(0);
}

const float kMark = 0.0f;
const int32_t kMarkIndex = 0;

TEST(Gemm, MatchesPlainLoopsForOddSizes) {
  on_every_target([] {
    for (int64_t m : {1, 2, 5, 6, 7, 11, 12, 13, 25, 50})
      for (int64_t n : {1, 3, 4, 15, 16, 17, 31, 32, 33, 49, 64})
        for (int64_t k : {1, 2, 3, 7, 64}) check({m, k, n});
  });
}

TEST(Gemm, MatchesPlainLoopsForModelSizes) {
  on_every_target([] {
    check({197, 768, 100});
    check({7, 256, 2048});
    check({300, 27, 32});
    check({50, 3072, 48});
    check({700, 160, 70});
    check({40, 1024, 33});  // rows a page apart: staged
  });
}

TEST(Gemm, EpiloguesInEveryCombination) {
  on_every_target([] {
    for (Activation activation : {Activation::none, Activation::gelu, Activation::quick_gelu,
                                  Activation::relu, Activation::silu})
      for (int bits = 0; bits < 32; ++bits)
        for (int64_t n : {5, 64, 83}) {
          Epilogue e;
          e.activation = activation;
          if (bits & 1) e.bias = &kMark;
          if (bits & 2) e.residual = &kMark;
          e.activation_after_residual = bits & 4;
          e.accumulate = bits & 8;
          if (bits & 16) e.scatter = &kMarkIndex;
          check({26, 19, n, e});
        }
  });
}

TEST(Gemm, PaddedRows) {
  on_every_target([] { check({33, 40, 37, {.bias = &kMark}, 9}); });
}

TEST(Gemm, EmptyProductsAndSums) {
  on_every_target([] {
    std::vector<float> c(6, 7.0f), bias = {1.0f, 2.0f, 3.0f};
    const float a = 1.0f;
    gemm(0, {.data = &a, .stride = 1}, pack(&a, 1, 1, 1, 1), {}, c.data(), 1);
    gemm(2, {.data = &a, .stride = 1}, pack(&a, 1, 0, 1, 1), {}, c.data(), 1);
    EXPECT_EQ(c, std::vector<float>(6, 7.0f));
    gemm(2, {.data = &a, .stride = 0}, pack(&a, 0, 3, 1, 1), {.bias = bias.data()}, c.data(), 3);
    EXPECT_EQ(c, (std::vector<float>{1, 2, 3, 1, 2, 3}));
  });
}

// A is read as it is, transposed, or from a callback: the same bits.
TEST(Gemm, RowsFromAnywhere) {
  on_every_target([] {
    for (int64_t m : {3, 90, 1500}) {
      const int64_t k = 37, n = 70;
      const std::vector<float> a = noise(m * k, 1), b = noise(k * n, 2);
      std::vector<float> transposed(a.size());
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < k; ++j) transposed[j * m + i] = a[i * k + j];
      const PackedMatrix packed = pack(b.data(), k, n, n, 1);
      std::vector<float> plain(m * n), other(m * n), filled(m * n), serial(m * n);
      gemm(m, {.data = a.data(), .stride = k}, packed, {}, plain.data(), n);
      gemm(m, {.data = transposed.data(), .stride = 1, .col_stride = m}, packed, {}, other.data(),
           n);
      EXPECT_EQ(plain, other);
      struct Source {
        const float* a;
        int64_t k;
      } source{a.data(), k};
      const Rows rows{
          .fill =
              [](const void* context, int64_t begin, int64_t end, float* out, int64_t stride) {
                const auto& s = *static_cast<const Source*>(context);
                for (int64_t i = begin; i < end; ++i)
                  std::copy_n(s.a + i * s.k, s.k, out + (i - begin) * stride);
              },
          .context = &source};
      gemm(m, rows, packed, {}, filled.data(), n);
      EXPECT_EQ(plain, filled);
      gemm_serial(m, rows, packed, {}, serial.data(), n);
      EXPECT_EQ(plain, serial);
    }
  });
}

TEST(Gemm, TransposedWeightsPackTheSame) {
  on_every_target([] {
    const int64_t m = 9, k = 53, n = 45;
    const std::vector<float> a = noise(m * k, 1), b = noise(k * n, 2);
    std::vector<float> weights(b.size());  // [N,K], as linear layers keep them
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < n; ++j) weights[j * k + i] = b[i * n + j];
    std::vector<float> x(m * n), y(m * n);
    gemm(m, {.data = a.data(), .stride = k}, pack(b.data(), k, n, n, 1), {}, x.data(), n);
    gemm(m, {.data = a.data(), .stride = k}, pack(weights.data(), k, n, 1, k), {}, y.data(), n);
    EXPECT_EQ(x, y);
  });
}

// Every product of a batch, whatever the strides, is what the packed product gives.
TEST(Gemm, BatchesEqualSingles) {
  on_every_target([] {
    for (int64_t batch : {1, 3, 20})
      for (int64_t k : {1, 33, 300}) {
        const int64_t m = 70, n = 41;
        const std::vector<float> a = noise(batch * m * k, 1), b = noise(batch * k * n, 2);
        const std::vector<float> bias = noise(n, 3), residual = noise(batch * m * n, 4);
        Epilogue e{.bias = bias.data(),
                   .residual = residual.data(),
                   .residual_stride = n,
                   .activation = Activation::relu};
        std::vector<float> want(batch * m * n), got(want.size()), transposed(want.size());
        for (int64_t i = 0; i < batch; ++i) {
          Epilogue own = e;
          own.residual += i * m * n;
          gemm(m, {.data = &a[i * m * k], .stride = k}, pack(&b[i * k * n], k, n, n, 1), own,
               &want[i * m * n], n);
        }
        gemm_batched(batch, m, k, n, {a.data(), m * k, k, 1}, {b.data(), k * n, n, 1}, e, m * n,
                     got.data(), m * n, n);
        EXPECT_EQ(got, want);
        // The same matrices, stored transposed.
        std::vector<float> a_t(a.size()), b_t(b.size());
        for (int64_t i = 0; i < batch; ++i) {
          for (int64_t r = 0; r < m; ++r)
            for (int64_t x = 0; x < k; ++x) a_t[(i * k + x) * m + r] = a[(i * m + r) * k + x];
          for (int64_t x = 0; x < k; ++x)
            for (int64_t j = 0; j < n; ++j) b_t[(i * n + j) * k + x] = b[(i * k + x) * n + j];
        }
        gemm_batched(batch, m, k, n, {a_t.data(), m * k, 1, m}, {b_t.data(), k * n, 1, k}, e, m * n,
                     transposed.data(), m * n, n);
        EXPECT_EQ(transposed, want);
      }
  });
}

// One row by itself has the bits it has among many.
TEST(Gemm, ARowDoesNotDependOnItsNeighbours) {
  on_every_target([] {
    const int64_t m = 101, k = 300, n = 99;
    const std::vector<float> a = noise(m * k, 1), b = noise(k * n, 2);
    const PackedMatrix packed = pack(b.data(), k, n, n, 1);
    std::vector<float> all(m * n), one(n);
    const Epilogue e{.activation = Activation::gelu};
    gemm(m, {.data = a.data(), .stride = k}, packed, e, all.data(), n);
    for (int64_t i : {0, 50, 100}) {
      gemm(1, {.data = a.data() + i * k, .stride = k}, packed, e, one.data(), n);
      EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + i * n)) << "row " << i;
    }
  });
}

}  // namespace
}  // namespace beckon::kernels
