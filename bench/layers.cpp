// Rates of attention and convolution at the shapes of Beckon's models, as shares of the
// multiply-add peak measured in the same run.
//
//   bench_layers [--threads N] [--seconds S]
//
// The best and the median of many short repetitions. One thread is timed by its own processor time.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <time.h>

#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/peak.h"
#include "kernels/target.h"

namespace {

using namespace beckon;
using namespace beckon::kernels;

int count = 1;
double seconds = 0.25, peak = 0.0;

double now() {
  timespec t;
  clock_gettime(count == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void report(const std::string& name, double operations, const std::function<void()>& call) {
  call();
  std::vector<double> times;
  const double first = now();
  while (times.size() < 5 || now() - first < seconds) {
    const double start = now();
    call();
    times.push_back(now() - start);
  }
  std::sort(times.begin(), times.end());
  const double best = times.front(), median = times[times.size() / 2];
  std::printf("%-52s %8.3f ms %7.1f GFLOP/s (%3.0f%%), median %8.3f ms\n", name.c_str(), 1e3 * best,
              1e-9 * operations / best, 1e-7 * operations / best / peak, 1e3 * median);
  std::fflush(stdout);
}

std::vector<float> numbers(int64_t size) {
  std::vector<float> x(static_cast<size_t>(size));
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(i * 2654435761u % 1000) * 2e-3f - 1.0f;
  return x;
}

void windows(const char* name, const WindowShape& s, QkvOrder order, bool with_bias,
             bool with_positions) {
  const int64_t channels = s.heads * s.dim, keys = s.window * s.window;
  const auto qkv = numbers(s.height * s.width * 3 * channels), pad = numbers(3 * channels);
  const auto bias = numbers(s.heads * keys * keys), table = numbers(2 * s.window * s.dim);
  std::vector<float> out(static_cast<size_t>(s.height * s.width * channels));
  RelativePositions relative;
  if (with_positions) relative = {table.data(), table.data(), s.window, s.window};
  // Products of real queries with all keys of their window.
  const double operations = 4.0 * static_cast<double>(s.height * s.width * channels * keys);
  report(name, operations, [&] {
    window_attention(s, qkv.data(), order, pad.data(), 0.2f, with_bias ? bias.data() : nullptr,
                     relative, out.data());
  });
}

void plain(const char* name, const AttentionShape& s, int64_t grid) {
  const int64_t row = s.heads * s.dim;
  const auto q = numbers(s.batch * s.queries * row), k = numbers(s.batch * s.keys * row);
  const auto v = numbers(s.batch * s.keys * row), table = numbers(2 * grid * s.dim);
  std::vector<float> out(q.size());
  RelativePositions relative;
  if (grid > 0) relative = {table.data(), table.data(), grid, grid};
  const double operations =
      4.0 * static_cast<double>(s.batch * s.heads * s.queries * s.keys * s.dim);
  report(name, operations, [&] {
    attention(s, {q.data(), s.queries * row, row, s.dim}, {k.data(), s.keys * row, row, s.dim},
              {v.data(), s.keys * row, row, s.dim}, 0.125f, {}, relative,
              {out.data(), s.queries * row, row, s.dim});
  });
}

void convolution(const char* name, const ConvShape& s) {
  const auto in = numbers(s.batch * s.height * s.width * s.in_channels);
  const auto w = numbers(s.out_channels * s.in_channels / s.groups * s.kernel_h * s.kernel_w);
  const auto bias = numbers(s.out_channels);
  const ConvWeights weights = pack_conv_weights(w.data(), s);
  std::vector<float> out(
      static_cast<size_t>(s.batch * s.out_height() * s.out_width() * s.out_channels));
  const double operations = 2.0 * static_cast<double>(out.size()) *
                            static_cast<double>(s.kernel_h * s.kernel_w) *
                            static_cast<double>(s.in_channels / s.groups);
  report(name, operations,
         [&] { conv2d(s, in.data(), weights, {.bias = bias.data()}, out.data()); });
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--threads" && i + 1 < argc) {
      count = std::atoi(argv[++i]);
    } else if (argument == "--seconds" && i + 1 < argc) {
      seconds = std::atof(argv[++i]);
    } else {
      std::fprintf(stderr, "usage: bench_layers [--threads N] [--seconds S]\n");
      return 2;
    }
  }
  set_threads(count);
  peak = fma_peak(count, 0.3);
  double load = 0.0;
  if (getloadavg(&load, 1) != 1) load = -1.0;
  std::printf("%s, %d thread(s), peak %.0f GFLOP/s, load %.2f\n", target_name().c_str(), count,
              peak, load);
  using enum QkvOrder;
  windows("TinyViT 128x128, window 7, 4 heads x 32", {1, 128, 128, 7, 4, 32}, heads, true, false);
  windows("TinyViT 64x64, window 14, 5 heads x 32", {1, 64, 64, 14, 5, 32}, heads, true, false);
  windows("TinyViT 64x64, window 7, 10 heads x 32", {1, 64, 64, 7, 10, 32}, heads, true, false);
  windows("ViT-B 64x64, window 14, 12 heads x 64, positions", {1, 64, 64, 14, 12, 64}, parts, false,
          true);
  plain("ViT-B global, 12 heads x 4096 x 64, positions", {1, 12, 4096, 4096, 64}, 64);
  plain("ViT-B/16, 12 heads x 197 x 64", {1, 12, 197, 197, 64}, 0);
  plain("decoder, 8 heads, 7 queries x 4096 keys x 16", {1, 8, 7, 4096, 16}, 0);
  plain("decoder, 8 heads, 4096 queries x 7 keys x 16", {1, 8, 4096, 7, 16}, 0);
  convolution("3x3 256->256 at 64x64", {.height = 64,
                                        .width = 64,
                                        .in_channels = 256,
                                        .out_channels = 256,
                                        .kernel_h = 3,
                                        .kernel_w = 3,
                                        .pad_h = 1,
                                        .pad_w = 1});
  convolution("3x3 stride 2, 3->32 at 1024x1024", {.height = 1024,
                                                   .width = 1024,
                                                   .in_channels = 3,
                                                   .out_channels = 32,
                                                   .kernel_h = 3,
                                                   .kernel_w = 3,
                                                   .stride_h = 2,
                                                   .stride_w = 2,
                                                   .pad_h = 1,
                                                   .pad_w = 1});
  convolution("3x3 stride 2, 32->64 at 512x512", {.height = 512,
                                                  .width = 512,
                                                  .in_channels = 32,
                                                  .out_channels = 64,
                                                  .kernel_h = 3,
                                                  .kernel_w = 3,
                                                  .stride_h = 2,
                                                  .stride_w = 2,
                                                  .pad_h = 1,
                                                  .pad_w = 1});
  convolution("16x16 stride 16, 3->768 at 1024x1024", {.height = 1024,
                                                       .width = 1024,
                                                       .in_channels = 3,
                                                       .out_channels = 768,
                                                       .kernel_h = 16,
                                                       .kernel_w = 16,
                                                       .stride_h = 16,
                                                       .stride_w = 16});
}
