// What a Hugging Face folder says of its model beside the tensors: config.json and
// preprocessor_config.json.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "beckon/activation.h"

namespace beckon::backbone {

struct ModelCard {
  std::optional<int64_t> heads;
  std::optional<float> norm_eps;
  std::optional<Activation> activation;
  std::optional<std::array<float, 3>> mean, deviation;
};

// Of the folder `path`; empty if it is a file or has neither. Error(model) if one of the two is no
// JSON object or a value makes no sense, Error(unsupported) for an activation that is not known.
ModelCard read_model_card(const std::string& path);

}  // namespace beckon::backbone
