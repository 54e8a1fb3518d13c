// The loop that learns a classifier's prompt. All chance comes from the seed and the number of the
// step, so that a run that was killed ends with the same bytes as one that was not.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "beckon/classifier_prompt.h"
#include "beckon/ops.h"
#include "beckon/resize.h"
#include "beckon/version.h"
#include "learn/classify/make_learner.h"
#include "learn/classify/pictures.h"
#include "learn/classify/prompt_file.h"
#include "learn/classify/state.h"
#include "learn/data/labelled_data.h"
#include "learn/methods/label_map.h"

namespace beckon {
namespace learn {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Stage = LearnClassifierProgress::Stage;

// A seed of its own for each pair of purpose and number.
uint64_t seed_for(uint64_t seed, uint64_t purpose, uint64_t number) {
  Random random(seed + 0x9e3779b97f4a7c15u * (purpose + 1));
  return random.next() ^ Random(number).next();
}
enum Purpose : uint64_t { kStart, kOrder, kStep, kAside };

void check_options(const LearnClassifierOptions& o) {
  const auto in = [](double x, double low, double high) { return x >= low && x <= high; };
  if (o.epochs < 1 || o.epochs > 1'000'000 || o.batch < 1 || o.batch > 100'000)
    fail(Kind::usage, "{} epochs of batches of {}, expected at least 1", o.epochs, o.batch);
  if (o.accumulate < 1 || o.accumulate > o.batch)
    fail(Kind::usage, "a batch of {} in {} parts", o.batch, o.accumulate);
  if (!in(o.learning_rate, 0, 1e6) || !in(o.weight_decay, 0, 1e3) || !in(o.warmup, 0, 1))
    fail(Kind::usage,
         "learning rate {}, weight decay {}, warm-up {}: expected 0 or more, warm-up "
         "at most 1",
         o.learning_rate, o.weight_decay, o.warmup);
  if (!in(o.validation, 0, 0.9))
    fail(Kind::usage, "a share of {} held out, expected 0 to 0.9", o.validation);
  if (o.schedule != "step" && o.schedule != "epoch" && o.schedule != "constant")
    fail(Kind::usage, "schedule '{}': expected step, epoch or constant", o.schedule);
  if (o.stretch && o.random_crop)
    fail(Kind::usage, "stretched pictures have nothing to be cut from at random");
  if (o.resume && o.checkpoint.empty()) fail(Kind::usage, "resuming needs a checkpoint");
  if (o.patience < 0 || o.most_per_class < 0 || o.cache_bytes < 0)
    fail(Kind::usage, "patience {}, {} pictures a class, a cache of {}: expected 0 or more",
         o.patience, o.most_per_class, o.cache_bytes);
  if (o.show_wrong < 0)
    fail(Kind::usage, "{} wrong pictures to keep, expected 0 or more", o.show_wrong);
}

class Run {
 public:
  Run(const std::string& backbone, const std::string& data, const LearnClassifierOptions& options)
      : o_(options), named_(backbone), data_(open_labelled_data(data)) {
    check_options(o_);
    split_ = split_for_learning(*data_, o_.select_on_test ? 0 : o_.validation,
                                seed_for(o_.seed, kAside, 0));
    if (o_.select_on_test) {
      if (split_.test.empty())
        fail(Kind::usage, "{}: there is no test part that could decide what is kept", data);
      split_.validation = split_.test;
    }
    if (o_.patience > 0 && split_.validation.empty())
      fail(Kind::usage, "to stop early pictures must be held out: they say what is better");
    for (auto* part : {&split_.train, &split_.validation, &split_.test}) take_first(*part);
    if (o_.skip_broken) leave_out_broken();
    check_classes();
    make();
  }

  LearnedClassifier operator()() {
    const Clock::time_point begin = Clock::now();
    start();
    const int64_t steps = steps_per_epoch();
    while (state_.epoch < o_.epochs &&
           (o_.patience == 0 || epochs_without_progress() < o_.patience)) {
      const auto order = Random(seed_for(o_.seed, kOrder, static_cast<uint64_t>(state_.epoch)))
                             .permutation(static_cast<int64_t>(split_.train.size()));
      for (; state_.step < steps; ++state_.step) {
        step(order);
        const bool due =
            std::chrono::duration<double>(Clock::now() - saved_).count() >= o_.checkpoint_seconds;
        if (due && state_.step + 1 < steps) {
          ++state_.step;
          save();
          --state_.step;
        }
      }
      end_epoch();
      save();
    }
    return result(begin);
  }

 private:
  void take_first(std::vector<size_t>& part) const {
    if (o_.most_per_class == 0) return;
    std::vector<int64_t> taken(data_->labels.size());
    std::vector<size_t> first;
    for (const size_t i : part)
      if (taken[static_cast<size_t>(data_->items[i].label)]++ < o_.most_per_class)
        first.push_back(i);
    part = first;
  }

  ReadOptions read() const { return {.max_pixels = o_.max_pixels}; }

  void leave_out_broken() {
    std::vector<std::string> reasons(data_->items.size());
    for (auto* part : {&split_.train, &split_.validation, &split_.test}) {
      const auto count = static_cast<int64_t>(part->size());
      parallel_for(count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
          const size_t i = (*part)[static_cast<size_t>(k)];
          try {
            (void)data_->load(i, read());
          } catch (const Error& error) {
            reasons[i] = error.what();
          }
        }
      });
      std::erase_if(*part, [&](size_t i) { return !reasons[i].empty(); });
    }
    for (std::string& reason : reasons)
      if (!reason.empty()) skipped_.push_back(std::move(reason));
  }

