// SVG: a drawing an image; a path an object, filled by the even-odd rule. Of other people's
// drawings paths, polygons, rectangles, circles and ellipses are read.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "annotation/xml.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

constexpr int kDeepest = 64;

// [x y] -> [a*x + c*y + e, b*x + d*y + f], as SVG writes a matrix.
struct Affine {
  double a = 1, b = 0, c = 0, d = 1, e = 0, f = 0;
  Vertex operator()(Vertex v) const { return {a * v.x + c * v.y + e, b * v.x + d * v.y + f}; }
  // First the other, then this.
  Affine after(const Affine& o) const {
    return {a * o.a + c * o.b, b * o.a + d * o.b,     a * o.c + c * o.d,
            b * o.c + d * o.d, a * o.e + c * o.f + e, b * o.e + d * o.f + f};
  }
  bool plain() const { return a == 1 && b == 0 && c == 0 && d == 1 && e == 0 && f == 0; }
};

// "translate(10 20) rotate(45, 1, 2)": the first is the outermost.
Affine transform_of(std::string_view text, const std::string& place) {
  constexpr double kDegree = 3.14159265358979323846 / 180;
  constexpr std::string_view kBetween = " \t\r\n,";
  const auto refuse = [&] {
    fail(Kind::input, "{}: a transform that is not understood: '{}'", place, text.substr(0, 60));
  };
  Affine whole;
  for (std::string_view rest = text;;) {
    const size_t begin = rest.find_first_not_of(kBetween);
    if (begin == rest.npos) return whole;
    rest.remove_prefix(begin);
    const size_t open = rest.find('('), close = rest.find(')');
    if (open == rest.npos || close == rest.npos || close < open) refuse();
    std::string_view name = rest.substr(0, open);
    name = name.substr(0, name.find_last_not_of(kBetween) + 1);
    std::vector<double> n;
    for (std::string_view list = rest.substr(open + 1, close - open - 1);;) {
      const size_t from = list.find_first_not_of(kBetween);
      if (from == list.npos) break;
      size_t to = list.find_first_of(kBetween, from);
      // A sign begins a number as well, unless it is an exponent's.
      for (size_t i = from + 1; i < std::min(to, list.size()); ++i)
        if ((list[i] == '-' || list[i] == '+') && list[i - 1] != 'e' && list[i - 1] != 'E') to = i;
      n.push_back(checked(parse_number(list.substr(from, to - from), place), place));
      if (to == list.npos || n.size() > 6) break;
      list.remove_prefix(to);
    }
    rest.remove_prefix(close + 1);
    Affine one;
    if (name == "matrix" && n.size() == 6) {
      one = {n[0], n[1], n[2], n[3], n[4], n[5]};
    } else if (name == "translate" && (n.size() == 1 || n.size() == 2)) {
      one.e = n[0], one.f = n.size() == 2 ? n[1] : 0;
    } else if (name == "scale" && (n.size() == 1 || n.size() == 2)) {
      one.a = n[0], one.d = n.back();
    } else if (name == "rotate" && (n.size() == 1 || n.size() == 3)) {
      const double c = std::cos(n[0] * kDegree), s = std::sin(n[0] * kDegree);
      one = {c, s, -s, c, 0, 0};
      if (n.size() == 3)
        one = Affine{1, 0, 0, 1, n[1], n[2]}.after(one).after({1, 0, 0, 1, -n[1], -n[2]});
    } else if (name == "skewX" && n.size() == 1) {
      one.c = std::tan(n[0] * kDegree);
    } else if (name == "skewY" && n.size() == 1) {
      one.b = std::tan(n[0] * kDegree);
    } else {
      refuse();
    }
    whole = whole.after(one);
  }
}

class PathReader {
 public:
  PathReader(std::string_view text, const std::string& place) : rest_(text), place_(place) {}

