// Learning a prompt for a segmenter: examples, a start from their features, steps by gradient.
#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "base/sha256.h"
#include "beckon/ops.h"
#include "beckon/version.h"
#include "learn/segment/checkpoint.h"
#include "learn/segment/examples.h"
#include "learn/segment/network.h"
#include "learn/segment/start.h"

namespace beckon {
namespace {

using namespace learn;

// An embedding takes 4 MB; a prompt of kilobytes has learned all it can from far fewer.
constexpr size_t kMostExamples = 500;
constexpr int64_t kFewestForValidation = 4;
constexpr double kUsualValidation = 0.2;
constexpr int64_t kMeasurements = 10;  // in a run

void check(const LearnSegmentOptions& o) {
  const auto in = [](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      fail(Kind::usage, "{}: {}, expected {} to {}", name, value, low, high);
  };
  in("tokens", o.tokens, 0, SegmentPrompt::kMostTokens);
  in("steps", static_cast<double>(o.steps), 0, 1e6);
  in("batch", static_cast<double>(o.batch), 1, 1000);
  in("learning rate", o.learning_rate, 0, 1e38);
  in("weight decay", o.weight_decay, 0, 1e6);
  in("warm-up", static_cast<double>(o.warmup), 0, 1e6);
  in("patience", static_cast<double>(o.patience), 0, 1e6);
  for (const double weight : {o.dice_weight, o.focal_weight, o.bce_weight})
    in("weight of a loss", weight, 0, 1e6);
  if (o.dice_weight + o.focal_weight + o.bce_weight == 0)
    fail(Kind::usage, "the weights of all losses are 0: there is nothing to learn");
  if (o.validation != -1) in("validation", o.validation, 0, 0.9);
  if (o.tokens == 0 && !o.dense && !o.prior)
    fail(Kind::usage, "nothing to learn: no tokens, no dense vector, no prior");
  if (o.resume && o.checkpoint.empty()) fail(Kind::usage, "to resume needs a checkpoint");
}

SegmentPromptTensors copy_of(const SegmentPromptTensors& p) {
  const auto copy = [](const Tensor& x) { return x.defined() ? x.detach().clone() : Tensor(); };
  return {copy(p.tokens), copy(p.dense), copy(p.direction), copy(p.offset)};
}

class SegmentLearner {
 public:
  SegmentLearner(const Sam& sam, const LearnSegmentOptions& options)
      : sam_(sam), options_(options) {}

  LearnedSegmentPrompt run(const std::string& data) {
    read(data);
    split();
    Random random(options_.seed);
    start_ = start_from_features(training_, options_, random);
    LearningState state = first_state();
    const std::string settings = options_.checkpoint.empty() ? "" : digest(data);
    if (options_.resume) {
      if (auto kept = load_state(options_.checkpoint, start_, settings)) state = std::move(*kept);
    }
    steps(state, settings);
    return finished(state);
  }

 private:
  void tell(const LearnSegmentProgress& progress) const {
    if (options_.progress && !options_.progress(progress))
      fail(Kind::interrupted, "learning stopped after {} of {} {}", progress.done, progress.total,
           progress.stage == LearnSegmentProgress::Stage::reading ? "pictures" : "steps");
  }

  void read(const std::string& data) {
    const SegmentExamples source(data, options_.examples);
    if (source.size() > kMostExamples)
      fail(Kind::resource, "{}: {} pictures; a prompt is learned from at most {}: take fewer", data,
           source.size(), kMostExamples);
    LearnSegmentProgress progress{.stage = LearnSegmentProgress::Stage::reading,
                                  .total = static_cast<int64_t>(source.size())};
    tell(progress);
    bool any = false;
    for (size_t i = 0; i < source.size(); ++i) {
      try {
        examples_.push_back(source.load(sam_, i));
        any |= examples_.back().truth.area() > 0;
      } catch (const Error& error) {
        if (!options_.examples.skip_broken || error.kind() == Kind::internal ||
            error.kind() == Kind::interrupted)
          throw;
        failures_.push_back({source.path(i), error.kind(), error.what()});
      }
      ++progress.done;
      tell(progress);
    }
    if (examples_.empty())
      fail(Kind::input, "{}: no picture could be read ({} failed)", data, failures_.size());
    if (!any) {
      const std::string& label = options_.examples.label;
      fail(Kind::input, "{}: no picture has an object{}", data,
           label.empty() ? "" : " called '" + label + "'");
    }
  }

