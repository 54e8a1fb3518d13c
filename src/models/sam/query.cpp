#include "models/sam/query.h"

#include <cmath>
#include <optional>

#include "base/fail.h"

namespace beckon::sam {
namespace {

// Prompts of one object may be that many; the work grows with each.
constexpr size_t kMostTokens = 4096;
constexpr int kPointsPerScribble = 4;

}  // namespace

std::vector<float> mask_logits(const Mask& mask, const Frame& frame,
                               const PromptEncoderConfig& config) {
  const Image resized = beckon::resize(mask.image(), frame.resized.width, frame.resized.height);
  const int64_t height = 4 * config.grid_h, width = 4 * config.grid_w;
  const int64_t step_y = config.image_h / height, step_x = config.image_w / width;
  std::vector<float> sums(static_cast<size_t>(height * width), 0.0f);
  for (int y = 0; y < resized.height(); ++y) {
    const uint8_t* from = resized.row(y);
    float* row = sums.data() + y / step_y * width;
    for (int x = 0; x < resized.width(); ++x) row[x / step_x] += from[x];
  }
  const float most = 255.0f * static_cast<float>(step_x * step_y);
  for (float& v : sums) v = 20.0f * (v / most) - 10.0f;
  return sums;
}

FramePrompt to_frame(const ObjectQuery& query, const Frame& frame,
                     const PromptEncoderConfig& config, const std::string& name) {
  FramePrompt result;
  std::optional<Box> box;
  int64_t points = 0;
  const auto add_point = [&](const Point& p) {
    result.xy.insert(result.xy.end(), {frame.x(p.x), frame.y(p.y)});
    result.labels.push_back(p.label == Label::object ? TokenLabel::foreground
                                                     : TokenLabel::background);
    ++points;
  };

  for (size_t i = 0; i < query.prompts.size(); ++i) {
    const Prompt& prompt = query.prompts[i];
    const std::string place = fmt::format("{}prompt {}", name, i + 1);
    check(prompt, place);
    if (const auto* point = std::get_if<Point>(&prompt)) {
      add_point(*point);
    } else if (const auto* scribble = std::get_if<Scribble>(&prompt)) {
      for (const Point& p : points_along(*scribble, kPointsPerScribble)) add_point(p);
    } else if (const auto* given = std::get_if<Box>(&prompt)) {
      if (box) fail(Kind::usage, "{}: a second box; an object has one", place);
      box = *given;
    } else if (const auto* mask = std::get_if<MaskPrompt>(&prompt)) {
      if (!result.mask.empty()) fail(Kind::usage, "{}: a second mask; an object has one", place);
      if (!(mask->rle.size() == frame.image))
        fail(Kind::usage, "{}: the mask is {}x{}, the image {}x{}", place, mask->rle.width(),
             mask->rle.height(), frame.image.width, frame.image.height);
      result.mask = mask_logits(Mask::from_rle(mask->rle), frame, config);
    } else {
      fail(Kind::unsupported,
           "{}: SAM cannot use a prompt of type '{}'; it takes points, boxes, scribbles and masks",
           place, type_name(prompt));
    }
    if (result.labels.size() > kMostTokens)
      fail(Kind::resource, "{}: more than {} points for one object", place, kMostTokens);
  }

  if (!query.mask_logits.empty()) {
    const auto expected = static_cast<size_t>(16 * config.grid_h * config.grid_w);
    if (!result.mask.empty())
      fail(Kind::usage, "{}a mask and mask logits; an object has one", name);
    if (query.mask_logits.size() != expected)
      fail(Kind::usage, "{}{} mask logits, expected {} ({}x{})", name, query.mask_logits.size(),
           expected, 4 * config.grid_w, 4 * config.grid_h);
    for (const float v : query.mask_logits)
      if (!std::isfinite(v)) fail(Kind::usage, "{}a mask logit is not a finite number", name);
    result.mask = query.mask_logits;
  }

  result.one_point = points == 1 && !box && result.mask.empty();
  // The reference closes a list of points with a padding point, but for the corners of a box.
  if (box) {
    result.xy.insert(result.xy.end(),
                     {frame.x(box->x0), frame.y(box->y0), frame.x(box->x1), frame.y(box->y1)});
    result.labels.insert(result.labels.end(), {TokenLabel::top_left, TokenLabel::bottom_right});
  } else if (points > 0) {
    result.xy.insert(result.xy.end(), {0.0f, 0.0f});
    result.labels.push_back(TokenLabel::padding);
  }
  return result;
}

}  // namespace beckon::sam