  std::vector<Ring> rings() {
    char command = 0;
    Vertex at{}, start{}, control{};
    char last = 0;
    while (skip(), !rest_.empty()) {
      const char c = rest_.front();
      if (std::isalpha(static_cast<unsigned char>(c)) && c != 'e' && c != 'E') {
        command = c;
        rest_.remove_prefix(1);
      } else if (command == 0 || command == 'Z' || command == 'z') {
        fail(Kind::input, "{}: a path must begin with M", place_);
      }
      const bool relative = std::islower(static_cast<unsigned char>(command));
      const auto point = [&] {
        const double x = number(), y = number();
        return relative ? Vertex{at.x + x, at.y + y} : Vertex{x, y};
      };
      switch (std::toupper(static_cast<unsigned char>(command))) {
        case 'M':
          at = start = point();
          rings_.push_back({at});
          command = relative ? 'l' : 'L';
          break;
        case 'L':
          line(at = point());
          break;
        case 'H':
          at.x = number() + (relative ? at.x : 0);
          line(at);
          break;
        case 'V':
          at.y = number() + (relative ? at.y : 0);
          line(at);
          break;
        case 'C':
        case 'S': {
          const bool smooth = command == 'S' || command == 's';
          const Vertex a =
              smooth ? (last == 'C' ? Vertex{2 * at.x - control.x, 2 * at.y - control.y} : at)
                     : point();
          const Vertex b = point(), end = point();
          curve(at, a, b, end);
          control = b, at = end;
          last = 'C';
          continue;
        }
        case 'Q': {
          const Vertex q = point(), end = point();
          quadratic(at, q, end);
          control = q, at = end;
          last = 'Q';
          continue;
        }
        case 'T': {
          const Vertex q = last == 'Q' ? Vertex{2 * at.x - control.x, 2 * at.y - control.y} : at;
          const Vertex end = point();
          quadratic(at, q, end);
          control = q, at = end;
          last = 'Q';
          continue;
        }
        case 'A': {
          const double rx = number(), ry = number(), angle = number();
          const bool large = flag(), sweep = flag();
          const Vertex end = point();
          arc(at, rx, ry, angle, large, sweep, end);
          at = end;
          break;
        }
        case 'Z':
          at = start;
          break;
        default:
          fail(Kind::input, "{}: the path command '{}' is not known", place_, command);
      }
      last = 0;
    }
    return std::move(rings_);
  }

 private:
  void skip() {
    const size_t begin = rest_.find_first_not_of(" \t\r\n,");
    rest_ = begin == rest_.npos ? std::string_view() : rest_.substr(begin);
  }
  double number() {
    skip();
    size_t end = 0;
    bool dot = false, exponent = false;
    for (; end < rest_.size(); ++end) {
      const char c = rest_[end];
      if (c == '.' && !dot && !exponent) {
        dot = true;
      } else if ((c == 'e' || c == 'E') && !exponent && end > 0) {
        exponent = true;
      } else if (c == '-' || c == '+') {
        if (end != 0 && rest_[end - 1] != 'e' && rest_[end - 1] != 'E') break;
      } else if (c < '0' || c > '9') {
        break;
      }
    }
    const double value = checked(parse_number(rest_.substr(0, end), place_), place_);
    rest_.remove_prefix(end);
    return value;
  }
  void line(Vertex to) {
    if (rings_.empty()) fail(Kind::input, "{}: a path must begin with M", place_);
    rings_.back().push_back(to);
  }
  void curve(Vertex p, Vertex a, Vertex b, Vertex q) {
    constexpr int kSteps = 16;
    for (int i = 1; i <= kSteps; ++i) {
      const double t = static_cast<double>(i) / kSteps, u = 1 - t;
      const double w[4] = {u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t};
      line({w[0] * p.x + w[1] * a.x + w[2] * b.x + w[3] * q.x,
            w[0] * p.y + w[1] * a.y + w[2] * b.y + w[3] * q.y});
    }
  }

