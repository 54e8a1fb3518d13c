#include "store_progress.h"

#include <memory>
#include <optional>

#include "interrupt.h"
#include "terminal.h"

namespace beckon::cli {

PullCallback talk_about(const std::string& what) {
  struct State {
    std::string step;
    std::optional<Progress> bar;
  };
  return [what, state = std::make_shared<State>()](const PullProgress& progress) {
    if (!state->bar || progress.step != state->step) {
      state->step = progress.step;
      state->bar.reset();  // wiped before the next one is drawn
      state->bar.emplace(what + ": " + progress.step);
    }
    state->bar->update(progress.done, progress.total);
    return !interrupted();
  };
}

const char* name_of(ModelState state) {
  switch (state) {
    case ModelState::absent:
      return "absent";
    case ModelState::partial:
      return "partial";
    case ModelState::present:
      return "present";
    case ModelState::damaged:
      return "damaged";
  }
  return "absent";
}

}  // namespace beckon::cli
