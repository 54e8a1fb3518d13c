// beckon bench: how fast Beckon is on this machine, and how far from what the machine could do.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "base/threads.h"
#include "beckon/resize.h"
#include "beckon/sam.h"
#include "beckon/version.h"
#include "kernels/peak.h"
#include "kernels/target.h"
#include "models/sam/model.h"
#include "program.h"
#include "terminal.h"

extern char** environ;

namespace beckon::cli {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

template <typename Work>
double timed(Work&& work) {
  const auto start = Clock::now();
  work();
  return milliseconds_since(start);
}

Json spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  const double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return {{"median", median}, {"min", values.front()}, {"max", values.back()}, {"runs", n}};
}

double load_average() {
  double load = 0;
  return ::getloadavg(&load, 1) == 1 ? load : 0;
}

struct Run {
  double ms = 0;
  double peak_mb = 0;  // largest resident set
};

// This program once more, from its start to its end, its output thrown away.
Run run_self(std::vector<std::string> arguments) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  arguments.insert(arguments.begin(), self);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  const auto start = Clock::now();
  pid_t child = 0;
  const int error = posix_spawn(&child, self.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail(Kind::internal, "cannot start {}: error {}", self, error);
  int status = 0;
  rusage usage = {};
  if (::wait4(child, &status, 0, &usage) != child)
    fail(Kind::internal, "lost track of a run of {}", self);
  const double ms = milliseconds_since(start);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    fail(Kind::internal, "a run of 'beckon {}' failed", arguments[1]);
  return {ms, static_cast<double>(usage.ru_maxrss) / 1024};
}

Json machine_report() {
  return {{"version", version()},
          {"kernels", kernels::target_name()},
          {"threads", threads()},
          {"load_average", load_average()},
          {"fma_peak_gflops", kernels::fma_peak(threads(), 0.3)},
          {"read_bandwidth_gb_s", kernels::read_bandwidth(threads(), 0.2)}};
}

// Floating-point operations of the image encoder as the reference computes it: linear layers,
// convolutions and attention products, two for a multiply-add, padded windows included.
double encoder_gflop(const sam::SamConfig& config) {
  const auto* vit = std::get_if<sam::VitConfig>(&config.encoder);
  if (!vit)
    return config.name == "vit_t" ? 77.54 : 0;  // counted from the shapes of MobileSAM's encoder
  const auto c = static_cast<double>(vit->dim), grid = static_cast<double>(vit->grid());
  const auto out = static_cast<double>(vit->out), mlp = static_cast<double>(vit->mlp);
  const auto window = static_cast<double>(vit->window), patch = static_cast<double>(vit->patch);
  const double n = grid * grid;
  double total = n * patch * patch * 3 * c + n * c * out + n * 9 * out * out;
  for (int64_t i = 0; i < vit->depth; ++i) {
    const auto& global = vit->global_blocks;
    const bool whole = std::find(global.begin(), global.end(), i) != global.end();
    const double side = whole ? grid : window;                      // of a window
    const double across = whole ? 1 : std::ceil(grid / window);     // windows a side
    const double tokens = across * across * side * side;            // padding included
    total += tokens * 4 * c * c + n * 2 * c * mlp;                  // qkv, proj; mlp
    total += 2 * tokens * side * side * c + tokens * 2 * side * c;  // scores, values; positions
  }
  return 2 * total / 1e9;
}

struct SegmentSetup {
  std::string photo, model = "mobile-sam", write_input;
  std::vector<double> point;
  int rounds = 5, prompts = 20;
  bool json = false;
};

