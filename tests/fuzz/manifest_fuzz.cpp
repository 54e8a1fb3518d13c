// layer: compose
// What a folder of results holds, from somebody who can seal: any bytes as each kind of file, as
// they are and with the right seal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "beckon/error.h"
#include "compose/annotate/manifest.h"
#include "compose/annotate/out_folder.h"

namespace {

using namespace beckon;
using namespace beckon::compose;

template <typename Read>
void expect_input_error(Read read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.kind() != Kind::input) std::abort();
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
}

void read_all(const std::string& text) {
  expect_input_error([&] {
    const std::string again = manifest_text(read_manifest(text, "fuzz"));
    if (manifest_text(read_manifest(again, "fuzz")) != again) std::abort();
  });
  expect_input_error([&] {
    const std::string again = listing_text(read_listing(text, "fuzz"));
    if (listing_text(read_listing(again, "fuzz")) != again) std::abort();
  });
  expect_input_error([&] { read_recipe(text, "fuzz"); });
  read_head(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  read_all(text);
  read_all(sealed(text));
  return 0;
}
