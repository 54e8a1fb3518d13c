#include "annotation_state.h"

#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "beckon/rle.h"
#include "encoding.h"
#include "prompts.h"

namespace beckon::server {
namespace {

constexpr size_t kLongestLabel = 200, kLongestName = 100;
constexpr size_t kMostPromptBytes = 64 << 10;
constexpr size_t kMostScores = 16;

const char* const kMembers[] = {"label",  "color",   "hidden", "rle",
                                "origin", "prompts", "model",  "scores"};

std::string clean_text(const Fields& fields, const char* name, size_t longest) {
  const std::string text = fields.text(name, longest).value_or("");
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 32)
      out_of_range(fields.place(name) + ": control characters are not taken");
  return text;
}

bool is_color(const std::string& text) {
  return text.size() == 7 && text[0] == '#' &&
         text.find_first_not_of("0123456789abcdefABCDEF", 1) == std::string::npos;
}

}  // namespace

Json read_state(const Json& body, ImageSize size) {
  const Fields fields(body, "");
  // What answers carry besides may come back in a PUT; it is worked out anew.
  fields.only({"label", "color", "hidden", "rle", "origin", "prompts", "model", "scores", "who",
               "seconds", "id", "image", "version", "box", "area", "created", "modified",
               "engine"});
  Json state;
  state["label"] = clean_text(fields, "label", kLongestLabel);
  const std::string color = fields.text("color", 7).value_or("#56b4e9");
  if (!is_color(color)) out_of_range("color: expected #rrggbb");
  state["color"] = color;
  state["hidden"] = fields.boolean("hidden").value_or(false);
  const Json* rle = fields.find("rle");
  if (rle == nullptr) out_of_range("rle: expected the object's mask");
  const Rle runs = read_rle(*rle, "rle", size).canonical();
  if (runs.area() == 0) out_of_range("rle: the mask is empty");
  state["rle"] = rle_json(runs);
  const PixelBox box = runs.bounding_box();
  state["box"] = {box.x, box.y, box.width, box.height};
  state["area"] = runs.area();
  state["origin"] = fields.word("origin", {"human", "model", "import"}).value_or("human");
  if (const Json* prompts = fields.find("prompts")) {
    if (!prompts->is_array() && !prompts->is_object())
      out_of_range("prompts: expected a list or an object");
    if (dumped(*prompts).size() > kMostPromptBytes)
      out_of_range(fmt::format("prompts: at most {} bytes are kept", kMostPromptBytes));
    state["prompts"] = *prompts;
  }
  state["model"] = clean_text(fields, "model", kLongestName);
  Json scores = Json::object();
  if (const Json* given = fields.find("scores")) {
    if (!given->is_object() || given->size() > kMostScores)
      out_of_range(fmt::format("scores: expected an object of at most {} numbers", kMostScores));
    const Fields numbers(*given, "scores");
    constexpr double kMost = 1e9;
    for (auto it = given->begin(); it != given->end(); ++it) {
      if (it.key().size() > kLongestName) out_of_range("scores: a name is too long");
      scores[it.key()] = numbers.number(it.key().c_str(), -kMost, kMost).value_or(0);
    }
  }
  state["scores"] = std::move(scores);
  return state;
}

Json patched_state(const Json& state, const Json& patch, ImageSize size) {
  const Fields fields(patch, "");
  fields.only({"label", "color", "hidden", "rle", "origin", "prompts", "model", "scores", "who",
               "seconds"});
  Json whole = state;
  for (const char* name : kMembers) {
    const auto found = patch.find(name);
    if (found == patch.end()) continue;
    if (found->is_null())
      whole.erase(name);
    else if (found->is_object() && std::string(name) == "scores")
      whole[name].merge_patch(*found);
    else
      whole[name] = *found;
  }
  return read_state(whole, size);
}

std::string who_of(const Json& body, const Json& state) {
  const std::string who = clean_text(Fields(body, ""), "who", kLongestName);
  return who.empty() ? state.at("origin").get<std::string>() : who;
}

std::optional<double> seconds_of(const Json& body) {
  constexpr double kMost = 86'400;
  return Fields(body, "").number("seconds", 0, kMost);
}

std::string utc_text(int64_t ms) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(static_cast<std::time_t>(ms / 1000)), ms % 1000);
}

Json annotation_json(const StoredAnnotation& annotation) {
  Json json = Json::parse(annotation.state);
  json["id"] = annotation.id;
  json["image"] = annotation.photo;
  json["version"] = annotation.version;
  json["created"] = utc_text(annotation.created_ms);
  json["modified"] = utc_text(annotation.modified_ms);
  return json;
}

std::string etag_of(const StoredAnnotation& annotation) {
  return fmt::format("\"{}.{}\"", annotation.id, annotation.version);
}

}  // namespace beckon::server
