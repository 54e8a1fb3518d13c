#include "learn_report.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "beckon/version.h"
#include "encoding.h"
#include "files.h"
#include "json.h"

namespace beckon::cli {
namespace {

// A larger matrix is a list of the commonest mistakes.
constexpr size_t kLargestMatrix = 20, kMostMistakes = 30;

constexpr const char* kReportHead = R"html(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>What was learned</title>
<style>
:root { color-scheme: light dark; --page: #fff; --text: #1c1e21; --soft: #5b626b; --line: #d9dde2;
  --one: #1463c4; --two: #b4460f; }
@media (prefers-color-scheme: dark) { :root { --page: #15171a; --text: #e6e8eb; --soft: #a0a7b0;
  --line: #363b42; --one: #6fb1ff; --two: #ff9d66; } }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
.figures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .9rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
polyline { fill: none; stroke-width: 2; } .one { stroke: var(--one); fill: none; }
.two { stroke: var(--two); fill: none; stroke-dasharray: 6 3; } circle.one { fill: var(--one); }
circle.two { fill: var(--two); } .axis { stroke: var(--line); }
.key1 { color: var(--one); } .key2 { color: var(--two); }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.matrix td { text-align: right; } .matrix th { min-width: 4.5rem; max-width: 10rem; font-weight: 500; }
figcaption { overflow-wrap: anywhere; }
.wrong { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
.wrong img, .prompt { width: 100%; max-width: 14rem; image-rendering: pixelated; }
</style></head><body>
)html";

// Any bytes as text of the page. A name that writes from right to left stays within its own bounds.
std::string shown(const std::string& text) {
  const std::string valid =
      Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace))
          .get<std::string>();
  std::string out = "<bdi>";
  for (const char c : valid) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  return out + "</bdi>";
}

std::string picture(const Image& image, const char* style, const char* words) {
  return fmt::format("<img class=\"{}\" alt=\"{}\" src=\"data:image/png;base64,{}\"/>", style,
                     words, server::base64(image.encode_png()));
}

struct CurvePoint {
  double x, y;
};

// One or two curves over the same axes. `percent`: y from 0 to 1, as percent.
std::string chart(const std::string& caption, const std::string& across,
                  std::vector<std::vector<CurvePoint>> curves, bool percent) {
  double left = INFINITY, right = -INFINITY, top = 0;
  for (auto& curve : curves) {
    std::erase_if(curve, [](const CurvePoint& p) { return !std::isfinite(p.y); });
    for (const CurvePoint& p : curve) {
      left = std::min(left, p.x);
      right = std::max(right, p.x);
      top = std::max(top, p.y);
    }
  }
  if (percent) top = 1;
  if (!(top > 0)) top = 1;
  if (!(left <= right)) left = right = 0;
  constexpr double kX = 66, kY = 12, kWidth = 340, kHeight = 170;
  std::string out = "<figure><svg viewBox=\"0 0 420 210\" role=\"img\">";
  for (int k = 0; k <= 4; ++k) {
    const double y = kY + kHeight * (1 - k / 4.0), value = top * k / 4;
    out += fmt::format(
        "<line class=\"axis\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text x=\"60\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>",
        kX, kX + kWidth, y, y, y + 4,
        percent ? fmt::format("{:.0f}%", 100 * value) : fmt::format("{:.3g}", value));
  }
  out += fmt::format(
      "<text x=\"{}\" y=\"204\">{:.0f}</text>"
      "<text x=\"{}\" y=\"204\" text-anchor=\"end\">{} {:.0f}</text>",
      kX, left, kX + kWidth, across, right);
  const auto at = [&](const CurvePoint& p) {
    const double x = right > left ? (p.x - left) / (right - left) : 0.5;
    return std::pair(kX + kWidth * x, kY + kHeight * (1 - p.y / top));
  };
  for (size_t i = 0; i < curves.size(); ++i) {
    const char* style = i == 0 ? "one" : "two";
    if (curves[i].size() == 1) {
      const auto [x, y] = at(curves[i][0]);
      out += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>", style, x, y);
    } else if (!curves[i].empty()) {
      out += fmt::format("<polyline class=\"{}\" points=\"", style);
      for (const CurvePoint& p : curves[i]) {
        const auto [x, y] = at(p);
        out += fmt::format("{:.1f},{:.1f} ", x, y);
      }
      out += "\"/>";
    }
  }
  return out + "</svg><figcaption>" + caption + "</figcaption></figure>\n";
}

std::string curves_of(const LearnedClassifier& learned) {
  std::vector<CurvePoint> loss, accuracy, held_loss, held_accuracy, rates;
  for (size_t e = 0; e < learned.epochs.size(); ++e) {
    const auto& epoch = learned.epochs[e];
    const double x = static_cast<double>(e + 1);
    loss.push_back({x, epoch.loss});
    accuracy.push_back({x, epoch.accuracy});
    if (epoch.validation_accuracy < 0) continue;
    held_loss.push_back({x, epoch.validation_loss});
    held_accuracy.push_back({x, epoch.validation_accuracy});
  }
  for (const auto& [step, rate] : learned.learning_rates)
    rates.push_back({static_cast<double>(step), rate});
  const std::string key =
      std::string(": <span class=\"key1\">training</span>") +
      (held_loss.empty() ? "" : ", <span class=\"key2\">validation (dashed)</span>");
  return "<h2>Curves</h2>\n<div class=\"figures\">" +
         chart("Loss" + key, "epoch", {loss, held_loss}, false) +
         chart("Right answers" + key, "epoch", {accuracy, held_accuracy}, true) +
         chart("Learning rate", "step", {rates}, false) + "</div>\n";
}

std::string row(const std::string& name, const std::string& value) {
  return "<tr><th>" + name + "</th><td>" + value + "</td></tr>\n";
}

std::string facts_of(const LearnedClassifier& learned) {
  const auto& about = learned.prompt.about();
  const auto said = [&](const char* key) {
    const auto found = about.find(key);
    return found == about.end() ? std::string() : found->second;
  };
  const auto& best = learned.epochs[static_cast<size_t>(learned.best_epoch)];
  std::string out = "<h2>Numbers</h2>\n<div class=\"wide\"><table>\n";
  out += row("Data", shown(said("data"))) + row("Network", shown(said("backbone")));
  out += row("Method", shown(said("method")));
  out += row("Numbers that were learned", fmt::format("{}", learned.learned_parameters));
  out += row("Numbers of the network", fmt::format("{}", learned.backbone_parameters));
  out += row("Pictures",
             fmt::format("{} to learn from, {} held out, {} to test", learned.train_pictures,
                         learned.validation_pictures, learned.test_pictures));
  out += row("Kept", fmt::format("epoch {} of {}, {} steps each", learned.best_epoch + 1,
                                 learned.epochs.size(), learned.steps_per_epoch));
  out += row("Right in training", fmt::format("{:.1f}%", 100 * best.accuracy));
  if (best.validation_accuracy >= 0)
    out += row("Right in validation", fmt::format("{:.1f}%", 100 * best.validation_accuracy));
  if (learned.test_accuracy >= 0)
    out += row("Right in the test", fmt::format("{:.1f}%", 100 * learned.test_accuracy));
  for (const char* group : {"training", "method_options"}) {
    const Json options = Json::parse(said(group));
    for (const auto& [name, value] : options.items())
      out += row(shown(name), shown(value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return out + "</table></div>\n";
}

std::string mistakes_of(const LearnedClassifier& learned) {
  if (learned.confusion.empty()) return {};
  const auto& labels = learned.prompt.labels();
  const auto& counts = learned.confusion;
  const char* part = learned.test_pictures > 0 ? "test" : "validation";
  std::string out = fmt::format("<h2>What was taken for what ({})</h2>\n", part);
  if (labels.size() <= kLargestMatrix) {
    out += "<div class=\"wide\"><table class=\"matrix\"><tr><th>is \\ said</th>";
    for (const std::string& label : labels) out += "<th>" + shown(label) + "</th>";
    out += "</tr>\n";
    for (size_t c = 0; c < counts.size(); ++c) {
      int64_t all = 0;
      for (const int64_t n : counts[c]) all += n;
      out += "<tr><th>" + shown(labels[c]) + "</th>";
      for (size_t k = 0; k < counts[c].size(); ++k) {
        const double share =
            all == 0 ? 0 : static_cast<double>(counts[c][k]) / static_cast<double>(all);
        // Half of the colour at most: the numbers stay readable on it.
        out += fmt::format(
            "<td style=\"background:color-mix(in srgb, var(--{}) {:.0f}%, transparent)\">{}</td>",
            k == c ? "one" : "two", 50 * share, counts[c][k]);
      }
      out += "</tr>\n";
    }
    return out + "</table></div>\n";
  }
  struct Mistake {
    int64_t count;
    size_t label, answer;
  };
  std::vector<Mistake> mistakes;
  for (size_t c = 0; c < counts.size(); ++c)
    for (size_t k = 0; k < counts[c].size(); ++k)
      if (c != k && counts[c][k] > 0) mistakes.push_back({counts[c][k], c, k});
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.count > b.count; });
  out += fmt::format("<p>{} classes: the commonest mistakes.</p>\n", labels.size());
  out += "<div class=\"wide\"><table><tr><th>is</th><th>said</th><th>times</th></tr>\n";
  for (const Mistake& m : std::span(mistakes).first(std::min(mistakes.size(), kMostMistakes)))
    out += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>\n", shown(labels[m.label]),
                       shown(labels[m.answer]), m.count);
  return out + "</table></div>\n";
}

std::string wrong_ones_of(const LearnedClassifier& learned) {
  if (learned.wrong.empty()) return {};
  const auto& labels = learned.prompt.labels();
  std::string out = "<h2>Some that were wrong</h2>\n<div class=\"wrong\">\n";
  for (const auto& wrong : learned.wrong)
    out += "<figure>" + picture(wrong.picture, "", "a picture that was classified wrongly") +
           "<figcaption>is " + shown(labels[static_cast<size_t>(wrong.label)]) + ", said " +
           shown(labels[static_cast<size_t>(wrong.said)]) + "<br/>" + shown(wrong.path) +
           "</figcaption></figure>\n";
  return out + "</div>\n";
}

}  // namespace

std::string learn_report(const LearnedClassifier& learned) {
  std::string out = kReportHead;
  out += "<h1>What was learned</h1>\n";
  out += curves_of(learned) + mistakes_of(learned);
  if (const auto prompt = learned.prompt.picture())
    out += "<h2>The prompt</h2>\n" + picture(*prompt, "prompt", "the learned prompt") + "\n";
  out += wrong_ones_of(learned) + facts_of(learned);
  if (!learned.skipped.empty()) {
    out += "<h2>Left out</h2>\n<ul>\n";
    for (const std::string& reason : learned.skipped) out += "<li>" + shown(reason) + "</li>\n";
    out += "</ul>\n";
  }
  return out + fmt::format("<p>beckon {}</p>\n</body></html>\n", version());
}

void write_learn_report(const std::string& path, const LearnedClassifier& learned) {
  const std::string page = learn_report(learned);
  write_output(path, std::span(reinterpret_cast<const uint8_t*>(page.data()), page.size()));
}

}  // namespace beckon::cli
