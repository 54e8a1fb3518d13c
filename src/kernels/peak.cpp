#include "kernels/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve chains hide the latency of a multiply-add on two pipes; more would not fit 16 registers.
// Returns the number of floating-point operations done.
double MultiplyAdds(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 1e-3f);
  auto a0 = hn::Set(d, 0.0f), a1 = hn::Set(d, 0.1f), a2 = hn::Set(d, 0.2f), a3 = hn::Set(d, 0.3f);
  auto a4 = hn::Set(d, 0.4f), a5 = hn::Set(d, 0.5f), a6 = hn::Set(d, 0.6f), a7 = hn::Set(d, 0.7f);
  auto a8 = hn::Set(d, 0.8f), a9 = hn::Set(d, 0.9f), aa = hn::Set(d, 1.0f), ab = hn::Set(d, 1.1f);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, x, y);
    a1 = hn::MulAdd(a1, x, y);
    a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y);
    a4 = hn::MulAdd(a4, x, y);
    a5 = hn::MulAdd(a5, x, y);
    a6 = hn::MulAdd(a6, x, y);
    a7 = hn::MulAdd(a7, x, y);
    a8 = hn::MulAdd(a8, x, y);
    a9 = hn::MulAdd(a9, x, y);
    aa = hn::MulAdd(aa, x, y);
    ab = hn::MulAdd(ab, x, y);
  }
  const auto total = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)),
                             hn::Add(hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)),
                                     hn::Add(hn::Add(a8, a9), hn::Add(aa, ab))));
  *sink = hn::GetLane(hn::SumOfLanes(d, total));
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

void ReadAll(const float* data, int64_t n, float* sink) {
  const hn::ScalableTag<float> d;
  const int64_t step = static_cast<int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  for (int64_t i = 0; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, hn::LoadU(d, data + i));
    s1 = hn::Add(s1, hn::LoadU(d, data + i + step));
    s2 = hn::Add(s2, hn::LoadU(d, data + i + 2 * step));
    s3 = hn::Add(s3, hn::LoadU(d, data + i + 3 * step));
  }
  *sink = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

}  // namespace beckon::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {
namespace {

HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(ReadAll);

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Runs work(thread) on plain threads that start together; seconds from the start to the last end.
template <typename Work>
double together(int threads, Work&& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; ++t)
    pool.emplace_back([&, t] {
      ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      work(t);
    });
  while (ready.load() != threads - 1) std::this_thread::yield();
  const auto start = Clock::now();
  go.store(true);
  work(0);
  for (auto& thread : pool) thread.join();
  return since(start);
}

}  // namespace

double fma_peak(int threads, double seconds) {
  threads = std::max(threads, 1);
  constexpr int64_t kRounds = 1 << 20;
  std::vector<float> sinks(static_cast<size_t>(threads) * 16);
  std::vector<double> operations(static_cast<size_t>(threads));
  double best = 0;
  const auto start = Clock::now();
  do {
    const double took = together(threads, [&](int t) {
      operations[static_cast<size_t>(t)] =
          HWY_DYNAMIC_DISPATCH(MultiplyAdds)(kRounds, &sinks[static_cast<size_t>(t) * 16]);
    });
    double total = 0;
    for (double n : operations) total += n;
    best = std::max(best, total / took / 1e9);
  } while (since(start) < seconds);
  return best;
}

double read_bandwidth(int threads, double seconds) {
  threads = std::max(threads, 1);
  const int64_t each = int64_t{32} << 20;  // floats: 128 MiB a thread
  std::vector<float> block(static_cast<size_t>(each * threads), 1.0f),
      sinks(static_cast<size_t>(threads) * 16);
  double best = 0;
  const auto start = Clock::now();
  do {
    const double took = together(threads, [&](int t) {
      HWY_DYNAMIC_DISPATCH(ReadAll)
      (block.data() + t * each, each, &sinks[static_cast<size_t>(t) * 16]);
    });
    best = std::max(best, static_cast<double>(each * threads) * sizeof(float) / took / 1e9);
  } while (since(start) < seconds);
  return best;
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
