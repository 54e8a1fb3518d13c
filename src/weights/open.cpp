// Which reader a file or a folder goes to.
#include <algorithm>
#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"
#include "weights/json_tokens.h"
#include "weights/tfjs.h"
#include "weights/zip.h"

namespace beckon::weights {
namespace {

namespace fs = std::filesystem;

Contents read_any_zip(const File& file) {
  bool arrays = false, torch = false;
  for (const ZipMember& member : read_zip(file)) {
    arrays |= member.name.ends_with(".npy");
    torch |= member.name == "data.pkl" || member.name.ends_with("/data.pkl");
  }
  if (torch) return read_torch_zip(file);
  if (arrays) return read_npz(file);
  fail(Kind::model, "{}: a zip file with neither data.pkl (PyTorch) nor .npy members (npz)",
       file->path());
}

// What people download by accident in place of a checkpoint.
const char* likely_reason(std::string_view text) {
  if (text.empty()) return "the file is empty";
  if (text.starts_with("version https://git-lfs"))
    return "a Git LFS pointer; the real file was not fetched";
  if (text.starts_with("<")) return "a web page; the download went wrong";
  if (text.find("ustar") == 257) return "a tar archive, which is not read";
  return "neither safetensors, PyTorch, npz, npy, ONNX nor TensorFlow.js";
}

// {"metadata": {...}, "weight_map": {"tensor": "file", ...}}: the set of files.
class ShardIndex : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit ShardIndex(const std::string& path) : path_(path) {}
  std::set<std::string> files;
  std::map<std::string, std::string> tensors;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool string(std::string& text) override {
    if (depth_ != 2 || section_ != "weight_map") return true;
    if (text.empty() || text.find('/') != text.npos || text[0] == '.')
      fail(Kind::model, "{}: shard '{}' is not a plain file name", path_, printable(text));
    if (tensors.size() == kMaxTensors)
      fail(Kind::resource, "{}: more than {} tensors", path_, kMaxTensors);
    files.insert(text);
    tensors[key_] = text;
    return true;
  }
  bool key(std::string& text) override {
    (depth_ == 1 ? section_ : key_) = std::move(text);
    return true;
  }
  bool start_object(size_t) override { return deeper(); }
  bool end_object() override { return --depth_, true; }
  bool start_array(size_t) override { return deeper(); }
  bool end_array() override { return --depth_, true; }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(Kind::model, "{}: not valid JSON at byte {}", path_, position);
  }

 private:
  bool deeper() {
    if (++depth_ > 8) fail(Kind::model, "{}: nested more than 8 deep", path_);
    return true;
  }
  const std::string& path_;
  int depth_ = 0;
  std::string section_, key_;
};

void append(Contents& all, Contents part, const std::string& scope) {
  for (Entry& entry : part.entries) {
    entry.info.name.insert(0, scope);
    all.entries.push_back(std::move(entry));
  }
  for (OnnxGraph& graph : part.graphs) {
    graph.scope = scope;
    all.graphs.push_back(std::move(graph));
  }
  all.metadata.merge(part.metadata);
  all.file_bytes += part.file_bytes;
  all.files.insert(all.files.end(), part.files.begin(), part.files.end());
  all.format = part.format;
}

Contents read_shards(const fs::path& folder, const std::string& index_path) {
  const File index_file = MappedFile::open(index_path);
  const std::string_view text = as_text(index_file->bytes());
  ShardIndex index(index_path);
  check_json_tokens(text, index_path);
  nlohmann::json::sax_parse(text.begin(), text.end(), &index);
  if (index.files.empty()) fail(Kind::model, "{}: no weight_map with files", index_path);
  Contents all;
  all.path = folder.string();
  std::set<std::pair<std::string, std::string>> found;
  for (const std::string& name : index.files) {
    Contents part = read_file(MappedFile::open((folder / name).string()));
    for (const Entry& entry : part.entries) found.emplace(entry.info.name, name);
    append(all, std::move(part), "");
  }
  for (const auto& pair : index.tensors)
    if (!found.count(pair))
      fail(Kind::model, "{}: tensor '{}' is not in '{}' (shards of different downloads?)",
           index_path, printable(pair.first), printable(pair.second));
  return all;
}

}  // namespace

namespace {

Contents read_by_content(const File& file) {
  const auto bytes = file->bytes();
  const std::string_view text = as_text(bytes);
  if (looks_like_safetensors(bytes)) return read_safetensors(file);
  if (text.starts_with("PK\x03\x04") || text.starts_with("PK\x05\x06")) return read_any_zip(file);
  if (text.starts_with("\x93NUMPY")) return read_npy(file);
  // A protocol 2 to 5 pickle, or one of an older protocol whose first step refers to a name.
  if (text.starts_with("\x80") || text.starts_with("c")) return read_torch_pickle(file);
  if (looks_like_tfjs(bytes)) return read_tfjs(file);
  if (looks_like_onnx(bytes)) return read_onnx(file);
  fail(Kind::model, "{}: not a checkpoint: {}", file->path(), likely_reason(text));
}

}  // namespace

Contents read_file(const File& file) {
  Contents contents = read_by_content(file);
  if (contents.files.empty()) contents.files = {file->path()};
  return contents;
}

Contents read_folder(const std::string& path) {
  const fs::path folder(path);
  std::error_code error;
  const auto has = [&](const char* name) { return fs::exists(folder / name, error); };
  const auto open = [&](const fs::path& name) {
    Contents contents = read_file(MappedFile::open((folder / name).string()));
    contents.path = path;
    return contents;
  };
  if (has("encoder.onnx") && has("sam.onnx")) {
    Contents both;
    both.path = path;
    for (const char* name : {"encoder.onnx", "sam.onnx"})
      append(both, open(name), std::string(name) + ":");
    return both;
  }
  for (const char* name : {"model.safetensors.index.json", "pytorch_model.bin.index.json"})
    if (has(name)) return read_shards(folder, (folder / name).string());
  for (const char* name : {"model.safetensors", "pytorch_model.bin", "model.json"})
    if (has(name)) return open(name);

  std::vector<fs::path> candidates;
  for (const auto& item : fs::directory_iterator(folder, error)) {
    static const std::set<std::string> kEndings = {".safetensors", ".pth", ".pt",   ".bin",
                                                   ".npz",         ".npy", ".onnx", ".ckpt"};
    if (item.is_regular_file(error) && kEndings.count(item.path().extension().string()))
      candidates.push_back(item.path().filename());
  }
  if (candidates.size() == 1) return open(candidates[0]);
  fail(Kind::missing,
       "{}: a folder with {} checkpoint files; expected encoder.onnx and sam.onnx, "
       "model.safetensors, "
       "pytorch_model.bin, model.json, or one file",
       path, candidates.size());
}

}  // namespace beckon::weights
