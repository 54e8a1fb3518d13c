#include "prompts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "beckon/error.h"
#include "beckon/mask.h"
#include "beckon/polygon.h"
#include "encoding.h"
#include "models/sam/model.h"
#include "models/sam/selection.h"
#include "prompt/limits.h"

namespace beckon::server {
namespace {

Label label_of(const Fields& fields) {
  return fields.integer("label", 0, 1).value_or(1) == 1 ? Label::object : Label::background;
}

double coordinate(const Json& value, const std::string& place) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(std::abs(number) <= kLargestCoordinate))
    out_of_range(
        fmt::format("{}: expected a number of pixels, at most a million either way", place));
  return number;
}

// One byte a logit: steps of 1/8 up to some 16, which is sure enough. The sign is kept, so that the
// mask is the same.
constexpr float kLogitStep = 0.125f;

struct LowMask {
  int width = 0, height = 0;
  double cell_x = 1, cell_y = 1;  // pixels of the photo that a cell is wide and high
  std::vector<float> values;
};

// The part of the logits that lies over the photo: the rest of the square is padding.
LowMask low_mask(const PredictedMask& mask, const sam::Frame& frame) {
  LowMask low;
  const ImageSize whole = mask.logits_size();
  const double cells = static_cast<double>(frame.side) / whole.width;  // frame pixels a cell
  low.width = std::min(whole.width, static_cast<int>(std::ceil(frame.resized.width / cells)));
  low.height = std::min(whole.height, static_cast<int>(std::ceil(frame.resized.height / cells)));
  low.cell_x = cells * frame.image.width / frame.resized.width;
  low.cell_y = cells * frame.image.height / frame.resized.height;
  const std::span<const float> logits = mask.logits();
  for (int y = 0; y < low.height; ++y) {
    const float* row = logits.data() + static_cast<size_t>(y) * static_cast<size_t>(whole.width);
    low.values.insert(low.values.end(), row, row + low.width);
  }
  return low;
}

Json json_of_logits(const LowMask& low) {
  std::vector<uint8_t> bytes;
  bytes.reserve(low.values.size());
  for (const float v : low.values) {
    float step = std::clamp(std::round(v / kLogitStep), -127.0f, 127.0f);
    if (v > 0 && step < 1) step = 1;
    if (!(v > 0) && !(step <= 0)) step = 0;  // NaN as well
    bytes.push_back(static_cast<uint8_t>(static_cast<int8_t>(step)));
  }
  return {{"width", low.width},
          {"height", low.height},
          {"scale", kLogitStep},
          {"cell", {low.cell_x, low.cell_y}},
          {"data", base64(bytes)}};
}

// NaN is no JSON.
Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(0); }

}  // namespace

Rle read_rle(const Json& value, const std::string& place, ImageSize size) {
  const Fields fields(value, place);
  fields.only({"size", "counts"});
  const Json* sides = fields.list("size", 2);
  if (sides == nullptr || sides->size() != 2 || (*sides)[0] != size.height ||
      (*sides)[1] != size.width)
    out_of_range(fmt::format("{}.size: expected [{}, {}], the photo's height and width", place,
                             size.height, size.width));
  const Json* counts = fields.find("counts");
  try {
    if (counts != nullptr && counts->is_string())
      return Rle::from_string(size, counts->get_ref<const std::string&>());
    if (counts != nullptr && counts->is_array()) {
      std::vector<int64_t> runs;
      for (const Json& run : *counts) {
        if (!run.is_number_integer() || run > int64_t{UINT32_MAX} || run < 0)
          out_of_range(place + ".counts: expected whole numbers");
        runs.push_back(run.get<int64_t>());
      }
      return Rle::from_counts(size, runs);
    }
  } catch (const Error& error) {
    out_of_range(fmt::format("{}.counts: {}", place, error.what()));
  }
  out_of_range(place + ".counts: expected COCO's text or a list of run lengths");
}

Json rle_json(const Rle& rle) {
  return {{"size", {rle.height(), rle.width()}}, {"counts", rle.string()}};
}

Json polygons_json(const Mask& mask) {
  const auto ring_json = [](const Ring& ring) {
    Json list = Json::array();
    for (const Vertex& v : ring) list.push_back({v.x, v.y});
    return list;
  };
  Json list = Json::array();
  for (const Polygon& polygon : polygons_of(mask)) {
    Json holes = Json::array();
    for (const Ring& hole : polygon.holes) holes.push_back(ring_json(hole));
    list.push_back({{"outer", ring_json(polygon.outer)}, {"holes", std::move(holes)}});
  }
  return list;
}

