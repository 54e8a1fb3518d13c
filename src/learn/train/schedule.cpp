#include <cmath>
#include <numbers>

#include "beckon/train.h"

namespace beckon {
namespace {

double half_cosine(int64_t at, int64_t warmup, int64_t total) {
  if (at >= total) return 0;
  const double part = static_cast<double>(at - warmup) / static_cast<double>(total - warmup);
  return 0.5 * (1 + std::cos(std::numbers::pi * part));
}

}  // namespace

double warmup_cosine_by_epoch(int64_t epoch, int64_t warmup, int64_t total) {
  if (epoch < warmup) return static_cast<double>(epoch) / static_cast<double>(warmup);
  return half_cosine(epoch, warmup, total);
}

double warmup_cosine(int64_t step, int64_t warmup, int64_t total) {
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  return half_cosine(step, warmup, total);
}

}  // namespace beckon
