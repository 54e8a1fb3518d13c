// beckon segment, with a small model of random weights: what it says and writes is under test here;
// that the numbers are the reference's is the goldens' business.
#include <algorithm>
#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/draw.h"
#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/polygon.h"
#include "beckon/rle.h"
#include "process.h"
#include "support/golden.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

std::string project_file(const std::string& path) {
  return (std::filesystem::path(BECKON_SOURCE_DIR) / path).string();
}
std::string photo() { return project_file("examples/photos/coffee.png"); }
std::string small_model() {
  return project_file("tests/goldens/sam/odd_75x113/weights.safetensors");
}
std::string text_of(const std::string& path) {
  const std::vector<uint8_t> bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

Outcome segment(Words more, RunOptions options = {}) {
  Words words = {"segment", photo(), "--model", small_model()};
  words.insert(words.end(), more.begin(), more.end());
  return run_beckon(words, std::move(options));
}

json segment_report(const Words& more, RunOptions options = {}) {
  Words words = more;
  words.push_back("--json");
  const Outcome outcome = segment(words, std::move(options));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return json::parse(outcome.out);
}

Mask mask_of(const json& segmentation) {
  const json& size = segmentation.at("size");
  return Mask::from_rle(
      Rle::from_string({size.at(1), size.at(0)}, segmentation.at("counts").get<std::string>()));
}

TEST(Segment, ReportDescribesImageModelMasksAndTimes) {
  const json report = segment_report({"--point", "287,141"});
  EXPECT_EQ(report.at("image"), json({{"path", photo()}, {"width", 600}, {"height", 400}}));
  EXPECT_EQ(report.at("model").at("name"), small_model());
  EXPECT_EQ(report.at("model").at("sha256").get<std::string>().size(), 64u);
  const json& masks = report.at("masks");
  ASSERT_EQ(masks.size(), 3u);  // a lone point has three readings
  for (size_t i = 0; i < masks.size(); ++i) {
    const Mask mask = mask_of(masks[i].at("segmentation"));
    const PixelBox box = mask.bounding_box();
    EXPECT_EQ(mask.size(), (ImageSize{600, 400}));
    EXPECT_EQ(masks[i].at("object"), 0);
    EXPECT_EQ(masks[i].at("area"), mask.area());
    EXPECT_EQ(masks[i].at("bbox"), json({box.x, box.y, box.width, box.height}));
    EXPECT_TRUE(masks[i].at("stability").is_number());
    if (i > 0) {
      EXPECT_GE(masks[i - 1].at("score"), masks[i].at("score"));
    }
  }
  double sum = 0;
  for (const char* stage : {"read", "load", "encode", "prompt", "mask"}) {
    EXPECT_GE(report.at("timing").at(stage), 0.0);
    sum += report.at("timing").at(stage).get<double>();
  }
  EXPECT_NEAR(report.at("timing").at("total").get<double>(), sum, 0.01);
}

TEST(Segment, RecipeGivesTheSameAnswerAgain) {
  const TempDir folder;
  const json first =
      segment_report({"--point", "287,141", "--background", "10,10.5", "--box", "60,20,560,380"});
  const std::string recipe = folder.write("recipe.json", first.at("recipe").dump());
  EXPECT_EQ(first.at("recipe").at("version"), BECKON_VERSION);
  const json again = segment_report({"--prompt", recipe});
  EXPECT_EQ(again.at("masks"), first.at("masks"));
  EXPECT_EQ(again.at("recipe").at("prompts"), first.at("recipe").at("prompts"));
}

TEST(Segment, RecipeNamesModelAndReadings) {
  const TempDir folder;
  for (const char* choice : {"--multimask", "--single"}) {
    SCOPED_TRACE(choice);
    const json first = segment_report({"--point", "287,141", "--point", "100,80", choice});
    const std::string recipe = folder.write("recipe.json", first.at("recipe").dump());
    const Outcome again = run_beckon({"segment", photo(), "--prompt", recipe, "--json"});
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(again.err, "");
    EXPECT_EQ(json::parse(again.out).at("masks"), first.at("masks"));
    EXPECT_EQ(json::parse(again.out).at("recipe"), first.at("recipe"));
  }
}

TEST(Segment, CommandLineGoesBeforeTheRecipe) {
  const TempDir folder;
  json recipe = segment_report({"--point", "287,141", "--single"}).at("recipe");
  recipe["model"] = {{"name", "nowhere.safetensors"}, {"sha256", std::string(64, '0')}};
  const Outcome outcome =
      segment({"--prompt", folder.write("recipe.json", recipe.dump()), "--multimask", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(json::parse(outcome.out).at("masks").size(), 3u);
  EXPECT_EQ(outcome.err,
            "note: the recipe was made with other weights than those of " + small_model() + "\n");
  recipe["options"]["multimask"] = "many";
  EXPECT_EQ(segment({"--prompt", folder.write("recipe.json", recipe.dump())}).code, 65);
  recipe["options"]["multimask"] = 3;
  EXPECT_EQ(segment({"--prompt", folder.write("recipe.json", recipe.dump())}).code, 65);
}

TEST(Segment, ThreadsDoNotChangeTheAnswer) {
  const Words prompt = {"--point", "287,141"};
  EXPECT_EQ(segment_report(prompt, {.set = {{"BECKON_THREADS", "1"}}}).at("masks"),
            segment_report(prompt, {.set = {{"BECKON_THREADS", "3"}}}).at("masks"));
}

TEST(Segment, MultimaskAndSingleChooseHowManyMasks) {
  EXPECT_EQ(segment_report({"--point", "287,141", "--single"}).at("masks").size(), 1u);
  EXPECT_EQ(segment_report({"--box", "60,20,560,380"}).at("masks").size(), 1u);
  EXPECT_EQ(segment_report({"--box", "60,20,560,380", "--multimask"}).at("masks").size(), 3u);
}

TEST(Segment, SeveralBoxesAreSeveralObjects) {
  const json masks =
      segment_report({"--box", "60,20,300,380", "--box", "310,20,560,380", "--point", "100,100"})
          .at("masks");
  ASSERT_EQ(masks.size(), 2u);
  EXPECT_EQ(masks[0].at("object"), 0);
  EXPECT_EQ(masks[1].at("object"), 1);
}

TEST(Segment, TheCommonListOfPromptsIsRead) {
  const TempDir folder;
  const std::string list = folder.write(
      "list.json", std::string(R"([{"type": "point", "data": [287, 141], "label": 1}])"));
  EXPECT_EQ(segment_report({"--prompt", list}).at("masks"),
            segment_report({"--point", "287,141"}).at("masks"));
}

TEST(Segment, PicturesAgreeWithTheReport) {
  const TempDir folder;
  const Words prompt = {"--point", "287,141"};
  const Mask best = mask_of(segment_report(prompt).at("masks").at(0).at("segmentation"));

  const auto written = [&](const std::string& format, const std::string& name) {
    const Outcome outcome =
        segment({"--point", "287,141", "--format", format, "-o", folder / name});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return Image::read(folder / name);
  };
  EXPECT_EQ(written("mask", "mask.png"), best.image());
  EXPECT_EQ(written("mask", "mask.webp").rgb(), best.image().rgb());
  const Image seen = written("overlay", "overlay.jpg");
  EXPECT_EQ(seen.size(), best.size());
  EXPECT_EQ(seen.channels(), 3);
  Image expected = overlay(Image::read(photo()).rgb(), best);
  draw_point(expected, 287, 141, true);  // where the click was
  EXPECT_EQ(written("overlay", "overlay.png"), expected);
  written("cutout", "cutout.png");
  EXPECT_EQ(Mask::read(folder / "cutout.png"), best);  // transparent is what is not of the object
}

TEST(Segment, OutlinesAgreeWithTheReport) {
  const Mask best =
      mask_of(segment_report({"--point", "287,141"}).at("masks").at(0).at("segmentation"));
  const json runs = json::parse(segment({"--point", "287,141", "--format", "rle"}).out);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(mask_of(runs[0]), best);

  const json outlines = json::parse(segment({"--point", "287,141", "--format", "polygon"}).out);
  ASSERT_EQ(outlines.size(), 1u);
  EXPECT_EQ(outlines[0].at("size"), json({400, 600}));
  const auto ring = [](const json& points) {
    Ring vertices;
    for (const json& point : points) vertices.push_back({point.at(0), point.at(1)});
    return vertices;
  };
  std::vector<Polygon> polygons;
  for (const json& outline : outlines[0].at("polygons")) {
    Polygon polygon = {ring(outline.at("outer")), {}};
    for (const json& hole : outline.at("holes")) polygon.holes.push_back(ring(hole));
    polygons.push_back(std::move(polygon));
  }
  EXPECT_EQ(mask_from_polygons(polygons, best.size()), best);
}

TEST(Segment, StdinAndStdoutAreFilesToo) {
  const TempDir folder;
  ASSERT_EQ(segment({"--point", "287,141", "-o", folder / "mask.png"}).code, 0);
  const Outcome piped =
      run_beckon({"segment", "-", "--model", small_model(), "--point", "287,141", "-o", "-"},
                 {.input = text_of(photo())});
  EXPECT_EQ(piped.code, 0) << piped.err;
  EXPECT_EQ(piped.out, text_of(folder / "mask.png"));
}

TEST(Segment, WithoutOutputItDescribesTheMasks) {
  const Outcome outcome = segment({"--point", "287,141"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 3);
  EXPECT_TRUE(outcome.out.starts_with("score ")) << outcome.out;
}

TEST(Segment, APointOutsideOfThePhotoIsNoted) {
  const Outcome outcome = segment({"--point", "-5,700"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("-5,700 is outside of the photo, which is 600 x 400"),
            std::string::npos)
      << outcome.err;
}

TEST(Segment, WrongArgumentsAreCode2) {
  struct Case {
    Words arguments;
    std::string part;
  };
  const Case cases[] = {
      {{}, "nothing says what to segment"},
      {{"--point", "a,b"}, "--point 'a,b': expected X,Y"},
      {{"--point", "1,2,3"}, "--point '1,2,3'"},
      {{"--point", "1,nan"}, "nan"},
      {{"--point", ""}, "--point ''"},
      {{"--box", "1,2,3"}, "--box '1,2,3': expected X0,Y0,X1,Y1"},
      {{"--box", "5,5,1,1"}, "box x0=5 is right of x1=1"},
      {{"--point", "1,1", "--multimask", "--single"}, "excludes"},
      {{"--point", "1,1", "--format", "gif"}, "gif not in"},
      {{"--point", "1,1", "--format", "overlay"}, "needs -o FILE"},
      {{"--point", "1,1", "-o", "mask.txt"}, "ends in .png or .webp"},
      {{"--point", "1,1", "-o", "mask.jpg"}, "JPEG would blur"},
      {{"--point", "1,1", "-o", "-", "--json"}, "cannot both have standard output"},
      {{"--point", "1,1", "--format", "polygon", "--json"}, "cannot both have standard output"},
      {{"--point", "1,1", "--max-pixels", "0"}, "--max-pixels"},
      {{"--point", "1,1", "second.png"}, "several photos"},
      {{"--pint", "1,1"}, "did you mean '--point'?"},
      // A point that is in neither box belongs to no object.
      {{"--box", "0,0,9,9", "--box", "20,0,29,9", "--point", "300,300"}, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.part);
    expect_complaint(segment(c.arguments), 2, c.part);
  }
}

TEST(Segment, BadInputsHaveTheirCodes) {
  const TempDir folder;
  const std::string png = text_of(photo());
  const std::string cut = folder.write("cut.png", png.substr(0, png.size() / 2));
  const std::string notes = folder.write("notes.txt", std::string("no picture at all"));
  const std::string broken = folder.write("broken.json", std::string("{\"beckon\": 1, "));
  const auto with_photo = [](const std::string& path, const Words& more = {}) {
    Words words = {"segment", path, "--model", small_model(), "--point", "1,1"};
    words.insert(words.end(), more.begin(), more.end());
    return run_beckon(words);
  };
  expect_complaint(with_photo(cut), 65, "cut.png");
  expect_complaint(with_photo(notes), 65, "notes.txt");
  expect_complaint(with_photo(folder / "nothing.jpg"), 66, "nothing.jpg");
  expect_complaint(with_photo(folder.path().string()), 66, folder.path().string());
  expect_complaint(with_photo(photo(), {"--max-pixels", "1000"}), 65, "coffee.png");
  expect_complaint(segment({"--prompt", broken}), 65, "broken.json");
  expect_complaint(segment({"--prompt", folder / "nothing.json"}), 66, "nothing.json");
  expect_complaint(segment({"--mask", project_file("examples/photos/chelsea.png")}), 2,
                   "chelsea.png: the mask is 451x300, the photo 600x400");
}

// Valid JSON and valid prompts, which nevertheless cannot be answered: the file is to blame, and
// named.
TEST(Segment, PromptFilesThatMakeNoSenseAreCode65) {
  const TempDir folder;
  const std::pair<std::string, std::string> cases[] = {
      {R"({"beckon": 1, "prompts": []})", "there is no prompt in it"},
      {"[]", "there is no prompt in it"},
      {R"([{"type": "point", "data": [300, 300], "label": 1},
           {"type": "rectangle", "data": [0, 0, 9, 9]},
           {"type": "rectangle", "data": [20, 0, 29, 9]}])",
       "prompt 1: this point lies in none of the 2 boxes"},
      {R"([{"type": "rectangle", "data": [0, 0, 9, 9]},
           {"type": "rectangle", "data": [0, 0, 29, 9]},
           {"type": "point", "data": [5, 5], "label": 1}])",
       "prompt 3: this point lies in two boxes"},
      {R"([{"type": "rectangle", "data": [9, 0, 0, 9]}])", "prompt 1: box x0=9 is right of x1=0"},
      {R"({"beckon": 1, "prompts": [{"type": "mask", "rle": {"size": [2, 2], "counts": [0, 4]}}]})",
       "prompt 1: the mask is 2x2, the photo 600x400"},
      {R"({"beckon": 1, "prompts": [{"type": "mask", "rle": {"size": [2, 2], "counts": [0, 4]}},
                                    {"type": "mask", "rle": {"size": [2, 2], "counts": [0, 4]}}]})",
       "2 mask prompts"},
      {R"({"beckon": 1, "prompts": [{"type": "point", "at": [1, 1]},
                                    {"type": "text", "text": "a cup"}]})",
       "prompt 2: SAM cannot use a prompt of type 'text'"},
      {R"({"beckon": 1, "model": "sam", "prompts": [{"type": "point", "at": [1, 1]}]})",
       "'model' is string, expected an object"},
  };
  for (const auto& [text, part] : cases) {
    SCOPED_TRACE(text);
    const std::string path = folder.write("senseless.json", text);
    const Outcome outcome = segment({"--prompt", path});
    expect_complaint(outcome, 65, part);
    EXPECT_NE(outcome.err.find("senseless.json: "), std::string::npos) << outcome.err;
    // From standard input it has no other name.
    const Outcome piped = segment({"--prompt", "-"}, {.input = text});
    expect_complaint(piped, 65, part);
    EXPECT_NE(piped.err.find("standard input: "), std::string::npos) << piped.err;
  }
  // The file is sound by itself; what was typed beside it does not fit.
  const std::string box =
      folder.write("box.json", std::string(R"([{"type": "rectangle", "data": [0, 0, 9, 9]}])"));
  expect_complaint(segment({"--prompt", box, "--box", "20,0,29,9", "--point", "300,300"}), 2,
                   "lies in none of the 2 boxes");
}

