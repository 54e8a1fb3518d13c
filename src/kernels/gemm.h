// C = epilogue(A * B): the matrix product under every linear layer, convolution and attention.
//
// B is packed once, for the instruction set in use, and read many times. A is read in place (or
// produced block by block by a callback), C is written once, with bias, activation and residual
// applied while it is in registers. Every element of C is one chain of multiply-adds over k = 0, 1,
// 2, ...: its bits do not depend on threads, on M, or on its place.
#pragma once

#include <cstdint>
#include <memory>

#include "beckon/activation.h"
#include "kernels/scratch.h"

namespace beckon::kernels {

// How long a packed matrix is needed: weights share huge pages with each other, which costs less
// than pages of their own, and go when the last of their neighbours does.
enum class Life : uint8_t { brief, model };

// A matrix B [K,N] in column panels: panel p holds, for each k in turn, the columns [p*width,
// p*width + width). The last panel is padded with zeros, to half the width if that holds what is
// left.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Room for a matrix; the contents are not initialised. For pack() and for layers that pack by
  // other rules.
  PackedMatrix(int64_t k, int64_t n, Life life = Life::brief);
  PackedMatrix(PackedMatrix&&) = default;
  PackedMatrix& operator=(PackedMatrix&&) = default;

  int64_t k() const { return k_; }
  int64_t n() const { return n_; }
  bool empty() const { return k_ == 0 || n_ == 0; }
  // Columns of a panel: two vectors of the instruction set this was packed for.
  int64_t width() const { return width_; }
  int64_t panels() const { return width_ == 0 ? 0 : (n_ + width_ - 1) / width_; }
  const float* panel(int64_t p) const { return data_ + p * width_ * k_; }
  float* panel(int64_t p) { return data_ + p * width_ * k_; }
  int64_t bytes() const;

 private:
  int64_t k_ = 0, n_ = 0, width_ = 0;
  std::shared_ptr<void> owner_;
  float* data_ = nullptr;
};

// Packs b, whose element (i, j) is b[i * row_stride + j * col_stride]. Weights of a linear layer,
// [N,K] in memory, are pack(w, K, N, 1, K).
PackedMatrix pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
                  Life life = Life::brief);

// Where the rows of A come from.
struct Rows {
  // Plain rows: element (i, k) is data[i * stride + k * col_stride].
  const float* data = nullptr;
  int64_t stride = 0;
  int64_t col_stride = 1;
  // Or rows that are made when they are needed (normalised, gathered, unfolded): writes rows
  // [begin, end) to out, row begin at out[0], the next at out[out_stride]. Runs on worker threads;
  // a row may be asked for more than once.
  void (*fill)(const void* context, int64_t begin, int64_t end, float* out,
               int64_t out_stride) = nullptr;
  const void* context = nullptr;
};

// What happens to each element of the product before it is stored:
//   v = product (+ C if accumulate) + bias[column];  v = activation(v) + residual[row, column],
// or activation(v + residual) if activation_after_residual.
struct Epilogue {
  const float* bias = nullptr;      // [N]
  const float* residual = nullptr;  // rows like C; may be C itself
  int64_t residual_stride = 0;
  Activation activation = Activation::none;
  bool activation_after_residual = false;
  bool accumulate = false;
  // Row i of the product belongs to row scatter[i] of C and of the residual; a negative index drops
  // the row.
  const int32_t* scatter = nullptr;
};

// c[i * c_stride + j] = epilogue(sum over k of A(i, k) * B(k, j)), for i < m and j < b.n().
// Parallel over rows and columns. C must not overlap A (nor anything that `fill` reads).
void gemm(int64_t m, const Rows& a, const PackedMatrix& b, const Epilogue& e, float* c,
          int64_t c_stride);

// The same on the calling thread, for use inside a parallel_for body.
void gemm_serial(int64_t m, const Rows& a, const PackedMatrix& b, const Epilogue& e, float* c,
                 int64_t c_stride);

// One matrix of a batch: element (b, i, j) is data[b * batch_stride + i * row_stride + j *
// col_stride].
struct Batched {
  const float* data = nullptr;
  int64_t batch_stride = 0;
  int64_t row_stride = 0;
  int64_t col_stride = 1;
};

// C[b] = epilogue(A[b] * B[b]) for many pairs, none of them packed beforehand: A[b] is [m,k], B[b]
// is [k,n], row i of C[b] starts at c + b * c_batch_stride + i * c_stride. residual_batch_stride
// moves e.residual from one b to the next.
void gemm_batched(int64_t batch, int64_t m, int64_t k, int64_t n, const Batched& a,
                  const Batched& b, const Epilogue& e, int64_t residual_batch_stride, float* c,
                  int64_t c_batch_stride, int64_t c_stride);

}  // namespace beckon::kernels
