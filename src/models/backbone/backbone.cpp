#include "beckon/backbone.h"

#include "base/fail.h"
#include "beckon/checkpoint.h"
#include "beckon/ops.h"
#include "beckon/store.h"
#include "models/backbone/network.h"

namespace beckon {

const std::string& backbone::Network::sha256() const {
  const std::lock_guard lock(mutex_);
  if (sha256_.empty()) sha256_ = Store().sha256(path);
  return sha256_;
}

Tensor backbone::input_of(std::span<const Image> images, const Preprocessing& p) {
  if (images.empty()) fail(Kind::usage, "no images for a backbone's input");
  // A byte can have 256 values: normalise those.
  float table[3][256];
  for (size_t c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v)
      table[c][v] = (static_cast<float>(v) / 255.0f - p.mean[c]) / p.deviation[c];

  const int64_t side = p.input;
  Tensor result = Tensor::zeros({static_cast<int64_t>(images.size()), side, side, 3});
  float* to = result.data();
  for (const Image& image : images) {
    if (image.empty()) fail(Kind::usage, "an image without pixels cannot be seen");
    Image seen = image.rgb();
    if (p.fit == Preprocessing::Fit::stretch) {
      const std::vector<float> values = resize_legacy_bilinear(seen, p.input, p.input);
      for (size_t i = 0; i < values.size(); ++i)
        to[i] = (values[i] / 255.0f - p.mean[i % 3]) / p.deviation[i % 3];
      to += side * side * 3;
      continue;
    }
    if (p.fit == Preprocessing::Fit::crop) {
      seen = resize_and_crop(seen, p.resize, p.input, p.filter);
    } else {
      const ImageSize size = long_side_size(seen.width(), seen.height(), p.input);
      seen = beckon::resize(seen, size.width, size.height, p.filter);
    }
    for (int y = 0; y < seen.height(); ++y) {
      const uint8_t* from = seen.row(y);
      float* row = to + y * side * 3;
      for (int x = 0; x < seen.width(); ++x)
        for (size_t c = 0; c < 3; ++c) *row++ = table[c][*from++];
    }
    to += side * side * 3;
  }
  return result;
}

Backbone Backbone::load(const std::string& name_or_path, const BackboneOptions& options) {
  const std::string path = Store().find(name_or_path);
  auto network = backbone::make_network(Checkpoint::open(path), options);
  network->path = path;
  return Backbone(std::move(network));
}

const std::string& Backbone::name() const noexcept { return network_->name; }
const std::string& Backbone::family() const noexcept { return network_->family; }
const std::string& Backbone::path() const noexcept { return network_->path; }
const std::string& Backbone::sha256() const { return network_->sha256(); }
const Preprocessing& Backbone::preprocessing() const noexcept { return network_->preprocessing; }
int64_t Backbone::feature_dim() const noexcept { return network_->feature_dim; }
int64_t Backbone::embed_dim() const noexcept { return network_->embed_dim; }
int64_t Backbone::classes() const noexcept { return network_->classes; }

std::span<const BackboneParameter> Backbone::parameters() const noexcept {
  return network_->parameters;
}

int64_t Backbone::parameter_count() const noexcept {
  int64_t count = 0;
  for (const BackboneParameter& p : network_->parameters)
    if (p.trainable) count += p.tensor.size();
  return count;
}

Tensor Backbone::input(const Image& image) const { return input(std::span(&image, 1)); }

Tensor Backbone::input(std::span<const Image> images) const {
  return backbone::input_of(images, preprocessing());
}

Tensor Backbone::normalise(const Tensor& values) const {
  const Preprocessing& p = preprocessing();
  return (values - Tensor::from(p.mean, {3})) / Tensor::from(p.deviation, {3});
}

Tensor Backbone::features(const Tensor& images) const {
  const int64_t side = input_size();
  if (!images.defined() || images.rank() != 4 || images.dim(0) < 1 || images.dim(1) != side ||
      images.dim(2) != side || images.dim(3) != 3)
    fail(Kind::usage, "{}: images {}, expected [B,{},{},3]", name(),
         images.defined() ? images.shape().str() : "none", side, side);
  return network_->features(images);
}

Tensor Backbone::logits(const Tensor& features) const { return network_->logits(features); }

}  // namespace beckon
