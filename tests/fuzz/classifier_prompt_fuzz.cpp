// layer: learn
// A learned classifier's file: as it is, and with a right seal. Reading it ends well or with an
// error; nothing in it is believed before it is checked.
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "beckon/classifier_prompt.h"
#include "beckon/error.h"
#include "learn/classify/make_learner.h"
#include "learn/classify/state.h"
#include "learn/classify/tensor_file.h"
#include "prompt/bounded_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon;
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("classifier_prompt_fuzz." + std::to_string(getpid())))
                               .string();
  const std::string text(reinterpret_cast<const char*>(data), size);
  std::ofstream(path, std::ios::binary) << text;
  const auto attempt = [](auto&& body) {
    try {
      body();
    } catch (const Error& error) {
      if (std::string(error.what()).find('\n') != std::string::npos) std::abort();
    }
  };
  ClassifierPrompt::recognise(path);
  attempt([&] { ClassifierPrompt::describe(path); });
  attempt([&] { ClassifierPrompt::load(path); });
  attempt([&] { learn::load_classifier_state(path, ""); });
  // As somebody would write it who can seal: the text as its options and as its progress.
  attempt([&] {
    const auto method = learn::method_of(parse_bounded_json(text, "fuzz", 1 << 20), "fuzz");
    const auto again = learn::method_of(learn::json_of(method), "fuzz");
    if (learn::json_of(again) != learn::json_of(method)) std::abort();
  });
  attempt([&] {
    learn::write_tensor_file(
        path, {{}, {{"kind", "classifier-checkpoint"}, {"settings", ""}, {"progress", text}}});
    learn::load_classifier_state(path, "");
  });
  return 0;
}
