// Simulated people: clicks and boxes on every object of every picture.
#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "base/fail.h"
#include "base/threads.h"
#include "learn/evaluation/mask_data.h"

namespace beckon {
namespace {

using learn::Example;
using learn::MaskData;
using learn::TrueObject;

// Objects that are asked about in one call. Few enough for their logits and masks to stay small.
constexpr size_t kGroup = 32;

void check(const EvaluationOptions& options) {
  if (options.max_clicks < 1 || options.max_clicks > 1000)
    fail(Kind::usage, "max clicks: {}, expected 1 to 1000", options.max_clicks);
  if (options.clicks < 1 || options.clicks > options.max_clicks)
    fail(Kind::usage, "clicks: {}, expected 1 to {}, the most that are given", options.clicks,
         options.max_clicks);
  if (options.targets.empty() || options.targets.size() > 100)
    fail(Kind::usage, "targets: expected 1 to 100 of them");
  for (const double target : options.targets)
    if (!(target > 0 && target <= 1))
      fail(Kind::usage, "target: {}, expected an IoU above 0 and at most 1", target);
  if (options.most_pictures < 0) fail(Kind::usage, "pictures: expected at least 0");
  if (options.max_pixels < 1) fail(Kind::usage, "max pixels: expected at least 1");
}

// One object while it is clicked on.
struct Subject {
  const Rle* truth;
  ObjectQuery query;
  ObjectScores scores;
  bool done = false;
};

class PictureTest {
 public:
  PictureTest(const Embedding& embedding, const Example& example, const EvaluationOptions& options)
      : embedding_(embedding),
        ignored_(example.ignored.value_or(Mask())),
        options_(options),
        highest_(*std::max_element(options.targets.begin(), options.targets.end())) {}

  // The scores of some of the picture's objects.
  std::vector<ObjectScores> run(std::span<const TrueObject> objects) const {
    std::vector<Subject> subjects;
    for (const TrueObject& object : objects) {
      Subject subject{.truth = &object.mask, .query = {}, .scores = {}};
      subject.scores.object = object.name;
      subject.scores.area = object.mask.area();
      subject.scores.box = object.mask.bounding_box();
      subjects.push_back(std::move(subject));
    }
    if (options_.boxes) give_boxes(subjects);
    each(subjects, [&](Subject& subject) {
      const Mask truth = truth_of(subject);
      click(subject, truth, Mask(truth.size()));
    });
    for (int count = 1; count <= options_.max_clicks; ++count)
      if (!answer_clicks(subjects, count)) break;
    std::vector<ObjectScores> scores;
    for (Subject& subject : subjects) scores.push_back(std::move(subject.scores));
    return scores;
  }

 private:
  static Mask truth_of(const Subject& subject) { return Mask::from_rle(*subject.truth, INT64_MAX); }

  template <typename Work>
  static void each(std::vector<Subject>& subjects, Work&& work) {
    parallel_for(static_cast<int64_t>(subjects.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) work(subjects[static_cast<size_t>(i)]);
    });
  }

  void give_boxes(std::vector<Subject>& subjects) const {
    std::vector<ObjectQuery> queries;
    for (const Subject& subject : subjects) {
      const PixelBox& box = subject.scores.box;
      queries.push_back(
          {{Box{static_cast<double>(box.x), static_cast<double>(box.y),
                static_cast<double>(box.x + box.width), static_cast<double>(box.y + box.height)}},
           {}});
    }
    const std::vector<Masks> answers =
        embedding_.segment(queries, {.multimask = Multimask::single});
    parallel_for(static_cast<int64_t>(subjects.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        subjects[i].scores.box_iou =
            iou_outside(truth_of(subjects[i]), answers[i].best().mask(), ignored_);
    });
  }