  void quadratic(Vertex p, Vertex q, Vertex end) {
    curve(p, {p.x + (q.x - p.x) * 2 / 3, p.y + (q.y - p.y) * 2 / 3},
          {end.x + (q.x - end.x) * 2 / 3, end.y + (q.y - end.y) * 2 / 3}, end);
  }
  // A flag of an arc: one digit, after which nothing need stand.
  bool flag() {
    skip();
    if (rest_.empty() || (rest_.front() != '0' && rest_.front() != '1'))
      fail(Kind::input, "{}: an arc's flag must be 0 or 1", place_);
    const bool set = rest_.front() == '1';
    rest_.remove_prefix(1);
    return set;
  }
  // An elliptical arc from p to q, as the appendix "Elliptical arc implementation notes" of SVG 1.1
  // finds its centre.
  void arc(Vertex p, double rx, double ry, double degrees, bool large, bool sweep, Vertex q) {
    rx = std::abs(rx), ry = std::abs(ry);
    if (rx == 0 || ry == 0) return line(q);
    if (p == q) return;
    constexpr double kPi = 3.14159265358979323846;
    const double c = std::cos(degrees * kPi / 180), s = std::sin(degrees * kPi / 180);
    const double dx = (p.x - q.x) / 2, dy = (p.y - q.y) / 2;
    const double x = c * dx + s * dy, y = c * dy - s * dx;
    const double reach = x * x / (rx * rx) + y * y / (ry * ry);
    if (reach > 1) rx *= std::sqrt(reach), ry *= std::sqrt(reach);
    const double across = rx * rx * y * y + ry * ry * x * x;
    const double left = std::max(0.0, rx * rx * ry * ry - across);
    const double factor = (large == sweep ? -1 : 1) * std::sqrt(left / across);
    const double cx = factor * rx * y / ry, cy = -factor * ry * x / rx;
    const double from = std::atan2((y - cy) / ry, (x - cx) / rx);
    double turn = std::atan2((-y - cy) / ry, (-x - cx) / rx) - from;
    if (sweep && turn < 0) turn += 2 * kPi;
    if (!sweep && turn > 0) turn -= 2 * kPi;
    const Vertex centre{c * cx - s * cy + (p.x + q.x) / 2, s * cx + c * cy + (p.y + q.y) / 2};
    constexpr int kSteps = 32;
    for (int i = 1; i < kSteps; ++i) {
      const double at = from + turn * i / kSteps;
      const double u = rx * std::cos(at), v = ry * std::sin(at);
      line({centre.x + c * u - s * v, centre.y + s * u + c * v});
    }
    line(q);
  }

  std::string_view rest_;
  const std::string& place_;
  std::vector<Ring> rings_;
};

