// TensorFlow.js: graph models (modelTopology is a GraphDef) and layers models (Keras) have their
// weights in the same form, which is all that is read here:
//   {"modelTopology": ..., "weightsManifest": [{"paths": ["group1-shard1of2", ...], "weights": [
//     {"name": "a/b", "shape": [3,3], "dtype": "float32",
//      "quantization": {"dtype": "uint8", "scale": 0.1, "min": -3, "original_dtype": "float32"}},
//     ...]}]}
// The bytes of a group's files, one file after the other, are its weights, one after the other,
// without gaps; a weight may begin in one file and end in the next.
#include "weights/tfjs.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/json_tokens.h"

namespace beckon::weights {
namespace {

// A graph of 100,000 nodes takes less.
constexpr uint64_t kMaxModelJson = uint64_t{256} << 20;
constexpr size_t kMaxShards = 4096;   // each is mapped
constexpr size_t kMaxTfjsDepth = 64;  // topologies of real models stay below 20

struct Quantization {
  std::string dtype;
  double scale = 1, min = 0;
};

struct Weight {
  std::string name, dtype;
  std::optional<Shape> shape;
  std::optional<Quantization> quantization;
};

struct Group {
  std::vector<std::string> paths;
  std::vector<Weight> weights;
};

// Takes the JSON piece by piece: the topology, which is most of it, is never held.
class Manifest : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Manifest(const std::string& path) : path_(path) {}
  std::vector<Group> groups;
  std::map<std::string, std::string> metadata;
  bool found = false;

  bool null() override { return scalar(); }
  bool boolean(bool) override { return scalar(); }
  bool binary(binary_t&) override { return scalar(); }
  bool number_integer(int64_t value) override {
    return at() == At::quantization ? number(static_cast<double>(value)) : scalar();
  }
  bool number_float(double value, const std::string&) override {
    return at() == At::quantization ? number(value) : scalar();
  }
  bool number_unsigned(uint64_t value) override {
    if (at() == At::quantization) return number(static_cast<double>(value));
    if (at() != At::shape) return scalar();
    Shape& shape = *weight().shape;
    if (value > INT64_MAX) refuse(fmt::format("size {} in a shape", value));
    if (shape.rank() == Shape::kMaxRank)
      fail(Kind::unsupported, "{}: {} has more than {} dimensions", path_, place(),
           Shape::kMaxRank);
    shape.push_back(static_cast<int64_t>(value));
    return true;
  }

  bool string(std::string& text) override {
    switch (at()) {
      case At::root:
        if (key_ == "format" || key_ == "generatedBy" || key_ == "convertedBy")
          metadata[key_] = text.substr(0, 1000);
        return true;
      case At::paths:
        return shard(text);
      case At::weight:
        if (key_ == "name")
          weight().name = std::move(text);
        else if (key_ == "dtype")
          weight().dtype = std::move(text);
        else if (key_ == "shape" || key_ == "quantization")
          return scalar();
        return true;
      case At::quantization:
        if (key_ == "dtype")
          weight().quantization->dtype = std::move(text);
        else if (key_ == "scale" || key_ == "min")
          return scalar();
        return true;
      case At::other:
        return true;
      default:
        return scalar();
    }
  }

  bool key(std::string& text) override {
    if (at() != At::other) key_ = std::move(text);
    return true;
  }

  bool start_object(size_t) override {
    switch (at()) {
      case At::outside:
        return enter(At::root);
      case At::manifest:
        if (groups.size() == kMaxShards)
          fail(Kind::resource, "{}: more than {} weight groups", path_, kMaxShards);
        groups.emplace_back();
        return enter(At::group);
      case At::weights:
        if (++weights_ > kMaxTensors)
          fail(Kind::resource, "{}: more than {} weights", path_, kMaxTensors);
        groups.back().weights.emplace_back();
        return enter(At::weight);
      case At::weight:
        if (key_ != "quantization") break;
        weight().quantization.emplace();
        return enter(At::quantization);
      case At::paths:
      case At::shape:
        refuse("an object in a list of " + std::string(at() == At::paths ? "files" : "sizes"));
      default:
        break;
    }
    expect_other();
    return enter(At::other);
  }

