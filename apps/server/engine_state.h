// What the data engine knows of an object: the member "engine" of its state, which the server works
// out and clients only read.
//
//   {"stage": 1}                                     made by a person, with the model's help
//   {"stage": 3, "automatic": true, "review": "pending", "doubt": 0.31, "overlap": 0.1,
//    "crop_box": [x, y, width, height], "recipe": "..."}       made by the model alone
//
// Objects without it were brought in from elsewhere, or are older than the engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fields.h"

namespace beckon::server {

// What the store repeats in columns; empty where a state says nothing (or is no JSON).
struct EngineMarks {
  std::optional<int64_t> stage;
  std::string review;
  std::optional<double> doubt;
};
EngineMarks engine_marks(const std::string& state);

// Made by the model without a person.
bool is_automatic(const Json& state);

// "made" by a person, "imported"; of automatic ones "unreviewed", "pending", "accepted", "fixed".
// (One that was rejected has no state.)
const char* word_of_state(const Json& state);

// 1, 2 or 3; 0 for what was brought in. What persons made before there was an engine is stage 1.
int stage_of_state(const Json& state);

// What a person's change keeps of it: an automatic mask that was changed is one that was fixed.
void carry_engine(const Json& before, Json& after);

}  // namespace beckon::server