  void check_classes() const {
    std::vector<int64_t> count(data_->labels.size());
    for (const size_t i : split_.train) ++count[static_cast<size_t>(data_->items[i].label)];
    for (size_t c = 0; c < count.size(); ++c)
      if (count[c] == 0)
        fail(Kind::input, "{}: class '{}' has no picture left to learn from", data_->source,
             data_->labels[c]);
  }

  void make() {
    // A border of pixels makes the network see more than it usually does: it is asked first.
    BackboneOptions usual = o_.backbone;
    Backbone net = Backbone::load(named_, usual);
    loaded_ = backbone_options(o_.method, o_.backbone, net.input_size());
    if (loaded_.input != usual.input) net = Backbone::load(named_, loaded_);
    method_ = o_.method;
    const bool mapped = method_.name.starts_with("pixel-") || method_.name == "reprogram";
    if (mapped) map_labels(net);
    Random random(seed_for(o_.seed, kStart, 0));
    learner_ = make_learner(net, method_, data_->labels, random);
    PictureOptions pictures;
    pictures.preprocessing = learner_->preprocessing();
    pictures.stretch = o_.stretch;
    pictures.flip = o_.flip;
    pictures.random_crop = o_.random_crop;
    pictures.read = read();
    pictures.cache_bytes = o_.cache_bytes / 2;
    pictures_.emplace(*data_, pictures);
    // Tensors that are never reached (a text tower's) have no gradient and are left alone.
    std::vector<TrainedTensor> trained;
    for (const nn::Parameter& p : learner_->learned())
      if (p.trainable)
        trained.push_back(
            {.name = p.name,
             .tensor = p.tensor,
             .weight_decay = vpt_weight_decay(o_.optimizer, p.name, o_.weight_decay)});
    optimizer_.emplace(OptimizerOptions{.kind = o_.optimizer, .momentum = o_.momentum}, trained);
    rate_ = o_.learning_rate > 0 ? o_.learning_rate : usual_learning_rate(method_, o_.optimizer);
  }

  void map_labels(const Backbone& net) {
    const std::string& from = method_.labels_from;
    if (from != "first" && from != "frequent" && from != "given")
      fail(Kind::usage, "labels from '{}': expected first, frequent or given", from);
    if (from == "given" && method_.label_map.empty()) fail(Kind::usage, "no label map was given");
    if (from == "frequent" && net.classes() > 0) count_labels(net);
  }

  // Which of its own classes the network sees in the pictures of each class, without any prompt.
  void count_labels(const Backbone& net) {
    const NoGrad no_grad;
    std::vector<std::vector<int64_t>> counts(
        data_->labels.size(), std::vector<int64_t>(static_cast<size_t>(net.classes())));
    Pictures pictures(*data_, {.preprocessing = net.preprocessing(), .read = read()});
    each_batch(split_.train, [&](std::span<const size_t> batch) {
      const Tensor said =
          argmax(net.logits(net.features(pictures.batch(batch, nullptr))), 1).contiguous();
      for (size_t k = 0; k < batch.size(); ++k)
        ++counts[static_cast<size_t>(data_->items[batch[k]].label)]
                [static_cast<size_t>(said.data_as<int64_t>()[k])];
    });
    method_.label_map = frequent_labels(counts);
  }

