// The result of one picture: a file in SA-1B's form that proves what it was made from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/boxes.h"
#include "beckon/image.h"
#include "beckon/rle.h"
#include "compose/annotate/names.h"

namespace beckon::compose {

// One mask of a picture.
struct Found {
  Rle segmentation;
  PixelBox box;
  double score = 0;
  double stability = 0;  // NaN: not defined, null in JSON
  struct Place {
    double x = 0, y = 0;
  };
  std::vector<Place> points;  // that were asked about
  PixelBox crop;              // the part of the picture that was looked at
  std::string label;          // empty: none
};

// What a result was made from. Two results with the same proof are the same, byte by byte.
struct Proof {
  std::string input_sha256;   // of the picture's file
  std::string recipe_sha256;  // of everything else: version, weights, options, its prompts
  friend bool operator==(const Proof&, const Proof&) = default;
};

struct ResultHead {
  Proof proof;
  ImageSize size;
  int64_t objects = 0;
};

// {"image": {...}, "annotations": [...], "beckon": {...}, "seal": ...}; `recipe` is the one that
// the proof is about.
std::string result_text(const std::string& picture, ImageSize size, const std::vector<Found>& found,
                        const Proof& proof, const Recipe& recipe);

// What a result says of itself; nothing if it is not whole.
std::optional<ResultHead> read_head(std::string_view result);

// SHA-256 of text, as hexadecimal digits.
std::string hash_of(std::string_view text);

}  // namespace beckon::compose