  bool start_array(size_t) override {
    if (at() == At::root && key_ == "weightsManifest") {
      if (found) refuse("weightsManifest occurs twice");
      found = true;
      return enter(At::manifest);
    }
    if (at() == At::group && key_ == "paths") return enter(At::paths);
    if (at() == At::group && key_ == "weights") return enter(At::weights);
    if (at() == At::weight && key_ == "shape") {
      weight().shape.emplace();
      return enter(At::shape);
    }
    if (at() == At::paths || at() == At::shape || at() == At::manifest || at() == At::weights)
      refuse("a list where none belongs");
    expect_other();
    return enter(At::other);
  }

  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail(Kind::model, "{}: not valid JSON at byte {}", path_, position);
  }

  // The weight being read, for messages.
  std::string place() const {
    if (groups.empty()) return "weightsManifest";
    const Group& group = groups.back();
    if (group.weights.empty()) return fmt::format("weight group {}", groups.size() - 1);
    const Weight& last = group.weights.back();
    return last.name.empty()
               ? fmt::format("weight {} of group {}", group.weights.size() - 1, groups.size() - 1)
               : "weight '" + printable(last.name) + "'";
  }

 private:
  enum class At : uint8_t {
    outside,
    root,
    manifest,
    group,
    paths,
    weights,
    weight,
    shape,
    quantization,
    other
  };

  [[noreturn]] void refuse(const std::string& reason) const {
    fail(Kind::model, "{}: {}: {}", path_, place(), reason);
  }
  At at() const { return stack_.empty() ? At::outside : stack_.back(); }
  Weight& weight() { return groups.back().weights.back(); }
  bool enter(At next) {
    if (stack_.size() == kMaxTfjsDepth)
      fail(Kind::model, "{}: nested more than {} deep", path_, kMaxTfjsDepth);
    stack_.push_back(next);
    return true;
  }
  bool leave() {
    stack_.pop_back();
    return true;
  }
  // A list or an object is fine under a key that means nothing here, and nowhere else.
  void expect_other() const {
    if ((at() == At::root && key_ == "weightsManifest") ||
        (at() == At::group && (key_ == "paths" || key_ == "weights")) ||
        (at() == At::weight &&
         (key_ == "name" || key_ == "dtype" || key_ == "shape" || key_ == "quantization")) ||
        (at() == At::quantization && (key_ == "dtype" || key_ == "scale" || key_ == "min")))
      refuse("'" + key_ + "' has the wrong type");
  }
  bool scalar() const {
    if (at() == At::paths) refuse("the name of a file is no text");
    if (at() == At::shape) refuse("a size is no whole number from 0");
    if (at() == At::manifest || at() == At::weights) refuse("a value in place of an object");
    expect_other();
    return true;
  }
  bool number(double value) {
    if (key_ == "scale")
      weight().quantization->scale = value;
    else if (key_ == "min")
      weight().quantization->min = value;
    else
      return scalar();
    return true;
  }
  bool shard(std::string& text) {
    if (text.empty() || text.size() > 255 || text[0] == '.' ||
        text.find_first_of(std::string_view("/\\\0", 3)) != text.npos)
      refuse("shard '" + printable(text) + "' is not a plain file name");
    if (!shards_.insert(text).second) refuse("shard '" + printable(text) + "' occurs twice");
    if (shards_.size() > kMaxShards)
      fail(Kind::resource, "{}: more than {} shards", path_, kMaxShards);
    groups.back().paths.push_back(std::move(text));
    return true;
  }

  const std::string& path_;
  std::vector<At> stack_;
  std::string key_;
  std::set<std::string> shards_;
  size_t weights_ = 0;
};

// A stretch of a group's files. Usually it lies in one of them and is read where it lies.
class ShardStorage : public Storage {
 public:
  ShardStorage(std::shared_ptr<const std::vector<File>> files, uint64_t offset, uint64_t size)
      : files_(std::move(files)), offset_(offset), size_(size) {}

  uint64_t size() const noexcept override { return size_; }

  Bytes bytes() const override {
    auto joined = std::make_shared<std::vector<std::byte>>();
    joined->reserve(size_);
    uint64_t skip = offset_;
    for (const File& file : *files_) {
      if (skip >= file->size()) {
        skip -= file->size();
        continue;
      }
      const uint64_t count = std::min(file->size() - skip, size_ - joined->size());
      const auto part = file->bytes().subspan(skip, count);
      joined->insert(joined->end(), part.begin(), part.end());
      skip = 0;
      if (joined->size() == size_) break;
    }
    const std::span<const std::byte> span = *joined;
    return {std::move(joined), span};
  }

