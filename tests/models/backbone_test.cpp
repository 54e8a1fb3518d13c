// Backbones: one network in all the forms it is published in, files of every family, frozen and
// learning, and files that are none.
#include "beckon/backbone.h"

#include <cmath>

#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "beckon/error.h"
#include "beckon/ops.h"
#include "models/backbone/network.h"
#include "models/clip/clip.h"
#include "models/sam/image_encoder_tiny_vit.h"
#include "models/small_sam.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"
#include "support/golden_tensors.h"
#include "support/pictures.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using Tensors = std::map<std::string, Tensor>;

Tensors taken(const nn::Params& p) {
  Tensors result;
  for (const nn::Parameter& parameter : p.taken()) result[parameter.name] = parameter.tensor;
  return result;
}

// As a safetensors file; i64 tensors stay what they are.
std::string write(const TempDir& folder, const std::string& name, const Tensors& tensors) {
  std::vector<TensorBytes> list;
  std::vector<Tensor> kept;
  for (const auto& [key, tensor] : tensors) {
    kept.push_back(tensor.contiguous());
    const Tensor& t = kept.back();
    const bool whole = t.dtype() == DType::i64;
    const auto* data = whole ? reinterpret_cast<const std::byte*>(t.data_as<int64_t>())
                             : reinterpret_cast<const std::byte*>(std::as_const(t).data());
    list.push_back(
        {key, t.dtype(), t.shape(), {data, static_cast<size_t>(t.size()) * (whole ? 8 : 4)}});
  }
  const std::string path = folder / name;
  write_safetensors(path, list);
  return path;
}

Tensors weights_of(const std::string& model, const std::string& name) {
  Tensors result;
  for (const Golden& golden : goldens(model))
    if (golden.name == name)
      for (const auto& [key, array] : golden.tensors("weights")) result[key] = tensor(array);
  return result;
}

void expect_same(const Tensor& a, const Tensor& b, float within = 1e-5f) {
  ASSERT_EQ(a.shape(), b.shape());
  const Tensor x = a.contiguous(), y = b.contiguous();
  for (int64_t i = 0; i < x.size(); ++i)
    ASSERT_NEAR(x.values()[static_cast<size_t>(i)], y.values()[static_cast<size_t>(i)], within)
        << i;
}

