// Any state of the data engine as a data set, with where each mask is from.
#pragma once

#include <set>
#include <string>

#include "annotation_store.h"
#include "beckon/annotation.h"

namespace beckon::server {

// What may be named: "made", "imported", "unreviewed", "pending", "accepted", "fixed", "rejected".
const std::set<std::string>& engine_states();

struct EngineFilter {
  std::set<std::string> states;  // empty: all but "rejected"
  std::set<int> stages;          // empty: all; 0: brought in from elsewhere
};

// Every photo that the store knows, and of its objects those that the filter takes. Each carries
// its engine's facts, prompts, model, scores and history as unknown keys; the recipes and the
// filter stand beside the whole (SA-1B: in each file). `sa1b`: objects without a label have no
// category.
Dataset engine_dataset(AnnotationStore& store, const EngineFilter& filter, bool sa1b);

}  // namespace beckon::server
