#include "gemm_libraries.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include <dlfcn.h>

#ifdef BECKON_BENCH_ONEDNN
#include <dnnl.hpp>
#endif
#ifdef BECKON_BENCH_XSMM
#include <libxsmm.h>
#endif

#include "base/threads.h"

namespace beckon::bench {

Blas::Blas(const char* library, const char* set_threads_name, int count) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (!handle) return;
  sgemm_ = reinterpret_cast<Sgemm>(dlsym(handle, "sgemm_"));
  if (void* set = dlsym(handle, set_threads_name)) reinterpret_cast<void (*)(long)>(set)(count);
}

// Row-major C = A B is column-major C^T = B^T A^T.
void Blas::multiply(const Shape& s, const float* a, const float* b, float* c) const {
  const int m = static_cast<int>(s.n), n = static_cast<int>(s.m), k = static_cast<int>(s.k);
  const float one = 1.0f, zero = 0.0f;
  sgemm_("N", "N", &m, &n, &k, &one, b, &m, a, &k, &zero, c, &m);
}

#ifdef BECKON_BENCH_ONEDNN
namespace {

class OneDnn {
 public:
  OneDnn(const Shape& s, const float* a, const float* b, const float* bias, float* c, bool gelu)
      : stream_(engine()) {
    using namespace dnnl;
    using tag = memory::format_tag;
    const auto f32 = memory::data_type::f32;
    const memory::desc a_desc({s.m, s.k}, f32, tag::ab), c_desc({s.m, s.n}, f32, tag::ab);
    const memory::desc bias_desc({1, s.n}, f32, tag::ab), any({s.k, s.n}, f32, tag::any);
    primitive_attr attributes;
    if (gelu) {
      post_ops operations;
      operations.append_eltwise(1.0f, algorithm::eltwise_gelu_erf, 0.0f, 0.0f);
      attributes.set_post_ops(operations);
    }
    const matmul::primitive_desc desc(matmul::desc(a_desc, any, bias_desc, c_desc), attributes,
                                      engine());
    matmul_ = matmul(desc);
    memory plain({{s.k, s.n}, f32, tag::ab}, engine(), const_cast<float*>(b));
    memory packed(desc.weights_desc(), engine());
    reorder(plain, packed).execute(stream_, plain, packed);
    stream_.wait();
    arguments_ = {{DNNL_ARG_SRC, memory(a_desc, engine(), const_cast<float*>(a))},
                  {DNNL_ARG_WEIGHTS, packed},
                  {DNNL_ARG_BIAS, memory(bias_desc, engine(), const_cast<float*>(bias))},
                  {DNNL_ARG_DST, memory(c_desc, engine(), c)}};
  }
  void run() {
    matmul_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  static dnnl::engine& engine() {
    static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
    return cpu;
  }
  dnnl::stream stream_;
  dnnl::primitive matmul_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

}  // namespace

std::function<void()> one_dnn(const Shape& s, const float* a, const float* b, const float* bias,
                              float* c, bool gelu) {
  if (s.m * s.k * s.n == 0) return {};
  auto product = std::make_shared<OneDnn>(s, a, b, bias, c, gelu);
  return [product] { product->run(); };
}
#else
std::function<void()> one_dnn(const Shape&, const float*, const float*, const float*, float*,
                              bool) {
  return {};
}
#endif

#ifdef BECKON_BENCH_XSMM
namespace {

// libxsmm thinks in columns: its kernel computes C^T = B^T A^T, so its m is our n.
class Xsmm {
 public:
  struct Blocks {
    int64_t m, k, n;
  };

  Xsmm(const Shape& s, const Blocks& blocks, const float* a, const float* b, float* c)
      : s_(s), blocks_(blocks), a_(a), c_(c), packed_(static_cast<size_t>(s.k * s.n)) {
    // Block after block of k, in it panel after panel of n, each panel row by row.
    float* to = packed_.data();
    for (int64_t k = 0; k < s.k; k += blocks.k) {
      const int64_t depth = std::min(blocks.k, s.k - k);
      for (int64_t n = 0; n < s.n; n += blocks.n) {
        const int64_t width = std::min(blocks.n, s.n - n);
        for (int64_t i = 0; i < depth; ++i) to = std::copy_n(b + (k + i) * s.n + n, width, to);
      }
    }
    for (const int64_t m : sizes(s.m, blocks.m))
      for (const int64_t k : sizes(s.k, blocks.k))
        for (const int64_t n : sizes(s.n, blocks.n))
          for (const bool adds : {false, true}) {
            const auto width = static_cast<int>(n), rows = static_cast<int>(m);
            const auto depth = static_cast<int>(k), lda = static_cast<int>(s.k);
            const auto ldc = static_cast<int>(s.n);
            const float alpha = 1.0f, beta = adds ? 1.0f : 0.0f;
            kernels_[{m, k, n, adds}] = libxsmm_smmdispatch(width, rows, depth, &width, &lda, &ldc,
                                                            &alpha, &beta, nullptr, nullptr);
          }
  }