// The encoder's input as other programs want it: [1,3,S,S], little-endian f32.
void write_planes(const Tensor& input, const std::string& path) {
  const Tensor planes = input.permute({0, 3, 1, 2}).contiguous();
  const auto bytes = std::as_bytes(planes.values());
  write_file_atomic(path, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// A picture of soft blobs, for those who have no photo at hand. The time does not depend on it.
Image test_picture() {
  const int w = 1024, h = 768;
  std::vector<uint8_t> pixels(static_cast<size_t>(w) * h * 3);
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      const bool disc = (x - 500) * (x - 500) + (y - 375) * (y - 375) < 150 * 150;
      uint8_t* p = &pixels[(static_cast<size_t>(y) * w + static_cast<size_t>(x)) * 3];
      p[0] = static_cast<uint8_t>(disc ? 210 : x / 8);
      p[1] = static_cast<uint8_t>(disc ? 90 : y / 8);
      p[2] = static_cast<uint8_t>(disc ? 40 : (x + y) / 16 + 60);
    }
  return Image(w, h, 3, pixels);
}

// The made-up picture as a file for the program's own runs; gone with this object.
class PictureFile {
 public:
  PictureFile() : descriptor_(::memfd_create("beckon-bench", 0)) {
    const std::vector<uint8_t> bytes = test_picture().encode_png();
    if (descriptor_ < 0 ||
        ::write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      fail(Kind::resource, "no memory for a file of {} bytes", bytes.size());
  }
  PictureFile(const PictureFile&) = delete;
  PictureFile& operator=(const PictureFile&) = delete;
  ~PictureFile() { ::close(descriptor_); }

  // For children too, which inherit what is open.
  std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

 private:
  int descriptor_;
};

Json bench_segment(const SegmentSetup& setup) {
  Progress progress("measuring");
  ImageSize size{1024, 768};
  if (!setup.photo.empty()) {
    const Image photo = Image::read(setup.photo);
    size = {photo.width(), photo.height()};
  }
  std::vector<double> at = setup.point;
  if (at.empty()) at = {size.width / 2.0, size.height / 2.0};
  const Point point{at[0], at[1]};

  // What it costs from outside, in processes of its own. This comes first: the system counts what
  // the parent held when it started a child towards the child's peak of memory.
  std::vector<double> starts, loads, whole, memory;
  const auto rounds = static_cast<uint64_t>(setup.rounds);
  std::optional<PictureFile> made_up;
  if (setup.photo.empty()) made_up.emplace();
  for (uint64_t i = 0; i < rounds; ++i) {
    progress.update(i, 3 * rounds);
    starts.push_back(run_self({"--version"}).ms);
    loads.push_back(run_self({"bench", "load", "--model", setup.model}).ms);
    const Run run = run_self({"segment", made_up ? made_up->path() : setup.photo, "--model",
                              setup.model, "--point", fmt::format("{},{}", at[0], at[1]), "-o", "-",
                              "--format", "rle", "--no-cache"});
    whole.push_back(run.ms);
    memory.push_back(run.peak_mb);
  }

  Json report;
  report["machine"] = machine_report();
  const double peak = report["machine"]["fma_peak_gflops"];

  const Image photo = setup.photo.empty() ? test_picture() : Image::read(setup.photo);
  const Sam sam = Sam::load(setup.model);
  const sam::SamModel& model = sam.model();
  const sam::Frame frame = model.frame({photo.width(), photo.height()});
  if (!setup.write_input.empty()) write_planes(model.input(photo), setup.write_input);
  report["model"] = {
      {"name", setup.model}, {"variant", sam.variant()}, {"parameters", sam.parameter_count()}};
  report["image"] = {{"width", photo.width()},
                     {"height", photo.height()},
                     {"resized_width", frame.resized.width},
                     {"resized_height", frame.resized.height}};

  // The encoder alone on a prepared input, and all of encode() on pixels.
  const Tensor input = model.input(photo);
  std::vector<double> encoder, encode, first, next, next_1024, batch;
  {
    NoGrad no_grad;
    model.image_encoder().forward(input);  // packs the weights, fills the allocator
    for (uint64_t i = 0; i < rounds; ++i) {
      progress.update(rounds + i, 3 * rounds);
      encoder.push_back(timed([&] { model.image_encoder().forward(input); }));
    }
  }
  sam.encode(photo).segment(point);
  for (uint64_t i = 0; i < rounds; ++i) {
    progress.update(2 * rounds + i, 3 * rounds);
    std::unique_ptr<Embedding> seen;
    encode.push_back(timed([&] { seen = std::make_unique<Embedding>(sam.encode(photo)); }));
    first.push_back(timed([&] { seen->segment(point); }));
  }

  const Embedding seen = sam.encode(photo);
  seen.segment(point);
  const auto side = static_cast<int>(model.config.image());
  std::vector<float> upscaled(static_cast<size_t>(side) * static_cast<size_t>(side));
  for (int i = 0; i < setup.prompts; ++i) {
    next.push_back(timed([&] { seen.segment(point); }));
    // What ONNX Runtime's graph of the model returns: the best mask's logits on the whole square.
    next_1024.push_back(timed([&] {
      const Masks masks = seen.segment(point);
      const ImageSize low = masks.best().logits_size();
      const PlaneRows rows(masks.best().logits(), bilinear_axis(low.width, side),
                           bilinear_axis(low.height, side));
      parallel_for(side, 64, [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y)
          rows.row(static_cast<int>(y),
                   &upscaled[static_cast<size_t>(y) * static_cast<size_t>(side)]);
      });
    }));
  }
  const Masks answer = seen.segment(point);
  report["iou_1024"] = answer.best().score();
  report["area_1024"] =
      std::count_if(upscaled.begin(), upscaled.end(), [](float v) { return v > 0; });

  // An 8 x 8 grid of clicks in one call.
  std::vector<ObjectQuery> grid;
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 8; ++column)
      grid.push_back(
          {{Point{(column + 0.5) / 8 * photo.width(), (row + 0.5) / 8 * photo.height()}}, {}});
  for (int i = 0; i < std::max(3, setup.rounds); ++i)
    batch.push_back(timed([&] { seen.segment(std::span<const ObjectQuery>(grid)); }));

  report["process_start_ms"] = spread(starts);
  report["start_and_load_ms"] = spread(loads);
  report["encoder_ms"] = spread(encoder);
  report["encode_ms"] = spread(encode);
  report["first_prompt_ms"] = spread(first);
  report["next_prompt_ms"] = spread(next);
  report["next_prompt_1024_ms"] = spread(next_1024);
  report["batch64_ms"] = spread(batch);
  report["batch64_over_64_prompts"] = report["batch64_ms"]["median"].get<double>() /
                                      (64 * report["next_prompt_ms"]["median"].get<double>());
  report["whole_command_ms"] = spread(whole);
  report["peak_memory_mb"] = *std::max_element(memory.begin(), memory.end());
  if (const double gflop = encoder_gflop(model.config); gflop > 0) {
    const double rate = gflop / report["encoder_ms"]["median"].get<double>() * 1000;
    report["encoder_gflops"] = rate;
    report["encoder_share_of_peak"] = rate / peak;
  }
  return report;
}

