#include "learn/classify/pictures.h"

#include <algorithm>

#include "base/threads.h"
#include "beckon/resize.h"
#include "models/backbone/network.h"

namespace beckon::learn {

Pictures::Pictures(const LabelledData& data, const PictureOptions& options)
    : data_(data), options_(options), kept_(data.items.size()) {}

// As far as it is the same every time: resized, but not cut.
Image Pictures::source(size_t i) {
  if (!kept_[i].empty()) return kept_[i];
  const Preprocessing& p = options_.preprocessing;
  Image image = data_.load(i, options_.read).rgb();
  if (!options_.stretch && p.fit == Preprocessing::Fit::crop) {
    const ImageSize size = short_side_size(image.width(), image.height(), p.resize);
    image = resize(image, size.width, size.height, p.filter);
    if (!options_.random_crop) image = center_crop(image, p.input, p.input);
  }
  const auto bytes = static_cast<int64_t>(image.stride()) * image.height();
  if (kept_bytes_.fetch_add(bytes) + bytes <= options_.cache_bytes)
    kept_[i] = image;
  else
    kept_bytes_.fetch_sub(bytes);
  return image;
}

Image Pictures::cut(const Image& source, Random* random) const {
  const Preprocessing& p = options_.preprocessing;
  Image image = source;
  if (!options_.stretch && p.fit == Preprocessing::Fit::crop && options_.random_crop) {
    if (random) {
      const auto y = static_cast<int>(random->below(image.height() - p.input + 1));
      const auto x = static_cast<int>(random->below(image.width() - p.input + 1));
      image = image.crop(x, y, p.input, p.input);
    } else {
      image = center_crop(image, p.input, p.input);
    }
  }
  if (!options_.flip || !random || random->below(2) == 0) return image;
  Image flipped(image.width(), image.height(), 3);
  for (int y = 0; y < image.height(); ++y) {
    const uint8_t* from = image.row(y);
    uint8_t* to = flipped.mutable_row(y);
    for (int x = 0; x < image.width(); ++x)
      std::copy_n(from + 3 * x, 3, to + 3 * (image.width() - 1 - x));
  }
  return flipped;
}

Tensor Pictures::batch(std::span<const size_t> pictures, Random* random) {
  std::vector<Image> images(pictures.size());
  // One picture is read by one thread only: no picture is in a batch twice.
  parallel_for(static_cast<int64_t>(pictures.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k)
      images[static_cast<size_t>(k)] = source(pictures[static_cast<size_t>(k)]);
  });
  for (Image& image : images) image = cut(image, random);
  Preprocessing p = options_.preprocessing;
  if (options_.stretch)
    p.fit = Preprocessing::Fit::stretch;
  else if (p.fit == Preprocessing::Fit::crop)
    p.resize = p.input;
  return backbone::input_of(images, p);
}

Tensor Pictures::targets(std::span<const size_t> pictures) const {
  std::vector<int64_t> labels;
  for (const size_t i : pictures) labels.push_back(data_.items[i].label);
  return Tensor::from(std::span<const int64_t>(labels), {static_cast<int64_t>(labels.size())});
}

}  // namespace beckon::learn
