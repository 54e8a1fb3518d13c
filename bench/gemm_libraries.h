// The matrix products of other libraries, for bench_gemm: C = A B of row-major matrices.
#pragma once

#include <cstdint>
#include <functional>

namespace beckon::bench {

struct Shape {
  int64_t m = 0, k = 0, n = 0;
};

// sgemm of a library that is loaded when it is there: no build dependency, no clash of symbols.
class Blas {
 public:
  Blas(const char* library, const char* set_threads_name, int count);
  bool available() const { return sgemm_ != nullptr; }
  void multiply(const Shape& s, const float* a, const float* b, float* c) const;

 private:
  using Sgemm = void (*)(const char*, const char*, const int*, const int*, const int*, const float*,
                         const float*, const int*, const float*, const int*, const float*, float*,
                         const int*);
  Sgemm sgemm_ = nullptr;
};

// What follows is empty where the library was not there when the benchmarks were built, and for a
// shape without elements. The matrices must outlive the call.

// oneDNN's matrix product with bias (and GELU), weights in the layout of the library's choice.
std::function<void()> one_dnn(const Shape& s, const float* a, const float* b, const float* bias,
                              float* c, bool gelu);

// libxsmm's kernels, generated for blocks of the shape, in plain loops over packed weights: the
// blocks are those of some that were quickest in a short trial.
std::function<void()> xsmm(const Shape& s, const float* a, const float* b, float* c);

}  // namespace beckon::bench