std::string line(const char* label, const Json& value) {
  return fmt::format("{:<34} {:>9.2f} ms   ({:.2f} to {:.2f}, {} runs)\n", label,
                     value["median"].get<double>(), value["min"].get<double>(),
                     value["max"].get<double>(), value["runs"].get<int>());
}

std::string machine_line(const Json& machine) {
  return fmt::format(
      "{} kernels, {} threads, load {:.2f}, FMA peak {:.0f} GFLOP/s, reads {:.1f} GB/s\n",
      machine["kernels"].get<std::string>(), machine["threads"].get<int>(),
      machine["load_average"].get<double>(), machine["fma_peak_gflops"].get<double>(),
      machine["read_bandwidth_gb_s"].get<double>());
}

std::string readable_bench(const Json& r) {
  std::string out = machine_line(r["machine"]);
  out += line("process start", r["process_start_ms"]);
  out += line("process start and model load", r["start_and_load_ms"]);
  out += line("image encoder", r["encoder_ms"]);
  if (r.contains("encoder_gflops"))
    out += fmt::format("{:<34} {:>9.0f} GFLOP/s, {:.0f} % of the FMA peak\n", "",
                       r["encoder_gflops"].get<double>(),
                       100 * r["encoder_share_of_peak"].get<double>());
  out += line("encode (pixels to embedding)", r["encode_ms"]);
  out += line("first prompt", r["first_prompt_ms"]);
  out += line("next prompts", r["next_prompt_ms"]);
  out += line("next prompts, logits at full size", r["next_prompt_1024_ms"]);
  out += line("64 prompts in one batch", r["batch64_ms"]);
  out += fmt::format("{:<34} {:>9.3f}\n", "  over 64 single prompts",
                     r["batch64_over_64_prompts"].get<double>());
  out += line("whole command", r["whole_command_ms"]);
  out += fmt::format("{:<34} {:>9.0f} MB\n", "peak memory", r["peak_memory_mb"].get<double>());
  return out;
}

struct EncoderSetup {
  std::string variant = "vit_b";
  int rounds = 3;
  bool json = false;
};

