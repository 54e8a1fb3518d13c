// beckon engine review: the queue of what the model made, most doubtful first, and what a person
// says of it.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <span>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "annotation_state.h"
#include "base/fail.h"
#include "beckon/mask.h"
#include "beckon/sam.h"
#include "engine.h"
#include "engine_store.h"
#include "interrupt.h"
#include "json.h"
#include "photos.h"
#include "problem.h"
#include "program.h"
#include "prompt_arguments.h"
#include "prompts.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

using server::AnnotationStore;
using server::EngineStore;
using server::StoredAnnotation;

struct ReviewArguments {
  std::string folder;
  int64_t next = 10;
  std::vector<int64_t> accept, reject;
  std::optional<int64_t> fix;
  PromptArguments prompts;  // `mask` is the new mask itself
  std::string model = "mobile-sam", who = "human";
  std::optional<double> seconds;
  int64_t max_pixels = 100'000'000;
  bool json = false;

  bool prompted() const {
    return !prompts.points.empty() || !prompts.backgrounds.empty() || !prompts.boxes.empty() ||
           !prompts.file.empty();
  }
  bool writes() const { return !accept.empty() || !reject.empty() || fix.has_value(); }
};

void check_review(const ReviewArguments& arguments) {
  if (!arguments.fix && (!arguments.prompts.mask.empty() || arguments.prompted()))
    fail(Kind::usage, "--mask and prompts are for --fix ID");
  if (arguments.fix && arguments.prompts.mask.empty() && !arguments.prompted())
    fail(Kind::usage, "--fix {}: give --mask FILE, or prompts (--point, --box, ...)",
         *arguments.fix);
  if (arguments.fix && !arguments.prompts.mask.empty() && arguments.prompted())
    fail(Kind::usage, "--mask is the new mask itself; prompts beside it have no use");
  std::set<int64_t> named;
  const auto once = [&](int64_t id) {
    if (!named.insert(id).second) fail(Kind::usage, "object {} is named twice", id);
  };
  for (const int64_t id : arguments.accept) once(id);
  for (const int64_t id : arguments.reject) once(id);
  if (arguments.fix) once(*arguments.fix);
  constexpr double kMostSeconds = 86'400;
  if (arguments.seconds && !(*arguments.seconds >= 0 && *arguments.seconds <= kMostSeconds))
    fail(Kind::usage, "--seconds {}, expected 0 to {}", *arguments.seconds, kMostSeconds);
  constexpr size_t kLongestName = 100;
  if (arguments.who.empty() || arguments.who.size() > kLongestName ||
      std::any_of(arguments.who.begin(), arguments.who.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 32; }))
    fail(Kind::usage, "--who: expected a name of 1 to {} bytes", kLongestName);
}

StoredAnnotation automatic_object(const AnnotationStore& store, int64_t id) {
  const auto found = store.find(id);
  if (!found) fail(Kind::missing, "object {}: there is none, or it was rejected", id);
  if (!server::is_automatic(server::Json::parse(found->state)))
    fail(Kind::usage, "object {} was made by a person: there is nothing to review", id);
  return *found;
}

ImageSize size_of_mask(const server::Json& state) {
  const server::Json& size = state.at("rle").at("size");
  return {size.at(1).get<int>(), size.at(0).get<int>()};
}

// Prompts as the server's requests have them, and so the page.
server::Json said_of(std::span<const Prompt> prompts) {
  server::Json one = server::Json::object();
  for (const Prompt& prompt : prompts) {
    if (const auto* point = std::get_if<Point>(&prompt))
      one["points"].push_back(
          {{"x", point->x}, {"y", point->y}, {"label", point->label == Label::object ? 1 : 0}});
    if (const auto* box = std::get_if<Box>(&prompt))
      one["box"] = {box->x0, box->y0, box->x1, box->y1};
    if (const auto* mask = std::get_if<MaskPrompt>(&prompt))
      one["mask"] = server::rle_json(mask->rle);
    if (const auto* scribble = std::get_if<Scribble>(&prompt)) {
      server::Json places = server::Json::array();
      for (const auto& place : scribble->points)
        places.push_back(server::Json::array({place.x, place.y}));
      one["scribbles"].push_back(
          {{"points", std::move(places)}, {"label", scribble->label == Label::object ? 1 : 0}});
    }
  }
  return server::Json::array({std::move(one)});
}

