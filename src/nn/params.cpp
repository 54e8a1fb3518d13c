#include "nn/params.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <mutex>
#include <unordered_map>

#include "base/fail.h"
#include "base/slabs.h"
#include "base/threads.h"

namespace beckon::nn {

// The origin of the numbers, and the list of what was given out.
struct Params::Source {
  virtual ~Source() = default;
  virtual std::optional<Shape> shape(const std::string& name) const = 0;
  // Names in any order; empty if the source has every name.
  virtual std::vector<std::string> names() const = 0;
  virtual Tensor load(const std::string& name, const Shape& shape, Init init) const = 0;
  // Memory for a tensor that fill() gives its numbers, or none: then load() has nothing to do
  // either.
  virtual Tensor set_aside(const std::string&, const Shape&) { return {}; }
  virtual void fill(const std::string&, Tensor&) const {}
  virtual bool has_all() const { return false; }

  std::string origin;

  std::mutex mutex;
  std::vector<Parameter> taken;
  std::unordered_map<std::string, size_t> place;        // of a name in `taken`
  std::vector<std::pair<std::string, Tensor>> waiting;  // set aside, not filled yet
};

namespace {

class FileSource : public Params::Source {
 public:
  explicit FileSource(const Checkpoint& file) : file_(file) { origin = file.path(); }

  std::optional<Shape> shape(const std::string& name) const override {
    if (!file_.contains(name)) return std::nullopt;
    return file_.info(name).shape;
  }
  std::vector<std::string> names() const override {
    return {file_.names().begin(), file_.names().end()};
  }
  Tensor load(const std::string& name, const Shape& shape, Init) const override {
    if (file_.info(name).dtype == DType::f32) {
      if (auto raw = file_.raw(name)) return Tensor::wrap(raw->owner, raw->data, shape, DType::f32);
    }
    Tensor result = memory(shape);
    fill(name, result);
    return result;
  }
  Tensor set_aside(const std::string& name, const Shape& shape) override {
    if (file_.info(name).dtype == DType::f32 && file_.raw(name)) return {};
    return memory(shape);
  }
  void fill(const std::string& name, Tensor& tensor) const override {
    file_.read_f32(name, {tensor.data(), static_cast<size_t>(tensor.size())});
  }

 private:
  Tensor memory(const Shape& shape) const {
    Slabs::Block block = slabs_.take(static_cast<size_t>(shape.elements()) * sizeof(float));
    return Tensor::wrap(std::move(block.owner), block.memory, shape, DType::f32);
  }

  Checkpoint file_;
  mutable Slabs slabs_;
};

class MemorySource : public Params::Source {
 public:
  MemorySource(std::map<std::string, Tensor> tensors, std::string from)
      : tensors_(std::move(tensors)) {
    origin = std::move(from);
  }

  std::optional<Shape> shape(const std::string& name) const override {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) return std::nullopt;
    return found->second.shape();
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> result;
    for (const auto& [name, tensor] : tensors_) result.push_back(name);
    return result;
  }
  Tensor load(const std::string& name, const Shape&, Init) const override {
    return tensors_.at(name).to(DType::f32).contiguous();
  }

 private:
  std::map<std::string, Tensor> tensors_;
};

// splitmix64 and the polar form of Box and Muller: the same numbers on every machine and library.
class Normal {
 public:
  explicit Normal(uint64_t seed) : state_(seed) {}

  float next() {
    for (;;) {
      const double u = 2 * uniform() - 1, v = 2 * uniform() - 1;
      const double s = u * u + v * v;
      if (s == 0 || s >= 1) continue;
      const double x = u * std::sqrt(-2 * std::log(s) / s);
      if (std::abs(x) <= 2) return static_cast<float>(x);
    }
  }