template <typename Call>
void expect_error(Kind kind, const std::string& part, Call&& call) {
  try {
    call();
    ADD_FAILURE() << "no error; expected '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

vit::VitConfig small_vit() {
  vit::VitConfig c;
  c.image = 32;
  c.patch = 8;
  c.dim = 128;
  c.heads = 2;
  c.depth = 2;
  c.mlp = 96;
  c.classes = 5;
  return c;
}

// The same ViT under another library's names.
struct ViTNames {
  std::string cls, positions, patch, block, norm1, norm2, qkv_weight, qkv_bias, q, k, v, out, fc1,
      fc2, norm, head;
};
Tensors renamed(const Tensors& ours, const ViTNames& n) {
  Tensors result;
  const auto both = [&](const std::string& to, const std::string& from) {
    result[to + ".weight"] = ours.at(from + ".weight");
    result[to + ".bias"] = ours.at(from + ".bias");
  };
  result[n.cls] = ours.at("embeddings.cls_token");
  result[n.positions] = ours.at("embeddings.position_embeddings");
  both(n.patch, "embeddings.patch_embeddings");
  for (int i = 0; i < 2; ++i) {
    const std::string from = "encoder.layer." + std::to_string(i) + ".";
    const std::string to = n.block + std::to_string(i) + ".";
    both(to + n.norm1, from + "attention_norm");
    both(to + n.norm2, from + "ffn_norm");
    if (!n.qkv_weight.empty()) {
      for (const auto& [name, kind] :
           {std::pair(n.qkv_weight, ".weight"), std::pair(n.qkv_bias, ".bias")})
        result[to + name] =
            concat({ours.at(from + "attn.query" + kind), ours.at(from + "attn.key" + kind),
                    ours.at(from + "attn.value" + kind)},
                   0);
    } else {
      both(to + n.q, from + "attn.query");
      both(to + n.k, from + "attn.key");
      both(to + n.v, from + "attn.value");
    }
    both(to + n.out, from + "attn.out");
    both(to + n.fc1, from + "ffn.fc1");
    both(to + n.fc2, from + "ffn.fc2");
  }
  both(n.norm, "encoder.encoder_norm");
  both(n.head, "head");
  return result;
}

const ViTNames kTimm = {"cls_token", "pos_embed",       "patch_embed.proj", "blocks.", "norm1",
                        "norm2",     "attn.qkv.weight", "attn.qkv.bias",    "",        "",
                        "",          "attn.proj",       "mlp.fc1",          "mlp.fc2", "norm",
                        "head"};
const ViTNames kHuggingFace = {"vit.embeddings.cls_token",
                               "vit.embeddings.position_embeddings",
                               "vit.embeddings.patch_embeddings.projection",
                               "vit.encoder.layer.",
                               "layernorm_before",
                               "layernorm_after",
                               "",
                               "",
                               "attention.attention.query",
                               "attention.attention.key",
                               "attention.attention.value",
                               "attention.output.dense",
                               "intermediate.dense",
                               "output.dense",
                               "vit.layernorm",
                               "classifier"};
const ViTNames kTorchvision = {"class_token",
                               "encoder.pos_embedding",
                               "conv_proj",
                               "encoder.layers.encoder_layer_",
                               "ln_1",
                               "ln_2",
                               "self_attention.in_proj_weight",
                               "self_attention.in_proj_bias",
                               "",
                               "",
                               "",
                               "self_attention.out_proj",
                               "mlp.linear_1",
                               "mlp.linear_2",
                               "encoder.ln",
                               "heads.head"};

TEST(Backbone, OneVitInEveryForm) {
  const nn::Params random = nn::Params::random(3);
  const vit::VitConfig config = small_vit();
  const vit::Vit model(random, config);
  Tensors ours = taken(random);
  const Tensor image = random_tensor({2, 32, 32, 3}, 5);
  const Tensor feature = model.forward(image);

  ViTNames newer = kTorchvision;
  newer.fc1 = "mlp.0";
  newer.fc2 = "mlp.3";
  for (const ViTNames& names : {kTimm, kHuggingFace, kTorchvision, newer}) {
    SCOPED_TRACE(names.block);
    const vit::Opened opened = vit::open(nn::Params::from(renamed(ours, names), "test"));
    EXPECT_EQ(opened.config.image, 32);
    EXPECT_EQ(opened.config.classes, 5);
    const vit::Vit same(opened.params, opened.config);
    vit::VitConfig same_eps = config;
    same_eps.norm_eps = opened.config.norm_eps;  // Hugging Face's is smaller
    const vit::Vit reference(nn::Params::random(3), same_eps);
    const Tensor wanted = reference.forward(image);
    expect_same(same.forward(image), wanted);
    expect_same(same.logits(same.forward(image)), reference.logits(wanted));
  }
  const vit::Opened own = vit::open(nn::Params::from(ours, "test"));
  expect_same(vit::Vit(own.params, own.config).forward(image), feature);

  // A part that would change the result is not passed over, a missing one is named.
  Tensors other = renamed(ours, kTimm);
  other["blocks.0.ls1.gamma"] = Tensor::zeros({128});
  expect_error(Kind::unsupported, "blocks.0.ls1.gamma",
               [&] { vit::open(nn::Params::from(other, "test")); });
  other = renamed(ours, kTimm);
  other.erase("blocks.1.mlp.fc2.bias");
  expect_error(Kind::model, "blocks.1.mlp.fc2.bias",
               [&] { vit::open(nn::Params::from(other, "test")); });
}

// timm smooths as Pillow does: against its resize of bytes.
TEST(Backbone, SmoothedPositionsAreThoseOfPillow) {
  for (const int64_t grid : {5, 11, 20}) {
    Image picture(14, 14, 1);
    Tensor table = Tensor::zeros({1, 1 + 14 * 14, 1});
    for (int y = 0; y < 14; ++y)
      for (int x = 0; x < 14; ++x) {
        picture.mutable_row(y)[x] =
            static_cast<uint8_t>(40 + (x * x * 7 + y * 31 + x * y * 5) % 170);
        table.data()[1 + y * 14 + x] = picture.row(y)[x];
      }
    table.data()[0] = 7;
    const int side = static_cast<int>(grid);
    const Image wanted = resize(picture, side, side, Filter::bicubic);
    const Tensor fitted =
        vit::resized_positions("test", table, grid, vit::PositionResize::cubic_antialiased);
    ASSERT_EQ(fitted.shape(), Shape({1, 1 + grid * grid, 1}));
    EXPECT_EQ(std::as_const(fitted).values()[0], 7);
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x)
        EXPECT_NEAR(std::as_const(fitted).values()[static_cast<size_t>(1 + y * side + x)],
                    wanted.row(y)[x], 1.01)
            << grid << ": " << x << ',' << y;
  }
}

TEST(Backbone, ReadsFilesOfEveryFamily) {
  const TempDir folder;
  struct Case {
    const char *model, *name, *family;
    int64_t features, input;
  };
  for (const Case& c :
       {Case{"vit", "forward", "vit", 32, 40}, Case{"swin_classifier", "forward", "swin", 64, 32},
        Case{"resnet", "bottleneck", "resnet", 128, 224}, Case{"bit", "narrow", "bit", 128, 224},
        Case{"clip", "vit", "clip", 32, 32}, Case{"clip", "modified_resnet", "clip", 20, 64}}) {
    SCOPED_TRACE(std::string(c.model) + "/" + c.name);
    const std::string path =
        write(folder, std::string(c.model) + c.name + ".safetensors", weights_of(c.model, c.name));
    const Backbone net = Backbone::load(path);
    EXPECT_EQ(net.family(), c.family);
    EXPECT_EQ(net.feature_dim(), c.features);
    EXPECT_EQ(net.input_size(), c.input);
    EXPECT_EQ(net.sha256().size(), 64u);
    EXPECT_EQ(net.path(), path);
    EXPECT_GT(net.parameter_count(), 0);

    const Image photo = noise(97, 61, 3);
    const Tensor x = net.input(photo);
    ASSERT_EQ(x.shape(), Shape({1, c.input, c.input, 3}));
    const Tensor one = net.features(x);
    EXPECT_EQ(one.shape(), Shape({1, c.features}));
    for (const float v : std::as_const(one).values()) ASSERT_TRUE(std::isfinite(v));
    // A batch is its pictures.
    const std::vector<Image> both = {noise(50, 80, 3), photo};
    expect_same(net.features(net.input(both)).slice(0, 1, 2), one, 1e-4f);
    // The frozen network passes gradients to what it sees, and takes none itself.
    Tensor seen = x.clone().set_requires_grad();
    sum(net.features(seen)).backward();
    EXPECT_TRUE(seen.grad().defined());
    for (const BackboneParameter& p : net.parameters()) EXPECT_FALSE(p.tensor.grad().defined());
    expect_error(Kind::usage, "images [1,8,8,3]", [&] {
      net.features(Tensor::zeros({1, 8, 8, 3}));
    });
  }
}

TEST(Backbone, HeadsAnswerAndTheirAbsenceIsSaid) {
  const TempDir folder;
  const Backbone with = Backbone::load(
      write(folder, "r.safetensors", weights_of("resnet", "bottleneck")), {.input = 64});
  EXPECT_EQ(with.classes(), 6);
  const Tensor logits = with.logits(with.features(Tensor::zeros({1, 64, 64, 3})));
  EXPECT_EQ(logits.shape(), Shape({1, 6}));
  const Backbone without =
      Backbone::load(write(folder, "v.safetensors", weights_of("vit", "forward")));
  EXPECT_EQ(without.classes(), 0);
  expect_error(Kind::usage, "no head", [&] { without.logits(Tensor::zeros({1, 32})); });
}

TEST(Backbone, HuggingFacesClipIsTheSame) {
  const Tensors official = weights_of("clip", "vit");
  Tensors theirs;
  const auto both = [&](const std::string& to, const std::string& from) {
    theirs[to + ".weight"] = official.at(from + ".weight");
    theirs[to + ".bias"] = official.at(from + ".bias");
  };
  for (const auto& [tower, blocks] :
       {std::pair<std::string, std::string>("vision_model.", "visual.transformer.resblocks."),
        std::pair<std::string, std::string>("text_model.", "transformer.resblocks.")})
    for (int i = 0; i < 2; ++i) {
      const std::string to = tower + "encoder.layers." + std::to_string(i) + ".";
      const std::string from = blocks + std::to_string(i) + ".";
      const Tensor weight = official.at(from + "attn.in_proj_weight");
      const Tensor bias = official.at(from + "attn.in_proj_bias");
      const int64_t width = weight.dim(1);
      int64_t at = 0;
      for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
        theirs[to + "self_attn." + name + ".weight"] = weight.slice(0, at, at + width);
        theirs[to + "self_attn." + name + ".bias"] = bias.slice(0, at, at + width);
        at += width;
      }
      both(to + "self_attn.out_proj", from + "attn.out_proj");
      both(to + "layer_norm1", from + "ln_1");
      both(to + "layer_norm2", from + "ln_2");
      both(to + "mlp.fc1", from + "mlp.c_fc");
      both(to + "mlp.fc2", from + "mlp.c_proj");
    }
  const std::string vision = "vision_model.", text = "text_model.";
  theirs[vision + "embeddings.class_embedding"] = official.at("visual.class_embedding");
  theirs[vision + "embeddings.patch_embedding.weight"] = official.at("visual.conv1.weight");
  theirs[vision + "embeddings.position_embedding.weight"] =
      official.at("visual.positional_embedding");
  both(vision + "pre_layrnorm", "visual.ln_pre");
  both(vision + "post_layernorm", "visual.ln_post");
  theirs["visual_projection.weight"] = official.at("visual.proj").transpose(0, 1);
  theirs[text + "embeddings.token_embedding.weight"] = official.at("token_embedding.weight");
  theirs[text + "embeddings.position_embedding.weight"] = official.at("positional_embedding");
  both(text + "final_layer_norm", "ln_final");
  theirs["text_projection.weight"] = official.at("text_projection").transpose(0, 1);
  theirs["logit_scale"] = official.at("logit_scale");

  const TempDir folder;
  const Backbone a = Backbone::load(write(folder, "openai.safetensors", official));
  const Backbone b = Backbone::load(write(folder, "hf.safetensors", theirs));
  const Tensor image = random_tensor({1, 32, 32, 3}, 9);
  expect_same(a.features(image), b.features(image));
  const Tensor ids = Tensor::from(std::vector<int64_t>{58, 3, 4, 59, 0, 0}, {1, 6});
  expect_same(a.network().as_clip()->encode_text(ids), b.network().as_clip()->encode_text(ids));
}