double area_of(const Ring& ring) {
  double sum = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex &a = ring[i], &b = ring[(i + 1) % ring.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return sum;
}

// Our own paths have outer rings clockwise and their holes behind them. Rings of others are one
// part, whose pixels an odd number of rings encloses.
Outline outline_from(std::vector<Ring> rings, bool ours) {
  Outline outline;
  for (Ring& ring : rings) {
    if (outline.parts.empty() || (ours && area_of(ring) > 0))
      outline.parts.push_back({std::move(ring), {}});
    else
      outline.parts.back().holes.push_back(std::move(ring));
  }
  return outline;
}

struct Reader {
  const std::string& name;
  Dataset& data;
  FormatNotices& notices;
  size_t index;
  size_t count = 0;

  void walk(const pugi::xml_node& parent, const std::string& label, const Affine& above,
            int depth) {
    if (depth > kDeepest) fail(Kind::input, "{}: groups nested deeper than {}", name, kDeepest);
    for (const pugi::xml_node& node : parent.children()) {
      std::string kind = node.name();
      if (kind.starts_with("svg:")) kind = kind.substr(4);
      Affine here = above;
      if (const auto own = node.attribute("transform");
          own && (kind == "g" || kind == "a" || drawn(kind)))
        here = above.after(transform_of(own.as_string(), name));
      if (kind == "image") {
        auto href = node.attribute("href");
        if (!href) href = node.attribute("xlink:href");
        const std::string_view file = href.as_string();
        if (!file.empty() && !file.starts_with("data:")) data.images[index].file = file;
      } else if (kind == "g" || kind == "a") {
        const auto own = node.attribute("data-label");
        walk(node, own ? own.as_string() : label, here, depth + 1);
      } else if (drawn(kind)) {
        add(node, kind, label, here);
      } else if (kind == "polyline" || kind == "use" || kind == "line") {
        notices.add(fmt::format("SVG: {} is not read", kind), name);
      }
    }
  }

  // Boxes stay boxes where they stay upright.
  static void move(Annotation& one, const Affine& here, const std::string& place) {
    if (const auto* box = std::get_if<BoxShape>(&one.shape)) {
      const Vertex a = here({box->x, box->y});
      const Vertex b = here({box->x + box->width, box->y + box->height});
      if (here.b == 0 && here.c == 0) {
        one.shape = BoxShape{std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x),
                             std::abs(a.y - b.y)};
        check_box(std::get<BoxShape>(one.shape), place);
        return;
      }
      one.shape = outline_of_ring(corners_of(*box));
    }
    auto* outline = std::get_if<Outline>(&one.shape);
    if (!outline) return;
    const auto ring = [&](Ring& vertices) {
      for (Vertex& v : vertices) {
        v = here(v);
        checked(v.x, place), checked(v.y, place);
      }
    };
    for (Polygon& part : outline->parts) {
      ring(part.outer);
      for (Ring& hole : part.holes) ring(hole);
    }
  }

  static bool drawn(const std::string& kind) {
    return kind == "path" || kind == "polygon" || kind == "rect" || kind == "circle" ||
           kind == "ellipse";
  }

  void add(const pugi::xml_node& node, const std::string& kind, const std::string& group,
           const Affine& here) {
    const std::string place = fmt::format("{}: {} {}", name, kind, ++count);
    Annotation one;
    one.image = index;
    if (kind == "path") {
      one.shape = outline_from(PathReader(node.attribute("d").as_string(), place).rings(),
                               static_cast<bool>(node.attribute("data-beckon")));
    } else if (kind == "polygon") {
      std::string points = node.attribute("points").as_string();
      std::vector<Ring> rings = PathReader("M" + points, place).rings();
      if (!rings.empty()) one.shape = outline_of_ring(std::move(rings.front()));
    } else if (kind == "circle" || kind == "ellipse") {
      const auto at = [&](const char* key) {
        return checked(xml_number(node.attribute(key).as_string("0"), place + ": " + key), place);
      };
      const double cx = at("cx"), cy = at("cy");
      const double rx = at(kind == "circle" ? "r" : "rx"), ry = at(kind == "circle" ? "r" : "ry");
      Ring ring;
      for (int i = 0; i < 64; ++i) {
        const double angle = i * 3.14159265358979323846 / 32;
        ring.push_back({cx + rx * std::cos(angle), cy + ry * std::sin(angle)});
      }
      if (rx > 0 && ry > 0) one.shape = outline_of_ring(std::move(ring));
    } else {
      const auto at = [&](const char* key) {
        return xml_number(node.attribute(key).as_string("0"), place + ": " + key);
      };
      one.shape = BoxShape{at("x"), at("y"), at("width"), at("height")};
      check_box(std::get<BoxShape>(one.shape), place);
    }
    if (!here.plain()) move(one, here, place);
    std::string label = group;
    if (const auto own = node.attribute("data-label")) label = own.as_string();
    if (label.empty()) label = node.child_value("title");
    if (!label.empty()) one.category = data.category(label);
    if (const auto score = node.attribute("data-score"))
      one.score = parse_number(score.as_string(), place);
    data.annotations.push_back(std::move(one));
  }
};

}  // namespace

