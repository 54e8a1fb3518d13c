// layer: learn
// Learned prompts as files, from somebody who may write any bytes in their place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "beckon/error.h"
#include "beckon/segment_prompt.h"
#include "models/small_sam.h"

namespace {

using namespace beckon;
namespace fs = std::filesystem;

struct Place {
  std::string path =
      (fs::temp_directory_path() / ("beckon-fuzz-prompt-" + std::to_string(::getpid()))).string();
  Sam sam{test::small_model()};
  std::string good;

  Place() {
    SegmentPrompt(sam, {.tokens = Tensor::full({2, 32}, 0.5f), .dense = Tensor::zeros({32})},
                  {{"label", "leaf"}})
        .save(path);
    std::ifstream file(path, std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(file), {});
  }
  ~Place() { fs::remove(path); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Place place;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  // As they are, and over the beginning of a good file.
  std::string patched = place.good;
  patched.replace(0, std::min(size, patched.size()), bytes.substr(0, patched.size()));
  for (const std::string& text : {bytes, patched}) {
    std::ofstream(place.path, std::ios::binary)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
    try {
      SegmentPrompt::load(place.sam, place.path);
    } catch (const Error& error) {
      if (error.kind() == Kind::internal) std::abort();
    }
  }
  return 0;
}