 private:
  std::shared_ptr<const std::vector<File>> files_;
  uint64_t offset_, size_;
};

std::shared_ptr<const Storage> storage_of(const std::shared_ptr<const std::vector<File>>& files,
                                          uint64_t offset, uint64_t size) {
  uint64_t begin = 0;
  for (const File& file : *files) {
    if (offset >= begin && offset - begin <= file->size() &&
        size <= file->size() - (offset - begin))
      return mapped_storage(file, offset - begin, size);
    begin += file->size();
  }
  return std::make_shared<ShardStorage>(files, offset, size);
}

// q -> q * scale + min, in double and rounded once, as TensorFlow.js does; whole numbers are
// rounded half up, as its Math.round does.
class DequantizedStorage : public Storage {
 public:
  DequantizedStorage(std::shared_ptr<const Storage> stored, bool wide, bool whole, double scale,
                     double min)
      : stored_(std::move(stored)), wide_(wide), whole_(whole), scale_(scale), min_(min) {}

  uint64_t size() const noexcept override { return stored_->size() / (wide_ ? 2 : 1) * 4; }

  Bytes bytes() const override {
    const Bytes bytes = stored_->bytes();
    const size_t count = bytes.span.size() / (wide_ ? 2 : 1);
    if (whole_) {
      return decode<int32_t>(bytes, count, [](double value) {
        return static_cast<int32_t>(
            std::clamp(std::floor(value + 0.5), -2147483648.0, 2147483647.0));
      });
    }
    return decode<float>(bytes, count, [](double value) { return static_cast<float>(value); });
  }

 private:
  template <typename T, typename Round>
  Bytes decode(const Bytes& bytes, size_t count, Round round) const {
    auto values = std::make_shared<std::vector<T>>(count);
    for (size_t i = 0; i < count; ++i) {
      uint16_t q = static_cast<uint8_t>(bytes.span[wide_ ? 2 * i : i]);
      if (wide_) q = static_cast<uint16_t>(q | static_cast<uint8_t>(bytes.span[2 * i + 1]) << 8);
      (*values)[i] = round(q * scale_ + min_);
    }
    const auto span = std::as_bytes(std::span(*values));
    return {std::move(values), span};
  }

  std::shared_ptr<const Storage> stored_;
  bool wide_, whole_;
  double scale_, min_;
};

std::optional<Stored> stored_as(std::string_view dtype) {
  static constexpr std::pair<std::string_view, Stored> kTypes[] = {
      {"float32", Stored::f32}, {"float16", Stored::f16}, {"int32", Stored::i32},
      {"int16", Stored::i16},   {"int8", Stored::i8},     {"uint8", Stored::u8},
      {"uint16", Stored::u16},  {"bool", Stored::boolean}};
  for (const auto& [text, type] : kTypes)
    if (text == dtype) return type;
  return std::nullopt;
}

// The bytes of a group, given out in order.
class GroupBytes {
 public:
  GroupBytes(std::vector<File> files, std::string where)
      : files_(std::make_shared<const std::vector<File>>(std::move(files))),
        where_(std::move(where)) {
    for (const File& file : *files_) size_ += file->size();
  }
  uint64_t size() const { return size_; }
  uint64_t left() const { return size_ - offset_; }

  std::shared_ptr<const Storage> take(const Weight& weight, Stored stored) {
    uint64_t bytes = size_of(stored);
    for (int64_t size : *weight.shape)
      if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes))
        fail(Kind::model, "{}: weight '{}' of shape {}: the sizes overflow", where_,
             printable(weight.name), weight.shape->str());
    if (bytes > left())
      fail(Kind::model,
           "{}: weight '{}' of shape {} wants {} bytes, {} are left in the {} shards of its group",
           where_, printable(weight.name), weight.shape->str(), bytes, left(), files_->size());
    auto storage = storage_of(files_, offset_, bytes);
    offset_ += bytes;
    return storage;
  }

 private:
  std::shared_ptr<const std::vector<File>> files_;
  std::string where_;
  uint64_t size_ = 0, offset_ = 0;
};

