#include "learn/segment/network.h"

#include <algorithm>
#include <utility>

#include "beckon/ops.h"

namespace beckon::learn {
namespace {

// What SAM's own logits are where it is sure that there is nothing; see mask_logits() of the
// models.
constexpr float kClearBackground = -10.0f;

// Parts of the prior of fewer low-resolution pixels are noise: SAM sees 16 of them as one place.
constexpr int64_t kFewestPixels = 12;

int64_t places(int pixels, int side, int64_t count) {
  return std::clamp<int64_t>((int64_t{pixels} * count + side - 1) / side, 1, count);
}

}  // namespace

OnImage on_image(const sam::Frame& frame, int64_t rows, int64_t columns) {
  return {places(frame.resized.height, frame.side, rows),
          places(frame.resized.width, frame.side, columns)};
}

Tensor prior_logits(const sam::Seen& seen, const SegmentPromptTensors& prompt) {
  const int64_t h = seen.embedding.dim(1), w = seen.embedding.dim(2), c = seen.embedding.dim(3);
  const Tensor logits =
      linear(seen.embedding, prompt.direction.reshape({1, c}), prompt.offset);  // [1,h,w,1]
  const OnImage inside = on_image(seen.frame, h, w);
  if (inside.rows == h && inside.columns == w) return logits;
  const Tensor part = logits.slice(1, 0, inside.rows).slice(2, 0, inside.columns);
  return pad(part, {0, 0, 0, 0}, {0, h - inside.rows, w - inside.columns, 0}, kClearBackground);
}

std::array<float, 4> frame_box(const sam::Seen& seen, const PixelBox& low) {
  // Low-resolution logits cover the whole square.
  const float scale =
      static_cast<float>(seen.frame.side) / static_cast<float>(4 * seen.embedding.dim(2));
  const auto width = static_cast<float>(seen.frame.resized.width),
             height = static_cast<float>(seen.frame.resized.height);
  const auto at = [&](int i, float most) { return std::min(static_cast<float>(i) * scale, most); };
  return {at(low.x, width), at(low.y, height), at(low.x + low.width, width),
          at(low.y + low.height, height)};
}

std::vector<PriorPart> parts_of_prior(const sam::Seen& seen, const SegmentPromptTensors& prompt) {
  if (!prompt.direction.defined()) return {};
  const NoGrad no_grad;
  const int64_t h = 4 * seen.embedding.dim(1), w = 4 * seen.embedding.dim(2);
  const Tensor fine =
      resize(prior_logits(seen, prompt), h, w, Interpolation::bilinear).contiguous();
  const OnImage inside = on_image(seen.frame, h, w);
  Mask object(static_cast<int>(inside.columns), static_cast<int>(inside.rows));
  const float* logits = std::as_const(fine).data();
  for (int64_t y = 0; y < inside.rows; ++y)
    for (int64_t x = 0; x < inside.columns; ++x)
      object.set(static_cast<int>(x), static_cast<int>(y), logits[y * w + x] > 0);
  std::vector<PriorPart> parts;
  for (const Rle& part : separate_parts(object, kFewestPixels)) {
    if (parts.size() == kMostParts) break;
    parts.push_back({Mask::from_rle(part), frame_box(seen, part.bounding_box())});
  }
  return parts;
}

namespace {

// [P,S,C]: the corners of the boxes, then the learned tokens; none if there is neither.
Tensor sparse_tokens(const sam::Seen& seen, const SegmentPromptTensors& prompt,
                     std::span<const std::array<float, 4>> boxes) {
  const auto count = static_cast<int64_t>(boxes.size());
  Tensor corners;
  if (count > 0) {
    Tensor xyxy = Tensor::empty({count, 4});
    float* to = xyxy.data();
    for (const auto& box : boxes) to = std::copy(box.begin(), box.end(), to);
    corners = seen.model->prompt_encoder.sparse({}, {}, xyxy);
  }
  if (!prompt.tokens.defined()) return corners;
  const Tensor tokens = prompt.tokens.unsqueeze(0);
  if (count == 0) return tokens;
  return concat({corners, tokens.expand({count, tokens.dim(1), tokens.dim(2)})}, 1);
}

Tensor everywhere(const sam::Seen& seen, const SegmentPromptTensors& prompt) {
  const Tensor no_mask = seen.model->prompt_encoder.no_mask();
  if (!prompt.dense.defined()) return no_mask;
  return no_mask + prompt.dense.reshape({1, 1, 1, prompt.dense.dim(0)});
}

}  // namespace

Tensor forward(const sam::Seen& seen, const SegmentPromptTensors& prompt,
               std::span<const std::array<float, 4>> boxes) {
  const sam::SamModel& model = *seen.model;
  return model.mask_decoder
      .forward(seen.embedding, model.prompt_encoder.grid_code(), sparse_tokens(seen, prompt, boxes),
               everywhere(seen, prompt))
      .masks.select(1, 0);
}

std::vector<PromptedMask> answers(const sam::Seen& seen, const SegmentPromptTensors& prompt) {
  const NoGrad no_grad;
  const sam::SamModel& model = *seen.model;
  std::vector<std::array<float, 4>> boxes;
  for (const PriorPart& part : parts_of_prior(seen, prompt)) boxes.push_back(part.box);
  if (boxes.empty() && prompt.direction.defined()) return {};

  std::vector<PromptedMask> result;
  const int64_t learned = prompt.tokens.defined() ? prompt.tokens.dim(0) : 0;
  const auto prompts = std::max<int64_t>(static_cast<int64_t>(boxes.size()), 1);
  const Tensor dense = everywhere(seen, prompt);
  if (!model.fast_decoder.suits(1 + model.config.decoder.masks() + 2 + learned)) {
    for (int64_t i = 0; i < prompts; ++i) {
      const auto one = boxes.empty() ? std::span<const std::array<float, 4>>()
                                     : std::span(boxes).subspan(static_cast<size_t>(i), 1);
      const sam::MaskDecoder::Output output =
          model.mask_decoder.forward(seen.embedding, model.prompt_encoder.grid_code(),
                                     sparse_tokens(seen, prompt, one), dense);
      result.push_back({output.masks.select(0, 0).select(0, 0).clone(),
                        output.iou.select(0, 0).select(0, 0).item()});
    }
    return result;
  }
  const auto image =
      model.fast_decoder.prepare(seen.embedding, dense, model.prompt_encoder.grid_code());
  const sam::FastMaskDecoder::Output output = model.fast_decoder.forward(
      *image, sparse_tokens(seen, prompt, boxes), {},
      [](int64_t, std::span<const float>) { return std::vector<int64_t>{0}; });
  const Tensor iou = output.iou.contiguous();
  for (int64_t i = 0; i < prompts; ++i)
    result.push_back({output.masks[static_cast<size_t>(i)].select(0, 0).clone(),
                      std::as_const(iou).data()[i * iou.dim(1)]});
  return result;
}

PromptedMask together(const sam::Seen& seen, std::span<const PromptedMask> answers) {
  const NoGrad no_grad;
  const int64_t h = 4 * seen.embedding.dim(1), w = 4 * seen.embedding.dim(2);
  PromptedMask all{Tensor::full({h, w}, kClearBackground)};
  double weight = 0, score = 0;
  for (const PromptedMask& answer : answers) {
    all.logits = maximum(all.logits, answer.logits);
    int64_t area = 0;
    for (const float v : std::as_const(answer.logits).values()) area += v > 0;
    weight += static_cast<double>(area);
    score += static_cast<double>(area) * static_cast<double>(answer.score);
  }
  all.score = weight > 0 ? static_cast<float>(score / weight) : 0;
  return all;
}

}  // namespace beckon::learn