// timm moved the merging of patches from the end of a stage to the beginning of the next.
TEST(Backbone, TimmsSwinIsTheSame) {
  Tensors official = weights_of("swin_classifier", "forward");
  official["head.weight"] = official.at("head.last_layer.weight");
  official["head.bias"] = official.at("head.last_layer.bias");
  Tensors theirs;
  for (const auto& [name, tensor] : official) {
    std::string to = name;
    if (name.find("relative_position_index") != name.npos) continue;
    if (const size_t at = name.find(".downsample."); at != name.npos)
      to = "layers." + std::to_string(std::stoi(name.substr(7)) + 1) + name.substr(at);
    if (name == "head.weight" || name == "head.bias") to = "head.fc" + name.substr(4);
    theirs[to] = tensor;
  }
  const TempDir folder;
  const Backbone a = Backbone::load(write(folder, "official.safetensors", official));
  const Backbone b = Backbone::load(write(folder, "timm.safetensors", theirs));
  EXPECT_EQ(a.classes(), 7);
  EXPECT_EQ(b.classes(), 7);
  const Tensor image = random_tensor({1, 32, 32, 3}, 2);
  expect_same(a.features(image), b.features(image));
  expect_same(a.logits(a.features(image)), b.logits(b.features(image)));
}

// What config.json says counts: heads, the activation, how pictures are normalised.
TEST(Backbone, HuggingFacesConfigurationIsRead) {
  const nn::Params random = nn::Params::random(3);
  const vit::VitConfig config = small_vit();
  const vit::Vit model(random, config);
  const TempDir folder;
  write(folder, "model.safetensors", renamed(taken(random), kHuggingFace));
  folder.write("config.json", std::string(R"({"num_attention_heads": 4, "layer_norm_eps": 1e-6,
    "hidden_act": "gelu"})"));
  folder.write("preprocessor_config.json",
               std::string(R"({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]})"));
  const Backbone net = Backbone::load(folder.path().string());
  EXPECT_EQ(net.preprocessing().mean[1], 0.2f);
  EXPECT_EQ(net.preprocessing().deviation[2], 3.0f);
  vit::VitConfig four = config;
  four.heads = 4;
  const Tensor image = random_tensor({1, 32, 32, 3}, 6);
  expect_same(net.features(image), vit::Vit(nn::Params::random(3), four).forward(image));

  // What the caller says counts more; timm keeps its colours elsewhere.
  const Backbone other = Backbone::load(folder.path().string(), {.mean = {{0.5f, 0.5f, 0.5f}}});
  EXPECT_EQ(other.preprocessing().mean[1], 0.5f);
  EXPECT_EQ(other.preprocessing().deviation[2], 3.0f);
  expect_error(Kind::usage, "a deviation of 0", [&] {
    Backbone::load(folder.path().string(), {.deviation = {{1, 0, 1}}});
  });
  const TempDir timm;
  write(timm, "model.safetensors", renamed(taken(random), kTimm));
  timm.write(
      "config.json",
      std::string(R"({"pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.5, 0.5, 0.6]}})"));
  EXPECT_EQ(Backbone::load(timm.path().string()).preprocessing().mean[1], 0.4f);
  EXPECT_EQ(Backbone::load(timm.path().string()).preprocessing().deviation[2], 0.6f);

  const auto refused = [&](Kind kind, const std::string& text, const std::string& part) {
    folder.write("config.json", text);
    expect_error(kind, part, [&] { Backbone::load(folder.path().string()); });
  };
  refused(Kind::model, R"({"num_attention_heads": 3})", "3 heads");
  refused(Kind::model, R"({"layer_norm_eps": -1})", "layer_norm_eps");
  refused(Kind::unsupported, R"({"hidden_act": "swish"})", "swish");
  refused(Kind::model, "[1", "config.json: no JSON object");
  refused(Kind::model, std::string(100000, '['), "config.json: no JSON object");
  folder.write("config.json", std::string("{}"));
  folder.write("preprocessor_config.json", std::string(R"({"image_std": [1, 0, 1]})"));
  expect_error(Kind::model, "image_std", [&] { Backbone::load(folder.path().string()); });
}