// The model's answer to the prompts. Points alone say what is wrong with the mask that is there.
PredictedMask answer_to(const ReviewArguments& arguments, const StoredAnnotation& object,
                        const Rle& present, server::Json& said) {
  Request request = read_request(arguments.prompts);
  const bool points_only =
      std::all_of(request.prompts.begin(), request.prompts.end(),
                  [](const Prompt& p) { return std::holds_alternative<Point>(p); });
  said = said_of(request.prompts);
  if (points_only) request.prompts.emplace_back(MaskPrompt(present));
  const std::vector<ObjectQuery> queries = queries_of(request, arguments.prompts);
  if (queries.size() != 1)
    fail(Kind::usage, "--fix is about one object; the prompts are about {}", queries.size());
  const Sam sam = Sam::load(arguments.model);
  server::Photos photos(arguments.folder);
  photos.scan([] { return !interrupted(); });
  stop_if_interrupted();
  const auto photo = photos.find(object.photo);
  if (!photo)
    fail(Kind::missing, "{}: the photo of object {} is not in it (any more)", arguments.folder,
         object.id);
  try {
    const Image image = photos.read(*photo, arguments.max_pixels);
    check_masks(request, image.size(), arguments.prompts);
    return sam.encode(image).segment(queries.front()).best();
  } catch (const server::HttpError& error) {
    fail(Kind::missing, "{}: {}", photo->name, error.what());
  }
}

// The new state of the object, before anything is written.
server::Json fixed_state(const ReviewArguments& arguments, const StoredAnnotation& object) {
  server::Json state = server::Json::parse(object.state);
  const ImageSize size = size_of_mask(state);
  server::Json patch;
  if (!arguments.prompts.mask.empty()) {
    const Mask mask = Mask::read(arguments.prompts.mask, {.max_pixels = arguments.max_pixels});
    if (mask.size() != size)
      fail(Kind::input, "{}: the mask is {}x{}, the photo {}x{}", arguments.prompts.mask,
           mask.width(), mask.height(), size.width, size.height);
    if (mask.area() == 0)
      fail(Kind::input, "{}: the mask is empty; --reject {} takes the object away",
           arguments.prompts.mask, object.id);
    patch = {{"rle", server::rle_json(mask.rle())}, {"prompts", nullptr}, {"origin", "human"}};
  } else {
    server::Json said;
    const PredictedMask best =
        answer_to(arguments, object, server::read_rle(state.at("rle"), "rle", size), said);
    if (best.area() == 0)
      fail(Kind::input, "the model finds nothing there; object {} stays as it is", object.id);
    server::Json scores{{"predicted_iou", best.score()}};
    if (std::isfinite(best.stability())) scores["stability"] = best.stability();
    patch = {{"rle", server::rle_json(best.rle())}, {"prompts", said}, {"scores", scores}};
  }
  try {
    return server::patched_state(state, patch, size);
  } catch (const server::HttpError& error) {
    fail(Kind::usage, "object {}: {}", object.id, error.what());
  }
}

Json review_json(const StoredAnnotation& object, const std::string& name) {
  const server::Json state = server::Json::parse(object.state);
  const server::Json& engine = state.at("engine");
  Json json{{"id", object.id}, {"photo", name}, {"stage", engine.at("stage").get<int>()}};
  json["state"] = server::word_of_state(state);
  json["doubt"] = engine.value("doubt", 0.0);
  json["overlap"] = engine.value("overlap", 0.0);
  json["predicted_iou"] = state.at("scores").value("predicted_iou", 0.0);
  json["stability"] = state.at("scores").value("stability", 0.0);
  json["label"] = state.at("label").get<std::string>();
  json["area"] = state.at("area").get<int64_t>();
  json["box"] = state.at("box").get<std::vector<int64_t>>();
  json["version"] = object.version;
  return json;
}

std::map<std::string, std::string> names_of(const AnnotationStore& store) {
  std::map<std::string, std::string> names;
  for (const server::AnnotatedPhoto& photo : store.photos()) names[photo.id] = photo.name;
  return names;
}

void show_queue(const ReviewArguments& arguments) {
  const auto store = open_engine(arguments.folder, false);
  const EngineStore engine(*store);
  const int64_t pending = engine.pending();
  const std::map<std::string, std::string> names = names_of(*store);
  Json list = Json::array();
  for (const StoredAnnotation& object : engine.queue(std::nullopt, arguments.next))
    list.push_back(review_json(object, names.at(object.photo)));
  if (arguments.json) {
    print(text_of({{"pending", pending}, {"reviews", std::move(list)}}));
    return;
  }
  std::string text;
  if (!list.empty())
    text = fmt::format("{:>8} {:>6} {:>6} {:>6} {:>7}  {:<19} {}\n", "object", "doubt", "IoU",
                       "stable", "overlap", "box", "photo");
  for (const Json& one : list) {
    const auto box = one.at("box").get<std::vector<int64_t>>();
    text += fmt::format("{:>8} {:>6.3f} {:>6.3f} {:>6.3f} {:>7.3f}  {:<19} {}\n",
                        one.at("id").get<int64_t>(), one.at("doubt").get<double>(),
                        one.at("predicted_iou").get<double>(), one.at("stability").get<double>(),
                        one.at("overlap").get<double>(),
                        fmt::format("{},{} {}x{}", box.at(0), box.at(1), box.at(2), box.at(3)),
                        on_one_line(one.at("photo").get<std::string>()));
  }
  print(text + (pending == 1 ? "1 object waits for review\n"
                             : fmt::format("{} objects wait for review\n", pending)));
}

