// beckon embed: the costly half of the work ahead of time, for one photo or a folder of them.
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/store.h"
#include "cached_encoding.h"
#include "compose/annotate/picture_list.h"
#include "files.h"
#include "interrupt.h"
#include "json.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

namespace fs = std::filesystem;

struct EmbedArguments {
  std::vector<std::string> inputs;
  std::string model = "mobile-sam";
  std::string output;
  bool f16 = false;
  bool json = false;
  int64_t max_pixels = ReadOptions{}.max_pixels;
};

struct Photo {
  std::string path;
  std::string name;     // below the folder that was given, for files of results
  std::string problem;  // why it is none
  Kind kind = Kind::input;
};

struct Failure {
  std::string message;
  Kind kind;
};

// Folders become the pictures in them.
std::vector<Photo> photos_of(const EmbedArguments& options) {
  std::vector<Photo> photos;
  for (const std::string& input : options.inputs) {
    std::error_code error;
    if (input == "-" || !fs::is_directory(input, error)) {
      photos.push_back(
          {input, input == "-" ? "photo" : fs::path(input).filename().string(), "", {}});
      continue;
    }
    const compose::PictureList list = compose::list_pictures(input, options.output);
    if (list.links_outside > 0)
      say(fmt::format("note: {} links lead out of {} and are left out", list.links_outside, input));
    for (const compose::Input& found : list.inputs)
      photos.push_back(
          {(fs::path(input) / found.path).string(), found.path, found.problem, found.kind});
    if (list.inputs.empty()) say(fmt::format("note: there are no pictures in {}", input));
  }
  return photos;
}

bool is_one_file(const EmbedArguments& options) { return options.output.ends_with(".safetensors"); }

// Where results go, one a photo; empty names mean the cache. Two photos never share a file.
std::vector<std::string> outputs_of(const EmbedArguments& options,
                                    const std::vector<Photo>& photos) {
  std::vector<std::string> outputs(photos.size());
  if (options.output.empty()) return outputs;
  if (is_one_file(options)) {
    if (photos.size() != 1)
      fail(Kind::usage, "-o {}: one file for {} photos; give a folder", options.output,
           photos.size());
    outputs[0] = options.output;
    expect_output(outputs[0]);
    return outputs;
  }
  std::set<std::string> taken;
  for (size_t i = 0; i < photos.size(); ++i) {
    outputs[i] = (fs::path(options.output) / (photos[i].name + ".safetensors")).string();
    if (!taken.insert(outputs[i]).second)
      fail(Kind::usage, "{}: two photos are called so, and both results would be {}",
           photos[i].name, outputs[i]);
  }
  return outputs;
}

struct Done {
  ImageSize size;
  bool cached = false;
  std::string pixels;
};

Done embed(const EmbedArguments& options, const Sam& sam, const EmbeddingCache& cache,
           const Photo& photo, const std::string& output) {
  if (!photo.problem.empty()) fail(photo.kind, "{}", photo.problem);
  const std::vector<uint8_t> bytes = read_input(photo.path);
  const Image image =
      Image::decode(bytes, name_of_input(photo.path), {.max_pixels = options.max_pixels});
  const CachedEmbedding found = cache.encode(sam, image);
  if (!output.empty()) {
    const HoldInterrupts hold;
    std::error_code error;
    const fs::path folder = fs::path(output).parent_path();
    if (!folder.empty()) fs::create_directories(folder, error);
    if (error)
      fail(Kind::output, "{}: cannot make the folder: {}", folder.string(), error.message());
    found.embedding.save(output, options.f16 ? DType::f16 : DType::f32);
  } else if (!found.warning.empty()) {
    fail(Kind::output, "{}", found.warning);
  }
  return {image.size(), found.cached, found.embedding.pixels()};
}

void run_embed(const EmbedArguments& options) {
  if (options.max_pixels < 1) fail(Kind::usage, "--max-pixels must be at least 1");
  const std::vector<Photo> photos = photos_of(options);
  const std::vector<std::string> outputs = outputs_of(options, photos);
  const Sam sam = Sam::load(options.model);
  const EmbeddingCache cache = open_cache(options.f16 ? DType::f16 : DType::f32, false);

  Json images = Json::array();
  std::vector<Failure> failures;
  size_t cached = 0;
  {
    PictureProgress progress;
    int64_t done = 0, worked = 0;
    for (size_t i = 0; i < photos.size(); ++i) {
      const std::string name = name_of_input(photos[i].path);
      try {
        const auto start = std::chrono::steady_clock::now();
        const Done result = embed(options, sam, cache, photos[i], outputs[i]);
        const auto time = std::chrono::steady_clock::now() - start;
        cached += result.cached;
        worked += !result.cached;
        images.push_back(
            {{"path", name},
             {"width", result.size.width},
             {"height", result.size.height},
             {"pixels", result.pixels},
             {"cached", result.cached},
             {"output", outputs[i].empty() ? Json() : Json(outputs[i])},
             {"ms", std::chrono::duration_cast<std::chrono::microseconds>(time).count() / 1000.0}});
      } catch (const Error& error) {
        if (error.kind() == Kind::interrupted) throw;
        // A full disk would fail for each of them.
        if (error.kind() == Kind::output) throw;
        failures.push_back({error.what(), error.kind()});
        if (photos.size() > 1) complain(error.what());
      }
      progress.update(++done, static_cast<int64_t>(photos.size()), worked);
    }
  }
  if (photos.size() == 1 && !failures.empty())
    fail(failures.front().kind, "{}", failures.front().message);

  const std::string place = options.output.empty() ? cache.folder() : options.output;
  if (options.json) {
    Json failed = Json::array();
    for (const Failure& failure : failures) failed.push_back(failure.message);
    print(text_of({{"model",
                    {{"name", options.model},
                     {"sha256", Store().sha256(options.model)},
                     {"hash", sam.model_hash()}}},
                   {"place", place},
                   {"images", images},
                   {"failed", failed}}));
  } else {
    print(fmt::format("{}: {} photo{}, {} of them known before\n", place, images.size(),
                      images.size() == 1 ? "" : "s", cached));
  }
  if (!failures.empty())
    fail(failures.front().kind, "{} of {} photos failed", failures.size(), photos.size());
}

}  // namespace

void add_embed(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "embed", "Look at photos ahead of time: segment then takes milliseconds");
  command->footer(
      "beckon embed photos\n"
      "beckon embed truck.jpg -o truck.safetensors\n"
      "beckon segment truck.jpg --embedding truck.safetensors --point 500,375 -o mask.png");
  auto options = std::make_shared<EmbedArguments>();
  command
      ->add_option("PHOTO", options->inputs,
                   "Photos, or folders with photos in them; - is standard input")
      ->required();
  command
      ->add_option("--model", options->model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command
      ->add_option("-o,--output", options->output,
                   "A .safetensors file for one photo, a folder for several; else the cache only")
      ->type_name("OUT");
  command->add_flag("--f16", options->f16, "Half the place; masks differ by a few pixels");
  command->add_flag("--json", options->json, "Print one JSON object");
  command
      ->add_option("--max-pixels", options->max_pixels,
                   "The largest photo to read, width times height; 100000000 if not given")
      ->type_name("N");
  command->callback([options] { run_embed(*options); });
}

}  // namespace beckon::cli
