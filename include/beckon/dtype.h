// Element types of tensors and of checkpoint files.
#pragma once

#include <cstddef>
#include <cstdint>

#include "beckon/export.h"

namespace beckon {

// Computation is in f32. f16 and bf16 are storage; f64 appears in files; the integers are indices,
// labels and pixels.
enum class DType : uint8_t { f32, f16, bf16, f64, i64, i32, u8, boolean };

constexpr size_t size_of(DType type) noexcept {
  switch (type) {
    case DType::f64:
    case DType::i64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 1;
}

// "f32", "bf16", "bool", ...
BECKON_API const char* name_of(DType type) noexcept;

// IEEE half and bfloat16 bits to float and back, rounding to nearest even.
BECKON_API float half_to_float(uint16_t bits) noexcept;
BECKON_API uint16_t float_to_half(float value) noexcept;
BECKON_API float bfloat16_to_float(uint16_t bits) noexcept;
BECKON_API uint16_t float_to_bfloat16(float value) noexcept;

}  // namespace beckon
