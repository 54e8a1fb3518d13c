// layer: weights
#include <cstring>

#include "fuzz/checkpoint_fuzz.h"
#include "weights/tfjs.h"

// The JSON up to a zero byte; then the shards, the first of the length that the next byte says, the
// last with all that is left.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon;
  const void* zero = size ? std::memchr(data, 0, size) : nullptr;
  const size_t json = zero ? static_cast<size_t>(static_cast<const uint8_t*>(zero) - data) : size;
  std::span<const uint8_t> rest(data + json, size - json);
  if (!rest.empty()) rest = rest.subspan(1);
  return fuzz::check_reader(data, json, [&](const weights::File& file) {
    return weights::read_tfjs(file, [&](const std::string& name) {
      size_t length = rest.size();
      if (!rest.empty()) {
        length = std::min<size_t>(rest[0], rest.size() - 1);
        rest = rest.subspan(1);
      }
      const auto shard = weights::MappedFile::copy_of(name, std::as_bytes(rest.first(length)));
      rest = rest.subspan(length);
      return shard;
    });
  });
}
