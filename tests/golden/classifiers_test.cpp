// Swin, ResNet, BiT and CLIP: every stage, the loss and its gradients; without anyone watching, and
// without a tape, the same results.
#include "golden/classifiers.h"

#include <nlohmann/json.hpp>

#include "models/bit/bit.h"
#include "models/clip/clip.h"
#include "models/resnet/resnet.h"
#include "models/swin/swin.h"

namespace beckon::test {
namespace {

TEST(Swin, MatchesGolden) {
  for (const Golden& golden : goldens("swin_classifier")) {
    SCOPED_TRACE(golden.name);
    const auto& wanted = golden.json().at("config");
    const nn::Params file = params(golden);
    const swin::SwinConfig c = swin::detect(file);
    EXPECT_EQ(c.image, wanted.at("img_size").get<int64_t>());
    EXPECT_EQ(c.patch, wanted.at("patch_size").get<int64_t>());
    EXPECT_EQ(c.dim, wanted.at("embed_dim").get<int64_t>());
    ASSERT_EQ(c.stages.size(), wanted.at("depths").size());
    for (size_t s = 0; s < c.stages.size(); ++s) {
      EXPECT_EQ(c.stages[s].depth, wanted.at("depths")[s].get<int64_t>());
      EXPECT_EQ(c.stages[s].heads, wanted.at("num_heads")[s].get<int64_t>());
    }
    const swin::Swin model(file, c);
    Parameters parameters = by_name(file, "enc.");
    const nn::Linear head(file / "head" / "last_layer", c.features(), wanted.at("classes"));
    parameters["head.last_layer.weight"] = head.weight;
    parameters["head.last_layer.bias"] = head.bias;
    check_classifier(golden, parameters, [&](const Tensor& image) {
      const Tensor feature = model.forward(image, stages(golden, false));
      expect_golden(golden, "mid.feature", feature);
      return head(feature);
    });
    const NoGrad no_grad;
    const Tensor image = channels_last(tensor(golden.tensors("io").at("in.image")));
    expect_golden(golden, "out.logits", head(model.forward(image)));
  }
}

TEST(ResNet, MatchesGolden) {
  for (const Golden& golden : goldens("resnet")) {
    SCOPED_TRACE(golden.name);
    const auto& wanted = golden.json().at("config");
    const nn::Params file = params(golden);
    const resnet::ResNetConfig c = resnet::detect(file);
    EXPECT_EQ(c.groups, wanted.at("groups").get<int64_t>());
    EXPECT_EQ(c.classes, wanted.at("classes").get<int64_t>());
    for (size_t s = 0; s < 4; ++s)
      EXPECT_EQ(c.stages[s].depth, wanted.at("layers")[s].get<int64_t>());
    const resnet::ResNet model(file, c);
    check_classifier(golden, by_name(file), [&](const Tensor& image) {
      return model.logits(model.forward(image, stages(golden, true)));
    });
    const NoGrad no_grad;
    const Tensor image = channels_last(tensor(golden.tensors("io").at("in.image")));
    expect_golden(golden, "out.logits", model.logits(model.forward(image)));
  }
}

TEST(Bit, MatchesGolden) {
  for (const Golden& golden : goldens("bit")) {
    SCOPED_TRACE(golden.name);
    const auto& wanted = golden.json().at("config");
    const nn::Params npz = params(golden);
    const bit::BitConfig c = bit::detect_npz(npz);
    EXPECT_EQ(c.root, wanted.at("root_channels").get<int64_t>());
    EXPECT_EQ(c.classes, wanted.at("classes").get<int64_t>());
    for (size_t s = 0; s < 4; ++s) {
      EXPECT_EQ(c.stages[s].units, wanted.at("units")[s].get<int64_t>());
      EXPECT_EQ(c.stages[s].mid, wanted.at("mid_channels")[s].get<int64_t>());
      EXPECT_EQ(c.stages[s].out, wanted.at("channels")[s].get<int64_t>());
    }
    const nn::Params file = bit::from_npz(npz, c);
    const bit::Bit model(file, c);
    check_classifier(golden, by_name(file), [&](const Tensor& image) {
      return model.logits(model.forward(image, stages(golden, true)));
    });
    const NoGrad no_grad;
    const Tensor image = channels_last(tensor(golden.tensors("io").at("in.image")));
    expect_golden(golden, "out.logits", model.logits(model.forward(image)));
  }
}

// Some cases use another's weights.
nn::Params clip_weights(const Golden& golden) {
  if (golden.has_file("weights.safetensors")) return params(golden);
  for (const Golden& other : goldens("clip"))
    if (other.name == "vit") return params(other);
  throw std::runtime_error(golden.name + ": no weights");
}

// The reference's text stages, and its vision blocks, have the batch in the second place.
nn::Watch clip_stages(const Golden& golden) {
  return [&golden](const std::string& stage, const Tensor& x) {
    if (!golden.tensors("io").has("mid." + stage) && stage != "visual.ln_post") return;
    Tensor as_stored = x;
    if (stage.find("resblock") != stage.npos) as_stored = x.transpose(0, 1).contiguous();
    if (x.rank() == 4) as_stored = channels_first(x);
    expect_golden(golden, "mid." + stage, as_stored);
  };
}

TEST(Clip, MatchesGolden) {
  for (const Golden& golden : goldens("clip")) {
    SCOPED_TRACE(golden.name);
    const Arrays& io = golden.tensors("io");
    const auto& wanted = golden.json().at("config");
    const nn::Params file = clip_weights(golden);
    const clip::ClipConfig c = clip::detect(file);
    EXPECT_EQ(c.embed, wanted.at("embed_dim").get<int64_t>());
    EXPECT_EQ(c.image, wanted.at("image_resolution").get<int64_t>());
    EXPECT_EQ(c.vision_width, wanted.at("vision_width").get<int64_t>());
    EXPECT_EQ(c.context, wanted.at("context_length").get<int64_t>());
    EXPECT_EQ(c.text_layers, wanted.at("transformer_layers").get<int64_t>());
    const clip::Clip model(file, c);
    Parameters parameters = by_name(file);
    // A frame of learned pixels around the picture.
    for (const char* side : {"pad_up", "pad_down", "pad_left", "pad_right"})
      if (io.has(std::string("in.prompt.") + side))
        parameters[std::string("prompt.") + side] = tensor(io.at(std::string("in.prompt.") + side));
    const auto prompted = [&](const Tensor& image) {
      if (!parameters.contains("prompt.pad_up")) return image;
      const auto& up = parameters.at("prompt.pad_up");
      Tensor middle = Tensor::zeros({1, 3, c.image - 2 * up.dim(2), c.image - 2 * up.dim(2)});
      const Tensor rows =
          concat({parameters.at("prompt.pad_left"), middle, parameters.at("prompt.pad_right")}, 3);
      const Tensor frame = concat({up, rows, parameters.at("prompt.pad_down")}, 2);
      return image + frame.permute({0, 2, 3, 1});
    };
    const Tensor ids = tensor(io.at("in.text"));
    check_classifier(golden, parameters, [&](const Tensor& image) {
      const Tensor images = model.encode_image(prompted(image), clip_stages(golden));
      const Tensor texts = model.encode_text(ids, clip_stages(golden));
      expect_golden(golden, "out.image_features", images);
      expect_golden(golden, "out.text_features", texts);
      const Tensor logits = model.logits_per_image(images, texts);
      expect_golden(golden, "out.logits_per_text", logits.transpose(0, 1));
      return logits;
    });
    const Tensor image = channels_last(tensor(io.at("in.image")));
    const NoGrad no_grad;
    expect_golden(golden, "out.image_features", model.encode_image(prompted(image)));
    expect_golden(golden, "out.text_features", model.encode_text(ids));
  }
}

}  // namespace
}  // namespace beckon::test
