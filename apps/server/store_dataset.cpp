#include "store_dataset.h"

#include <algorithm>
#include <map>

#include "annotation_state.h"
#include "beckon/draw.h"
#include "beckon/error.h"
#include "prompts.h"

namespace beckon::server {
namespace {

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string color_of(int category) {
  const Color color = mask_color(std::max(0, category));
  return fmt::format("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue);
}

}  // namespace

Dataset dataset_of(const AnnotationStore& store,
                   const std::optional<std::vector<std::string>>& photos) {
  Dataset data;
  int64_t number = 0;
  for (const AnnotatedPhoto& photo : store.photos()) {
    if (photos && std::find(photos->begin(), photos->end(), photo.id) == photos->end()) continue;
    const std::vector<StoredAnnotation> objects = store.list(photo.id);
    AnnotatedImage image{photo.name, photo.size.width, photo.size.height, ++number};
    data.images.push_back(std::move(image));
    for (const StoredAnnotation& object : objects) {
      const Json state = Json::parse(object.state);
      const auto label = state.at("label").get<std::string>();
      Annotation one;
      one.image = data.images.size() - 1;
      one.category = data.category(label.empty() ? "object" : label);
      one.shape = read_rle(state.at("rle"), "rle", photo.size);
      one.id = object.id;
      Json extra{{"origin", state.at("origin")}, {"version", object.version}};
      if (!state.at("model").get_ref<const std::string&>().empty())
        extra["model"] = state.at("model");
      if (state.contains("prompts")) extra["prompts"] = state.at("prompts");
      if (!state.at("scores").empty()) extra["scores"] = state.at("scores");
      one.extra = dumped(extra);
      data.annotations.push_back(std::move(one));
    }
  }
  return data;
}

ImportReport import_dataset(AnnotationStore& store, const Photos& photos, const Dataset& data,
                            const std::string& who) {
  // By path, else by name where that is clear.
  std::map<std::string, std::vector<Photo>> by_name;
  bool more = false;
  for (const Photo& photo : photos.list("", Photos::kMost, more))
    by_name[last_part(photo.name)].push_back(photo);
  const auto photo_of = [&](const std::string& file) -> std::optional<Photo> {
    if (auto found = photos.find_name(file)) return found;
    const auto named = by_name.find(last_part(file));
    if (named == by_name.end() || named->second.size() != 1) return std::nullopt;
    return named->second.front();
  };
  std::vector<std::optional<Photo>> matches;
  for (const AnnotatedImage& image : data.images) matches.push_back(photo_of(image.file));

  ImportReport report;
  store.together([&] {
    for (const Annotation& one : data.annotations) {
      const std::optional<Photo>& photo = matches[one.image];
      if (!photo) {
        ++report.without_photo;
        continue;
      }
      std::optional<Rle> mask;
      try {
        mask = mask_of(one, photo->size);
      } catch (const Error&) {  // of another size
      }
      if (!mask || mask->area() == 0) {
        ++report.without_mask;
        continue;
      }
      Json body{{"rle", rle_json(*mask)}, {"origin", "import"}, {"color", color_of(one.category)}};
      if (one.category >= 0)
        body["label"] = data.categories[static_cast<size_t>(one.category)].name.substr(0, 200);
      Json scores = Json::object();
      if (one.score) scores["score"] = *one.score;
      if (one.predicted_iou) scores["predicted_iou"] = *one.predicted_iou;
      if (one.stability) scores["stability"] = *one.stability;
      body["scores"] = std::move(scores);
      store.create({photo->id, photo->name, photo->size}, dumped(read_state(body, photo->size)),
                   who);
      ++report.objects;
    }
  });
  return report;
}

}  // namespace beckon::server