  template <typename Body>
  void each_batch(const std::vector<size_t>& part, Body&& body) const {
    const auto size = static_cast<size_t>(o_.batch);
    for (size_t at = 0; at < part.size(); at += size)
      body(std::span(part).subspan(at, std::min(size, part.size() - at)));
  }

  int64_t steps_per_epoch() const {
    return (static_cast<int64_t>(split_.train.size()) + o_.batch - 1) / o_.batch;
  }

  std::string settings() const {
    json j = {{"method", json_of(method_)},
              {"optimizer", name_of(o_.optimizer)},
              {"rate", rate_},
              {"decay", o_.weight_decay},
              {"momentum", o_.momentum},
              {"epochs", o_.epochs},
              {"batch", o_.batch},
              {"accumulate", o_.accumulate},
              {"schedule", o_.schedule},
              {"warmup", o_.warmup},
              {"patience", o_.patience},
              {"seed", o_.seed},
              {"flip", o_.flip},
              {"crop", o_.random_crop},
              {"stretch", o_.stretch},
              {"input", json_of(loaded_)},
              {"backbone", learner_->backbone().sha256()},
              {"labels", data_->labels}};
    Sha256 hash;
    const auto add = [&](const std::string& text) { hash.update(std::as_bytes(std::span(text))); };
    add(j.dump(-1, ' ', false, json::error_handler_t::replace));
    for (const auto* part : {&split_.train, &split_.validation, &split_.test})
      for (const size_t i : *part)
        add(fmt::format("\n{} {}", data_->items[i].label, data_->path(i)));
    return hash.hex();
  }

  std::map<std::string, Tensor> values() const {
    std::map<std::string, Tensor> result;
    for (const nn::Parameter& p : learner_->learned()) result[p.name] = p.tensor.detach().clone();
    return result;
  }

  void set(const std::map<std::string, Tensor>& values) {
    for (const nn::Parameter& p : learner_->learned()) {
      const auto found = values.find(p.name);
      if (found == values.end() || found->second.shape() != p.tensor.shape())
        fail(Kind::input, "{}: the checkpoint has no tensor '{}' that fits", o_.checkpoint, p.name);
      Tensor to = p.tensor;
      to.copy_from(found->second);
    }
  }

  void start() {
    settings_ = settings();
    if (o_.resume)
      if (auto found = load_classifier_state(o_.checkpoint, settings_)) {
        state_ = std::move(*found);
        set(state_.now);
        optimizer_->load(state_.optimizer);
      }
    saved_ = Clock::now();
    keep_prefixes();
  }

  void save() {
    saved_ = Clock::now();
    if (o_.checkpoint.empty()) return;
    state_.now = values();
    state_.optimizer = optimizer_->state();
    save_state(o_.checkpoint, state_, settings_);
  }

  // What nothing that learns comes before is computed once, if it is the same every time.
  void keep_prefixes() {
    if (!learner_->has_prefix() || o_.flip || o_.random_crop) return;
    const NoGrad no_grad;
    std::vector<size_t> all = split_.train;
    for (const auto* part : {&split_.validation, &split_.test})
      all.insert(all.end(), part->begin(), part->end());
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    const Tensor first = learner_->prefix(pictures_->batch(std::span(all).first(1), nullptr));
    const auto count = static_cast<int64_t>(all.size());
    if (first.size() * static_cast<int64_t>(sizeof(float)) > o_.cache_bytes / 2 / count) return;
    Shape shape = first.shape();
    shape[0] = count;
    prefixes_ = Tensor::empty(shape);
    row_.assign(data_->items.size(), -1);
    int64_t done = 0;
    each_batch(all, [&](std::span<const size_t> batch) {
      const Tensor made = learner_->prefix(pictures_->batch(batch, nullptr)).contiguous();
      std::copy_n(std::as_const(made).data(), made.size(), prefixes_.data() + done * first.size());
      for (const size_t i : batch) row_[i] = done++;
      tell({.stage = Stage::reading, .done = done, .total = count});
    });
  }

