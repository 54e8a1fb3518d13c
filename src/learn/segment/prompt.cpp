// The prompt as a value and as a file.
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.h"
#include "base/sha256.h"
#include "beckon/checkpoint.h"
#include "beckon/version.h"
#include "image/components.h"
#include "image/placed.h"
#include "learn/segment/network.h"
#include "models/sam/predicted_mask.h"

namespace beckon {
namespace {

constexpr const char* kPromptKind = "segment prompt 1";
constexpr size_t kMostAbout = 1000;         // entries
constexpr size_t kLongestAbout = 64 << 10;  // of one

struct NamedPart {
  const char* name;
  Tensor SegmentPromptTensors::*tensor;
};
constexpr NamedPart kParts[] = {{"tokens", &SegmentPromptTensors::tokens},
                                {"dense", &SegmentPromptTensors::dense},
                                {"prior.direction", &SegmentPromptTensors::direction},
                                {"prior.offset", &SegmentPromptTensors::offset}};

// Empty if all is well, else what is wrong.
std::string complaint(const SegmentPromptTensors& t, int64_t dim) {
  if (!t.tokens.defined() && !t.dense.defined() && !t.direction.defined())
    return "the prompt is empty";
  if (t.direction.defined() != t.offset.defined())
    return "a prior needs both 'prior.direction' and 'prior.offset'";
  for (const NamedPart& part : kParts) {
    const Tensor& x = t.*part.tensor;
    if (!x.defined()) continue;
    const bool tokens = part.tensor == &SegmentPromptTensors::tokens;
    Shape expected = {dim};
    if (tokens) expected = {x.rank() == 2 ? x.dim(0) : 1, dim};
    if (part.tensor == &SegmentPromptTensors::offset) expected = {1};
    if (!(x.shape() == expected) || x.dtype() != DType::f32)
      return fmt::format("'{}' is {} {}, expected f32 {}", part.name, name_of(x.dtype()),
                         x.shape().str(), tokens ? fmt::format("[k,{}]", dim) : expected.str());
    if (tokens && (x.dim(0) < 1 || x.dim(0) > SegmentPrompt::kMostTokens))
      return fmt::format("{} tokens, expected 1 to {}", x.dim(0), SegmentPrompt::kMostTokens);
    const Tensor plain = x.detach().contiguous();
    for (const float v : std::as_const(plain).values())
      if (!std::isfinite(v)) return fmt::format("'{}' holds a value that is not finite", part.name);
  }
  return "";
}

// Over everything else that the file says. Whoever changes a number by hand would have to know
// this: the point is that nobody does so by accident, not that nobody can.
std::string checksum(const SegmentPromptTensors& tensors,
                     const std::map<std::string, std::string>& metadata) {
  Sha256 sha;
  const auto text = [&](const std::string& s) {
    const std::string size = std::to_string(s.size()) + ":";
    sha.update(std::as_bytes(std::span(size)));
    sha.update(std::as_bytes(std::span(s)));
  };
  for (const auto& [key, value] : metadata) {
    if (key == "checksum") continue;
    text(key);
    text(value);
  }
  for (const NamedPart& part : kParts) {
    const Tensor& x = tensors.*part.tensor;
    if (!x.defined()) continue;
    text(part.name + x.shape().str());
    sha.update(std::as_bytes(x.values()));
  }
  return sha.hex();
}

std::string text_of(const Checkpoint& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

}  // namespace

SegmentPrompt::SegmentPrompt(const Sam& sam, SegmentPromptTensors tensors,
                             std::map<std::string, std::string> about)
    : model_hash_(sam.model_hash()), variant_(sam.variant()), about_(std::move(about)) {
  const std::string wrong = complaint(tensors, sam.model().config.dim());
  if (!wrong.empty()) fail(Kind::usage, "segment prompt: {}", wrong);
  for (const NamedPart& part : kParts)
    if (const Tensor& x = tensors.*part.tensor; x.defined())
      tensors_.*part.tensor = x.detach().clone();
}

bool SegmentPrompt::recognise(const std::string& path) {
  try {
    return text_of(Checkpoint::open(path), "beckon") == kPromptKind;
  } catch (const Error&) {
    return false;
  }
}

SegmentPrompt SegmentPrompt::load(const Sam& sam, const std::string& path) {
  const Checkpoint file = [&] {
    try {
      return Checkpoint::open(path);
    } catch (const Error& error) {
      if (error.kind() != Kind::model) throw;
      fail(Kind::input, "{} (a prompt that `beckon learn --task segment` wrote is expected)",
           error.what());
    }
  }();
  if (text_of(file, "beckon") != kPromptKind)
    fail(Kind::input, "{}: this is no prompt that was learned for a segmenter", path);

  SegmentPrompt prompt;
  prompt.model_hash_ = text_of(file, "model_hash");
  prompt.variant_ = text_of(file, "variant");
  if (file.metadata().size() > kMostAbout)
    fail(Kind::resource, "{}: more than {} entries of metadata", path, kMostAbout);
  for (const auto& [key, value] : file.metadata()) {
    if (value.size() > kLongestAbout)
      fail(Kind::resource, "{}: metadata '{:.40}' has more than {} bytes", path, key,
           kLongestAbout);
    if (key != "beckon" && key != "model_hash" && key != "variant" && key != "checksum")
      prompt.about_[key] = value;
  }

  // Another model's file is as good as new: say that it is for another model, not that it is
  // broken.
  if (prompt.model_hash_ != sam.model_hash())
    fail(Kind::model,
         "{}: learned for another model ({} with hash {:.12}; this one is {} with hash {:.12})",
         path, prompt.variant_, prompt.model_hash_, sam.variant(), sam.model_hash());
  const int64_t dim = sam.model().config.dim();
  for (const std::string& name : file.names()) {
    const auto part = std::find_if(std::begin(kParts), std::end(kParts),
                                   [&](const NamedPart& p) { return name == p.name; });
    if (part == std::end(kParts)) fail(Kind::input, "{}: unknown tensor '{}'", path, name);
    const TensorInfo& info = file.info(name);
    if (info.dtype != DType::f32 || info.shape.elements() > dim * kMostTokens)
      fail(Kind::input, "{}: '{}' is {} {}, too much or no f32", path, name, name_of(info.dtype),
           info.shape.str());
    Tensor values = Tensor::empty(info.shape);
    file.read_f32(name, {values.data(), static_cast<size_t>(values.size())});
    prompt.tensors_.*part->tensor = values;
  }
  const std::string wrong = complaint(prompt.tensors_, dim);
  if (!wrong.empty()) fail(Kind::input, "{}: {}", path, wrong);
  if (text_of(file, "checksum") != checksum(prompt.tensors_, file.metadata()))
    fail(Kind::input, "{}: was changed after it was written: its checksum does not fit", path);
  return prompt;
}

void SegmentPrompt::save(const std::string& path) const {
  std::map<std::string, std::string> metadata = about_;
  metadata["beckon"] = kPromptKind;
  metadata["model_hash"] = model_hash_;
  metadata["variant"] = variant_;
  metadata["checksum"] = checksum(tensors_, metadata);
  std::vector<TensorBytes> list;
  for (const NamedPart& part : kParts) {
    const Tensor& x = tensors_.*part.tensor;
    if (x.defined()) list.push_back({part.name, DType::f32, x.shape(), std::as_bytes(x.values())});
  }
  write_safetensors(path, list, metadata);
}

namespace {

PredictedMask predicted(const sam::Seen& seen, const learn::PromptedMask& answer) {
  auto mask = std::make_shared<PredictedMask::Impl>();
  mask->score = answer.score;
  mask->token = 0;
  mask->logits = answer.logits;
  mask->frame = seen.frame;
  return PredictedMask(std::move(mask));
}

constexpr double kSameThing = 0.7;

}  // namespace

const sam::Seen& SegmentPrompt::seen_by_its_model(const Embedding& embedding) const {
  const sam::Seen& seen = embedding.seen();
  if (seen.model->hash() != model_hash_)
    fail(Kind::usage, "segment prompt: learned for the model {:.12}, the embedding is of {:.12}",
         model_hash_, seen.model->hash());
  return seen;
}

PredictedMask SegmentPrompt::apply(const Embedding& embedding) const {
  const sam::Seen& seen = seen_by_its_model(embedding);
  return predicted(seen, learn::together(seen, learn::answers(seen, tensors_)));
}

std::vector<PredictedMask> SegmentPrompt::instances(const Embedding& embedding) const {
  const sam::Seen& seen = seen_by_its_model(embedding);
  std::vector<learn::PromptedMask> answers = learn::answers(seen, tensors_);
  std::stable_sort(answers.begin(), answers.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
  std::vector<PredictedMask> kept;
  for (const learn::PromptedMask& answer : answers) {
    PredictedMask mask = predicted(seen, answer);
    if (mask.area() == 0) continue;
    if (std::none_of(kept.begin(), kept.end(), [&](const PredictedMask& other) {
          return iou(other.rle(), mask.rle()) > kSameThing;
        }))
      kept.push_back(std::move(mask));
  }
  return kept;
}

std::vector<float> SegmentPrompt::prior(const Embedding& embedding) const {
  if (!tensors_.direction.defined()) return {};
  const NoGrad no_grad;
  const Tensor logits = learn::prior_logits(embedding.seen(), tensors_).contiguous();
  const auto values = std::as_const(logits).values();
  return {values.begin(), values.end()};
}

int64_t SegmentPrompt::parameter_count() const {
  int64_t count = 0;
  for (const NamedPart& part : kParts)
    if (const Tensor& x = tensors_.*part.tensor; x.defined()) count += x.size();
  return count;
}

std::vector<Rle> separate_parts(const Mask& mask, int64_t min_area) {
  if (mask.empty()) return {};
  const detail::Parts found = detail::parts_of(mask, true);
  std::vector<std::vector<const detail::Run*>> runs_of(found.parts.size());
  for (const detail::Run& run : found.runs) runs_of[static_cast<size_t>(run.part)].push_back(&run);
  std::vector<size_t> order;
  for (size_t i = 0; i < found.parts.size(); ++i)
    if (found.parts[i].area >= min_area) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return found.parts[a].area > found.parts[b].area; });
  std::vector<Rle> parts;
  for (const size_t i : order) {
    const PixelBox& box = found.parts[i].box;
    Mask part(box.width, box.height);
    for (const detail::Run* run : runs_of[i]) {
      uint8_t* row = part.mutable_row(run->y - box.y);
      std::fill(row + (run->begin - box.x), row + (run->end - box.x), uint8_t{1});
    }
    parts.push_back(runs::placed(part.rle(), box.x, box.y, mask.size()));
  }
  return parts;
}

}  // namespace beckon
