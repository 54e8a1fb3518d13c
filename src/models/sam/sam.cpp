#include "beckon/sam.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "base/fail.h"
#include "beckon/checkpoint.h"
#include "beckon/store.h"
#include "models/sam/seen.h"
#include "weights/names.h"

namespace beckon {
namespace {

constexpr const char* kTensorName = "image_embedding";
constexpr const char* kKind = "sam image embedding 1";

int number(const Checkpoint& file, const std::string& key) {
  const auto& metadata = file.metadata();
  const auto found = metadata.find(key);
  int value = 0;
  if (found != metadata.end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) value = 0;
  }
  if (value < 1) fail(Kind::input, "{}: metadata '{}' is no number of pixels", file.path(), key);
  return value;
}

std::string text(const Checkpoint& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

}  // namespace

ImageSize Embedding::image_size() const noexcept { return seen_->frame.image; }

Masks Embedding::segment(const Prompt& prompt, const SegmentOptions& options) const {
  return segment(std::span(&prompt, 1), options);
}

Masks Embedding::segment(std::span<const Prompt> prompts, const SegmentOptions& options) const {
  return segment(ObjectQuery{{prompts.begin(), prompts.end()}, {}}, options);
}

Masks Embedding::segment(const ObjectQuery& query, const SegmentOptions& options) const {
  return std::move(seen_->segment(std::span(&query, 1), options).front());
}

std::vector<Masks> Embedding::segment(std::span<const ObjectQuery> queries,
                                      const SegmentOptions& options) const {
  return seen_->segment(queries, options);
}

std::vector<float> Embedding::values() const {
  const Tensor planes = seen_->embedding.permute({0, 3, 1, 2}).contiguous();
  return {planes.values().begin(), planes.values().end()};
}

int Embedding::channels() const noexcept { return static_cast<int>(seen_->embedding.dim(3)); }

ImageSize Embedding::grid() const noexcept {
  return {static_cast<int>(seen_->embedding.dim(2)), static_cast<int>(seen_->embedding.dim(1))};
}

const std::string& Embedding::model_hash() const { return seen_->model->hash(); }

const std::string& Embedding::pixels() const noexcept { return seen_->pixels; }

void Embedding::save(const std::string& path, DType dtype) const {
  if (dtype != DType::f32 && dtype != DType::f16)
    fail(Kind::usage, "{}: embeddings are saved as f32 or f16, not {}", path, name_of(dtype));
  const std::vector<float> planes = values();
  std::vector<uint16_t> halves;
  if (dtype == DType::f16)
    std::transform(planes.begin(), planes.end(), std::back_inserter(halves), float_to_half);
  const TensorBytes tensor{
      kTensorName,
      dtype,
      {1, channels(), grid().height, grid().width},
      dtype == DType::f16 ? std::as_bytes(std::span(halves)) : std::as_bytes(std::span(planes))};
  write_safetensors(path, std::span(&tensor, 1),
                    {{"beckon", kKind},
                     {"model_hash", model_hash()},
                     {"variant", seen_->model->config.name},
                     {"pixels", seen_->pixels},
                     {"image_width", std::to_string(seen_->frame.image.width)},
                     {"image_height", std::to_string(seen_->frame.image.height)}});
}

Sam Sam::load(const std::string& name_or_path) {
  const std::string path = Store().find(name_or_path);
  const Checkpoint opened = Checkpoint::open(path);
  std::vector<sam::FileIdentity> files;
  for (const std::string& name : opened.files()) files.push_back(sam::FileIdentity::of(name));
  const Checkpoint file = sam_names(opened);
  const nn::Params params = nn::Params::from(file);
  const sam::SamConfig config = sam::detect_config(params);
  const std::string hint = config.name == "custom" ? "the file is of a size of its own"
                                                   : "the file looks like SAM " + config.name;
  auto model = std::make_shared<sam::SamModel>(params.with_hint(hint), config);
  model->files = std::move(files);
  return Sam(std::move(model));
}

Embedding Sam::encode(const Image& image) const {
  NoGrad no_grad;
  auto seen = std::make_shared<sam::Seen>();
  seen->model = model_;
  const Tensor input = model_->input(image);
  seen->frame = model_->frame({image.width(), image.height()});
  seen->embedding = model_->image_encoder().forward(input);
  return Embedding(std::move(seen));
}

Embedding Sam::load_embedding(const std::string& path) const {
  const Checkpoint file = Checkpoint::open(path);
  if (text(file, "beckon") != kKind || !file.contains(kTensorName))
    fail(Kind::input, "{}: this is no image embedding of SAM", path);
  if (text(file, "model_hash") != model_hash())
    fail(Kind::model, "{}: made by another model (hash {:.12}, this one is {:.12})", path,
         text(file, "model_hash"), model_hash());

  const sam::PromptEncoderConfig& c = model_->config.prompt;
  const Shape expected = {1, c.dim, c.grid_h, c.grid_w}, found = file.info(kTensorName).shape;
  if (!(found == expected))
    fail(Kind::input, "{}: '{}' has shape {}, expected {}", path, kTensorName, found.str(),
         expected.str());
  Tensor planes = Tensor::empty(expected);
  file.read_f32(kTensorName, {planes.data(), static_cast<size_t>(planes.size())});
  for (const float v : std::as_const(planes).values())
    if (!std::isfinite(v))
      fail(Kind::input, "{}: '{}' holds a value that is not finite", path, kTensorName);

  auto seen = std::make_shared<sam::Seen>();
  seen->model = model_;
  const ImageSize size = {number(file, "image_width"), number(file, "image_height")};
  if (int64_t{size.width} * size.height > ReadOptions{}.max_pixels)
    fail(Kind::resource, "{}: of an image of {}x{}, more than {} pixels", path, size.width,
         size.height, ReadOptions{}.max_pixels);
  seen->frame = model_->frame(size);
  seen->embedding = planes.permute({0, 2, 3, 1}).contiguous();
  seen->pixels = text(file, "pixels");
  return Embedding(std::move(seen));
}

const std::string& Sam::variant() const noexcept { return model_->config.name; }
const std::string& Sam::origin() const noexcept { return model_->origin; }
int Sam::image_size() const noexcept { return static_cast<int>(model_->config.image()); }

int64_t Sam::parameter_count() const noexcept {
  int64_t count = 0;
  for (const nn::Parameter& parameter : model_->parameters())
    if (parameter.trainable) count += parameter.tensor.size();
  return count;
}

const std::string& Sam::model_hash() const { return model_->hash(); }

}  // namespace beckon
