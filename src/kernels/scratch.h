// Memory for kernels: 64-byte aligned, never initialised, no sharing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <sys/mman.h>

namespace beckon::kernels {

struct FreeAligned {
  void operator()(float* memory) const { std::free(memory); }
};
using AlignedFloats = std::unique_ptr<float[], FreeAligned>;

// `count` floats at a multiple of 64 bytes. Throws std::bad_alloc.
inline AlignedFloats allocate_floats(int64_t count) {
  // Large blocks ask for huge pages: kernels walk many rows at once and lose some 3 % to page walks
  // otherwise.
  constexpr size_t kHugePage = size_t{2} << 20;
  const size_t wanted = static_cast<size_t>(count) * sizeof(float) + 64;
  const size_t alignment = wanted >= 2 * kHugePage ? kHugePage : 64;
  const size_t bytes = (wanted + alignment - 1) / alignment * alignment;
  auto* memory = static_cast<float*>(std::aligned_alloc(alignment, bytes));
  if (!memory) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (alignment == kHugePage) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  return AlignedFloats(memory);
}

// `count` floats, 64-byte aligned, that the calling thread gets back from an earlier lease where it
// can. Leases nest: a callback that runs while one is held gets another buffer.
class ScratchLease {
 public:
  explicit ScratchLease(int64_t count) {
    auto& idle = idle_buffers();
    if (!idle.empty()) {
      buffer_ = std::move(idle.back());
      idle.pop_back();
    }
    if (buffer_.capacity < count) {
      buffer_ = Buffer();
      buffer_ = {allocate_floats(count), count};
    }
  }
  ~ScratchLease() { idle_buffers().push_back(std::move(buffer_)); }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;

  float* data() const { return buffer_.memory.get(); }

 private:
  struct Buffer {
    AlignedFloats memory;
    int64_t capacity = 0;
  };
  static std::vector<Buffer>& idle_buffers() {
    thread_local std::vector<Buffer> buffers;
    return buffers;
  }

  Buffer buffer_;
};

}  // namespace beckon::kernels
