// Where a model's parameters come from, as a path: `p / "blocks" / 3` stands for every tensor whose
// name begins with "blocks.3.".
//
//   Params p = Params::from(Checkpoint::open("mobile_sam.pt"));
//   Linear qkv(p / "image_encoder" / "layers" / 1 / "blocks" / 0 / "attn" / "qkv", 128, 384);
//
// A model is built by one constructor from any source: a file, random numbers, zeros, tensors in
// memory. The source checks presence and shape, and remembers under its official name every tensor
// it gave out.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/checkpoint.h"
#include "beckon/tensor.h"

namespace beckon::nn {

// What a parameter is before anybody trained it.
enum class Init : uint8_t {
  weight,  // normal, deviation 0.02, cut at two deviations
  zeros,   // biases
  ones,    // scales of norms
};

// A tensor that a model holds. Handles are shared: setting requires_grad here sets it in the model.
struct Parameter {
  std::string name;  // official, from the root of the checkpoint
  Tensor tensor;
  bool trainable = true;  // false: a buffer, such as running statistics
};

class Params {
 public:
  // The checkpoint's tensors where they lie in the file if it stores plain f32, else converted.
  static Params from(const Checkpoint& checkpoint);
  // The same path, but what has to be converted is only set aside: names and shapes are checked
  // now, numbers come with read(). For a constructor that does not look at them.
  Params later() const;
  // Fills in what was set aside below this path. Throws what reading throws.
  void read() const;
  // Tensors in memory; `origin` stands in messages where a file name would.
  static Params from(std::map<std::string, Tensor> tensors, std::string origin = "memory");
  // Every tensor of whatever shape is asked for. The numbers depend on the seed and the name only.
  static Params random(uint64_t seed);
  static Params zeros();

  Params operator/(std::string_view name) const;
  Params operator/(int64_t index) const;

  // The tensor `name` below this path, in f32. Throws Error(model) that names the source, the
  // tensor, the shape found and the one expected. Asked twice, it gives the same tensor.
  Tensor tensor(std::string_view name, const Shape& shape, Init init = Init::weight) const;
  // The same for what is never trained.
  Tensor buffer(std::string_view name, const Shape& shape, Init init = Init::zeros) const;

  // Looking before building: always false or nothing for random and zeros.
  bool has(std::string_view name) const;
  std::optional<Shape> shape(std::string_view name) const;
  // How many of `<name>.0`, `<name>.1`, ... have a tensor below them.
  int64_t count(std::string_view name) const;

  // The file, for messages.
  const std::string& origin() const;
  // What is added to messages about wrong shapes: "is this a ViT-H file?".
  Params with_hint(std::string hint) const;

  // Everything given out so far, in that order, of the whole source.
  std::vector<Parameter> taken() const;

  struct Source;

 private:
  Params(std::shared_ptr<Source> source, std::string path);
  std::string full(std::string_view name) const;
  Tensor take(std::string_view name, const Shape& shape, Init init, bool trainable) const;

  std::shared_ptr<Source> source_;
  std::string path_;  // "" or "image_encoder.blocks"
  std::string hint_;
  bool later_ = false;
};

}  // namespace beckon::nn