  Tensor prefix(std::span<const size_t> batch, Random* random) {
    if (!prefixes_.defined()) {
      // Nothing before the first tensor that learns is remembered for its gradient.
      return learner_->prefix(pictures_->batch(batch, random));
    }
    std::vector<int64_t> rows;
    for (const size_t i : batch) rows.push_back(row_[i]);
    return index_select(
        prefixes_, 0,
        Tensor::from(std::span<const int64_t>(rows), {static_cast<int64_t>(rows.size())}));
  }

  double rate(int64_t epoch, int64_t step) const {
    const int64_t steps = steps_per_epoch();
    if (o_.schedule == "constant") return rate_;
    if (o_.schedule == "epoch")
      return rate_ *
             warmup_cosine_by_epoch(epoch, std::llround(o_.warmup * static_cast<double>(o_.epochs)),
                                    o_.epochs);
    const int64_t total = o_.epochs * steps;
    return rate_ * warmup_cosine(epoch * steps + step,
                                 std::llround(o_.warmup * static_cast<double>(total)), total);
  }

  static int64_t right_ones(const Tensor& logits, const Tensor& targets) {
    const Tensor said = argmax(logits.detach(), 1).contiguous();
    int64_t right = 0;
    for (int64_t k = 0; k < targets.size(); ++k)
      right += said.data_as<int64_t>()[k] == targets.data_as<int64_t>()[k];
    return right;
  }

  void step(const std::vector<int64_t>& order) {
    const Clock::time_point begin = Clock::now();
    const auto size = static_cast<size_t>(o_.batch);
    const size_t at = static_cast<size_t>(state_.step) * size;
    std::vector<size_t> batch;
    for (size_t k = at; k < std::min(at + size, order.size()); ++k)
      batch.push_back(split_.train[static_cast<size_t>(order[k])]);
    const int64_t number = state_.epoch * steps_per_epoch() + state_.step;
    Random random(seed_for(o_.seed, kStep, static_cast<uint64_t>(number)));
    optimizer_->zero_grad();
    double loss_sum = 0;
    int64_t right = 0;
    const size_t part = (batch.size() + static_cast<size_t>(o_.accumulate) - 1) /
                        static_cast<size_t>(o_.accumulate);
    for (size_t from = 0; from < batch.size(); from += part) {
      const auto some = std::span(batch).subspan(from, std::min(part, batch.size() - from));
      const Tensor x = prefix(some, &random);
      const Tensor targets = pictures_->targets(some);
      Pass pass{.training = true, .random = random};
      const Tensor logits = learner_->logits(x, pass);
      random = pass.random;
      const Tensor loss = learner_->loss(logits, targets);
      loss_sum += static_cast<double>(loss.item()) * static_cast<double>(some.size());
      right += right_ones(logits, targets);
      const float share = static_cast<float>(some.size()) / static_cast<float>(batch.size());
      (share == 1 ? loss : loss * share).backward();
    }
    const auto count = static_cast<double>(batch.size());
    if (!std::isfinite(loss_sum)) lost(state_.step);
    const double now = rate(state_.epoch, state_.step);
    optimizer_->step(now);
    state_.loss_sum += loss_sum;
    state_.right += right;
    state_.seen += static_cast<int64_t>(batch.size());
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    tell({.stage = Stage::learning,
          .done = number + 1,
          .total = o_.epochs * steps_per_epoch(),
          .epoch = state_.epoch,
          .epochs = o_.epochs,
          .loss = state_.loss_sum / static_cast<double>(state_.seen),
          .accuracy = static_cast<double>(state_.right) / static_cast<double>(state_.seen),
          .learning_rate = now,
          .pictures_per_second = count / std::max(seconds, 1e-9)});
  }

  // What the schedule gave, whether or not this run made the steps itself.
  std::vector<LearnedClassifier::Rate> learning_rates() const {
    constexpr int64_t kMost = 400;
    const int64_t steps = steps_per_epoch();
    const int64_t total = static_cast<int64_t>(state_.epochs.size()) * steps;
    const int64_t count = std::min(total, kMost);
    std::vector<LearnedClassifier::Rate> result;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t at = count == 1 ? 0 : k * (total - 1) / (count - 1);
      result.push_back({.step = at + 1, .rate = rate(at / steps, at % steps)});
    }
    return result;
  }