void write_reviews(const ReviewArguments& arguments) {
  const auto store = open_engine(arguments.folder, false);
  EngineStore engine(*store);
  std::optional<StoredAnnotation> to_fix;
  server::Json fixed;
  if (arguments.fix) {
    to_fix = automatic_object(*store, *arguments.fix);
    fixed = fixed_state(arguments, *to_fix);
  }
  // The time is that of all of them.
  std::optional<double> each = arguments.seconds;
  if (each)
    *each /= static_cast<double>(arguments.accept.size() + arguments.reject.size() +
                                 (arguments.fix ? 1 : 0));
  const HoldInterrupts hold;
  store->together([&] {
    for (const int64_t id : arguments.accept)
      engine.accept(automatic_object(*store, id), arguments.who, each);
    for (const int64_t id : arguments.reject)
      engine.reject(automatic_object(*store, id), arguments.who, each);
    if (to_fix && !engine.fix(*to_fix, fixed, arguments.who, each))
      fail(Kind::temporary, "object {} was changed meanwhile; look at it again", to_fix->id);
  });
  const int64_t pending = engine.pending();
  if (arguments.json)
    print(text_of({{"accepted", arguments.accept},
                   {"rejected", arguments.reject},
                   {"fixed", arguments.fix ? Json::array({*arguments.fix}) : Json::array()},
                   {"pending", pending}}));
  else
    print(fmt::format("{} accepted, {} rejected, {} fixed; {} wait{} for review\n",
                      arguments.accept.size(), arguments.reject.size(), arguments.fix ? 1 : 0,
                      pending, pending == 1 ? "s" : ""));
}

void run_review(const ReviewArguments& arguments) {
  check_review(arguments);
  if (arguments.writes())
    write_reviews(arguments);
  else
    show_queue(arguments);
}

}  // namespace

void add_engine_review(CLI::App& group) {
  CLI::App* command = group.add_subcommand(
      "review", "What waits for a person, most doubtful first; accept, fix, reject");
  command->footer(
      "beckon engine review photos --next 20\n"
      "beckon engine review photos --accept 12,15 --reject 13\n"
      "beckon engine review photos --fix 14 --point 230,90 --background 300,40\n"
      "beckon engine review photos --fix 14 --mask mask.png");
  auto arguments = std::make_shared<ReviewArguments>();
  command->add_option("folder", arguments->folder, "The folder of photos")
      ->type_name("DIR")
      ->required();
  command->add_option("--next", arguments->next, "How many to show; 10 if not given")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  const auto ids = [&](const char* name, std::vector<int64_t>& to, const char* what) {
    command->add_option(name, to, what)
        ->type_name("ID")
        ->delimiter(',')
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  ids("--accept", arguments->accept, "These are right");
  ids("--reject", arguments->reject, "These are not: they go, and do not come again");
  command->add_option("--fix", arguments->fix, "This one gets another mask")->type_name("ID");
  command
      ->add_option("--mask", arguments->prompts.mask,
                   "Its mask: a picture, not black or not transparent where the object is")
      ->type_name("FILE");
  const auto prompt = [&](const char* name, std::vector<std::string>& to, const char* type,
                          const char* what) {
    command->add_option(name, to, what)
        ->type_name(type)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  prompt("--point", arguments->prompts.points, "X,Y", "What belongs to it; points repair the mask");
  prompt("--background", arguments->prompts.backgrounds, "X,Y", "What does not");
  prompt("--box", arguments->prompts.boxes, "X0,Y0,X1,Y1", "A box around it, for a new mask");
  command->add_option("--prompt", arguments->prompts.file, "Prompts as JSON, for a new mask")
      ->type_name("FILE");
  command
      ->add_option("--model", arguments->model,
                   "The model that answers prompts; mobile-sam if not given")
      ->type_name("MODEL");
  command->add_option("--who", arguments->who, "Whose review this is; human if not given")
      ->type_name("NAME");
  command
      ->add_option("--seconds", arguments->seconds,
                   "How long it took, shared among the objects that are named")
      ->type_name("SECONDS");
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->callback([arguments] { run_review(*arguments); });
}

}  // namespace beckon::cli
