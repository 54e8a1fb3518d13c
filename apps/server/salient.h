// What a photo is most likely of, where nobody points at it.
#pragma once

#include <optional>

#include "beckon/sam.h"

namespace beckon::server {

// Asks about a grid of points in the middle of the photo and takes the answer that most of them
// share: large, sure of itself, and not cut off by the borders. Nothing if no answer is.
std::optional<PredictedMask> salient_mask(const Embedding& seen);

}  // namespace beckon::server
