// What stands behind a Backbone: one class a family.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "beckon/backbone.h"
#include "nn/params.h"

namespace beckon::vit {
class Vit;
}
namespace beckon::swin {
class Swin;
}
namespace beckon::clip {
class Clip;
}

namespace beckon::backbone {

class Network {
 public:
  virtual ~Network() = default;
  virtual Tensor features(const Tensor& images) const = 0;
  virtual Tensor logits(const Tensor& features) const = 0;
  // The model itself, for methods that reach into it; null for other families.
  virtual const vit::Vit* as_vit() const { return nullptr; }
  virtual const swin::Swin* as_swin() const { return nullptr; }
  virtual const clip::Clip* as_clip() const { return nullptr; }

  std::string name, family, path;
  Preprocessing preprocessing;
  int64_t feature_dim = 0, embed_dim = 0, classes = 0;
  std::vector<BackboneParameter> parameters;

  const std::string& sha256() const;

 private:
  mutable std::mutex mutex_;
  mutable std::string sha256_;
};

// The network in a file of any family, without path and hash.
std::shared_ptr<Network> make_network(const Checkpoint& file, const BackboneOptions& options);

// Pictures of any size -> [B,input,input,3]; Error(usage) for none.
Tensor input_of(std::span<const Image> images, const Preprocessing& preprocessing);

}  // namespace beckon::backbone
