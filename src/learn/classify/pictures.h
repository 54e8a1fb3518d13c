// Pictures of a data set as batches for a learner: decoded once if there is room, cut and flipped
// by chance if asked.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "beckon/backbone.h"
#include "beckon/train.h"
#include "learn/data/labelled_data.h"

namespace beckon::learn {

struct PictureOptions {
  Preprocessing preprocessing;  // with the learner's side as its input
  bool stretch = false, flip = false, random_crop = false;
  ReadOptions read;
  int64_t cache_bytes = 0;
};

class Pictures {
 public:
  Pictures(const LabelledData& data, const PictureOptions& options);

  // [B,S,S,3] of these pictures; `random`: where to cut and flip, null for the middle as it is.
  Tensor batch(std::span<const size_t> pictures, Random* random);
  // i64 [B]
  Tensor targets(std::span<const size_t> pictures) const;

 private:
  Image source(size_t i);
  Image cut(const Image& source, Random* random) const;

  const LabelledData& data_;
  PictureOptions options_;
  std::vector<Image> kept_;
  std::atomic<int64_t> kept_bytes_ = 0;
};

}  // namespace beckon::learn
