// Rates of the packed matrix product at the shapes of Beckon's models, as shares of the
// multiply-add peak measured in the same run, beside OpenBLAS, BLIS, oneDNN and libxsmm where they
// are installed.
//
//   bench_gemm [--threads N] [--own] [--seconds S] [MxKxN ...]
//
// Every cell is the best of many short repetitions; "own" also prints the median. All columns of a
// shape run in turn, several rounds, so that a busy machine hurts all alike. The last column is own
// over the best library; those that include GELU do not count. A library that does not know the CPU
// takes its plainest kernels unless told: OPENBLAS_CORETYPE, BLIS_ARCH_TYPE.
#include "kernels/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <time.h>

#include "base/threads.h"
#include "gemm_libraries.h"
#include "kernels/peak.h"
#include "kernels/target.h"

namespace {

using namespace beckon;

using bench::Shape;

const std::vector<Shape> kShapes = {
    {4096, 256, 256}, {4096, 768, 2304}, {4096, 768, 768},   {4096, 768, 3072}, {4096, 3072, 768},
    {4096, 160, 640}, {4096, 640, 160},  {4096, 320, 1280},  {4096, 1280, 320}, {16384, 128, 512},
    {16384, 64, 256}, {16384, 256, 64},  {65536, 64, 256},   {4096, 256, 128},  {50, 768, 3072},
    {197, 768, 3072}, {197, 3072, 768},  {7, 256, 2048},     {7, 2048, 256},    {56, 256, 4096},
    {64, 4096, 256},  {1, 768, 3072},    {1024, 1024, 1024}, {49, 32, 49},
};

struct Rate {
  double best, median;
};

// One column of the table.
struct Candidate {
  std::function<void()> call;  // none: the library is not here
  float added = NAN;           // what it adds to the product; NaN: it is not compared
  bool same = true;
  double best = 0.0;
  std::vector<double> medians = {};
};

constexpr int kRounds = 4;

// Seconds: of this thread's processor time if it works alone, of the clock on the wall otherwise.
double now(int count) {
  timespec t;
  clock_gettime(count == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// GFLOP/s of a call that does 2 m k n operations.
Rate measure(const Shape& s, double seconds, int count, const std::function<void()>& call) {
  call();
  double start = now(count);
  call();
  // Chunks of at least 1 ms.
  const int chunk = std::max(1, static_cast<int>(1e-3 / std::max(now(count) - start, 1e-7)));
  std::vector<double> times;
  const double first = now(count);
  while (times.size() < 3 || now(count) - first < seconds) {
    start = now(count);
    for (int i = 0; i < chunk; ++i) call();
    times.push_back((now(count) - start) / chunk);
  }
  std::sort(times.begin(), times.end());
  const double work =
      2e-9 * static_cast<double>(s.m) * static_cast<double>(s.k) * static_cast<double>(s.n);
  return {work / times.front(), work / times[times.size() / 2]};
}

double load_average() {
  double load = 0.0;
  return getloadavg(&load, 1) == 1 ? load : NAN;
}

}  // namespace

int main(int argc, char** argv) {
  int count = 1;
  bool own_only = false;
  double seconds = 0.25;
  std::vector<Shape> shapes;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    Shape s;
    if (argument == "--threads" && i + 1 < argc) {
      count = std::atoi(argv[++i]);
    } else if (argument == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else if (argument == "--own") {
      own_only = true;
    } else if (std::sscanf(argv[i], "%ldx%ldx%ld", &s.m, &s.k, &s.n) == 3) {
      shapes.push_back(s);
    } else {
      std::fprintf(stderr, "usage: bench_gemm [--threads N] [--own] [--seconds S] [MxKxN ...]\n");
      return 2;
    }
  }
  if (shapes.empty()) shapes = kShapes;
  set_threads(count);
  // oneDNN takes its threads from OpenMP, which has read its environment already.
  if (void* set = dlsym(RTLD_DEFAULT, "omp_set_num_threads"))
    reinterpret_cast<void (*)(int)>(set)(count);
  const bench::Blas openblas(own_only ? "" : "libopenblas.so.0", "openblas_set_num_threads", count);
  const bench::Blas blis(own_only ? "" : "libblis.so.4", "bli_thread_set_num_threads", count);

  double peak = kernels::fma_peak(count, 0.3);
  std::printf("%s, %d thread(s), peak %.0f GFLOP/s, load %.2f\n", kernels::target_name().c_str(),
              count, peak, load_average());
  std::printf("%-16s %22s %16s %9s %9s %9s %12s %9s %9s\n", "MxKxN, GFLOP/s", "own (share, median)",
              "own+bias+GELU", "OpenBLAS", "BLIS", "oneDNN", "oneDNN+GELU", "libxsmm", "own/best");
  for (const Shape& s : shapes) {
    std::vector<float> a(static_cast<size_t>(s.m * s.k)), b(static_cast<size_t>(s.k * s.n));
    std::vector<float> c(static_cast<size_t>(s.m * s.n)), bias(static_cast<size_t>(s.n), 0.5f);
    for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 13) * 0.1f - 0.6f;
    for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 11) * 0.1f - 0.5f;
    const kernels::PackedMatrix packed = kernels::pack(b.data(), s.k, s.n, s.n, 1);
    const kernels::Rows rows{.data = a.data(), .stride = s.k};
    const kernels::Epilogue gelu{.bias = bias.data(), .activation = Activation::gelu};
    std::vector<float> expected(c.size());
    kernels::gemm(s.m, rows, packed, {}, expected.data(), s.n);

    std::vector<Candidate> all = {
        {[&] { kernels::gemm(s.m, rows, packed, {.bias = bias.data()}, c.data(), s.n); }},
        {[&] { kernels::gemm(s.m, rows, packed, gelu, c.data(), s.n); }}};
    for (const bench::Blas* blas : {&openblas, &blis}) {
      const auto call = [&, blas] { blas->multiply(s, a.data(), b.data(), c.data()); };
      all.push_back({blas->available() ? std::function<void()>(call) : nullptr, 0.0f});
    }
    const Shape for_peers = own_only ? Shape{} : s;
    for (const bool with_gelu : {false, true})
      all.push_back(
          {bench::one_dnn(for_peers, a.data(), b.data(), bias.data(), c.data(), with_gelu),
           with_gelu ? NAN : bias[0]});
    all.push_back({bench::xsmm(for_peers, a.data(), b.data(), c.data()), 0.0f});

    for (Candidate& candidate : all) {
      if (!candidate.call || std::isnan(candidate.added)) continue;
      std::fill(c.begin(), c.end(), NAN);
      candidate.call();
      for (size_t i = 0; i < c.size(); ++i)
        candidate.same &=
            std::abs(c[i] - expected[i] - candidate.added) <= 1e-5f * static_cast<float>(s.k);
    }
    for (int round = 0; round < kRounds; ++round) {
      for (Candidate& candidate : all) {
        if (!candidate.call) continue;
        const Rate rate = measure(s, seconds / kRounds, count, candidate.call);
        candidate.best = std::max(candidate.best, rate.best);
        candidate.medians.push_back(rate.median);
      }
    }

    const std::string name =
        std::to_string(s.m) + "x" + std::to_string(s.k) + "x" + std::to_string(s.n);
    std::sort(all[0].medians.begin(), all[0].medians.end());
    std::printf("%-16s %7.1f (%3.0f%%) %7.1f %9.1f (%3.0f%%)", name.c_str(), all[0].best,
                100 * all[0].best / peak, all[0].medians[kRounds / 2], all[1].best,
                100 * all[1].best / peak);
    double best = 0.0;  // of the libraries that computed the same
    for (size_t i = 2; i < all.size(); ++i) {
      const int width = i == 5 ? 12 : 9;
      if (!all[i].call)
        std::printf(" %*s", width, "-");
      else if (!all[i].same)
        std::printf(" %*s", width, "wrong");
      else
        std::printf(" %*.1f", width, all[i].best);
      if (all[i].same && !std::isnan(all[i].added)) best = std::max(best, all[i].best);
    }
    if (best > 0)
      std::printf(" %9.2f\n", all[0].best / best);
    else
      std::printf(" %9s\n", "-");
    std::fflush(stdout);
  }
  std::printf("load %.2f\n", load_average());
}
