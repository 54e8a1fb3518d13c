// The simulated annotator: what outlines, clicks and proposals cost a person until every object is
// as good as wished.
#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "base/fail.h"
#include "beckon/annotation.h"
#include "beckon/engine.h"
#include "learn/evaluation/mask_data.h"

namespace beckon {
namespace {

using learn::Example;
using learn::TrueObject;

void check_simulation(const SimulationOptions& options) {
  constexpr double kMostSeconds = 3600;
  check(options.proposals);
  if (!(options.target > 0 && options.target <= 1))
    fail(Kind::usage, "target: {}, expected an IoU above 0 and at most 1", options.target);
  if (options.most_clicks < 1 || options.most_clicks > 100)
    fail(Kind::usage, "most clicks: {}, expected 1 to 100", options.most_clicks);
  if (!(options.repairable >= 0 && options.repairable <= 1))
    fail(Kind::usage, "repairable: {}, expected an IoU from 0 to 1", options.repairable);
  const TimeModel& t = options.time;
  for (const double seconds : {t.think, t.point, t.button, t.keystroke})
    if (!(seconds >= 0 && seconds <= kMostSeconds))
      fail(Kind::usage, "{} seconds for an act, expected 0 to {}", seconds, kMostSeconds);
  if (options.most_pictures < 0) fail(Kind::usage, "pictures: expected at least 0");
  if (options.max_pixels < 1) fail(Kind::usage, "max pixels: expected at least 1");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Adds up what a person does; means are sums until the end.
class Hand {
 public:
  Hand(AnnotationCost& cost, const TimeModel& time) : cost_(cost), time_(time) {}
  void think() { cost_.seconds += time_.think; }
  void click(int64_t count = 1) {
    cost_.clicks += count;
    cost_.seconds += static_cast<double>(count) * time_.click();
  }
  void press() {
    ++cost_.keystrokes;
    cost_.seconds += time_.keystroke;
  }
  void done(double iou) { cost_.mean_iou += iou; }
  AnnotationCost& cost() { return cost_; }

 private:
  AnnotationCost& cost_;
  const TimeModel& time_;
};

struct Drawn {
  int64_t corners = 0;
  double iou = 0;
};

// The fewest corners whose outline reaches the target; all of them if none does.
Drawn outline_by_hand(const Rle& truth, double target) {
  constexpr int64_t kMostCorners = 4096;
  int64_t low = 2, high = 4;  // `low` is too few
  SimplifiedOutline best = simplify(truth, high, INT64_MAX);
  while (best.iou < target && high < kMostCorners) {
    low = high;
    high *= 2;
    best = simplify(truth, high, INT64_MAX);
  }
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    SimplifiedOutline tried = simplify(truth, std::max<int64_t>(3, middle), INT64_MAX);
    if (tried.iou >= target || (best.iou < target && tried.iou >= best.iou)) {
      best = std::move(tried);
      high = middle;
    } else {
      low = middle;
    }
  }
  return {best.vertices, best.iou};
}

class AnnotatedPicture {
 public:
  AnnotatedPicture(const Sam& sam, const Example& example, const SimulationOptions& options,
                   SimulationReport& report)
      : sam_(sam),
        example_(example),
        ignored_(example.ignored.value_or(Mask())),
        options_(options),
        report_(report),
        embedding_(nullptr) {}

  void run() {
    for (const TrueObject& object : example_.objects)
      drawn_.push_back(outline_by_hand(object.mask, options_.target));
    Hand polygons(report_.polygons, options_.time);
    for (const Drawn& drawn : drawn_) {
      polygons.think();
      draw(polygons, drawn);
    }
    const auto start = std::chrono::steady_clock::now();
    embedding_ = sam_.encode(example_.image);
    const double encoding = seconds_since(start);
    report_.assisted.machine_seconds += encoding;
    report_.semi_automatic.machine_seconds += encoding;
    Hand assisted(report_.assisted, options_.time);
    for (size_t i = 0; i < drawn_.size(); ++i) point_at(assisted, i);
    semi_automatic();
  }

 private:
  Mask truth_of(size_t i) const { return Mask::from_rle(example_.objects[i].mask, INT64_MAX); }

  void draw(Hand& hand, const Drawn& drawn) const {
    hand.click(drawn.corners);
    hand.think();
    hand.press();
    hand.done(drawn.iou);
    ++hand.cost().by_hand;
  }

  void point_at(Hand& hand, size_t i) {
    hand.think();
    improve(hand, i, {}, Mask(example_.image.size()));
  }

  // Clicks until the mask is good enough, then goes on with the next key.
  void improve(Hand& hand, size_t i, ObjectQuery query, Mask mask) {
    const Mask truth = truth_of(i);
    std::vector<Click> clicks;
    while (static_cast<int>(clicks.size()) < options_.most_clicks) {
      const Click next = next_click(truth, mask, clicks, ignored_);
      if (next.missed == 0 && next.wrong == 0) break;
      clicks.push_back(next);
      query.prompts.emplace_back(Point{static_cast<double>(next.x), static_cast<double>(next.y),
                                       next.object ? Label::object : Label::background});
      hand.click();
      const auto start = std::chrono::steady_clock::now();
      const Masks answer = embedding_.segment(
          query,
          {.multimask = query.prompts.size() == 1 ? Multimask::readings : Multimask::single});
      const PredictedMask best = answer.best();
      mask = best.mask();
      hand.cost().machine_seconds += seconds_since(start);
      hand.think();
      const double iou = iou_outside(truth, mask, ignored_);
      if (iou >= options_.target) {
        hand.press();
        hand.done(iou);
        return;
      }
      // From here on the model's own logits say more than the mask that was begun with.
      query.mask_logits.assign(best.logits().begin(), best.logits().end());
      std::erase_if(query.prompts,
                    [](const Prompt& p) { return std::holds_alternative<MaskPrompt>(p); });
    }
    draw(hand, drawn_[i]);
  }

