#include "compose/boxes_to_masks.h"

#include <cmath>

#include "annotation/photos.h"
#include "base/fail.h"

namespace beckon::compose {
namespace {

// An upright box that a prompt can be made of.
std::optional<Box> prompt_of(const Annotation& one, bool again, ImageSize size) {
  if (std::holds_alternative<Rle>(one.shape) || std::holds_alternative<Outline>(one.shape)) {
    if (!again) return std::nullopt;
  }
  const std::optional<BoxShape> box = box_of(one);
  if (!box || !(box->width > 0) || !(box->height > 0)) return std::nullopt;
  // Boxes of some tools reach a little beyond the picture.
  const auto within = [](double v, int side) { return std::min(std::max(v, 0.0), double(side)); };
  const Box prompt{within(box->x, size.width), within(box->y, size.height),
                   within(box->x + box->width, size.width),
                   within(box->y + box->height, size.height)};
  if (!(prompt.x0 < prompt.x1) || !(prompt.y0 < prompt.y1)) return std::nullopt;
  return prompt;
}

}  // namespace

BoxesToMasksReport boxes_to_masks(const Sam& sam, Dataset& data,
                                  const BoxesToMasksOptions& options) {
  if (!annotation::is_folder(options.photos))
    fail(Kind::missing, "{}: there is no such folder of photos", options.photos);
  const annotation::Photos photos(options.photos);
  std::vector<std::vector<size_t>> of_image(data.images.size());
  for (size_t i = 0; i < data.annotations.size(); ++i)
    of_image[data.annotations[i].image].push_back(i);

  BoxesToMasksReport report;
  const auto all = static_cast<int64_t>(data.images.size());
  for (size_t i = 0; i < data.images.size(); ++i) {
    if (options.progress && !options.progress(static_cast<int64_t>(i), all))
      fail(Kind::interrupted, "interrupted");
    AnnotatedImage& image = data.images[i];
    if (of_image[i].empty()) continue;
    try {
      const std::string path = photos.find(image.file);
      if (path.empty())
        fail(Kind::missing, "{}: no photo of this name in {}", image.file, options.photos);
      const Image photo = Image::read(path, {.max_pixels = options.max_pixels});
      if (image.width == 0) image.width = photo.width(), image.height = photo.height();
      if (!(photo.size() == image.size()))
        fail(Kind::input, "{}: the photo is of {}x{} pixels, annotated as {}x{}", path,
             photo.width(), photo.height(), image.width, image.height);
      std::vector<ObjectQuery> queries;
      std::vector<size_t> asked;
      int64_t kept = 0, without_box = 0;
      for (const size_t index : of_image[i]) {
        if (const auto box = prompt_of(data.annotations[index], options.again, photo.size())) {
          queries.push_back({{*box}, {}});
          asked.push_back(index);
        } else {
          ++kept;
          const Annotation& one = data.annotations[index];
          if (!std::holds_alternative<Rle>(one.shape) &&
              !std::holds_alternative<Outline>(one.shape))
            ++without_box;
        }
      }
      std::vector<Masks> answers;
      if (!queries.empty())
        answers = sam.encode(photo).segment(queries, {.multimask = Multimask::single});
      report.kept += kept;
      report.without_box += without_box;
      for (size_t k = 0; k < asked.size(); ++k) {
        Annotation& one = data.annotations[asked[k]];
        const PredictedMask& mask = answers[k].best();
        // As it is in the file, also where it was the shape itself.
        if (const auto* box = std::get_if<BoxShape>(&one.shape); box && box->rotation == 0)
          one.box = *box;
        one.shape = mask.rle();
        one.area.reset();
        one.predicted_iou = mask.score();
        const double stability = mask.stability();
        one.stability = std::isfinite(stability) ? std::optional(stability) : std::nullopt;
        ++report.masks;
      }
    } catch (const Error& error) {
      if (error.kind() == Kind::interrupted || error.kind() == Kind::internal) throw;
      report.failures.push_back({error.kind(), error.what()});
      report.kept += static_cast<int64_t>(of_image[i].size());
    }
  }
  if (options.progress) options.progress(all, all);
  return report;
}

}  // namespace beckon::compose
