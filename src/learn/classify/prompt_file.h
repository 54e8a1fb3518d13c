// What a file of a learned classifier says of itself, beside its tensors:
//   kind "classifier-prompt", beckon "1", version; method, method_options (JSON);
//   backbone (its name), backbone_sha256, backbone_path (as it was asked for), input (JSON);
//   labels (JSON), stretch, training (JSON: hyper-parameters), metrics (JSON), data.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "beckon/backbone.h"

namespace beckon::learn {

constexpr const char* kPromptKind = "classifier-prompt";
constexpr const char* kStateKind = "classifier-checkpoint";

nlohmann::json json_of(const BackboneOptions& options);

}  // namespace beckon::learn
