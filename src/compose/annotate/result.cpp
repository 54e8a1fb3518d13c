#include "compose/annotate/result.h"

#include <charconv>
#include <cmath>
#include <span>

#include "base/sha256.h"
#include "compose/annotate/out_folder.h"

namespace beckon::compose {
namespace {

// A line of its own, which JSON texts cannot contain: found without reading the masks.
constexpr std::string_view kHead = ",\n\"beckon\":";
constexpr std::string_view kSeal = ",\n\"seal\":";

// SA-1B numbers its pictures. This number depends on the path alone, so that it is the same
// whatever other pictures there are; 52 bits, which every reader of JSON keeps exactly.
uint64_t image_number(const std::string& picture) {
  uint64_t number = 0;
  const std::string digits = hash_of(picture);
  std::from_chars(digits.data(), digits.data() + 13, number, 16);
  return number;
}

Json json_of(const Found& found, size_t number) {
  const PixelBox& box = found.box;
  Json points = Json::array();
  for (const Found::Place& point : found.points) points.push_back({point.x, point.y});
  Json object = {
      {"id", number},
      {"segmentation",
       {{"size", {found.segmentation.height(), found.segmentation.width()}},
        {"counts", found.segmentation.string()}}},
      {"bbox", {box.x, box.y, box.width, box.height}},
      {"area", found.segmentation.area()},
      {"predicted_iou", found.score},
      {"stability_score", std::isfinite(found.stability) ? Json(found.stability) : Json()},
      {"point_coords", std::move(points)},
      {"crop_box", {found.crop.x, found.crop.y, found.crop.width, found.crop.height}}};
  if (!found.label.empty()) object["label"] = found.label;
  return object;
}

}  // namespace

std::string hash_of(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

std::string result_text(const std::string& picture, ImageSize size, const std::vector<Found>& found,
                        const Proof& proof, const Recipe& recipe) {
  Json path;
  put_path(path, picture);
  const Json image = {{"image_id", image_number(picture)},
                      {"width", size.width},
                      {"height", size.height},
                      {"file_name", path.front()}};
  std::string text = "{\"image\":" + image.dump() + ",\n\"annotations\":[";
  for (size_t i = 0; i < found.size(); ++i)
    text += (i == 0 ? "\n" : ",\n") + json_of(found[i], i + 1).dump();
  text += "]";
  Json head = path;
  head["input_sha256"] = proof.input_sha256;
  head["recipe_sha256"] = proof.recipe_sha256;
  head["width"] = size.width;
  head["height"] = size.height;
  head["objects"] = found.size();
  text += kHead;
  // The recipe stands last: to a reader of masks it is the least interesting part.
  const std::string begin = head.dump();
  text += begin.substr(0, begin.size() - 1) + ",\"recipe\":" + recipe.dump() + "}";
  return sealed(std::move(text));
}

std::optional<ResultHead> read_head(std::string_view result) {
  if (!is_sealed(result)) return std::nullopt;
  const size_t begin = result.rfind(kHead);
  const size_t end = result.rfind(kSeal);
  if (begin == std::string_view::npos || begin > end) return std::nullopt;
  const std::string_view text = result.substr(begin + kHead.size(), end - begin - kHead.size());
  try {
    const nlohmann::json head = nlohmann::json::parse(text.begin(), text.end());
    return ResultHead{{head.at("input_sha256"), head.at("recipe_sha256")},
                      {head.at("width"), head.at("height")},
                      head.at("objects")};
  } catch (const nlohmann::json::exception&) {  // sealed by something else than this program
    return std::nullopt;
  }
}

}  // namespace beckon::compose