TEST(Segment, AModelThatIsAbsentOrOfAnotherKindHasItsCode) {
  const auto with_model = [](const std::string& model) {
    return run_beckon({"segment", photo(), "--model", model, "--point", "1,1"});
  };
  expect_complaint(with_model("mobile-sam"), 69, "beckon models pull mobile-sam");
  expect_complaint(with_model("no-such-model"), 69, "no-such-model");
  expect_complaint(with_model("./no/such/file.pth"), 66, "file.pth");
  expect_complaint(with_model(photo()), 65, "coffee.png");
  expect_complaint(
      with_model(project_file("tests/goldens/vit/posembed_resize/weights.safetensors")), 65,
      "no weights of SAM");
}

TEST(Segment, AResultThatCannotBeWrittenIsCode73AndLeavesNothing) {
  const TempDir folder;
  expect_complaint(segment({"--point", "1,1", "-o", folder / "no/such/mask.png"}), 73, "mask.png");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  expect_complaint(segment({"--point", "1,1", "--format", "rle", "-o", folder.path().string()}), 73,
                   "is a folder");
  // Before anything is read: it does not take until the photo is there to say so.
  expect_complaint(run_beckon({"segment", folder / "no.jpg", "--point", "1,1", "-o",
                               folder / "no/such/mask.png"}),
                   73, "no/such");
}