  bool works() const {
    return std::all_of(kernels_.begin(), kernels_.end(),
                       [](const auto& kernel) { return kernel.second != nullptr; });
  }

  // Tiles of C go to the threads: bands of rows if there are enough, else bands of columns.
  void run() const {
    const int64_t bands = (s_.m + blocks_.m - 1) / blocks_.m;
    const int64_t panels = (s_.n + blocks_.n - 1) / blocks_.n;
    if (bands >= 2 * threads())
      parallel_for(bands, 1, [&](int64_t from, int64_t to) { tiles(from, to, 0, panels); });
    else
      parallel_for(panels, 1, [&](int64_t from, int64_t to) { tiles(0, bands, from, to); });
  }

 private:
  using Key = std::array<int64_t, 4>;

  static std::vector<int64_t> sizes(int64_t whole, int64_t block) {
    std::vector<int64_t> found;
    if (whole >= block) found.push_back(block);
    if (whole % block) found.push_back(whole % block);
    return found;
  }

  void tiles(int64_t band0, int64_t band1, int64_t panel0, int64_t panel1) const {
    for (int64_t band = band0; band < band1; ++band) {
      const int64_t m = band * blocks_.m, rows = std::min(blocks_.m, s_.m - m);
      for (int64_t k = 0; k < s_.k; k += blocks_.k) {
        const int64_t depth = std::min(blocks_.k, s_.k - k);
        libxsmm_smmfunction kernel = nullptr;
        int64_t kernel_width = 0;
        for (int64_t panel = panel0; panel < panel1; ++panel) {
          const int64_t n = panel * blocks_.n, width = std::min(blocks_.n, s_.n - n);
          if (width != kernel_width) {
            kernel = kernels_.at({rows, depth, width, k > 0});
            kernel_width = width;
          }
          kernel(packed_.data() + k * s_.n + depth * n, a_ + m * s_.k + k, c_ + m * s_.n + n);
        }
      }
    }
  }

  Shape s_;
  Blocks blocks_;
  const float* a_;
  float* c_;
  std::vector<float> packed_;
  std::map<Key, libxsmm_smmfunction> kernels_;
};

double seconds_of(const Xsmm& product) {
  using Clock = std::chrono::steady_clock;
  product.run();
  double best = 1e9;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < 3 || (Clock::now() - start < std::chrono::milliseconds(15) && i < 100); ++i) {
    const Clock::time_point before = Clock::now();
    product.run();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - before).count());
  }
  return best;
}

}  // namespace

std::function<void()> xsmm(const Shape& s, const float* a, const float* b, float* c) {
  if (s.m * s.k * s.n == 0) return {};
  // The first rows show which blocks are good; all of a large product would take minutes.
  const Shape sample{std::min<int64_t>(s.m, 576), s.k, s.n};
  Xsmm::Blocks quickest{};
  double least = 1e9;
  for (const int64_t m : {6, 24, 48, 96}) {
    for (const int64_t k : {128, 256, 768}) {
      for (const int64_t n : {32, 64, 128}) {
        // A larger block than the matrix is the same as one of its size.
        if ((m > s.m && m != 6) || (k > s.k && k != 128) || (n > s.n && n != 32)) continue;
        const Xsmm product(sample, Xsmm::Blocks{m, k, n}, a, b, c);
        if (!product.works()) continue;
        const double seconds = seconds_of(product);
        if (seconds >= least) continue;
        least = seconds;
        quickest = {m, k, n};
      }
    }
  }
  if (quickest.m == 0) return {};
  auto product = std::make_shared<Xsmm>(s, quickest, a, b, c);
  if (!product->works()) return {};
  return [product] { product->run(); };
}
#else
std::function<void()> xsmm(const Shape&, const float*, const float*, float*) { return {}; }
#endif

}  // namespace beckon::bench
