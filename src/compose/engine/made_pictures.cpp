// Pictures whose masks are known because they were made: shapes with textures on a textured ground.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "base/fail.h"
#include "beckon/engine.h"
#include "beckon/mask.h"

namespace beckon {
namespace {

constexpr int64_t kLeastVisible = 200;  // pixels of an object that counts
constexpr double kMostHidden = 0.25;    // of an object, by one that lies above it
constexpr int kAttempts = 40;           // to place one

// SplitMix64: the same numbers with every standard library.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(bits() >> 11) / 9007199254740992.0;
  }
  int below(int count) { return static_cast<int>(bits() % static_cast<uint64_t>(count)); }

 private:
  uint64_t state_;
};

using Rgb = std::array<double, 3>;

Rgb colour_of(Dice& dice, double low, double high) {
  return {dice.between(low, high), dice.between(low, high), dice.between(low, high)};
}

// Two colours that change along a direction, in stripes or softly.
struct Texture {
  Rgb one{}, other{};
  double dx = 0, dy = 0, bend = 0;
  bool stripes = false;

  static Texture of(Dice& dice, bool ground) {
    Texture t;
    t.one = colour_of(dice, ground ? 70 : 20, ground ? 170 : 240);
    for (size_t i = 0; i < 3; ++i)
      t.other[i] = std::clamp(t.one[i] + dice.between(-45, 45), 0.0, 255.0);
    const double angle = dice.between(0, 2 * std::numbers::pi);
    const double waves = 2 * std::numbers::pi / dice.between(ground ? 60 : 14, ground ? 240 : 90);
    t.dx = std::cos(angle) * waves;
    t.dy = std::sin(angle) * waves;
    t.bend = dice.between(0, ground ? 0.02 : 0.006);
    t.stripes = !ground && dice.below(3) == 0;
    return t;
  }
  Rgb at(int x, int y) const {
    double wave = std::sin(t_of(x, y)) * 0.5 + 0.5;
    if (stripes) wave = wave > 0.5 ? 1 : 0;
    Rgb c;
    for (size_t i = 0; i < 3; ++i) c[i] = one[i] + wave * (other[i] - one[i]);
    return c;
  }

 private:
  double t_of(int x, int y) const { return dx * x + dy * y + bend * std::sin(0.05 * x) * y; }
};

// What lies within: a distance from the middle for each direction.
struct Shape {
  double cx = 0, cy = 0, width = 1, height = 1, turn = 0;
  int kind = 0;  // ellipse, rectangle, star, blob
  std::array<double, 3> waves{}, phases{};
  int points = 5;

  static Shape of(Dice& dice, ImageSize size) {
    Shape s;
    const double side = std::min(size.width, size.height);
    s.cx = dice.between(0.05, 0.95) * size.width;
    s.cy = dice.between(0.05, 0.95) * size.height;
    s.width = dice.between(0.06, 0.22) * side;
    s.height = dice.between(0.06, 0.22) * side;
    s.turn = dice.between(0, std::numbers::pi);
    s.kind = dice.below(4);
    s.points = 4 + dice.below(4);
    for (size_t i = 0; i < 3; ++i) {
      s.waves[i] = dice.between(0, 0.22 / static_cast<double>(i + 1));
      s.phases[i] = dice.between(0, 2 * std::numbers::pi);
    }
    return s;
  }
  bool has(int px, int py) const {
    const double x0 = px + 0.5 - cx, y0 = py + 0.5 - cy;
    const double x = (x0 * std::cos(turn) + y0 * std::sin(turn)) / width;
    const double y = (y0 * std::cos(turn) - x0 * std::sin(turn)) / height;
    if (kind == 1) return std::max(std::abs(x), std::abs(y)) < 0.85;
    const double distance = std::hypot(x, y);
    if (kind == 0) return distance < 1;
    const double angle = std::atan2(y, x);
    double edge = 1;
    if (kind == 2) {
      edge = 0.8 + 0.25 * std::cos(points * angle);
    } else {
      for (size_t i = 0; i < 3; ++i)
        edge += waves[i] * std::sin(static_cast<double>(i + 2) * angle + phases[i]);
    }
    return distance < edge;
  }
};

// Which object is to be seen at each pixel; -1: the ground.
class Scene {
 public:
  explicit Scene(ImageSize size)
      : size_(size),
        above_(static_cast<size_t>(size.width) * static_cast<size_t>(size.height), -1) {}

