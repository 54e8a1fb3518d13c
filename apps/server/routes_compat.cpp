// Routes under which clients of other programs find what they expect:
//   rembg s                      POST /api/remove: a form with a picture, a cut-out comes back
//   Label Studio's ML backends   GET /health, POST /setup, POST /predict
//   CVAT's function for SAM      POST /: {"image": base64} -> {"blob": base64 of float32
//   [1,256,64,64]}
// None of them fetches an address: pictures come in the request or are photos of the folder.
#include <array>
#include <charconv>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "annotation/label_studio.h"
#include "app.h"
#include "base/sha256.h"
#include "beckon/draw.h"
#include "beckon/error.h"
#include "beckon/mask.h"
#include "beckon/version.h"
#include "encoding.h"
#include "fields.h"
#include "models/sam/seen.h"
#include "multipart.h"
#include "prompt/bounded_json.h"
#include "salient.h"

namespace beckon::server {
namespace {

constexpr uint64_t kMostForm = uint64_t{64} << 20;

Image picture_of(const App& app, std::span<const uint8_t> bytes, const char* name) {
  ReadOptions options;
  options.max_pixels = app.options.max_pixels;
  return Image::decode(bytes, name, options);
}

Embedding embedding_of(App& app, const Image& image) {
  const auto sam = app.model();
  return app.cache ? app.cache->encode(*sam, image).embedding : sam->encode(image);
}

// Runs on the worker, answers with what `work` returns or throws.
void on_worker(App& app, const Responder& answer, std::function<Response()> work) {
  static_cast<void>(app.model());
  const bool taken = app.worker.post([answer, work = std::move(work)] {
    try {
      answer(work());
    } catch (...) {
      answer(problem_of(std::current_exception()));
    }
  });
  if (!taken) too_many("too many requests wait");
}

// ---- rembg

struct RemoveOptions {
  bool only_mask = false, clean = false;
  std::optional<std::array<uint8_t, 4>> background;
  std::vector<Prompt> prompts;  // empty: whatever the photo is of
};

bool truth(const std::string& text, const char* name) {
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower == "true" || lower == "1" || lower == "on" || lower == "yes") return true;
  if (lower == "false" || lower == "0" || lower == "off" || lower == "no" || lower.empty())
    return false;
  out_of_range(std::string(name) + ": expected true or false");
}

std::array<uint8_t, 4> color_of(const std::string& text) {
  std::array<uint8_t, 4> color{};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (size_t i = 0; i < 4; ++i) {
    const auto [next, error] = std::from_chars(at, end, color[i]);
    const bool last = i == 3;
    if (error != std::errc() || (last ? next != end : next == end || *next != ','))
      out_of_range("bgc: expected red,green,blue,alpha, each 0 to 255");
    at = next + 1;
  }
  return color;
}

RemoveOptions read_remove(const std::function<std::optional<std::string>(const char*)>& value) {
  RemoveOptions options;
  const auto flag = [&](const char* name) { return truth(value(name).value_or(""), name); };
  if (flag("a")) out_of_range("a: alpha matting is not there, edges are those of the mask");
  options.only_mask = flag("om");
  options.clean = flag("ppm");
  if (const auto color = value("bgc"); color && !color->empty())
    options.background = color_of(*color);
  if (const auto extras = value("extras"); extras && !extras->empty()) {
    const Json json = parse_bounded_json(*extras, "extras", kMostJson);
    if (json.is_object() && json.contains("sam_prompt"))
      options.prompts = parse_prompts(json.at("sam_prompt").dump(), "sam_prompt");
  }
  return options;
}

Response cut_out(App& app, const Image& image, const RemoveOptions& options) {
  const Embedding seen = embedding_of(app, image);
  std::optional<PredictedMask> found;
  if (options.prompts.empty())
    found = salient_mask(seen);
  else
    found = seen.segment(std::span<const Prompt>(options.prompts)).best();
  Mask mask = found ? Mask::from_rle(found->rle()) : Mask(image.size());
  if (options.clean) {
    // Specks of less than a thousandth of the photo.
    const int64_t least = int64_t{image.width()} * image.height() / 1000;
    mask = remove_small_islands(fill_small_holes(mask, least).first, least).first;
  }
  Image result = options.only_mask ? mask.image() : cutout(image, mask);
  if (options.background && !options.only_mask) {
    const auto& color = *options.background;
    Image filled(image.width(), image.height(), 4);
    for (int y = 0; y < image.height(); ++y) {
      const uint8_t* from = result.row(y);
      uint8_t* to = filled.mutable_row(y);
      for (int x = 0; x < image.width(); ++x)
        for (int c = 0; c < 4; ++c)
          to[4 * x + c] = mask.at(x, y) ? from[4 * x + c] : color[static_cast<size_t>(c)];
    }
    result = filled;
  }
  const std::vector<uint8_t> png = result.encode_png();
  Response response;
  response.headers = {{"Content-Type", "image/png"},
                      {"Cache-Control", "no-store"},
                      {"X-Content-Type-Options", "nosniff"}};
  response.body.assign(png.begin(), png.end());
  return response;
}

void remove_background(App& app, const Request& request, const Responder& answer) {
  const std::vector<FormPart> parts = form_parts(request.header("Content-Type"), request.body);
  std::string_view file;
  for (const FormPart& part : parts)
    if (part.name == "file") file = part.bytes;
  if (file.empty()) out_of_range("file: expected a part with a picture");
  const RemoveOptions options = read_remove([&](const char* name) -> std::optional<std::string> {
    if (const std::string* given = request.parameter(name)) return *given;
    for (const FormPart& part : parts)
      if (part.name == name) return std::string(part.bytes);
    return std::nullopt;
  });
  on_worker(app, answer, [&app, options, bytes = std::vector<uint8_t>(file.begin(), file.end())] {
    return cut_out(app, picture_of(app, bytes, "file"), options);
  });
}

// ---- Label Studio

struct Tags {
  std::string from, to = "image", value = "image";
};

// The first <BrushLabels> of a labelling configuration and the picture it is about.
Tags tags_of(const std::string& config) {
  Tags tags;
  pugi::xml_document document;
  if (!document.load_buffer(config.data(), config.size()))
    out_of_range("label_config: this is no XML");
  const auto named = [&](const char* name) {
    return document.find_node(
        [&](const pugi::xml_node& node) { return std::string_view(node.name()) == name; });
  };
  const pugi::xml_node brush = named("BrushLabels"), picture = named("Image");
  tags.from = brush.attribute("name").as_string("tag");
  tags.to = brush.attribute("toName").as_string(picture.attribute("name").as_string("image"));
  const std::string value = picture.attribute("value").as_string("$image");
  tags.value = value.starts_with('$') ? value.substr(1) : value;
  return tags;
}

// A task's picture: in the task itself, or a photo of the folder by its path or its name.
Image task_picture(const App& app, const std::string& address) {
  constexpr std::string_view kData = "data:image/", kMark = ";base64,";
  if (address.starts_with(kData)) {
    const size_t mark = address.find(kMark);
    const auto bytes = mark == std::string::npos
                           ? std::nullopt
                           : base64_decoded(std::string_view(address).substr(mark + kMark.size()));
    if (!bytes) out_of_range("the task's picture is no base64");
    return picture_of(app, *bytes, "the task's picture");
  }
  std::string path = address;
  const size_t query = path.find('?');
  if (query != std::string::npos) {
    const size_t local = path.find("d=", query);
    path = local == std::string::npos ? path.substr(0, query) : path.substr(local + 2);
  }
  std::string plain;
  if (!percent_decoded(path, false, plain)) out_of_range("the task's address is malformed");
  // The longest end of the path that is a photo's; Label Studio writes "<digits>-" before the names
  // of uploads.
  std::optional<Photo> photo;
  for (size_t at = 0; !photo && at != std::string::npos && at < plain.size();) {
    photo = app.photos.find_name(plain.substr(at));
    const size_t slash = plain.find('/', at);
    at = slash == std::string::npos ? slash : slash + 1;
  }
  const std::string name = plain.substr(plain.rfind('/') + 1);
  if (const size_t dash = name.find('-'); !photo && dash != std::string::npos)
    photo = app.photos.find_name(name.substr(dash + 1));
  if (!photo)
    throw HttpError(404, "no-image",
                    fmt::format("'{:.200}' is no photo of the served folder (addresses are not "
                                "fetched)",
                                address));
  return app.photos.read(*photo, app.options.max_pixels);
}

struct Asked {
  std::vector<Prompt> prompts;
  std::string label;
};

// What a person drew: places in percent of the picture.
Asked asked_in(const Json& context, ImageSize size) {
  Asked asked;
  constexpr size_t kMostRegions = 128;
  const Json* regions = Fields(context, "params.context").list("result", kMostRegions);
  if (regions == nullptr) return asked;
  for (size_t i = 0; i < regions->size(); ++i) {
    const std::string place = fmt::format("params.context.result[{}]", i);
    const Fields region((*regions)[i], place);
    const Json* value = region.find("value");
    if (value == nullptr) continue;
    const Fields numbers(*value, place + ".value");
    const std::string type = region.text("type", 40).value_or("");
    constexpr double kMost = 1000;
    const double x = numbers.number("x", -kMost, kMost).value_or(0) * size.width / 100;
    const double y = numbers.number("y", -kMost, kMost).value_or(0) * size.height / 100;
    if (type == "keypointlabels") {
      const Json* positive = region.find("is_positive");
      const bool object = positive == nullptr || *positive == true || *positive == 1;
      asked.prompts.emplace_back(Point{x, y, object ? Label::object : Label::background});
    } else if (type == "rectanglelabels") {
      const double width = numbers.number("width", 0, kMost).value_or(0) * size.width / 100;
      const double height = numbers.number("height", 0, kMost).value_or(0) * size.height / 100;
      std::erase_if(asked.prompts, [](const Prompt& p) { return std::holds_alternative<Box>(p); });
      asked.prompts.emplace_back(Box{x, y, x + width, y + height});
    }
    const Json* labels = numbers.find(type.c_str());
    if (labels != nullptr && labels->is_array() && !labels->empty() && (*labels)[0].is_string())
      asked.label = (*labels)[0].get<std::string>();
  }
  return asked;
}

std::string model_version(const App& app) {
  return fmt::format("beckon-{}-{:.12}", version(), app.model()->model_hash());
}

Response predict(App& app, const Json& body) {
  const Fields fields(body, "");
  constexpr size_t kMostTasks = 100, kLongestConfig = size_t{1} << 20;
  const Json* tasks = fields.list("tasks", kMostTasks);
  const Tags tags = tags_of(fields.text("label_config", kLongestConfig).value_or("<View/>"));
  const Json* params = fields.find("params");
  const Json* context = params == nullptr ? nullptr : Fields(*params, "params").find("context");
  Json results = Json::array();
  for (size_t i = 0; tasks != nullptr && context != nullptr && i < tasks->size(); ++i) {
    const std::string place = fmt::format("tasks[{}]", i);
    const Json* data = Fields((*tasks)[i], place).find("data");
    if (data == nullptr) out_of_range(place + ".data: expected the task's data");
    const auto address = Fields(*data, place + ".data").text(tags.value.c_str(), kMostForm);
    if (!address) out_of_range(place + ".data." + tags.value + ": expected the picture");
    const Image image = task_picture(app, *address);
    const Asked asked = asked_in(*context, image.size());
    if (asked.prompts.empty()) continue;
    const Embedding seen = embedding_of(app, image);
    const Masks masks = seen.segment(std::span<const Prompt>(asked.prompts));
    const PredictedMask& best = masks.best();
    const Json value{{"format", "rle"},
                     {"rle", annotation::brush_bytes(Mask::from_rle(best.rle()))},
                     {"brushlabels", {asked.label}}};
    const Json region{{"id", random_id().substr(0, 8)},
                      {"from_name", tags.from},
                      {"to_name", tags.to},
                      {"original_width", image.width()},
                      {"original_height", image.height()},
                      {"image_rotation", 0},
                      {"type", "brushlabels"},
                      {"origin", "manual"},
                      {"readonly", false},
                      {"score", best.score()},
                      {"value", value}};
    results.push_back(
        {{"result", {region}}, {"score", best.score()}, {"model_version", model_version(app)}});
  }
  return json_response(
      200, dumped({{"results", std::move(results)}, {"model_version", model_version(app)}}));
}

// ---- CVAT

Response cvat(App& app, const Json& body) {
  const auto text = Fields(body, "").text("image", kMostForm);
  const auto bytes = text ? base64_decoded(*text) : std::nullopt;
  if (!bytes) out_of_range("image: expected a picture in base64");
  const std::vector<float> values = embedding_of(app, picture_of(app, *bytes, "image")).values();
  const auto raw =
      std::span(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float));
  return json_response(200, "{\"blob\":\"" + base64(raw) + "\"}");
}

