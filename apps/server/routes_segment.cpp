// Embeddings, prompts, everything mode.
#include <fmt/format.h>

#include "app.h"
#include "beckon/mask_generator.h"
#include "fields.h"
#include "generator_fields.h"
#include "models/sam/seen.h"
#include "prompts.h"

namespace beckon::server {
namespace {

void embedding(App& app, const Photo& photo, const Responder& answer) {
  if (app.embeddings.find(photo.id)) return answer(json_response(200, R"({"ready":true})"));
  answer(accepted(*app.embed(photo)));
}

MaskForm form_of(const std::string& word) {
  return word == "logits"    ? MaskForm::logits
         : word == "rle"     ? MaskForm::rle
         : word == "polygon" ? MaskForm::polygon
                             : MaskForm::png;
}

std::string results_json(const std::vector<Masks>& answers, MaskForm form, size_t most,
                         const sam::Frame& frame) {
  Json results = Json::array();
  for (const Masks& masks : answers) {
    Json list = Json::array();
    for (size_t i = 0; i < std::min(masks.size(), most); ++i)
      list.push_back(mask_json(masks[i], form, frame));
    results.push_back({{"masks", std::move(list)}});
  }
  return dumped({{"results", std::move(results)}});
}

void segment(App& app, const Request& request, const Photo& photo, const Responder& answer) {
  const Json body = json_of(request);
  const Fields fields(body, "");
  fields.only({"prompts", "multimask", "format", "most", "view", "sequence"});
  const Json* prompts = fields.list("prompts", kMostPromptsOfRequest);
  if (prompts == nullptr || prompts->empty())
    out_of_range(fmt::format("prompts: expected 1 to {} prompts", kMostPromptsOfRequest));
  SegmentTask task{photo.id, Embedding(nullptr)};
  for (size_t i = 0; i < prompts->size(); ++i)
    task.queries.push_back(read_query((*prompts)[i], fmt::format("prompts[{}]", i), photo.size));
  if (const auto multimask = fields.boolean("multimask"))
    task.multimask = *multimask ? Multimask::readings : Multimask::single;
  const MaskForm form =
      form_of(fields.word("format", {"logits", "rle", "polygon", "png"}).value_or("rle"));
  const auto most = static_cast<size_t>(fields.integer("most", 1, 4).value_or(4));
  constexpr size_t kLongestView = 64;
  task.view = fields.text("view", kLongestView).value_or("");
  task.sequence = fields.integer("sequence", 0, int64_t{1} << 53).value_or(0);

  const auto known = app.embeddings.find(photo.id);
  if (!known)
    throw HttpError(409, "embedding-missing",
                    "embedding missing: POST to the image's /embedding first");
  task.embedding = *known;
  const auto seen = *known;
  task.answer = [answer, form, most, seen](const std::vector<Masks>& masks) {
    answer(json_response(200, results_json(masks, form, most, seen.seen().frame)));
  };
  task.failed = [answer](const std::exception_ptr& error) { answer(problem_of(error)); };
  task.replaced = [answer] {
    answer(problem(409, "replaced", "replaced by a newer request of the same view"));
  };
  if (!app.worker.post(std::move(task))) too_many("too many prompts wait");
}

MaskGeneratorOptions generator_options(const Json& body) {
  const Fields fields(body, "");
  fields.only({"points_per_side", "pred_iou_thresh", "stability_score_thresh",
               "stability_score_offset", "box_nms_thresh", "crop_n_layers", "crop_nms_thresh",
               "crop_n_points_downscale_factor", "min_mask_region_area"});
  MaskGeneratorOptions o;
  // Whoever hovers meanwhile waits for one batch at most. Results do not depend on it.
  o.points_per_batch = 16;
  read_generator(fields, o);
  check(o);
  return o;
}

std::string everything(App& app, Job& job, const Photo& photo,
                       const MaskGeneratorOptions& options) {
  const auto sam = app.model();
  const Embedding seen = app.embedding_of(photo);
  const Image image = app.photos.read(photo, app.options.max_pixels);
  const auto masks =
      MaskGenerator(*sam, options).generate(seen, image, [&](int64_t done, int64_t all) {
        job.progress(done, all);
        app.worker.interlude();
        return !job.cancelled() && !app.stopping;
      });
  Json list = Json::array();
  for (const GeneratedMask& mask : masks) {
    const PixelBox box = mask.segmentation.bounding_box();
    list.push_back({{"rle", rle_json(mask.segmentation)},
                    {"score", mask.predicted_iou},
                    {"stability", mask.stability_score},
                    {"box", {box.x, box.y, box.width, box.height}},
                    {"area", mask.area},
                    {"point", {mask.point.x, mask.point.y}}});
  }
  return dumped({{"masks", std::move(list)}});
}

}  // namespace

void add_segment_routes(App& app) {
  app.router.add({"POST", "/v1/images/{image}/embedding", BodyKind::json, kMostJson,
                  [&app](Request&& request, const auto& parts, const Responder& answer) {
                    const Json body = json_of(request);
                    Fields(body, "body").only({});
                    embedding(app, app.photo(parts[0]), answer);
                  }});
  app.router.add({"POST", "/v1/images/{image}/segment", BodyKind::json, kMostJson,
                  [&app](Request&& request, const auto& parts, const Responder& answer) {
                    segment(app, request, app.photo(parts[0]), answer);
                  }});
  app.router.add({"POST", "/v1/images/{image}/everything", BodyKind::json, kMostJson,
                  [&app](Request&& request, const auto& parts, const Responder& answer) {
                    const Photo photo = app.photo(parts[0]);
                    const Json body = json_of(request);
                    const MaskGeneratorOptions options = generator_options(body);
                    static_cast<void>(app.model());
                    answer(accepted(*app.compute("everything", [&app, photo, options](Job& job) {
                      return everything(app, job, photo, options);
                    })));
                  }});
}

}  // namespace beckon::server
