// What a network's own classes mean for a task: each class of the task stands for one or several of
// them.
#pragma once

#include <cstdint>
#include <vector>

#include "beckon/tensor.h"

namespace beckon::learn {

// map[c] holds the network's classes that mean class c of the task.
using LabelMap = std::vector<std::vector<int64_t>>;

// Class c is the network's c*K .. c*K+K-1. With K = 1 the first ones in order, as in the pixel
// prompts' code. Error(usage) if the network has too few.
LabelMap first_labels(int64_t classes, int64_t per_class, int64_t source_classes);

// By frequency: `counts` [classes][source_classes] says how often the network saw its class k in
// pictures of class c. The largest count is served first; no class of the network is used twice.
// Error(usage) if the network has fewer classes than the task.
LabelMap frequent_labels(const std::vector<std::vector<int64_t>>& counts);

// Throws Error(usage) for an empty class, a number outside, or one that is used twice.
void check(const LabelMap& map, int64_t source_classes);

// logits [B,source_classes] -> [B,classes]: the logarithm of the sum of the exponentials over the
// classes that mean c; for a single one its logit.
Tensor mapped(const Tensor& logits, const LabelMap& map);

}  // namespace beckon::learn
