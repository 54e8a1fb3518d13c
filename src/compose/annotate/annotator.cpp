#include "compose/annotate/annotator.h"

#include <mutex>
#include <optional>

#include "base/fail.h"
#include "base/files.h"
#include "beckon/store.h"
#include "beckon/version.h"

namespace beckon::compose {
namespace {

// A model that is loaded when it is first needed.
class LazySam {
 public:
  explicit LazySam(std::string name) : name_(std::move(name)), sha256_(Store().sha256(name_)) {}

  const std::string& sha256() const { return sha256_; }
  const Sam& get() const {
    std::call_once(once_, [&] { sam_.emplace(Sam::load(name_)); });
    return *sam_;
  }

 private:
  std::string name_, sha256_;
  mutable std::once_flag once_;
  mutable std::optional<Sam> sam_;
};

Recipe shared_recipe(const std::string& model_sha256, Recipe options) {
  return {{"version", version()},
          {"model", {{"sha256", model_sha256}}},
          {"command", "annotate"},
          {"options", std::move(options)}};
}

PixelBox whole(const Image& image) { return {0, 0, image.width(), image.height()}; }

// The best mask of each object that the prompts are about.
class ByPrompts : public Annotator {
 public:
  ByPrompts(std::string model, PromptBook book) : sam_(std::move(model)), book_(std::move(book)) {}

  Recipe recipe() const override { return shared_recipe(sam_.sha256(), {{"by", "prompts"}}); }
  Recipe recipe_of(const std::string& picture) const override {
    return compose::recipe_of(*book_.find(picture));
  }
  bool wants(const std::string& picture) const override { return book_.find(picture) != nullptr; }
  std::vector<std::string> expected() const override { return book_.names(); }
  std::string prompts_hash() const override { return book_.hash(); }

  void load() const override { sam_.get(); }
  std::vector<Found> annotate(const Image& image, const std::string& picture) const override {
    const std::vector<NamedObject>& objects = *book_.find(picture);
    std::vector<ObjectQuery> queries;
    for (const NamedObject& object : objects) queries.push_back({object.prompts, {}});
    const std::vector<Masks> answers = sam_.get().encode(image).segment(queries);
    std::vector<Found> found;
    for (size_t i = 0; i < objects.size(); ++i) {
      const PredictedMask& mask = answers[i].best();
      Found one{mask.rle(), mask.bounding_box(), mask.score(),    mask.stability(),
                {},         whole(image),        objects[i].label};
      for (const Prompt& prompt : objects[i].prompts) {
        const auto* point = std::get_if<Point>(&prompt);
        if (point != nullptr && point->label == Label::object)
          one.points.push_back({point->x, point->y});
      }
      found.push_back(std::move(one));
    }
    return found;
  }

 private:
  LazySam sam_;
  PromptBook book_;
};

// All that is to be seen, without prompts.
class Everything : public Annotator {
 public:
  Everything(std::string model, const MaskGeneratorOptions& options)
      : sam_(std::move(model)), options_(options) {
    check(options);
  }

  // points_per_batch is no part of it: results do not depend on it.
  Recipe recipe() const override {
    Recipe grids = Recipe::array();
    for (const std::vector<Vertex>& grid : options_.point_grids) {
      Recipe points = Recipe::array();
      for (const Vertex& point : grid) points.push_back({point.x, point.y});
      grids.push_back(std::move(points));
    }
    Recipe options = {{"by", "everything"},
                      {"points_per_side", options_.points_per_side},
                      {"pred_iou_thresh", options_.pred_iou_thresh},
                      {"stability_score_thresh", options_.stability_score_thresh},
                      {"stability_score_offset", options_.stability_score_offset},
                      {"box_nms_thresh", options_.box_nms_thresh},
                      {"crop_n_layers", options_.crop_n_layers},
                      {"crop_nms_thresh", options_.crop_nms_thresh},
                      {"crop_overlap_ratio", options_.crop_overlap_ratio},
                      {"crop_n_points_downscale_factor", options_.crop_n_points_downscale_factor},
                      {"min_mask_region_area", options_.min_mask_region_area}};
    if (!grids.empty()) options["point_grids"] = std::move(grids);
    return shared_recipe(sam_.sha256(), std::move(options));
  }
  Recipe recipe_of(const std::string&) const override { return Recipe(); }
  bool wants(const std::string&) const override { return true; }

  void load() const override { sam_.get(); }
  std::vector<Found> annotate(const Image& image, const std::string&) const override {
    std::vector<Found> found;
    for (GeneratedMask& mask : MaskGenerator(sam_.get(), options_).generate(image)) {
      const Vertex point = mask.point;
      found.push_back({std::move(mask.segmentation),
                       mask.bbox,
                       mask.predicted_iou,
                       mask.stability_score,
                       {{point.x, point.y}},
                       mask.crop_box,
                       ""});
    }
    return found;
  }

 private:
  LazySam sam_;
  MaskGeneratorOptions options_;
};

PromptBook read_book(const std::string& path) {
  const std::vector<uint8_t> bytes = read_file(path);
  return PromptBook::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace

std::unique_ptr<Annotator> make_annotator(const AnnotateOptions& options) {
  if (options.prompts_file.empty())
    return std::make_unique<Everything>(options.model, options.everything);
  return std::make_unique<ByPrompts>(options.model, read_book(options.prompts_file));
}

}  // namespace beckon::compose