ObjectQuery read_query(const Json& prompt, const std::string& place, ImageSize size) {
  const Fields fields(prompt, place);
  fields.only({"points", "box", "scribbles", "mask"});
  ObjectQuery query;
  if (const Json* points = fields.list("points", kMostPointsOfPrompt)) {
    for (size_t i = 0; i < points->size(); ++i) {
      const Fields point((*points)[i], fmt::format("{}.points[{}]", place, i));
      point.only({"x", "y", "label"});
      const auto x = point.number("x", -kLargestCoordinate, kLargestCoordinate);
      const auto y = point.number("y", -kLargestCoordinate, kLargestCoordinate);
      if (!x || !y) out_of_range(fmt::format("{}.points[{}]: expected x and y", place, i));
      query.prompts.emplace_back(Point{*x, *y, label_of(point)});
    }
  }
  if (const Json* box = fields.list("box", 4)) {
    const std::string here = place + ".box";
    if (box->size() != 4) out_of_range(here + ": expected [x0, y0, x1, y1]");
    Box b;
    double* const sides[] = {&b.x0, &b.y0, &b.x1, &b.y1};
    for (size_t i = 0; i < 4; ++i) *sides[i] = coordinate((*box)[i], here);
    if (b.x0 > b.x1 || b.y0 > b.y1) out_of_range(here + ": expected x0 <= x1 and y0 <= y1");
    query.prompts.emplace_back(b);
  }
  if (const Json* scribbles = fields.list("scribbles", kMostScribbles)) {
    for (size_t i = 0; i < scribbles->size(); ++i) {
      const std::string here = fmt::format("{}.scribbles[{}]", place, i);
      const Fields one((*scribbles)[i], here);
      one.only({"points", "label"});
      Scribble scribble;
      scribble.label = label_of(one);
      const Json* places = one.list("points", kMostPlacesOfScribble);
      if (places == nullptr || places->empty()) out_of_range(here + ".points: expected places");
      for (const Json& at : *places) {
        if (!at.is_array() || at.size() != 2) out_of_range(here + ".points: expected [x, y]");
        scribble.points.push_back({coordinate(at[0], here), coordinate(at[1], here)});
      }
      query.prompts.emplace_back(std::move(scribble));
    }
  }
  if (const Json* mask = fields.find("mask"))
    query.prompts.emplace_back(MaskPrompt(read_rle(*mask, place + ".mask", size)));
  if (query.prompts.empty()) out_of_range(place + ": expected points, a box, scribbles or a mask");
  return query;
}

Json mask_json(const PredictedMask& mask, MaskForm form, const sam::Frame& frame) {
  Json json{{"score", finite(mask.score())}, {"token", mask.token()}};
  if (form == MaskForm::logits) {
    const LowMask low = low_mask(mask, frame);
    int64_t area = 0;
    int x0 = low.width, y0 = low.height, x1 = -1, y1 = -1;
    for (int y = 0; y < low.height; ++y) {
      for (int x = 0; x < low.width; ++x) {
        if (!(low.values[static_cast<size_t>(y) * static_cast<size_t>(low.width) +
                         static_cast<size_t>(x)] > 0))
          continue;
        ++area;
        x0 = std::min(x0, x), x1 = std::max(x1, x);
        y0 = std::min(y0, y), y1 = std::max(y1, y);
      }
    }
    json["stability"] = finite(sam::stability_score(low.values));
    json["area"] = std::llround(static_cast<double>(area) * low.cell_x * low.cell_y);
    json["box"] = area == 0 ? Json{0, 0, 0, 0}
                            : Json{x0 * low.cell_x, y0 * low.cell_y, (x1 - x0 + 1) * low.cell_x,
                                   (y1 - y0 + 1) * low.cell_y};
    json["logits"] = json_of_logits(low);
    return json;
  }
  const PixelBox box = mask.bounding_box();
  json["stability"] = finite(mask.stability());
  json["area"] = mask.area();
  json["box"] = {box.x, box.y, box.width, box.height};
  if (form == MaskForm::rle) json["rle"] = rle_json(mask.rle());
  if (form == MaskForm::polygon) json["polygons"] = polygons_json(Mask::from_rle(mask.rle()));
  if (form == MaskForm::png) json["png"] = base64(Mask::from_rle(mask.rle()).image().encode_png());
  return json;
}

}  // namespace beckon::server
