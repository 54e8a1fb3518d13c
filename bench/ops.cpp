// Times the large rows of the table of operations that the tests check.
//
//   bench_ops [--all] [PART OF A NAME]...
//
// Prints for each the best and the median time of the operation alone and with its gradient, and
// how many elements of input and result it moves a second. --all takes the small rows as well.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/threads.h"
#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

struct Times {
  double best = 0, median = 0;  // microseconds
};

// Runs for about a fifth of a second, at least five times.
template <typename Run>
Times measure(Run&& run) {
  using Clock = std::chrono::steady_clock;
  run();
  std::vector<double> times;
  double total = 0;
  while (times.size() < 5 || (total < 2e5 && times.size() < 2000)) {
    const auto start = Clock::now();
    run();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

void report(const OpCase& c) {
  std::vector<Tensor> inputs = make_inputs(c);
  int64_t moved = 0;
  for (const Tensor& x : inputs) moved += x.size();
  Tensor y;
  const Times forward = measure([&] { y = c.run(inputs); });
  moved += y.size();
  std::printf("%-40s %10.1f %10.1f %8.2f", c.name.c_str(), forward.best, forward.median,
              static_cast<double>(moved) / forward.best / 1e3);

  bool differentiable = false;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (c.inputs[i].differentiable) {
      inputs[i].set_requires_grad();
      differentiable = true;
    }
  if (differentiable) {
    const Tensor dy = Tensor::full(y.shape(), 1.0f);
    const Times both = measure([&] {
      for (Tensor& x : inputs) x.zero_grad();
      c.run(inputs).backward(dy);
    });
    std::printf(" %10.1f %10.1f", both.best, both.median);
  }
  std::printf("\n");
}

bool asked_for(const std::string& name, const std::vector<std::string>& parts) {
  return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string& part) {
           return name.find(part) != std::string::npos;
         });
}

}  // namespace
}  // namespace beckon::test

int main(int argc, char** argv) {
  bool all = false;
  std::vector<std::string> parts;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--all") == 0) {
      all = true;
    } else {
      parts.emplace_back(argv[i]);
    }
  }
  std::printf("%d threads; times in microseconds\n", beckon::threads());
  std::printf("%-40s %10s %10s %8s %10s %10s\n", "", "best", "median", "G/s", "with grad",
              "median");
  for (const auto& c : beckon::test::op_cases())
    if ((all || c.large) && beckon::test::asked_for(c.name, parts)) beckon::test::report(c);
}
