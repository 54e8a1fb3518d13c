// From a file to the network in it: which family it is, what it is called, what it wants to see.
#include "models/backbone/network.h"

#include "base/fail.h"
#include "beckon/ops.h"
#include "models/backbone/model_card.h"
#include "models/bit/bit.h"
#include "models/clip/clip.h"
#include "models/resnet/resnet.h"
#include "models/sam/config.h"
#include "models/sam/image_encoder_tiny_vit.h"
#include "models/ssd/ssd.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"
#include "weights/names.h"

namespace beckon::backbone {
namespace {

constexpr std::array<float, 3> kImageNetMean = {0.485f, 0.456f, 0.406f};
constexpr std::array<float, 3> kImageNetDeviation = {0.229f, 0.224f, 0.225f};
constexpr std::array<float, 3> kClipMean = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr std::array<float, 3> kClipDeviation = {0.26862954f, 0.26130258f, 0.27577711f};
constexpr std::array<float, 3> kHalf = {0.5f, 0.5f, 0.5f};

// Resized to 256 where 224 are seen, and in that proportion for other sizes.
Preprocessing cropped(int64_t input, const std::array<float, 3>& mean,
                      const std::array<float, 3>& deviation) {
  const int side = static_cast<int>(input);
  return {.input = side, .resize = side * 8 / 7, .mean = mean, .deviation = deviation};
}

void adopt_parameters(Network& network, const nn::Params& params) {
  for (const nn::Parameter& p : params.taken())
    network.parameters.push_back({p.name, p.tensor, p.trainable});
}

class VitNetwork : public Network {
 public:
  VitNetwork(const nn::Params& p, const vit::VitConfig& c, bool hugging_face) : model_(p, c) {
    family = "vit";
    name = name_of(c);
    feature_dim = embed_dim = c.dim;
    classes = c.classes;
    // Google's files were trained on values of -1 to 1; prompt learning with them uses ImageNet's
    // statistics, as do all the other forms but Hugging Face's.
    preprocessing = cropped(c.image, hugging_face ? kHalf : kImageNetMean,
                            hugging_face ? kHalf : kImageNetDeviation);
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override { return model_.forward(images); }
  Tensor logits(const Tensor& features) const override { return model_.logits(features); }
  const vit::Vit* as_vit() const override { return &model_; }

 private:
  static std::string name_of(const vit::VitConfig& c) {
    struct Size {
      const char* letter;
      int64_t dim, depth;
    };
    for (const Size& size : {Size{"ti", 192, 12}, Size{"s", 384, 12}, Size{"b", 768, 12},
                             Size{"l", 1024, 24}, Size{"h", 1280, 32}})
      if (size.dim == c.dim && size.depth == c.depth)
        return fmt::format("vit-{}{}", size.letter, c.patch);
    return fmt::format("vit-{}x{}", c.dim, c.depth);
  }
  vit::Vit model_;
};

class SwinNetwork : public Network {
 public:
  SwinNetwork(const nn::Params& p, const swin::SwinConfig& c) : model_(p, c) {
    family = "swin";
    const int64_t middle = c.stages.size() == 4 ? c.stages[2].depth : 0;
    name = c.dim == 96 && middle == 6     ? "swin-t"
           : c.dim == 96 && middle == 18  ? "swin-s"
           : c.dim == 128 && middle == 18 ? "swin-b"
           : c.dim == 192 && middle == 18 ? "swin-l"
                                          : fmt::format("swin-{}x{}", c.dim, c.stages.size());
    feature_dim = c.features();
    embed_dim = c.dim;
    classes = c.classes;
    preprocessing = cropped(c.image, kImageNetMean, kImageNetDeviation);
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override { return model_.forward(images); }
  Tensor logits(const Tensor& features) const override { return model_.logits(features); }
  const swin::Swin* as_swin() const override { return &model_; }

 private:
  swin::Swin model_;
};

class ResNetNetwork : public Network {
 public:
  ResNetNetwork(const nn::Params& p, const resnet::ResNetConfig& c, int64_t input) : model_(p, c) {
    family = "resnet";
    int64_t convolutions = 2;
    for (const auto& stage : c.stages) convolutions += stage.depth * (c.bottleneck ? 3 : 2);
    name = c.groups > 1
               ? fmt::format("resnext{}-{}x{}d", convolutions, c.groups, c.stages[0].mid / c.groups)
               : fmt::format("resnet{}", convolutions);
    feature_dim = c.features();
    embed_dim = c.stem;
    classes = c.classes;
    preprocessing = cropped(input, kImageNetMean, kImageNetDeviation);
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override { return model_.forward(images); }
  Tensor logits(const Tensor& features) const override { return model_.logits(features); }

 private:
  resnet::ResNet model_;
};

class BitNetwork : public Network {
 public:
  BitNetwork(const nn::Params& p, const bit::BitConfig& c, int64_t input) : model_(p, c) {
    family = "bit";
    int64_t convolutions = 2;
    for (const auto& stage : c.stages) convolutions += stage.units * 3;
    name = c.root % 64 == 0 ? fmt::format("bit-r{}x{}", convolutions, c.root / 64)
                            : fmt::format("bit-r{}-{}", convolutions, c.root);
    feature_dim = c.features();
    embed_dim = c.root;
    classes = c.classes;
    preprocessing = cropped(input, kHalf, kHalf);
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override { return model_.forward(images); }
  Tensor logits(const Tensor& features) const override { return model_.logits(features); }

 private:
  bit::Bit model_;
};

class ClipNetwork : public Network {
 public:
  ClipNetwork(const nn::Params& p, const clip::ClipConfig& c) : model_(p, c) {
    family = "clip";
    name = name_of(c);
    feature_dim = c.embed;
    embed_dim = c.vision_width;
    preprocessing = cropped(c.image, kClipMean, kClipDeviation);
    preprocessing.resize = preprocessing.input;
    preprocessing.filter = Filter::bicubic;
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override { return model_.encode_image(images); }
  Tensor logits(const Tensor&) const override {
    fail(Kind::usage, "CLIP has no head for classes: it compares pictures with texts");
  }
  const clip::Clip* as_clip() const override { return &model_; }

 private:
  static std::string name_of(const clip::ClipConfig& c) {
    if (!c.is_vit()) {
      const auto& blocks = c.vision_blocks;
      const int64_t convolutions = 2 + 3 * (blocks[0] + blocks[1] + blocks[2] + blocks[3]);
      if (c.vision_width == 64) return fmt::format("clip-rn{}", convolutions);
      if (c.vision_width == 80) return "clip-rn50x4";
      if (c.vision_width == 96) return "clip-rn50x16";
      if (c.vision_width == 128) return "clip-rn50x64";
      return fmt::format("clip-rn{}-{}", convolutions, c.vision_width);
    }
    const std::string large = c.image == 224 ? "" : fmt::format("-{}", c.image);
    if (c.vision_width == 768) return fmt::format("clip-vit-b{}{}", c.patch, large);
    if (c.vision_width == 1024) return fmt::format("clip-vit-l{}{}", c.patch, large);
    return fmt::format("clip-vit-{}x{}", c.vision_width, c.vision_layers);
  }
  clip::Clip model_;
};

// MobileSAM's encoder up to its neck: the mean over the map.
class TinyVitNetwork : public Network {
 public:
  TinyVitNetwork(const nn::Params& p, const sam::TinyVitConfig& c)
      : model_(p / "image_encoder", c) {
    family = "tiny-vit";
    name = "mobile-sam";
    feature_dim = c.dims[3];
    embed_dim = c.dims[0];
    preprocessing = {.fit = Preprocessing::Fit::pad,
                     .input = static_cast<int>(c.image),
                     .resize = static_cast<int>(c.image),
                     .mean = {123.675f / 255, 116.28f / 255, 103.53f / 255},
                     .deviation = {58.395f / 255, 57.12f / 255, 57.375f / 255}};
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override { return mean(model_.body(images), {1, 2}); }
  Tensor logits(const Tensor&) const override {
    fail(Kind::usage, "MobileSAM's encoder has no head for classes");
  }

 private:
  sam::TinyVitEncoder model_;
};

// A detector as a network for classes. Its feature is the mean over MobileNetV2's last map, and for
// each class the evidence that something of it is anywhere: the logarithm of the sum of the odds
// over all boxes. That part is what logits() gives.
class SsdNetwork : public Network {
 public:
  SsdNetwork(const nn::Params& p, const ssd::SsdConfig& c, int64_t input) : model_(p, c) {
    family = "ssd";
    name = c.last == 1280 && c.classes == 90 ? "coco-ssd"
                                             : fmt::format("ssd-{}x{}", c.last, c.classes);
    feature_dim = c.last + c.classes;
    embed_dim = c.stem;
    classes = c.classes;
    preprocessing = {.fit = Preprocessing::Fit::stretch,
                     .input = static_cast<int>(input),
                     .resize = static_cast<int>(input),
                     .mean = kHalf,
                     .deviation = kHalf};
    adopt_parameters(*this, p);
  }
  Tensor features(const Tensor& images) const override {
    const auto maps = model_.maps(images);
    const Tensor scores = model_.classes(maps);
    // The largest is taken out, so that nothing overflows; as a constant: it cancels.
    const Tensor largest = max(scores, 1, true).detach();
    const Tensor evidence = log(sum(exp(scores - largest), {1})) + largest.squeeze(1);
    return concat({mean(maps[1], {1, 2}), evidence}, 1);
  }
  Tensor logits(const Tensor& features) const override {
    return features.slice(1, feature_dim - classes, feature_dim);
  }

