// Run lengths of a part of a picture as run lengths of the whole.
#pragma once

#include "beckon/rle.h"

namespace beckon::runs {

// `part` with its top-left pixel at (x, y) of a picture of the size `whole`; background around it.
// Error(usage) if it does not fit in.
Rle placed(const Rle& part, int x, int y, ImageSize whole);

// Columns x to x + width - 1 and rows y to y + height - 1 of `whole`, by themselves. Error(usage)
// if they are not within it.
Rle cut_out(const Rle& whole, const PixelBox& box);

}  // namespace beckon::runs
