// layer: weights
#include "fuzz/checkpoint_fuzz.h"

// The reader itself, without the guess at the format before it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return beckon::fuzz::check_reader(data, size, beckon::weights::read_safetensors);
}