  // At random, but an object is always left to learn from.
  void split() {
    const auto count = static_cast<int64_t>(examples_.size());
    double share = options_.validation;
    if (share == -1) share = count >= kFewestForValidation ? kUsualValidation : 0;
    int64_t held_out = std::llround(share * static_cast<double>(count));
    if (share > 0) held_out = std::max<int64_t>(held_out, 1);
    held_out = std::min(held_out, count - 1);

    Random random(options_.seed ^ 0x5eedu);
    std::vector<int64_t> order = random.permutation(count);
    const auto has_object = [&](int64_t i) {
      return examples_[static_cast<size_t>(i)].truth.area() > 0;
    };
    std::iter_swap(order.begin(), std::find_if(order.begin(), order.end(), has_object));
    for (int64_t k = 0; k < count; ++k) {
      SegmentExample& example = examples_[static_cast<size_t>(order[static_cast<size_t>(k)])];
      (k < count - held_out ? training_ : validation_).push_back(std::move(example));
    }
    examples_.clear();
  }

  // Mean IoU of the low-resolution masks on the pictures that decide.
  double measure(const SegmentPromptTensors& prompt) const {
    const NoGrad no_grad;
    const auto& deciding = validation_.empty() ? training_ : validation_;
    double sum = 0;
    for (const SegmentExample& example : deciding)
      sum += low_iou(
          example, example.cover,
          example.on_image(together(example.seen(), answers(example.seen(), prompt)).logits));
    return sum / static_cast<double>(deciding.size());
  }

  LearningState first_state() const {
    LearningState state;
    state.now = copy_of(start_);
    fit_prior(training_, state.now);
    state.best = copy_of(start_);
    state.best_iou = measure(state.best);
    if (options_.prior) consider(state, measure(state.now));
    return state;
  }

  static bool consider(LearningState& state, double iou) {
    if (!(iou > state.best_iou)) {
      ++state.since_best;
      return false;
    }
    state.best = copy_of(state.now);
    state.best_iou = iou;
    state.best_step = state.step;
    state.since_best = 0;
    return true;
  }

  struct Losses {
    Tensor total;
    double dice = 0, focal = 0, bce = 0, iou = 0;
  };
  Losses losses(const TrainingBox& asked, const SegmentPromptTensors& prompt) const {
    const SegmentExample& example = training_[asked.example];
    const auto boxes = prompt.direction.defined() ? std::span(&asked.box, 1)
                                                  : std::span<const std::array<float, 4>>();
    Tensor logits = example.on_image(learn::forward(example.seen(), prompt, boxes).select(0, 0));
    Losses l;
    l.iou = low_iou(example, asked.cover, logits);
    // Where nobody knows the truth, it is as the model says, surely.
    if (example.unknown.defined())
      logits = where(example.unknown, asked.cover * 40.0f - 20.0f, logits);
    const auto part = [&](double weight, double& value, const Tensor& loss) {
      value = static_cast<double>(loss.item());
      const Tensor weighted = loss * static_cast<float>(weight);
      l.total = l.total.defined() ? l.total + weighted : weighted;
    };
    if (options_.dice_weight > 0)
      part(options_.dice_weight, l.dice, dice_loss(logits, asked.cover));
    if (options_.focal_weight > 0)
      part(options_.focal_weight, l.focal, focal_loss(logits, asked.cover));
    if (options_.bce_weight > 0)
      part(options_.bce_weight, l.bce, binary_cross_entropy_with_logits(logits, asked.cover));
    return l;
  }

  void ask(const SegmentPromptTensors& prompt) {
    for (size_t i = 0; i < training_.size(); ++i)
      for (TrainingBox& box : training_boxes(training_[i], i, prompt))
        (box.empty ? nothings_ : things_).push_back(std::move(box));
    // Where nothing is to be found is as often asked as where something is, or less.
    epoch_size_ = static_cast<int64_t>(things_.size() + std::min(things_.size(), nothings_.size()));
    if (things_.empty()) epoch_size_ = static_cast<int64_t>(nothings_.size());
  }

  // The k-th question. Every epoch has an order of its own, which depends on the seed and its
  // number alone: there is nothing to be kept in a checkpoint.
  const TrainingBox& question(int64_t k) {
    if (k / epoch_size_ != epoch_) {
      epoch_ = k / epoch_size_;
      Random random(options_.seed + 0x9e3779b97f4a7c15u * static_cast<uint64_t>(epoch_ + 1));
      order_.clear();
      for (const TrainingBox& box : things_) order_.push_back(&box);
      for (const int64_t i : random.permutation(static_cast<int64_t>(nothings_.size())))
        if (static_cast<int64_t>(order_.size()) < epoch_size_)
          order_.push_back(&nothings_[static_cast<size_t>(i)]);
      std::vector<const TrainingBox*> mixed;
      for (const int64_t i : random.permutation(epoch_size_))
        mixed.push_back(order_[static_cast<size_t>(i)]);
      order_ = std::move(mixed);
    }
    return *order_[static_cast<size_t>(k % epoch_size_)];
  }