  void semi_automatic() {
    Hand hand(report_.semi_automatic, options_.time);
    const auto start = std::chrono::steady_clock::now();
    const Proposals proposals = select_proposals(
        MaskGenerator(sam_, options_.proposals.generator).generate(embedding_, example_.image), {},
        options_.proposals);
    hand.cost().machine_seconds += seconds_since(start);
    hand.cost().proposed += static_cast<int64_t>(proposals.kept.size());

    struct Pair {
      double iou;
      size_t object, proposal;
    };
    std::vector<Pair> pairs;
    for (size_t i = 0; i < drawn_.size(); ++i) {
      const Mask truth = truth_of(i);
      for (size_t p = 0; p < proposals.kept.size(); ++p) {
        const Rle& mask = proposals.kept[p].mask.segmentation;
        if (intersection_area(mask, example_.objects[i].mask) == 0) continue;
        pairs.push_back({iou_outside(truth, Mask::from_rle(mask, INT64_MAX), ignored_), i, p});
      }
    }
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const Pair& a, const Pair& b) { return a.iou > b.iou; });
    std::vector<bool> object_done(drawn_.size()), proposal_done(proposals.kept.size());
    for (const Pair& pair : pairs) {
      if (object_done[pair.object] || proposal_done[pair.proposal]) continue;
      if (pair.iou < std::min(options_.repairable, options_.target)) break;
      object_done[pair.object] = proposal_done[pair.proposal] = true;
      hand.think();
      hand.press();
      if (pair.iou >= options_.target) {
        ++hand.cost().accepted;
        hand.done(pair.iou);
        continue;
      }
      ++hand.cost().fixed;
      const Rle& begun = proposals.kept[pair.proposal].mask.segmentation;
      improve(hand, pair.object, {{MaskPrompt(begun)}, {}}, Mask::from_rle(begun, INT64_MAX));
    }
    for (const bool done : proposal_done) {
      if (done) continue;
      ++hand.cost().rejected;
      hand.think();
      hand.press();
    }
    for (size_t i = 0; i < drawn_.size(); ++i)
      if (!object_done[i]) point_at(hand, i);
  }

  const Sam& sam_;
  const Example& example_;
  const Mask ignored_;
  const SimulationOptions& options_;
  SimulationReport& report_;
  Embedding embedding_;
  std::vector<Drawn> drawn_;  // of each object
};

void annotate_example(const Sam& sam, const Example& example, const SimulationOptions& options,
                      SimulationReport& report) {
  report.left_out += example.left_out;
  if (example.objects.empty()) return;
  AnnotatedPicture(sam, example, options, report).run();
  ++report.pictures;
  report.objects += static_cast<int64_t>(example.objects.size());
}

void tell_simulation(const SimulationOptions& options, int64_t done, int64_t total) {
  if (options.progress && !options.progress(done, total))
    fail(Kind::interrupted, "stopped after {} of {} pictures", done, total);
}

void finish_simulation(SimulationReport& report) {
  for (AnnotationCost* cost : {&report.polygons, &report.assisted, &report.semi_automatic})
    if (report.objects > 0) cost->mean_iou /= static_cast<double>(report.objects);
}

}  // namespace

SimulationReport simulate_annotator(const Sam& sam, std::span<const MadePicture> pictures,
                                    const SimulationOptions& options) {
  check_simulation(options);
  if (pictures.empty()) fail(Kind::usage, "no picture to annotate");
  SimulationReport report;
  auto total = static_cast<int64_t>(pictures.size());
  if (options.most_pictures > 0) total = std::min(total, options.most_pictures);
  tell_simulation(options, 0, total);
  for (int64_t i = 0; i < total; ++i) {
    const MadePicture& picture = pictures[static_cast<size_t>(i)];
    Example example;
    example.image = picture.image;
    for (const Rle& mask : picture.objects) example.objects.push_back({"", mask});
    annotate_example(sam, example, options, report);
    tell_simulation(options, i + 1, total);
  }
  finish_simulation(report);
  return report;
}

SimulationReport simulate_annotator(const Sam& sam, const std::string& data,
                                    const SimulationOptions& options) {
  check_simulation(options);
  const auto sets = learn::open_mask_data(data, options.annotations, options.masks);
  int64_t total = 0, done = 0;
  for (const auto& set : sets) total += static_cast<int64_t>(set->size());
  if (options.most_pictures > 0) total = std::min(total, options.most_pictures);
  SimulationReport report;
  tell_simulation(options, 0, total);
  for (const auto& set : sets)
    for (size_t i = 0; i < set->size() && done < total; ++i) {
      // A picture counts whole or not at all.
      SimulationReport with = report;
      try {
        annotate_example(sam, set->load(i, {.max_pixels = options.max_pixels}), options, with);
        report = std::move(with);
      } catch (const Error& error) {
        if (error.kind() == Kind::internal || error.kind() == Kind::interrupted) throw;
        report.failures.push_back({set->path(i), error.kind(), error.what()});
      }
      tell_simulation(options, ++done, total);
    }
  finish_simulation(report);
  return report;
}

}  // namespace beckon