  Image small_picture(size_t i) const {
    const Image whole = data_->load(i, read()).rgb();
    if (std::max(whole.width(), whole.height()) <= 160) return whole;
    const ImageSize size = long_side_size(whole.width(), whole.height(), 160);
    return resize(whole, size.width, size.height);
  }

  struct Measured {
    double loss = 0, accuracy = 0;
    std::vector<std::vector<int64_t>> confusion;
    std::vector<LearnedClassifier::Wrong> wrong;
  };
  Measured measure(const std::vector<size_t>& part, int64_t show_wrong = 0) {
    const NoGrad no_grad;
    const size_t classes = data_->labels.size();
    Measured result;
    result.confusion.assign(classes, std::vector<int64_t>(classes));
    int64_t right = 0;
    Pass pass;
    each_batch(part, [&](std::span<const size_t> batch) {
      const Tensor targets = pictures_->targets(batch);
      const Tensor logits = learner_->logits(prefix(batch, nullptr), pass);
      result.loss += static_cast<double>(learner_->loss(logits, targets).item()) *
                     static_cast<double>(batch.size());
      const Tensor said = argmax(logits, 1).contiguous();
      for (size_t k = 0; k < batch.size(); ++k) {
        const auto label = static_cast<size_t>(data_->items[batch[k]].label);
        const auto answer = static_cast<size_t>(said.data_as<int64_t>()[k]);
        right += label == answer;
        ++result.confusion[label][answer];
        if (label != answer && static_cast<int64_t>(result.wrong.size()) < show_wrong)
          result.wrong.push_back({.path = data_->path(batch[k]),
                                  .label = static_cast<int64_t>(label),
                                  .said = static_cast<int64_t>(answer),
                                  .picture = small_picture(batch[k])});
      }
    });
    result.loss /= static_cast<double>(part.size());
    result.accuracy = static_cast<double>(right) / static_cast<double>(part.size());
    return result;
  }

  [[noreturn]] void lost(int64_t step) const {
    fail(Kind::input,
         "the loss is no number in step {} of epoch {}: try a smaller learning rate than {}{}",
         step + 1, state_.epoch + 1, rate_,
         o_.checkpoint.empty() ? "" : fmt::format("; {} holds what was before", o_.checkpoint));
  }

  // Since more pictures were right than ever before.
  int64_t epochs_without_progress() const {
    double most = -1;
    size_t at = 0;
    for (size_t e = 0; e < state_.epochs.size(); ++e)
      if (state_.epochs[e].validation_accuracy > most) {
        most = state_.epochs[e].validation_accuracy;
        at = e + 1;
      }
    return static_cast<int64_t>(state_.epochs.size() - at);
  }

  void end_epoch() {
    LearnedClassifier::Epoch epoch;
    epoch.loss = state_.loss_sum / static_cast<double>(state_.seen);
    epoch.accuracy = static_cast<double>(state_.right) / static_cast<double>(state_.seen);
    bool best = true;
    // The last step may have lost a number that no loss has shown yet.
    for (const nn::Parameter& p : learner_->learned())
      for (const float v : std::as_const(p.tensor).values())
        if (!std::isfinite(v)) lost(steps_per_epoch() - 1);
    if (!split_.validation.empty()) {
      const Measured measured = measure(split_.validation);
      epoch.validation_loss = measured.loss;
      epoch.validation_accuracy = measured.accuracy;
      // Of equally good ones the one with the smaller loss.
      if (state_.best_epoch >= 0) {
        const auto& before = state_.epochs[static_cast<size_t>(state_.best_epoch)];
        best = measured.accuracy > before.validation_accuracy ||
               (measured.accuracy == before.validation_accuracy &&
                measured.loss < before.validation_loss);
      }
    }
    if (best) {
      state_.best = values();
      state_.best_epoch = state_.epoch;
    }
    state_.epochs.push_back(epoch);
    ++state_.epoch;
    state_.step = 0;
    state_.loss_sum = 0;
    state_.right = state_.seen = 0;
    tell({.stage = Stage::learning,
          .done = state_.epoch * steps_per_epoch(),
          .total = o_.epochs * steps_per_epoch(),
          .epoch = state_.epoch - 1,
          .epochs = o_.epochs,
          .loss = epoch.loss,
          .accuracy = epoch.accuracy,
          .measured = true,
          .best = best,
          .validation_accuracy = epoch.validation_accuracy,
          .validation_loss = epoch.validation_loss});
  }