  Optimizer optimizer_of(const LearningState& state) const {
    std::vector<TrainedTensor> trained;
    for (const auto& [name, x] : named(state.now)) {
      // No gradient goes through boxes: the prior stays as it was found.
      if (name == "direction" || name == "offset") continue;
      TrainedTensor t{.name = name, .tensor = x};
      t.weight_decay = static_cast<float>(options_.weight_decay);
      trained.push_back(std::move(t));
    }
    Optimizer optimizer({.kind = OptimizerKind::adamw, .eps = 1e-8f}, std::move(trained));
    if (!state.optimizer.empty()) optimizer.load(state.optimizer);
    return optimizer;
  }

  void steps(LearningState& state, const std::string& settings) {
    Optimizer optimizer = optimizer_of(state);
    ask(state.now);
    // A prior alone is ready, and where there are no boxes there is nothing to be asked.
    if (optimizer.tensors().empty() || epoch_size_ == 0) return;
    const int64_t apart = std::max(options_.steps / kMeasurements, int64_t{1});
    while (state.step < options_.steps) {
      if (options_.patience > 0 && state.since_best >= options_.patience) break;
      LearnSegmentProgress progress{.stage = LearnSegmentProgress::Stage::learning,
                                    .total = options_.steps};
      progress.learning_rate =
          options_.learning_rate * warmup_cosine(state.step, options_.warmup, options_.steps);
      optimizer.zero_grad();
      const double share = 1.0 / static_cast<double>(options_.batch);
      for (int64_t i = 0; i < options_.batch; ++i) {
        const Losses l = losses(question(state.step * options_.batch + i), state.now);
        const double loss = static_cast<double>(l.total.item());
        if (!std::isfinite(loss)) not_finite(state, loss, progress.learning_rate);
        (l.total * static_cast<float>(share)).backward();
        progress.loss += share * loss;
        progress.dice += share * l.dice;
        progress.focal += share * l.focal;
        progress.bce += share * l.bce;
        progress.iou += share * l.iou;
      }
      optimizer.step(progress.learning_rate);
      ++state.step;
      if (state.step % apart == 0 || state.step == options_.steps) {
        progress.measured = true;
        progress.measured_iou = measure(state.now);
        progress.best = consider(state, progress.measured_iou);
        if (!options_.checkpoint.empty()) {
          state.optimizer = optimizer.state();
          save_state(options_.checkpoint, state, settings);
        }
      }
      progress.done = state.step;
      tell(progress);
    }
  }

  [[noreturn]] void not_finite(const LearningState& state, double loss, double rate) const {
    fail(Kind::input, "learning: the loss is {} at step {} (learning rate {:g}); {}", loss,
         state.step + 1, rate,
         options_.checkpoint.empty() || state.optimizer.empty()
             ? "nothing was written"
             : fmt::format("the best prompt before it, of step {}, is in {}", state.best_step,
                           options_.checkpoint));
  }

  SegmentPromptQuality quality(const SegmentPrompt& prompt,
                               const std::vector<SegmentExample>& examples) const {
    SegmentPromptQuality q{.pictures = static_cast<int64_t>(examples.size())};
    for (const SegmentExample& example : examples)
      q.iou +=
          iou_of(example, prompt.apply(example.embedding).rle()) / static_cast<double>(q.pictures);
    return q;
  }

  // What the rest of a run depends on.
  std::string digest(const std::string& data) const {
    Sha256 sha;
    const std::string text = fmt::format("{} {}\n", data, sam_.model_hash());
    sha.update(std::as_bytes(std::span(text)));
    for (const auto& [key, value] : remembered()) {
      const std::string line = key + "=" + value + "\n";
      sha.update(std::as_bytes(std::span(line)));
    }
    for (const auto* set : {&training_, &validation_})
      for (const SegmentExample& e : *set) {
        const std::string line =
            "\n" + e.picture + " " + e.truth.string() + " " + e.ignored.string();
        sha.update(std::as_bytes(std::span(line)));
        sha.update(std::as_bytes(std::as_const(e.seen().embedding).values()));
      }
    return sha.hex();
  }

