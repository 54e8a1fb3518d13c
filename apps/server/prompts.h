// Prompts as requests have them, and masks as answers do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "beckon/sam.h"
#include "fields.h"

namespace beckon::sam {
struct Frame;
}

namespace beckon::server {

constexpr size_t kMostPromptsOfRequest = 64;
constexpr size_t kMostPointsOfPrompt = 128;
constexpr size_t kMostScribbles = 32;
constexpr size_t kMostPlacesOfScribble = 2000;

// {"points":[{"x","y","label":0|1}],"box":[x0,y0,x1,y1],"scribbles":[{"points":[[x,y]],"label"}],
//  "mask":{"size":[h,w],"counts"}}. HttpError 422 with the place; `size` is the photo's.
ObjectQuery read_query(const Json& prompt, const std::string& place, ImageSize size);

// {"size":[h,w],"counts":"..." or [...]} of this size. HttpError 422 with the place.
Rle read_rle(const Json& value, const std::string& place, ImageSize size);
Json rle_json(const Rle& rle);
Json polygons_json(const Mask& mask);

enum class MaskForm : uint8_t { logits, rle, polygon, png };

// One mask of an answer: score, stability, box [x, y, width, height], area, and its form. With
// `logits` nothing is worked out at the photo's size: stability, box and area are those of the
// logits' cells.
Json mask_json(const PredictedMask& mask, MaskForm form, const sam::Frame& frame);

}  // namespace beckon::server