  // Adds the next click to the query, unless there is no place for it.
  void click(Subject& subject, const Mask& truth, const Mask& predicted) const {
    const Click next = next_click(truth, predicted, subject.scores.clicks, ignored_);
    if (next.missed == 0 && next.wrong == 0) {
      subject.done = true;
      return;
    }
    subject.scores.clicks.push_back(next);
    subject.query.prompts.emplace_back(Point{static_cast<double>(next.x),
                                             static_cast<double>(next.y),
                                             next.object ? Label::object : Label::background});
  }

  // Asks about the objects that are not done, each with `count` clicks; false if all are.
  bool answer_clicks(std::vector<Subject>& subjects, int count) const {
    std::vector<Subject*> active;
    std::vector<ObjectQuery> queries;
    for (Subject& subject : subjects) {
      if (subject.done) continue;
      active.push_back(&subject);
      queries.push_back(subject.query);
    }
    if (active.empty()) return false;
    std::vector<Masks> answers = embedding_.segment(
        queries, {.multimask = count == 1 ? Multimask::readings : Multimask::single});
    parallel_for(static_cast<int64_t>(active.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
        judge(*active[i], std::exchange(answers[i], Masks()), count);
    });
    return true;
  }

  void judge(Subject& subject, const Masks& answer, int count) const {
    const Mask truth = truth_of(subject);
    const PredictedMask& best = answer.best();
    const double iou = iou_outside(truth, best.mask(), ignored_);
    subject.scores.click_iou.push_back(iou);
    if (count == 1) {
      subject.scores.oracle_iou = iou;
      for (const PredictedMask& reading : answer)
        subject.scores.oracle_iou =
            std::max(subject.scores.oracle_iou, iou_outside(truth, reading.mask(), ignored_));
    }
    if (count == options_.max_clicks || (iou >= highest_ && count >= options_.clicks)) {
      subject.done = true;
      return;
    }
    subject.query.mask_logits.assign(best.logits().begin(), best.logits().end());
    click(subject, truth, best.mask());
  }

  const Embedding& embedding_;
  const Mask ignored_;
  const EvaluationOptions& options_;
  const double highest_;
};

// Objects all of whose pixels are ignored have no truth.
void leave_out_unknown(Example& example) {
  if (!example.ignored) return;
  const int64_t before = static_cast<int64_t>(example.objects.size());
  const Rle ignored = example.ignored->rle();
  std::erase_if(example.objects, [&](const TrueObject& object) {
    return intersection_area(object.mask, ignored) == object.mask.area();
  });
  example.left_out += before - static_cast<int64_t>(example.objects.size());
}

template <typename Value>
double mean_of(const std::vector<ObjectScores>& objects, Value&& value) {
  double sum = 0;
  for (const ObjectScores& object : objects) sum += value(object);
  return objects.empty() ? 0 : sum / static_cast<double>(objects.size());
}

void summarize(DataSetScores& set, const EvaluationOptions& options) {
  for (int count = 1; count <= options.clicks; ++count) {
    // What is as good as it gets is left alone, and counts as it is.
    set.click_miou.push_back(mean_of(set.objects, [&](const ObjectScores& object) {
      const std::vector<double>& ious = object.click_iou;
      return ious.empty() ? 0 : ious[std::min(ious.size(), static_cast<size_t>(count)) - 1];
    }));
  }
  set.oracle_miou = mean_of(set.objects, [](const ObjectScores& o) { return o.oracle_iou; });
  set.box_miou = mean_of(set.objects, [](const ObjectScores& o) { return o.box_iou; });
  for (const double target : options.targets) {
    NocScore noc{.target = target};
    noc.mean = mean_of(set.objects, [&](const ObjectScores& object) {
      return static_cast<double>(clicks_needed(object.click_iou, target, options.max_clicks));
    });
    noc.reached =
        std::count_if(set.objects.begin(), set.objects.end(), [&](const ObjectScores& object) {
          return std::any_of(object.click_iou.begin(), object.click_iou.end(),
                             [&](double iou) { return iou >= target; });
        });
    set.noc.push_back(noc);
  }
}

SegmentationScores mean_of(const std::vector<DataSetScores>& sets,
                           const EvaluationOptions& options) {
  SegmentationScores mean;
  mean.click_miou.resize(static_cast<size_t>(options.clicks));
  for (const double target : options.targets) mean.noc.push_back({.target = target});
  const auto count = static_cast<double>(std::count_if(
      sets.begin(), sets.end(), [](const DataSetScores& set) { return !set.objects.empty(); }));
  for (const DataSetScores& set : sets) {
    if (set.objects.empty()) continue;
    for (size_t k = 0; k < mean.click_miou.size(); ++k)
      mean.click_miou[k] += set.click_miou[k] / count;
    mean.oracle_miou += set.oracle_miou / count;
    mean.box_miou += set.box_miou / count;
    for (size_t t = 0; t < mean.noc.size(); ++t) {
      mean.noc[t].mean += set.noc[t].mean / count;
      mean.noc[t].reached += set.noc[t].reached;
    }
  }
  return mean;
}

class Evaluation {
 public:
  Evaluation(const Sam& sam, const EvaluationOptions& options) : sam_(sam), options_(options) {}

