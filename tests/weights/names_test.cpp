#include "weights/names.h"

#include <fstream>
#include <map>

#include <gtest/gtest.h>

#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/file_makers.h"
#include "weights/hugging_face_name.h"

namespace beckon::test {
namespace {

// Every key of SAM with a ViT encoder of `blocks` blocks.
std::vector<std::string> official_names(int blocks) {
  std::vector<std::string> names = {"image_encoder.pos_embed",
                                    "image_encoder.neck.0.weight",
                                    "image_encoder.neck.2.weight",
                                    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                                    "prompt_encoder.not_a_point_embed.weight",
                                    "prompt_encoder.no_mask_embed.weight",
                                    "mask_decoder.iou_token.weight",
                                    "mask_decoder.mask_tokens.weight"};
  const auto both = [&](const std::string& name) {
    names.push_back(name + ".weight");
    names.push_back(name + ".bias");
  };
  both("image_encoder.patch_embed.proj");
  both("image_encoder.neck.1");
  both("image_encoder.neck.3");
  for (int i = 0; i < blocks; ++i) {
    const std::string block = "image_encoder.blocks." + std::to_string(i);
    for (const char* part :
         {".norm1", ".norm2", ".attn.qkv", ".attn.proj", ".mlp.lin1", ".mlp.lin2"})
      both(block + part);
    names.push_back(block + ".attn.rel_pos_h");
    names.push_back(block + ".attn.rel_pos_w");
  }
  for (int i = 0; i < 4; ++i)
    names.push_back("prompt_encoder.point_embeddings." + std::to_string(i) + ".weight");
  for (const char* i : {"0", "1", "3", "4", "6"})
    both(std::string("prompt_encoder.mask_downscaling.") + i);
  const auto attention = [&](const std::string& path) {
    for (const char* part : {".q_proj", ".k_proj", ".v_proj", ".out_proj"}) both(path + part);
  };
  for (const char* layer : {"0", "1"}) {
    const std::string path = std::string("mask_decoder.transformer.layers.") + layer;
    for (const char* part :
         {".self_attn", ".cross_attn_token_to_image", ".cross_attn_image_to_token"})
      attention(path + part);
    for (const char* part : {".norm1", ".norm2", ".norm3", ".norm4", ".mlp.lin1", ".mlp.lin2"})
      both(path + part);
  }
  attention("mask_decoder.transformer.final_attn_token_to_image");
  both("mask_decoder.transformer.norm_final_attn");
  for (const char* i : {"0", "1", "3"}) both(std::string("mask_decoder.output_upscaling.") + i);
  for (const char* layer : {"0", "1", "2"}) {
    for (const char* i : {"0", "1", "2", "3"})
      both(std::string("mask_decoder.output_hypernetworks_mlps.") + i + ".layers." + layer);
    both(std::string("mask_decoder.iou_prediction_head.layers.") + layer);
  }
  return names;
}

// Tensors of one element, numbered.
std::string write_numbered(const TempDir& folder, const std::vector<std::string>& names) {
  const std::vector<float> values = counting(names.size());
  std::vector<TensorBytes> tensors;
  for (size_t i = 0; i < names.size(); ++i)
    tensors.push_back({names[i], DType::f32, {1}, std::as_bytes(std::span(values).subspan(i, 1))});
  write_safetensors(folder / "numbered", tensors);
  return folder / "numbered";
}

TEST(SamNames, ThereAreAsManyAsInTheOfficialFile) {
  EXPECT_EQ(official_names(12).size(), 314u);  // sam_vit_b_01ec64.pth
}

TEST(SamNames, HuggingFaceNamesBecomeOfficialOnes) {
  const std::vector<std::string> official = official_names(12);
  std::vector<std::string> theirs;
  for (const std::string& name : official) theirs.push_back(hugging_face_name(name));
  theirs.push_back("shared_image_embedding.positional_embedding");
  TempDir folder;
  const Checkpoint file = sam_names(Checkpoint::open(write_numbered(folder, theirs)));
  ASSERT_EQ(file.names().size(), official.size());
  for (size_t i = 0; i < official.size(); ++i) {
    ASSERT_TRUE(file.contains(official[i])) << official[i] << " from " << theirs[i];
    EXPECT_EQ(file.f32(official[i])[0], static_cast<float>(i)) << official[i];
  }
}

TEST(SamNames, ThePositionMatrixMayHaveItsOtherNameAlone) {
  TempDir folder;
  const Checkpoint file = sam_names(Checkpoint::open(write_numbered(
      folder, {"vision_encoder.pos_embed", "shared_image_embedding.positional_embedding"})));
  EXPECT_EQ(file.f32("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix")[0], 1.0f);
}

TEST(SamNames, OfficialNamesStayAndPrefixesGo) {
  const std::vector<std::string> official = official_names(2);
  for (const char* prefix : {"", "module.", "model.", "model.module.", "state_dict.", "sam."}) {
    SCOPED_TRACE(prefix);
    std::vector<std::string> names;
    for (const std::string& name : official) names.push_back(prefix + name);
    TempDir folder;
    const Checkpoint file = sam_names(Checkpoint::open(write_numbered(folder, names)));
    ASSERT_EQ(file.names().size(), official.size());
    for (size_t i = 0; i < official.size(); ++i) EXPECT_EQ(file.names()[i], official[i]);
  }
}

// Scalars of one storage, numbered, saved as PyTorch saves a state dict.
std::string state_dict(const std::vector<std::string>& names, bool legacy) {
  using namespace pickled;
  const auto count = static_cast<int64_t>(names.size());
  std::vector<std::pair<std::string, std::string>> items;
  for (int64_t i = 0; i < count; ++i)
    items.emplace_back(names[static_cast<size_t>(i)],
                       tensor({"FloatStorage", "0", count, i, {}, {}}, legacy));
  return ordered_dict(items);
}

std::vector<std::string> mobile_sam_names() {
  std::vector<std::string> names;
  std::ifstream table(BECKON_SOURCE_DIR "/tests/weights/mobile_sam_tensors.tsv");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) names.push_back(line.substr(0, line.find('\t')));
  return names;
}

TEST(SamNames, OfficialPyTorchFilesLoadUnconverted) {
  for (const auto& names : {official_names(12), mobile_sam_names()}) {
    ASSERT_GT(names.size(), 300u);
    const Storages values = {{"0", bytes_of(counting(names.size()))}};
    TempDir folder;
    for (const std::string& bytes :
         {torch_zip(state_dict(names, false), values, "sam_vit_b_01ec64"),
          torch_legacy(state_dict(names, true), values)}) {
      const Checkpoint file = sam_names(Checkpoint::open(folder.write("official", bytes)));
      ASSERT_EQ(file.names().size(), names.size());
      for (size_t i = 0; i < names.size(); ++i) {
        ASSERT_EQ(file.names()[i], names[i]);
        EXPECT_EQ(file.f32(names[i])[0], static_cast<float>(i));
      }
    }
  }
}

TEST(SamNames, OtherModelsAreRefused) {
  TempDir folder;
  const Checkpoint file = Checkpoint::open(write_numbered(folder, {"blocks.0.attn.qkv.weight"}));
  EXPECT_FALSE(holds_sam(file));
  expect_error(Kind::model, "the first is 'blocks.0.attn.qkv.weight'", [&] { sam_names(file); });
}

// A graph with one of each thing the exporter does to MobileSAM.
std::string encoder_graph() {
  using namespace onnx;
  return node("Conv", "/patch_embed/seq/seq.0/c/Conv", {"input", "onnx::Conv_1", "onnx::Conv_2"},
              "x") +
         node("MatMul", "/layers.1/blocks.0/attn/qkv/MatMul", {"x", "onnx::MatMul_3"}, "y") +
         node("Add", "/layers.1/blocks.0/attn/qkv/Add", {"layers.1.blocks.0.attn.qkv.bias", "y"},
              "z") +
         constant("/layers.1/blocks.0/attn/Constant_5", "c5",
                  tensor("", {2, 4, 4}, 1, raw(bytes_of(counting(32))))) +
         constant("/layers.1/blocks.0/attn/Constant_6", "c6",
                  tensor("", {1}, 7, raw(little<int64_t>(-1)))) +
         node("Mul", "/neck/neck.1/Mul", {"z", "onnx::Mul_4"}, "n") +
         node("Add", "/neck/neck.1/Add_1", {"n", "onnx::Add_5"}, "o") +
         node("Reshape", "/Reshape", {"o", "onnx::Reshape_6"}, "output") +
         floats("onnx::Conv_1", {2, 3, 1, 1}, counting(6)) + floats("onnx::Conv_2", {2}, {7, 8}) +
         floats("onnx::MatMul_3", {2, 3}, counting(6)) + floats("onnx::Mul_4", {2, 1, 1}, {1, 2}) +
         floats("onnx::Add_5", {2, 1, 1}, {3, 4}) + floats("neck.0.weight", {1, 1, 1, 1}, {9}) +
         floats("layers.1.blocks.0.attn.qkv.bias", {3}, {1, 2, 3}) +
         field(5, tensor("onnx::Reshape_6", {1}, 7, raw(little<int64_t>(-1))));
}
std::string decoder_graph() {
  using namespace onnx;
  return node("Expand", "/Expand_1", {"onnx::Expand_1", "w"}, "tokens") +
         node("Mul", "/Mul_9", {"s", "onnx::Mul_2"}, "m") +
         node("Mul", "/mask_downscaling/mask_downscaling.1/Mul", {"onnx::Mul_3", "m"}, "d") +
         floats("onnx::Expand_1", {1, 5, 2}, counting(10)) +
         floats("onnx::Mul_2", {1, 2, 1, 1}, {5, 6}) + floats("onnx::Mul_3", {2, 1, 1}, {7, 8}) +
         floats("mask_decoder.transformer.norm_final_attn.weight", {1}, {1}) +
         floats("model.prompt_encoder.not_a_point_embed.weight", {1, 2}, {3, 4});
}

TEST(SamNames, ExportedGraphsBecomeOfficialTensors) {
  TempDir folder;
  folder.write("encoder.onnx", onnx::model(encoder_graph()));
  folder.write("sam.onnx", onnx::model(decoder_graph()));
  const Checkpoint exported = Checkpoint::open(folder.path().string());
  EXPECT_TRUE(holds_sam(exported));
  EXPECT_TRUE(exported.contains("encoder.onnx:onnx::Conv_1"));
  const Checkpoint file = sam_names(exported);
  const std::map<std::string, std::pair<Shape, std::vector<float>>> expected = {
      {"image_encoder.patch_embed.seq.0.c.weight", {{2, 3, 1, 1}, counting(6)}},
      {"image_encoder.patch_embed.seq.0.bn.bias", {{2}, {7, 8}}},
      {"image_encoder.patch_embed.seq.0.bn.weight", {{2}, {1, 1}}},
      {"image_encoder.patch_embed.seq.0.bn.running_mean", {{2}, {0, 0}}},
      {"image_encoder.patch_embed.seq.0.bn.running_var", {{2}, {1.0f - 1e-5f, 1.0f - 1e-5f}}},
      {"image_encoder.layers.1.blocks.0.attn.qkv.weight", {{3, 2}, {0, 3, 1, 4, 2, 5}}},
      {"image_encoder.layers.1.blocks.0.attn.qkv.bias", {{3}, {1, 2, 3}}},
      {"image_encoder.layers.1.blocks.0.attn.attention_biases",
       {{2, 4}, {0, 1, 2, 3, 16, 17, 18, 19}}},
      {"image_encoder.neck.0.weight", {{1, 1, 1, 1}, {9}}},
      {"image_encoder.neck.1.weight", {{2}, {1, 2}}},
      {"image_encoder.neck.1.bias", {{2}, {3, 4}}},
      {"prompt_encoder.not_a_point_embed.weight", {{1, 2}, {3, 4}}},
      {"prompt_encoder.no_mask_embed.weight", {{1, 2}, {5, 6}}},
      {"prompt_encoder.mask_downscaling.1.weight", {{2}, {7, 8}}},
      {"mask_decoder.iou_token.weight", {{1, 2}, {0, 1}}},
      {"mask_decoder.mask_tokens.weight", {{4, 2}, {2, 3, 4, 5, 6, 7, 8, 9}}},
      {"mask_decoder.transformer.norm_final_attn.weight", {{1}, {1}}}};
  EXPECT_EQ(file.names().size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(file.contains(name)) << name;
    EXPECT_EQ(file.info(name).shape, tensor.first) << name;
    EXPECT_EQ(file.f32(name), tensor.second) << name;
  }
  // What undoes the norm: sqrt(variance + epsilon) is one, exactly, in the arithmetic of the model.
  EXPECT_EQ(file.f32("image_encoder.patch_embed.seq.0.bn.running_var")[0] + 1e-5f, 1.0f);
}

TEST(SamNames, AWeightOfUnknownUseIsAnError) {
  TempDir folder;
  folder.write("sam.onnx", onnx::model(decoder_graph()));
  folder.write("encoder.onnx",
               onnx::model(encoder_graph() + onnx::floats("onnx::Gemm_99", {1}, {1})));
  expect_error(Kind::model, "'onnx::Gemm_99' is not used",
               [&] { sam_names(Checkpoint::open(folder.path().string())); });
}

}  // namespace
}  // namespace beckon::test