  LearnedClassifier result(Clock::time_point begin) {
    set(state_.best);
    optimizer_->zero_grad();
    json metrics = {{"best_epoch", state_.best_epoch + 1}, {"epochs", state_.epochs.size()}};
    const auto& best = state_.epochs[static_cast<size_t>(state_.best_epoch)];
    metrics["train_loss"] = best.loss;
    metrics["train_accuracy"] = best.accuracy;
    if (!split_.validation.empty()) metrics["validation_accuracy"] = best.validation_accuracy;
    double test = -1;
    Measured last;
    if (!split_.test.empty()) {
      last = measure(split_.test, o_.show_wrong);
      metrics["test_accuracy"] = test = last.accuracy;
    } else if (!split_.validation.empty()) {
      last = measure(split_.validation, o_.show_wrong);
    }
    if (o_.select_on_test) metrics["selected_on_test"] = true;

    const Backbone& net = learner_->backbone();
    const json training = {{"optimizer", name_of(o_.optimizer)},
                           {"learning_rate", rate_},
                           {"weight_decay", o_.weight_decay},
                           {"momentum", o_.momentum},
                           {"epochs", o_.epochs},
                           {"batch", o_.batch},
                           {"accumulate", o_.accumulate},
                           {"schedule", o_.schedule},
                           {"warmup", o_.warmup},
                           {"seed", o_.seed},
                           {"flip", o_.flip},
                           {"random_crop", o_.random_crop}};
    const auto text = [](const json& j) {
      return j.dump(-1, ' ', false, json::error_handler_t::replace);
    };
    std::map<std::string, std::string> about = {
        {"kind", kPromptKind},
        {"beckon", "1"},
        {"version", version()},
        {"method", method_.name},
        {"method_options", text(json_of(method_))},
        {"backbone", net.name()},
        {"backbone_sha256", net.sha256()},
        {"backbone_path", named_},
        {"input", text(json_of(loaded_))},
        {"labels", text(data_->labels)},
        {"stretch", o_.stretch ? "true" : "false"},
        {"data", data_->name},
        {"pictures", text({{"train", split_.train.size()},
                           {"validation", split_.validation.size()},
                           {"test", split_.test.size()}})},
        {"training", text(training)},
        {"metrics", text(metrics)}};
    const std::shared_ptr<const Learner> learner = std::move(learner_);
    return {.prompt = ClassifierPrompt(learner, data_->labels, about),
            .epochs = state_.epochs,
            .best_epoch = state_.best_epoch,
            .test_accuracy = test,
            .confusion = last.confusion,
            .wrong = std::move(last.wrong),
            .learning_rates = learning_rates(),
            .steps_per_epoch = steps_per_epoch(),
            .train_pictures = static_cast<int64_t>(split_.train.size()),
            .validation_pictures = static_cast<int64_t>(split_.validation.size()),
            .test_pictures = static_cast<int64_t>(split_.test.size()),
            .learned_parameters = learner->learned_count(),
            .backbone_parameters = learner->backbone_count(),
            .skipped = skipped_,
            .seconds = std::chrono::duration<double>(Clock::now() - begin).count()};
  }

  void tell(const LearnClassifierProgress& progress) const {
    if (o_.progress && !o_.progress(progress)) fail(Kind::interrupted, "stopped");
  }

  LearnClassifierOptions o_;
  std::string named_;
  std::unique_ptr<LabelledData> data_;
  LearningSplit split_;
  std::vector<std::string> skipped_;
  BackboneOptions loaded_;
  ClassifierMethod method_;
  std::unique_ptr<Learner> learner_;
  std::optional<Pictures> pictures_;
  std::optional<Optimizer> optimizer_;
  double rate_ = 0;
  std::string settings_;
  ClassifierState state_;
  Clock::time_point saved_;
  Tensor prefixes_;           // [pictures,...]
  std::vector<int64_t> row_;  // of a picture in prefixes_
};

}  // namespace
}  // namespace learn

LearnedClassifier learn_classifier(const std::string& backbone, const std::string& data,
                                   const LearnClassifierOptions& options) {
  return learn::Run(backbone, data, options)();
}

}  // namespace beckon