  SegmentationReport run(std::span<const std::string> paths) {
    std::vector<std::unique_ptr<MaskData>> sets;
    for (const std::string& path : paths)
      for (auto& data : learn::open_mask_data(path, options_.annotations, options_.masks))
        sets.push_back(std::move(data));
    for (const auto& data : sets) total_ += pictures_of(*data);
    report_progress();
    SegmentationReport report;
    for (const auto& data : sets) report.sets.push_back(run(*data));
    report.mean = mean_of(report.sets, options_);
    return report;
  }

 private:
  int64_t pictures_of(const MaskData& data) const {
    const auto size = static_cast<int64_t>(data.size());
    return options_.most_pictures == 0 ? size : std::min(size, options_.most_pictures);
  }

  void report_progress() const {
    if (options_.progress && !options_.progress(done_, total_))
      fail(Kind::interrupted, "evaluation stopped after {} of {} pictures", done_, total_);
  }

  DataSetScores run(const MaskData& data) {
    DataSetScores set;
    set.name = data.name;
    set.path = data.source;
    set.layout = data.layout();
    set.without_masks = data.pictures_without_masks;
    for (int64_t i = 0; i < pictures_of(data); ++i) {
      try {
        measure(data, static_cast<size_t>(i), set);
      } catch (const Error& error) {
        if (error.kind() == Kind::internal || error.kind() == Kind::interrupted) throw;
        set.failures.push_back({data.path(static_cast<size_t>(i)), error.kind(), error.what()});
      }
      ++done_;
      report_progress();
    }
    summarize(set, options_);
    return set;
  }

  void measure(const MaskData& data, size_t i, DataSetScores& set) const {
    Example example = data.load(i, {.max_pixels = options_.max_pixels});
    leave_out_unknown(example);
    set.left_out += example.left_out;
    if (example.objects.empty()) return;
    const Embedding embedding = sam_.encode(example.image);
    example.image = Image();
    const PictureTest test(embedding, example, options_);
    std::vector<ObjectScores> all;
    for (size_t begin = 0; begin < example.objects.size(); begin += kGroup) {
      const size_t count = std::min(kGroup, example.objects.size() - begin);
      for (ObjectScores& scores : test.run(std::span(example.objects).subspan(begin, count))) {
        scores.picture = data.path(i);
        all.push_back(std::move(scores));
      }
    }
    ++set.pictures;
    std::move(all.begin(), all.end(), std::back_inserter(set.objects));
  }

  const Sam& sam_;
  const EvaluationOptions& options_;
  int64_t done_ = 0, total_ = 0;
};

}  // namespace

SegmentationReport evaluate_segmentation(const Sam& sam, std::span<const std::string> data,
                                         const EvaluationOptions& options) {
  check(options);
  if (data.empty()) fail(Kind::usage, "no data set to measure on");
  return Evaluation(sam, options).run(data);
}

}  // namespace beckon
