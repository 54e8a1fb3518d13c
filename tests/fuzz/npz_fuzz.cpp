// layer: weights
#include "fuzz/checkpoint_fuzz.h"

// Archives of arrays, and single arrays: read_file tells them apart by their first bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return beckon::fuzz::check_reader(data, size, beckon::weights::read_file);
}
