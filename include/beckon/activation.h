// Activations that operations can apply to their result in passing.
#pragma once

#include <cstdint>

namespace beckon {

// gelu is the exact form x * Phi(x) (erf); quick_gelu is x * sigmoid(1.702 x) (CLIP); silu is x *
// sigmoid(x).
enum class Activation : uint8_t { none, gelu, quick_gelu, relu, silu };

}  // namespace beckon
