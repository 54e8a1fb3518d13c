#include "learn/segment/examples.h"

#include <algorithm>

#include "base/fail.h"
#include "learn/segment/network.h"
#include "models/sam/query.h"

namespace beckon::learn {
namespace {

// Parts of the truth of fewer low-resolution pixels are too small for SAM.
constexpr int64_t kFewestTrainingPixels = 4;

Rle union_of(const std::vector<TrueObject>& objects, const std::string& label, ImageSize size) {
  std::vector<Rle> masks;
  for (const TrueObject& object : objects)
    if (label.empty() || object.name == label) masks.push_back(object.mask);
  return masks.empty() ? Rle(size) : merge(masks);
}

double ratio(int64_t both, int64_t either) {
  return either == 0 ? 1 : static_cast<double>(both) / static_cast<double>(either);
}

}  // namespace

Tensor SegmentExample::on_image(const Tensor& logits) const {
  return logits.slice(0, 0, rows).slice(1, 0, columns).reshape({1, rows * columns});
}

SegmentExamples::SegmentExamples(const std::string& data, const ExampleSelection& selection)
    : selection_(selection) {
  if (selection.most_pictures < 0) fail(Kind::usage, "pictures: expected at least 0");
  if (selection.max_pixels < 1) fail(Kind::usage, "max pixels: expected at least 1");
  sets_ = open_mask_data(data, selection.annotations, selection.masks);
  for (size_t set = 0; set < sets_.size(); ++set)
    for (size_t i = 0; i < sets_[set]->size(); ++i) places_.push_back({set, i});
  if (places_.empty()) fail(Kind::input, "{}: no picture has a mask", data);
  if (selection.most_pictures > 0 && places_.size() > static_cast<size_t>(selection.most_pictures))
    places_.resize(static_cast<size_t>(selection.most_pictures));
}

std::string SegmentExamples::path(size_t i) const {
  return sets_[places_[i].set]->path(places_[i].picture);
}

SegmentExample SegmentExamples::load(const Sam& sam, size_t i) const {
  const Example read =
      sets_[places_[i].set]->load(places_[i].picture, {.max_pixels = selection_.max_pixels});
  const ImageSize size = read.image.size();
  SegmentExample example{
      .picture = path(i),
      .embedding = selection_.encode ? selection_.encode(sam, read.image) : sam.encode(read.image),
      .truth = union_of(read.objects, selection_.label, size),
      .ignored = read.ignored ? read.ignored->rle() : Rle(size)};

  const sam::Frame& frame = example.seen().frame;
  const sam::PromptEncoderConfig& c = sam.model().config.prompt;
  const OnImage part = learn::on_image(frame, 4 * c.grid_h, 4 * c.grid_w);
  example.rows = part.rows;
  example.columns = part.columns;
  // -10 to 10 for 0 to 1.
  const auto low = [&](const Mask& mask) {
    const std::vector<float> logits = sam::mask_logits(mask, frame, c);
    const Tensor square = Tensor::from(std::span(logits), {4 * c.grid_h, 4 * c.grid_w});
    return ((example.on_image(square) + 10.0f) / 20.0f).contiguous();
  };
  example.cover = low(Mask::from_rle(example.truth, INT64_MAX));
  if (example.ignored.area() > 0) {
    example.unknown = low(*read.ignored);
    float* unknown = example.unknown.data();
    for (int64_t k = 0; k < example.unknown.size(); ++k) unknown[k] = unknown[k] > 0.5f;
  }
  return example;
}

std::vector<TrainingBox> training_boxes(const SegmentExample& example, size_t index,
                                        const SegmentPromptTensors& prompt) {
  if (!prompt.direction.defined()) return {{index, {}, example.cover, example.truth.area() == 0}};
  // Wherever there is any of the object, so that its blurred edge belongs to it.
  Mask touched(static_cast<int>(example.columns), static_cast<int>(example.rows));
  const float* cover = std::as_const(example.cover).data();
  for (int y = 0; y < touched.height(); ++y)
    for (int x = 0; x < touched.width(); ++x) touched.set(x, y, cover[y * example.columns + x] > 0);
  const std::vector<Rle> truths = separate_parts(touched);
  const auto within = [&](const std::vector<Rle>& parts) {
    Tensor part = Tensor::zeros(example.cover.shape());
    if (parts.empty()) return part;
    const Mask mask = Mask::from_rle(merge(parts));
    float* to = part.data();
    for (int64_t i = 0; i < part.size(); ++i)
      if (mask.values()[static_cast<size_t>(i)]) to[i] = cover[i];
    return part;
  };

  std::vector<TrainingBox> boxes;
  for (const PriorPart& part : parts_of_prior(example.seen(), prompt)) {
    const Rle found = part.pixels.rle();
    std::vector<Rle> meant;
    for (const Rle& truth : truths)
      if (5 * intersection_area(found, truth) >= std::min(found.area(), truth.area()))
        meant.push_back(truth);
    boxes.push_back({index, part.box, within(meant), meant.empty()});
  }
  for (const Rle& truth : truths) {
    if (truth.area() < kFewestTrainingPixels) continue;
    boxes.push_back({index, frame_box(example.seen(), truth.bounding_box()), within({truth})});
  }
  return boxes;
}

double iou_of(const SegmentExample& example, const Rle& found) {
  // What is left of the two outside of the ignored pixels.
  const auto known = [&](const Rle& mask) {
    return mask.area() - intersection_area(mask, example.ignored);
  };
  const Rle both = merge(std::vector<Rle>{example.truth, found}, true);
  const int64_t shared = known(both);
  return ratio(shared, known(example.truth) + known(found) - shared);
}

double low_iou(const SegmentExample& example, const Tensor& cover, const Tensor& logits) {
  const Tensor values = logits.detach().contiguous();
  const float* l = values.values().data();
  const float* t = std::as_const(cover).data();
  const float* u = example.unknown.defined() ? std::as_const(example.unknown).data() : nullptr;
  int64_t both = 0, either = 0;
  for (int64_t i = 0; i < values.size(); ++i) {
    if (u != nullptr && u[i] > 0) continue;
    const bool a = l[i] > 0, b = t[i] > 0.5f;
    both += a && b;
    either += a || b;
  }
  return ratio(both, either);
}

}  // namespace beckon::learn
