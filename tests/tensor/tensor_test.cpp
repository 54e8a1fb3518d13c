// Tensors: making them, views, copies between strides and types, shared storage.
#include "beckon/tensor.h"

#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "support/check.h"
#include "tensor/copy.h"
#include "tensor/impl.h"
#include "tensor/sum_to.h"
#include "tensor/tape.h"

namespace beckon::test {
namespace {

// 0, 1, 2, ... in order.
Tensor counting(const Shape& shape) {
  Tensor x = Tensor::empty(shape);
  std::iota(x.data(), x.data() + x.size(), 0.0f);
  return x;
}

std::vector<float> elements(const Tensor& x) {
  const Tensor flat = x.contiguous();
  return {flat.values().begin(), flat.values().end()};
}

using Floats = std::vector<float>;

TEST(Tensor, IsMadeFromValuesZerosAndOneNumber) {
  const Tensor x = Tensor::from({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(x.shape().str(), "[2,3]");
  EXPECT_EQ(x.strides().str(), "[3,1]");
  EXPECT_EQ(x.size(), 6);
  EXPECT_EQ(x.dim(-1), 3);
  EXPECT_EQ(elements(Tensor::zeros({2})), (Floats{0, 0}));
  EXPECT_EQ(elements(Tensor::full({2}, 2.5f)), (Floats{2.5f, 2.5f}));
  const std::vector<int64_t> numbers{7, -8};
  const Tensor y = Tensor::from(std::span<const int64_t>(numbers), {2});
  EXPECT_EQ(y.dtype(), DType::i64);
  EXPECT_EQ(y.data_as<int64_t>()[1], -8);
  EXPECT_EQ(Tensor::like(y).dtype(), DType::i64);
}

TEST(Tensor, WrongNumberOfValuesIsAnError) {
  expect_error(Kind::usage, "3 values for a tensor of shape [2,2]", [] {
    Tensor::from({1, 2, 3}, {2, 2});
  });
}

TEST(Tensor, ImpossibleShapesAreErrorsBeforeAnyAllocation) {
  expect_error(Kind::resource, "negative", [] { Tensor::empty({2, -1}); });
  const int64_t huge = int64_t{1} << 40;
  expect_error(Kind::resource, "too many", [&] { Tensor::empty({huge, huge}); });
  const int64_t most = std::numeric_limits<int64_t>::max();
  expect_error(Kind::resource, "too large", [&] { Tensor::empty({most}, DType::f64); });
  // 2^64 - 4 bytes: rounded up to whole cache lines that would be none.
  expect_error(Kind::resource, "too large", [&] { Tensor::empty({(int64_t{1} << 62) - 1}); });
  expect_error(Kind::usage, "at most 8", [] { Tensor::zeros({1, 1, 1, 1, 1, 1, 1, 1, 1}); });
}

TEST(Tensor, UseOfAnEmptyHandleIsAnError) {
  const Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_FALSE(none.requires_grad());
  expect_error(Kind::usage, "empty tensor", [&] { none.shape(); });
  expect_error(Kind::usage, "empty tensor", [&] { none.contiguous(); });
  expect_error(Kind::usage, "empty tensor", [&] { Tensor().set_requires_grad(); });
}

TEST(Tensor, HandlesShareStorage) {
  Tensor x = Tensor::zeros({3});
  const Tensor same = x;
  x.data()[1] = 4;
  EXPECT_EQ(elements(same), (Floats{0, 4, 0}));
  const Tensor apart = x.clone();
  x.data()[1] = 5;
  EXPECT_EQ(elements(apart), (Floats{0, 4, 0}));
}

TEST(Tensor, RankZeroHoldsOneElement) {
  const Tensor x = Tensor::full({}, 3.0f);
  EXPECT_EQ(x.rank(), 0);
  EXPECT_EQ(x.size(), 1);
  EXPECT_EQ(x.item(), 3.0f);
  EXPECT_TRUE(x.is_contiguous());
  EXPECT_EQ(x.unsqueeze(0).shape().str(), "[1]");
  EXPECT_EQ(x.unsqueeze(-1).squeeze(0).shape().str(), "[]");
  EXPECT_EQ(x.expand({2, 2}).shape().str(), "[2,2]");
  EXPECT_EQ(elements(x.expand({2, 2})), (Floats{3, 3, 3, 3}));
  EXPECT_EQ(x.reshape({1, -1}).shape().str(), "[1,1]");
  EXPECT_EQ(x.clone().item(), 3.0f);
  EXPECT_EQ(x.to(DType::f16).item(), 3.0f);
  EXPECT_EQ(x.permute({}).item(), 3.0f);
}

TEST(Tensor, ZeroElementsAreFine) {
  const Tensor x = Tensor::zeros({3, 0, 2});
  EXPECT_EQ(x.size(), 0);
  EXPECT_TRUE(x.is_contiguous());
  EXPECT_EQ(x.permute({2, 1, 0}).contiguous().shape().str(), "[2,0,3]");
  EXPECT_EQ(x.slice(0, 1, 1).shape().str(), "[0,0,2]");
  EXPECT_EQ(x.reshape({0, 7}).shape().str(), "[0,7]");
  EXPECT_EQ(x.clone().size(), 0);
  EXPECT_EQ(x.to(DType::u8).size(), 0);
  EXPECT_EQ(Tensor::zeros({1, 3}).expand({0, 3}).size(), 0);
  EXPECT_EQ(Tensor::from(std::initializer_list<float>{}, {0}).size(), 0);
}

TEST(Tensor, AccessOfTheWrongTypeOrLayoutIsAnError) {
  const Tensor x = counting({2, 3});
  expect_error(Kind::internal, "strides [1,3]", [&] { x.transpose(0, 1).data(); });
  expect_error(Kind::internal, "i64", [] { Tensor::empty({1}, DType::i64).data(); });
  expect_error(Kind::internal, "8-byte", [&] { x.data_as<int64_t>(); });
  expect_error(Kind::usage, "one element", [&] { x.item(); });
}

TEST(Tensor, ItemReadsAnyStrideAndType) {
  const Tensor x = counting({2, 3});
  EXPECT_EQ(x.slice(0, 1, 2).slice(1, 2, 3).item(), 5.0f);
  EXPECT_EQ(x.to(DType::i64).transpose(0, 1).select(0, 1).select(0, 1).item(), 4.0f);
}

TEST(TensorViews, SharesElementsWithWhatItShows) {
  Tensor x = counting({2, 3});
  Tensor column = x.select(1, 1);
  EXPECT_EQ(elements(column), (Floats{1, 4}));
  x.data()[4] = 40;
  EXPECT_EQ(elements(column), (Floats{1, 40}));
  column.copy_from(Tensor::from({-1, -2}, {2}));
  EXPECT_EQ(elements(x), (Floats{0, -1, 2, 3, -2, 5}));
}

TEST(TensorViews, ReshapeInfersOneSizeAndCopiesOnlyIfItMust) {
  const Tensor x = counting({2, 6});
  EXPECT_EQ(x.reshape({3, -1}).shape().str(), "[3,4]");
  EXPECT_EQ(x.reshape({4, 3}).impl()->storage, x.impl()->storage);
  const Tensor turned = x.transpose(0, 1).reshape({12});
  EXPECT_NE(turned.impl()->storage, x.impl()->storage);
  EXPECT_EQ(elements(turned), (Floats{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11}));
  expect_error(Kind::usage, "cannot reshape [2,6] to [5,-1]", [&] { x.reshape({5, -1}); });
  expect_error(Kind::usage, "cannot reshape", [&] { x.reshape({13}); });
  expect_error(Kind::resource, "negative", [&] { x.reshape({-1, -1}); });
  expect_error(Kind::resource, "negative", [&] { x.reshape({-1, -12}); });
  const int64_t huge = int64_t{1} << 40;
  expect_error(Kind::resource, "too many", [&] { x.reshape({huge, huge, -1}); });
}

TEST(TensorViews, ReshapeOfASliceKeepsItsOffset) {
  const Tensor x = counting({4, 3}).slice(0, 1, 3);
  EXPECT_TRUE(x.is_contiguous());
  EXPECT_EQ(elements(x.reshape({3, 2})), (Floats{3, 4, 5, 6, 7, 8}));
}

TEST(TensorViews, PermuteMovesDimensions) {
  const Tensor x = counting({2, 3, 4}).permute({2, 0, 1});
  EXPECT_EQ(x.shape().str(), "[4,2,3]");
  EXPECT_EQ(x.strides().str(), "[1,12,4]");
  EXPECT_FALSE(x.is_contiguous());
  EXPECT_EQ(x.permute({-2, -1, 0}).strides().str(), "[12,4,1]");
  expect_error(Kind::usage, "permute of 2 dimensions", [&] { x.permute({0, 1}); });
  expect_error(Kind::usage, "twice", [&] { x.permute({0, 1, 1}); });
  expect_error(Kind::usage, "dimension 3", [&] { x.permute({0, 1, 3}); });
}

TEST(TensorViews, SliceCountsFromEitherEndAndSteps) {
  const Tensor x = counting({10});
  EXPECT_EQ(elements(x.slice(0, 2, 5)), (Floats{2, 3, 4}));
  EXPECT_EQ(elements(x.slice(0, -3, -1)), (Floats{7, 8}));
  EXPECT_EQ(elements(x.slice(0, 1, 10, 4)), (Floats{1, 5, 9}));
  EXPECT_EQ(elements(x.slice(0, 0, 10, 3)), (Floats{0, 3, 6, 9}));
  EXPECT_EQ(elements(x.slice(0, 3, 10, std::numeric_limits<int64_t>::max())), (Floats{3}));
  EXPECT_EQ(x.slice(0, 4, 4).size(), 0);
  for (auto [begin, end, step] :
       {std::array<int64_t, 3>{0, 11, 1}, {-11, 2, 1}, {5, 4, 1}, {0, 4, 0}})
    expect_error(Kind::usage, "slice [",
                 [&, b = begin, e = end, s = step] { x.slice(0, b, e, s); });
  expect_error(Kind::usage, "element 10 of dimension 0", [&] { x.select(0, 10); });
  EXPECT_EQ(x.select(0, -1).item(), 9.0f);
}

TEST(TensorViews, ExpandRepeatsWithoutCopying) {
  const Tensor x = counting({3, 1});
  const Tensor y = x.expand({2, 3, 4});
  EXPECT_EQ(y.strides().str(), "[0,1,0]");
  EXPECT_EQ(y.impl()->storage, x.impl()->storage);
  EXPECT_EQ(elements(y.select(0, 1).select(1, 3)), (Floats{0, 1, 2}));
  expect_error(Kind::usage, "cannot expand [3,1] to [2,4]", [&] { x.expand({2, 4}); });
  expect_error(Kind::usage, "cannot expand", [&] { x.expand({3}); });
}

TEST(TensorViews, SqueezeWantsASizeOfOne) {
  expect_error(Kind::usage, "squeeze of dimension 0 of shape [2,1]", [] {
    counting({2, 1}).squeeze(0);
  });
  expect_error(Kind::usage, "unsqueeze at 4", [] { counting({2, 1}).unsqueeze(4); });
}

// Every element of one tensor at its place in another, by index arithmetic alone.
void expect_same_elements(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  const auto at = [](const Tensor& x, int64_t i) {
    int64_t place = x.impl()->offset;
    for (int d = x.rank() - 1; d >= 0; --d) {
      place += i % x.dim(d) * x.strides()[d];
      i /= x.dim(d);
    }
    return reinterpret_cast<const float*>(x.impl()->storage->data)[place];
  };
  for (int64_t i = 0; i < a.size(); ++i) ASSERT_EQ(at(a, i), at(b, i)) << "element " << i;
}

TEST(CopyStrided, MovesBetweenAnyStrides) {
  const Tensor x = counting({5, 18, 7, 33});
  const Tensor views[] = {
      x,
      x.permute({3, 1, 0, 2}),
      x.permute({0, 3, 1, 2}),
      x.slice(3, 1, 32, 3),
      x.slice(1, 2, 17, 5).transpose(1, 2),
      x.slice(0, 4, 5).squeeze(0),
      x.select(3, 7),
      x.slice(0, 0, 1).expand({6, 18, 7, 33}),
      x.slice(3, 2, 3).expand({5, 18, 7, 19}),
      x.select(0, 2).select(0, 3).select(0, 1).select(0, 30),
  };
  for (const Tensor& view : views) {
    expect_same_elements(view, view.clone());
    // Into a target with gaps, its dimensions in falling order.
    Shape turned;
    for (int d = view.rank() - 1; d >= 0; --d) turned.push_back(view.dim(d) + 1);
    Tensor target = Tensor::full(turned, -1);
    std::vector<int> order;
    for (int d = view.rank() - 1; d >= 0; --d) order.push_back(d);
    Tensor part = target.permute(std::span<const int>(order));
    for (int d = 0; d < view.rank(); ++d) part = part.slice(d, 1, 1 + view.dim(d));
    part.copy_from(view);
    expect_same_elements(view, part);
    // Nothing beside it was touched.
    int64_t untouched = 0;
    for (float v : target.values()) untouched += v == -1;
    EXPECT_EQ(untouched, target.size() - view.size());
  }
}

TEST(CopyStrided, MovesEverySizeOfElement) {
  for (const DType type : {DType::u8, DType::boolean, DType::f16, DType::bf16, DType::i32,
                           DType::f32, DType::f64, DType::i64}) {
    const Tensor x = Tensor::from({1, 0, 1, 1, 0, 0}, {2, 3});
    EXPECT_EQ(elements(x.to(type).transpose(0, 1).contiguous().to(DType::f32)),
              (Floats{1, 1, 0, 0, 1, 0}))
        << name_of(type);
  }
}

TEST(TensorTypes, CopyFromConvertsAndChecksShapes) {
  Tensor x = Tensor::zeros({2}, DType::u8);
  x.copy_from(Tensor::from({3, 200}, {2}));
  EXPECT_EQ(x.data_as<uint8_t>()[1], 200);
  expect_error(Kind::usage, "shape [3] into [2]", [&] { x.copy_from(Tensor::zeros({3})); });
}

TEST(TensorTypes, FloatsBecomeIntegersByTruncationWithinBounds) {
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor x = Tensor::from({2.9f, -2.9f, 300.0f, -1e30f, inf, -inf, NAN}, {7});
  const auto read = [](const Tensor& y, auto zero) {
    using T = decltype(zero);
    return std::vector<T>(y.data_as<T>(), y.data_as<T>() + y.size());
  };
  EXPECT_EQ(read(x.to(DType::u8), uint8_t{}), (std::vector<uint8_t>{2, 0, 255, 0, 255, 0, 0}));
  const int32_t low = std::numeric_limits<int32_t>::min(),
                high = std::numeric_limits<int32_t>::max();
  EXPECT_EQ(read(x.to(DType::i32), int32_t{}),
            (std::vector<int32_t>{2, -2, 300, low, high, low, 0}));
  const int64_t lowest = std::numeric_limits<int64_t>::min(),
                most = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(read(x.to(DType::i64), int64_t{}),
            (std::vector<int64_t>{2, -2, 300, lowest, most, lowest, 0}));
  EXPECT_EQ(read(x.to(DType::boolean), uint8_t{}), (std::vector<uint8_t>{1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(read(Tensor::from({0.0f, -0.0f, 0.25f}, {3}).to(DType::boolean), uint8_t{}),
            (std::vector<uint8_t>{0, 0, 1}));
}

TEST(TensorTypes, EveryHalfSurvivesTheWayToFloatAndBack) {
  Tensor halves = Tensor::empty({65536}, DType::f16), brains = Tensor::empty({65536}, DType::bf16);
  for (int bits = 0; bits < 65536; ++bits)
    halves.data_as<uint16_t>()[bits] = brains.data_as<uint16_t>()[bits] =
        static_cast<uint16_t>(bits);
  for (const Tensor& x : {halves, brains}) {
    const Tensor f = x.to(DType::f32), back = f.to(x.dtype());
    for (int bits = 0; bits < 65536; ++bits) {
      if (std::isnan(f.data()[bits])) {
        EXPECT_TRUE(std::isnan(back.slice(0, bits, bits + 1).item()));
      } else {
        ASSERT_EQ(back.data_as<uint16_t>()[bits], bits) << name_of(x.dtype());
      }
    }
  }
  // The value of a half from its definition: (-1)^s 2^(e-15) (1 + f/1024), or 2^-14 f/1024.
  const Tensor f = halves.to(DType::f32);
  for (int bits = 0; bits < 65536; ++bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) continue;
    const double size =
        exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
    ASSERT_EQ(f.data()[bits], bits & 0x8000 ? -size : size) << bits;
  }
}

// All that lies between two neighbouring halves goes to the nearer one, the middle to the even.
TEST(TensorTypes, RoundsToTheNearestHalfAndTiesToEven) {
  for (int bits = 0; bits < 0x7BFF; ++bits) {
    const float low = half_to_float(static_cast<uint16_t>(bits));
    const float high = half_to_float(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;  // exact in float
    const int even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(float_to_half(middle), even) << bits;
    ASSERT_EQ(float_to_half(-middle), even | 0x8000) << bits;
    ASSERT_EQ(float_to_half(std::nextafter(middle, low)), bits) << bits;
    ASSERT_EQ(float_to_half(std::nextafter(middle, high)), bits + 1) << bits;
  }
  EXPECT_EQ(float_to_half(65504.0f), 0x7BFF);
  EXPECT_EQ(float_to_half(std::nextafter(65520.0f, 0.0f)), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0f), 0x7C00);
  EXPECT_EQ(float_to_half(1e30f), 0x7C00);
}

TEST(TensorTypes, RoundsToTheNearestBfloat16AndTiesToEven) {
  for (int bits = 0; bits < 0x7F7F; ++bits) {
    const uint32_t middle = static_cast<uint32_t>(bits) << 16 | 0x8000u;
    const int even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(float_to_bfloat16(std::bit_cast<float>(middle)), even);
    ASSERT_EQ(float_to_bfloat16(std::bit_cast<float>(middle - 1)), bits);
    ASSERT_EQ(float_to_bfloat16(std::bit_cast<float>(middle + 1)), bits + 1);
  }
  EXPECT_EQ(float_to_bfloat16(std::numeric_limits<float>::max()), 0x7F80);
}

TEST(SumTo, AddsWhatWasBroadcast) {
  const Tensor x = counting({2, 3, 4});
  EXPECT_EQ(elements(detail::sum_to(x, {})), (Floats{276}));
  EXPECT_EQ(elements(detail::sum_to(x, {4})), (Floats{60, 66, 72, 78}));
  EXPECT_EQ(elements(detail::sum_to(x, {3, 1})), (Floats{60, 92, 124}));
  EXPECT_EQ(elements(detail::sum_to(x, {2, 1, 4})), (Floats{12, 15, 18, 21, 48, 51, 54, 57}));
  EXPECT_EQ(elements(detail::sum_to(x, {2, 1, 1})), (Floats{66, 210}));
  EXPECT_EQ(detail::sum_to(x, {2, 3, 4}).impl(), x.impl());
  EXPECT_EQ(elements(detail::sum_to(Tensor::zeros({0, 3}), {1, 3})), (Floats{0, 0, 0}));
  expect_error(Kind::internal, "sum_to", [&] { detail::sum_to(x, {3, 3}); });
}

TEST(SumTo, KeepsItsDigitsOverLongSums) {
  // A million times 0.1f: summed one after the other in float this is off by a percent.
  const Tensor x = Tensor::full({1 << 20, 1}, 0.1f);
  const double expected = static_cast<double>(0.1f) * (1 << 20);
  EXPECT_NEAR(detail::sum_to(x, {}).item(), expected, expected * 1e-6);
  EXPECT_NEAR(
      detail::sum_to(x.reshape({1, -1}).expand({2, 1 << 20}), {2, 1}).contiguous().data()[1],
      expected, expected * 1e-6);
  const Tensor columns = Tensor::full({1 << 18, 4}, 0.1f);
  EXPECT_NEAR(detail::sum_to(columns, {4}).data()[3], expected / 4, expected * 1e-5);
}

TEST(Wrap, ReadsMemoryOfOthersAndKeepsItAlive) {
  auto memory = std::make_shared<std::vector<float>>(Floats{1, 2, 3, 4});
  const std::weak_ptr<std::vector<float>> watch = memory;
  const float* numbers = memory->data();
  Tensor row;
  {
    const Tensor x = Tensor::wrap(std::move(memory), numbers, {2, 2}, DType::f32);
    row = x.select(0, 1);
  }
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(elements(row), (Floats{3, 4}));
  row = Tensor();
  EXPECT_TRUE(watch.expired());
}

TEST(Allocator, GivesAlignedMemoryAndRecyclesIt) {
  for (const int64_t n : {1, 100, 5000, 100'000, 2'000'000}) {
    const Tensor x = Tensor::empty({n});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(x.data_as<float>()) % 64, 0u);
  }
#if !defined(__SANITIZE_ADDRESS__)
  const void* first = nullptr;
  {
    const Tensor x = Tensor::empty({123'457});
    first = x.data_as<float>();
  }
  const Tensor again = Tensor::empty({123'457});
  EXPECT_EQ(again.data_as<float>(), first);
  const Tensor other = Tensor::empty({123'457});
  EXPECT_NE(other.data_as<float>(), first);
#endif
}

TEST(Allocator, RecyclesNewSizesThoughItIsFullOfOldOnes) {
#if !defined(__SANITIZE_ADDRESS__)
  {
    // More than the allocator keeps, in blocks of a size that is not asked for again.
    std::vector<Tensor> old;
    for (int i = 0; i < 20; ++i) old.push_back(Tensor::empty({2'500'000}));
  }
  const void* first = nullptr;
  {
    const Tensor x = Tensor::empty({777'777});
    first = x.data_as<float>();
  }
  EXPECT_EQ(Tensor::empty({777'777}).data_as<float>(), first);
#endif
}

TEST(Derived, IsMadeOnceForAsLongAsTheNumbersStay) {
  Tensor w = counting({4});
  static const char key = 0, other_key = 0;
  int made = 0;
  const auto get = [&](const Tensor& x, const void* k) {
    return *derived<int>(x, k, [&] { return ++made; });
  };
  EXPECT_EQ(get(w, &key), 1);
  EXPECT_EQ(get(w, &key), 1);
  const Tensor same = w;
  EXPECT_EQ(get(same, &key), 1);
  EXPECT_EQ(get(w, &other_key), 2);           // another maker
  EXPECT_EQ(get(w.slice(0, 1, 3), &key), 3);  // another view of the same storage
  EXPECT_EQ(get(w.slice(0, 1, 3), &key), 3);
  EXPECT_EQ(get(w, &key), 1);

  w.data()[0] = 5;  // a writer was here
  EXPECT_EQ(get(w, &key), 4);
  w.copy_from(Tensor::zeros({4}));
  EXPECT_EQ(get(w, &key), 5);
  w.slice(0, 0, 1).copy_from(Tensor::zeros({1}));  // through a view
  EXPECT_EQ(get(w, &key), 6);
  w.data_as<float>();
  EXPECT_EQ(get(w, &key), 7);
  std::as_const(w).data();  // reading keeps it
  EXPECT_EQ(get(w, &key), 7);

  w.set_requires_grad();  // changes every step: nothing is kept
  EXPECT_EQ(get(w, &key), 8);
  EXPECT_EQ(get(w, &key), 9);
}

}  // namespace
}  // namespace beckon::test
