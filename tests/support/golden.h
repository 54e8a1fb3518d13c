// Golden cases: inputs and outputs that a reference implementation computed, one folder a case.
//
//   TEST(MaskDecoder, MatchesGolden) {
//     for (const Golden& golden : goldens("mask_decoder")) {
//       SCOPED_TRACE(golden.name);
//       const Arrays& io = golden.tensors("io");                     // io.safetensors
//       const int dim = golden.json().at("config").at("dim");        // case.json
//       expect_near(masks, io.at("out.masks"), golden.tolerance("out.masks"), "out.masks");
//     }
//   }
//
// The cases are found, never listed: <root>/<model>/<case>/case.json, where <root> is
// $BECKON_GOLDENS if set, else tests/goldens of the source tree. Other cases of the same kinds run
// with the same program.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "support/check.h"
#include "support/safetensors.h"

namespace beckon::test {

// Whether $BECKON_QUICK is 1: under sanitizers, where a second becomes a minute.
bool is_quick();

struct Golden {
  std::string model;  // the folder above: "mask_decoder"
  std::string name;   // the folder of the case: "dim32"
  std::filesystem::path folder;

  // case.json, read once. Include <nlohmann/json.hpp> to use it.
  const nlohmann::json& json() const;
  // case.json's text.
  std::string config_text() const;
  // The arrays of <folder>/<file>.safetensors ("io", "weights"), read once.
  const Arrays& tensors(const std::string& file) const;
  // Whether it is one of tests/goldens, which are complete.
  bool is_own() const;
  // Whether <folder>/<file> is there, with its extension.
  bool has_file(const std::string& file) const;

  // How far an array may be off. case.json's "tolerance" is a number for all, or an object searched
  // for the whole name ("mid.resized"), its ends ("resized" for "out.up.resized"), its beginnings
  // ("out"), and "default". `otherwise` is used where the file gives no number; without it that
  // throws std::runtime_error.
  double tolerance(const std::string& array, std::optional<double> otherwise = std::nullopt) const;

  struct Cache;
  std::shared_ptr<Cache> cache;
};

// The folder that holds <model>/<case>/.
std::filesystem::path golden_root();

// The cases of one model, sorted by name. None in the project's own folder is a test failure; none
// in $BECKON_GOLDENS is a printed note.
std::vector<Golden> goldens(const std::string& model);

// A file that stands beside the cases of a model (sam_preprocess/sizes_1024.json); the same rule
// when it is not there.
std::optional<std::filesystem::path> golden_file(const std::string& model, const std::string& file);

}  // namespace beckon::test
