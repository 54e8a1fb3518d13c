#include "models/sam/seen.h"

#include <algorithm>

#include "base/fail.h"
#include "models/sam/predicted_mask.h"

namespace beckon::sam {
namespace {

// How many prompts go to the decoder at a time, for the memory they need: image tokens of 4 MB a
// prompt, several times over, in the readable form; one of them, the encoded mask, in the other,
// which takes prompts without masks in groups of its own.
constexpr size_t kPlainGroup = 4;
constexpr size_t kMaskedGroup = 8;

// From so many prompts of a kind in one call the form for many pays for what it makes of an image.
// It is chosen by the call alone, never by what was asked before: the same call gives the same
// bits.
constexpr int64_t kMany = 8;

// The mask tokens that are wanted of an object.
std::vector<int64_t> wanted_tokens(Multimask multimask, bool one_point, int64_t masks) {
  std::vector<int64_t> tokens;
  if (multimask == Multimask::automatic)
    multimask = one_point ? Multimask::readings : Multimask::single;
  if (multimask == Multimask::single) return {0};
  for (int64_t i = multimask == Multimask::all ? 0 : 1; i < masks; ++i) tokens.push_back(i);
  return tokens;
}

}  // namespace

// Objects that have the same number of sparse tokens, and all or none a mask: what the decoder can
// take in one go.
struct Seen::Batch {
  std::vector<size_t> objects;  // places in the caller's list
  std::vector<const FramePrompt*> prompts;

  int64_t size() const { return static_cast<int64_t>(prompts.size()); }
  bool masked() const { return !prompts[0]->mask.empty(); }

  // [P,S,C], or none
  Tensor sparse(const PromptEncoder& encoder) const {
    const int64_t tokens = prompts[0]->sparse();
    if (tokens == 0) return {};
    Tensor xy = Tensor::empty({size(), tokens, 2});
    Tensor labels = Tensor::empty({size(), tokens}, DType::i64);
    float* to = xy.data();
    int64_t* label = labels.data_as<int64_t>();
    for (const FramePrompt* prompt : prompts) {
      to = std::copy(prompt->xy.begin(), prompt->xy.end(), to);
      for (const TokenLabel l : prompt->labels) *label++ = static_cast<int64_t>(l);
    }
    return encoder.tokens(xy, labels);
  }