TEST(Backbone, MobileSamsEncoderIsOne) {
  const nn::Params random = nn::Params::random(11);
  const sam::SamConfig config = small_config(true);
  const auto& encoder = std::get<sam::TinyVitConfig>(config.encoder);
  const sam::SamModel whole(random, config);
  const TempDir folder;
  const std::string path = write(folder, "sam.safetensors", taken(random));
  const Backbone net = Backbone::load(path, {.input = 64});
  EXPECT_EQ(net.family(), "tiny-vit");
  EXPECT_EQ(net.feature_dim(), encoder.dims[3]);
  const Tensor x = net.input(noise(90, 40, 3));
  EXPECT_EQ(net.features(x).shape(), Shape({1, encoder.dims[3]}));
  // The neck after the body is the encoder.
  const sam::TinyVitEncoder model(random / "image_encoder", encoder);
  const Tensor image = random_tensor({1, 128, 128, 3}, 4);
  EXPECT_EQ(model.body(image).shape(), Shape({1, 8, 8, encoder.dims[3]}));
  expect_error(Kind::usage, "multiple of 16", [&] { Backbone::load(path, {.input = 72}); });
}

TEST(Backbone, WrongFilesAreErrorsThatNameFileAndTensor) {
  const TempDir folder;
  int made = 0;
  const auto load = [&](const Tensors& tensors) {
    return Backbone::load(write(folder, "bad" + std::to_string(made++) + ".safetensors", tensors));
  };
  expect_error(Kind::model, "no backbone that is known", [&] {
    load({{"a", Tensor::zeros({2})}});
  });
  for (const auto& [model, name] :
       {std::pair("vit", "forward"), std::pair("swin_classifier", "forward"),
        std::pair("resnet", "bottleneck"), std::pair("bit", "narrow"), std::pair("clip", "vit"),
        std::pair("clip", "modified_resnet")}) {
    SCOPED_TRACE(std::string(model) + "/" + name);
    const Tensors whole = weights_of(model, name);
    // Each tensor in turn with a shape that is wrong: named, or one of the others that is measured
    // by it, or the file is no longer known; never a crash. What nobody reads may be as it likes.
    int refused = 0;
    for (const auto& [key, tensor] : whole) {
      const Shape shapes[] = {Shape({1, 3, 5}), Shape({0}), Shape({7, 1, 1, 1})};
      for (const Shape& shape : {shapes[made % 3]}) {
        Tensors broken = whole;
        broken[key] =
            tensor.dtype() == DType::i64 ? Tensor::zeros(shape, DType::i64) : Tensor::zeros(shape);
        try {
          load(broken);
        } catch (const Error& error) {
          ++refused;
          EXPECT_TRUE(error.kind() == Kind::model || error.kind() == Kind::usage ||
                      error.kind() == Kind::unsupported)
              << key << ": " << error.what();
          EXPECT_NE(std::string(error.what()).find("bad"), std::string::npos) << error.what();
        }
      }
    }
    EXPECT_GT(refused, static_cast<int>(whole.size() / 2));
  }
}

}  // namespace
}  // namespace beckon::test
