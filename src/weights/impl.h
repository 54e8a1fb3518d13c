// What a Checkpoint holds, and the readers that fill it.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "beckon/checkpoint.h"
#include "weights/entry.h"
#include "weights/mapped_file.h"

namespace beckon::weights {

// An ONNX graph inside a mapped file; its nodes are walked again when somebody wants them (onnx.h).
struct OnnxGraph {
  File file;
  uint64_t offset = 0, size = 0;
  std::string scope;  // begins the names of its tensors: "encoder.onnx:" or nothing
};

// What a reader found in one file, or in a folder of them.
struct Contents {
  std::string path;
  std::string format;
  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;
  std::vector<OnnxGraph> graphs;
  uint64_t file_bytes = 0;
  std::vector<std::string> files;
};

// Several times what any published vision model has, and few enough to be refused at once.
inline constexpr size_t kMaxTensors = 20'000;
inline constexpr size_t kMaxNameLength = 1024;

// The bytes tensors of a file may have together. Deflated members and broadcast tensors make small
// files large; this is the bound that a bomb meets.
inline uint64_t allowed_bytes(uint64_t file_bytes) { return 2 * file_bytes + (uint64_t{64} << 20); }

// One file of any format, told apart by its content.
Contents read_file(const File& file);
// A folder in one of the forms that Checkpoint::open names.
Contents read_folder(const std::string& path);

// The formats. Each throws Error(model) with the place if the file breaks its rules.
Contents read_safetensors(const File& file);
Contents read_torch_zip(const File& file);
Contents read_torch_pickle(const File& file);
Contents read_npz(const File& file);
Contents read_npy(const File& file);
Contents read_onnx(const File& file);
// `file` is the model.json; the shards lie beside it.
Contents read_tfjs(const File& file);

// True if these are the first bytes of the format. Zip files are told apart by their directory.
bool looks_like_safetensors(std::span<const std::byte> bytes);
bool looks_like_onnx(std::span<const std::byte> bytes);

}  // namespace beckon::weights

namespace beckon {

struct Checkpoint::Impl {
  weights::Contents contents;
  std::vector<std::string> names;
  std::unordered_map<std::string_view, uint32_t> index;

  // Checks names, counts and sizes: throws Error(model) for a name that occurs twice,
  // Error(resource) over a limit.
  static std::shared_ptr<const Impl> make(weights::Contents contents);
  // nullptr if there is none.
  const weights::Entry* find(std::string_view name) const;
  const weights::Entry& at(const std::string& name) const;
};

}  // namespace beckon
