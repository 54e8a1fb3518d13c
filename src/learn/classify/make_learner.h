// From a method's name and options to the learner that does it, and to JSON and back.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "beckon/classifier_prompt.h"
#include "learn/methods/learner.h"

namespace beckon::learn {

// What the network must be loaded with for this method: a border of pixels makes it see more.
BackboneOptions backbone_options(const ClassifierMethod& method, BackboneOptions options,
                                 int64_t usual_input);
// Whether tensors of the network itself learn, so that it must be nobody else's.
bool changes_backbone(const ClassifierMethod& method);
// The learning rate that is used if none is given.
double usual_learning_rate(const ClassifierMethod& method, OptimizerKind optimizer);

// Starting values from `random`. What learns has requires_grad. Error(usage) for a name that is not
// known, options out of range, and networks the method is not for.
std::unique_ptr<Learner> make_learner(const Backbone& backbone, const ClassifierMethod& method,
                                      const std::vector<std::string>& labels, Random& random);

nlohmann::json json_of(const ClassifierMethod& method);
// Error(input) that begins with `name` for what json_of() does not write.
ClassifierMethod method_of(const nlohmann::json& json, const std::string& name);

}  // namespace beckon::learn
