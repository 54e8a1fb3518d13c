#include <algorithm>
#include <cmath>

#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

// x [batch, height, width, channels]
struct Map {
  const Doubles& x;
  Shape shape;
  // Beyond the border: the nearest pixel.
  double clamped(int64_t b, int64_t row, int64_t column, int64_t c) const {
    row = std::clamp<int64_t>(row, 0, shape[1] - 1);
    column = std::clamp<int64_t>(column, 0, shape[2] - 1);
    return x[static_cast<size_t>(((b * shape[1] + row) * shape[2] + column) * shape[3] + c)];
  }
  // Beyond the border: zero.
  double or_zero(int64_t b, int64_t row, int64_t column, int64_t c) const {
    const bool inside = row >= 0 && row < shape[1] && column >= 0 && column < shape[2];
    return inside ? clamped(b, row, column, c) : 0.0;
  }
};

double source(int64_t i, int64_t in, int64_t out, bool align) {
  if (align)
    return out > 1 ? static_cast<double>(i * (in - 1)) / static_cast<double>(out - 1) : 0.0;
  return (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
}

// Weight of a pixel at a distance, for the two kernels.
double weight(Interpolation mode, double distance) {
  const double d = std::abs(distance);
  if (mode == Interpolation::bilinear) return std::max(0.0, 1.0 - d);
  constexpr double a = -0.75;
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  if (d < 2) return a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a;
  return 0.0;
}

Doubles resized(const Doubles& x, const Shape& shape, int64_t height, int64_t width,
                Interpolation mode, bool align) {
  const Map map{x, shape};
  Doubles y;
  for (int64_t b = 0; b < shape[0]; ++b)
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j)
        for (int64_t c = 0; c < shape[3]; ++c) {
          if (mode == Interpolation::nearest) {
            y.push_back(map.clamped(b, i * shape[1] / height, j * shape[2] / width, c));
            continue;
          }
          const double row = source(i, shape[1], height, align);
          const double column = source(j, shape[2], width, align);
          double sum = 0;
          for (auto p = static_cast<int64_t>(std::floor(row)) - 1; p < row + 3; ++p)
            for (auto q = static_cast<int64_t>(std::floor(column)) - 1; q < column + 3; ++q)
              sum += weight(mode, row - static_cast<double>(p)) *
                     weight(mode, column - static_cast<double>(q)) * map.clamped(b, p, q, c);
          y.push_back(sum);
        }
  return y;
}

OpCase resize_case(const std::string& what, const Shape& shape, int64_t height, int64_t width,
                   Interpolation mode, bool align) {
  OpCase c;
  c.name = "resize/" + what;
  c.inputs = {normal(shape)};
  c.run = [=](const std::vector<Tensor>& in) { return resize(in[0], height, width, mode, align); };
  c.reference = [=](const std::vector<Doubles>& in) {
    return resized(in[0], shape, height, width, mode, align);
  };
  return c;
}

Doubles sampled(const Doubles& x, const Doubles& grid, const Shape& shape, int64_t points,
                bool align) {
  const Map map{x, shape};
  Doubles y;
  for (int64_t b = 0; b < shape[0]; ++b)
    for (int64_t p = 0; p < points; ++p)
      for (int64_t c = 0; c < shape[3]; ++c) {
        const auto place = [&](double g, int64_t size) {
          return align ? (g + 1) / 2 * static_cast<double>(size - 1)
                       : ((g + 1) * static_cast<double>(size) - 1) / 2;
        };
        const size_t at = 2 * static_cast<size_t>(b * points + p);
        const double column = place(grid[at], shape[2]), row = place(grid[at + 1], shape[1]);
        double sum = 0;
        for (auto i = static_cast<int64_t>(std::floor(row)); i <= std::floor(row) + 1; ++i)
          for (auto j = static_cast<int64_t>(std::floor(column)); j <= std::floor(column) + 1; ++j)
            sum += (1 - std::abs(row - static_cast<double>(i))) *
                   (1 - std::abs(column - static_cast<double>(j))) * map.or_zero(b, i, j, c);
        y.push_back(sum);
      }
  return y;
}

}  // namespace

void add_resize_cases(std::vector<OpCase>& cases) {
  struct Mode {
    const char* name;
    Interpolation mode;
    bool align;
  };
  for (const Mode& m : {Mode{"nearest", Interpolation::nearest, false},
                        Mode{"bilinear", Interpolation::bilinear, false},
                        Mode{"bilinear_corners", Interpolation::bilinear, true},
                        Mode{"bicubic", Interpolation::bicubic, false},
                        Mode{"bicubic_corners", Interpolation::bicubic, true}}) {
    const std::string name = m.name;
    cases.push_back(resize_case(name + "_up", {2, 3, 4, 3}, 7, 9, m.mode, m.align));
    cases.push_back(resize_case(name + "_down", {1, 9, 7, 2}, 4, 3, m.mode, m.align));
    cases.push_back(resize_case(name + "_up_and_down", {1, 3, 8, 1}, 6, 5, m.mode, m.align));
    cases.push_back(resize_case(name + "_same", {1, 3, 4, 5}, 3, 4, m.mode, m.align));
    cases.push_back(resize_case(name + "_from_one", {1, 1, 1, 4}, 3, 2, m.mode, m.align));
    cases.push_back(resize_case(name + "_to_one", {1, 5, 4, 2}, 1, 1, m.mode, m.align));
    OpCase large = resize_case(name + "_large", {1, 96, 96, 4}, 300, 280, m.mode, m.align);
    large.large = true;
    large.tolerance = 1e-4;  // the reference's places are floats: half a pixel in ten thousand
    cases.push_back(large);
  }
  // A mask decoder's output brought to the size of the photo. Too large for the plain loops.
  OpCase masks = resize_case("masks", {1, 256, 256, 4}, 1024, 1024, Interpolation::bilinear, false);
  masks.reference = {};
  masks.large = true;
  cases.push_back(masks);

  for (const bool align : {false, true}) {
    const Shape shape{2, 5, 4, 3};
    cases.push_back(
        {std::string("grid_sample/") + (align ? "corners" : "centres"),
         {normal(shape), normal({2, 3, 7, 2})},
         [=](const std::vector<Tensor>& in) { return grid_sample(in[0], in[1], align); },
         [=](const std::vector<Doubles>& in) { return sampled(in[0], in[1], shape, 21, align); }});
  }
  OpCase large{"grid_sample/large",
               {normal({2, 64, 64, 32}), normal({2, 60, 50, 2})},
               [](const std::vector<Tensor>& in) { return grid_sample(in[0], in[1]); },
               [](const std::vector<Doubles>& in) {
                 return sampled(in[0], in[1], {2, 64, 64, 32}, 3000, false);
               }};
  large.large = true;
  large.tolerance = 1e-4;
  cases.push_back(large);
}

}  // namespace beckon::test
