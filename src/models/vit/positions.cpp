// Position tables for other grids than the one they were trained on.
#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "models/vit/forms.h"

namespace beckon::vit {
namespace {

// Keys' cubic with a = -0.5.
double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

// [out,in]: a row holds the weights of one output, which widen when the grid shrinks.
Tensor antialiased_axis(int64_t in, int64_t out) {
  Tensor matrix = Tensor::zeros({out, in});
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  const double scale = std::max(ratio, 1.0), support = 2 * scale;
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * ratio;
    const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto last = std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in);
    double sum = 0;
    for (int64_t j = first; j < last; ++j)
      sum += cubic((static_cast<double>(j) - centre + 0.5) / scale);
    for (int64_t j = first; j < last; ++j)
      matrix.data()[i * in + j] =
          static_cast<float>(cubic((static_cast<double>(j) - centre + 0.5) / scale) / sum);
  }
  return matrix;
}

// grid [1,n,n,C] -> [1,side,side,C]
Tensor antialiased(const Tensor& grid, int64_t side) {
  const int64_t n = grid.dim(1), c = grid.dim(3);
  const Tensor axis = antialiased_axis(n, side);
  const Tensor rows = matmul(axis, grid.reshape({n, n * c})).reshape({side, n, c});
  return matmul(axis, rows).unsqueeze(0);
}

}  // namespace

int64_t grid_of(const std::string& origin, const Shape& table) {
  const int64_t rows = table.rank() == 3 ? table[1] : 0;
  const auto side = std::llround(std::sqrt(static_cast<double>(std::max<int64_t>(rows - 1, 0))));
  if (side < 1 || side * side + 1 != rows || table[0] != 1)
    fail(Kind::model, "{}: a position table of shape {}, expected [1,1 + a square,channels]",
         origin, table.str());
  return side;
}

Tensor resized_positions(const std::string& origin, const Tensor& table, int64_t grid,
                         PositionResize how) {
  const int64_t side = grid_of(origin, table.shape()), c = table.dim(2);
  if (side == grid) return table;
  const Tensor map = table.slice(1, 1, table.dim(1)).reshape({1, side, side, c});
  Tensor fitted;
  if (how == PositionResize::cubic_antialiased) {
    fitted = antialiased(map, grid);
  } else if (how == PositionResize::linear_corners) {
    fitted = resize(map, grid, grid, Interpolation::bilinear, true);
  } else {
    fitted = resize(map, grid, grid, Interpolation::bicubic, how == PositionResize::cubic_corners);
  }
  return concat({table.slice(1, 0, 1), fitted.reshape({1, grid * grid, c})}, 1);
}

void check_sizes(const std::string& origin, const VitConfig& c) {
  constexpr int64_t kMost = 1 << 14;
  const auto within = [](int64_t value, int64_t least) { return value >= least && value <= kMost; };
  if (!within(c.dim, 1) || !within(c.heads, 1) || !within(c.patch, 1) ||
      !within(c.image, c.patch) || !within(c.depth, 1) || c.mlp < 1 || c.mlp > 16 * kMost ||
      c.dim % c.heads != 0)
    fail(
        Kind::model,
        "{}: no sizes of a ViT: width {} in {} heads, {} blocks, hidden width {}, patches of {} in "
        "an image of {}",
        origin, c.dim, c.heads, c.depth, c.mlp, c.patch, c.image);
  if (c.image % c.patch != 0)
    fail(Kind::usage, "{}: images of {} pixels a side, expected a multiple of the patch size {}",
         origin, c.image, c.patch);
}

}  // namespace beckon::vit