// The body of routes that take whole pictures within JSON.
Json large_json(const Request& request) {
  constexpr int kDeepest = 32;
  try {
    return parse_bounded_json(request.body, "body", kMostForm, kDeepest);
  } catch (const Error& error) {
    throw HttpError(400, "json", error.what());
  }
}

}  // namespace

void add_compat_routes(App& app) {
  app.router.add({"POST", "/api/remove", BodyKind::form, kMostForm,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    remove_background(app, request, answer);
                  }});
  app.router.add({"GET", "/health", BodyKind::none, 0,
                  [&app](Request&&, const auto&, const Responder& answer) {
                    static_cast<void>(app.model());
                    answer(json_response(
                        200, dumped({{"status", "UP"}, {"model_class", "Beckon"}, {"v2", true}})));
                  }});
  app.router.add({"POST", "/setup", BodyKind::json, kMostJson,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    static_cast<void>(Fields(json_of(request), "body"));
                    answer(json_response(200, dumped({{"model_version", model_version(app)}})));
                  }});
  app.router.add({"POST", "/predict", BodyKind::json, kMostForm,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    on_worker(app, answer, [&app, request = std::move(request)] {
                      return predict(app, large_json(request));
                    });
                  }});
  app.router.add({"POST", "/", BodyKind::json, kMostForm,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    on_worker(app, answer, [&app, request = std::move(request)] {
                      return cvat(app, large_json(request));
                    });
                  }});
}

}  // namespace beckon::server
