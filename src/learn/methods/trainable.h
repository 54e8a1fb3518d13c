// Which tensors of a task learn, by the reference's names for it, and what they add up to.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "beckon/backbone.h"

namespace beckon::learn {

// "end2end", "linear", "partial-K", "tinytl-bias", "side", "adapter", "lora", "prompt",
// "prompt+bias", "prompt-noupdate", "cls", "cls+prompt"; the head learns in all of them. What is
// returned says of a name (as Learner has them) whether it learns. Error(usage) for another type,
// for more blocks than there are, and for networks a type is not known for.
std::function<bool(const std::string&)> trainable(const std::string& type,
                                                  const Backbone& backbone);

// The "total params" of the VPT paper: a backbone of `backbone` numbers and what each of the tasks
// adds, heads included, as a multiple of the backbone. `full`: each task has its own copy of the
// backbone, and `added` holds the heads alone.
double total_params(int64_t backbone, std::span<const int64_t> added, bool full);

}  // namespace beckon::learn
