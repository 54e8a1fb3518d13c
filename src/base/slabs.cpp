#include "base/slabs.h"

#include <cstdlib>
#include <new>

#include <sys/mman.h>

namespace beckon {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSlab = 2 * kHugePage;

std::shared_ptr<void> huge(size_t bytes) {
  if (bytes > SIZE_MAX - kHugePage) throw std::bad_alloc();
  const size_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* memory = std::aligned_alloc(kHugePage, whole);
  if (!memory) throw std::bad_alloc();
  madvise(memory, whole, MADV_HUGEPAGE);
  return {memory, [](void* p) { std::free(p); }};
}

}  // namespace

Slabs::Block Slabs::take(size_t bytes) {
  // A large block of its own leaves no gap in a slab.
  if (bytes > kHugePage) {
    auto own = huge(bytes);
    return {own, own.get()};
  }
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::lock_guard lock(mutex_);
  if (!slab_ || used_ + rounded > kSlab) {
    slab_ = huge(kSlab);
    used_ = 0;
  }
  void* memory = static_cast<std::byte*>(slab_.get()) + used_;
  used_ += rounded;
  return {slab_, memory};
}

}  // namespace beckon
