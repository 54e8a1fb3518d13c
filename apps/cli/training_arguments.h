// The options of learning a classifier, for every command that learns one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "beckon/classifier_prompt.h"

namespace CLI {
class App;
}

namespace beckon::cli {

class TrainingArguments {
 public:
  // Adds the options in groups of these names. An option that the command has already means the
  // same here.
  explicit TrainingArguments(CLI::App& command);
  // What was given, over the library's defaults. Call it after parsing.
  LearnClassifierOptions options() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace beckon::cli
