#include "kernels/target.h"

#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include "hwy/highway.h"

namespace beckon::kernels {

bool detail::apply_target_bound() {
  const char* text = std::getenv("BECKON_CPU");
  if (!text) return false;
  const std::string_view bound(text);
  int64_t best = 0;
  if (bound == "avx3") best = HWY_AVX3;
  if (bound == "avx2") best = HWY_AVX2;
  if (bound == "sse4") best = HWY_SSE4;
  if (bound == "base") best = HWY_STATIC_TARGET;
  if (best == 0) return false;
  // Better sets have smaller bits.
  hwy::DisableTargets(best - 1);
  return true;
}

std::string target_name() {
  const int64_t supported = hwy::SupportedTargets();
  // Asking makes Highway 1.0 forget DisableTargets until the next Update.
  hwy::GetChosenTarget().Update(supported);
  const int64_t usable = supported & (HWY_TARGETS);
  return hwy::TargetName(usable & -usable);
}

int64_t l2_bytes() {
  static const int64_t bytes = [] {
#ifdef _SC_LEVEL2_CACHE_SIZE
    const long size = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (size > 0) return static_cast<int64_t>(size);
#endif
    return int64_t{512} << 10;
  }();
  return bytes;
}

}  // namespace beckon::kernels
