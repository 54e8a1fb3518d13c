// What the readers of ViT's published forms share.
#pragma once

#include <string>

#include "models/vit/vit.h"

namespace beckon::vit {

// The side n of a position table [1,1+n*n,C]. Error(model) with `origin` if it has another shape.
int64_t grid_of(const std::string& origin, const Shape& table);
// Error(model) for sizes that no model has: they come from a file and are about to be multiplied.
void check_sizes(const std::string& origin, const VitConfig& c);

}  // namespace beckon::vit