  std::map<std::string, std::string> remembered() const {
    const LearnSegmentOptions& o = options_;
    std::map<std::string, std::string> about;
    const auto add = [&](const char* key, const auto& value) {
      about[key] = fmt::format("{}", value);
    };
    add("version", version());
    if (!o.examples.label.empty()) add("label", o.examples.label);
    add("option.tokens", o.tokens);
    add("option.dense", o.dense);
    add("option.prior", o.prior);
    add("option.steps", o.steps);
    add("option.batch", o.batch);
    add("option.learning_rate", o.learning_rate);
    add("option.weight_decay", o.weight_decay);
    add("option.warmup", o.warmup);
    add("option.dice_weight", o.dice_weight);
    add("option.focal_weight", o.focal_weight);
    add("option.bce_weight", o.bce_weight);
    add("option.patience", o.patience);
    add("option.seed", o.seed);
    add("data.training_pictures", training_.size());
    add("data.validation_pictures", validation_.size());
    return about;
  }

  LearnedSegmentPrompt finished(const LearningState& state) {
    const SegmentPrompt start(sam_, start_), kept(sam_, state.best);
    const SegmentPromptQuality start_training = quality(start, training_),
                               start_validation = quality(start, validation_),
                               training = quality(kept, training_),
                               validation = quality(kept, validation_);
    std::map<std::string, std::string> about = remembered();
    const auto add = [&](const std::string& key, const SegmentPromptQuality& q) {
      if (q.pictures > 0) about["metric." + key] = fmt::format("{:.6f}", q.iou);
    };
    add("start_training_iou", start_training);
    add("start_validation_iou", start_validation);
    add("training_iou", training);
    add("validation_iou", validation);
    about["metric.best_step"] = std::to_string(state.best_step);
    LearnedSegmentPrompt result{.prompt = SegmentPrompt(sam_, state.best, std::move(about)),
                                .start = start,
                                .best_step = state.best_step,
                                .start_training = start_training,
                                .start_validation = start_validation,
                                .training = training,
                                .validation = validation,
                                .validation_pictures = {},
                                .failures = std::move(failures_)};
    for (const SegmentExample& e : validation_) result.validation_pictures.push_back(e.picture);
    return result;
  }

  const Sam& sam_;
  const LearnSegmentOptions& options_;
  std::vector<SegmentExample> examples_, training_, validation_;
  std::vector<PictureFailure> failures_;
  SegmentPromptTensors start_;
  std::vector<TrainingBox> things_, nothings_;
  int64_t epoch_ = -1, epoch_size_ = 0;
  std::vector<const TrainingBox*> order_;
};

}  // namespace

LearnedSegmentPrompt learn_segment_prompt(const Sam& sam, const std::string& data,
                                          const LearnSegmentOptions& options) {
  check(options);
  return SegmentLearner(sam, options).run(data);
}

SegmentPromptScores evaluate_segment_prompt(const Sam& sam, const SegmentPrompt& prompt,
                                            const std::string& data,
                                            const ExampleSelection& examples,
                                            const std::function<bool(int64_t, int64_t)>& progress) {
  const SegmentExamples source(data, examples);
  const auto total = static_cast<int64_t>(source.size());
  const auto tell = [&](int64_t done) {
    if (progress && !progress(done, total))
      fail(Kind::interrupted, "evaluation stopped after {} of {} pictures", done, total);
  };
  SegmentPromptScores scores;
  int64_t shared = 0, either = 0;
  tell(0);
  for (size_t i = 0; i < source.size(); ++i) {
    try {
      const SegmentExample example = source.load(sam, i);
      const Rle found = prompt.apply(example.embedding).rle();
      const double iou = iou_of(example, found);
      scores.pictures.push_back({source.path(i), iou, found.area(), example.truth.area()});
      scores.miou += iou;
      const auto known = [&](const Rle& mask) {
        return mask.area() - intersection_area(mask, example.ignored);
      };
      const int64_t both = known(merge(std::vector<Rle>{example.truth, found}, true));
      shared += both;
      either += known(example.truth) + known(found) - both;
    } catch (const Error& error) {
      if (!examples.skip_broken || error.kind() == Kind::internal ||
          error.kind() == Kind::interrupted || error.kind() == Kind::usage)
        throw;
      scores.failures.push_back({source.path(i), error.kind(), error.what()});
    }
    tell(static_cast<int64_t>(i) + 1);
  }
  if (scores.pictures.empty())
    fail(Kind::input, "{}: no picture could be read ({} failed)", data, scores.failures.size());
  scores.miou /= static_cast<double>(scores.pictures.size());
  scores.pooled_iou = either == 0 ? 1 : static_cast<double>(shared) / static_cast<double>(either);
  return scores;
}

}  // namespace beckon