  // Lays a shape on top; false if it would hide too much of another or is too small.
  bool lay(const Shape& shape) {
    const auto number = static_cast<int>(areas_.size());
    std::vector<size_t> pixels;
    std::vector<int64_t> hidden(areas_.size());
    for (int y = 0; y < size_.height; ++y)
      for (int x = 0; x < size_.width; ++x) {
        if (!shape.has(x, y)) continue;
        pixels.push_back(index(x, y));
        if (const int below = above_[pixels.back()]; below >= 0)
          ++hidden[static_cast<size_t>(below)];
      }
    if (static_cast<int64_t>(pixels.size()) < kLeastVisible) return false;
    for (size_t i = 0; i < hidden.size(); ++i)
      if (static_cast<double>(hidden[i]) > kMostHidden * static_cast<double>(areas_[i]))
        return false;
    for (const size_t pixel : pixels) above_[pixel] = number;
    areas_.push_back(static_cast<int64_t>(pixels.size()));
    return true;
  }
  size_t objects() const { return areas_.size(); }
  int at(int x, int y) const { return above_[index(x, y)]; }

  Rle mask(int number) const {
    std::vector<uint8_t> values(above_.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] = above_[i] == number;
    return Mask(size_.width, size_.height, values).rle();
  }

 private:
  size_t index(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(size_.width) + static_cast<size_t>(x);
  }
  ImageSize size_;
  std::vector<int> above_;
  std::vector<int64_t> areas_;  // without what lies above
};

// Edges as a lens shows them: a mean of 3 x 3 pixels, and noise.
Image photograph(const std::vector<Rgb>& light, ImageSize size, Dice& dice) {
  Image image(size.width, size.height, 3);
  for (int y = 0; y < size.height; ++y) {
    uint8_t* row = image.mutable_row(y);
    for (int x = 0; x < size.width; ++x) {
      Rgb sum{};
      int count = 0;
      for (int j = std::max(0, y - 1); j <= std::min(size.height - 1, y + 1); ++j)
        for (int i = std::max(0, x - 1); i <= std::min(size.width - 1, x + 1); ++i, ++count)
          for (size_t c = 0; c < 3; ++c)
            sum[c] += light[static_cast<size_t>(j) * static_cast<size_t>(size.width) +
                            static_cast<size_t>(i)][c];
      for (size_t c = 0; c < 3; ++c)
        row[3 * static_cast<size_t>(x) + c] = static_cast<uint8_t>(
            std::clamp(std::round(sum[c] / count + dice.between(-7, 7)), 0.0, 255.0));
    }
  }
  return image;
}

MadePicture make_picture(const MadeSetOptions& options, uint64_t number) {
  Dice dice(options.seed * 0x2545F4914F6CDD1Du + number);
  const ImageSize size = options.size;
  Scene scene(size);
  std::vector<Texture> textures;
  const Texture ground = Texture::of(dice, true);
  for (int i = 0; i < options.objects; ++i)
    for (int attempt = 0; attempt < kAttempts; ++attempt)
      if (scene.lay(Shape::of(dice, size))) {
        textures.push_back(Texture::of(dice, false));
        break;
      }
  std::vector<Rgb> light(static_cast<size_t>(size.width) * static_cast<size_t>(size.height));
  for (int y = 0; y < size.height; ++y)
    for (int x = 0; x < size.width; ++x) {
      const int object = scene.at(x, y);
      const Texture& texture = object < 0 ? ground : textures[static_cast<size_t>(object)];
      light[static_cast<size_t>(y) * static_cast<size_t>(size.width) + static_cast<size_t>(x)] =
          texture.at(x, y);
    }
  MadePicture picture{photograph(light, size, dice), {}};
  for (size_t i = 0; i < scene.objects(); ++i) {
    Rle mask = scene.mask(static_cast<int>(i));
    if (mask.area() >= kLeastVisible) picture.objects.push_back(std::move(mask));
  }
  return picture;
}

}  // namespace

std::vector<MadePicture> make_pictures(const MadeSetOptions& options) {
  constexpr int kMostPictures = 1000, kMostObjects = 100, kLeastSide = 64, kMostSide = 4096;
  if (options.pictures < 1 || options.pictures > kMostPictures)
    fail(Kind::usage, "pictures: {}, expected 1 to {}", options.pictures, kMostPictures);
  if (options.objects < 1 || options.objects > kMostObjects)
    fail(Kind::usage, "objects: {}, expected 1 to {}", options.objects, kMostObjects);
  for (const int side : {options.size.width, options.size.height})
    if (side < kLeastSide || side > kMostSide)
      fail(Kind::usage, "a side of {} pixels, expected {} to {}", side, kLeastSide, kMostSide);
  std::vector<MadePicture> pictures;
  for (int i = 0; i < options.pictures; ++i)
    pictures.push_back(make_picture(options, static_cast<uint64_t>(i)));
  return pictures;
}

}  // namespace beckon
