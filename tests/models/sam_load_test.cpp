// Small models in the formats and under the names of the published files.
#include <map>

#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "beckon/sam.h"
#include "models/small_sam.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/file_makers.h"
#include "weights/hugging_face_name.h"

namespace beckon::test {
namespace {

std::span<const std::byte> bytes_of(const Tensor& x) { return std::as_bytes(x.values()); }

// A .pth file as torch.save writes it, every tensor in a storage of its own.
std::string torch_file(const std::vector<nn::Parameter>& parameters, bool counters) {
  std::vector<std::pair<std::string, std::string>> items;
  Storages storages;
  for (const nn::Parameter& p : parameters) {
    pickled::Tensor t;
    t.key = std::to_string(storages.size());
    t.elements = p.tensor.size();
    t.shape.assign(p.tensor.shape().begin(), p.tensor.shape().end());
    const Shape strides = p.tensor.strides();
    t.strides.assign(strides.begin(), strides.end());
    const auto bytes = bytes_of(p.tensor);
    storages.emplace_back(t.key,
                          std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    items.emplace_back(p.name, pickled::tensor(t));
    // Batch norms also count their batches, which nothing reads.
    if (counters && p.name.ends_with("running_var")) {
      pickled::Tensor count{"LongStorage", std::to_string(storages.size()), 1, 0, {}, {}};
      storages.emplace_back(count.key, little<int64_t>(7));
      std::string name = p.name;
      name.replace(name.size() - 11, 11, "num_batches_tracked");
      items.emplace_back(name, pickled::tensor(count));
    }
  }
  return torch_zip(pickled::ordered_dict(items), storages);
}

void write_official(const std::string& path, const std::vector<nn::Parameter>& parameters,
                    const std::function<std::string(const std::string&)>& rename) {
  std::vector<TensorBytes> tensors;
  for (const nn::Parameter& p : parameters)
    tensors.push_back({rename(p.name), DType::f32, p.tensor.shape(), bytes_of(p.tensor)});
  write_safetensors(path, tensors);
}

void expect_same_answer(const Sam& a, const Sam& b) {
  const Embedding x = a.encode(small_picture()), y = b.encode(small_picture());
  EXPECT_EQ(x.values(), y.values());
  const auto p = x.segment(Point{30, 30}).best(), q = y.segment(Point{30, 30}).best();
  EXPECT_EQ(p.score(), q.score());
  EXPECT_EQ(p.mask(), q.mask());
}

TEST(SamLoad, ReadsVitFilesOfAllKinds) {
  const auto model = small_model();
  const Sam reference(model);
  const TempDir dir;
  const std::string pth = dir.write("sam_vit_b.pth", torch_file(model->parameters(), false));
  write_official(dir / "official.safetensors", model->parameters(), [](auto& n) { return n; });
  write_official(dir / "hugging_face.safetensors", model->parameters(),
                 [](auto& n) { return hugging_face_name(n); });
  for (const std::string& path :
       {pth, dir / "official.safetensors", dir / "hugging_face.safetensors"}) {
    SCOPED_TRACE(path);
    const Sam sam = Sam::load(path);
    EXPECT_EQ(sam.variant(), "custom");
    EXPECT_EQ(sam.image_size(), 96);
    EXPECT_EQ(sam.origin(), path);
    EXPECT_EQ(sam.parameter_count(), reference.parameter_count());
    expect_same_answer(sam, reference);
    EXPECT_EQ(sam.model_hash(), reference.model_hash());
    const auto& found = std::get<sam::VitConfig>(sam.model().config.encoder);
    EXPECT_EQ(found.window, 4);
    EXPECT_EQ(found.heads, 4);
    EXPECT_EQ(found.global_blocks, std::vector<int64_t>{1});
  }
}

// Shapes do not tell TinyViT's image size, so this one takes 1024 as the official file does.
TEST(SamLoad, ReadsTinyVitFiles) {
  sam::SamConfig config = small_config(true);
  auto& encoder = std::get<sam::TinyVitConfig>(config.encoder);
  encoder.image = 1024;
  config.prompt.grid_h = config.prompt.grid_w = encoder.grid();
  config.prompt.image_h = config.prompt.image_w = 1024;
  const nn::Params p = nn::Params::random(5);
  {
    const sam::SamModel draft(p, config);
    enliven(draft.parameters());
  }
  const Sam reference(std::make_shared<const sam::SamModel>(p, config));
  const TempDir dir;
  const std::string path =
      dir.write("mobile_sam.pt", torch_file(reference.model().parameters(), true));
  const Sam sam = Sam::load(path);
  EXPECT_EQ(sam.image_size(), 1024);
  const auto& found = std::get<sam::TinyVitConfig>(sam.model().config.encoder);
  EXPECT_EQ(found.dims, encoder.dims);
  EXPECT_EQ(found.depths, encoder.depths);
  EXPECT_EQ(found.windows, encoder.windows);
  expect_same_answer(sam, reference);
}

TEST(SamLoad, OfficialSizesAreTheSheets) {
  const auto check = [](const char* variant, int64_t parameters) {
    const sam::SamConfig c = sam::official_config(variant);
    EXPECT_EQ(c.image(), 1024) << variant;
    int64_t count = 0;
    const nn::Params p = nn::Params::zeros();
    const sam::SamModel model(p, c);
    for (const auto& parameter : model.parameters())
      if (parameter.trainable && parameter.name.starts_with("image_encoder."))
        count += parameter.tensor.size();
    EXPECT_EQ(count, parameters) << variant;
  };
  check("vit_t", 6'065'532 - 321'640);
  check("vit_b", 89'670'912);
  expect_error(Kind::usage, "there is no SAM variant 'vit_x'",
               [] { sam::official_config("vit_x"); });
}

TEST(SamLoad, OneClearErrorForAnotherModel) {
  const TempDir dir;
  const auto model = small_model();
  const auto refuse = [&](const std::string& part, auto&& change) {
    std::vector<nn::Parameter> parameters = model->parameters();
    change(parameters);
    write_official(dir / "x.safetensors", parameters, [](auto& n) { return n; });
    expect_error(Kind::model, part, [&] { Sam::load(dir / "x.safetensors"); });
  };
  using List = std::vector<nn::Parameter>;
  refuse("x.safetensors: ", [](List& l) { l = {{"fc.weight", Tensor::zeros({3, 4}), true}}; });
  refuse("'image_encoder.blocks.1.norm2.bias'", [](List& l) {
    std::erase_if(l, [](auto& p) { return p.name == "image_encoder.blocks.1.norm2.bias"; });
  });
  refuse("has shape [5], expected [32]", [](List& l) {
    for (auto& p : l)
      if (p.name == "image_encoder.neck.1.weight") p.tensor = Tensor::zeros({5});
  });
  refuse("mask_tokens", [](List& l) {
    for (auto& p : l)
      if (p.name == "mask_decoder.mask_tokens.weight") p.tensor = Tensor::zeros({4});
  });
  // A mask prompt has four places along a patch, which 6 pixels do not give.
  refuse("a patch size of 6, expected a multiple of 4", [](List& l) {
    for (auto& p : l)
      if (p.name == "image_encoder.patch_embed.proj.weight")
        p.tensor = Tensor::zeros({32, 3, 6, 6});
  });
  expect_error(Kind::missing, "nowhere.pth", [&] { Sam::load(dir / "nowhere.pth"); });
  const std::string text = dir.write("notes.txt", std::string("dear diary"));
  expect_error(Kind::model, "notes.txt", [&] { Sam::load(text); });
}

}  // namespace
}  // namespace beckon::test
