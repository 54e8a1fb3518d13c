// The header of a .npy array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "beckon/shape.h"
#include "weights/entry.h"

namespace beckon::weights {

inline constexpr uint64_t kMaxNpyHeader = 64 << 10;  // real ones have 128 bytes

struct NpyHeader {
  Stored stored = Stored::f32;
  bool swapped = false;       // big-endian
  bool column_major = false;  // "fortran_order"
  Shape shape;
  uint64_t data = 0;  // where the values begin
};

// `head`: the first bytes of the array, as many as there are up to kMaxNpyHeader. `where` begins
// messages.
NpyHeader read_npy_header(std::span<const std::byte> head, const std::string& where);

}  // namespace beckon::weights
