#include "models/backbone/model_card.h"

#include <cmath>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "base/fail.h"

namespace beckon::backbone {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Nothing if there is no such file.
std::optional<json> read_json(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  constexpr uintmax_t kLongest = 1 << 20;
  const uintmax_t size = fs::file_size(path, error);
  if (error || size > kLongest)
    fail(Kind::model, "{}: cannot be read, or has more than {} bytes", path.string(), kLongest);
  std::string text(static_cast<size_t>(size), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  // The parser goes as deep as the text does.
  int depth = 0, deepest = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  json value = deepest > 64 ? json() : json::parse(text, nullptr, false);
  if (!value.is_object()) fail(Kind::model, "{}: no JSON object", path.string());
  return value;
}

// A key of the object or of the part of it that describes the picture's tower.
const json* find(const json& config, const char* key) {
  if (const auto found = config.find(key); found != config.end() && !found->is_null())
    return &*found;
  if (const auto vision = config.find("vision_config");
      vision != config.end() && vision->is_object())
    if (const auto found = vision->find(key); found != vision->end() && !found->is_null())
      return &*found;
  return nullptr;
}

std::optional<std::array<float, 3>> three(const json& config, const char* key, const fs::path& path,
                                          bool positive) {
  const json* value = find(config, key);
  if (!value) return std::nullopt;
  std::array<float, 3> result = {};
  bool fine = value->is_array() && value->size() == 3;
  for (size_t i = 0; fine && i < 3; ++i) {
    fine = (*value)[i].is_number();
    if (fine) result[i] = (*value)[i].get<float>();
    fine = fine && std::abs(result[i]) <= 1000 && (!positive || result[i] > 0);
  }
  if (!fine)
    fail(Kind::model, "{}: '{}' is no list of three numbers that make sense", path.string(), key);
  return result;
}

}  // namespace

ModelCard read_model_card(const std::string& folder) {
  ModelCard card;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return card;
  const fs::path config_path = fs::path(folder) / "config.json";
  if (const auto config = read_json(config_path)) {
    // timm's: what its pictures were normalised by.
    if (const auto own = config->find("pretrained_cfg"); own != config->end() && own->is_object()) {
      card.mean = three(*own, "mean", config_path, false);
      card.deviation = three(*own, "std", config_path, true);
    }
    if (const json* heads = find(*config, "num_attention_heads");
        heads && heads->is_number_integer())
      card.heads = heads->get<int64_t>();
    if (const json* eps = find(*config, "layer_norm_eps"); eps && eps->is_number())
      card.norm_eps = eps->get<float>();
    if (card.norm_eps && !(*card.norm_eps >= 0 && *card.norm_eps < 1))
      fail(Kind::model, "{}: 'layer_norm_eps' is {}", config_path.string(), *card.norm_eps);
    if (const json* act = find(*config, "hidden_act"); act && act->is_string()) {
      const auto name = act->get<std::string>();
      if (name == "quick_gelu") {
        card.activation = Activation::quick_gelu;
      } else if (name == "gelu") {
        card.activation = Activation::gelu;
      } else {
        fail(Kind::unsupported, "{}: the activation '{}', expected gelu or quick_gelu",
             config_path.string(), name.substr(0, 40));
      }
    }
  }
  const fs::path seen_path = fs::path(folder) / "preprocessor_config.json";
  if (const auto seen = read_json(seen_path)) {
    if (const auto mean = three(*seen, "image_mean", seen_path, false)) card.mean = mean;
    if (const auto std = three(*seen, "image_std", seen_path, true)) card.deviation = std;
  }
  return card;
}

}  // namespace beckon::backbone