void parse_svg(std::string_view text, const std::string& name, Dataset& data,
               FormatNotices& notices) {
  pugi::xml_document document;
  parse_xml(document, text, name);
  pugi::xml_node root = document.child("svg");
  if (!root) root = document.child("svg:svg");
  if (!root) fail(Kind::input, "{}: expected <svg>", name);
  AnnotatedImage image;
  image.file = base_name(without_ending(name));
  double sides[2] = {0, 0};
  if (const auto box = root.attribute("viewBox")) {
    const std::vector<Ring> corners = PathReader(std::string("M") + box.as_string(), name).rings();
    if (corners.size() != 1 || corners[0].size() != 2)
      fail(Kind::input, "{}: viewBox must be four numbers", name);
    if (corners[0][0] != Vertex{})
      fail(Kind::unsupported, "{}: a viewBox that does not begin at 0 0", name);
    sides[0] = corners[0][1].x, sides[1] = corners[0][1].y;
  } else if (root.attribute("width") && root.attribute("height")) {
    for (int i = 0; i < 2; ++i) {
      std::string side = root.attribute(i == 0 ? "width" : "height").as_string();
      if (side.ends_with("px")) side.resize(side.size() - 2);
      if (!side.ends_with("%")) sides[i] = parse_number(side, name + ": size");
    }
  }
  if (sides[0] != 0 || sides[1] != 0) {
    for (double side : sides)
      if (!(side >= 1 && side <= kLongestSide))
        fail(Kind::input, "{}: a side of {}, expected 1 to {}", name, side, kLongestSide);
    image.width = static_cast<int>(std::ceil(sides[0]));
    image.height = static_cast<int>(std::ceil(sides[1]));
    check_sides(image.width, image.height, name);
  }
  data.images.push_back(image);
  Reader{name, data, notices, data.images.size() - 1}.walk(root, "", {}, 0);
}

Dataset read_svg(const Reading& reading) {
  Dataset data;
  for (const std::string& file : files_in(reading.path, ".svg"))
    parse_svg(read_text(file, reading.options.max_bytes), file, data, reading.notices);
  return data;
}

void write_svg(const Dataset& data, Writing& writing) {
  std::vector<std::vector<const Annotation*>> of_image(data.images.size());
  for (const Annotation& one : data.annotations) of_image[one.image].push_back(&one);
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "svg");
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("svg");
    const auto set = [](pugi::xml_node node, const char* name, const std::string& value) {
      node.append_attribute(name).set_value(xml_safe(value).c_str());
    };
    set(root, "xmlns", "http://www.w3.org/2000/svg");
    set(root, "width", std::to_string(size.width));
    set(root, "height", std::to_string(size.height));
    set(root, "viewBox", fmt::format("0 0 {} {}", size.width, size.height));
    pugi::xml_node photo = root.append_child("image");
    set(photo, "href", image.file);
    set(photo, "width", std::to_string(size.width));
    set(photo, "height", std::to_string(size.height));
    for (const Annotation* one : of_image[i]) {
      const auto* box = std::get_if<BoxShape>(&one->shape);
      if (!has_area(*one)) {
        writing.notices.add("svg has no place for a label without a shape", image.file);
        continue;
      }
      // Labels of one kind have one colour.
      const uint32_t colour = voc_colour(1 + std::max(one->category, 0) % 254);
      pugi::xml_node node;
      if (box && box->rotation == 0) {
        node = root.append_child("rect");
        set(node, "x", text_of_number(box->x));
        set(node, "y", text_of_number(box->y));
        set(node, "width", text_of_number(box->width));
        set(node, "height", text_of_number(box->height));
        set(node, "fill", "none");
      } else {
        node = root.append_child("path");
        std::string path;
        for (const Polygon& part : apart(*one, image, writing.options).parts) {
          const auto add = [&](const Ring& ring, bool outer) {
            const bool clockwise = area_of(ring) > 0;
            for (size_t v = 0; v < ring.size(); ++v) {
              const Vertex& at = clockwise == outer ? ring[v] : ring[ring.size() - 1 - v];
              path += fmt::format("{}{} {}", v == 0 ? "M" : "L", text_of_number(at.x),
                                  text_of_number(at.y));
            }
            path += "Z";
          };
          add(part.outer, true);
          for (const Ring& hole : part.holes) add(hole, false);
        }
        set(node, "d", path);
        set(node, "fill-rule", "evenodd");
        set(node, "fill", fmt::format("#{:06x}", colour));
        set(node, "fill-opacity", "0.5");
        set(node, "data-beckon", "1");
      }
      set(node, "stroke", fmt::format("#{:06x}", colour));
      if (one->category >= 0) {
        set(node, "data-label", label_of(data, *one));
        node.append_child("title").text() = xml_safe(label_of(data, *one)).c_str();
      }
      if (one->score) set(node, "data-score", text_of_number(*one->score));
    }
    writing.output.add(writing.single_file ? "" : writing.output.place("", image.file, ".svg"),
                       xml_text(document));
  }
}

}  // namespace beckon::annotation