TEST(Segment, InterruptedWhileItWaitsForThePhoto) {
  const TempDir folder;
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome outcome = run_beckon(
        {"segment", "-", "--model", small_model(), "--point", "1,1", "-o", folder / "mask.png"},
        {.signal = signal, .timeout = std::chrono::seconds(20)});
    expect_complaint(outcome, 130, "interrupted");
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Segment, APhotoIsNotOverwrittenByItsMask) {
  const TempDir dir;
  const std::string copy = dir / "photo.png";
  std::filesystem::copy_file(photo(), copy);
  const auto before = read_bytes(copy);
  expect_complaint(
      run_beckon({"segment", copy, "--point", "5,5", "-o", copy, "--model", small_model()}), 2,
      "overwritten");
  expect_complaint(run_beckon({"segment", copy, "--everything", "-o", copy, "--format", "overlay",
                               "--model", small_model()}),
                   2, "overwritten");
  EXPECT_EQ(read_bytes(copy), before);
}

TEST(Segment, AWholeReportIsAPromptFileToo) {
  const TempDir dir;
  const json report = segment_report({"--point", "287,141"});
  dir.write("report.json", report.dump());
  EXPECT_EQ(segment_report({"--prompt", dir / "report.json"}).at("masks"), report.at("masks"));
}

TEST(Segment, VariablesThatMakeNoSenseAreSaid) {
  for (const auto& [name, value] :
       {std::pair("BECKON_THREADS", "many"), {"BECKON_THREADS", "0"}, {"BECKON_CPU", "fast"}})
    expect_complaint(run_beckon({"models", "list"}, {.set = {{name, value}}}), 2, "expected");
}

}  // namespace
}  // namespace beckon::test
