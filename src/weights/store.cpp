#include "beckon/store.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "base/sha256.h"
#include "beckon/checkpoint.h"
#include "weights/fetch.h"
#include "weights/names.h"
#include "weights/registry.h"
#include "weights/tfjs.h"

namespace beckon {

using weights::FileSpec;
using weights::ModelSpec;
using weights::SourceSpec;

namespace fs = std::filesystem;

// Where a model was found. `files` are those whose hashes make its identity.
struct Store::Located {
  const ModelSpec* model = nullptr;
  const SourceSpec* source = nullptr;  // if it lies in the store
  std::string path;                    // for Checkpoint::open
  std::string origin;
  std::vector<std::string> files;
};

namespace {

constexpr const char* kRecord = "beckon.json";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

struct FileStamp {
  uint64_t bytes = 0;
  int64_t changed = 0;  // nanoseconds
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return FileStamp{static_cast<uint64_t>(status.st_size),
                   int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

// What is remembered of the files of a model, so that they need not be hashed at every start. A
// record that cannot be read is as good as none.
struct Record {
  struct File {
    FileStamp stamp;
    std::string sha256;
  };
  std::map<std::string, File> files;  // by name

  static Record read(const fs::path& folder) {
    Record record;
    std::error_code error;
    if (!fs::exists(folder / kRecord, error)) return record;
    try {
      const std::vector<uint8_t> text = read_file((folder / kRecord).string(), 1 << 20);
      const auto json = nlohmann::json::parse(text.begin(), text.end());
      for (const auto& file : json.at("files"))
        record.files[file.at("name").get<std::string>()] = {
            {file.at("bytes").get<uint64_t>(), file.at("changed_ns").get<int64_t>()},
            file.at("sha256").get<std::string>()};
    } catch (const nlohmann::json::exception&) {
      record.files.clear();
    } catch (const Error&) {
    }
    return record;
  }

  // A store that cannot be written still serves its models.
  void write(const fs::path& folder, const std::string& model) const {
    nlohmann::ordered_json json{
        {"beckon", 1}, {"model", model}, {"files", nlohmann::json::array()}};
    for (const auto& [name, file] : files)
      json["files"].push_back(nlohmann::ordered_json{{"name", name},
                                                     {"bytes", file.stamp.bytes},
                                                     {"changed_ns", file.stamp.changed},
                                                     {"sha256", file.sha256}});
    const std::string text = json.dump(2) + "\n";
    try {
      write_file_atomic((folder / kRecord).string(),
                        {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
    } catch (const Error&) {
    }
  }
};

// Hugging Face's cache: models--owner--name/refs/main holds a commit, snapshots/<commit>/ the
// files.
std::string find_in_hugging_face_cache(const std::string& repository) {
  if (repository.empty()) return "";
  std::vector<fs::path> roots;
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string root = environment(name); !root.empty()) roots.push_back(root);
  if (const std::string home = environment("HF_HOME"); !home.empty())
    roots.push_back(fs::path(home) / "hub");
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty())
    roots.push_back(fs::path(cache) / "huggingface" / "hub");
  if (const std::string home = environment("HOME"); !home.empty())
    roots.push_back(fs::path(home) / ".cache" / "huggingface" / "hub");

  std::string folder = "models--" + repository;
  folder.replace(folder.find('/'), 1, "--");
  for (const fs::path& root : roots) {
    std::error_code error;
    const fs::path snapshots = root / folder / "snapshots";
    std::vector<fs::path> candidates;
    for (const auto& item : fs::directory_iterator(snapshots, error))
      candidates.push_back(item.path());
    std::sort(candidates.begin(), candidates.end());
    const fs::path main = root / folder / "refs" / "main";
    if (fs::is_regular_file(main, error) && fs::file_size(main, error) < 200) {
      const std::vector<uint8_t> commit = read_file(main.string());
      const std::string name(commit.begin(), std::find(commit.begin(), commit.end(), '\n'));
      if (name.find('/') == name.npos) candidates.push_back(snapshots / name);
    }
    for (auto candidate = candidates.rbegin(); candidate != candidates.rend(); ++candidate)
      for (const char* file : {"model.safetensors", "pytorch_model.bin"})
        if (fs::is_regular_file(*candidate / file, error)) return (*candidate / file).string();
  }
  return "";
}

// One pull of a model at a time, across processes; the lock goes with its owner.
class Lock {
 public:
  Lock(const fs::path& path, const PullCallback& progress) {
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) fail(Kind::output, "{}: cannot write: {}", path.string(), std::strerror(errno));
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (progress && !progress({"waiting for another download of this model", 0, 0})) {
        close(fd_);
        fail(Kind::interrupted, "{}: stopped on request", path.string());
      }
      usleep(200'000);
    }
  }
  ~Lock() { close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_ = -1;
};

std::string joined_hash(const std::vector<ModelFile>& files) {
  if (files.size() == 1) return files[0].sha256;
  std::string digests;
  for (const ModelFile& file : files) digests += file.sha256;
  return sha256_hex(std::as_bytes(std::span(digests)));
}

const FileSpec* spec_of(const SourceSpec* source, const std::string& name) {
  if (!source) return nullptr;
  for (const FileSpec& file : source->files)
    if (file.name == name) return &file;
  return nullptr;
}

}  // namespace

Store::Store(std::string folder) : Store(std::move(folder), weights::known_models()) {}

Store::Store(std::string folder, std::vector<ModelSpec> models)
    : folder_(folder.empty() ? default_folder() : std::move(folder)), models_(std::move(models)) {}

Store::~Store() = default;

std::string Store::default_folder() {
  if (const std::string home = environment("BECKON_HOME"); !home.empty())
    return (fs::path(home) / "models").string();
  if (const std::string data = environment("XDG_DATA_HOME"); !data.empty())
    return (fs::path(data) / "beckon" / "models").string();
  const std::string home = environment("HOME");
  if (home.empty())
    fail(Kind::unavailable, "no place for models: set BECKON_HOME (HOME is not set)");
  return (fs::path(home) / ".local" / "share" / "beckon" / "models").string();
}

const ModelSpec* Store::known(const std::string& name) const {
  for (const ModelSpec& model : models_)
    if (model.name == name ||
        std::find(model.aliases.begin(), model.aliases.end(), name) != model.aliases.end())
      return &model;
  return nullptr;
}

std::string Store::folder_of(const ModelSpec& model) const {
  return (fs::path(folder_) / model.name).string();
}

Store::Located Store::locate(const ModelSpec& model) const {
  const fs::path folder = folder_of(model);
  for (const SourceSpec& source : model.sources) {
    std::vector<std::string> files;
    for (const FileSpec& file : source.files) {
      const std::string path = (folder / file.name).string();
      if (stamp_of(path)) files.push_back(path);
    }
    if (files.size() != source.files.size()) continue;
    return {&model, &source, files.size() == 1 ? files[0] : folder.string(), "store", files};
  }
  const std::string cached = find_in_hugging_face_cache(model.hugging_face);
  if (!cached.empty()) return {&model, nullptr, cached, "hugging face cache", {cached}};
  return {&model, nullptr, "", "", {}};
}

Store::Located Store::locate(const std::string& name_or_path) const {
  if (const ModelSpec* model = known(name_or_path)) {
    Located located = locate(*model);
    if (located.path.empty())
      fail(Kind::unavailable, "model '{}' is not in the store; get it with: beckon models pull {}",
           model->name, model->name);
    return located;
  }
  std::error_code error;
  if (fs::is_regular_file(name_or_path, error)) {
    std::vector<std::string> files = {name_or_path};
    // The identity of a model is that of its weights too, wherever they lie.
    const auto file = weights::MappedFile::open(name_or_path);
    if (weights::looks_like_tfjs(file->bytes())) files = weights::read_file(file).files;
    return {nullptr, nullptr, name_or_path, "", std::move(files)};
  }
  if (fs::is_directory(name_or_path, error))
    return {nullptr, nullptr, name_or_path, "", Checkpoint::open(name_or_path).files()};
  if (name_or_path.find_first_of("/.") != name_or_path.npos)
    fail(Kind::missing, "{}: no such file", name_or_path);
  std::string names;
  for (const ModelSpec& model : models_) names += (names.empty() ? "" : ", ") + model.name;
  fail(Kind::unavailable, "model '{}' is not known, and there is no such file; known are {}",
       name_or_path, names);
}

std::vector<ModelFile> Store::hashed(const Located& located, bool again,
                                     const PullCallback& progress) const {
  const bool ours = located.source != nullptr;
  const std::string folder = ours ? folder_of(*located.model) : "";
  Record record = ours ? Record::read(folder) : Record{};
  bool changed = false;
  std::vector<ModelFile> files;
  for (const std::string& path : located.files) {
    const std::string name = fs::path(path).filename().string();
    const FileSpec* spec = spec_of(located.source, name);
    const auto stamp = stamp_of(path);
    if (!stamp) fail(Kind::missing, "{}: cannot open", path);
    ModelFile file{path, stamp->bytes, "", spec ? spec->sha256 : "", true};
    const auto known_file = record.files.find(name);
    const bool recorded = known_file != record.files.end();
    if (recorded && !again && known_file->second.stamp == *stamp) {
      file.sha256 = known_file->second.sha256;
    } else {
      file.sha256 = sha256_of_file(path, [&](uint64_t done) {
        if (progress && !progress({"checking " + name, done, stamp->bytes}))
          fail(Kind::interrupted, "{}: stopped on request", path);
      });
      // A file without a pinned hash is held against what it was when it came.
      const bool as_before =
          !recorded || known_file->second.sha256 == file.sha256 || !file.pinned.empty();
      file.ok = file.sha256.starts_with(file.pinned) && as_before;
      if (file.ok) {
        record.files[name] = {*stamp, file.sha256};
        changed = true;
      } else if (recorded && !file.pinned.empty()) {
        record.files.erase(name);  // nobody is to trust what it says, whatever the file's time
        changed = true;
      }
    }
    if (file.ok) file.ok = file.sha256.starts_with(file.pinned);
    files.push_back(std::move(file));
  }
  if (ours && changed) record.write(folder, located.model->name);
  return files;
}

bool Store::whole(const Located& located) const {
  for (const std::string& path : located.files) {
    const FileSpec* spec = spec_of(located.source, fs::path(path).filename().string());
    const auto stamp = stamp_of(path);
    if (!stamp || (spec && spec->bytes != 0 && stamp->bytes != spec->bytes)) return false;
  }
  try {
    for (const ModelFile& file : hashed(located, false, {}))
      if (!file.ok) return false;
  } catch (const Error&) {  // cannot be read
    return false;
  }
  return true;
}

std::vector<ModelSummary> Store::list() const {
  std::vector<ModelSummary> all;
  for (const ModelSpec& model : models_) {
    const Located located = locate(model);
    ModelSummary summary{model.name,         model.about,  model.licence, model.bytes,
                         ModelState::absent, located.path, located.origin};
    if (!located.path.empty())
      summary.state = !located.source || whole(located) ? ModelState::present : ModelState::damaged;
    std::error_code error;
    for (const SourceSpec& source : model.sources)
      for (const FileSpec& file : source.files)
        if (summary.state == ModelState::absent &&
            fs::exists(fs::path(folder_of(model)) / (file.name + ".partial"), error))
          summary.state = ModelState::partial;
    all.push_back(std::move(summary));
  }
  return all;
}

std::string Store::find(const std::string& name_or_path) const {
  const Located located = locate(name_or_path);
  if (!located.source) return located.path;
  for (const ModelFile& file : hashed(located, false, {}))
    if (!file.ok)
      fail(Kind::model,
           "{}: not the published file: sha256 {}, expected {}; remove it, then: beckon models "
           "pull {}",
           file.path, file.sha256, file.pinned.empty() ? "what it was at first" : file.pinned,
           located.model->name);
  return located.path;
}

void Store::pull(const std::string& name, const PullCallback& progress) const {
  const ModelSpec* model = known(name);
  if (!model) {
    std::string names;
    for (const ModelSpec& other : models_) names += (names.empty() ? "" : ", ") + other.name;
    fail(Kind::usage, "model '{}' is not known; known are {}", name, names);
  }
  const std::string folder = folder_of(*model);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(Kind::output, "{}: cannot make the folder: {}", folder, error.message());
  const Lock lock(fs::path(folder) / ".lock", progress);

  // What is here and whole stays; what is damaged goes, so that it can come again.
  if (const Located located = locate(*model); !located.path.empty()) {
    bool whole = true;
    for (const ModelFile& file : hashed(located, false, progress)) {
      whole &= file.ok;
      if (!file.ok && unlink(file.path.c_str()) != 0)
        fail(Kind::output, "{}: damaged, and cannot be removed: {}", file.path,
             std::strerror(errno));
    }
    if (whole) return;
  }

  std::string answers;
  for (const SourceSpec& source : model->sources) {
    try {
      weights::fetch(source, folder, progress);
      hashed(locate(*model), false, progress);
      return;
    } catch (const Error& failure) {
      if (failure.kind() == Kind::interrupted || failure.kind() == Kind::output) throw;
      answers += (answers.empty() ? "" : "; ") + source.title() + ": " + failure.what();
    }
  }
  const FileSpec& by_hand = model->sources.back().files[0];
  fail(Kind::unavailable, "model '{}' could not be fetched: {}. Without a network, copy {} into {}",
       model->name, answers, by_hand.name, folder);
}

std::vector<ModelFile> Store::verify(const std::string& name_or_path,
                                     const PullCallback& progress) const {
  return hashed(locate(name_or_path), true, progress);
}

ModelDetails Store::show(const std::string& name_or_path) const {
  const Located located = locate(name_or_path);
  ModelDetails details;
  details.path = located.path;
  details.files = hashed(located, false, {});
  details.sha256 = joined_hash(details.files);
  if (located.model) {
    details.name = located.model->name;
    details.licence = located.model->licence;
    details.source = located.source ? located.source->title() : located.origin;
  }
  Checkpoint checkpoint = Checkpoint::open(located.path);
  details.format = checkpoint.format();
  if (holds_sam(checkpoint)) checkpoint = sam_names(checkpoint);
  details.tensors = static_cast<int64_t>(checkpoint.names().size());
  for (const std::string& tensor : checkpoint.names())
    details.parameters += checkpoint.info(tensor).shape.elements();
  return details;
}

std::string Store::sha256(const std::string& name_or_path) const {
  return joined_hash(hashed(locate(name_or_path), false, {}));
}

void Store::convert(const std::string& name_or_path, const std::string& output,
                    DType floats) const {
  const Checkpoint checkpoint = Checkpoint::open(find(name_or_path));
  // "pt" tells readers of the file that tensors are laid out as PyTorch has them.
  const std::map<std::string, std::string> metadata = {
      {"format", "pt"}, {"converted_from_sha256", sha256(name_or_path)}};
  write_safetensors(output, holds_sam(checkpoint) ? sam_names(checkpoint) : checkpoint, floats,
                    metadata);
}

}  // namespace beckon