 private:
  double uniform() {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  uint64_t state_;
};

uint64_t hash_of(const std::string& text) {  // FNV-1a
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

class MadeSource : public Params::Source {
 public:
  explicit MadeSource(std::optional<uint64_t> seed) : seed_(seed) {
    origin = seed ? "random parameters" : "zero parameters";
  }
  std::optional<Shape> shape(const std::string&) const override { return std::nullopt; }
  std::vector<std::string> names() const override { return {}; }
  bool has_all() const override { return true; }
  Tensor load(const std::string& name, const Shape& shape, Init init) const override {
    if (!seed_ || init == Init::zeros) return Tensor::zeros(shape);
    if (init == Init::ones) return Tensor::full(shape, 1.0f);
    Tensor result = Tensor::empty(shape);
    Normal normal(*seed_ ^ hash_of(name));
    float* values = result.data();
    for (int64_t i = 0; i < result.size(); ++i) values[i] = 0.02f * normal.next();
    return result;
  }

 private:
  std::optional<uint64_t> seed_;
};

std::string joined(const std::string& path, std::string_view name) {
  if (path.empty()) return std::string(name);
  if (name.empty()) return path;
  return path + "." + std::string(name);
}

}  // namespace

Params::Params(std::shared_ptr<Source> source, std::string path)
    : source_(std::move(source)), path_(std::move(path)) {}

Params Params::from(const Checkpoint& checkpoint) {
  return {std::make_shared<FileSource>(checkpoint), ""};
}

Params Params::from(std::map<std::string, Tensor> tensors, std::string origin) {
  return {std::make_shared<MemorySource>(std::move(tensors), std::move(origin)), ""};
}

Params Params::random(uint64_t seed) { return {std::make_shared<MadeSource>(seed), ""}; }
Params Params::zeros() { return {std::make_shared<MadeSource>(std::nullopt), ""}; }

Params Params::operator/(std::string_view name) const {
  Params below = *this;
  below.path_ = joined(path_, name);
  return below;
}

Params Params::operator/(int64_t index) const { return *this / std::to_string(index); }

std::string Params::full(std::string_view name) const { return joined(path_, name); }

Tensor Params::tensor(std::string_view name, const Shape& shape, Init init) const {
  return take(name, shape, init, true);
}

Tensor Params::buffer(std::string_view name, const Shape& shape, Init init) const {
  return take(name, shape, init, false);
}

Tensor Params::take(std::string_view name, const Shape& shape, Init init, bool trainable) const {
  const std::string key = full(name);
  const std::string hint = hint_.empty() ? "" : " (" + hint_ + ")";
  if (!source_->has_all()) {
    const std::optional<Shape> found = source_->shape(key);
    if (!found) fail(Kind::model, "{}: there is no tensor '{}'{}", origin(), key, hint);
    if (!(*found == shape))
      fail(Kind::model, "{}: tensor '{}' has shape {}, expected {}{}", origin(), key, found->str(),
           shape.str(), hint);
  }
  std::lock_guard lock(source_->mutex);
  if (const auto again = source_->place.find(key); again != source_->place.end()) {
    const Tensor& tensor = source_->taken[again->second].tensor;
    if (!(tensor.shape() == shape))
      fail(Kind::internal, "'{}' is asked for with shapes {} and {}", key, tensor.shape().str(),
           shape.str());
    return tensor;
  }
  Tensor tensor;
  if (later_) tensor = source_->set_aside(key, shape);
  if (tensor.defined())
    source_->waiting.emplace_back(key, tensor);
  else
    tensor = source_->load(key, shape, init);
  source_->place.emplace(key, source_->taken.size());
  source_->taken.push_back({key, tensor, trainable});
  return tensor;
}

Params Params::later() const {
  Params result = *this;
  result.later_ = true;
  return result;
}

void Params::read() const {
  std::vector<std::pair<std::string, Tensor>> tensors;
  {
    const std::lock_guard lock(source_->mutex);
    auto& waiting = source_->waiting;
    const auto rest = std::partition(waiting.begin(), waiting.end(), [&](const auto& item) {
      return !path_.empty() && !item.first.starts_with(path_ + ".");
    });
    std::move(rest, waiting.end(), std::back_inserter(tensors));
    waiting.erase(rest, waiting.end());
  }
  parallel_for(static_cast<int64_t>(tensors.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      auto& [name, tensor] = tensors[static_cast<size_t>(i)];
      source_->fill(name, tensor);
    }
  });
}

bool Params::has(std::string_view name) const { return shape(name).has_value(); }

std::optional<Shape> Params::shape(std::string_view name) const {
  return source_->shape(full(name));
}

int64_t Params::count(std::string_view name) const {
  const std::string prefix = full(name) + ".";
  std::vector<std::string> names = source_->names();
  std::sort(names.begin(), names.end());
  for (int64_t n = 0;; ++n) {
    const std::string start = prefix + std::to_string(n) + ".";
    const auto at = std::lower_bound(names.begin(), names.end(), start);
    if (at == names.end() || !at->starts_with(start)) return n;
  }
}

const std::string& Params::origin() const { return source_->origin; }

Params Params::with_hint(std::string hint) const {
  Params result = *this;
  result.hint_ = std::move(hint);
  return result;
}

std::vector<Parameter> Params::taken() const {
  std::lock_guard lock(source_->mutex);
  return source_->taken;
}

}  // namespace beckon::nn
