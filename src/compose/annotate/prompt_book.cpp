#include "compose/annotate/prompt_book.h"

#include <algorithm>

#include "base/fail.h"
#include "compose/annotate/result.h"
#include "prompt/bounded_json.h"
#include "prompt/limits.h"

namespace beckon::compose {
namespace {

using nlohmann::json;

constexpr size_t kLongestBook = size_t{1} << 30;
constexpr const char* kOthers = "*";

// Names and labels in messages: one short line.
std::string shown(std::string text) {
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32) c = '?';
  return text;
}

void only(const json& object, const std::string& place, std::initializer_list<const char*> keys) {
  if (!object.is_object())
    fail(Kind::input, "{}: expected an object, found {}", place, object.type_name());
  for (const auto& [key, value] : object.items()) {
    if (std::none_of(keys.begin(), keys.end(), [&](const char* known) { return key == known; }))
      fail(Kind::input, "{}: unknown key '{}'", place, shown(key));
  }
}

// SAM takes places, boxes and masks; what it refuses is refused before the first picture.
std::vector<Prompt> usable(std::vector<Prompt> prompts, const std::string& place) {
  for (const Prompt& prompt : prompts) {
    const std::string type = type_name(prompt);
    if (type != "point" && type != "box" && type != "scribble" && type != "mask")
      fail(Kind::unsupported, "{}: a prompt of the type '{}', which Segment Anything cannot use",
           place, type);
  }
  return prompts;
}

std::vector<Prompt> prompts_of(const json& list, const std::string& place) {
  const std::string text = json{{"beckon", 1}, {"prompts", list}}.dump();
  return usable(parse_prompts(text, place), place);
}

std::vector<NamedObject> sorted(const std::vector<Prompt>& prompts, const std::string& place) {
  std::vector<NamedObject> result;
  try {
    for (std::vector<Prompt>& object : objects(prompts)) result.push_back({"", std::move(object)});
  } catch (const Error& error) {
    fail(Kind::input, "{}: {}", place, error.what());
  }
  if (result.empty()) fail(Kind::input, "{}: no prompts", place);
  return result;
}

NamedObject object_of(const json& object, const std::string& place) {
  only(object, place, {"label", "prompts"});
  NamedObject result;
  if (const auto label = object.find("label"); label != object.end()) {
    if (!label->is_string() || label->get_ref<const std::string&>().size() > kLongestText)
      fail(Kind::input, "{}: 'label' must be a text of at most {} bytes", place, kLongestText);
    result.label = label->get<std::string>();
  }
  const auto prompts = object.find("prompts");
  if (prompts == object.end()) fail(Kind::input, "{}: 'prompts' is missing", place);
  std::vector<NamedObject> parts = sorted(prompts_of(*prompts, place), place);
  if (parts.size() != 1)
    fail(Kind::input, "{}: {} boxes, which would be as many objects", place, parts.size());
  result.prompts = std::move(parts.front().prompts);
  return result;
}

std::vector<NamedObject> page_of(const json& page, const std::string& place) {
  only(page, place, {"prompts", "objects"});
  if (page.size() != 1) fail(Kind::input, "{}: expected 'prompts' or 'objects'", place);
  const json& list = page.front();
  if (!list.is_array()) fail(Kind::input, "{}: expected a list", place);
  if (page.contains("prompts")) return sorted(prompts_of(list, place), place);
  if (list.empty() || list.size() > kMostPrompts)
    fail(Kind::input, "{}: {} objects, expected 1 to {}", place, list.size(), kMostPrompts);
  std::vector<NamedObject> result;
  for (size_t i = 0; i < list.size(); ++i)
    result.push_back(object_of(list[i], fmt::format("{}: object {}", place, i + 1)));
  return result;
}

}  // namespace

PromptBook PromptBook::parse(std::string_view text, const std::string& name) {
  PromptBook book;
  book.hash_ = hash_of(text);
  const json document = parse_bounded_json(text, name, kLongestBook);
  if (!document.is_object() || !document.contains("images")) {
    book.pages_[kOthers] = sorted(usable(parse_prompts(text, name), name), name);
    return book;
  }
  only(document, name, {"beckon", "images"});
  if (document.value("beckon", json()) != 1)
    fail(Kind::input, "{}: expected {{\"beckon\": 1, \"images\": {{...}}}}", name);
  const json& images = document["images"];
  if (!images.is_object()) fail(Kind::input, "{}: 'images' must be an object", name);
  if (images.empty()) fail(Kind::input, "{}: 'images' is empty", name);
  for (const auto& [picture, page] : images.items())
    book.pages_[picture] = page_of(page, fmt::format("{}: image '{}'", name, shown(picture)));
  return book;
}

const std::vector<NamedObject>* PromptBook::find(const std::string& picture) const {
  auto found = pages_.find(picture);
  if (found == pages_.end()) found = pages_.find(kOthers);
  return found == pages_.end() ? nullptr : &found->second;
}

std::vector<std::string> PromptBook::names() const {
  std::vector<std::string> result;
  for (const auto& [name, page] : pages_) {
    if (name != kOthers) result.push_back(name);
  }
  return result;
}

Recipe recipe_of(const std::vector<NamedObject>& objects) {
  Recipe list = Recipe::array();
  for (const NamedObject& object : objects) {
    Recipe item = {{"prompts", Recipe::parse(to_json(object.prompts))["prompts"]}};
    if (!object.label.empty()) item["label"] = object.label;
    list.push_back(std::move(item));
  }
  return list;
}

}  // namespace beckon::compose