 private:
  ssd::Ssd model_;
};

// Images of this side go through a network of convolutions, whatever it was trained on.
int64_t input_or(const BackboneOptions& options, int64_t usual, int64_t multiple_of) {
  const int64_t input = options.input > 0 ? options.input : usual;
  if (input < 32 || input > 4096 || input % multiple_of != 0)
    fail(Kind::usage, "an input of {} pixels a side, expected 32 to 4096{}", input,
         multiple_of > 1 ? fmt::format(", a multiple of {}", multiple_of) : "");
  return input;
}

}  // namespace

static std::shared_ptr<Network> make_bare(const Checkpoint& opened, const BackboneOptions& options,
                                          const ModelCard& card) {
  if (options.input < 0 || options.input > 4096)
    fail(Kind::usage, "an input of {} pixels a side, expected 32 to 4096", options.input);
  if (holds_sam(opened)) {
    const nn::Params file = nn::Params::from(sam_names(opened));
    if (!file.has("image_encoder.patch_embed.seq.0.c.weight"))
      fail(Kind::unsupported,
           "{}: of Segment Anything's encoders MobileSAM's TinyViT serves as a backbone",
           file.origin());
    sam::SamConfig config = sam::detect_config(file);
    auto& encoder = std::get<sam::TinyVitConfig>(config.encoder);
    encoder.image = input_or(options, encoder.image, 16);
    return std::make_shared<TinyVitNetwork>(file, encoder);
  }
  const nn::Params file = nn::Params::from(opened.unwrapped());
  if (clip::holds_clip(file)) {
    const nn::Params named = clip::official_names(file);
    clip::ClipConfig config = clip::detect(named);
    if (card.activation) config.activation = *card.activation;
    if (options.input != 0 && options.input != config.image)
      fail(Kind::usage, "{}: CLIP sees images of {} pixels a side, {} were asked for",
           file.origin(), config.image, options.input);
    return std::make_shared<ClipNetwork>(named, config);
  }
  if (swin::holds_swin(file))
    return std::make_shared<SwinNetwork>(file, swin::detect(file, options.input));
  if (vit::holds_vit(file)) {
    vit::Opened vit = vit::open(file, options.input);
    if (card.activation == Activation::quick_gelu)
      fail(Kind::unsupported, "{}: a ViT with the activation quick_gelu", file.origin());
    if (card.heads && (*card.heads < 1 || vit.config.dim % *card.heads != 0))
      fail(Kind::model, "{}: config.json has {} heads for a width of {}", file.origin(),
           *card.heads, vit.config.dim);
    vit.config.heads = card.heads.value_or(vit.config.heads);
    vit.config.norm_eps = card.norm_eps.value_or(vit.config.norm_eps);
    return std::make_shared<VitNetwork>(vit.params, vit.config, vit.hugging_face);
  }
  if (ssd::holds_ssd(file)) {
    const ssd::SsdConfig config = ssd::detect(file);
    return std::make_shared<SsdNetwork>(ssd::from_tensorflow(file, config), config,
                                        input_or(options, config.image, 1));
  }
  if (bit::holds_bit(file)) {
    const bit::BitConfig config = bit::detect_npz(file);
    return std::make_shared<BitNetwork>(bit::from_npz(file, config), config,
                                        input_or(options, 224, 1));
  }
  if (resnet::holds_resnet(file))
    return std::make_shared<ResNetNetwork>(file, resnet::detect(file), input_or(options, 224, 1));
  fail(Kind::model,
       "{}: no backbone that is known: its tensors have the names of no ViT, Swin, ResNet, BiT, "
       "CLIP, "
       "MobileNetV2-SSD or MobileSAM{}",
       opened.path(),
       opened.names().empty() ? "" : fmt::format(" (the first is '{}')", opened.names()[0]));
}

std::shared_ptr<Network> make_network(const Checkpoint& file, const BackboneOptions& options) {
  const ModelCard card = read_model_card(file.path());
  auto network = make_bare(file, options, card);
  Preprocessing& p = network->preprocessing;
  p.mean = options.mean.value_or(card.mean.value_or(p.mean));
  p.deviation = options.deviation.value_or(card.deviation.value_or(p.deviation));
  for (const float deviation : p.deviation)
    if (!(deviation > 0)) fail(Kind::usage, "a deviation of {}, expected more than 0", deviation);
  return network;
}

}  // namespace beckon::backbone
