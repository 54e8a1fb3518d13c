// Memory for kernels: 64-byte aligned, never initialised, no sharing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace beckon::kernels {

struct FreeAligned {
  void operator()(float* memory) const { std::free(memory); }
};
using AlignedFloats = std::unique_ptr<float[], FreeAligned>;

// `count` floats at a multiple of 64 bytes. Throws std::bad_alloc.
inline AlignedFloats allocate_floats(int64_t count) {
  const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + 127) & ~size_t{63};
  auto* memory = static_cast<float*>(std::aligned_alloc(64, bytes));
  if (!memory) throw std::bad_alloc();
  return AlignedFloats(memory);
}

// A buffer that grows and is kept: declare it thread_local in the kernel that uses it.
class Scratch {
 public:
  // At least `count` floats, 64-byte aligned; what was there before may be gone.
  float* get(int64_t count) {
    if (count > capacity_) {
      memory_.reset();
      capacity_ = 0;
      memory_ = allocate_floats(count);
      capacity_ = count;
    }
    return memory_.get();
  }

 private:
  AlignedFloats memory_;
  int64_t capacity_ = 0;
};

}  // namespace beckon::kernels