// An image encoder with random weights in the official shapes: speed without the download.
Json bench_encoder(const EncoderSetup& setup) {
  Progress progress("measuring");
  const sam::SamConfig config = sam::official_config(setup.variant);
  const auto encoder = sam::make_image_encoder(nn::Params::random(1) / "image_encoder", config);
  const int64_t side = config.image();
  Tensor input = Tensor::empty({1, side, side, 3});
  for (int64_t i = 0; i < input.size(); ++i)
    input.data_as<float>()[i] = static_cast<float>(i * 2654435761u % 4001) / 1000 - 2;
  NoGrad no_grad;
  encoder->forward(input);
  std::vector<double> times, peaks;
  for (int i = 0; i < setup.rounds; ++i) {
    progress.update(static_cast<uint64_t>(i), static_cast<uint64_t>(setup.rounds));
    peaks.push_back(kernels::fma_peak(threads(), 0.2));  // beside each run: machines change pace
    times.push_back(timed([&] { encoder->forward(input); }));
  }
  Json report;
  report["machine"] = machine_report();
  report["variant"] = setup.variant;
  report["weights"] = "random";
  report["encoder_ms"] = spread(times);
  const double gflop = encoder_gflop(config);
  report["encoder_gflop"] = gflop;
  report["encoder_gflops"] = gflop / report["encoder_ms"]["median"].get<double>() * 1000;
  const double peak = *std::max_element(peaks.begin(), peaks.end());
  report["machine"]["fma_peak_gflops"] =
      std::max(peak, report["machine"]["fma_peak_gflops"].get<double>());
  report["encoder_share_of_peak"] =
      report["encoder_gflops"].get<double>() / report["machine"]["fma_peak_gflops"].get<double>();
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  report["peak_memory_mb"] = static_cast<double>(usage.ru_maxrss) / 1024;
  return report;
}

void add_bench_segment(CLI::App& bench) {
  CLI::App* command =
      bench.add_subcommand("segment", "Load, encode, prompt: medians with their spread");
  command->footer("beckon bench segment photo.jpg --point 500,375\nbeckon bench segment --json");
  auto setup = std::make_shared<SegmentSetup>();
  command->add_option("PHOTO", setup->photo, "Photo to work on; without one, a made-up picture");
  command->add_option("--model", setup->model, "Model: a name or a path")->capture_default_str();
  command->add_option("--point", setup->point, "X,Y of the click; default: the middle")
      ->delimiter(',')
      ->expected(2)
      ->type_name("X,Y");
  command->add_option("--rounds", setup->rounds, "Runs of what takes long")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--prompts", setup->prompts, "Prompts to measure")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      ->add_option("--write-input", setup->write_input,
                   "Write the encoder's input [1,3,S,S] as raw f32 to a file, for other programs")
      ->type_name("FILE");
  command->add_flag("--json", setup->json, "Print one JSON object");
  command->callback([setup] {
    const Json report = bench_segment(*setup);
    print(setup->json ? report.dump(1) + "\n" : readable_bench(report));
  });
}

void add_bench_encoder(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "encoder", "An image encoder with random weights in the official shapes");
  command->footer(
      "beckon bench encoder --variant vit_b\nbeckon bench encoder --variant vit_t --json");
  auto setup = std::make_shared<EncoderSetup>();
  command->add_option("--variant", setup->variant, "vit_t, vit_b, vit_l or vit_h")
      ->check(CLI::IsMember({"vit_t", "vit_b", "vit_l", "vit_h"}))
      ->capture_default_str();
  command->add_option("--rounds", setup->rounds, "Runs")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--json", setup->json, "Print one JSON object");
  command->callback([setup] {
    const Json r = bench_encoder(*setup);
    print(setup->json ? r.dump(1) + "\n"
                      : machine_line(r["machine"]) + line("image encoder", r["encoder_ms"]) +
                            fmt::format("{:<34} {:>9.0f} GFLOP/s, {:.0f} % of the FMA peak\n", "",
                                        r["encoder_gflops"].get<double>(),
                                        100 * r["encoder_share_of_peak"].get<double>()));
  });
}

void add_bench_load(CLI::App& bench) {
  CLI::App* command =
      bench.add_subcommand("load", "Load a model and end; to be timed from outside");
  command->footer("time beckon bench load --model mobile-sam");
  auto model = std::make_shared<std::string>("mobile-sam");
  command->add_option("--model", *model, "Model: a name or a path")->capture_default_str();
  command->callback([model] {
    const auto start = Clock::now();
    const Sam sam = Sam::load(*model);
    print(fmt::format("{} loaded in {:.1f} ms\n", sam.variant(), milliseconds_since(start)));
  });
}

}  // namespace

void add_bench(CLI::App& program) {
  CLI::App* bench = program.add_subcommand("bench", "Measure speed on this machine");
  bench->require_subcommand(0, 1);
  add_bench_segment(*bench);
  add_bench_encoder(*bench);
  add_bench_load(*bench);
}

}  // namespace beckon::cli