Entry entry_of(const Weight& weight, GroupBytes& group, const std::string& where) {
  const auto unread = [&](const std::string& dtype) {
    fail(Kind::unsupported, "{}: weight '{}' has element type '{}', which is not read", where,
         printable(weight.name), printable(dtype));
  };
  const std::optional<Stored> type = stored_as(weight.dtype);
  if (!type) unread(weight.dtype);
  // A shape like [2^62, 0, 2^62] has no elements, and strides that mean nothing.
  for (int64_t size : *weight.shape)
    if (size > (int64_t{1} << 40))
      fail(Kind::model, "{}: weight '{}' of shape {}: the sizes overflow", where,
           printable(weight.name), weight.shape->str());
  if (!weight.quantization)
    return make_entry(weight.name, *type, *weight.shape, group.take(weight, *type));

  const Quantization& q = *weight.quantization;
  if (q.dtype == "float16" && weight.dtype == "float32")
    return make_entry(weight.name, Stored::f16, *weight.shape, group.take(weight, Stored::f16));
  if (q.dtype != "uint8" && q.dtype != "uint16")
    unread(weight.dtype + "' quantised as '" + q.dtype);
  if (weight.dtype != "float32" && weight.dtype != "int32")
    unread(weight.dtype + "' quantised as '" + q.dtype);
  // JSON has no infinities, but 1e999 is read as one.
  if (!std::isfinite(q.scale) || !std::isfinite(q.min))
    fail(Kind::model, "{}: weight '{}' has scale {} and min {}; expected finite numbers", where,
         printable(weight.name), q.scale, q.min);
  const bool wide = q.dtype == "uint16", whole = weight.dtype == "int32";
  auto stored = group.take(weight, wide ? Stored::u16 : Stored::u8);
  return make_entry(
      weight.name, whole ? Stored::i32 : Stored::f32, *weight.shape,
      std::make_shared<DequantizedStorage>(std::move(stored), wide, whole, q.scale, q.min));
}

}  // namespace

bool looks_like_tfjs(std::span<const std::byte> bytes) {
  const std::string_view text = as_text(bytes);
  const size_t first = text.substr(0, 4096).find_first_not_of(" \t\r\n");
  if (first == text.npos || text[first] != '{' || text.size() > kMaxModelJson) return false;
  // At the end as TensorFlow.js writes it, or near the beginning.
  return text.rfind("\"weightsManifest\"") != text.npos;
}

Contents read_tfjs(const File& json, const std::function<File(const std::string& name)>& open) {
  const std::string& path = json->path();
  if (json->size() > kMaxModelJson)
    fail(Kind::resource, "{}: a model.json of {} bytes; at most {} are read", path, json->size(),
         kMaxModelJson);
  const std::string_view text = as_text(json->bytes());
  Manifest manifest(path);
  check_json_tokens(text, path);
  nlohmann::json::sax_parse(text.begin(), text.end(), &manifest);
  if (!manifest.found) fail(Kind::model, "{}: no weightsManifest", path);

  Contents contents;
  contents.path = path;
  contents.format = "tfjs";
  contents.metadata = std::move(manifest.metadata);
  contents.file_bytes = json->size();
  contents.files = {path};
  for (size_t g = 0; g < manifest.groups.size(); ++g) {
    const Group& group = manifest.groups[g];
    for (size_t w = 0; w < group.weights.size(); ++w) {
      const Weight& weight = group.weights[w];
      const char* missing = weight.name.empty()    ? "name"
                            : weight.dtype.empty() ? "dtype"
                            : !weight.shape        ? "shape"
                                                   : nullptr;
      if (missing) fail(Kind::model, "{}: weight {} of group {} has no {}", path, w, g, missing);
    }
    std::vector<File> files;
    for (const std::string& name : group.paths) {
      files.push_back(open(name));
      contents.files.push_back(files.back()->path());
      contents.file_bytes += files.back()->size();
    }
    GroupBytes bytes(std::move(files), path);
    for (const Weight& weight : group.weights) {
      Entry entry = entry_of(weight, bytes, path);
      check_inside(entry, path);
      // Dequantised values are up to four times their file, honestly.
      if (weight.quantization) contents.file_bytes += entry.storage->size();
      contents.entries.push_back(std::move(entry));
    }
    if (bytes.left() != 0)
      fail(Kind::model,
           "{}: the shards of weight group {} have {} bytes, its weights take {} (shards of "
           "another download?)",
           path, g, bytes.size(), bytes.size() - bytes.left());
  }
  return contents;
}

Contents read_tfjs(const File& json) {
  const std::filesystem::path folder = std::filesystem::path(json->path()).parent_path();
  return read_tfjs(
      json, [&](const std::string& name) { return MappedFile::open((folder / name).string()); });
}

}  // namespace beckon::weights
