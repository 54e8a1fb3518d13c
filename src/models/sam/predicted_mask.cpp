#include "models/sam/predicted_mask.h"

#include <algorithm>
#include <limits>

#include "base/fail.h"
#include "base/threads.h"

namespace beckon {
namespace {

constexpr int64_t kRowsPerTask = 32;

// Low-res logits over the whole square -> the square -> the image's part of it -> the image's size,
// as two bilinear steps in one. Rows are made when they are asked for.
PlaneRows full_rows(const PredictedMask::Impl& mask) {
  const sam::Frame& f = mask.frame;
  const auto axis = [&](int64_t low, int resized, int size) {
    return then(bilinear_axis(static_cast<int>(low), f.side), bilinear_axis(resized, size));
  };
  return {std::as_const(mask.logits).values(),
          axis(mask.logits.dim(1), f.resized.width, f.image.width),
          axis(mask.logits.dim(0), f.resized.height, f.image.height)};
}

// What a run of rows holds.
struct Counts {
  int64_t object = 0, above = 0, below = 0;  // over 0, over +offset, over -offset
  int left = std::numeric_limits<int>::max(), right = -1;
  int top = std::numeric_limits<int>::max(), bottom = -1;
};

// Calls each(row, logits) for all rows, in parallel runs, and adds up what it counts.
template <typename Each>
Counts walk(const PlaneRows& rows, Each&& each) {
  const int64_t height = rows.height(), tasks = (height + kRowsPerTask - 1) / kRowsPerTask;
  std::vector<Counts> parts(static_cast<size_t>(tasks));
  parallel_for(tasks, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> line(static_cast<size_t>(rows.width()));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t last = std::min((task + 1) * kRowsPerTask, height);
      for (int64_t y = task * kRowsPerTask; y < last; ++y) {
        rows.row(static_cast<int>(y), line.data());
        each(static_cast<int>(y), line, parts[static_cast<size_t>(task)]);
      }
    }
  });
  Counts total;
  for (const Counts& part : parts) {
    total.object += part.object;
    total.above += part.above;
    total.below += part.below;
    total.left = std::min(total.left, part.left);
    total.right = std::max(total.right, part.right);
    total.top = std::min(total.top, part.top);
    total.bottom = std::max(total.bottom, part.bottom);
  }
  return total;
}

void count_stability(const std::vector<float>& line, float offset, Counts& counts) {
  int64_t above = 0, below = 0;
  for (const float v : line) {
    above += v > offset;
    below += v > -offset;
  }
  counts.above += above;
  counts.below += below;
}

double ratio(const Counts& counts) {
  return static_cast<double>(counts.above) / static_cast<double>(counts.below);
}

}  // namespace

void PredictedMask::Impl::complete() {
  std::call_once(once, [&] {
    const PlaneRows rows = full_rows(*this);
    Mask pixels(rows.width(), rows.height());
    const Counts counts = walk(rows, [&](int y, const std::vector<float>& line, Counts& c) {
      uint8_t* to = pixels.mutable_row(y);
      int64_t object = 0;
      for (size_t x = 0; x < line.size(); ++x) {
        to[x] = line[x] > 0;
        object += to[x];
      }
      count_stability(line, 1.0f, c);
      if (object == 0) return;
      c.object += object;
      c.top = std::min(c.top, y);
      c.bottom = std::max(c.bottom, y);
      const auto width = static_cast<int>(line.size());
      int first = 0, last = width - 1;
      while (!to[first]) ++first;
      while (!to[last]) --last;
      c.left = std::min(c.left, first);
      c.right = std::max(c.right, last);
    });
    area = counts.object;
    if (area > 0)
      box = {counts.left, counts.top, counts.right - counts.left + 1,
             counts.bottom - counts.top + 1};
    stability = ratio(counts);
    rle = pixels.rle();
  });
}

float PredictedMask::score() const noexcept { return impl_->score; }
int PredictedMask::token() const noexcept { return impl_->token; }

std::span<const float> PredictedMask::logits() const noexcept {
  return std::as_const(impl_->logits).values();
}

ImageSize PredictedMask::logits_size() const noexcept {
  return {static_cast<int>(impl_->logits.dim(1)), static_cast<int>(impl_->logits.dim(0))};
}

const Mask& PredictedMask::mask() const {
  impl_->complete();
  // The image it is of was there: its size needs no limit.
  std::call_once(impl_->mask_once, [&] {
    impl_->mask = Mask::from_rle(*impl_->rle, std::numeric_limits<int64_t>::max());
  });
  return impl_->mask;
}

const Rle& PredictedMask::rle() const {
  impl_->complete();
  return *impl_->rle;
}

int64_t PredictedMask::area() const {
  impl_->complete();
  return impl_->area;
}

PixelBox PredictedMask::bounding_box() const {
  impl_->complete();
  return impl_->box;
}

double PredictedMask::stability(float offset) const {
  if (offset == 1.0f) {
    impl_->complete();
    return impl_->stability;
  }
  const PlaneRows rows = full_rows(*impl_);
  return ratio(walk(rows, [&](int, const std::vector<float>& line, Counts& c) {
    count_stability(line, offset, c);
  }));
}

std::vector<float> PredictedMask::full_logits() const {
  const PlaneRows rows = full_rows(*impl_);
  std::vector<float> all(static_cast<size_t>(rows.width()) * static_cast<size_t>(rows.height()));
  parallel_for(rows.height(), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      rows.row(static_cast<int>(y), all.data() + y * rows.width());
  });
  return all;
}

const PredictedMask& Masks::operator[](size_t i) const {
  if (i >= masks_.size())
    fail(Kind::usage, "there is no mask {}; the answer has {}", i, masks_.size());
  return masks_[i];
}

const PredictedMask& Masks::best() const {
  if (masks_.empty())
    fail(Kind::usage, "the answer has no mask: none scored above what was asked for");
  return masks_.front();
}

}  // namespace beckon
