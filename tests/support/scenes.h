// Made-up scenes with a known class of things: stars of any colour and turn, among discs,
// triangles, squares and hexagons, over parts of photos. Header-only: a test that includes it links
// beckon_image itself.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/resize.h"

namespace beckon::test {

struct Scene {
  Image picture;
  Mask stars;
};

class SceneMaker {
 public:
  static constexpr int kWidth = 480, kHeight = 360;

  // `photos`: what lies behind the things, each at least 240 x 180.
  SceneMaker(std::vector<Image> photos, uint32_t seed)
      : photos_(std::move(photos)), generator_(seed) {}

  Scene next() {
    Scene scene{background(), Mask(kWidth, kHeight)};
    std::vector<int> corners(static_cast<size_t>(whole(1, 3)), kStar);
    for (int others = whole(2, 4); others > 0; --others)
      corners.push_back(std::array{0, 3, 4, 6}[static_cast<size_t>(whole(0, 3))]);
    std::vector<Thing> placed;
    for (const int kind : corners) {
      for (int attempt = 0; attempt < 60; ++attempt) {
        Thing t{kind, 0, 0, real(22, 60), real(0, 2 * std::numbers::pi)};
        t.x = real(t.radius, kWidth - t.radius);
        t.y = real(t.radius, kHeight - t.radius);
        const bool free = std::none_of(placed.begin(), placed.end(), [&](const Thing& o) {
          return std::hypot(o.x - t.x, o.y - t.y) < o.radius + t.radius + 4;
        });
        if (!free) continue;
        draw(scene, t);
        placed.push_back(t);
        break;
      }
    }
    return scene;
  }

  // images/0.png and masks/0.png, ... below `folder`.
  void write(const std::filesystem::path& folder, int count) {
    std::filesystem::create_directories(folder / "images");
    std::filesystem::create_directories(folder / "masks");
    for (int i = 0; i < count; ++i) {
      const Scene scene = next();
      const std::string name = std::to_string(i) + ".png";
      scene.picture.write_png((folder / "images" / name).string());
      scene.stars.write_png((folder / "masks" / name).string());
    }
  }

 private:
  static constexpr int kStar = 10;
  struct Thing {
    int corners;  // 0: a disc; kStar: five points
    double x, y, radius, turn;
  };

  int whole(int low, int high) { return std::uniform_int_distribution(low, high)(generator_); }
  double real(double low, double high) {
    return std::uniform_real_distribution(low, high)(generator_);
  }

  Image background() {
    const Image& photo =
        photos_[static_cast<size_t>(whole(0, static_cast<int>(photos_.size()) - 1))];
    const double widest = std::min(photo.width(), photo.height() * kWidth / kHeight);
    const int width = static_cast<int>(widest * real(0.6, 1));
    const int height = width * kHeight / kWidth;
    return resize(
        photo
            .crop(whole(0, photo.width() - width), whole(0, photo.height() - height), width, height)
            .rgb(),
        kWidth, kHeight);
  }

  static bool inside(const Thing& t, double x, double y) {
    const double r = std::hypot(x - t.x, y - t.y) / t.radius;
    if (t.corners == 0 || r > 1) return r <= 1;
    // The side that lies in this direction, by the corners at its ends.
    const double sector = 2 * std::numbers::pi / t.corners;
    double angle = std::fmod(std::atan2(y - t.y, x - t.x) - t.turn, 2 * std::numbers::pi);
    if (angle < 0) angle += 2 * std::numbers::pi;
    const int side = static_cast<int>(angle / sector);
    const double in = angle - side * sector;
    const auto corner = [&](int i) { return t.corners == kStar && i % 2 == 1 ? 0.42 : 1.0; };
    const double a = corner(side), b = corner(side + 1);
    // Distance of the line from (a, 0) to (b at `sector`) in the direction `in`.
    const double edge = a * b * std::sin(sector) / (a * std::sin(in) + b * std::sin(sector - in));
    return r <= edge;
  }

  void draw(Scene& scene, const Thing& t) {
    std::array<double, 3> colour{};
    for (double& c : colour) c = real(20, 240);
    std::normal_distribution<double> grain(0, 12);
    const int top = std::max(0, static_cast<int>(t.y - t.radius)),
              bottom = std::min(kHeight - 1, static_cast<int>(t.y + t.radius) + 1),
              left = std::max(0, static_cast<int>(t.x - t.radius)),
              right = std::min(kWidth - 1, static_cast<int>(t.x + t.radius) + 1);
    for (int y = top; y <= bottom; ++y)
      for (int x = left; x <= right; ++x) {
        constexpr int kSamples = 4;
        int hits = 0;
        for (int i = 0; i < kSamples * kSamples; ++i)
          hits +=
              inside(t, x + (i % kSamples + 0.5) / kSamples, y + (i / kSamples + 0.5) / kSamples);
        const double share = static_cast<double>(hits) / (kSamples * kSamples);
        if (hits == 0) continue;
        uint8_t* pixel = scene.picture.mutable_row(y) + 3 * x;
        for (size_t c = 0; c < 3; ++c)
          pixel[c] = static_cast<uint8_t>(std::clamp(
              share * (colour[c] + grain(generator_)) + (1 - share) * pixel[c], 0.0, 255.0));
        if (t.corners == kStar && share > 0.5) scene.stars.set(x, y, true);
      }
  }

  std::vector<Image> photos_;
  std::mt19937 generator_;
};

}  // namespace beckon::test
