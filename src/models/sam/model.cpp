#include "models/sam/model.h"

#include <cstring>

#include <sys/stat.h>

#include "base/fail.h"
#include "base/sha256.h"

namespace beckon::sam {

float Frame::x(double image_x) const {
  return static_cast<float>(image_x * (static_cast<double>(resized.width) / image.width));
}

float Frame::y(double image_y) const {
  return static_cast<float>(image_y * (static_cast<double>(resized.height) / image.height));
}

FileIdentity FileIdentity::of(const std::string& path) {
  FileIdentity id;
  id.path = path;
  struct stat status = {};
  if (stat(path.c_str(), &status) != 0) return id;
  id.device = status.st_dev;
  id.inode = status.st_ino;
  id.bytes = static_cast<uint64_t>(status.st_size);
  id.modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  id.changed_ns = int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec;
  return id;
}

std::string FileIdentity::str() const {
  return fmt::format("file {} {} {} {} {}", device, inode, bytes, modified_ns, changed_ns);
}

SamModel::SamModel(const nn::Params& p, const SamConfig& c)
    : config(c),
      params_(p),
      image_encoder_(make_image_encoder(p.later() / "image_encoder", c)),
      prompt_encoder(p / "prompt_encoder", c.prompt),
      mask_decoder(p.later() / "mask_decoder", c.decoder),
      fast_decoder(mask_decoder),
      low_rank_decoder(mask_decoder),
      origin(p.origin()),
      parameters_(p.taken()) {
  (p / "mask_decoder").read();
}

void SamModel::read() const {
  std::call_once(read_, [&] { params_.read(); });
}

const ImageEncoder& SamModel::image_encoder() const {
  read();
  return *image_encoder_;
}

const std::vector<nn::Parameter>& SamModel::parameters() const {
  read();
  return parameters_;
}

Frame SamModel::frame(ImageSize image) const {
  const int side = static_cast<int>(config.image());
  return {image, long_side_size(image.width, image.height, side), side};
}

Tensor SamModel::input(const Image& image) const {
  if (image.empty()) fail(Kind::usage, "an image without pixels cannot be encoded");
  const Frame f = frame({image.width(), image.height()});
  const Image resized = beckon::resize(image.rgb(), f.resized.width, f.resized.height);

  // A byte can have 256 values: normalise those.
  float table[3][256];
  for (size_t c = 0; c < 3; ++c)
    for (int v = 0; v < 256; ++v)
      table[c][v] = (static_cast<float>(v) - config.mean[c]) / config.deviation[c];

  Tensor input = Tensor::zeros({1, f.side, f.side, 3});
  float* to = input.data();
  for (int y = 0; y < f.resized.height; ++y) {
    const uint8_t* from = resized.row(y);
    float* row = to + static_cast<int64_t>(y) * f.side * 3;
    for (int x = 0; x < f.resized.width; ++x)
      for (size_t c = 0; c < 3; ++c) *row++ = table[c][*from++];
  }
  return input;
}

const std::string& SamModel::hash() const {
  std::call_once(hashed_, [&] {
    Sha256 sha;
    const auto text = [&](const std::string& s) { sha.update(std::as_bytes(std::span(s))); };
    for (const nn::Parameter& parameter : parameters()) {
      text(parameter.name + parameter.tensor.shape().str() + "\n");
      const Tensor values = parameter.tensor.contiguous();
      sha.update(std::as_bytes(values.values()));
    }
    hash_ = sha.hex();
  });
  return hash_;
}

}  // namespace beckon::sam