  // [P,h,w,C], or none
  Tensor dense(const PromptEncoder& encoder) const {
    if (!masked()) return {};
    const PromptEncoderConfig& c = encoder.config();
    Tensor masks = Tensor::empty({size(), 4 * c.grid_h, 4 * c.grid_w, 1});
    float* to = masks.data();
    for (const FramePrompt* prompt : prompts)
      to = std::copy(prompt->mask.begin(), prompt->mask.end(), to);
    return encoder.dense(masks);
  }
};

std::shared_ptr<const FastMaskDecoder::Image> Seen::prepared() const {
  const Tensor no_mask = model->prompt_encoder.no_mask();
  std::vector<const Tensor*> read = model->fast_decoder.read_by_prepare();
  read.push_back(&no_mask);
  return *prepared_.get(read, [&] {
    return model->fast_decoder.prepare(embedding, no_mask, model->prompt_encoder.grid_code());
  });
}

std::shared_ptr<const LowRankMaskDecoder::Image> Seen::prepared_for_many() const {
  const Tensor no_mask = model->prompt_encoder.no_mask();
  std::vector<const Tensor*> read = model->fast_decoder.read_by_prepare();
  for (const Tensor* tensor : model->low_rank_decoder.read_by_prepare()) read.push_back(tensor);
  read.push_back(&no_mask);
  return *prepared_for_many_.get(read,
                                 [&] { return model->low_rank_decoder.prepare(*prepared()); });
}

void Seen::decode(const Batch& batch, const SegmentOptions& options, DecoderForm form,
                  std::vector<Masks>& answers) const {
  const int64_t masks = model->config.decoder.masks();
  const Tensor sparse = batch.sparse(model->prompt_encoder);
  const int64_t tokens = 1 + masks + batch.prompts[0]->sparse();

  const auto choose = [&](int64_t prompt, std::span<const float> iou) {
    std::vector<int64_t> chosen;
    const bool one_point = batch.prompts[static_cast<size_t>(prompt)]->one_point;
    for (const int64_t token : wanted_tokens(options.multimask, one_point, masks))
      if (iou[static_cast<size_t>(token)] > options.score_above) chosen.push_back(token);
    return chosen;
  };
  const auto answer = [&](int64_t prompt, std::span<const float> iou, const Tensor& logits,
                          bool logits_of_all) {
    std::vector<PredictedMask> result;
    const std::vector<int64_t> chosen = choose(prompt, iou);
    for (size_t i = 0; i < chosen.size(); ++i) {
      auto mask = std::make_shared<PredictedMask::Impl>();
      mask->score = iou[static_cast<size_t>(chosen[i])];
      mask->token = static_cast<int>(chosen[i]);
      mask->logits = logits.select(0, logits_of_all ? chosen[i] : static_cast<int64_t>(i));
      // A copy of its own, so that keeping one mask does not keep the others.
      if (logits.size() > mask->logits.size()) mask->logits = mask->logits.clone();
      mask->frame = frame;
      result.emplace_back(std::move(mask));
    }
    std::stable_sort(result.begin(), result.end(),
                     [](const auto& a, const auto& b) { return a.score() > b.score(); });
    answers[batch.objects[static_cast<size_t>(prompt)]] = Masks(std::move(result));
  };

  const Tensor dense = batch.dense(model->prompt_encoder);
  const auto row = [&](const Tensor& iou, int64_t prompt) {
    return std::span(std::as_const(iou).data() + prompt * masks, static_cast<size_t>(masks));
  };
  // Prompts that cannot be told apart (no tokens, no masks) share one row.
  const auto shared = [](int64_t p, const Tensor& iou) { return std::min(p, iou.dim(0) - 1); };
  const bool many =
      !batch.masked() && model->low_rank_decoder.suits(tokens) &&
      (form == DecoderForm::many || (form == DecoderForm::by_count && batch.size() >= kMany));
  if (many || model->fast_decoder.suits(tokens)) {
    auto output = many ? model->low_rank_decoder.forward(*prepared_for_many(), sparse, choose)
                       : model->fast_decoder.forward(*prepared(), sparse, dense, choose);
    for (int64_t p = 0; p < batch.size(); ++p) {
      const int64_t from = shared(p, output.iou);
      answer(p, row(output.iou, from), output.masks[static_cast<size_t>(from)], false);
      if (from < p || output.iou.dim(0) < batch.size()) continue;
      output.masks[static_cast<size_t>(from)] = {};  // with many prompts the copies add up
    }
  } else {
    const auto output =
        model->mask_decoder.forward(embedding, model->prompt_encoder.grid_code(), sparse,
                                    dense.defined() ? dense : model->prompt_encoder.no_mask());
    const Tensor iou = output.iou.contiguous();
    for (int64_t p = 0; p < batch.size(); ++p) {
      const int64_t from = shared(p, iou);
      answer(p, row(iou, from), output.masks.select(0, from), true);
    }
  }
}

std::vector<Masks> Seen::segment(std::span<const ObjectQuery> queries,
                                 const SegmentOptions& options, DecoderForm form) const {
  std::vector<FramePrompt> prompts;
  for (size_t i = 0; i < queries.size(); ++i) {
    const std::string name = queries.size() > 1 ? fmt::format("object {}: ", i + 1) : "";
    prompts.push_back(to_frame(queries[i], frame, model->config.prompt, name));
  }
  return segment(std::span<const FramePrompt>(prompts), options, form);
}

std::vector<Masks> Seen::segment(std::span<const FramePrompt> prompts,
                                 const SegmentOptions& options, DecoderForm form) const {
  NoGrad no_grad;
  std::vector<Masks> answers(prompts.size());
  std::vector<char> done(prompts.size(), 0);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (done[i]) continue;
    Batch batch;
    const auto same_kind = [&](const FramePrompt& p) {
      return p.sparse() == prompts[i].sparse() && p.mask.empty() == prompts[i].mask.empty();
    };
    const bool fast =
        model->fast_decoder.suits(1 + model->config.decoder.masks() + prompts[i].sparse());
    const size_t most = !fast                      ? kPlainGroup
                        : !prompts[i].mask.empty() ? kMaskedGroup
                                                   : prompts.size();
    for (size_t j = i; j < prompts.size(); ++j) {
      if (done[j] || !same_kind(prompts[j])) continue;
      if (batch.objects.size() == most) break;
      batch.objects.push_back(j);
      batch.prompts.push_back(&prompts[j]);
      done[j] = 1;
    }
    decode(batch, options, form, answers);
  }
  return answers;
}

}  // namespace beckon::sam
