// A prompt to begin with, from the examples' own features.
#pragma once

#include <span>

#include "beckon/train.h"
#include "learn/segment/examples.h"

namespace beckon::learn {

// As PerSAM begins: the mean feature under the masks is the target. The prior's direction leads
// from the mean of the rest to it, its offset lies half way; the tokens are
// those that fill up a list of points and mean nothing, each a little different.
SegmentPromptTensors start_from_features(std::span<const SegmentExample> examples,
                                         const LearnSegmentOptions& options, Random& random);

// Fits the prior alone to the masks at the resolution of the features, in closed form and without
// the decoder: Fisher's linear discriminant, whose logits are log odds.
void fit_prior(std::span<const SegmentExample> examples, SegmentPromptTensors& prompt);

}  // namespace beckon::learn
