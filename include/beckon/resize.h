// Other sizes: pictures bit for bit as Pillow resizes them, planes of floats as PyTorch does.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "beckon/export.h"
#include "beckon/image.h"

namespace beckon {

enum class Filter { nearest, box, bilinear, hamming, bicubic, lanczos };

// Pillow's resize, to the bit: the filter widens when a side shrinks (so nothing is skipped), the
// horizontal pass comes first, weights are 22-bit fixed point, each pass is rounded to bytes and
// skipped if its side stays the same. RGBA is resized with its colours multiplied by alpha.
// Kind::usage if the image is empty or a side is below 1.
BECKON_API Image resize(const Image& image, int width, int height,
                        Filter filter = Filter::bilinear);

// SAM's size: the long side becomes `target`, each side floor(side * (target / long side) + 0.5). A
// side that would round to 0 (3000 x 1 at 1024) becomes 1 here; the reference fails on such
// pictures. Kind::usage if a number is below 1.
BECKON_API ImageSize long_side_size(int width, int height, int target);

// torchvision's Resize(n): the short side becomes `target`, the long one target * long / short
// rounded down. Kind::usage if a number is below 1; Kind::resource if the long side passes 2^31.
BECKON_API ImageSize short_side_size(int width, int height, int target);

// torchvision's CenterCrop: offset (side - size) / 2, halves rounded to even. Kind::usage if the
// image is smaller.
BECKON_API Image center_crop(const Image& image, int width, int height);

// Resize to short_side_size(short_side), then crop the middle crop x crop: how CLIP (bicubic 224,
// 224) and ImageNet models (bilinear 256, 224) see a picture.
BECKON_API Image resize_and_crop(const Image& image, int short_side, int crop, Filter filter);

// VTAB's stretch, TensorFlow 1's default: source = target * in / out without half-pixel centres, no
// smoothing, floats (0 to 255) out, height x width x channels.
BECKON_API std::vector<float> resize_legacy_bilinear(const Image& image, int width, int height);

// ---- planes of floats
// -----------------------------------------------------------------------------------------------

// How one side of a plane is resized: output i is the sum over t < taps of weight[i * taps + t] *
// input[first[i] + t]. All taps lie inside the input; unused ones weigh 0.
struct LinearAxis {
  int in = 0;
  int out = 0;
  int taps = 0;
  std::vector<int32_t> first;
  std::vector<float> weight;
};

// Bilinear with align_corners = false and no smoothing, as torch.nn.functional.interpolate: two
// taps at max((i + 0.5) * in / out - 0.5, 0), the second one clamped to the last. Kind::usage if a
// side is below 1.
BECKON_API LinearAxis bilinear_axis(int in, int out);

// Bilinear with smoothing, as the same function of PyTorch with antialias = true: where a side
// shrinks, every output is a mean over all inputs under a triangle of twice its share of the side.
// It is Pillow's filter without its rounding. Kind::usage if a side is below 1.
BECKON_API LinearAxis smooth_axis(int in, int out);

// First `a`, then `b`, in one step. b.in <= a.out: the rest of a's output is cut off (the padding
// of SAM's square).
//   auto x = then(bilinear_axis(256, 1024), bilinear_axis(new_width, width));   // low-res logits
//   to the photo
BECKON_API LinearAxis then(const LinearAxis& a, const LinearAxis& b);

// A resized plane whose rows are computed when asked for, so that a mask of many megapixels is
// never held as floats.
//   PlaneRows rows(logits, x, y);
//   for (int i = 0; i < y.out; ++i) rows.row(i, line.data());
class BECKON_API PlaneRows {
 public:
  // `plane`, y.in rows of x.in floats, is read by the constructor only. Kind::usage if it has
  // another size.
  PlaneRows(std::span<const float> plane, const LinearAxis& x, const LinearAxis& y);
  // Writes row `i` < height(), width() floats. Safe from several threads at once.
  void row(int i, float* out) const;
  int width() const { return x_out_; }
  int height() const { return y_.out; }

 private:
  int x_out_;
  LinearAxis y_;
  std::vector<float> wide_;  // the plane with its rows resized already: y.in rows of x.out floats
};

// All rows at once, by bilinear_axis or, if `smooth`, by smooth_axis. Kind::usage if plane does not
// have height * width floats or a side is below 1.
BECKON_API std::vector<float> resize_plane(std::span<const float> plane, ImageSize from,
                                           ImageSize to, bool smooth = false);

}  // namespace beckon
